//! Versions in headers (RFC 7644 section 3.14, RFC 9110 section 13).

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};

use crate::{app::App, provision::Precondition, scim::resource::Envelope};

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

fn tags(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(split).collect()
}

/// Compared weakly: `W/"3"` and `"3"` are the same version.
fn version(tag: &str) -> Option<i64> {
    tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?.parse().ok().filter(|version| *version > 0)
}

/// RFC 9110 section 13.1.1: "If the field value is a list of entity tags, the condition is true if any of the listed tags match".
fn one_of(tags: &[String]) -> Precondition {
    match tags {
        [] => Precondition::None,
        [one] if one == "*" => Precondition::Any,
        // A tag that was never given out matches nothing.
        tags => Precondition::OneOf(tags.iter().filter_map(|tag| version(tag)).collect()),
    }
}

/// As `If-Match`, of an operation in a bulk request.
pub fn precondition(sent: Option<&str>) -> Precondition {
    one_of(&split(sent.unwrap_or_default()).collect::<Vec<_>>())
}

fn split(line: &str) -> impl Iterator<Item = String> {
    line.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned)
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
    fn a_version_is_the_same_weak_or_strong_and_nothing_else_is_one() {
        assert_eq!([version("W/\"3\""), version("\"3\""), version(&etag(3))], [Some(3); 3]);
        for wrong in ["3", "\"\"", "W/3", "\"a\"", "\"-1\"", "\"0\"", "w/\"3\""] {
            assert_eq!(version(wrong), None, "{wrong}");
        }
    }
}
