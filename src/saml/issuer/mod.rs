//! A small identity provider's side: composes responses and signs them, for the demo on loopback, for tests and for benchmarks. It
//! holds no session and asks nobody for a password; nothing of it takes part in verifying.

mod encrypt;
mod message;

use std::io::Read as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::DeflateDecoder;
use openssl::{
    ec::{Asn1Flag, EcGroup, EcKey},
    error::ErrorStack,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
};
use quick_xml::escape::escape;

pub use self::{
    encrypt::{ContentCipher, Encryption, KeyTransport, Placement},
    message::Message,
};
use super::{
    certificate::Certificate,
    element::Ns,
    key_pair::{KeyPair, KeyPairError},
    refusal::{Refusal, Step},
    scan::{self, Grammar},
    sign::{self, SignError},
};
use crate::domain::time::Timestamp;

/// A signing key with its self-signed certificate.
#[derive(Debug, Clone)]
pub struct IssuerKey(KeyPair);

#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("openssl refused to make a key or certificate")]
    OpenSsl(#[from] ErrorStack),
    #[error("the issuer's certificate is unusable")]
    KeyPair(#[from] KeyPairError),
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// What of a message is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Nothing,
    Assertion,
    Response,
    Both,
}

const YEAR_SECS: i64 = 365 * 86_400;

impl IssuerKey {
    /// A fresh RSA-2048 key; its certificate is valid for a year.
    pub fn rsa(common_name: &str, not_before: Timestamp) -> Result<Self, IssueError> {
        Self::with(PKey::from_rsa(Rsa::generate(2048)?)?, common_name, not_before)
    }

    /// A fresh key on P-256; its certificate is valid for a year.
    pub fn ec(common_name: &str, not_before: Timestamp) -> Result<Self, IssueError> {
        let mut group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        group.set_asn1_flag(Asn1Flag::NAMED_CURVE);
        Self::with(PKey::from_ec_key(EcKey::generate(&group)?)?, common_name, not_before)
    }

    fn with(key: PKey<Private>, common_name: &str, not_before: Timestamp) -> Result<Self, IssueError> {
        Ok(Self(KeyPair::self_signed(key, common_name, not_before.millis().unsigned_abs(), not_before, YEAR_SECS)?))
    }

    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        self.0.certificate()
    }

    #[must_use]
    pub fn pair(&self) -> &KeyPair {
        &self.0
    }

    /// Metadata of an identity provider with this key, for connections of the demo and of tests.
    #[must_use]
    pub fn metadata(&self, entity_id: &str, sso_url: &str) -> String {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="{entity_id}">
  <md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="{sso_url}"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>
"#,
            entity_id = escape(entity_id),
            certificate = self.certificate().to_base64(),
            sso_url = escape(sso_url),
        )
    }

    /// Signs a message as wanted and returns the XML.
    pub fn issue(&self, message: &Message, sign: Sign) -> Result<String, IssueError> {
        let mut assertion = message.assertion();
        if matches!(sign, Sign::Assertion | Sign::Both) {
            assertion = self.sign(&assertion, &message.assertion_id)?;
        }
        let response = message.response(&assertion);
        if matches!(sign, Sign::Response | Sign::Both) { self.sign(&response, &message.response_id) } else { Ok(response) }
    }

    /// As [`IssuerKey::issue`], with the assertion encrypted: what is signed of it is signed before, the Response after.
    pub fn issue_encrypted(&self, message: &Message, sign: Sign, encryption: &Encryption) -> Result<String, IssueError> {
        let mut assertion = message.assertion();
        if matches!(sign, Sign::Assertion | Sign::Both) {
            assertion = self.sign(&assertion, &message.assertion_id)?;
        }
        self.issue_around(message, sign, &assertion, encryption)
    }

    /// Encrypts these octets as the assertion of a message, and signs the Response if that is wanted.
    pub fn issue_around(&self, message: &Message, sign: Sign, octets: &str, encryption: &Encryption) -> Result<String, IssueError> {
        let response = message.response(&encryption.encrypted_assertion(octets)?);
        if matches!(sign, Sign::Response | Sign::Both) { self.sign(&response, &message.response_id) } else { Ok(response) }
    }

    /// Signs the root element, whose ID is given; the signature goes behind its Issuer.
    pub fn sign(&self, xml: &str, id: &str) -> Result<String, IssueError> {
        Ok(sign::sign_xml(xml, id, &self.0)?)
    }

    /// Fills in the values of the first signature of a document.
    pub fn sign_templated(&self, xml: &str) -> Result<String, IssueError> {
        Ok(sign::sign_templated(xml, &self.0)?)
    }

    /// A signature for the element of that ID, without its values: they are filled in by xmlsec.
    #[must_use]
    pub fn template(&self, id: &str) -> String {
        sign::template(id, &self.0)
    }
}

