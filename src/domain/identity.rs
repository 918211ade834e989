//! What an identity provider says of a person, in the words that rules use: SCIM core and enterprise names.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// By which protocol the facts came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Scim,
    Saml,
}

impl Protocol {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scim => "scim",
            Self::Saml => "saml",
        }
    }
}

/// A group as rules see it: `value` is what the identity provider calls it, pinned at first sight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupRef {
    pub value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
}

/// The normalised facts of one person from one connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub source: Protocol,
    /// SCIM names at the top level, enterprise attributes beside the core ones (`department`, `manager.value` …),
    /// `custom` an object of the tenant's own attributes. No `groups`: they stand in the next field.
    pub attributes: Map<String, Value>,
    /// `None` is *absent* (nothing was said), which is not *empty*.
    pub groups: Option<Vec<GroupRef>>,
    pub active: bool,
    /// SAML AuthnContextClassRef, when a person just signed in.
    pub authn_context: Option<String>,
}

impl Identity {
    /// A text attribute of the first level.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str()
    }

    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        self.text("userName")
    }

    /// The primary e-mail value, else the first.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        let emails = self.attributes.get("emails")?.as_array()?;
        let primary = emails.iter().find(|e| e.get("primary").and_then(Value::as_bool) == Some(true));
        primary.or(emails.first())?.get("value")?.as_str()
    }

    /// `displayName`, else `name.formatted`, else given and family name.
    #[must_use]
    pub fn display_name(&self) -> Option<String> {
        if let Some(name) = self.text("displayName") {
            return Some(name.to_owned());
        }
        let name = self.attributes.get("name")?;
        let part = |key: &str| name.get(key).and_then(Value::as_str);
        if let Some(formatted) = part("formatted") {
            return Some(formatted.to_owned());
        }
        let parts: Vec<_> = [part("givenName"), part("familyName")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// A NameID whole, as an identity provider named somebody at a sign-in and must hear it again at a logout (SAML core, 2.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameIdentifier {
    pub value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_qualifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sp_name_qualifier: Option<String>,
}
