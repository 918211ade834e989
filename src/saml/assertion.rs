//! What a response and its assertion say, read from trees into types. Nothing is judged here but the form of values: times are times.

use super::{
    element::{Element, Ns},
    refusal::{Refusal, Step},
    signature::UsedCertificate,
};
use crate::domain::{
    id::{CertificateId, SpKeyId},
    identity::NameIdentifier,
    time::Timestamp,
};

use Ns::{Assertion as A, Protocol as P};

/// An assertion that passed every check: the word of the connection's identity provider, for this service provider, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    pub id: String,
    pub issuer: String,
    pub name_id: Option<NameId>,
    /// NameQualifier and SPNameQualifier of the NameID, which a logout has to repeat.
    pub qualifiers: [Option<String>; 2],
    pub session_index: Option<String>,
    pub session_not_on_or_after: Option<Timestamp>,
    /// From then on it is refused.
    pub usable_until: Timestamp,
    /// How long to keep the replay record: whatever tolerance the connection is given meanwhile, it is refused by then.
    pub remembered_until: Timestamp,
    /// The request that it answers; `None` when the identity provider began. Read from signed bytes.
    pub in_response_to: Option<String>,
    pub authn_instant: Timestamp,
    /// AuthnContextClassRef.
    pub authn_context: Option<String>,
    /// In the order of the message, one entry per Attribute element.
    pub attributes: Vec<Attribute>,
    pub verified_with: CertificateId,
    /// When that certificate expired, where it has: somebody must be told.
    pub certificate_expired_at: Option<Timestamp>,
    /// The key of ours that it was encrypted for.
    pub decrypted_with: Option<SpKeyId>,
}

/// Whose word it is, and for which of our keys it was encrypted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Provenance {
    pub certificate: UsedCertificate,
    pub decrypted_with: Option<SpKeyId>,
}

