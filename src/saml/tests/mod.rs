//! Whole responses through `verify`: what must be accepted, what must be refused, each refusal beside an accepted control.

mod accepted;
#[expect(clippy::format_collect, reason = "messages of a test are written as they read")]
mod bounded;
mod conditions;
mod encrypted;
#[expect(clippy::format_push_string, reason = "messages of a test are written as they read")]
mod fuzz;
mod grammar;
mod robustness;
mod signatures;
mod vendors;

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use super::{
    issuer::{IssuerKey, Message, Sign},
    *,
};
use crate::domain::id::CertificateId;

const IDP: &str = "https://idp.example/metadata";
const SP: &str = "https://sp.example/connections/acme/saml/metadata";
const ACS: &str = "https://sp.example/connections/acme/saml/acs";

fn now() -> Timestamp {
    Timestamp::parse("2026-03-03T08:00:00Z").unwrap()
}

static RSA: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("idp.example", now()).unwrap());
static OTHER_RSA: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("other.example", now()).unwrap());
static EC: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::ec("idp.example", now()).unwrap());

fn pinned(keys: &[&IssuerKey]) -> Vec<IdpCertificate> {
    let id = |n: usize| CertificateId::new(Uuid::from_u128(n as u128));
    keys.iter().enumerate().map(|(n, key)| IdpCertificate { id: id(n), certificate: key.certificate().clone() }).collect()
}

fn message() -> Message {
    let name_id = NameId { value: "ada@example.com".to_owned(), format: None };
    let mut message = Message::new([7; 16], IDP, SP, ACS, name_id, now());
    message.attributes = vec![
        ("email".to_owned(), vec!["ada@example.com".to_owned()]),
        ("groups".to_owned(), vec!["staff".to_owned(), "admins".to_owned()]),
    ];
    message
}

fn party(certificates: &[IdpCertificate]) -> Party<'_> {
    Party {
        sp_entity_id: SP,
        acs_url: ACS,
        idp_entity_id: IDP,
        certificates,
        skew_secs: 60,
        subject_from_attribute: false,
        decryption_keys: &[],
        allow_cbc: false,
        authn_contexts: &[],
        expired_certificate_days: 14,
    }
}

fn verify_at(xml: &str, certificates: &[IdpCertificate], now: Timestamp) -> Result<Assertion, Refusal> {
    super::verify(&STANDARD.encode(xml), &party(certificates), now)
}

fn verify(xml: &str) -> Result<Assertion, Refusal> {
    verify_at(xml, &pinned(&[&RSA]), now())
}

fn code(xml: &str) -> &'static str {
    verify(xml).map_or_else(|refusal| refusal.code(), |_| "accepted")
}

/// Signs after the assertion's XML was altered.
fn assertion_with(from: &str, to: &str) -> String {
    let message = message();
    let assertion = message.assertion();
    assert!(assertion.contains(from), "{from}");
    let assertion = RSA.sign(&assertion.replacen(from, to, 1), &message.assertion_id).unwrap();
    message.response(&assertion)
}

/// Alters a signed message.
fn signed_then(sign: Sign, from: &str, to: &str) -> String {
    let xml = RSA.issue(&message(), sign).unwrap();
    assert!(xml.contains(from), "{from}");
    xml.replacen(from, to, 1)
}
