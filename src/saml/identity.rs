//! From an assertion to the identity that rules see, by the connection's attribute map. Nothing is trimmed or repaired: a value that
//! would need it is refused, because two spellings of one person are how accounts are taken over.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};

use super::{
    assertion::{Assertion, Value},
    refusal::{Refusal, Step},
};
use crate::domain::{
    connection::Connection,
    identity::{GroupRef, Identity, Protocol},
    name::{Email, check_shown, is_invisible},
};

/// The key of an account at its connection: what the identity provider calls the person, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// # Errors
    /// When the text is empty, padded, longer than 1024 bytes or holds control characters.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        sound(text, "NameID").map(|sound| Self(sound.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Longer ones are no names. (SAML core, 8.3.7 allows persistent identifiers 256 characters.)
const MAX_SUBJECT: usize = 1024;
const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";
/// Entra, for a person in more than 150 groups: the groups are elsewhere, which is not the same as none.
const ENTRA_OVERAGE: &str = "http://schemas.microsoft.com/claims/groups.link";

fn refuse(code: &'static str, what: impl Into<String>) -> Refusal {
    Refusal::new(Step::Identity, code, what)
}

/// The account key and the facts of an assertion, in the words of the connection's attribute map.
///
/// # Errors
/// When there is no usable subject, or a mapped attribute has a form that would need guessing.
pub fn identity(assertion: &Assertion, connection: &Connection) -> Result<(Subject, Identity), Refusal> {
    let subject = subject(assertion, connection.saml.subject_attribute.as_deref())?;
    let mut attributes = Map::new();
    let name_id = assertion.name_id.as_ref().filter(|name_id| name_id.format.as_deref() != Some(TRANSIENT));
    let user_name = name_id.map_or(subject.as_str(), |name_id| name_id.value.as_str());
    attributes.insert("userName".to_owned(), json!(sound(user_name, "NameID")?));
    let mut groups = None;
    for (name, source) in &connection.attributes {
        match name.as_str() {
            "groups" => groups = self::groups(assertion, source, connection.saml.group_delimiter.as_deref())?,
            // Who may not sign in is not signed in by their identity provider.
            "active" => {}
            _ => {
                let values = if may_be_several(name) { distinct(assertion, source)? } else { Vec::from_iter(single(assertion, source)?) };
                if let Some(first) = values.first() {
                    insert(&mut attributes, name, source, first, &values)?;
                }
            }
        }
    }
    let authn_context = assertion.authn_context.clone();
    Ok((subject, Identity { source: Protocol::Saml, attributes, groups, active: true, authn_context }))
}

/// The one text value that a name stands for: `NameID`, or an attribute. This is what correlation with SCIM compares.
///
/// # Errors
/// When the attribute has different values, or markup in one, or the value is none that identifies a person.
pub fn value_of<'a>(assertion: &'a Assertion, name: &str) -> Result<Option<&'a str>, Refusal> {
    let value = match name {
        "NameID" => assertion.name_id.as_ref().map(|name_id| name_id.value.as_str()),
        _ => single(assertion, name)?,
    };
    value.map(|value| sound(value, name)).transpose()
}

fn subject(assertion: &Assertion, attribute: Option<&str>) -> Result<Subject, Refusal> {
    if let Some(name) = attribute {
        let value = single(assertion, name)?.ok_or_else(|| {
            refuse("no_subject", format!("the attribute {name:?}, from which the connection takes the subject, is missing"))
        })?;
        return Ok(Subject(sound(value, name)?.to_owned()));
    }
    let name_id = assertion.name_id.as_ref().ok_or_else(|| refuse("no_name_id", "NameID is missing in the Subject"))?;
    if name_id.format.as_deref() == Some(TRANSIENT) {
        return Err(refuse("transient_name_id", "the NameID is transient: it changes with every sign-in").cure(
            "let the identity provider send a persistent or e-mail NameID, or name an attribute that identifies the person (subject_attribute)",
        ));
    }
    Subject::parse(&name_id.value)
}

