//! Versions in headers (RFC 7644 section 3.14, RFC 9110 section 13).

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use crate::{
    app::App,
    http::{
        error::{Kind, ScimFailure},
        etag::{tags, version},
    },
    provision::Precondition,
    scim::resource::Envelope,
};

/// `If-Match`: the change is made only to the version that the client has seen.
pub struct IfMatch(pub Precondition);

impl FromRequestParts<App> for IfMatch {
    type Rejection = ScimFailure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ScimFailure> {
        let tags = tags(&parts.headers, &header::IF_MATCH);
        match tags.as_slice() {
            [] => Ok(Self(Precondition::None)),
            [one] if one == "*" => Ok(Self(Precondition::Any)),
            // A tag that was never given out matches nothing.
            [one] => Ok(Self(Precondition::Version(version(one).unwrap_or(-1)))),
            _ => Err(ScimFailure::new(Kind::Invalid, "If-Match names more than one version; name the one that was read.")),
        }
    }
}

/// `If-None-Match`: the resource is sent only when it is not one of these versions.
pub struct IfNoneMatch(Vec<String>);

impl FromRequestParts<App> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(tags(&parts.headers, &header::IF_NONE_MATCH)))
    }
}

impl IfNoneMatch {
    pub fn has(&self, current: i64) -> bool {
        self.0.iter().any(|tag| tag == "*" || version(tag) == Some(current))
    }
}

/// As `If-Match`, of an operation in a bulk request.
pub fn precondition(sent: Option<&str>) -> Precondition {
    match sent.map(str::trim) {
        None | Some("") => Precondition::None,
        Some("*") => Precondition::Any,
        // A tag that was never given out matches nothing.
        Some(tag) => Precondition::Version(version(tag).unwrap_or(-1)),
    }
}

pub fn etag(version: i64) -> String {
    Envelope::etag(u64::try_from(version).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_a_version_is_read_back() {
        assert_eq!(version(&etag(3)), Some(3));
    }
}
