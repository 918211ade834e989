//! The named tolerances: what identity providers send and what they mean by it, one function per habit.
//! The engine behind is strict; with `Dialect::Strict` none of this runs.

use serde_json::{Map, Value};

use super::schema::{Attribute, Kind};

/// One attribute's value as the schema has it, as far as a known habit explains the difference.
#[must_use]
pub fn value(attribute: &Attribute, value: Value) -> Value {
    if !attribute.multi_valued {
        return element(attribute, list_around_one(value));
    }
    match one_as_list(value) {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| element(attribute, item)).collect()),
        other => other,
    }
}

/// One element of a multi-valued attribute, or the value of a single-valued one.
#[must_use]
pub fn element(attribute: &Attribute, value: Value) -> Value {
    let value = empty_text(value);
    match attribute.kind {
        Kind::Boolean => boolean_text(value),
        Kind::Text => number_for_text(value),
        Kind::Complex => match bare_value(attribute, value) {
            Value::Object(mut map) => {
                if attribute.name == "roles" {
                    role_in_json(&mut map);
                }
                Value::Object(parts(attribute, map))
            }
            other => other,
        },
        Kind::Integer | Kind::Decimal | Kind::DateTime | Kind::Binary | Kind::Reference => value,
    }
}

fn parts(attribute: &Attribute, map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter()
        .map(|(key, part)| match attribute.sub(&key) {
            Some(sub) => {
                let part = value(sub, part);
                (key, part)
            }
            None => (key, part),
        })
        .collect()
}

/// Entra: booleans as `"True"` and `"False"`.
fn boolean_text(value: Value) -> Value {
    match value.as_str() {
        Some(text) if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        _ => value,
    }
}

/// Okta: `externalId` and `postalCode` as numbers.
fn number_for_text(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        other => other,
    }
}

/// Entra: an attribute emptied by `""`.
fn empty_text(value: Value) -> Value {
    if value.as_str() == Some("") { Value::Null } else { value }
}

/// Entra: `manager` as `[{"$ref", "value"}]`. An empty list stands for nothing.
fn list_around_one(value: Value) -> Value {
    match value {
        Value::Array(mut items) if items.len() <= 1 => items.pop().unwrap_or(Value::Null),
        other => other,
    }
}

/// Entra, hand-written clients: the only value of a list without the list.
fn one_as_list(value: Value) -> Value {
    match value {
        Value::Object(_) => Value::Array(vec![value]),
        Value::String(text) if text.is_empty() => Value::Null,
        Value::String(_) | Value::Number(_) => Value::Array(vec![value]),
        other => other,
    }
}

/// Entra: `manager` as the id alone; roles as their names alone.
fn bare_value(attribute: &Attribute, value: Value) -> Value {
    match value {
        Value::String(_) | Value::Number(_) if attribute.sub("value").is_some() => {
            let mut map = Map::new();
            map.insert("value".to_owned(), value);
            Value::Object(map)
        }
        other => other,
    }
}

/// Entra, `AppRoleAssignmentsComplex`: a role as a JSON text inside `value`, with `id`, `value` and `displayName`.
fn role_in_json(role: &mut Map<String, Value>) {
    let Some((key, text)) = role.iter().find(|(key, _)| key.eq_ignore_ascii_case("value")) else { return };
    let Some(text) = text.as_str().filter(|text| text.trim_start().starts_with('{')) else { return };
    let Ok(Value::Object(inner)) = serde_json::from_str(text) else { return };
    let part = |name: &str| super::json::find(&inner, name).and_then(Value::as_str).filter(|text| !text.is_empty() && !text.contains('\0'));
    let Some(name) = part("value").or_else(|| part("id")) else { return };
    let key = key.clone();
    let display = part("displayName").or_else(|| part("display"));
    let (name, display) = (name.to_owned(), display.map(str::to_owned));
    if let Some(display) = display
        && super::json::find(role, "display").is_none()
    {
        role.insert("display".to_owned(), Value::String(display));
    }
    role.insert(key, Value::String(name));
}

/// Entra: `op` capitalised.
#[must_use]
pub fn operation_name(op: &str) -> String {
    op.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::{path::AttrPath, schema::Schemas};

    fn user(name: &str) -> &'static Attribute {
        Schemas::standard().user.lookup_anywhere(&AttrPath::parse(name).unwrap()).unwrap().attribute.unwrap()
    }

    #[rstest::rstest]
    #[case("active", json!("True"), json!(true))]
    #[case("active", json!("false"), json!(false))]
    #[case("active", json!("yes"), json!("yes"))]
    #[case("externalId", json!(4711), json!("4711"))]
    #[case("title", json!(""), json!(null))]
    #[case("emails", json!(""), json!(null))]
    #[case("manager", json!("m1"), json!({"value": "m1"}))]
    #[case("manager", json!(""), json!(null))]
    #[case("manager", json!([]), json!(null))]
    #[case("manager", json!([{"$ref": "https://x/Users/m1", "value": "m1"}]), json!({"$ref": "https://x/Users/m1", "value": "m1"}))]
    #[case("addresses", json!([{"postalCode": 12345, "country": ""}]), json!([{"postalCode": "12345", "country": null}]))]
    #[case("emails", json!({"value": "a@example.com", "primary": "True"}), json!([{"value": "a@example.com", "primary": true}]))]
    #[case("roles", json!(["Admin"]), json!([{"value": "Admin"}]))]
    #[case("roles", json!([{"value": "{\"id\":\"06b0\",\"value\":\"25\",\"displayName\":\"Role1234\"}"}]), json!([{"value": "25", "display": "Role1234"}]))]
    #[case("roles", json!([{"primary": "False", "type": "WindowsAzureActiveDirectoryRole", "display": "Admin", "value": "Admin"}]),
        json!([{"primary": false, "type": "WindowsAzureActiveDirectoryRole", "display": "Admin", "value": "Admin"}]))]
    #[case("roles", json!([{"value": "{not json"}]), json!([{"value": "{not json"}]))]
    fn a_habit_is_understood(#[case] name: &str, #[case] sent: Value, #[case] meant: Value) {
        assert_eq!(value(user(name), sent), meant);
    }
}