/// A value that identifies a person: not empty, no white space at its ends, nothing in it that cannot be seen.
fn sound<'a>(value: &'a str, what: &str) -> Result<&'a str, Refusal> {
    let wrong = |why| Err(refuse("unsound_value", format!("the value of {what:?} {why}")).cure("correct it at the identity provider"));
    if value.is_empty() {
        return wrong("is empty");
    }
    if value.trim() != value {
        return wrong("has white space at an end");
    }
    if value.chars().any(char::is_control) {
        return wrong("holds a control character");
    }
    if value.chars().any(is_invisible) {
        return wrong("holds an invisible character");
    }
    if value.len() > MAX_SUBJECT {
        return wrong("is longer than 1024 bytes");
    }
    Ok(value)
}

/// Whether lists show the person by what the attribute map calls `name`.
fn is_shown(name: &str) -> bool {
    matches!(name.strip_prefix("name.").unwrap_or(name), "displayName" | "formatted" | "givenName" | "familyName")
}

/// Refuses a name that is not shown as it is written.
fn check_visible(value: &str, source: &str) -> Result<(), Refusal> {
    check_shown("the value", value)
        .map_err(|error| refuse("unsound_value", format!("{source:?}: {error}")).cure("correct it at the identity provider"))
}

/// All text values of an attribute; same-named Attribute elements are one attribute (Keycloak sends one element per group).
/// `None` when there is no such element; empty and nil values are no values.
fn values<'a>(assertion: &'a Assertion, name: &str) -> Result<Option<Vec<&'a str>>, Refusal> {
    let mut found = None;
    for attribute in assertion.attributes.iter().filter(|attribute| attribute.name == name) {
        let texts: &mut Vec<&str> = found.get_or_insert_default();
        for value in &attribute.values {
            match value {
                Value::Text(text) if !text.is_empty() => texts.push(text),
                Value::Text(_) | Value::Nil => {}
                Value::Markup => return Err(refuse("markup", format!("a value of the attribute {name:?} holds markup"))),
            }
        }
    }
    Ok(found)
}

/// Whether rules know the attribute as one that has several values.
fn may_be_several(name: &str) -> bool {
    matches!(name, "roles" | "roles.value" | "entitlements" | "entitlements.value") || name.starts_with("custom.")
}

fn distinct<'a>(assertion: &'a Assertion, name: &str) -> Result<Vec<&'a str>, Refusal> {
    let mut seen = HashSet::new();
    let values = values(assertion, name)?.unwrap_or_default();
    Ok(values.into_iter().filter(|value| seen.insert(*value)).collect())
}

fn single<'a>(assertion: &'a Assertion, name: &str) -> Result<Option<&'a str>, Refusal> {
    let values = values(assertion, name)?.unwrap_or_default();
    match values.split_first() {
        Some((first, others)) if others.iter().any(|other| other != first) => {
            Err(refuse("several_values", format!("the attribute {name:?} has different values where one is wanted"))
                .cure("let the identity provider send one value"))
        }
        first => Ok(first.map(|(first, _)| *first)),
    }
}

fn groups(assertion: &Assertion, name: &str, delimiter: Option<&str>) -> Result<Option<Vec<GroupRef>>, Refusal> {
    if assertion.attributes.iter().any(|attribute| attribute.name == ENTRA_OVERAGE) {
        return Ok(None);
    }
    let Some(values) = values(assertion, name)? else { return Ok(None) };
    let mut seen = HashSet::new();
    let groups = values
        .into_iter()
        // OneLogin, PingFederate: all groups in one value.
        .flat_map(|value| match delimiter.filter(|delimiter| !delimiter.is_empty()) {
            Some(delimiter) => value.split(delimiter).collect(),
            None => vec![value],
        })
        .filter(|group| !group.is_empty() && seen.insert(*group))
        .map(|group| GroupRef { value: group.to_owned(), display: None });
    Ok(Some(groups.collect()))
}

