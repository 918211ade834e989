//! SCIM filters as SQL conditions over the columns by which resources are found.
//!
//! A condition never leaves out what satisfies the filter. Where the columns cannot tell, it lets more through and says so
//! ([`Condition::is_exact`]): then whoever asked looks at the documents. Texts are compared by the keys that `domain::name::fold`
//! makes, so that the database and the memory agree on every comparison that is called exact.

use super::engine::{Query, Value};
use crate::{
    domain::{name::fold, time::Timestamp},
    policy::places::Places,
    scim::{
        filter::{Filter, Literal, Operator},
        path::AttrPath,
        schema::{Schema, Schemas, Target},
    },
};

/// Stands in a condition on roles until it is said where they are held.
const HELD_AT: &str = " and a.organization in (held_at)";

/// Which resources are looked at; their row is `r` in the condition, tenant and connection are `$1` and `$2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resources {
    Users,
    Groups,
    /// Of the tenant, whatever connection knows them: `$2` is not bound.
    Accounts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    node: Node,
    exact: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Always(bool),
    /// SQL with a `?` for each value.
    Leaf(String, Vec<Value>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
}

/// How an attribute is found without its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// Compared by bytes.
    Exact(&'static str),
    /// Compared as `fold` makes it.
    Folded(&'static str),
    Time(&'static str),
    /// True also where the document says nothing: enough to narrow down, not to decide.
    Flag(&'static str),
    /// Of several values: those who have one, by a sub-select that ends in `where … and` a condition on `of`.
    Several {
        those: &'static str,
        of: &'static str,
        folded: bool,
    },
    None,
}

fn column(resources: Resources, target: Target<'_>) -> Column {
    let attribute = target.attribute.map_or("", |attribute| attribute.name.as_str());
    let sub = target.sub.map(|sub| sub.name.as_str());
    if target.extension.is_some() {
        return Column::None;
    }
    match (resources, attribute, sub) {
        (Resources::Users, "id", None) => Column::Exact("r.account"),
        (Resources::Users, "userName", None) => Column::Folded("r.scim_user_name_key"),
        (Resources::Users, "externalId", None) => Column::Exact("r.scim_external_id"),
        (Resources::Users, "displayName", None) => Column::Folded("r.scim_display_name_key"),
        (Resources::Users, "active", None) => Column::Flag("r.active"),
        (Resources::Users, "meta", Some("created")) => Column::Time("r.scim_created_at_ms"),
        (Resources::Users, "meta", Some("lastModified")) => Column::Time("r.scim_changed_at_ms"),
        (Resources::Users, "emails", None | Some("value")) => Column::Several {
            those: "r.account in (select e.account from identity_email e where e.tenant = $1 and e.connection = $2 and ",
            of: "e.value_key",
            folded: true,
        },
        (Resources::Users, "groups", None | Some("value")) => Column::Several {
            those: "r.account in (select m.member from group_member m join directory_group g on g.tenant = m.tenant and g.id = m.directory_group
                where m.tenant = $1 and g.connection = $2 and ",
            of: "m.directory_group",
            folded: false,
        },
        (Resources::Accounts, "userName", None) => Column::Folded("r.user_name_key"),
        (Resources::Accounts, "active", None) => Column::Flag("(r.status = 'active')"),
        (Resources::Accounts, "emails", None | Some("value")) => Column::Folded("r.email_key"),
        (Resources::Accounts, "roles", None | Some("value")) => Column::Several {
            those: "r.id in (select a.account from assignment a join role on role.tenant = a.tenant and role.id = a.role
                where a.tenant = $1 and a.organization in (held_at) and ",
            of: "role.name_key",
            folded: true,
        },
        (Resources::Accounts | Resources::Groups, "id", None) => Column::Exact("r.id"),
        (Resources::Groups, "externalId", None) => Column::Exact("r.external_id"),
        (Resources::Groups, "displayName", None) => Column::Folded("r.display_name_key"),
        (Resources::Groups, "meta", Some("created")) => Column::Time("r.created_at_ms"),
        (Resources::Groups, "meta", Some("lastModified")) => Column::Time("r.changed_at_ms"),
        (Resources::Groups, "members", None | Some("value")) => Column::Several {
            those: "r.id in (select m.directory_group from group_member m where m.tenant = $1 and ",
            of: "m.member",
            folded: false,
        },
        _ => Column::None,
    }
}

impl Condition {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self { node: Node::Always(true), exact: true }
    }

    /// By the standard schemas.
    #[must_use]
    pub fn of(filter: &Filter, resources: Resources) -> Self {
        let schemas = Schemas::standard();
        let schema = match resources {
            Resources::Users | Resources::Accounts => &schemas.user,
            Resources::Groups => &schemas.group,
        };
        Self::within(filter, resources, schema)
    }

    /// Of accounts by what the columns know of them, and by the roles that they hold at these places.
    #[must_use]
    pub fn of_accounts(filter: &Filter, held_at: &Places) -> Self {
        let mut condition = Self::of(filter, Resources::Accounts);
        condition.node.narrow(held_at);
        condition
    }

    /// By a schema that may have more attributes than the standard one: those stand in documents alone.
    #[must_use]
    pub fn within(filter: &Filter, resources: Resources, schema: &Schema) -> Self {
        let (node, exact) = Translation { resources, schema }.filter(filter, Side::Wider);
        Self { node, exact }
    }

    /// Whether it says exactly what the filter says, not more.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether nothing is asked, so that a counter knows the number.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.exact && self.node == Node::Always(true)
    }

    #[must_use]
    pub fn is_none(&self) -> bool {
        self.node == Node::Always(false)
    }

    /// The condition's text, with placeholders from `$first`, and the next number.
    pub(super) fn sql(&self, first: usize) -> (String, usize) {
        let mut text = String::new();
        let mut next = first;
        self.node.write(&mut text, &mut next);
        (text, next)
    }

    /// Binds what the placeholders stand for, in their order.
    pub(super) fn bind<'t>(&self, query: Query<'t>) -> Query<'t> {
        self.node.bind(query)
    }
}

