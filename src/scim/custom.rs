//! A tenant's own extension of User, declared as a schema: the document in which it is written, which is the one that `/Schemas` shows
//! (RFC 7643 §7). Its attributes are the client's to write, and what rules call `custom.*`.

use serde::Deserialize;
use serde_json::Value;

use super::schema::{Attribute, Definition, DefinitionError, Kind, Returned, build};

/// Attributes and sub-attributes in all.
pub const ATTRIBUTES: usize = 100;
/// Characters of a description.
const DESCRIPTION: usize = 1000;
/// Canonical values of an attribute.
const VALUES: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustomError {
    #[error("the schema cannot be read: {0}")]
    Form(String),
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    #[error("the schema has no attributes; declare at least one")]
    Empty,
    #[error("the schema has {0} attributes; at most {ATTRIBUTES} are taken, sub-attributes included")]
    TooMany(usize),
    #[error("the attribute {0:?} is complex and has no subAttributes")]
    NoParts(String),
    #[error("the attribute {0:?} has subAttributes and is not complex")]
    Parts(String),
    #[error("{0} is longer than {DESCRIPTION} characters or has more than {VALUES} values")]
    TooLong(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    id: String,
    name: String,
    #[serde(default)]
    description: String,
    attributes: Vec<AttributeDocument>,
    // What `/Schemas` shows beside; taken so that its answer can be sent back.
    #[serde(rename = "schemas")]
    _schemas: Option<Value>,
    #[serde(rename = "meta")]
    _meta: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AttributeDocument {
    name: String,
    #[serde(rename = "type", default)]
    kind: KindWord,
    #[serde(default)]
    multi_valued: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    case_exact: bool,
    #[serde(default)]
    canonical_values: Vec<String>,
    #[serde(default)]
    reference_types: Vec<String>,
    #[serde(default)]
    returned: ReturnedWord,
    #[serde(default)]
    sub_attributes: Vec<AttributeDocument>,
    #[serde(rename = "mutability", default)]
    _mutability: MutabilityWord,
    #[serde(rename = "uniqueness", default)]
    _uniqueness: UniquenessWord,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum KindWord {
    #[default]
    String,
    Boolean,
    Integer,
    Decimal,
    DateTime,
    Binary,
    Reference,
    Complex,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum ReturnedWord {
    #[default]
    Default,
    Always,
    Request,
}

/// Nobody else could write the others.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
enum MutabilityWord {
    #[default]
    ReadWrite,
}

/// Nothing keeps them unique.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
enum UniquenessWord {
    #[default]
    None,
}

/// Reads a tenant's extension.
///
/// # Errors
/// When the document has another form, a name cannot stand in a path, or a limit is passed.
pub fn parse(text: &str) -> Result<Definition, CustomError> {
    let document: Document = serde_json::from_str(text).map_err(|error| CustomError::Form(error.to_string()))?;
    if document.attributes.is_empty() {
        return Err(CustomError::Empty);
    }
    let count = document.attributes.iter().map(|attribute| 1 + attribute.sub_attributes.len()).sum();
    if count > ATTRIBUTES {
        return Err(CustomError::TooMany(count));
    }
    check_length("name", &document.name, 0)?;
    check_length("description", &document.description, 0)?;
    let attributes = document.attributes.into_iter().map(AttributeDocument::read).collect::<Result<_, _>>()?;
    let definition = Definition::custom(&document.id, &document.name, attributes)?;
    let description = if document.description.is_empty() { document.name } else { document.description };
    Ok(Definition { description, ..definition })
}

fn check_length(what: &str, text: &str, values: usize) -> Result<(), CustomError> {
    if text.chars().count() > DESCRIPTION || values > VALUES || text.contains('\0') {
        return Err(CustomError::TooLong(what.chars().take(80).collect()));
    }
    Ok(())
}

impl AttributeDocument {
    fn read(self) -> Result<Attribute, CustomError> {
        check_length(&self.name, &self.description, self.canonical_values.len().max(self.reference_types.len()))?;
        let complex = matches!(self.kind, KindWord::Complex);
        if complex && self.sub_attributes.is_empty() {
            return Err(CustomError::NoParts(self.name));
        }
        if !complex && !self.sub_attributes.is_empty() {
            return Err(CustomError::Parts(self.name));
        }
        let kind = match self.kind {
            KindWord::String => Kind::Text,
            KindWord::Boolean => Kind::Boolean,
            KindWord::Integer => Kind::Integer,
            KindWord::Decimal => Kind::Decimal,
            KindWord::DateTime => Kind::DateTime,
            KindWord::Binary => Kind::Binary,
            KindWord::Reference => Kind::Reference,
            KindWord::Complex => Kind::Complex,
        };
        let returned = match self.returned {
            ReturnedWord::Default => Returned::Default,
            ReturnedWord::Always => Returned::Always,
            ReturnedWord::Request => Returned::Request,
        };
        let attributes = self.sub_attributes.into_iter().map(Self::read).collect::<Result<_, _>>()?;
        let base = build::complex(&self.name, attributes).says(&self.description).returned(returned);
        Ok(Attribute {
            kind,
            multi_valued: self.multi_valued,
            required: self.required,
            // RFC 7643 §2.3.6 and §2.3.7: binary values and references are case exact.
            case_exact: self.case_exact || matches!(kind, Kind::Binary | Kind::Reference),
            canonical_values: self.canonical_values,
            reference_types: self.reference_types,
            ..base
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        domain::connection::Dialect,
        scim::{
            discovery,
            resource::User,
            schema::{Schemas, user},
        },
    };

    const URN: &str = "urn:example:scim:schemas:extension:acme:2.0:User";

    fn document() -> Value {
        json!({"id": URN, "name": "Acme", "attributes": [
            {"name": "tenant_code", "required": true, "caseExact": true, "canonicalValues": ["eu7", "us1"]},
            {"name": "badges", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value"}, {"name": "level", "type": "integer"}]},
            {"name": "hired", "type": "dateTime", "returned": "request", "mutability": "readWrite", "uniqueness": "none"},
        ]})
    }

    #[test]
    fn what_discovery_shows_can_be_read_back() {
        let definition = parse(&document().to_string()).unwrap();
        let schemas = Schemas::with_extension(Some(definition.clone()));
        let shown = discovery::schema("https://x", &schemas, URN).unwrap();
        assert_eq!(parse(&shown.to_string()).unwrap(), definition);
        assert_eq!(shown["attributes"][1]["subAttributes"][1]["type"], "integer");
    }

    #[test]
    fn a_declared_attribute_is_checked_and_seen_by_rules() {
        let schemas = Schemas::with_extension(Some(parse(&document().to_string()).unwrap()));
        let read = |extension: Value| {
            let body = json!({"schemas": [user::URN, URN], "userName": "anna", URN: extension});
            User::parse(body.to_string().as_bytes(), &schemas, Dialect::Strict)
        };
        let user = read(json!({"TENANT_CODE": "eu7", "badges": [{"value": "gold", "level": 3}], "other": 1})).unwrap();
        let custom = user.identity(None).attributes["custom"].clone();
        assert_eq!(custom, json!({"tenant_code": "eu7", "badges": [{"value": "gold", "level": 3}]}));
        assert!(read(json!({"badges": []})).is_ok(), "nothing is said in the extension");
        assert!(read(json!({"hired": "2026-01-01T00:00:00Z"})).is_err(), "tenant_code is required");
        assert!(read(json!({"tenant_code": "eu7", "badges": [{"level": "three"}]})).is_err());
    }

    #[test]
    fn what_the_gateway_could_not_keep_is_refused() {
        let with = |change: &dyn Fn(&mut Value)| {
            let mut document = document();
            change(&mut document);
            parse(&document.to_string())
        };
        assert!(with(&|_| ()).is_ok());
        for wrong in [
            with(&|d| d["id"] = json!(user::URN)),
            with(&|d| d["attributes"] = json!([])),
            with(&|d| d["attributes"][0]["mutability"] = json!("readOnly")),
            with(&|d| d["attributes"][0]["uniqueness"] = json!("server")),
            with(&|d| d["attributes"][0]["returned"] = json!("never")),
            with(&|d| d["attributes"][0]["name"] = json!("a b")),
            with(&|d| d["attributes"][0]["nmae"] = json!("x")),
            with(&|d| d["attributes"][0]["subAttributes"] = json!([{"name": "x"}])),
            with(&|d| d["attributes"][1]["subAttributes"] = json!([])),
            with(&|d| d["attributes"][0]["description"] = json!("x".repeat(DESCRIPTION + 1))),
            with(&|d| d["attributes"] = (0..=ATTRIBUTES).map(|n| json!({"name": format!("a{n}")})).collect()),
        ] {
            assert!(wrong.is_err());
        }
        assert!(parse("[]").is_err());
    }
}