/// Puts a value where SCIM has it: all of them where it has several.
fn insert(attributes: &mut Map<String, Json>, name: &str, source: &str, value: &str, values: &[&str]) -> Result<(), Refusal> {
    if is_shown(name) {
        check_visible(value, source)?;
    }
    let each = || values.iter().map(|value| json!({ "value": value })).collect();
    let (key, json) = match name {
        "userName" => (name, json!(sound(value, source)?)),
        "email" | "emails" | "emails.value" => {
            sound(value, source)?;
            Email::parse(value).map_err(|_| refuse("email", format!("the value of {source:?} is not an e-mail address")))?;
            ("emails", json!([{ "value": value, "type": "work", "primary": true }]))
        }
        "phone" | "phoneNumbers.value" => ("phoneNumbers", json!([{ "value": value, "type": "work" }])),
        "roles" | "roles.value" => ("roles", each()),
        "entitlements" | "entitlements.value" => ("entitlements", each()),
        "givenName" | "familyName" | "middleName" | "formatted" | "honorificPrefix" | "honorificSuffix" => {
            return nest(attributes, "name", name, json!(value));
        }
        "manager" => return nest(attributes, "manager", "value", json!(value)),
        _ => match name.split_once('.') {
            // `custom.x`, `name.givenName`, `manager.value`.
            Some((outer, inner)) if values.len() > 1 => return nest(attributes, outer, inner, json!(values)),
            Some((outer, inner)) => return nest(attributes, outer, inner, json!(value)),
            None => (name, json!(value)),
        },
    };
    attributes.insert(key.to_owned(), json);
    Ok(())
}

/// Where rules find what the attribute map calls `name`: the outer name, and the one inside it.
#[must_use]
pub fn stands_at(name: &str) -> (&str, Option<&str>) {
    match name {
        "email" => ("emails", None),
        "phone" => ("phoneNumbers", None),
        "givenName" | "familyName" | "middleName" | "formatted" | "honorificPrefix" | "honorificSuffix" => ("name", Some(name)),
        "manager" => ("manager", Some("value")),
        _ => name.split_once('.').map_or((name, None), |(outer, inner)| (outer, Some(inner))),
    }
}

