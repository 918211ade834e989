//! Characters that a reader does not see but that change how the text around them is shown.

use std::{borrow::Cow, fmt::Write as _};

/// Returns true for a control character, a line or paragraph separator, and a character with Unicode's property Bidi_Control.
/// Joiners of no width are none of these: names in Persian and in the languages of India need them.
#[must_use]
pub fn is_control_or_bidi(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces each such character by what `escape` writes, unless it is one of `allowed`.
fn escape<'a>(text: &'a str, allowed: &[char], mut escape: impl FnMut(&mut String, char)) -> Cow<'a, str> {
    let is_unsafe = |c: char| is_control_or_bidi(c) && !allowed.contains(&c);
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) { escape(&mut escaped, c) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

/// Returns the text as people may safely read it: `\u{202e}`, `\n` or `\u{1b}` in the place of the character.
#[must_use]
pub fn visible<'a>(text: &'a str, allowed: &[char]) -> Cow<'a, str> {
    escape(text, allowed, |to, c| to.extend(c.escape_default()))
}

/// Returns JSON whose strings hold the characters as JSON escapes, so that a program reads the same values.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    escape(json, &['\n'], |to, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(to, "\\u{unit:04x}").expect("a String takes every write");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_and_directions_are_shown_as_escapes() {
        let text = "ada\u{1b}[2J\u{9b}31m\r\nroot\u{202e}nimda\u{2066}\u{200f}\u{61c}\u{2028}\u{7f}";
        let shown = r"ada\u{1b}[2J\u{9b}31m\r\nroot\u{202e}nimda\u{2066}\u{200f}\u{61c}\u{2028}\u{7f}";
        assert_eq!(visible(text, &[]), shown);
        assert_eq!(visible("a\nb\u{202e}", &['\n']), "a\nb\\u{202e}");
    }

    #[test]
    fn names_of_all_scripts_stay_as_they_are() {
        for name in ["علی\u{200c}رضا", "ක්\u{200d}ය", "क्\u{200d}ष", "דוד", "Zoë O’Neil-Łuk", "  ada  ", "王芳", "👩\u{200d}💻"]
        {
            assert!(matches!(visible(name, &[]), Cow::Borrowed(same) if same == name), "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn json_says_the_same_to_a_program(text in "(\\PC|[\u{0}-\u{9f}\u{202a}-\u{202e}\u{2066}-\u{2069}\u{2028}]){0,20}") {
            let json = serde_json::to_string_pretty(&[&text]).unwrap();
            let shown = visible_json(&json);
            proptest::prop_assert!(!shown.chars().any(|c| is_control_or_bidi(c) && c != '\n'));
            proptest::prop_assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), [text]);
        }
    }
}
