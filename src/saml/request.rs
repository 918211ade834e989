//! AuthnRequests by the HTTP-Redirect binding: a message in the query of a link, deflated. Random bits and time are passed in.

use std::{fmt::Write as _, io::Write as _};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::DeflateEncoder};
use percent_encoding::utf8_percent_encode;
use quick_xml::escape::escape;

use super::sign::QUERY;
use crate::domain::time::Timestamp;

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
            r#"<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{id}" Version="2.0" IssueInstant="{instant}" Destination="{destination}" AssertionConsumerServiceURL="{acs}" ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"{force}><saml:Issuer>{issuer}</saml:Issuer>{policy}</samlp:AuthnRequest>"#,
            id = escape(&self.id),
            instant = self.issue_instant,
            destination = escape(&self.destination),
            acs = escape(&self.acs_url),
            issuer = escape(&self.issuer),
        )
    }

    /// The address to which the browser is sent: SAML bindings, 3.4.4.1 (DEFLATE, base64, percent-encoding).
    #[must_use]
    pub fn redirect_url(&self, relay_state: Option<&str>) -> String {
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(self.to_xml().as_bytes()).expect("a Vec takes every write");
        let message = STANDARD.encode(deflate.finish().expect("a Vec takes every write"));
        let separator = if self.destination.contains('?') { '&' } else { '?' };
        let mut url = format!("{}{separator}SAMLRequest={}", self.destination, utf8_percent_encode(&message, QUERY));
        if let Some(state) = relay_state {
            write!(url, "&RelayState={}", utf8_percent_encode(state, QUERY)).expect("a String takes every write");
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn request() -> AuthnRequest {
        AuthnRequest {
            id: request_id([0xab; 16]),
            destination: "https://idp.example/sso?tenant=1&x=y".to_owned(),
            issuer: "https://sp.example/metadata".to_owned(),
            acs_url: "https://sp.example/acs".to_owned(),
            name_id_format: Some("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".to_owned()),
            force_authn: true,
            issue_instant: Timestamp::parse("2026-03-03T08:00:00Z").unwrap(),
        }
    }

    #[test]
    fn the_link_carries_the_request_and_the_relay_state_and_keeps_the_destinations_query() {
        let url = url::Url::parse(&request().redirect_url(Some("/a?b=c&d"))).unwrap();
        let query: Vec<_> = url.query_pairs().into_owned().collect();
        assert_eq!(query[0], ("tenant".to_owned(), "1".to_owned()));
        assert_eq!(query[3], ("RelayState".to_owned(), "/a?b=c&d".to_owned()));
        let mut xml = String::new();
        flate2::read::DeflateDecoder::new(&STANDARD.decode(&query[2].1).unwrap()[..]).read_to_string(&mut xml).unwrap();
        assert_eq!(xml, request().to_xml());
        assert!(xml.contains(r#"ID="_abababababababababababababababab""#) && xml.contains(r#"ForceAuthn="true""#));
        assert!(xml.contains("tenant=1&amp;x=y"));
    }

    #[test]
    fn no_name_id_format_is_asked_for_unless_the_connection_says_so() {
        let plain = AuthnRequest { name_id_format: None, force_authn: false, ..request() }.to_xml();
        assert!(!plain.contains("NameIDPolicy") && !plain.contains("ForceAuthn"));
    }
}