impl Node {
    fn write(&self, text: &mut String, next: &mut usize) {
        match self {
            Self::Always(true) => text.push_str("1 = 1"),
            Self::Always(false) => text.push_str("1 = 0"),
            Self::Leaf(sql, _) => {
                for (at, piece) in sql.split('?').enumerate() {
                    if at > 0 {
                        text.push('$');
                        text.push_str(&next.to_string());
                        *next += 1;
                    }
                    text.push_str(piece);
                }
            }
            Self::And(left, right) | Self::Or(left, right) => {
                text.push('(');
                left.write(text, next);
                text.push_str(if matches!(self, Self::And(..)) { " and " } else { " or " });
                right.write(text, next);
                text.push(')');
            }
            // What an absent value makes unknown is false, and not false is true.
            Self::Not(inner) => {
                text.push_str("not coalesce(");
                inner.write(text, next);
                text.push_str(", false)");
            }
        }
    }

    /// Writes into the conditions on roles where they are held.
    fn narrow(&mut self, held_at: &Places) {
        match self {
            Self::Leaf(sql, values) if sql.contains(HELD_AT) => match held_at {
                Places::Everywhere => *sql = sql.replace(HELD_AT, ""),
                Places::Only(places) => {
                    let set = vec!["?"; places.len()].join(", ");
                    let set = if places.is_empty() { "select '' where 1 = 0" } else { set.as_str() };
                    *sql = sql.replace(HELD_AT, &format!(" and a.organization in ({set})"));
                    // The places stand before what is compared.
                    values.splice(0..0, places.iter().map(|place| Value::from(place.to_string())));
                }
            },
            Self::Always(_) | Self::Leaf(..) => {}
            Self::And(left, right) | Self::Or(left, right) => {
                left.narrow(held_at);
                right.narrow(held_at);
            }
            Self::Not(inner) => inner.narrow(held_at),
        }
    }

    fn bind<'t>(&self, query: Query<'t>) -> Query<'t> {
        match self {
            Self::Always(_) => query,
            Self::Leaf(_, values) => values.iter().fold(query, |query, value| query.bind(value.clone())),
            Self::And(left, right) | Self::Or(left, right) => right.bind(left.bind(query)),
            Self::Not(inner) => inner.bind(query),
        }
    }
}

/// What to say where the columns cannot tell: below a `not`, letting more through means claiming less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Wider,
    Narrower,
}

type Translated = (Node, bool);

fn exactly(node: Node) -> Translated {
    (node, true)
}

