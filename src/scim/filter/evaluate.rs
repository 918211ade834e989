//! Whether a document satisfies a filter, by the schema: each comparison knows its attribute's type and case.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{Filter, FilterError, Literal, Operator};
use crate::{
    domain::{name::fold, time::Timestamp},
    scim::{
        path::AttrPath,
        schema::{Attribute, Kind, Schema},
    },
};

/// What paths are relative to.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Document(&'a Map<String, Value>, &'a Schema),
    Element(&'a Value, &'a Attribute),
}

/// The values at a path, and the attribute that says how they compare.
struct Found<'a> {
    attribute: &'a Attribute,
    values: Values<'a>,
}

enum Values<'a> {
    One(Option<&'a Value>),
    /// Of every element, the sub-attribute of that name, or the element itself.
    Each(&'a [Value], Option<&'a str>),
}

impl<'a> Values<'a> {
    fn iter(&self) -> impl Iterator<Item = &'a Value> {
        let (one, each, sub) = match self {
            Self::One(value) => (*value, &[][..], None),
            Self::Each(values, sub) => (None, *values, *sub),
        };
        let part = move |value: &'a Value| match (sub, value) {
            (Some(sub), Value::Object(map)) => map.get(sub),
            // A simple multi-valued attribute: the element is the value.
            (Some("value") | None, value) => Some(value),
            (Some(_), _) => None,
        };
        one.into_iter().chain(each.iter().filter_map(part)).filter(|value| is_assigned(value))
    }
}