/// What an issuer needs of an AuthnRequest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRequest {
    pub id: String,
    pub issuer: String,
    pub acs_url: Option<String>,
}

/// A request of ours is under 1 KiB; a deflated bomb is not.
const MAX_REQUEST: u64 = 64 * 1024;

impl ReceivedRequest {
    /// Reads the (percent-decoded) `SAMLRequest` of the HTTP-Redirect binding.
    pub fn parse(saml_request: &str) -> Result<Self, Refusal> {
        let unreadable = || Refusal::new(Step::Encoding, "request", "the SAMLRequest is not deflated XML in base64");
        let deflated = STANDARD.decode(saml_request).map_err(|_| unreadable())?;
        let mut xml = String::new();
        DeflateDecoder::new(&deflated[..]).take(MAX_REQUEST).read_to_string(&mut xml).map_err(|_| unreadable())?;
        let root = scan::read(&xml, Grammar::Open)?;
        let missing = |what| Refusal::new(Step::Structure, "request", format!("{what} is missing in the AuthnRequest"));
        if !root.is(Ns::Protocol, "AuthnRequest") {
            return Err(Refusal::new(Step::Structure, "root", "the SAMLRequest is no AuthnRequest"));
        }
        Ok(Self {
            id: root.attribute("ID").ok_or_else(|| missing("ID"))?.to_owned(),
            issuer: root.child(Ns::Assertion, "Issuer").ok_or_else(|| missing("Issuer"))?.text.clone(),
            acs_url: root.attribute("AssertionConsumerServiceURL").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::IdpMetadata, *};

    #[test]
    fn a_key_does_not_print() {
        let key = IssuerKey::ec("idp.example", Timestamp::from_millis(0)).unwrap();
        let printed = format!("{key:?}");
        assert!(printed.contains(&key.certificate().fingerprint()[..16]) && !printed.contains("key:"), "{printed}");
    }

    #[test]
    fn a_request_is_read_as_it_was_sent() {
        let sent = super::super::AuthnRequest {
            id: "_1".to_owned(),
            destination: "https://idp.example/sso".to_owned(),
            issuer: "https://sp.example/a&b".to_owned(),
            acs_url: "https://sp.example/acs".to_owned(),
            name_id_format: None,
            force_authn: false,
            authn_context: None,
            issue_instant: Timestamp::from_millis(0),
        };
        let url = url::Url::parse(&sent.redirect_url(None, None).unwrap()).unwrap();
        let value = url.query_pairs().next().unwrap().1.into_owned();
        let read = ReceivedRequest::parse(&value).unwrap();
        assert_eq!(read, ReceivedRequest { id: sent.id, issuer: sent.issuer, acs_url: Some(sent.acs_url) });
        for wrong in ["!", "QUJD", ""] {
            assert!(ReceivedRequest::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn its_metadata_can_be_read() {
        let key = IssuerKey::rsa("idp.example", Timestamp::from_millis(0)).unwrap();
        let metadata = IdpMetadata::parse(key.metadata("urn:idp&co", "http://127.0.0.1:1/sso").as_bytes()).unwrap();
        assert_eq!(metadata.entity_id, "urn:idp&co");
        assert_eq!(metadata.sso_redirect_url.as_deref(), Some("http://127.0.0.1:1/sso"));
        assert_eq!(metadata.certificates, [key.certificate().clone()]);
    }
}
