//! Filters: the grammar of RFC 7644 §3.4.2.2, one for API filters, PATCH value paths and mapping rules.
//!
//! It refuses to know which attributes there are until it is evaluated: an attribute that the schema does not have is absent.

mod evaluate;
mod parse;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    error::{ErrorKind, ScimError},
    path::AttrPath,
};

pub use evaluate::matches_element;
pub(super) use parse::Parser;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    Eq,
    Ne,
    Co,
    Sw,
    Ew,
    Gt,
    Lt,
    Ge,
    Le,
}

impl Operator {
    const ALL: [Self; 9] = [Self::Eq, Self::Ne, Self::Co, Self::Sw, Self::Ew, Self::Gt, Self::Lt, Self::Ge, Self::Le];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Co => "co",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Gt => "gt",
            Self::Lt => "lt",
            Self::Ge => "ge",
            Self::Le => "le",
        }
    }

    /// Whether it asks for an order.
    #[must_use]
    pub fn orders(self) -> bool {
        matches!(self, Self::Gt | Self::Lt | Self::Ge | Self::Le)
    }
}

/// What an attribute is compared with: a JSON literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    Null,
    Boolean(bool),
    Number(serde_json::Number),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Compare {
        path: AttrPath,
        op: Operator,
        value: Literal,
    },
    Present(AttrPath),
    /// `emails[type eq "work"]`: some element satisfies the inner filter, whose paths name sub-attributes.
    Element {
        path: AttrPath,
        filter: Box<Filter>,
    },
}

/// Where a filter or path stops making sense, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {}: {message}", position + 1)]
pub struct FilterError {
    /// In bytes, from 0.
    pub position: usize,
    pub message: String,
}

impl FilterError {
    pub(super) fn new(position: usize, message: impl fmt::Display) -> Self {
        Self { position, message: message.to_string() }
    }
}

impl From<FilterError> for ScimError {
    fn from(error: FilterError) -> Self {
        Self::new(ErrorKind::InvalidFilter, format_args!("The filter cannot be read {error}."))
    }
}

impl Filter {
    /// Reads a filter of at most 4 KiB, nested at most 32 deep, of at most 256 parts.
    ///
    /// # Errors
    /// With the position and what was expected there.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Parser::filter(text)
    }

    /// The paths it names, outermost first; those inside `[…]` are relative to the element.
    pub fn attributes(&self) -> impl Iterator<Item = &AttrPath> {
        let mut rest = vec![self];
        std::iter::from_fn(move || {
            loop {
                match rest.pop()? {
                    Self::And(left, right) | Self::Or(left, right) => rest.extend([&**right, &**left]),
                    Self::Not(inner) => rest.push(inner),
                    Self::Compare { path, .. } | Self::Present(path) => return Some(path),
                    Self::Element { path, filter } => {
                        rest.push(filter);
                        return Some(path);
                    }
                }
            }
        })
    }

    /// As [`Filter::attributes`], with those inside `[…]` written out: `groups[value eq "x"]` names `groups` and `groups.value`.
    #[must_use]
    pub fn full_paths(&self) -> Vec<AttrPath> {
        match self {
            Self::And(left, right) | Self::Or(left, right) => [left.full_paths(), right.full_paths()].concat(),
            Self::Not(inner) => inner.full_paths(),
            Self::Compare { path, .. } | Self::Present(path) => vec![path.clone()],
            Self::Element { path, filter } => {
                let inner = filter.full_paths().into_iter().map(|inner| AttrPath { sub: Some(inner.name), ..path.clone() });
                std::iter::once(path.clone()).chain(inner).collect()
            }
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

/// Stored and sent as its text.
impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => value.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => serde_json::Value::from(text.as_str()).fmt(f),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// `and` and `or` are read from the left, `and` before `or`; whatever stands otherwise gets parentheses.
        fn operand(f: &mut fmt::Formatter<'_>, filter: &Filter, bare: bool) -> fmt::Result {
            if bare { write!(f, "{filter}") } else { write!(f, "({filter})") }
        }
        match self {
            Self::And(left, right) => {
                operand(f, left, !matches!(**left, Self::Or(..)))?;
                f.write_str(" and ")?;
                operand(f, right, !matches!(**right, Self::Or(..) | Self::And(..)))
            }
            Self::Or(left, right) => {
                operand(f, left, true)?;
                f.write_str(" or ")?;
                operand(f, right, !matches!(**right, Self::Or(..)))
            }
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Compare { path, op, value } => write!(f, "{path} {} {value}", op.as_str()),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::Element { path, filter } => write!(f, "{path}[{filter}]"),
        }
    }
}