fn unknown(side: Side) -> Translated {
    (Node::Always(side == Side::Wider), false)
}

fn leaf(sql: impl Into<String>, values: impl Into<Vec<Value>>) -> Node {
    Node::Leaf(sql.into(), values.into())
}

fn and(left: Translated, right: Translated) -> Translated {
    match (left, right) {
        ((Node::Always(false), true), _) | (_, (Node::Always(false), true)) => exactly(Node::Always(false)),
        ((Node::Always(false), _), _) | (_, (Node::Always(false), _)) => (Node::Always(false), false),
        ((Node::Always(true), exact), (node, other)) | ((node, other), (Node::Always(true), exact)) => (node, exact && other),
        ((left, a), (right, b)) => (Node::And(Box::new(left), Box::new(right)), a && b),
    }
}

fn or(left: Translated, right: Translated) -> Translated {
    match (left, right) {
        ((Node::Always(true), true), _) | (_, (Node::Always(true), true)) => exactly(Node::Always(true)),
        ((Node::Always(true), _), _) | (_, (Node::Always(true), _)) => (Node::Always(true), false),
        ((Node::Always(false), exact), (node, other)) | ((node, other), (Node::Always(false), exact)) => (node, exact && other),
        ((left, a), (right, b)) => (Node::Or(Box::new(left), Box::new(right)), a && b),
    }
}

struct Translation<'s> {
    resources: Resources,
    schema: &'s Schema,
}

impl Translation<'_> {
    fn filter(&self, filter: &Filter, side: Side) -> Translated {
        match filter {
            Filter::And(left, right) => and(self.filter(left, side), self.filter(right, side)),
            Filter::Or(left, right) => or(self.filter(left, side), self.filter(right, side)),
            Filter::Not(inner) => {
                let other = if side == Side::Wider { Side::Narrower } else { Side::Wider };
                match self.filter(inner, other) {
                    (Node::Always(value), exact) => (Node::Always(!value), exact),
                    (node, exact) => (Node::Not(Box::new(node)), exact),
                }
            }
            Filter::Present(path) => self.present(path, side),
            Filter::Compare { path, op, value } => self.compare(path, *op, value, side),
            // What the elements have besides their values is in the documents alone.
            Filter::Element { path, filter } if side == Side::Wider => (self.element(path, filter), false),
            Filter::Element { .. } => unknown(side),
        }
    }

    /// `None`: the schema has no such attribute.
    fn column(&self, path: &AttrPath) -> Option<Column> {
        self.schema.lookup_anywhere(path).map(|target| column(self.resources, target))
    }

    fn present(&self, path: &AttrPath, side: Side) -> Translated {
        match self.column(path) {
            None => exactly(Node::Always(false)),
            // An element without a value may still hold something else.
            Some(Column::Several { .. }) if path.sub.is_none() => unknown(side),
            Some(column) => present(column).map_or_else(|| unknown(side), exactly),
        }
    }

    fn compare(&self, path: &AttrPath, op: Operator, value: &Literal, side: Side) -> Translated {
        let Some(column) = self.column(path) else {
            return exactly(Node::Always(*value == Literal::Null && op == Operator::Eq));
        };
        if let Column::Flag(name) = column {
            return if side == Side::Wider { (flag(name, op, value), false) } else { unknown(side) };
        }
        let whether_present = || present(column).map_or_else(|| unknown(side), exactly);
        match (value, op) {
            (Literal::Text(text), op) => compare(column, op, text).map_or_else(|| unknown(side), exactly),
            (Literal::Null, Operator::Eq) => present(column).map_or_else(|| unknown(side), |node| exactly(Node::Not(Box::new(node)))),
            // Every text differs from null, from a number and from a boolean, and equals none of them.
            (Literal::Null | Literal::Boolean(_) | Literal::Number(_), Operator::Ne) => whether_present(),
            (Literal::Boolean(_) | Literal::Number(_), _) if column == Column::None => unknown(side),
            (Literal::Null | Literal::Boolean(_) | Literal::Number(_), _) => exactly(Node::Always(false)),
        }
    }

    /// Those who have an element with such a value, whatever else is asked of the element.
    fn element(&self, path: &AttrPath, filter: &Filter) -> Node {
        match filter {
            Filter::And(left, right) => and((self.element(path, left), false), (self.element(path, right), false)).0,
            Filter::Or(left, right) => or((self.element(path, left), false), (self.element(path, right), false)).0,
            Filter::Compare { path: inner, op, value: Literal::Text(text) }
                if inner.name.eq_ignore_ascii_case("value") && *op != Operator::Ne =>
            {
                match self.column(path) {
                    Some(column @ Column::Several { .. }) => compare(column, *op, text).unwrap_or(Node::Always(true)),
                    None => Node::Always(false),
                    Some(_) => Node::Always(true),
                }
            }
            Filter::Not(_) | Filter::Present(_) | Filter::Compare { .. } | Filter::Element { .. } => Node::Always(true),
        }
    }
}

