//! An identity provider for tests: signs what it is told to sign.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::{
    domain::time::Timestamp,
    saml::{
        Certificate, IdpMetadata, NameId,
        issuer::{Encryption, IssuerKey, Message, Sign},
    },
};

use super::{NOW, installation::PUBLIC_URL};

pub const ENTITY_ID: &str = "https://idp.example/metadata";
pub const SSO_URL: &str = "https://idp.example/sso";
const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";

pub static KEY: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("idp.example", NOW).unwrap());
/// Of nobody whom any connection trusts.
pub static FOREIGN_KEY: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("foreign.example", NOW).unwrap());

pub fn metadata() -> IdpMetadata {
    metadata_with(&[&KEY])
}

pub fn metadata_with(keys: &[&IssuerKey]) -> IdpMetadata {
    IdpMetadata::parse(metadata_xml(ENTITY_ID, SSO_URL, keys).as_bytes()).unwrap()
}

pub fn metadata_xml(entity_id: &str, sso_url: &str, keys: &[&IssuerKey]) -> String {
    let descriptors = keys.iter().fold(String::new(), |all, key| {
        let certificate = key.certificate().to_base64();
        all + &format!(
            r#"<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"#
        )
    });
    format!(
        r#"<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{entity_id}"><md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">{descriptors}<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="{sso_url}"/></md:IDPSSODescriptor></md:EntityDescriptor>"#
    )
}

/// A message for a connection of the gateway, fresh in every part.
pub fn message(slug: &str, name_id: &str, now: Timestamp) -> Message {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let unique = u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    let below = |name: &str| format!("{PUBLIC_URL}/connections/{slug}/saml/{name}");
    let name_id = NameId { value: name_id.to_owned(), format: Some(EMAIL.to_owned()) };
    Message::new(unique, ENTITY_ID, &below("metadata"), &below("acs"), name_id, now)
}

/// As the form carries it.
pub fn signed(message: &Message, sign: Sign) -> String {
    STANDARD.encode(KEY.issue(message, sign).unwrap())
}

/// The ID of the request in the address to which `/login` sends a browser.
pub fn request_id(location: &str) -> String {
    let url = url::Url::parse(location).unwrap();
    let (_, request) = url.query_pairs().find(|(name, _)| name == "SAMLRequest").unwrap();
    let mut xml = String::new();
    let bytes = STANDARD.decode(request.as_bytes()).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::DeflateDecoder::new(&bytes[..]), &mut xml).unwrap();
    xml.split("ID=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// As the form carries it, with the assertion encrypted.
pub fn encrypted_by(key: &IssuerKey, message: &Message, sign: Sign, encryption: &Encryption) -> String {
    STANDARD.encode(key.issue_encrypted(message, sign, encryption).unwrap())
}

/// The certificates of a use in metadata of a service provider, in their order.
pub fn sp_certificates(metadata: &str, usage: &str) -> Vec<Certificate> {
    let descriptors = metadata.split("<md:KeyDescriptor use=\"").skip(1).filter(|part| part.starts_with(usage));
    let text = |part: &str| part.split("<ds:X509Certificate>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    descriptors.map(|part| Certificate::parse(&text(part)).unwrap()).collect()
}
