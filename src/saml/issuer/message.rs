//! What a response of the issuer says, and its XML.

use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::super::{assertion::NameId, request::request_id, structure::SUCCESS};
use crate::domain::time::Timestamp;

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
        let id = request_id(unique);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_parts_can_be_left_out() {
        let name_id = NameId { value: "a<b>&\"c".to_owned(), format: None };
        let mut message = Message::new([1; 16], "i&i", "sp", "https://sp.example/acs?a&b", name_id, Timestamp::from_millis(0));
        assert!(message.assertion().contains("<saml:NameID>a&lt;b&gt;&amp;&quot;c</saml:NameID>"));
        assert!(message.response("").contains(r#"Destination="https://sp.example/acs?a&amp;b""#));
        (message.name_id, message.authn_instant, message.not_on_or_after, message.recipient) = (None, None, None, None);
        let bare = message.assertion();
        for part in ["NameID", "AuthnStatement", "NotOnOrAfter", "Recipient", "AttributeStatement"] {
            assert!(!bare.contains(part), "{part}");
        }
    }
}
