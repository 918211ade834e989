//! A small identity provider's side: composes responses and signs them, for the demo on loopback, for tests and for benchmarks. It
//! holds no session and asks nobody for a password; nothing of it takes part in verifying.

use std::fmt::Write as _;

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{Asn1Flag, EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{X509, X509NameBuilder},
};
use quick_xml::escape::escape;
use samael::crypto::{Crypto, CryptoError, CryptoProvider};

use super::{
    assertion::NameId,
    certificate::{Certificate, CertificateError, Key},
    structure::SUCCESS,
};
use crate::domain::time::Timestamp;

/// A signing key with its self-signed certificate.
#[derive(Clone)]
pub struct IssuerKey {
    key_der: Vec<u8>,
    certificate: Certificate,
}

impl std::fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerKey").field("certificate", &self.certificate.fingerprint()).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("openssl refused to make a key or certificate")]
    OpenSsl(#[from] ErrorStack),
    #[error("the issuer's certificate is unusable")]
    Certificate(#[from] CertificateError),
    #[error("the message could not be signed")]
    Sign(#[from] CryptoError),
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
        Self::with(&PKey::from_rsa(Rsa::generate(2048)?)?, common_name, not_before)
    }

    /// A fresh key on P-256; its certificate is valid for a year.
    pub fn ec(common_name: &str, not_before: Timestamp) -> Result<Self, IssueError> {
        let mut group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        group.set_asn1_flag(Asn1Flag::NAMED_CURVE);
        Self::with(&PKey::from_ec_key(EcKey::generate(&group)?)?, common_name, not_before)
    }

    fn with(key: &PKey<Private>, common_name: &str, not_before: Timestamp) -> Result<Self, IssueError> {
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
        let name = name.build();
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        let serial = BigNum::from_dec_str(&not_before.millis().unsigned_abs().to_string())?.to_asn1_integer()?;
        builder.set_serial_number(&serial)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_pubkey(key)?;
        let from = not_before.millis().div_euclid(1000);
        builder.set_not_before(&*Asn1Time::from_unix(from)?)?;
        builder.set_not_after(&*Asn1Time::from_unix(from + YEAR_SECS)?)?;
        builder.sign(key, MessageDigest::sha256())?;
        Ok(Self { key_der: key.private_key_to_der()?, certificate: Certificate::from_der(&builder.build().to_der()?)? })
    }

    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
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

    /// Signs the root element, whose ID is given; the signature goes behind its Issuer.
    pub fn sign(&self, xml: &str, id: &str) -> Result<String, IssueError> {
        const END_OF_ISSUER: &str = "</saml:Issuer>";
        let at = xml.find(END_OF_ISSUER).map_or(0, |at| at + END_OF_ISSUER.len());
        let with_template = format!("{}{}{}", &xml[..at], self.template(id), &xml[at..]);
        self.sign_templated(&with_template)
    }

    /// Fills in the values of the first signature of a document.
    pub(super) fn sign_templated(&self, xml: &str) -> Result<String, IssueError> {
        let signed = Crypto::sign_xml(xml, &self.key_der)?;
        // libxml2 writes an XML declaration, which has no place inside another document.
        let body = signed.split_once("?>").map_or(signed.as_str(), |(_, body)| body);
        Ok(body.trim().to_owned())
    }

    /// A signature without its values: they are filled in by xmlsec.
    pub(super) fn template(&self, id: &str) -> String {
        let method = match self.certificate.key() {
            Key::Rsa { .. } => "rsa-sha256",
            Key::Ec { .. } => "ecdsa-sha256",
        };
        format!(
            r##"<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#{method}"/><ds:Reference URI="#{id}"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue></ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>"##,
            certificate = self.certificate.to_base64(),
        )
    }
}

/// Everything that a response says; every part can be altered or left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub response_id: String,
    pub assertion_id: String,
    pub issuer: String,
    pub status: String,
    pub destination: Option<String>,
    pub recipient: Option<String>,
    pub audiences: Vec<String>,
    pub in_response_to: Option<String>,
    pub issue_instant: Timestamp,
    pub not_before: Option<Timestamp>,
    /// Of Conditions and of SubjectConfirmationData.
    pub not_on_or_after: Option<Timestamp>,
    pub name_id: Option<NameId>,
    /// `None` leaves AuthnStatement out.
    pub authn_instant: Option<Timestamp>,
    pub authn_context: String,
    pub session_index: Option<String>,
    pub session_not_on_or_after: Option<Timestamp>,
    /// One Attribute element each: name and values.
    pub attributes: Vec<(String, Vec<String>)>,
}

