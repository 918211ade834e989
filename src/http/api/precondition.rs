//! `ETag` of what is shown, `If-Match` of what is changed (RFC 9110 section 13.1.1): a change that was made with an older version in mind
//! is refused with 412 `precondition_failed`.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, header, request::Parts},
};

use crate::{
    app::App,
    http::etag::{one_of, tags},
    provision::Precondition,
};

/// What must be true of the version before the change is made. It is handed to the use case, which asks it inside its transaction.
pub struct IfMatch(pub Precondition);

impl FromRequestParts<App> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(one_of(&tags(&parts.headers, &header::IF_MATCH))))
    }
}

/// The header that goes with what is shown.
pub fn etag(version: i64) -> (HeaderName, HeaderValue) {
    (header::ETAG, HeaderValue::from_str(&format!("\"{version}\"")).expect("a number is visible ASCII"))
}