/// RFC 7644, table 3: "If the attribute has a non-empty or non-null value, or if it contains a non-empty node for complex attributes".
fn is_assigned(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(is_assigned),
        Value::Object(map) => map.values().any(is_assigned),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

impl Filter {
    /// A comparison with an absent attribute is false, `ne` included. Of several values any may satisfy, for `ne` all must.
    #[must_use]
    pub fn matches(&self, document: &Map<String, Value>, schema: &Schema) -> bool {
        self.holds(Scope::Document(document, schema))
    }

    fn holds(&self, scope: Scope<'_>) -> bool {
        match self {
            Self::And(left, right) => left.holds(scope) && right.holds(scope),
            Self::Or(left, right) => left.holds(scope) || right.holds(scope),
            Self::Not(inner) => !inner.holds(scope),
            Self::Present(path) => find(path, scope, false).is_some_and(|found| found.values.iter().next().is_some()),
            Self::Compare { path, op, value } => {
                let Some(found) = find(path, scope, true) else {
                    return *value == Literal::Null && *op == Operator::Eq;
                };
                let mut values = found.values.iter();
                match (value, op) {
                    (Literal::Null, Operator::Eq) => values.next().is_none(),
                    (Literal::Null, Operator::Ne) => values.next().is_some(),
                    (Literal::Null, _) => false,
                    (literal, Operator::Ne) => {
                        let mut values = values.peekable();
                        values.peek().is_some() && values.all(|value| !compare(found.attribute, value, Operator::Eq, literal))
                    }
                    (literal, op) => values.any(|value| compare(found.attribute, value, *op, literal)),
                }
            }
            Self::Element { path, filter } => find(path, scope, false)
                .is_some_and(|found| found.values.iter().any(|value| filter.holds(Scope::Element(value, found.attribute)))),
        }
    }

    /// Whether every comparison makes sense for its attribute's type. Attributes that the schema does not have are left alone: they are absent.
    ///
    /// # Errors
    /// Naming the attribute. RFC 7644, table 3: "Boolean and Binary attributes SHALL cause a failed response (HTTP status code 400) with
    /// "scimType" of "invalidFilter"" where an order is asked for.
    pub fn check(&self, schema: &Schema) -> Result<(), FilterError> {
        match self {
            Self::And(left, right) | Self::Or(left, right) => {
                left.check(schema)?;
                right.check(schema)
            }
            Self::Not(inner) => inner.check(schema),
            Self::Present(_) => Ok(()),
            Self::Compare { path, op, value } => {
                let target = schema.lookup_anywhere(path).and_then(|target| target.sub.or(target.attribute));
                target.map_or(Ok(()), |attribute| check(comparable(attribute).unwrap_or(attribute), path, *op, value))
            }
            Self::Element { path, filter } => {
                let attribute = schema.lookup_anywhere(path).and_then(|target| target.attribute);
                attribute.map_or(Ok(()), |attribute| filter.check_inside(attribute))
            }
        }
    }

    fn check_inside(&self, element: &Attribute) -> Result<(), FilterError> {
        match self {
            Self::And(left, right) | Self::Or(left, right) => {
                left.check_inside(element)?;
                right.check_inside(element)
            }
            Self::Not(inner) => inner.check_inside(element),
            Self::Present(_) | Self::Element { .. } => Ok(()),
            Self::Compare { path, op, value } => element.sub(&path.name).map_or(Ok(()), |sub| check(sub, path, *op, value)),
        }
    }
}

fn check(attribute: &Attribute, path: &AttrPath, op: Operator, value: &Literal) -> Result<(), FilterError> {
    let refused = |why: &str| Err(FilterError::new(0, format_args!("{path} {}: {why}", op.as_str())));
    match (attribute.kind, value) {
        (Kind::Boolean | Kind::Binary | Kind::Complex, _) if op.orders() => refused("values of its type have no order"),
        (Kind::DateTime, Literal::Text(text)) if op.orders() && Timestamp::parse(text).is_err() => {
            refused("a date and time was expected, such as 2026-01-31T23:59:59Z")
        }
        (_, Literal::Null | Literal::Boolean(_)) if op.orders() => refused("that value has no order"),
        _ => Ok(()),
    }
}

/// Whether one element of a multi-valued attribute satisfies the filter of a value path.
pub fn matches_element(filter: &Filter, element: &Value, attribute: &Attribute) -> bool {
    filter.holds(Scope::Element(element, attribute))
}

/// `emails eq "x"` and Entra's `manager eq "x"` mean the `value` of a complex attribute.
fn comparable(attribute: &Attribute) -> Option<&Attribute> {
    if attribute.kind == Kind::Complex { attribute.sub("value") } else { None }
}

fn find<'a>(path: &AttrPath, scope: Scope<'a>, comparing: bool) -> Option<Found<'a>> {
    let (value, attribute, sub) = match scope {
        Scope::Document(document, schema) => {
            let target = schema.lookup_anywhere(path)?;
            let Some(attribute) = target.attribute else {
                // An extension as a whole: only `pr` can ask for it.
                let values = Values::One(document.get(&target.extension?.urn));
                return (!comparing).then_some(Found { attribute: schema.attribute("schemas")?, values });
            };
            let level = match target.extension {
                None => Some(document),
                Some(extension) => document.get(&extension.urn).and_then(Value::as_object),
            };
            (level.and_then(|level| level.get(&attribute.name)), attribute, target.sub)
        }
        Scope::Element(element, attribute) => {
            if path.schema.is_some() || path.sub.is_some() {
                return None;
            }
            // The element of a simple multi-valued attribute is its own `value`.
            if attribute.kind != Kind::Complex {
                let own = path.name.eq_ignore_ascii_case("value");
                return own.then_some(Found { attribute, values: Values::One(Some(element)) });
            }
            let sub = attribute.sub(&path.name)?;
            return Some(Found { attribute: sub, values: Values::One(element.get(&sub.name)) });
        }
    };
    let sub = sub.or_else(|| if comparing { comparable(attribute) } else { None });
    // Sub-attributes that nobody declared keep the spelling they came with.
    let open = attribute.open && sub.is_some_and(|sub| attribute.sub(&sub.name).is_none());
    let key = |value: Option<&'a Value>| -> Option<&'a str> {
        if !open {
            return sub.map(|sub| sub.name.as_str());
        }
        let wanted = path.sub.as_deref()?;
        value?.as_object()?.keys().find(|key| key.eq_ignore_ascii_case(wanted)).map(String::as_str)
    };
    let leaf = sub.unwrap_or(attribute);
    let values = match value {
        Some(Value::Array(items)) => Values::Each(items, key(None)),
        Some(Value::Object(map)) if sub.is_some() => match key(value).and_then(|key| map.get(key)) {
            Some(Value::Array(items)) => Values::Each(items, None),
            one => Values::One(one),
        },
        // A complex attribute that came as its bare value has no other part.
        Some(_) if sub.is_some_and(|sub| sub.name != "value") => Values::One(None),
        one => Values::One(one),
    };
    Some(Found { attribute: leaf, values })
}

