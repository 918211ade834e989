//! Versions in headers (RFC 9110 sections 8.8.3 and 13.1), for SCIM and for the API.

use axum::http::{HeaderMap, HeaderName};

use crate::provision::Precondition;

/// Every tag of the header, `*` too.
pub fn tags(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(split).collect()
}

/// The tags of one line.
pub fn split(line: &str) -> impl Iterator<Item = String> {
    line.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned)
}

/// RFC 9110 section 13.1.1: "If the field value is a list of entity tags, the condition is true if any of the listed tags match".
pub fn one_of(tags: &[String]) -> Precondition {
    match tags {
        [] => Precondition::None,
        [one] if one == "*" => Precondition::Any,
        // A tag that was never given out matches nothing.
        tags => Precondition::OneOf(tags.iter().filter_map(|tag| version(tag)).collect()),
    }
}

/// Compared weakly: `W/"3"` and `"3"` are the same version.
pub fn version(tag: &str) -> Option<i64> {
    tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?.parse().ok().filter(|version| *version > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_same_weak_or_strong_and_nothing_else_is_one() {
        assert_eq!([version("W/\"3\""), version("\"3\"")], [Some(3); 2]);
        for wrong in ["3", "\"\"", "W/3", "\"a\"", "\"-1\"", "\"0\"", "w/\"3\""] {
            assert_eq!(version(wrong), None, "{wrong}");
        }
    }
}
