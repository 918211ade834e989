//! Reading filters and PATCH paths: recursive descent over bytes, each limit checked before anything is built.

use super::{Filter, FilterError, Literal, Operator};
use crate::scim::path::{AttrPath, Path};

/// In bytes.
pub const LENGTH: usize = 4096;
pub const DEPTH: usize = 32;
pub const NODES: usize = 256;

pub struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    nodes: usize,
}

type Parsed<T> = Result<T, FilterError>;

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parsed<Self> {
        if text.len() > LENGTH {
            return Err(FilterError::new(LENGTH, format_args!("it has {} bytes; at most {LENGTH} are read", text.len())));
        }
        Ok(Self { text, at: 0, depth: 0, nodes: 0 })
    }

    pub fn filter(text: &'a str) -> Parsed<Filter> {
        let mut parser = Self::new(text)?;
        let filter = parser.or(false)?;
        parser.spaces();
        if parser.at < text.len() { Err(parser.error("'and', 'or' or the end was expected")) } else { Ok(filter) }
    }

    /// `PATH = attrPath / valuePath [subAttr]`
    pub fn path(text: &'a str) -> Parsed<Path> {
        let mut parser = Self::new(text)?;
        let mut attribute = parser.attr_path()?;
        let mut filter = None;
        if parser.eat('[') {
            if attribute.sub.is_some() {
                return Err(parser.error("a filter in brackets follows an attribute, not a sub-attribute"));
            }
            filter = Some(parser.bracketed()?);
            attribute.sub = parser.sub()?;
        }
        if parser.at < text.len() { Err(parser.error("the end of the path was expected")) } else { Ok(Path { attribute, filter }) }
    }

    fn or(&mut self, inside: bool) -> Parsed<Filter> {
        let mut left = self.and(inside)?;
        while self.word("or") {
            self.node()?;
            left = Filter::Or(Box::new(left), Box::new(self.and(inside)?));
        }
        Ok(left)
    }

    fn and(&mut self, inside: bool) -> Parsed<Filter> {
        let mut left = self.operand(inside)?;
        while self.word("and") {
            self.node()?;
            left = Filter::And(Box::new(left), Box::new(self.operand(inside)?));
        }
        Ok(left)
    }

    /// `inside` a value path there is no second one: `valFilter = attrExp / logExp / *1"not" "(" valFilter ")"`.
    fn operand(&mut self, inside: bool) -> Parsed<Filter> {
        self.spaces();
        self.node()?;
        if self.eat('(') {
            return self.grouped(inside);
        }
        let start = self.at;
        if self.word("not") {
            self.spaces();
            if self.eat('(') {
                return Ok(Filter::Not(Box::new(self.grouped(inside)?)));
            }
            self.at = start; // an attribute may be called so
        }
        let path = self.attr_path()?;
        if self.eat('[') {
            if inside {
                return Err(self.error("brackets cannot stand inside brackets"));
            }
            if path.sub.is_some() {
                return Err(self.error("a filter in brackets follows an attribute, not a sub-attribute"));
            }
            let filter = self.bracketed()?;
            // Entra: `emails[type eq "work"].value eq "x"`, which says `emails[type eq "work" and value eq "x"]`.
            let filter = match self.sub()? {
                None => filter,
                Some(name) => {
                    self.node()?;
                    let more = self.comparison(AttrPath { schema: None, name, sub: None })?;
                    Filter::And(Box::new(filter), Box::new(more))
                }
            };
            return Ok(Filter::Element { path, filter: Box::new(filter) });
        }
        self.comparison(path)
    }

    fn comparison(&mut self, path: AttrPath) -> Parsed<Filter> {
        if !self.text[self.at..].starts_with(' ') {
            return Err(self.error("an operator was expected, such as eq or pr"));
        }
        if self.word("pr") {
            return Ok(Filter::Present(path));
        }
        let Some(op) = Operator::ALL.into_iter().find(|op| self.word(op.as_str())) else {
            self.spaces();
            return Err(self.error("an operator was expected: eq, ne, co, sw, ew, gt, lt, ge, le or pr"));
        };
        if !self.eat(' ') {
            return Err(self.error("a space and a value were expected"));
        }
        self.spaces();
        Ok(Filter::Compare { path, op, value: self.literal()? })
    }

    fn grouped(&mut self, inside: bool) -> Parsed<Filter> {
        self.deeper()?;
        let filter = self.or(inside)?;
        self.spaces();
        if !self.eat(')') {
            return Err(self.error("')' was expected"));
        }
        self.depth -= 1;
        Ok(filter)
    }

    /// What stands between `[` and `]`.
    fn bracketed(&mut self) -> Parsed<Filter> {
        self.deeper()?;
        let filter = self.or(true)?;
        self.spaces();
        if !self.eat(']') {
            return Err(self.error("']' was expected"));
        }
        self.depth -= 1;
        Ok(filter)
    }

    /// `.name` behind a bracket.
    fn sub(&mut self) -> Parsed<Option<String>> {
        if !self.eat('.') {
            return Ok(None);
        }
        let path = self.attr_path()?;
        if path.schema.is_some() || path.sub.is_some() { Err(self.error("one sub-attribute was expected")) } else { Ok(Some(path.name)) }
    }

    fn attr_path(&mut self) -> Parsed<AttrPath> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| c.is_whitespace() || "()[]\"".contains(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.error("an attribute was expected"));
        }
        let path = AttrPath::parse(&rest[..end]).map_err(|e| FilterError { position: self.at + e.position, message: e.message })?;
        self.at += end;
        Ok(path)
    }

    /// `compValue = false / null / true / number / string ; rules from JSON (RFC 7159)`
    fn literal(&mut self) -> Parsed<Literal> {
        let rest = &self.text[self.at..];
        let end = match rest.strip_prefix('"') {
            Some(inner) => {
                let mut escaped = false;
                let close = inner.find(|c: char| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                2 + close.ok_or_else(|| self.error("the closing '\"' is missing"))?
            }
            None => rest.find(|c: char| c.is_whitespace() || "()[]\"".contains(c)).unwrap_or(rest.len()),
        };
        let token = &rest[..end];
        let value = if token.eq_ignore_ascii_case("true") {
            Literal::Boolean(true)
        } else if token.eq_ignore_ascii_case("false") {
            Literal::Boolean(false)
        } else if token.eq_ignore_ascii_case("null") {
            Literal::Null
        } else {
            match serde_json::from_str(token) {
                // The standard library reads every decimal exactly, so that what is printed is read back.
                Ok(serde_json::Value::Number(number)) if number.is_f64() => {
                    let exact = token.parse().ok().and_then(serde_json::Number::from_f64);
                    Literal::Number(exact.unwrap_or(number))
                }
                Ok(serde_json::Value::Number(number)) => Literal::Number(number),
                Ok(serde_json::Value::String(text)) if !text.contains('\0') => Literal::Text(text),
                _ => return Err(self.error("a value was expected: \"text\", a number, true, false or null")),
            }
        };
        self.at += end;
        Ok(value)
    }

    fn spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches(' ').len();
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.text[self.at..].starts_with(c);
        self.at += usize::from(found);
        found
    }

    /// A keyword in any case, after spaces and before a delimiter.
    fn word(&mut self, word: &str) -> bool {
        let rest = self.text[self.at..].trim_start_matches(' ');
        let found = rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && rest[word.len()..].chars().next().is_none_or(|c| " ()[]\"".contains(c));
        if found {
            self.at = self.text.len() - rest.len() + word.len();
        }
        found
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH { Err(self.error(&format!("it is nested more than {DEPTH} deep"))) } else { Ok(()) }
    }

    fn node(&mut self) -> Parsed<()> {
        self.nodes += 1;
        if self.nodes > NODES { Err(self.error(&format!("it has more than {NODES} parts"))) } else { Ok(()) }
    }

    fn error(&self, message: &str) -> FilterError {
        FilterError::new(self.at, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7644, figure 1.
    #[test]
    fn every_example_of_the_rfc_is_read() {
        for text in [
            r#"userName eq "bjensen""#,
            r#"name.familyName co "O'Malley""#,
            r#"userName sw "J""#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
            "title pr",
            r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
            r#"title pr and userType eq "Employee""#,
            r#"title pr or userType eq "Intern""#,
            r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#,
            r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#,
            r#"userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")"#,
            r#"userType eq "Employee" and (emails.type eq "work")"#,
            r#"userType eq "Employee" and emails[type eq "work" and value co "@example.com"]"#,
            r#"emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
        ] {
            Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        }
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tighter_than_both() {
        let shape = |text: &str| Filter::parse(text).unwrap();
        assert_eq!(shape("a pr or b pr and c pr"), shape("a pr or (b pr and c pr)"));
        assert_ne!(shape("a pr or b pr and c pr"), shape("(a pr or b pr) and c pr"));
        assert_eq!(shape("not (a pr) and b pr"), shape("(not (a pr)) and b pr"));
        assert_eq!(shape("NOT(a PR) AND b EQ TRUE"), shape("not (a pr) and b eq true"));
    }

    #[test]
    fn words_of_the_grammar_may_name_attributes() {
        for text in ["not pr", "and eq 1", "pr pr", "or.and eq \"x\" and not eq 2"] {
            assert!(Filter::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_entra_filter_on_a_sub_attribute_behind_brackets_is_an_element_filter() {
        let filter = Filter::parse(r#"emails[type eq "work"].value eq "a@example.com""#).unwrap();
        assert_eq!(filter.to_string(), r#"emails[type eq "work" and value eq "a@example.com"]"#);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let cases = [
            ("", 0),
            ("userName", 8),
            ("userName eq", 11),
            ("userName eq bjensen", 12),
            ("userName eq \"a", 12),
            ("userName is \"a\"", 9),
            ("userName eq \"a\" xor title pr", 16),
            ("(title pr", 9),
            ("title pr)", 8),
            ("emails[type eq \"work\"", 21),
            ("emails[a[b pr]]", 9),
            ("userName eq 'a'", 12),
            ("a.b.c pr", 0),
            ("userName eq 01", 12),
            ("userName eq {}", 12),
            ("userName eq\"a\"", 11),
        ];
        for (text, position) in cases {
            let error = Filter::parse(text).unwrap_err();
            assert_eq!(error.position, position, "{text}: {error}");
        }
    }

    #[test]
    fn limits_hold() {
        let nested = |depth: usize| format!("{}a pr{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Filter::parse(&nested(DEPTH)).is_ok());
        assert!(Filter::parse(&nested(DEPTH + 1)).is_err());
        let many = |n: usize| vec!["a pr"; n].join(" or ");
        assert!(Filter::parse(&many(NODES / 2)).is_ok());
        assert!(Filter::parse(&many(NODES / 2 + 1)).is_err());
        assert!(Filter::parse(&format!("a eq \"{}\"", "x".repeat(LENGTH))).is_err());
    }
}
