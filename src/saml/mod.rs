//! The SAML service provider, pure: bytes and values in, values out. It holds the profile (which messages are taken, which are refused
//! and why) and the only uses of samael. It refuses to know clocks, randomness, databases and HTTP.
//!
//! A response passes these steps, each of which refuses before the next may cost anything:
//! base64 → `scan` (bounds, well-formedness) and `structure` (closed grammar) in one pass → `signature` (pinned certificates) →
//! `decrypt`, whose outcome begins at `scan` again → the verified bytes through the same scan → `assertion` (values) → `conditions` →
//! `identity`.

mod assertion;
mod certificate;
mod conditions;
mod decrypt;
mod element;
pub mod identity;
pub mod issuer;
mod key_pair;
mod lexical;
pub mod logout;
pub mod metadata;
mod refusal;
pub mod request;
mod scan;
pub mod sign;
mod signature;
mod structure;
#[cfg(test)]
mod tests;
mod work;

use base64::{Engine, engine::general_purpose::STANDARD};

pub use self::{
    assertion::{Assertion, Attribute, NameId, Value},
    certificate::{Certificate, CertificateError, Key},
    decrypt::DecryptionKey,
    identity::{Subject, identity},
    key_pair::{KeyPair, KeyPairError},
    metadata::{IdpMetadata, MetadataError, ServiceProvider, check_address, signed_sp_metadata, sp_metadata},
    refusal::{Refusal, Step},
    request::AuthnRequest,
    signature::IdpCertificate,
    work::Work,
};
use self::{
    assertion::{Claims, Envelope, Provenance},
    element::{Element, Ns},
    scan::Grammar,
    signature::{Signed, Trust},
    structure::{Family, Root},
};
use crate::domain::time::Timestamp;

/// Longest form value that is looked at: the body of the request is bounded by as much.
pub const MAX_FORM_VALUE: usize = 256 * 1024;

/// The two sides of one connection, as far as a response is judged by them.
#[derive(Debug, Clone)]
pub struct Party<'a> {
    pub sp_entity_id: &'a str,
    pub acs_url: &'a str,
    pub idp_entity_id: &'a str,
    /// The pinned ones; a connection without any accepts nothing.
    pub certificates: &'a [IdpCertificate],
    /// Tolerance on both ends of every period.
    pub skew_secs: i64,
    /// The subject comes from an attribute, so that NameID may be missing.
    pub subject_from_attribute: bool,
    /// What assertions may be encrypted for; without any, encrypted ones are refused.
    pub decryption_keys: &'a [DecryptionKey],
    /// AES-CBC is taken, inside signed responses.
    pub allow_cbc: bool,
    /// What AuthnContextClassRef must be one of; empty: anything.
    pub authn_contexts: &'a [String],
    /// So many days an expired certificate goes on verifying.
    pub expired_certificate_days: i64,
}

/// Verifies the `SAMLResponse` of a form: everything but what only the database knows (whether `in_response_to` is outstanding,
/// whether the assertion was seen before).
///
/// # Errors
/// With the first step that refuses; see [`Step`].
pub fn verify(saml_response: &str, party: &Party<'_>, now: Timestamp) -> Result<Assertion, Refusal> {
    let text = decode(saml_response)?;
    let response = scan::read(&text, Grammar::Closed(Root::Response))?;
    let families = structure::check(&response)?;
    let encrypted = response.child(Ns::Assertion, "EncryptedAssertion");
    if response.child(Ns::Assertion, "Assertion").is_none() && encrypted.is_none() {
        // A failure reported by the identity provider carries no assertion; the grammar lets nothing else through without one.
        conditions::check_status(&Envelope::read(&response, false)?)?;
    }
    let trust = Trust { certificates: party.certificates, expired_days: party.expired_certificate_days, now };
    let verified = match encrypted {
        None => Verified::of(signature::verify(&text, &response, &families, trust)?),
        Some(encrypted) => open(&text, &response, encrypted, &families, party, trust)?,
    };
    judge(&response, &verified, party, now)
}

/// What may be believed.
struct Verified {
    /// The signed Response, where it was signed.
    response: Option<Element>,
    /// Where the Response does not hold it in clear.
    assertion: Option<Element>,
    provenance: Provenance,
}

