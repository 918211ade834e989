//! AuthnRequests by the bindings HTTP-Redirect (a message in the query of a link, deflated) and HTTP-POST, signed or not. Random bits, time
//! and keys are passed in.

use std::{fmt::Write as _, io::Write as _};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::DeflateEncoder};
use percent_encoding::utf8_percent_encode;
use quick_xml::escape::escape;

use super::{
    key_pair::KeyPair,
    sign::{QUERY, SignError, sign_redirect, sign_xml},
};
use crate::domain::{connection::AuthnContext, time::Timestamp};

/// A request for authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthnRequest {
    pub id: String,
    /// Where the identity provider takes requests.
    pub destination: String,
    /// Our entity ID.
    pub issuer: String,
    pub acs_url: String,
    /// AD FS may refuse a format, so none is asked for unless the connection says so.
    pub name_id_format: Option<String>,
    pub force_authn: bool,
    /// How the person is to prove who they are.
    pub authn_context: Option<AuthnContext>,
    pub issue_instant: Timestamp,
}

/// An identifier of 128 random bits. It begins with `_`, as xs:ID (and Entra) want no digit there.
#[must_use]
pub fn request_id(random: [u8; 16]) -> String {
    random.iter().fold(String::from("_"), |mut id, byte| {
        write!(id, "{byte:02x}").expect("a String takes every write");
        id
    })
}

