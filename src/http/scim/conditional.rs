//! Versions in headers (RFC 7644 section 3.14, RFC 9110 section 13).

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use crate::{
    app::App,
    http::etag::{one_of, split, tags, version},
    provision::Precondition,
    scim::resource::Envelope,
};

/// `If-Match`: the change is made only to a version that the client has seen.
pub struct IfMatch(pub Precondition);

impl FromRequestParts<App> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(one_of(&tags(&parts.headers, &header::IF_MATCH))))
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
    one_of(&split(sent.unwrap_or_default()).collect::<Vec<_>>())
}

pub fn etag(version: i64) -> String {
    Envelope::etag(u64::try_from(version).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_waits_for_one_of_the_versions_that_are_named() {
        assert_eq!([None, Some(""), Some(" , ")].map(precondition), [Precondition::None, Precondition::None, Precondition::None]);
        assert_eq!(precondition(Some("*")), Precondition::Any);
        assert_eq!(precondition(Some("W/\"3\", \"7\",\"x\"")), Precondition::OneOf(vec![3, 7]));
        for never in ["\"x\"", "3", "\"1\", *"] {
            assert!(matches!(precondition(Some(never)), Precondition::OneOf(versions) if !versions.contains(&3)), "{never}");
        }
    }

    #[test]
    fn the_tag_of_a_version_is_read_back() {
        assert_eq!(version(&etag(3)), Some(3));
    }
}
