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
        etag::{one_of, tags},
    },
    provision::Precondition,
};

/// What must be true of the version before the change is made. It is handed to the use case, which asks it inside its transaction.
pub struct IfMatch(pub Precondition);

impl FromRequestParts<App> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let tags = tags(&parts.headers, &header::IF_MATCH);
        if tags.len() != 1 || tags[0] != "*" {
            // RFC 9110 section 8.8.3: an entity tag is quoted.
            let is_tag = |tag: &&String| tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"').is_some_and(|rest| rest.ends_with('"'));
            if let Some(wrong) = tags.iter().find(|tag| !is_tag(tag)) {
                let shown: String = wrong.chars().take(64).collect();
                let detail = format!(
                    "If-Match has {shown:?}, which is no entity tag: send the ETag as it was read, with its quotation marks, or *."
                );
                return Err(Problem::invalid("if_match", detail).at("If-Match"));
            }
        }
        Ok(Self(one_of(&tags)))
    }
}

/// The header that goes with what is shown.
pub fn etag(version: i64) -> (HeaderName, HeaderValue) {
    (header::ETAG, HeaderValue::from_str(&format!("\"{version}\"")).expect("a number is visible ASCII"))
}
