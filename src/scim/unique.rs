//! Names of JSON members. RFC 8259 section 4: "The names within an object SHOULD be unique." Readers of two equal names take different values.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

use super::error::ScimError;
use crate::domain::connection::Dialect;

/// Refuses a body with two equal names in one object, in the strict dialect. Case does not tell names apart (RFC 7643 section 2.1).
/// Text that is no JSON passes: the parser of the body refuses it.
///
/// # Errors
/// `invalidSyntax`, with the name and its place.
pub fn check(body: &[u8], dialect: Dialect) -> Result<(), ScimError> {
    match dialect {
        Dialect::Tolerant => Ok(()),
        Dialect::Strict => match serde_json::from_slice::<Unique>(body) {
            Err(error) if error.is_data() => Err(ScimError::syntax(format_args!("The body is ambiguous: {error}. Send each member once."))),
            Ok(Unique) | Err(_) => Ok(()),
        },
    }
}

/// A value of which nothing is kept.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.to_ascii_lowercase()) {
                let shown: String = name.chars().take(64).collect();
                return Err(A::Error::custom(format_args!("it has the member {shown:?} twice in one object")));
            }
            members.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::error::ErrorKind;

    #[test]
    fn two_equal_names_in_one_object_are_refused_in_the_strict_dialect() {
        for body in [
            r#"{"active":false,"active":true}"#,
            r#"{"userName":"a","USERNAME":"b"}"#,
            r#"{"a":[{"b":{"c":1,"c":1}}]}"#,
            r#"{"a\u0062":1,"ab":2}"#,
        ] {
            let refusal = check(body.as_bytes(), Dialect::Strict).unwrap_err();
            assert_eq!(refusal.kind, ErrorKind::InvalidSyntax, "{body}");
            assert!(refusal.detail.contains("twice in one object at line 1 column "), "{}", refusal.detail);
            assert_eq!(check(body.as_bytes(), Dialect::Tolerant), Ok(()), "{body}");
        }
    }

    #[test]
    fn equal_names_in_different_objects_and_text_that_is_no_json_pass() {
        for body in [r#"{"a":{"a":1},"b":[{"a":1.5,"c":null},{"a":-1}]}"#, "{", "", "[1, \"x\", true", &"[".repeat(5000)] {
            assert_eq!(check(body.as_bytes(), Dialect::Strict), Ok(()), "{body:.40}");
        }
    }
}
