//! Names that people and identity providers give things, and the one way in which they are folded for comparison.

use std::fmt;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use super::text::is_control_or_bidi;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{what} is empty")]
    Empty { what: &'static str },
    #[error("{what} is longer than {limit} characters")]
    TooLong { what: &'static str, limit: usize },
    #[error("{what} holds the character U+{code:04X}, which changes how text is shown: remove it", code = u32::from(*character))]
    Control { what: &'static str, character: char },
    #[error("{what} {text:?} is not a slug: 1 to 63 of a-z, 0-9 and inner hyphens")]
    NotASlug { what: &'static str, text: String },
    #[error("{text:?} is not an e-mail address")]
    NotAnEmail { text: String },
}

/// NFKC and full lower case: the key under which names that people cannot tell apart are equal.
/// Lower-casing can undo the normal form, so it is applied again; folding is idempotent.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = |text: &str| text.nfkc().flat_map(char::to_lowercase).nfkc().collect::<String>();
    let once = lower(text);
    let twice = lower(&once);
    if once == twice { once } else { lower(&twice) }
}

/// Whether a character leaves no mark of its own, so that two names that differ by it look the same: Unicode's
/// Default_Ignorable_Code_Point (DerivedCoreProperties.txt), which has the characters of no width, of direction, of variation and the tags.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn check<'a>(what: &'static str, text: &'a str, limit: usize) -> Result<&'a str, NameError> {
    if text.trim().is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.chars().count() > limit {
        return Err(NameError::TooLong { what, limit });
    }
    Ok(text)
}

/// Refuses a name that is not shown as it is written.
///
/// # Errors
/// When it holds a control or bidirectional character; the error names the first one.
pub fn check_shown(what: &'static str, text: &str) -> Result<(), NameError> {
    text.chars().find(|c| is_control_or_bidi(*c)).map_or(Ok(()), |character| Err(NameError::Control { what, character }))
}

/// A short name in addresses: 1 to 63 of `a-z`, `0-9` and inner hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let edges = !text.starts_with('-') && !text.ends_with('-');
        if (1..=63).contains(&text.len()) && edges && text.chars().all(inner) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::NotASlug { what: "slug", text: text.chars().take(80).collect() })
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name for people to read (of a role, an organization, an account): up to 256 characters, no control or bidirectional characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Title(String);

impl Title {
    /// # Errors
    /// When the text is empty, too long or holds control or bidirectional characters.
    pub fn parse(what: &'static str, text: &str) -> Result<Self, NameError> {
        let title = Self::stored(what, text)?;
        check_shown(what, text)?;
        Ok(title)
    }

    /// Reads a name from the database: one from before a release may hold bidirectional characters.
    ///
    /// # Errors
    /// When the text is empty or too long.
    pub fn stored(what: &'static str, text: &str) -> Result<Self, NameError> {
        check(what, text, 256).map(|text| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folded form, under which it is unique.
    #[must_use]
    pub fn key(&self) -> String {
        fold(&self.0)
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An e-mail address as people type it: one `@`, something on both sides, nothing that cannot be seen, at most 254 bytes.
/// Whether it exists is known only when a message arrives, so nothing finer is checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::NotAnEmail { text: text.chars().take(80).collect() };
        let (local, domain) = text.split_once('@').ok_or_else(refused)?;
        let sound = !local.is_empty() && !domain.is_empty() && !domain.contains('@') && text.len() <= 254;
        if sound && !text.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(refused())
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn key(&self) -> String {
        fold(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_the_same_fold_to_one_key() {
        assert_eq!(fold("Théme  Editor"), fold("THE\u{301}ME  EDITOR"));
        assert_eq!(fold("ﬁle"), "file");
        assert_ne!(fold("admin"), fold("аdmin"), "a Cyrillic letter stays another letter");
    }

    proptest::proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,40}") {
            proptest::prop_assert_eq!(fold(&fold(&text)), fold(&text));
        }
    }

    #[test]
    fn what_leaves_no_mark_is_invisible() {
        for c in ['\u{200b}', '\u{200d}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{ad}', '\u{e0061}', '\u{fe0f}', '\u{3164}'] {
            assert!(is_invisible(c), "{c:?}");
        }
        assert!("aZ0-_.@+ é ß 漢 ا क् ́ \u{a0}".chars().all(|c| !is_invisible(c)));
    }

    #[test]
    fn a_name_is_shown_as_it_is_written() {
        for (text, code) in [("a\u{202e}b", "U+202E"), ("a\tb", "U+0009"), ("\u{1b}[2J", "U+001B"), ("a\u{200f}", "U+200F")] {
            let error = Title::parse("name", text).unwrap_err().to_string();
            assert_eq!(error, format!("name holds the character {code}, which changes how text is shown: remove it"));
            assert_eq!(Title::stored("name", text).unwrap().as_str(), text);
        }
        assert!(Title::parse("name", "علی\u{200c}رضا").is_ok());
    }

    #[test]
    fn slugs_are_narrow() {
        assert!(Slug::parse("acme-eu").is_ok());
        for wrong in ["", "-a", "a-", "Acme", "a_b", "a b", &"a".repeat(64)] {
            assert!(Slug::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_needs_both_sides() {
        assert!(Email::parse("a@example.com").is_ok());
        for wrong in ["a", "@b", "a@", "a@b@c", "a b@c", "a@b\n", "a\u{202e}@b", "a\u{200b}@b"] {
            assert!(Email::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