/// RFC 7644, table 3: present is "a non-empty or non-null value".
fn present(column: Column) -> Option<Node> {
    match column {
        Column::Exact(name) | Column::Folded(name) => Some(leaf(format!("{name} <> ''"), [])),
        Column::Time(name) => Some(leaf(format!("{name} is not null"), [])),
        Column::Several { those, of, .. } => Some(leaf(format!("{those}{of} <> '')"), [])),
        Column::Flag(_) | Column::None => None,
    }
}

fn flag(name: &str, op: Operator, value: &Literal) -> Node {
    let wanted = match value {
        Literal::Boolean(value) => Some(*value),
        // Entra: `active eq "True"`.
        Literal::Text(text) => [("true", true), ("false", false)].iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, v)| *v),
        Literal::Null | Literal::Number(_) => None,
    };
    match (op, wanted) {
        (Operator::Eq, Some(wanted)) => leaf(format!("{name} = ?"), [Value::from(wanted)]),
        (Operator::Ne, Some(wanted)) => leaf(format!("{name} = ?"), [Value::from(!wanted)]),
        _ => Node::Always(true),
    }
}

fn compare(column: Column, op: Operator, text: &str) -> Option<Node> {
    match column {
        Column::Exact(name) => Some(compare_text(name, op, text.to_owned())),
        Column::Folded(name) => Some(compare_text(name, op, fold(text))),
        Column::Time(name) => compare_time(name, op, text),
        Column::Several { those, of, folded } => {
            let text = if folded { fold(text) } else { text.to_owned() };
            if op != Operator::Ne {
                return Some(within(those, compare_text(of, op, text)));
            }
            // `ne` holds when there are values and none of them is this one.
            let some = within(those, leaf(format!("{of} <> ''"), []));
            let this = within(those, compare_text(of, Operator::Eq, text));
            Some(Node::And(Box::new(some), Box::new(Node::Not(Box::new(this)))))
        }
        Column::Flag(_) | Column::None => None,
    }
}

fn within(those: &str, condition: Node) -> Node {
    match condition {
        Node::Leaf(sql, values) => Node::Leaf(format!("{those}{sql})"), values),
        other => other,
    }
}

/// Bytes order these columns on both engines. An empty text counts as absent.
fn compare_text(name: &str, op: Operator, text: String) -> Node {
    let simple = |sign: &str, text: String| leaf(format!("({name} {sign} ? and {name} <> '')"), [Value::from(text)]);
    match op {
        Operator::Eq if text.is_empty() => Node::Always(false),
        Operator::Eq => leaf(format!("{name} = ?"), [Value::from(text)]),
        Operator::Ne => simple("<>", text),
        Operator::Gt => simple(">", text),
        Operator::Ge => simple(">=", text),
        Operator::Lt => simple("<", text),
        Operator::Le => simple("<=", text),
        // Every text contains the empty one.
        Operator::Co | Operator::Sw | Operator::Ew if text.is_empty() => leaf(format!("{name} <> ''"), []),
        // Not `like`, which on SQLite does not see the difference between A and a.
        Operator::Co => leaf(format!("replace({name}, ?, '') <> {name}"), [Value::from(text)]),
        Operator::Sw => match next_prefix(&text) {
            Some(end) => leaf(format!("({name} >= ? and {name} < ?)"), [Value::from(text), Value::from(end)]),
            None => simple(">=", text),
        },
        // A column shorter than the text yields something shorter than the text.
        Operator::Ew => leaf(format!("substr({name}, length({name}) - {} + 1) = ?", text.chars().count()), [Value::from(text)]),
    }
}

