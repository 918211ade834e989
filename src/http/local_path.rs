//! A place on this host, where a browser may be sent after a sign-in: never another host, whatever is written.

use url::Url;

/// A path with its query and fragment, as a `Location` header takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPath(String);

/// Longer ones lead nowhere here.
const MAX: usize = 2048;

impl LocalPath {
    /// `None` for everything that a browser could take for another host: `//host`, `/\host`, a scheme, tabs and line ends in between.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX || !text.starts_with('/') || text.chars().any(|c| c.is_control() || c == '\\') {
            return None;
        }
        let base = Url::parse("https://here.invalid/").expect("a constant address");
        let url = base.join(text).ok().filter(|url| url.origin() == base.origin() && url.username().is_empty())?;
        let path = &url[url::Position::BeforePath..];
        // What `..` was resolved to must not begin like a host either.
        (!path.starts_with("//")).then(|| Self(path.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
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
            &long,
        ] {
            assert_eq!(LocalPath::parse(text), None, "{text:?}");
        }
    }
}
