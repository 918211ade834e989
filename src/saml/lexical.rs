//! The smallest parts of XML: characters, names, references and the attributes of a tag, read strictly. The XML reader is lenient
//! about some of them and libxml2 repairs others; what is accepted here leaves neither anything to interpret.

/// XML 1.0, production \[2\].
pub(super) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

pub(super) fn is_ncname(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// XML's own five entities and character references.
pub(super) fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) if hex.len() <= 8 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok()?,
                None if number.len() <= 8 && number.bytes().all(|b| b.is_ascii_digit()) => number.parse().ok()?,
                _ => return None,
            };
            char::from_u32(code).filter(|c| is_xml_char(*c))
        }
    }
}

/// Attribute-value normalization of XML 1.0, section 3.3.3 (every attribute is CDATA, as there is no DTD).
pub(super) fn attribute_value(raw: &str) -> Option<String> {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        value.push_str(&rest[..at]);
        let (special, after) = rest[at..].split_at(1);
        rest = after;
        if special == "&" {
            let (name, after) = rest.split_once(';')?;
            value.push(entity(name)?);
            rest = after;
        } else {
            // Line ends are normalized first: CR LF is one character.
            if special == "\r" {
                rest = rest.strip_prefix('\n').unwrap_or(rest);
            }
            value.push(' ');
        }
    }
    value.push_str(rest);
    Some(value)
}

/// Splits what follows the name in a tag into names and raw values, as XML's grammar has it and not a bit more.
pub(super) fn attributes(raw: &str) -> Result<Vec<(&str, &str)>, &'static str> {
    const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
    let mut found = Vec::new();
    let mut rest = raw;
    loop {
        let trimmed = rest.trim_start_matches(SPACE);
        if trimmed.is_empty() {
            return Ok(found);
        }
        if trimmed.len() == rest.len() {
            return Err("no space before an attribute");
        }
        let (name, after) = trimmed.split_once('=').ok_or("an attribute without a value")?;
        let after = after.trim_start_matches(SPACE);
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or("an attribute value without quotes")?;
        let (value, after) = after[1..].split_once(quote).ok_or("an attribute value without its end")?;
        if value.contains('<') {
            return Err("a less-than sign in an attribute value");
        }
        found.push((name.trim_end_matches(SPACE), value));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_split_as_xml_has_them() {
        assert_eq!(attributes("").unwrap(), []);
        assert_eq!(attributes(" a = \"1'\"\n\tb='2\"' ").unwrap(), [("a", "1'"), ("b", "2\"")]);
        for wrong in ["a=\"1\"", " a=\"1\"b=\"2\"", " a", " a=", " a=1", " a=\"1", " a=\"<\"", " a=\"1\" /", " a=\"1\"=\"2\""] {
            let names_hold = attributes(wrong).is_ok_and(|found| found.iter().all(|(name, _)| is_ncname(name)));
            assert!(!names_hold, "{wrong:?}");
        }
    }

    #[test]
    fn attribute_values_are_normalized_and_references_resolved() {
        assert_eq!(attribute_value("a\r\nb\tc\rd").unwrap(), "a b c d");
        assert_eq!(attribute_value("&lt;&#10;&#x41;&quot;&apos;&amp;amp;").unwrap(), "<\nA\"'&amp;");
        for wrong in ["&", "&;", "&nbsp;", "&#;", "&#x;", "&#0;", "&#xFFFE;", "&#xD800;", "&#-1;", "&#+1;", "&#999999999999;", "&#x110000;"]
        {
            assert_eq!(attribute_value(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn names_are_plain() {
        assert!(is_ncname("a") && is_ncname("_a-1.x"));
        for wrong in ["", "1a", "-a", ".a", "a:b", "a b", "é", "a/"] {
            assert!(!is_ncname(wrong), "{wrong:?}");
        }
    }
}