fn nest(attributes: &mut Map<String, Json>, outer: &str, inner: &str, value: Json) -> Result<(), Refusal> {
    let object = attributes.entry(outer).or_insert_with(|| json!({}));
    let object = object.as_object_mut().ok_or_else(|| {
        refuse("attribute_map", format!("the attribute map names both {outer:?} and {outer}.{inner}"))
            .cure("name one of them in the connection's attributes")
    })?;
    object.insert(inner.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{
            connection::{Audience, Authority, SamlSettings, ScimSettings},
            id::{CertificateId, ConnectionId, OrganizationId, TenantId},
            name::Slug,
            time::Timestamp,
        },
        saml::{Attribute, NameId},
    };

    fn connection(map: &[(&str, &str)]) -> Connection {
        Connection {
            id: ConnectionId::new(Uuid::from_u128(1)),
            tenant: TenantId::new(Uuid::from_u128(2)),
            organization: OrganizationId::new(Uuid::from_u128(3)),
            slug: Slug::parse("acme").unwrap(),
            audience: Audience::Admin,
            authority: Authority::default(),
            enabled: true,
            allow_owner_grants: false,
            scim: ScimSettings::default(),
            saml: SamlSettings::default(),
            attributes: map.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect(),
            version: 1,
        }
    }

    fn assertion(attributes: &[(&str, &[&str])]) -> Assertion {
        let text = |value: &&str| Value::Text((*value).to_owned());
        Assertion {
            id: "_a".to_owned(),
            issuer: "idp".to_owned(),
            name_id: Some(NameId { value: "ada".to_owned(), format: None }),
            qualifiers: [None, None],
            session_index: None,
            session_not_on_or_after: None,
            usable_until: Timestamp::from_millis(0),
            remembered_until: Timestamp::from_millis(0),
            in_response_to: None,
            authn_instant: Timestamp::from_millis(0),
            authn_context: Some("urn:mfa".to_owned()),
            attributes: attributes
                .iter()
                .map(|(name, values)| Attribute { name: (*name).to_owned(), values: values.iter().map(text).collect() })
                .collect(),
            verified_with: CertificateId::new(Uuid::from_u128(4)),
            certificate_expired_at: None,
            decrypted_with: None,
        }
    }

    fn groups_of(assertion: &Assertion, connection: &Connection) -> Option<Vec<String>> {
        identity(assertion, connection).unwrap().1.groups.map(|groups| groups.into_iter().map(|group| group.value).collect())
    }

    fn code(assertion: &Assertion, connection: &Connection) -> &'static str {
        identity(assertion, connection).map_or_else(|refusal| refusal.code(), |_| "accepted")
    }

    #[test]
    fn mapped_attributes_stand_where_scim_has_them() {
        let map = [
            ("email", "mail"),
            ("givenName", "given"),
            ("familyName", "sn"),
            ("department", "dept"),
            ("manager", "boss"),
            ("custom.tenant_code", "code"),
            ("title", "absent"),
            ("groups", "memberOf"),
            ("active", "enabled"),
        ];
        let values: &[(&str, &[&str])] = &[
            ("mail", &["Ada@example.com"]),
            ("given", &["Ada", "Ada"]),
            ("sn", &[" Lovelace"]),
            ("dept", &["R&D"]),
            ("boss", &["42"]),
            ("code", &["eu"]),
            ("memberOf", &["Staff", "staff"]),
            ("memberOf", &["ops", "Staff", ""]),
            ("enabled", &["false"]),
            ("unmapped", &["x"]),
        ];
        let (subject, identity) = identity(&assertion(values), &connection(&map)).unwrap();
        assert_eq!(subject.as_str(), "ada");
        assert_eq!(
            Json::Object(identity.attributes.clone()),
            json!({
                "userName": "ada",
                "emails": [{"value": "Ada@example.com", "type": "work", "primary": true}],
                "name": {"givenName": "Ada", "familyName": " Lovelace"},
                "department": "R&D",
                "manager": {"value": "42"},
                "custom": {"tenant_code": "eu"},
            })
        );
        let groups: Vec<_> = identity.groups.as_ref().unwrap().iter().map(|group| group.value.as_str()).collect();
        assert_eq!(groups, ["Staff", "staff", "ops"], "byte for byte, same-named elements merged in order");
        assert!(identity.active, "an identity provider that signs a person in has them active");
        assert_eq!((identity.source, identity.authn_context.as_deref()), (Protocol::Saml, Some("urn:mfa")));
        assert_eq!(identity.email(), Some("Ada@example.com"));
    }

    #[test]
    fn what_may_be_several_is_several() {
        let map = [("roles.value", "role"), ("entitlements", "right"), ("custom.site", "site"), ("custom.tenant", "tenant")];
        let values: &[(&str, &[&str])] = &[
            ("role", &["admin", "auditor", "admin"]),
            ("right", &["a"]),
            ("right", &["b"]),
            ("site", &["eu", "us"]),
            ("tenant", &["x", "x"]),
        ];
        let (_, identity) = identity(&assertion(values), &connection(&map)).unwrap();
        assert_eq!(
            Json::Object(identity.attributes),
            json!({
                "userName": "ada",
                "roles": [{"value": "admin"}, {"value": "auditor"}],
                "entitlements": [{"value": "a"}, {"value": "b"}],
                "custom": {"site": ["eu", "us"], "tenant": "x"},
            })
        );
    }

    #[test]
    fn groups_are_absent_empty_or_split_as_the_message_has_them() {
        let mut connection = connection(&[("groups", "g")]);
        assert_eq!(groups_of(&assertion(&[]), &connection), None);
        assert_eq!(groups_of(&assertion(&[("g", &[])]), &connection), Some(vec![]));
        assert_eq!(groups_of(&assertion(&[("g", &[""])]), &connection), Some(vec![]));
        assert_eq!(groups_of(&assertion(&[("g", &["a;b"])]), &connection), Some(vec!["a;b".to_owned()]));
        connection.saml.group_delimiter = Some(";".to_owned());
        let split = Some(vec!["a".to_owned(), " b".to_owned()]);
        assert_eq!(groups_of(&assertion(&[("g", &["a; b;;a"])]), &connection), split, "split, not trimmed");
        let overage: &[(&str, &[&str])] = &[("g", &["a"]), (ENTRA_OVERAGE, &["https://graph"])];
        assert_eq!(groups_of(&assertion(overage), &connection), None, "Entra has more groups than it sends");
        connection.attributes.clear();
        assert_eq!(groups_of(&assertion(&[("g", &["a"])]), &connection), None);
    }

    #[test]
    fn what_would_need_guessing_is_refused() {
        let connection = connection(&[("email", "mail"), ("title", "title")]);
        assert_eq!(code(&assertion(&[("mail", &["a@b"]), ("mail", &["a@b"])]), &connection), "accepted");
        assert_eq!(code(&assertion(&[("mail", &["a@b", "c@d"])]), &connection), "several_values");
        assert_eq!(code(&assertion(&[("mail", &["a@b"]), ("mail", &["c@d"])]), &connection), "several_values");
        assert_eq!(code(&assertion(&[("mail", &[" a@b"])]), &connection), "unsound_value");
        assert_eq!(code(&assertion(&[("mail", &["nobody"])]), &connection), "email");
        assert_eq!(code(&assertion(&[("mail", &[""])]), &connection), "accepted");
        for name_id in ["ada ", "\tada", "", "ada\u{a0}", "a\nb", "a\u{200b}da", "\u{202e}ada"] {
            let mut assertion = assertion(&[]);
            assertion.name_id.as_mut().unwrap().value = name_id.to_owned();
            assert_eq!(code(&assertion, &connection), "unsound_value", "{name_id:?}");
        }
        for shown in ["displayName", "givenName", "name.familyName", "formatted"] {
            let connection = self::connection(&[(shown, "a")]);
            for value in ["ada\u{202e}nimda", "\u{1b}[2J", "ada\n"] {
                assert_eq!(code(&assertion(&[("a", &[value])]), &connection), "unsound_value", "{shown} {value:?}");
            }
            assert_eq!(code(&assertion(&[("a", &["علی\u{200c}رضا"])]), &connection), "accepted", "{shown}");
        }
        let mut markup = assertion(&[("title", &["x"]), ("unmapped", &["x"])]);
        markup.attributes[1].values = vec![Value::Markup];
        assert_eq!(code(&markup, &connection), "accepted");
        markup.attributes[0].values = vec![Value::Markup];
        assert_eq!(code(&markup, &connection), "markup");
        let mut nil = assertion(&[("title", &["x"])]);
        nil.attributes[0].values = vec![Value::Nil];
        assert_eq!(identity(&nil, &connection).unwrap().1.text("title"), None);
    }

    #[test]
    fn a_transient_name_id_is_no_account_key_but_an_attribute_can_be() {
        let mut connection = connection(&[]);
        let mut transient = assertion(&[("uid", &["ada-7"])]);
        transient.name_id.as_mut().unwrap().format = Some(TRANSIENT.to_owned());
        assert_eq!(code(&transient, &connection), "transient_name_id");
        connection.saml.subject_attribute = Some("uid".to_owned());
        let (subject, identity) = identity(&transient, &connection).unwrap();
        assert_eq!((subject.as_str(), identity.user_name()), ("ada-7", Some("ada-7")));
        transient.attributes.clear();
        assert_eq!(code(&transient, &connection), "no_subject");
        connection.saml.subject_attribute = None;
        transient.name_id = None;
        assert_eq!(code(&transient, &connection), "no_name_id");
    }

    #[test]
    fn correlation_reads_name_id_or_an_attribute() {
        let assertion = assertion(&[("uid", &["7"])]);
        assert_eq!(value_of(&assertion, "NameID").unwrap(), Some("ada"));
        assert_eq!(value_of(&assertion, "uid").unwrap(), Some("7"));
        assert_eq!(value_of(&assertion, "other").unwrap(), None);
        for value in [" 7", "", "a\nb", &"7".repeat(1025)] {
            let mut assertion = assertion.clone();
            assertion.attributes[0].values = vec![Value::Text(value.to_owned())];
            let expected = if value.is_empty() { Ok(None) } else { Err("unsound_value") };
            assert_eq!(value_of(&assertion, "uid").map_err(|refusal| refusal.code()), expected, "{value:?}");
        }
    }

    #[test]
    fn a_map_that_names_a_value_and_a_part_of_it_is_refused() {
        let connection = connection(&[("custom", "a"), ("custom.x", "b")]);
        assert_eq!(code(&assertion(&[("a", &["1"]), ("b", &["2"])]), &connection), "attribute_map");
    }
}
