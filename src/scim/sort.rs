//! The order of a list by any attribute (RFC 7644 §3.4.2.3), as far as the list fits into memory. Keys compare by the attribute's type and
//! case; resources with equal keys follow their ids, so that the order is total.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    error::ScimError,
    list::SortOrder,
    path::AttrPath,
    schema::{Attribute, Kind, Schema, Target},
    value::is_primary,
};
use crate::domain::{name::fold, time::Timestamp};

/// Resources that are sorted at most; more are refused with `tooMany`.
pub const SORTED: usize = 100_000;

/// What a resource is sorted by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    Boolean(bool),
    Integer(i64),
    Decimal(f64),
    Time(i64),
    /// Folded unless the attribute is exact.
    Text(String),
    /// RFC 7644 §3.4.2.3: resources without a value "are ordered last if ascending and first if descending".
    Missing,
}

impl Key {
    fn rank(&self) -> u8 {
        match self {
            Self::Boolean(_) => 0,
            Self::Integer(_) => 1,
            Self::Decimal(_) => 2,
            Self::Time(_) => 3,
            Self::Text(_) => 4,
            Self::Missing => 5,
        }
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) | (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Decimal(a), Self::Decimal(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// The place of a resource in a sorted list.
#[must_use]
pub fn compare(a: (&Key, &str), b: (&Key, &str), order: SortOrder) -> Ordering {
    let by_key = match order {
        SortOrder::Ascending => a.0.cmp(b.0),
        SortOrder::Descending => b.0.cmp(a.0),
    };
    by_key.then_with(|| a.1.cmp(b.1))
}

/// Where the key stands in a document.
#[derive(Debug, Clone, Copy)]
pub struct Sorter<'a> {
    /// `None`: the schema has no such attribute, every resource is without it.
    target: Option<(Target<'a>, &'a Attribute)>,
}

impl<'a> Sorter<'a> {
    /// # Errors
    /// When the path names a complex attribute without a `value`: it has no order of its own.
    pub fn new(path: &AttrPath, schema: &'a Schema) -> Result<Self, ScimError> {
        let Some(target) = schema.lookup_anywhere(path) else { return Ok(Self { target: None }) };
        let Some(attribute) = target.attribute else { return Err(no_order(path)) };
        let leaf = match target.sub {
            Some(sub) => sub,
            // "If the attribute is complex […] the attribute's "value" sub-attribute", as filters have it.
            None if attribute.kind == Kind::Complex => attribute.sub("value").ok_or_else(|| no_order(path))?,
            None => attribute,
        };
        Ok(Self { target: Some((target, leaf)) })
    }

    #[must_use]
    pub fn key(&self, document: &Map<String, Value>) -> Key {
        let Some((target, leaf)) = self.target else { return Key::Missing };
        let level = match target.extension {
            None => Some(document),
            Some(extension) => document.get(&extension.urn).and_then(Value::as_object),
        };
        let value = target.attribute.and_then(|attribute| level?.get(&attribute.name));
        // "if it's a multi-valued attribute, […] by the value of the primary attribute, if any, or else the first value in the list".
        let value = match value {
            Some(Value::Array(items)) => items.iter().find(|item| is_primary(item)).or(items.first()),
            other => other,
        };
        let value = match value {
            Some(Value::Object(map)) => map.get(&leaf.name),
            other => other,
        };
        value.map_or(Key::Missing, |value| key(leaf, value))
    }
}

fn no_order(path: &AttrPath) -> ScimError {
    ScimError::path(format_args!("{path} has no order; sort by one of its parts, such as {path}.formatted or another."))
}

fn key(attribute: &Attribute, value: &Value) -> Key {
    match value {
        Value::Bool(value) => Key::Boolean(*value),
        Value::Number(number) => match (attribute.kind, number.as_i64()) {
            (Kind::Integer, Some(number)) => Key::Integer(number),
            _ => number.as_f64().map_or(Key::Missing, Key::Decimal),
        },
        Value::String(text) if text.is_empty() => Key::Missing,
        Value::String(text) if attribute.kind == Kind::DateTime => Timestamp::parse(text).map_or(Key::Missing, |at| Key::Time(at.millis())),
        Value::String(text) if attribute.case_exact => Key::Text(text.clone()),
        Value::String(text) => Key::Text(fold(text)),
        Value::Null | Value::Array(_) | Value::Object(_) => Key::Missing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::schema::{Schemas, enterprise};

    fn sorted(path: &str, order: SortOrder, documents: &[Value]) -> Vec<String> {
        let path = AttrPath::parse(path).unwrap();
        let sorter = Sorter::new(&path, &Schemas::standard().user).unwrap();
        let mut keyed: Vec<(Key, String)> =
            documents.iter().map(|d| (sorter.key(d.as_object().unwrap()), d["id"].as_str().unwrap().to_owned())).collect();
        keyed.sort_by(|a, b| compare((&a.0, &a.1), (&b.0, &b.1), order));
        keyed.into_iter().map(|(_, id)| id).collect()
    }

    #[test]
    fn texts_follow_their_case_rule_and_what_is_missing_comes_last() {
        let people = [
            json!({"id": "1", "userName": "bea", "externalId": "b"}),
            json!({"id": "2", "userName": "Anna", "externalId": "B"}),
            json!({"id": "3", "userName": "CLEO"}),
            json!({"id": "4", "userName": "anna", "externalId": ""}),
        ];
        assert_eq!(sorted("userName", SortOrder::Ascending, &people), ["2", "4", "1", "3"]);
        assert_eq!(sorted("userName", SortOrder::Descending, &people), ["3", "1", "2", "4"]);
        assert_eq!(sorted("externalId", SortOrder::Ascending, &people), ["2", "1", "3", "4"]);
        assert_eq!(sorted("externalId", SortOrder::Descending, &people), ["3", "4", "1", "2"]);
        assert_eq!(sorted("unknown", SortOrder::Ascending, &people), ["1", "2", "3", "4"]);
    }

    #[test]
    fn of_several_values_the_primary_one_counts_or_else_the_first() {
        let people = [
            json!({"id": "1", "emails": [{"value": "a@x"}, {"value": "z@x", "primary": true}]}),
            json!({"id": "2", "emails": [{"value": "m@x"}, {"value": "a@x"}]}),
        ];
        for path in ["emails", "emails.value"] {
            assert_eq!(sorted(path, SortOrder::Ascending, &people), ["2", "1"], "{path}");
        }
    }

    #[test]
    fn parts_extensions_and_dates_have_an_order() {
        let people = [
            json!({"id": "1", "name": {"familyName": "B"}, enterprise::URN: {"department": "b", "manager": {"value": "M"}}, "meta": {"created": "2026-01-01T01:00:00+02:00"}}),
            json!({"id": "2", "name": {"familyName": "a"}, enterprise::URN: {"department": "A", "manager": {"value": "m"}}, "meta": {"created": "2026-01-01T00:00:00Z"}}),
        ];
        let manager = format!("{}:manager", enterprise::URN);
        for (path, expected) in
            [("name.familyName", ["2", "1"]), ("department", ["2", "1"]), (manager.as_str(), ["1", "2"]), ("meta.created", ["1", "2"])]
        {
            assert_eq!(sorted(path, SortOrder::Ascending, &people), expected, "{path}");
        }
        let whole = AttrPath::parse("name").unwrap();
        assert!(Sorter::new(&whole, &Schemas::standard().user).is_err());
    }

    proptest::proptest! {
        #[test]
        fn the_order_is_total(a in proptest::num::f64::ANY, b in proptest::num::f64::ANY, text in ".{0,3}") {
            let keys = [Key::Decimal(a), Key::Decimal(b), Key::Text(text), Key::Missing, Key::Integer(7), Key::Boolean(true), Key::Time(0)];
            for x in &keys {
                for y in &keys {
                    proptest::prop_assert_eq!(x.cmp(y), y.cmp(x).reverse());
                }
            }
        }
    }
}
