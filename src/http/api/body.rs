//! What requests to the API send: bodies and the parameters of lists.

use axum::{Json, extract::rejection::JsonRejection};
use serde::de::DeserializeOwned;

use crate::http::error::{Kind, Problem};

/// Rows of a list when the client does not say how many, and at most.
const PAGE: i64 = 100;
const MAX_PAGE: i64 = 1000;

pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    Json::from_bytes(body).map(|Json(value)| value).map_err(|rejection| match rejection {
        JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_) => Problem::invalid("body", rejection.body_text()),
        rejection => Problem::new(Kind::Invalid, "body", rejection.body_text()),
    })
}

pub fn limit(sent: Option<i64>) -> Result<i64, Problem> {
    match sent {
        None => Ok(PAGE),
        Some(limit) if limit >= 1 => Ok(limit.min(MAX_PAGE)),
        Some(_) => Err(Problem::invalid("limit", "limit is a whole number above 0.")),
    }
}
