//! `ETag` of what is shown, `If-Match` of what is changed (RFC 9110 section 13.1.1): a change that was made with an older version in mind
//! is refused with 412 `precondition_failed`.

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, header, request::Parts},
};

use crate::{
    app::App,
    http::{
        error::Problem,
        etag::{tags, version},
    },
    provision::Precondition,
};

/// What must be true of the version before the change is made. It is handed to the use case, which asks it inside its transaction.
pub struct IfMatch(pub Precondition);

impl FromRequestParts<App> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        match tags(&parts.headers, &header::IF_MATCH).as_slice() {
            [] => Ok(Self(Precondition::None)),
            [one] if one == "*" => Ok(Self(Precondition::Any)),
            // A tag that was never given out matches nothing.
            [one] => Ok(Self(Precondition::Version(version(one).unwrap_or(-1)))),
            _ => Err(Problem::invalid("if_match", "If-Match names more than one version; name the one that was read.").at("If-Match")),
        }
    }
}

/// The header that goes with what is shown.
pub fn etag(version: i64) -> (HeaderName, HeaderValue) {
    (header::ETAG, HeaderValue::from_str(&format!("\"{version}\"")).expect("a number is visible ASCII"))
}
