//! The SAML service provider, pure: bytes and values in, values out. It holds the profile (which messages are taken, which are refused
//! and why) and the only uses of samael. It refuses to know clocks, randomness, databases and HTTP.
//!
//! A response passes these steps, each of which refuses before the next may cost anything:
//! base64 → `scan` (bounds, well-formedness) and `structure` (closed grammar) in one pass → `signature` (pinned certificates) →
//! the verified bytes through the same scan again → `assertion` (values) → `conditions` → `identity`.

mod assertion;
mod certificate;
mod conditions;
mod decrypt;
mod element;
pub mod identity;
pub mod issuer;
mod key_pair;
mod lexical;
pub mod metadata;
mod refusal;
pub mod request;
mod scan;
pub mod sign;
mod signature;
mod structure;
#[cfg(test)]
mod tests;

use base64::{Engine, engine::general_purpose::STANDARD};

pub use self::{
    assertion::{Assertion, Attribute, NameId, Value},
    certificate::{Certificate, CertificateError, Key},
    conditions::check_answer,
    decrypt::DecryptionKey,
    identity::{Subject, identity},
    key_pair::{KeyPair, KeyPairError},
    metadata::{IdpMetadata, MetadataError, ServiceProvider, sp_metadata},
    refusal::{Refusal, Step},
    request::AuthnRequest,
    signature::IdpCertificate,
};
use self::{
    assertion::{Claims, Envelope},
    element::{Element, Ns},
    scan::Grammar,
    signature::Verified,
    structure::Root,
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
    if response.child(Ns::Assertion, "Assertion").is_none() {
        // A failure reported by the identity provider carries no assertion; the grammar lets nothing else through without one.
        conditions::check_status(&Envelope::read(&response, false)?)?;
    }
    let verified = signature::verify(&text, &response, &families, party.certificates)?;
    judge(&response, &verified, party, now)
}

/// From here on only verified bytes speak; an unsigned envelope is still checked, and can only make things fail.
fn judge(response: &Element, verified: &Verified, party: &Party<'_>, now: Timestamp) -> Result<Assertion, Refusal> {
    let signed_response = verified.root.is(Ns::Protocol, "Response");
    let envelope = Envelope::read(if signed_response { &verified.root } else { response }, signed_response)?;
    let assertion = if signed_response { verified.root.child(Ns::Assertion, "Assertion") } else { Some(&verified.root) };
    let assertion = assertion.ok_or_else(|| Refusal::new(Step::Assertion, "missing_element", "the signed Response holds no Assertion"))?;
    conditions::check(&envelope, Claims::read(assertion)?, party, now, verified.certificate)
}

/// Base64 with or without line breaks, and nothing else: then UTF-8.
fn decode(form_value: &str) -> Result<String, Refusal> {
    let refuse = |code, what: &str| Refusal::new(Step::Encoding, code, what);
    if form_value.len() > MAX_FORM_VALUE {
        return Err(refuse("too_long", "the SAMLResponse is longer than 256 KiB"));
    }
    let compact: String = form_value.chars().filter(|c| !matches!(c, '\r' | '\n' | ' ')).collect();
    let bytes = STANDARD.decode(compact).map_err(|_| refuse("base64", "the SAMLResponse is not base64"))?;
    String::from_utf8(bytes).map_err(|_| refuse("utf8", "the SAMLResponse is not UTF-8"))
}
