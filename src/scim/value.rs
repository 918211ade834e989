//! Values in their canonical form: the schema's spelling of names, the schema's types, nothing that is unassigned or not the client's to write.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    error::ScimError,
    schema::{Attribute, Kind, Mutability, Returned},
};
use crate::domain::{name::fold, time::Timestamp};

/// Values of one attribute. Nobody has so many e-mail addresses; and each is compared with the others.
pub const VALUES: usize = 1000;

/// An attribute's value; `None` when it is unassigned.
/// RFC 7643 §2.5: "Unassigned attributes, the null value, or an empty array […] SHALL be considered to be equivalent in "state"."
///
/// # Errors
/// When its type is another.
pub fn canonical(attribute: &Attribute, value: Value) -> Result<Option<Value>, ScimError> {
    if value.is_null() {
        return Ok(None);
    }
    if !attribute.multi_valued {
        return one(attribute, value);
    }
    let Value::Array(items) = value else {
        return Err(wrong(attribute, "an array"));
    };
    check_count(attribute, items.len())?;
    let mut elements: Vec<Value> = Vec::with_capacity(items.len());
    let mut seen = HashSet::with_capacity(items.len());
    for item in items {
        if let Some(element) = element(attribute, item)?
            && seen.insert(element.clone())
        {
            elements.push(element);
        }
    }
    // RFC 7643 §2.4: "The primary attribute value "true" MUST appear no more than once."
    if elements.iter().filter(|e| is_primary(e)).count() > 1 {
        return Err(ScimError::value(format_args!("{} has more than one primary value; mark at most one.", attribute.name)));
    }
    Ok((!elements.is_empty()).then_some(Value::Array(elements)))
}

/// Keeps the first of equal elements: a change of one may have made it another's twin.
pub fn forget_repeats(items: &mut Vec<Value>) {
    let mut seen = HashSet::with_capacity(items.len());
    items.retain(|item| seen.insert(item.clone()));
}

/// # Errors
/// When an attribute would have more than [`VALUES`].
pub fn check_count(attribute: &Attribute, count: usize) -> Result<(), ScimError> {
    let words = || ScimError::value(format_args!("{} has at most {VALUES} values, not {count}.", attribute.name));
    if count > VALUES { Err(words()) } else { Ok(()) }
}

/// One element of a multi-valued attribute, or the value of a single-valued one.
pub fn element(attribute: &Attribute, value: Value) -> Result<Option<Value>, ScimError> {
    if value.is_null() { Ok(None) } else { one(attribute, value) }
}

pub fn is_primary(element: &Value) -> bool {
    element.get("primary").and_then(Value::as_bool) == Some(true)
}

/// Whether the schema lets a client's value be kept: what is read-only or never returned is dropped.
pub fn is_kept(attribute: &Attribute) -> bool {
    attribute.mutability != Mutability::ReadOnly && attribute.mutability != Mutability::WriteOnly && attribute.returned != Returned::Never
}

/// The attributes of a complex value or of an extension. Unknown ones are dropped.
pub fn object(attributes: &[Attribute], map: Map<String, Value>) -> Result<Map<String, Value>, ScimError> {
    let mut result = Map::with_capacity(map.len());
    for (key, value) in map {
        let Some(attribute) = attributes.iter().find(|a| a.name.eq_ignore_ascii_case(&key)) else { continue };
        if !is_kept(attribute) {
            continue;
        }
        if let Some(value) = canonical(attribute, value)? {
            result.insert(attribute.name.clone(), value);
        }
    }
    Ok(result)
}

fn one(attribute: &Attribute, value: Value) -> Result<Option<Value>, ScimError> {
    let sound = match (attribute.kind, &value) {
        (Kind::Text | Kind::Binary | Kind::Reference, Value::String(_))
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Decimal, Value::Number(_)) => true,
        (Kind::DateTime, Value::String(text)) => Timestamp::parse(text).is_ok(),
        (Kind::Integer, Value::Number(number)) => number.is_i64(),
        (Kind::Complex, Value::Object(_)) => {
            let Value::Object(map) = value else { return Ok(None) };
            let map = object(&attribute.attributes, map)?;
            return Ok((!map.is_empty()).then_some(Value::Object(map)));
        }
        _ => false,
    };
    if sound { Ok(Some(value)) } else { Err(wrong(attribute, kind_in_words(attribute.kind))) }
}

fn kind_in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Reference => "a string",
        Kind::Binary => "a string in base64",
        Kind::Boolean => "true or false",
        Kind::Integer => "a whole number",
        Kind::Decimal => "a number",
        Kind::DateTime => "a date and time such as 2026-01-31T23:59:59Z",
        Kind::Complex => "an object",
    }
}

fn wrong(attribute: &Attribute, expected: &str) -> ScimError {
    ScimError::value(format_args!("{} has another type than its schema says; {expected} was expected.", attribute.name))
}

/// Whether two values of an attribute are the same, by its case rule.
pub fn same(attribute: &Attribute, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) if !attribute.case_exact => a == b || fold(a) == fold(b),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        domain::connection::Dialect,
        scim::{patch::Patch, resource::User, schema::Schemas},
    };

    fn emails(range: std::ops::Range<usize>) -> Value {
        range.map(|n| json!({ "value": format!("{n}@example.com") })).collect()
    }

    #[test]
    fn an_attribute_has_at_most_a_thousand_values_however_they_come() {
        let read = |emails: Value| {
            let body = json!({ "userName": "ada", "emails": emails }).to_string();
            User::parse(body.as_bytes(), Schemas::standard(), Dialect::Tolerant)
        };
        let full = read(emails(0..VALUES)).unwrap();
        assert!(read(emails(0..VALUES + 1)).unwrap_err().detail.contains("emails"));
        for path in ["emails", "emails[type eq \"other\"].value"] {
            let value = if path == "emails" { emails(VALUES..VALUES + 1) } else { json!("more@example.com") };
            let body = json!({ "Operations": [{ "op": "add", "path": path, "value": value }] }).to_string();
            let patch = Patch::parse(body.as_bytes(), Dialect::Tolerant).unwrap();
            assert!(patch.apply(&full, Schemas::standard(), Dialect::Tolerant).is_err(), "{path}");
        }
    }
}