impl AuthnRequest {
    #[must_use]
    pub fn to_xml(&self) -> String {
        let force = if self.force_authn { r#" ForceAuthn="true""# } else { "" };
        let policy = self
            .name_id_format
            .as_deref()
            .map_or_else(String::new, |format| format!(r#"<samlp:NameIDPolicy Format="{}" AllowCreate="true"/>"#, escape(format)));
        format!(
            r#"<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{id}" Version="2.0" IssueInstant="{instant}" Destination="{destination}" AssertionConsumerServiceURL="{acs}" ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"{force}><saml:Issuer>{issuer}</saml:Issuer>{policy}{context}</samlp:AuthnRequest>"#,
            id = escape(&self.id),
            instant = self.issue_instant,
            destination = escape(&self.destination),
            acs = escape(&self.acs_url),
            issuer = escape(&self.issuer),
            context = self.authn_context.as_ref().map_or_else(String::new, requested_context),
        )
    }

    /// The address to which the browser is sent: HTTP-Redirect. Without a key the request is not signed.
    ///
    /// # Errors
    /// When openssl refuses to sign.
    pub fn redirect_url(&self, relay_state: Option<&str>, key: Option<&KeyPair>) -> Result<String, SignError> {
        let query = redirect_query("SAMLRequest", &self.to_xml(), relay_state);
        let query = key.map_or(Ok(query.clone()), |key| sign_redirect(&query, key))?;
        let separator = if self.destination.contains('?') { '&' } else { '?' };
        Ok(format!("{}{separator}{query}", self.destination))
    }

    /// The value of the form field `SAMLRequest`: HTTP-POST. Without a key the request is not signed.
    ///
    /// # Errors
    /// When xmlsec refuses to sign.
    pub fn post_value(&self, key: Option<&KeyPair>) -> Result<String, SignError> {
        let xml = self.to_xml();
        let xml = key.map_or(Ok(xml.clone()), |key| sign_xml(&xml, &self.id, key))?;
        Ok(STANDARD.encode(xml))
    }
}

/// SAML core, 3.3.2.2.1.
fn requested_context(context: &AuthnContext) -> String {
    let classes = context
        .classes
        .iter()
        .fold(String::new(), |all, class| format!("{all}<saml:AuthnContextClassRef>{}</saml:AuthnContextClassRef>", escape(class)));
    format!(r#"<samlp:RequestedAuthnContext Comparison="{}">{classes}</samlp:RequestedAuthnContext>"#, context.comparison.as_str())
}

/// The query of a message: SAML bindings, 3.4.4.1 (DEFLATE, base64, percent-encoding). `parameter` is SAMLRequest or SAMLResponse.
#[must_use]
pub fn redirect_query(parameter: &str, xml: &str, relay_state: Option<&str>) -> String {
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
    deflate.write_all(xml.as_bytes()).expect("a Vec takes every write");
    let message = STANDARD.encode(deflate.finish().expect("a Vec takes every write"));
    let mut query = format!("{parameter}={}", utf8_percent_encode(&message, QUERY));
    if let Some(state) = relay_state {
        write!(query, "&RelayState={}", utf8_percent_encode(state, QUERY)).expect("a String takes every write");
    }
    query
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use samael::crypto::{CertificateDer, Crypto, CryptoProvider};

    use super::{
        super::{issuer::IssuerKey, sign::verify_redirect, signature::IdpCertificate},
        *,
    };
    use crate::domain::{connection::Comparison, id::CertificateId};

    fn request() -> AuthnRequest {
        AuthnRequest {
            id: request_id([0xab; 16]),
            destination: "https://idp.example/sso?tenant=1&x=y".to_owned(),
            issuer: "https://sp.example/metadata".to_owned(),
            acs_url: "https://sp.example/acs".to_owned(),
            name_id_format: Some("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".to_owned()),
            force_authn: true,
            authn_context: None,
            issue_instant: Timestamp::parse("2026-03-03T08:00:00Z").unwrap(),
        }
    }

    #[test]
    fn the_link_carries_the_request_and_the_relay_state_and_keeps_the_destinations_query() {
        let url = url::Url::parse(&request().redirect_url(Some("/a?b=c&d"), None).unwrap()).unwrap();
        let query: Vec<_> = url.query_pairs().into_owned().collect();
        assert_eq!(query[0], ("tenant".to_owned(), "1".to_owned()));
        assert_eq!(query[3], ("RelayState".to_owned(), "/a?b=c&d".to_owned()));
        let mut xml = String::new();
        flate2::read::DeflateDecoder::new(&STANDARD.decode(&query[2].1).unwrap()[..]).read_to_string(&mut xml).unwrap();
        assert_eq!(xml, request().to_xml());
        assert!(xml.contains(r#"ID="_abababababababababababababababab""#) && xml.contains(r#"ForceAuthn="true""#));
        assert!(xml.contains("tenant=1&amp;x=y"));
    }

    fn decoded(value: &str) -> String {
        String::from_utf8(STANDARD.decode(value).unwrap()).unwrap()
    }

    #[test]
    fn a_signed_request_is_signed_as_its_binding_has_it() {
        let now = Timestamp::parse("2026-03-03T08:00:00Z").unwrap();
        for key in [IssuerKey::rsa("sp", now).unwrap(), IssuerKey::ec("sp", now).unwrap()] {
            let id = CertificateId::new(uuid::Uuid::from_u128(1));
            let known = [IdpCertificate { id, certificate: key.certificate().clone() }];
            let url = request().redirect_url(Some("/a"), Some(key.pair())).unwrap();
            let (_, query) = url.split_once("&x=y&").unwrap();
            assert_eq!(verify_redirect(query, &known).unwrap(), id);
            assert!(!decoded(&request().post_value(None).unwrap()).contains("Signature"));
            let posted = decoded(&request().post_value(Some(key.pair())).unwrap());
            let issuer = posted.find("</saml:Issuer>").unwrap();
            assert!(posted[issuer..].starts_with("</saml:Issuer><ds:Signature "), "the schema wants it behind the Issuer: {posted}");
            let der = CertificateDer::from(key.certificate().der().to_vec());
            Crypto::verify_signed_xml(&posted, &der, Some("ID")).unwrap();
            let altered = posted.replace("https://sp.example/acs", "https://evil.example/acs");
            assert!(Crypto::verify_signed_xml(&altered, &der, Some("ID")).is_err());
        }
    }

    #[test]
    fn contexts_are_asked_for_in_order() {
        let authn_context =
            AuthnContext { classes: vec!["urn:a&b".to_owned(), "urn:c".to_owned()], comparison: Comparison::Minimum, required: false };
        let xml = AuthnRequest { authn_context: Some(authn_context), ..request() }.to_xml();
        let expected = r#"AllowCreate="true"/><samlp:RequestedAuthnContext Comparison="minimum"><saml:AuthnContextClassRef>urn:a&amp;b</saml:AuthnContextClassRef><saml:AuthnContextClassRef>urn:c</saml:AuthnContextClassRef></samlp:RequestedAuthnContext></samlp:AuthnRequest>"#;
        assert!(xml.ends_with(expected), "{xml}");
    }

    #[test]
    fn no_name_id_format_is_asked_for_unless_the_connection_says_so() {
        let plain = AuthnRequest { name_id_format: None, force_authn: false, ..request() }.to_xml();
        assert!(!plain.contains("NameIDPolicy") && !plain.contains("ForceAuthn"));
    }
}
