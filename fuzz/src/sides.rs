//! What the targets share: a fixed time, the two sides, one message, and edits that an input spells.
//!
//! Keys are made at the start of each process: an input that was kept means the same with every key.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::{
    domain::{
        id::{CertificateId, SpKeyId},
        time::Timestamp,
    },
    saml::{
        self, Assertion, DecryptionKey, IdpCertificate, NameId, Party, Refusal,
        issuer::{Encryption, IssuerKey, Message, Sign},
    },
};
use uuid::Uuid;

pub const IDP: &str = "https://idp.example/metadata";
pub const SP: &str = "https://sp.example/connections/acme/saml/metadata";
pub const LOGOUT: &str = "https://sp.example/connections/acme/saml/logout";
pub const ACS: &str = "https://sp.example/connections/acme/saml/acs";

pub static KEY: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("idp.example", now()).unwrap());
static OURS: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("sp.example", now()).unwrap());
static DECRYPTION: LazyLock<[DecryptionKey; 1]> =
    LazyLock::new(|| [DecryptionKey::of(SpKeyId::new(Uuid::from_u128(1)), OURS.pair()).unwrap()]);

pub fn now() -> Timestamp {
    Timestamp::from_millis(1_772_524_800_000)
}

pub fn message() -> Message {
    let name_id = NameId { value: "ada@example.com".to_owned(), format: None };
    let mut message = Message::new([7; 16], IDP, SP, ACS, name_id, now());
    message.attributes = vec![
        ("email".to_owned(), vec!["ada@example.com".to_owned()]),
        ("groups".to_owned(), vec!["staff".to_owned(), "admins".to_owned()]),
    ];
    message
}

/// The certificate that a connection trusts.
pub static PINNED: LazyLock<[IdpCertificate; 1]> =
    LazyLock::new(|| [IdpCertificate { id: CertificateId::new(Uuid::from_u128(1)), certificate: KEY.certificate().clone() }]);

/// Judges a message, with these certificates trusted and our own key to decrypt with.
pub fn verify(xml: &[u8], certificates: &[IdpCertificate]) -> Result<Assertion, Refusal> {
    let party = Party {
        sp_entity_id: SP,
        acs_url: ACS,
        idp_entity_id: IDP,
        certificates,
        skew_secs: 60,
        subject_from_attribute: false,
        decryption_keys: &*DECRYPTION,
        allow_cbc: true,
        authn_contexts: &[],
        expired_certificate_days: 14,
    };
    saml::verify(&STANDARD.encode(xml), &party, now())
}

pub fn for_us() -> Encryption {
    Encryption::new(OURS.certificate().clone(), [5; 32])
}

/// One message, signed in every way.
pub fn responses() -> Vec<String> {
    [Sign::Assertion, Sign::Response, Sign::Both].map(|sign| KEY.issue(&message(), sign).unwrap()).into()
}

/// The text after the edits that a script spells. Of each: where (two bytes, a part of the whole), what (one), how long (one), then as many
/// bytes to put in, where something is put in.
pub fn edited(text: &str, mut script: &[u8]) -> Vec<u8> {
    let mut text = text.as_bytes().to_vec();
    while let [high, low, what, length, rest @ ..] = script {
        let at = usize::from(u16::from_be_bytes([*high, *low])) * text.len() / 65_536;
        let end = (at + stretch(*length)).min(text.len());
        let put = &rest[..rest.len().min(usize::from(*length))];
        script = &rest[if what % 4 < 2 { put.len() } else { 0 }..];
        match what % 4 {
            0 => drop(text.splice(at..at, put.iter().copied())),
            1 => drop(text.splice(at..end, put.iter().copied())),
            2 => drop(text.drain(at..end)),
            _ => text.extend_from_within(at..end),
        }
    }
    text
}

/// Some bytes, or a whole element.
fn stretch(length: u8) -> usize {
    let length = usize::from(length);
    if length <= 64 { length } else { 64 + (length - 64) * 16 }
}