fn compare(attribute: &Attribute, value: &Value, op: Operator, literal: &Literal) -> bool {
    match (value, literal) {
        (Value::String(value), Literal::Text(literal)) => match attribute.kind {
            Kind::DateTime => match (Timestamp::parse(value), Timestamp::parse(literal)) {
                (Ok(a), Ok(b)) if op == Operator::Eq || op.orders() => ordered(a.cmp(&b), op),
                _ => texts(value, literal, op, true),
            },
            _ => texts(value, literal, op, attribute.case_exact),
        },
        (Value::Bool(value), Literal::Boolean(literal)) => op == Operator::Eq && value == literal,
        // Entra: `roles[primary eq "True"]`.
        (Value::Bool(value), Literal::Text(literal)) => {
            op == Operator::Eq && literal.eq_ignore_ascii_case(if *value { "true" } else { "false" })
        }
        (Value::Number(value), Literal::Number(literal)) => numbers(value, literal).is_some_and(|order| ordered(order, op)),
        _ => false,
    }
}

fn numbers(a: &serde_json::Number, b: &serde_json::Number) -> Option<Ordering> {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn ordered(order: Ordering, op: Operator) -> bool {
    match op {
        Operator::Eq => order.is_eq(),
        Operator::Gt => order.is_gt(),
        Operator::Lt => order.is_lt(),
        Operator::Ge => order.is_ge(),
        Operator::Le => order.is_le(),
        Operator::Ne | Operator::Co | Operator::Sw | Operator::Ew => false,
    }
}

fn texts(value: &str, literal: &str, op: Operator, exact: bool) -> bool {
    if exact {
        return plain(value, literal, op);
    }
    // The common case needs no copy.
    if op == Operator::Eq && value.is_ascii() && literal.is_ascii() {
        return value.eq_ignore_ascii_case(literal);
    }
    plain(&fold(value), &fold(literal), op)
}

fn plain(value: &str, literal: &str, op: Operator) -> bool {
    match op {
        Operator::Co => value.contains(literal),
        Operator::Sw => value.starts_with(literal),
        Operator::Ew => value.ends_with(literal),
        Operator::Ne => value != literal,
        Operator::Eq | Operator::Gt | Operator::Lt | Operator::Ge | Operator::Le => ordered(value.cmp(literal), op),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::schema::{Schemas, identity};

    fn user() -> Map<String, Value> {
        let document = json!({
            "id": "2819c223-7f76-453a-919d-413861904646", "externalId": "Ab1", "userName": "BJensen@Example.com",
            "name": {"familyName": "O'Malley", "givenName": "Bärbel"}, "title": "Vice President", "userType": "Employee", "active": true,
            "emails": [
                {"value": "bj@example.com", "type": "work", "primary": true},
                {"value": "bj@example.org", "type": "home"}],
            "phoneNumbers": [], "nickName": "", "locale": null,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "R&D", "manager": {"value": "26118915"}},
            "meta": {"created": "2026-01-01T00:00:00Z", "lastModified": "2026-03-03T10:00:00.5+02:00"}
        });
        document.as_object().unwrap().clone()
    }

    #[rstest::rstest]
    #[case(r#"userName eq "bjensen@example.COM""#, true)]
    #[case(r#"externalId eq "ab1""#, false)]
    #[case(r#"externalId eq "Ab1""#, true)]
    #[case(r#"id eq "2819C223-7f76-453a-919d-413861904646""#, false)]
    #[case(r#"name.givenName eq "BÄRBEL""#, true)]
    #[case(r#"name.familyName co "o'm""#, true)]
    #[case(r#"userName sw "BJ" and userName ew ".COM""#, true)]
    #[case(r#"title gt "Vice" and title lt "W" and title ge "vice president" and title le "vice president""#, true)]
    #[case("title pr", true)]
    #[case("displayName pr or phoneNumbers pr or nickName pr or locale pr", false)]
    #[case("name pr and emails pr and active pr", true)]
    #[case("active eq true", true)]
    #[case(r#"active eq "True""#, true)]
    #[case("active ne true", false)]
    #[case("active ne false", true)]
    #[case(r#"displayName ne "x""#, false)]
    #[case(r#"not (displayName eq "x")"#, true)]
    #[case("displayName eq null", true)]
    #[case("displayName ne null", false)]
    #[case("title eq null", false)]
    #[case("title ne null", true)]
    #[case(r#"emails eq "BJ@example.org""#, true)]
    #[case(r#"emails.value co "example.org""#, true)]
    #[case(r#"emails.type ne "work""#, false)]
    #[case(r#"emails.type ne "other""#, true)]
    #[case(r#"emails[type eq "work" and value ew ".com"]"#, true)]
    #[case(r#"emails[type eq "work" and value ew ".org"]"#, false)]
    #[case(r#"emails[type eq "work"].value eq "bj@example.com""#, true)]
    #[case(r#"emails[primary eq "True"]"#, true)]
    #[case("emails[not (primary eq true)]", true)]
    #[case(r#"meta.lastModified eq "2026-03-03T08:00:00.500Z""#, true)]
    #[case(r#"meta.lastModified gt "2026-03-03T09:00:00Z""#, false)]
    #[case(r#"meta.created lt "2026-01-01T01:00:01+01:00""#, true)]
    #[case(r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "r&d""#, true)]
    #[case(r#"urn:ietf:params:scim:schemas:core:2.0:User:userType eq "employee""#, true)]
    #[case("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr", true)]
    #[case(r#"id eq "2819c223-7f76-453a-919d-413861904646" and manager eq "26118915""#, true)]
    #[case(r#"manager eq "26118916""#, false)]
    #[case(r#"unknown eq "x" or unknown pr or unknown ne "x" or a.b eq 1"#, false)]
    #[case("unknown eq null", true)]
    #[case("userName gt 7", false)]
    fn a_user_is_found_or_not(#[case] filter: &str, #[case] expected: bool) {
        assert_eq!(Filter::parse(filter).unwrap().matches(&user(), &Schemas::standard().user), expected);
    }

    #[rstest::rstest]
    #[case(r#"department eq "sales" and manager.value eq "m1""#, true)]
    #[case(r#"groups.value eq "Admins""#, true)]
    #[case(r#"groups.value eq "admins""#, false)]
    #[case(r#"groups.display eq "ADMINISTRATORS""#, true)]
    #[case(r#"groups[value eq "Admins" and display sw "Staff"]"#, false)]
    #[case(r#"groups.value ne "Admins""#, false)]
    #[case(r#"groups eq "Staff""#, true)]
    #[case(r#"custom.Tenant_Code eq "EU7""#, true)]
    #[case(r#"custom.tags eq "B" and custom.level ge 3"#, true)]
    #[case("custom.nothing pr", false)]
    #[case(r#"source.kind eq "scim" and authn.context pr"#, false)]
    #[case(r#"source.kind eq "SCIM""#, true)]
    #[case(r#"roles.value eq "editor""#, true)]
    fn a_rule_sees_an_identity(#[case] filter: &str, #[case] expected: bool) {
        let document = json!({
            "department": "Sales", "manager": {"value": "m1"}, "source": {"kind": "scim"},
            "groups": [{"value": "Admins", "display": "Administrators"}, {"value": "Staff", "display": "Staff"}],
            "custom": {"tenant_code": "eu7", "tags": ["a", "b"], "level": 3}, "roles": [{"value": "Editor"}]
        });
        assert_eq!(Filter::parse(filter).unwrap().matches(document.as_object().unwrap(), identity()), expected);
    }

    #[test]
    fn an_order_is_asked_only_of_what_has_one() {
        let schema = &Schemas::standard().user;
        for wrong in [
            "active gt true",
            r#"active le "x""#,
            "emails[primary lt false]",
            r#"x509Certificates.value gt "x""#,
            r#"meta.created gt "yesterday""#,
            "title gt null",
        ] {
            assert!(Filter::parse(wrong).unwrap().check(schema).is_err(), "{wrong}");
        }
        for right in ["active eq true", "unknown gt true", r#"meta.created gt "2026-01-01T00:00:00Z""#, r#"emails gt "a""#] {
            assert!(Filter::parse(right).unwrap().check(schema).is_ok(), "{right}");
        }
    }
}
