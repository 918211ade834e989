//! Versions in headers (RFC 7644 section 3.14, RFC 9110 section 13).

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};

use crate::{
    app::App,
    http::error::{Kind, ScimFailure},
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

fn tags(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

/// Compared weakly: `W/"3"` and `"3"` are the same version.
fn version(tag: &str) -> Option<i64> {
    tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?.parse().ok().filter(|version| *version > 0)
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
    fn a_version_is_the_same_weak_or_strong_and_nothing_else_is_one() {
        assert_eq!([version("W/\"3\""), version("\"3\""), version(&etag(3))], [Some(3); 3]);
        for wrong in ["3", "\"\"", "W/3", "\"a\"", "\"-1\"", "\"0\"", "w/\"3\""] {
            assert_eq!(version(wrong), None, "{wrong}");
        }
    }
}
