//! Templates that name an organization by what the identity says: `{custom.tenant_code | lower}`, `acme-{department | trim | lower}`.
//!
//! A template yields a text; that it is the slug of an existing organization is decided where it is used.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

const MAX_LEN: usize = 256;

/// Parsed; prints as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value { path: Vec<String>, filters: Vec<TextFilter> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextFilter {
    Lower,
    Upper,
    Trim,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the template is empty or longer than {MAX_LEN} bytes")]
    Length,
    #[error("column {column}: a brace is not paired; write {{attribute}} or {{attribute | lower}}")]
    Brace { column: usize },
    #[error("column {column}: {name:?} is not an attribute; letters, digits, `_`, `-` and dots were expected")]
    Attribute { column: usize, name: String },
    #[error("column {column}: {name:?} is not known; lower, upper and trim are")]
    Filter { column: usize, name: String },
    #[error("the template names no attribute; use a fixed organization instead")]
    Constant,
}

impl Template {
    /// # Errors
    /// When the text is no template; the message names the column.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() || text.len() > MAX_LEN {
            return Err(TemplateError::Length);
        }
        let mut parts = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let column = at + 1;
            if let Some(inner) = rest.strip_prefix('{') {
                let end = inner.find(['{', '}']).filter(|&end| inner[end..].starts_with('}')).ok_or(TemplateError::Brace { column })?;
                parts.push(Part::value(&inner[..end], column)?);
                at += end + 2;
            } else {
                let end = rest.find(['{', '}']).unwrap_or(rest.len());
                if rest[end..].starts_with('}') {
                    return Err(TemplateError::Brace { column: column + end });
                }
                parts.push(Part::Literal(rest[..end].to_owned()));
                at += end;
            }
        }
        if parts.iter().any(|part| matches!(part, Part::Value { .. })) {
            Ok(Self { text: text.to_owned(), parts })
        } else {
            Err(TemplateError::Constant)
        }
    }

    /// The attributes it names, with dots.
    pub fn attributes(&self) -> impl Iterator<Item = String> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value { path, .. } => Some(path.join(".")),
            Part::Literal(_) => None,
        })
    }

    /// The text for one identity; `None` when a named attribute is missing, empty, has several values or is no text.
    #[must_use]
    pub fn resolve(&self, identity: &Map<String, Value>) -> Option<String> {
        let mut resolved = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => resolved.push_str(literal),
                Part::Value { path, filters } => {
                    let value = single(&find(identity, path)?)?;
                    let value = filters.iter().fold(value, |value, filter| filter.apply(&value));
                    if value.is_empty() {
                        return None;
                    }
                    resolved.push_str(&value);
                }
            }
        }
        Some(resolved)
    }
}

impl Part {
    fn value(inner: &str, column: usize) -> Result<Self, TemplateError> {
        let mut pieces = inner.split('|').map(str::trim);
        let name = pieces.next().unwrap_or_default();
        let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !name.split('.').all(word) {
            return Err(TemplateError::Attribute { column, name: name.to_owned() });
        }
        let filters = pieces.map(|name| match name {
            "lower" => Ok(TextFilter::Lower),
            "upper" => Ok(TextFilter::Upper),
            "trim" => Ok(TextFilter::Trim),
            _ => Err(TemplateError::Filter { column, name: name.to_owned() }),
        });
        Ok(Self::Value { filters: filters.collect::<Result<_, _>>()?, path: name.split('.').map(str::to_owned).collect() })
    }
}

impl TextFilter {
    fn apply(self, text: &str) -> String {
        match self {
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
            Self::Trim => text.trim().to_owned(),
        }
    }
}

/// Attribute names are compared without case (RFC 7643 §2.1).
fn find<'a>(attributes: &'a Map<String, Value>, path: &[String]) -> Option<Vec<&'a Value>> {
    let (name, rest) = path.split_first()?;
    let value =
        attributes.get(name).or_else(|| attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))?;
    let values: Vec<&Value> = value.as_array().map_or_else(|| vec![value], |values| values.iter().collect());
    if rest.is_empty() {
        return Some(values);
    }
    Some(values.into_iter().filter_map(Value::as_object).filter_map(|inner| find(inner, rest)).flatten().collect())
}

/// Several values are no value: which one came first is chance.
fn single(values: &[&Value]) -> Option<String> {
    let [value] = values else { return None };
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolve(template: &str, identity: Value) -> Option<String> {
        let Value::Object(identity) = identity else { unreachable!("tests give objects") };
        Template::parse(template).unwrap().resolve(&identity)
    }

    #[test]
    fn a_template_takes_the_one_value_through_its_filters() {
        assert_eq!(resolve("{custom.tenant_code | trim | lower}", json!({"custom": {"tenant_code": " ACME "}})).unwrap(), "acme");
        assert_eq!(resolve("acme-{Department}-x", json!({"department": "eu"})).unwrap(), "acme-eu-x");
        assert_eq!(resolve("{manager.value}", json!({"manager": {"value": "m1"}})).unwrap(), "m1");
        assert_eq!(resolve("{costCenter}", json!({"costCenter": ["7"]})).unwrap(), "7");
    }

    #[test]
    fn what_is_missing_empty_or_many_resolves_to_nothing() {
        for identity in
            [json!({}), json!({"a": ""}), json!({"a": ["x", "y"]}), json!({"a": {"b": "c"}}), json!({"a": true}), json!({"a": []})]
        {
            assert_eq!(resolve("{a}", identity.clone()), None, "{identity}");
        }
        assert_eq!(resolve("{a | trim}", json!({"a": "  "})), None);
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_column() {
        assert_eq!(Template::parse(""), Err(TemplateError::Length));
        assert_eq!(Template::parse("acme"), Err(TemplateError::Constant));
        assert_eq!(Template::parse("ab{c"), Err(TemplateError::Brace { column: 3 }));
        assert_eq!(Template::parse("ab}c{d}"), Err(TemplateError::Brace { column: 3 }));
        assert_eq!(Template::parse("{a{b}}"), Err(TemplateError::Brace { column: 1 }));
        assert_eq!(Template::parse("é{}"), Err(TemplateError::Attribute { column: 3, name: String::new() }));
        assert_eq!(Template::parse("{a|shout}"), Err(TemplateError::Filter { column: 1, name: "shout".into() }));
    }

    #[test]
    fn a_template_is_stored_as_it_was_written() {
        let template = Template::parse("x-{a|lower}").unwrap();
        assert_eq!(serde_json::to_value(&template).unwrap(), json!("x-{a|lower}"));
        assert_eq!(serde_json::from_value::<Template>(json!("x-{a|lower}")).unwrap(), template);
        assert!(serde_json::from_value::<Template>(json!("x")).is_err());
    }
}