impl Assertion {
    /// The NameID whole.
    #[must_use]
    pub fn name_identifier(&self) -> Option<NameIdentifier> {
        let name_id = self.name_id.as_ref()?;
        let [name_qualifier, sp_name_qualifier] = self.qualifiers.clone();
        Some(NameIdentifier { value: name_id.value.clone(), format: name_id.format.clone(), name_qualifier, sp_name_qualifier })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameId {
    pub value: String,
    pub format: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub values: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    /// `xsi:nil`.
    Nil,
    /// Elements: never interpreted.
    Markup,
}

/// The message around an assertion: checked, never used.
#[derive(Debug)]
pub(super) struct Envelope {
    pub signed: bool,
    pub version: String,
    pub issue_instant: Timestamp,
    pub issuer: Option<String>,
    pub destination: Option<String>,
    pub in_response_to: Option<String>,
    /// The status code and the codes below it.
    pub status: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Claims {
    pub id: String,
    pub version: String,
    pub issue_instant: Timestamp,
    pub issuer: String,
    pub name_id: Option<NameId>,
    pub qualifiers: [Option<String>; 2],
    pub confirmations: Vec<Confirmation>,
    pub conditions: Option<Conditions>,
    pub authn: Vec<Authn>,
    pub attributes: Vec<Attribute>,
}

#[derive(Debug)]
pub(super) struct Confirmation {
    pub method: String,
    pub recipient: Option<String>,
    pub not_before: Option<Timestamp>,
    pub not_on_or_after: Option<Timestamp>,
    pub in_response_to: Option<String>,
}

#[derive(Debug)]
pub(super) struct Conditions {
    pub not_before: Option<Timestamp>,
    pub not_on_or_after: Option<Timestamp>,
    /// The audiences of each AudienceRestriction.
    pub restrictions: Vec<Vec<String>>,
}

#[derive(Debug)]
pub(super) struct Authn {
    pub instant: Timestamp,
    pub session_index: Option<String>,
    pub session_not_on_or_after: Option<Timestamp>,
    pub context: Option<String>,
}

impl Envelope {
    pub(super) fn read(response: &Element, signed: bool) -> Result<Self, Refusal> {
        let mut status = Vec::new();
        let mut code = response.child(P, "Status").and_then(|status| status.child(P, "StatusCode"));
        while let Some(element) = code {
            status.extend(text_of(element, "Value"));
            code = element.child(P, "StatusCode");
        }
        Ok(Self {
            signed,
            version: text_of(response, "Version").unwrap_or_default(),
            issue_instant: required_time(response, "IssueInstant")?,
            issuer: response.child(A, "Issuer").map(|issuer| issuer.text.clone()),
            destination: text_of(response, "Destination"),
            in_response_to: text_of(response, "InResponseTo"),
            status,
        })
    }
}

impl Claims {
    pub(super) fn read(assertion: &Element) -> Result<Self, Refusal> {
        let subject = assertion.child(A, "Subject");
        let name_id = subject.and_then(|subject| subject.child(A, "NameID"));
        let confirmations = subject.into_iter().flat_map(|subject| subject.children(A, "SubjectConfirmation"));
        let attributes = assertion.children(A, "AttributeStatement").flat_map(|statement| statement.children(A, "Attribute"));
        Ok(Self {
            id: text_of(assertion, "ID").unwrap_or_default(),
            version: text_of(assertion, "Version").unwrap_or_default(),
            issue_instant: required_time(assertion, "IssueInstant")?,
            issuer: assertion.child(A, "Issuer").map(|issuer| issuer.text.clone()).unwrap_or_default(),
            name_id: name_id.map(|name| NameId { value: name.text.clone(), format: text_of(name, "Format") }),
            qualifiers: ["NameQualifier", "SPNameQualifier"].map(|attribute| name_id.and_then(|name| text_of(name, attribute))),
            confirmations: confirmations.map(confirmation).collect::<Result<_, _>>()?,
            conditions: assertion.child(A, "Conditions").map(conditions).transpose()?,
            authn: assertion.children(A, "AuthnStatement").map(authn).collect::<Result<_, _>>()?,
            attributes: attributes.map(attribute).collect(),
        })
    }
}

fn confirmation(element: &Element) -> Result<Confirmation, Refusal> {
    let data = element.child(A, "SubjectConfirmationData");
    let read_time = |name| data.map_or(Ok(None), |data| time(data, name));
    Ok(Confirmation {
        method: text_of(element, "Method").unwrap_or_default(),
        recipient: data.and_then(|data| text_of(data, "Recipient")),
        not_before: read_time("NotBefore")?,
        not_on_or_after: read_time("NotOnOrAfter")?,
        in_response_to: data.and_then(|data| text_of(data, "InResponseTo")),
    })
}

fn conditions(element: &Element) -> Result<Conditions, Refusal> {
    let audiences = |restriction: &Element| restriction.children(A, "Audience").map(|audience| audience.text.clone()).collect();
    Ok(Conditions {
        not_before: time(element, "NotBefore")?,
        not_on_or_after: time(element, "NotOnOrAfter")?,
        restrictions: element.children(A, "AudienceRestriction").map(audiences).collect(),
    })
}

fn authn(element: &Element) -> Result<Authn, Refusal> {
    let context = element.child(A, "AuthnContext").and_then(|context| context.child(A, "AuthnContextClassRef"));
    Ok(Authn {
        instant: required_time(element, "AuthnInstant")?,
        session_index: text_of(element, "SessionIndex"),
        session_not_on_or_after: time(element, "SessionNotOnOrAfter")?,
        context: context.map(|class| class.text.clone()),
    })
}

fn attribute(element: &Element) -> Attribute {
    let value = |value: &Element| match value.attribute_ns(Ns::SchemaInstance, "nil") {
        // AD FS writes xsi:nil="true" for an attribute without a value.
        Some("true" | "1") => Value::Nil,
        _ if value.children.is_empty() => Value::Text(value.text.clone()),
        _ => Value::Markup,
    };
    Attribute { name: text_of(element, "Name").unwrap_or_default(), values: element.children(A, "AttributeValue").map(value).collect() }
}

fn text_of(element: &Element, name: &str) -> Option<String> {
    element.attribute(name).map(str::to_owned)
}

fn time(element: &Element, name: &'static str) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = element.attribute(name) else { return Ok(None) };
    Timestamp::parse(text).map(Some).map_err(|_| {
        Refusal::new(Step::Assertion, "time", format!("{name} of {}", element.name)).got(text).expected("a date and time with a zone")
    })
}

fn required_time(element: &Element, name: &'static str) -> Result<Timestamp, Refusal> {
    // The grammar has seen to its presence.
    time(element, name)?.ok_or_else(|| Refusal::new(Step::Assertion, "time", format!("{name} of {} is missing", element.name)))
}