#[cfg(test)]
pub(in crate::scim) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = String> {
        "[a-zA-Z][a-zA-Z0-9_-]{0,6}"
    }

    fn path() -> impl Strategy<Value = AttrPath> {
        let urn = proptest::option::of("urn:[a-z]{1,4}:[0-9]\\.[0-9]:[A-Z][a-z]{1,3}");
        (urn, name(), proptest::option::of(name())).prop_map(|(schema, name, sub)| AttrPath { schema, name, sub })
    }

    fn literal() -> impl Strategy<Value = Literal> {
        prop_oneof![
            Just(Literal::Null),
            any::<bool>().prop_map(Literal::Boolean),
            any::<i64>().prop_map(|n| Literal::Number(n.into())),
            any::<f64>().prop_filter_map("finite", |n| serde_json::Number::from_f64(n).map(Literal::Number)),
            any::<String>().prop_map(|text| Literal::Text(text.replace('\0', ""))),
        ]
    }

    fn simple(path: impl Strategy<Value = AttrPath> + Clone) -> impl Strategy<Value = Filter> {
        let op = proptest::sample::select(&Operator::ALL[..]);
        prop_oneof![
            path.clone().prop_map(Filter::Present),
            (path, op, literal()).prop_map(|(path, op, value)| Filter::Compare { path, op, value }),
        ]
    }

    fn combined(leaf: impl Strategy<Value = Filter> + 'static) -> impl Strategy<Value = Filter> {
        leaf.prop_recursive(4, 16, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::And(Box::new(a), Box::new(b))),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::Or(Box::new(a), Box::new(b))),
                inner.prop_map(|a| Filter::Not(Box::new(a))),
            ]
        })
    }

    pub fn filter() -> impl Strategy<Value = Filter> {
        let whole = |path: AttrPath| AttrPath { sub: None, ..path };
        let inner = name().prop_map(|name| AttrPath { schema: None, name, sub: None }).boxed();
        let element = (path(), combined(simple(inner)))
            .prop_map(move |(path, filter)| Filter::Element { path: whole(path), filter: Box::new(filter) });
        combined(prop_oneof![3 => simple(path().boxed()), 1 => element])
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(filter in filter()) {
            let text = filter.to_string();
            prop_assume!(text.len() <= parse::LENGTH);
            prop_assert_eq!(Filter::parse(&text), Ok(filter), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let _ = Filter::parse(&text);
        }

        #[test]
        fn anything_like_a_filter_is_read_or_refused(text in "([a-c.:]{0,3}|[ \\[\\]()]| eq | and | or |not|pr|\"[a\\\\]?\"?|1|true){0,12}") {
            if let Ok(filter) = Filter::parse(&text) {
                prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
            }
        }
    }

    #[test]
    fn a_filter_names_its_attributes_in_reading_order() {
        let filter = Filter::parse("a eq 1 and (b.c pr or not (d[e eq 2])) and f pr").unwrap();
        let names: Vec<_> = filter.attributes().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "b.c", "d", "e", "f"]);
    }

    #[test]
    fn a_filter_is_stored_as_its_text() {
        let filter = Filter::parse(r#"department EQ "R&D""#).unwrap();
        let json = serde_json::to_string(&filter).unwrap();
        assert_eq!(json, r#""department eq \"R&D\"""#);
        assert_eq!(serde_json::from_str::<Filter>(&json).unwrap(), filter);
    }
}
