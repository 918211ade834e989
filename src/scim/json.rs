//! JSON at the edge: the limits come before anything looks at the content.

use serde_json::{Map, Value};

use super::error::{ErrorKind, ScimError};

/// A body's nesting.
pub const DEPTH: usize = 64;
/// A body's length in bytes; larger ones (Bulk) are cut into operations before they come here.
pub const BODY: usize = 1 << 20;

/// Reads a request body: one JSON object, at most 1 MiB, nested at most 64 deep, without U+0000. Of duplicate keys the last one counts.
///
/// # Errors
/// When it is anything else.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, ScimError> {
    object_within(body, BODY, DEPTH)
}

/// As `object`, with limits of the caller's: a bulk request holds many bodies.
///
/// # Errors
/// As `object`.
pub fn object_within(body: &[u8], length: usize, depth: usize) -> Result<Map<String, Value>, ScimError> {
    if body.len() > length {
        return Err(ScimError::new(ErrorKind::TooLarge, format_args!("The body has {} bytes; at most {length} are taken.", body.len())));
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| ScimError::syntax(format_args!("The body is not JSON: {e}.")))?;
    let Value::Object(map) = value else {
        return Err(ScimError::syntax("The body is not a JSON object."));
    };
    for (key, value) in &map {
        check_text(key)?;
        check(value, 2, depth)?;
    }
    Ok(map)
}

fn check(value: &Value, depth: usize, deepest: usize) -> Result<(), ScimError> {
    if depth > deepest && (value.is_array() || value.is_object()) {
        return Err(ScimError::syntax(format_args!("The body is nested more than {deepest} deep.")));
    }
    match value {
        Value::String(text) => check_text(text),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1, deepest)),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            check_text(key)?;
            check(value, depth + 1, deepest)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), ScimError> {
    if text.contains('\0') {
        return Err(ScimError::value("The body holds the character U+0000, which cannot be stored; leave it out."));
    }
    Ok(())
}

/// A member of an object, its name compared without case (RFC 7643 §2.1: "Attribute names are case insensitive").
pub fn find<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_before_the_content() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(object(nested(64).as_bytes()).is_ok());
        assert_eq!(object(nested(65).as_bytes()).unwrap_err().kind, ErrorKind::InvalidSyntax);
        assert_eq!(object(nested(5000).as_bytes()).unwrap_err().kind, ErrorKind::InvalidSyntax);
        assert_eq!(object(&vec![b' '; BODY + 1]).unwrap_err().kind, ErrorKind::TooLarge);
    }

    #[test]
    fn only_objects_without_nul_are_taken() {
        for body in ["", "[]", "7", "{", "\u{feff}{}", "{\"a\":1e999}"] {
            assert_eq!(object(body.as_bytes()).unwrap_err().kind, ErrorKind::InvalidSyntax, "{body}");
        }
        assert_eq!(object(br#"{"a":{"b":["\u0000"]}}"#).unwrap_err().kind, ErrorKind::InvalidValue);
        assert_eq!(object(br#"{"a\u0000":1}"#).unwrap_err().kind, ErrorKind::InvalidValue);
        assert_eq!(object(b"\xff").unwrap_err().kind, ErrorKind::InvalidSyntax);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = object(&body);
        }

        #[test]
        fn anything_like_json_is_read_or_refused(body in "(\\{|\\}|\\[|\\]|,|:|\"[a-c]{0,2}\"|\"\\\\u0000\"|null|true|-?[0-9]{1,3}(e[0-9]{1,3})?| ){0,24}") {
            if let Ok(map) = object(body.as_bytes()) {
                let text = Value::Object(map.clone()).to_string();
                proptest::prop_assert_eq!(object(text.as_bytes()), Ok(map));
            }
        }
    }

    #[test]
    fn the_last_of_duplicate_keys_counts() {
        assert_eq!(object(br#"{"a":1,"a":2}"#).unwrap()["a"], 2);
    }
}