/// The first text after all those that begin with this one; `None` when there is none.
fn next_prefix(text: &str) -> Option<String> {
    let mut chars: Vec<char> = text.chars().collect();
    while let Some(last) = chars.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn compare_time(name: &str, op: Operator, text: &str) -> Option<Node> {
    let at = Timestamp::parse(text).ok()?;
    let sign = match op {
        Operator::Eq => "=",
        Operator::Ne => "<>",
        Operator::Gt => ">",
        Operator::Ge => ">=",
        Operator::Lt => "<",
        Operator::Le => "<=",
        // These look at the text of the date.
        Operator::Co | Operator::Sw | Operator::Ew => return None,
    };
    Some(leaf(format!("{name} {sign} ?"), [Value::from(at.millis())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(filter: &str, resources: Resources) -> (String, bool) {
        let condition = Condition::of(&Filter::parse(filter).unwrap(), resources);
        (condition.sql(3).0, condition.is_exact())
    }

    #[rstest::rstest]
    #[case(r#"userName eq "Anna""#, "r.scim_user_name_key = $3")]
    #[case(r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "Anna""#, "r.scim_user_name_key = $3")]
    #[case(r#"externalId eq "a" or id eq "b""#, "(r.scim_external_id = $3 or r.account = $4)")]
    #[case(r#"not (displayName sw "A")"#, "not coalesce((r.scim_display_name_key >= $3 and r.scim_display_name_key < $4), false)")]
    #[case(
        r#"emails.value eq "a@b""#,
        "r.account in (select e.account from identity_email e where e.tenant = $1 and e.connection = $2 and e.value_key = $3)"
    )]
    #[case(r#"meta.lastModified gt "2026-01-01T00:00:00Z""#, "r.scim_changed_at_ms > $3")]
    #[case(r#"nothing eq "x" or userName eq "a""#, "r.scim_user_name_key = $3")]
    #[case(r#"nothing eq "x" and title eq "a""#, "1 = 0")]
    fn what_columns_know_is_said_exactly(#[case] filter: &str, #[case] expected: &str) {
        assert_eq!(sql(filter, Resources::Users), (expected.to_owned(), true));
    }

    #[rstest::rstest]
    // Entra: whether a manager is set, and the address of one kind.
    #[case(r#"id eq "a" and manager eq "b""#, "r.account = $3")]
    #[case(
        r#"emails[type eq "work"].value eq "a@b""#,
        "r.account in (select e.account from identity_email e where e.tenant = $1 and e.connection = $2 and e.value_key = $3)"
    )]
    #[case(r#"title eq "a" or userName eq "b""#, "1 = 1")]
    #[case(r#"not (title eq "a" and userName eq "b")"#, "1 = 1")]
    #[case(r#"not (title eq "a" or userName eq "b")"#, "not coalesce(r.scim_user_name_key = $3, false)")]
    #[case("active eq true", "r.active = $3")]
    #[case("not (active eq true)", "1 = 1")]
    fn what_columns_do_not_know_lets_more_through(#[case] filter: &str, #[case] expected: &str) {
        assert_eq!(sql(filter, Resources::Users), (expected.to_owned(), false));
    }

    #[test]
    fn roles_of_accounts_are_those_held_where_somebody_looks() {
        let filter = Filter::parse(r#"roles.value eq "Auditor" and not (roles.value pr)"#).unwrap();
        let sql = |held_at: &Places| Condition::of_accounts(&filter, held_at).sql(2);
        let held = "r.id in (select a.account from assignment a join role on role.tenant = a.tenant and role.id = a.role
                where a.tenant = $1";
        assert_eq!(
            sql(&Places::Everywhere),
            (format!("({held} and role.name_key = $2) and not coalesce({held} and role.name_key <> ''), false))"), 3)
        );
        let two = Places::Only([1, 2].map(|id| crate::domain::id::Id::new(uuid::Uuid::from_u128(id))).into());
        assert_eq!(
            sql(&two),
            (
                format!(
                    "({held} and a.organization in ($2, $3) and role.name_key = $4) and not coalesce({held} and a.organization in ($5, $6) and role.name_key <> ''), false))"
                ),
                7
            )
        );
    }

    #[test]
    fn a_prefix_ends_before_the_next_text() {
        assert_eq!(next_prefix("ab").as_deref(), Some("ac"));
        assert_eq!(next_prefix("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(next_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(next_prefix("\u{10ffff}"), None);
    }
}
