//! Columns as domain values. What cannot be read was not written by this product, and is said to be corrupt.

use serde::{Serialize, de::DeserializeOwned};

use super::DbError;
use crate::domain::{id::Id, time::Timestamp};

pub(super) fn id<Kind>(what: &'static str, text: &str) -> Result<Id<Kind>, DbError> {
    Id::parse(text).map_err(|error| DbError::corrupt(what, &error))
}

pub(super) fn optional_id<Kind>(what: &'static str, text: Option<&str>) -> Result<Option<Id<Kind>>, DbError> {
    text.map(|text| id(what, text)).transpose()
}

/// `''` stands for none where the column is part of a key.
pub(super) fn id_or_empty<Kind>(what: &'static str, text: &str) -> Result<Option<Id<Kind>>, DbError> {
    if text.is_empty() { Ok(None) } else { id(what, text).map(Some) }
}

pub(super) fn word<T>(what: &'static str, text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, DbError> {
    parse(text).ok_or_else(|| DbError::corrupt(what, text))
}

pub(super) fn json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|error| DbError::corrupt(what, &error))
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own values have text keys and no failing serializers")
}

pub(super) fn time(at_ms: Option<i64>) -> Option<Timestamp> {
    at_ms.map(Timestamp::from_millis)
}
