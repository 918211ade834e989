//! Verification of XML signatures against the pinned certificates of one connection, by xmlsec. What counts afterwards are the bytes
//! that were hashed, read again through the same scan. `KeyInfo` is never asked. It runs only on what scan and grammar let through.

use samael::crypto::{AllowedSignatureAlgorithm, CertificateDer, Crypto, CryptoProvider, ReduceMode};

use super::{
    certificate::{Certificate, Key},
    element::{Element, Ns},
    refusal::{Refusal, Step},
    scan::{self, Grammar},
    structure::{self, Family, Root},
    work::{self, Work},
};
use crate::domain::{id::CertificateId, time::Timestamp};

/// A certificate that a connection trusts.
#[derive(Debug, Clone)]
pub struct IdpCertificate {
    pub id: CertificateId,
    pub certificate: Certificate,
}

/// The certificate whose key made a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UsedCertificate {
    pub id: CertificateId,
    /// When it expired, where it has: it is taken for a while, and somebody must be told.
    pub expired_at: Option<Timestamp>,
}

/// What was signed, and with which certificate.
#[derive(Debug)]
pub(super) struct Signed {
    /// Root of the verified bytes: a Response or an Assertion.
    pub root: Element,
    pub certificate: UsedCertificate,
}

/// Whom a connection believes at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trust<'a> {
    pub certificates: &'a [IdpCertificate],
    /// So many days an expired certificate goes on verifying.
    pub expired_days: i64,
    pub now: Timestamp,
}

impl Trust<'_> {
    /// Trust is the pinned key; an expired certificate says that somebody forgot to replace it.
    fn is_over(&self, certificate: &Certificate) -> bool {
        certificate.not_after().plus_secs(self.expired_days * 86_400) <= self.now
    }

    fn used(&self, known: &IdpCertificate) -> UsedCertificate {
        let not_after = known.certificate.not_after();
        UsedCertificate { id: known.id, expired_at: (not_after <= self.now).then_some(not_after) }
    }
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
pub(super) fn verify(text: &str, root: &Element, families: &[Family], trust: Trust<'_>) -> Result<Signed, Refusal> {
    let certificates = trust.certificates;
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
    let mut over: Option<&IdpCertificate> = None;
    let fitting = certificates.iter().filter(|known| families.iter().all(|family| fits(*family, &known.certificate)));
    for known in fitting {
        let der = CertificateDer::from(known.certificate.der().to_vec());
        let each = families.len();
        work::add(Work { bytes_to_libxml: text.len(), digests: each, key_operations: each, ..Work::default() });
        let verified = Crypto::reduce_xml_to_signed_with_allowed_algorithms(text, &[der], ReduceMode::PreDigest, Some(&ALLOWED));
        let Ok(bytes) = verified else { continue };
        let root = scan::read(&bytes, Grammar::Closed(signed))?;
        structure::check(&root)?;
        if root.attribute("ID") != Some(id) {
            return Err(refuse("signed_element", "the signature covers another element than the one that holds it"));
        }
        if trust.is_over(&known.certificate) {
            // Another certificate may hold the same key.
            over = Some(known);
            continue;
        }
        return Ok(Signed { root, certificate: trust.used(known) });
    }
    if let Some(known) = over {
        let certificate = &known.certificate;
        return Err(refuse("certificate_expired", "the signature is good, and its certificate expired too long ago")
            .got(format!("{} until {}", &certificate.fingerprint()[..16], certificate.not_after()))
            .expected(format!("a certificate that expired no more than {} days ago", trust.expired_days))
            .cure("add the certificate that the identity provider has now, or have it make a new one"));
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

/// Whether the element itself is signed, by whomever.
pub(super) fn is_signed(element: &Element) -> bool {
    element.child(Ns::Signature, "Signature").is_some()
}

/// The outermost signed element and its ID.
fn signed_element(root: &Element) -> Option<(Root, &str)> {
    if root.is(Ns::Assertion, "Assertion") {
        return if is_signed(root) { Some((Root::Assertion, root.attribute("ID")?)) } else { None };
    }
    if is_signed(root) {
        return Some((Root::of(root)?, root.attribute("ID")?));
    }
    let assertion = root.child(Ns::Assertion, "Assertion").filter(|assertion| is_signed(assertion))?;
    Some((Root::Assertion, assertion.attribute("ID")?))
}