impl Verified {
    fn of(signed: Signed) -> Self {
        let provenance = Provenance { certificate: signed.certificate, decrypted_with: None };
        if signed.root.is(Ns::Protocol, "Response") {
            Self { response: Some(signed.root), assertion: None, provenance }
        } else {
            Self { response: None, assertion: Some(signed.root), provenance }
        }
    }
}

/// A signature over the Response covers the encrypted form: it is verified first. What was decrypted goes through the same steps from its
/// own bytes, and is never moved into another tree; where no signature covered it from outside, it must be signed itself.
fn open(
    text: &str,
    response: &Element,
    encrypted: &Element,
    families: &[Family],
    party: &Party<'_>,
    trust: Trust<'_>,
) -> Result<Verified, Refusal> {
    let outer = if signature::is_signed(response) { Some(signature::verify(text, response, families, trust)?) } else { None };
    let covered = outer.as_ref().map(|outer| outer.root.child(Ns::Assertion, "EncryptedAssertion"));
    let source = covered.unwrap_or(Some(encrypted));
    let source =
        source.ok_or_else(|| Refusal::new(Step::Decryption, "missing_element", "the signed Response holds no EncryptedAssertion"))?;
    // Canonical bytes keep only the declarations that they use. The others are those of the message; where both have one, the signed counts.
    let mut scope = source.scope.clone();
    scope.extend(encrypted.scope.iter().filter(|(prefix, _)| !source.scope.iter().any(|(known, _)| known == prefix)).cloned());
    let allowed = decrypt::Allowed { keys: party.decryption_keys, cbc: party.allow_cbc, in_signed_response: outer.is_some() };
    let decrypted = decrypt::assertion(source, &scope, allowed)?;
    let assertion = scan::read(&decrypted.xml, Grammar::Closed(Root::Assertion))?;
    let families = structure::check(&assertion)?;
    let inner_is_signed = signature::is_signed(&assertion);
    let (response, assertion, certificate) = match outer {
        None if !inner_is_signed => {
            return Err(Refusal::new(Step::Signature, "unsigned", "neither the Response nor the encrypted Assertion is signed")
                .cure("let the identity provider sign the assertion, the response or both"));
        }
        None => {
            let inner = signature::verify(&decrypted.xml, &assertion, &families, trust)?;
            (None, inner.root, inner.certificate)
        }
        Some(outer) if inner_is_signed => {
            // One message is one word: the key that signed outside signed inside.
            let only: Vec<_> = trust.certificates.iter().filter(|known| known.id == outer.certificate.id).cloned().collect();
            let inner = signature::verify(&decrypted.xml, &assertion, &families, Trust { certificates: &only, ..trust })?;
            (Some(outer.root), inner.root, outer.certificate)
        }
        Some(outer) => (Some(outer.root), assertion, outer.certificate),
    };
    Ok(Verified { response, assertion: Some(assertion), provenance: Provenance { certificate, decrypted_with: Some(decrypted.key) } })
}

/// From here on only verified bytes speak; an unsigned envelope is still checked, and can only make things fail.
fn judge(response: &Element, verified: &Verified, party: &Party<'_>, now: Timestamp) -> Result<Assertion, Refusal> {
    let signed = verified.response.as_ref();
    let envelope = Envelope::read(signed.unwrap_or(response), signed.is_some())?;
    let assertion = verified.assertion.as_ref().or_else(|| signed.and_then(|signed| signed.child(Ns::Assertion, "Assertion")));
    let assertion = assertion.ok_or_else(|| Refusal::new(Step::Assertion, "missing_element", "the signed Response holds no Assertion"))?;
    conditions::check(&envelope, Claims::read(assertion)?, party, now, verified.provenance)
}

/// Base64 with or without line breaks, and nothing else: then UTF-8.
fn decode(form_value: &str) -> Result<String, Refusal> {
    let refuse = |code, what: &str| Refusal::new(Step::Encoding, code, what);
    if form_value.len() > MAX_FORM_VALUE {
        return Err(refuse("too_long", "the SAMLResponse is longer than 256 KiB"));
    }
    let mut compact = form_value.as_bytes().to_vec();
    compact.retain(|byte| !matches!(byte, b'\r' | b'\n' | b' '));
    let bytes = STANDARD.decode(compact).map_err(|_| refuse("base64", "the SAMLResponse is not base64"))?;
    String::from_utf8(bytes).map_err(|_| refuse("utf8", "the SAMLResponse is not UTF-8"))
}