impl Message {
    /// A successful sign-in, valid for five minutes; `unique` makes its identifiers.
    #[must_use]
    pub fn new(unique: [u8; 16], issuer: &str, sp_entity_id: &str, acs_url: &str, name_id: NameId, now: Timestamp) -> Self {
        let id = super::request::request_id(unique);
        Self {
            response_id: format!("{id}-r"),
            assertion_id: format!("{id}-a"),
            issuer: issuer.to_owned(),
            status: SUCCESS.to_owned(),
            destination: Some(acs_url.to_owned()),
            recipient: Some(acs_url.to_owned()),
            audiences: vec![sp_entity_id.to_owned()],
            in_response_to: None,
            issue_instant: now,
            not_before: Some(now),
            not_on_or_after: Some(now.plus_secs(300)),
            name_id: Some(name_id),
            authn_instant: Some(now),
            authn_context: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport".to_owned(),
            session_index: Some(format!("{id}-s")),
            session_not_on_or_after: None,
            attributes: Vec::new(),
        }
    }

    /// The Response around an assertion's XML, unsigned.
    #[must_use]
    pub fn response(&self, assertion: &str) -> String {
        let attributes = attribute("Destination", self.destination.as_deref()) + &attribute("InResponseTo", self.in_response_to.as_deref());
        format!(
            r#"<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{id}" Version="2.0" IssueInstant="{instant}"{attributes}><saml:Issuer>{issuer}</saml:Issuer><samlp:Status><samlp:StatusCode Value="{status}"/></samlp:Status>{assertion}</samlp:Response>"#,
            id = escape(&self.response_id),
            instant = self.issue_instant,
            issuer = escape(&self.issuer),
            status = escape(&self.status),
        )
    }

    /// The Assertion by itself, unsigned, with all the namespaces that it needs.
    #[must_use]
    pub fn assertion(&self) -> String {
        format!(
            r#"<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{id}" Version="2.0" IssueInstant="{instant}"><saml:Issuer>{issuer}</saml:Issuer>{subject}{conditions}{authn}{attributes}</saml:Assertion>"#,
            id = escape(&self.assertion_id),
            instant = self.issue_instant,
            issuer = escape(&self.issuer),
            subject = self.subject(),
            conditions = self.conditions(),
            authn = self.authn_statement(),
            attributes = self.attribute_statement(),
        )
    }

    fn subject(&self) -> String {
        let name_id = self.name_id.as_ref().map_or_else(String::new, |name_id| {
            format!("<saml:NameID{}>{}</saml:NameID>", attribute("Format", name_id.format.as_deref()), escape(&name_id.value))
        });
        let data = attribute("NotOnOrAfter", self.not_on_or_after.map(|at| at.to_string()).as_deref())
            + &attribute("Recipient", self.recipient.as_deref())
            + &attribute("InResponseTo", self.in_response_to.as_deref());
        format!(
            r#"<saml:Subject>{name_id}<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData{data}/></saml:SubjectConfirmation></saml:Subject>"#
        )
    }

    fn conditions(&self) -> String {
        let period = attribute("NotBefore", self.not_before.map(|at| at.to_string()).as_deref())
            + &attribute("NotOnOrAfter", self.not_on_or_after.map(|at| at.to_string()).as_deref());
        let audiences = self.audiences.iter().fold(String::new(), |all, audience| {
            all + &format!("<saml:AudienceRestriction><saml:Audience>{}</saml:Audience></saml:AudienceRestriction>", escape(audience))
        });
        format!("<saml:Conditions{period}>{audiences}</saml:Conditions>")
    }

    fn authn_statement(&self) -> String {
        let Some(instant) = self.authn_instant else { return String::new() };
        let session = attribute("SessionIndex", self.session_index.as_deref())
            + &attribute("SessionNotOnOrAfter", self.session_not_on_or_after.map(|at| at.to_string()).as_deref());
        format!(
            r#"<saml:AuthnStatement AuthnInstant="{instant}"{session}><saml:AuthnContext><saml:AuthnContextClassRef>{context}</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"#,
            context = escape(&self.authn_context),
        )
    }

    fn attribute_statement(&self) -> String {
        if self.attributes.is_empty() {
            return String::new();
        }
        let mut xml = String::from("<saml:AttributeStatement>");
        for (name, values) in &self.attributes {
            write!(xml, r#"<saml:Attribute Name="{}" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri">"#, escape(name))
                .expect("a String takes every write");
            for value in values {
                write!(xml, r#"<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">{}</saml:AttributeValue>"#, escape(value))
                    .expect("a String takes every write");
            }
            xml.push_str("</saml:Attribute>");
        }
        xml + "</saml:AttributeStatement>"
    }
}

fn attribute(name: &str, value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!(r#" {name}="{}""#, escape(value)))
}
