//! Verification of XML signatures against the pinned certificates of one connection, by xmlsec. What counts afterwards are the bytes
//! that were hashed, read again through the same scan. `KeyInfo` is never asked. It runs only on what scan and grammar let through.

use samael::crypto::{AllowedSignatureAlgorithm, CertificateDer, Crypto, CryptoProvider, ReduceMode};

use super::{
    certificate::{Certificate, Key},
    element::{Element, Ns},
    refusal::{Refusal, Step},
    scan::{self, Grammar},
    structure::{self, Family, Root},
};
use crate::domain::id::CertificateId;

/// A certificate that a connection trusts.
#[derive(Debug, Clone)]
pub struct IdpCertificate {
    pub id: CertificateId,
    pub certificate: Certificate,
}

/// What was signed, and with which certificate.
#[derive(Debug)]
pub(super) struct Verified {
    /// Root of the verified bytes: a Response or an Assertion.
    pub root: Element,
    pub certificate: CertificateId,
}

/// samael's list of allowed algorithms names signature and digest at once; the grammar has checked both already.
const ALLOWED: [AllowedSignatureAlgorithm; 6] = [
    AllowedSignatureAlgorithm::RsaSha256,
    AllowedSignatureAlgorithm::RsaSha384,
    AllowedSignatureAlgorithm::RsaSha512,
    AllowedSignatureAlgorithm::EcdsaSha256,
    AllowedSignatureAlgorithm::EcdsaSha384,
    AllowedSignatureAlgorithm::EcdsaSha512,
];

/// Verifies every signature of a document with one of the certificates.
pub(super) fn verify(text: &str, root: &Element, families: &[Family], certificates: &[IdpCertificate]) -> Result<Verified, Refusal> {
    let refuse = |code, what: &str| Refusal::new(Step::Signature, code, what);
    let (signed, id) = signed_element(root).ok_or_else(|| {
        refuse("unsigned", "neither the Response nor the Assertion is signed")
            .cure("let the identity provider sign the assertion, the response or both")
    })?;
    if certificates.is_empty() {
        // samael would skip verification.
        return Err(refuse("no_certificate", "the connection has no signing certificate").cure("add the identity provider's certificate"));
    }
    // One certificate a call: samael stops at the first whose key is of another kind.
    let fitting = certificates.iter().filter(|known| families.iter().all(|family| fits(*family, &known.certificate)));
    for known in fitting {
        let der = CertificateDer::from(known.certificate.der().to_vec());
        let verified = Crypto::reduce_xml_to_signed_with_allowed_algorithms(text, &[der], ReduceMode::PreDigest, Some(&ALLOWED));
        let Ok(bytes) = verified else { continue };
        let root = scan::read(&bytes, Grammar::Closed(signed))?;
        structure::check(&root)?;
        if root.attribute("ID") != Some(id) {
            return Err(refuse("signed_element", "the signature covers another element than the one that holds it"));
        }
        return Ok(Verified { root, certificate: known.id });
    }
    let pinned: Vec<_> = certificates.iter().map(|known| known.certificate.fingerprint()[..16].to_owned()).collect();
    Err(refuse("signature", "the signature was made with none of the pinned certificates, or the message was altered")
        .expected(format!("a certificate whose SHA-256 fingerprint begins with {}", pinned.join(" or ")))
        .cure("compare with the certificate that the identity provider signs with today"))
}

fn fits(family: Family, certificate: &Certificate) -> bool {
    match family {
        Family::Rsa => matches!(certificate.key(), Key::Rsa { .. }),
        Family::Ec => matches!(certificate.key(), Key::Ec { .. }),
    }
}

/// The outermost signed element and its ID.
fn signed_element(root: &Element) -> Option<(Root, &str)> {
    let signed = |element: &Element| element.child(Ns::Signature, "Signature").is_some();
    if root.is(Ns::Assertion, "Assertion") {
        return if signed(root) { Some((Root::Assertion, root.attribute("ID")?)) } else { None };
    }
    if signed(root) {
        return Some((Root::Response, root.attribute("ID")?));
    }
    let assertion = root.child(Ns::Assertion, "Assertion").filter(|assertion| signed(assertion))?;
    Some((Root::Assertion, assertion.attribute("ID")?))
}
