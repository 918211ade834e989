//! Attribute paths: `[urn:]name[.sub]` in filters and projections, and the same around a `[filter]` in PATCH.
//! It refuses to know which attributes there are; that is asked of `schema`.

use std::{fmt, str::FromStr};

use super::filter::{Filter, FilterError, Parser};

/// RFC 7644 §3.4.2.2: `attrPath = [URI ":"] ATTRNAME *1subAttr`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttrPath {
    pub schema: Option<String>,
    pub name: String,
    pub sub: Option<String>,
}

/// `ATTRNAME = ALPHA *(nameChar)`, and `$ref`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let rest = text.strip_prefix('$').unwrap_or(text);
    rest.starts_with(|c: char| c.is_ascii_alphabetic()) && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

impl AttrPath {
    /// # Errors
    /// With the position in the text.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        // URNs hold dots (`core:2.0`), so the last colon comes first.
        let (schema, rest) = match text.rsplit_once(':') {
            Some((schema, rest)) => (Some(schema), rest),
            None => (None, text),
        };
        let start = text.len() - rest.len();
        if let Some(schema) = schema {
            let sound = schema.contains(':') && schema.starts_with(|c: char| c.is_ascii_alphabetic());
            if !sound || !schema.chars().all(|c| c.is_ascii_graphic() && !"\"()[]\\".contains(c)) {
                return Err(FilterError::new(0, format_args!("{schema:?} is not the URN of a schema")));
            }
        }
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        for part in [Some(name), sub].into_iter().flatten() {
            if !is_name(part) {
                return Err(FilterError::new(start, format_args!("{part:?} is not the name of an attribute")));
            }
        }
        Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned(), sub: sub.map(str::to_owned) })
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}:")?;
        }
        f.write_str(&self.name)?;
        self.sub.as_ref().map_or(Ok(()), |sub| write!(f, ".{sub}"))
    }
}

/// RFC 7644 §3.5.2: `PATH = attrPath / valuePath [subAttr]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// With a filter, its `sub` is what stands behind the bracket.
    pub attribute: AttrPath,
    pub filter: Option<Filter>,
}

impl FromStr for Path {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Parser::path(text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(filter) = &self.filter else {
            return self.attribute.fmt(f);
        };
        if let Some(schema) = &self.attribute.schema {
            write!(f, "{schema}:")?;
        }
        write!(f, "{}[{filter}]", self.attribute.name)?;
        self.attribute.sub.as_ref().map_or(Ok(()), |sub| write!(f, ".{sub}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_printed() {
        for text in [
            "userName",
            "name.givenName",
            "emails[type eq \"work\"]",
            "emails[type eq \"work\" and primary eq true].value",
            "members[value eq \"2819c223-7f76-453a-919d-413861904646\"].$ref",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
            "urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq \"work\"].value",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        ] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            urn in proptest::option::of("urn:[a-z]{1,4}:[0-9]\\.[0-9]:[A-Z][a-z]{1,3}"), name in "[a-zA-Z][a-zA-Z0-9_-]{0,6}",
            sub in proptest::option::of("[a-z$][a-z]{1,4}"), filter in proptest::option::of(super::super::filter::tests::filter())
        ) {
            let path = Path { attribute: AttrPath { schema: urn, name, sub }, filter };
            // The filter of a path names parts of an element, of which there are none inside them.
            if let Ok(read) = path.to_string().parse::<Path>() {
                proptest::prop_assert_eq!(read, path);
            } else {
                proptest::prop_assert!(path.filter.is_some(), "{}", path);
            }
        }

        #[test]
        fn anything_like_a_path_is_read_or_refused(text in "([a-c.:]{0,3}|[ \\[\\]()]| eq | and |not|pr|\"[a\\\\]?\"?|1|true|urn:a:2\\.0:B){0,8}") {
            if let Ok(path) = text.parse::<Path>() {
                proptest::prop_assert_eq!(path.to_string().parse::<Path>(), Ok(path));
            }
        }
    }

    #[test]
    fn a_urn_keeps_its_dots() {
        let path = AttrPath::parse("urn:ietf:params:scim:schemas:core:2.0:User:name.givenName").unwrap();
        assert_eq!(path.schema.as_deref(), Some("urn:ietf:params:scim:schemas:core:2.0:User"));
        assert_eq!((path.name.as_str(), path.sub.as_deref()), ("name", Some("givenName")));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "",
            " ",
            "a b",
            ".a",
            "a.",
            "a.b.c",
            "1a",
            "a[",
            "a[b eq 1",
            "a[b eq 1]c",
            "a[b eq 1].",
            "a[b eq 1].c.d",
            "a[]",
            "a.b[c eq 1]",
            "userName eq 1",
            ":a",
            "x:a",
            "a]",
            "ä",
        ] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }
}
