//! A place on this host, where a browser may be sent after a sign-in: never another host, whatever is written.

use percent_encoding::percent_decode_str;
use url::Url;

/// A path with its query and fragment, as a `Location` header takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPath(String);

/// Longer ones lead nowhere here.
const MAX: usize = 2048;

impl LocalPath {
    /// `None` for everything that a browser could take for another host: `//host`, `/\host`, a scheme, tabs and line ends in between.
    /// The path may not hide these behind percent signs, because a proxy or an application may decode it. A query may.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX || !text.starts_with('/') || text.chars().any(|c| c.is_control() || c == '\\') {
            return None;
        }
        let base = Url::parse("https://here.invalid/").expect("a constant address");
        let url = base.join(text).ok().filter(|url| url.origin() == base.origin() && url.username().is_empty())?;
        let target = &url[url::Position::BeforePath..];
        // What `..` was resolved to must not begin like a host either.
        (!target.starts_with("//") && !hides_delimiter(url.path())).then(|| Self(target.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether an escape of the path stands for a slash, a backslash, a control character, no character at all, or for another escape.
fn hides_delimiter(path: &str) -> bool {
    path.split('/').any(|segment| {
        let Ok(decoded) = percent_decode_str(segment).decode_utf8() else { return true };
        decoded.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) || percent_decode_str(&decoded).count() < decoded.len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_host_pass_with_query_and_fragment() {
        for (text, expected) in [
            ("/", "/"),
            ("/me", "/me"),
            ("/a/b?c=d&e=/f#g", "/a/b?c=d&e=/f#g"),
            ("/ä b", "/%C3%A4%20b"),
            ("/a?next=https://x.example", "/a?next=https://x.example"),
            ("/../me", "/me"),
            ("/caf%C3%A9/a%20b%3Bc", "/caf%C3%A9/a%20b%3Bc"),
            ("/done/100%25", "/done/100%25"),
            ("/a?next=%2F%2Fx.example%5c%0d%0a&twice=%252F#%2F", "/a?next=%2F%2Fx.example%5c%0d%0a&twice=%252F#%2F"),
        ] {
            assert_eq!(LocalPath::parse(text).unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn whatever_could_lead_elsewhere_is_refused() {
        let long = format!("/{}", "a".repeat(MAX));
        for text in [
            "",
            "me",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            " /me",
            "/\t/evil.example",
            "/\n/evil.example",
            "/me\r\nSet-Cookie: a=b",
            "/..//evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/%09/evil.example",
            "/%2f%2fevil.example",
            "/%2Fevil.example",
            "/%5cevil.example",
            "/a/%5C%5Cevil.example",
            "/%0d%0aSet-Cookie:%20a=b",
            "/%00",
            "/%7f",
            "/%c2%85/evil.example",
            "/%c0%afevil.example",
            "/%252f%252fevil.example",
            "/%25%32%66evil.example",
            "/%2525252fevil.example",
            "/%2e%2e/%2e%2e//evil.example",
            &long,
        ] {
            assert_eq!(LocalPath::parse(text), None, "{text:?}");
        }
    }
}
