//! Columns as values: identifiers, times, words of enums and documents, read back with [`DbError::Corrupt`] where they cannot be.

use serde::{Serialize, de::DeserializeOwned};

use super::engine::DbError;
use crate::domain::{id::Id, time::Timestamp};

pub(super) fn id<Kind>(what: &'static str, text: &str) -> Result<Id<Kind>, DbError> {
    Id::parse(text).map_err(|error| DbError::corrupt(what, &error))
}

pub(super) fn optional_id<Kind>(what: &'static str, text: Option<&str>) -> Result<Option<Id<Kind>>, DbError> {
    text.map(|text| id(what, text)).transpose()
}

pub(super) fn time(at_ms: Option<i64>) -> Option<Timestamp> {
    at_ms.map(Timestamp::from_millis)
}

pub(super) fn document<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|error| DbError::corrupt(what, &error))
}

pub(super) fn to_document<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("values of the domain have text keys and no failing parts")
}

/// A variant of an enum without data, by the name that serde gives it.
pub(super) fn word<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, DbError> {
    T::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text)).map_err(|error| DbError::corrupt(what, &error))
}

pub(super) fn to_word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("a variant without data is written as its name, not as {other:?}"),
    }
}

pub(super) fn number(what: &'static str, text: &str) -> Result<i64, DbError> {
    text.parse().map_err(|error| DbError::corrupt(what, &format!("{text:?}: {error}")))
}

/// `1` or `0`, for a truth value inside a text: the engines write it differently.
pub(super) fn truth(what: &'static str, text: &str) -> Result<bool, DbError> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        other => Err(DbError::corrupt(what, other)),
    }
}

/// `''` stands for none where the column is part of a key.
pub(super) fn id_or_empty<Kind>(what: &'static str, text: &str) -> Result<Option<Id<Kind>>, DbError> {
    if text.is_empty() { Ok(None) } else { id(what, text).map(Some) }
}
