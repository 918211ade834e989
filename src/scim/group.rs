//! A Group, and a PATCH of one as set operations: its members may be many and are never loaded to be changed.

use serde_json::{Map, Value};

use super::{
    error::{ErrorKind, ScimError},
    filter::{Filter, Literal, Operator},
    json, normalise,
    patch::{Op, Operation},
    path::AttrPath,
    project::Projection,
    resource::{Envelope, check_key, check_schemas, check_visible},
    schema::{Attribute, Mutability, Schemas, group},
    unique, value,
};
use crate::domain::connection::Dialect;

/// Removals by a filter in one request: each is a look at all members.
const FILTERED: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberKind {
    User,
    Group,
}

impl MemberKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Group].into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

/// A member as the client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The id of a user or a group.
    pub value: String,
    pub kind: Option<MemberKind>,
    /// Kept as sent.
    pub display: Option<String>,
}

/// The body of POST or PUT. No `members` is no members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub display_name: String,
    pub external_id: Option<String>,
    pub members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum MemberChange {
    Add(Vec<Member>),
    /// By id; who is not a member is no mistake.
    Remove(Vec<String>),
    RemoveMatching(Filter),
    RemoveAll,
    Replace(Vec<Member>),
}

/// What a PATCH changes; `members` in the order asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupChange {
    pub display_name: Option<String>,
    /// `Some(None)`: taken away.
    pub external_id: Option<Option<String>>,
    pub members: Vec<MemberChange>,
}

fn attribute(name: &str) -> &'static Attribute {
    Schemas::standard().group.attribute(name).expect("the table of Group has it")
}

/// A text attribute's new value; `None` when it is unassigned.
fn text(name: &str, value: Value, dialect: Dialect) -> Result<Option<String>, ScimError> {
    let attribute = attribute(name);
    let value = if dialect == Dialect::Tolerant { normalise::value(attribute, value) } else { value };
    match value::canonical(attribute, value)? {
        Some(Value::String(text)) => {
            check_key(name, &text)?;
            Ok(Some(text))
        }
        _ => Ok(None),
    }
}

fn display_name(value: Value, dialect: Dialect) -> Result<String, ScimError> {
    let name = text("displayName", value, dialect)?.filter(|name| !name.trim().is_empty());
    name.ok_or_else(|| ScimError::value("displayName is required."))
}

fn members(value: Value, dialect: Dialect) -> Result<Vec<Member>, ScimError> {
    let attribute = attribute("members");
    let value = if dialect == Dialect::Tolerant { normalise::value(attribute, value) } else { value };
    let Value::Array(items) = value else {
        return if value.is_null() { Ok(Vec::new()) } else { Err(ScimError::value("members is an array of objects.")) };
    };
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        let Some(Value::Object(map)) = value::element(attribute, item)? else { continue };
        found.push(member(&map)?);
    }
    Ok(found)
}

fn member(map: &Map<String, Value>) -> Result<Member, ScimError> {
    let part = |name: &str| map.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut address = part("$ref").map(|text| text.trim_end_matches('/').rsplit('/')).into_iter().flatten();
    let (id, collection) = (address.next(), address.next());
    // RFC 7643 §4.2: `value` is the member's id; `$ref` says the same with the kind.
    let value = part("value").or(id).ok_or_else(|| ScimError::value("A member needs its id in value."))?;
    let kind = match part("type") {
        Some(text) => Some(MemberKind::parse(text).ok_or_else(|| ScimError::value("A member's type is User or Group."))?),
        None if collection == Some("Users") => Some(MemberKind::User),
        None if collection == Some("Groups") => Some(MemberKind::Group),
        None => None,
    };
    let display = part("display").map(str::to_owned);
    check_key("members.display", display.as_deref().unwrap_or_default())?;
    Ok(Member { value: value.to_owned(), kind, display })
}

/// Refuses a group's name that is not shown as it is written; a group may keep the name that it has.
///
/// # Errors
/// When the name holds a control or bidirectional character.
pub fn check_display_name(name: &str, stored: Option<&str>) -> Result<(), ScimError> {
    check_visible("displayName", name, stored)
}

impl Group {
    /// Reads the body of POST or PUT.
    ///
    /// # Errors
    /// When it is no group by the schema.
    pub fn parse(body: &[u8], dialect: Dialect) -> Result<Self, ScimError> {
        let map = json::object(body)?;
        unique::check(body, dialect)?;
        Self::read(map, dialect)
    }

    /// As `parse`, from JSON that was read already (an operation of a bulk request).
    ///
    /// # Errors
    /// As `parse`.
    pub fn read(mut map: Map<String, Value>, dialect: Dialect) -> Result<Self, ScimError> {
        check_schemas(&map, group::URN, dialect)?;
        let mut take = |name: &str| {
            let key = map.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
            key.and_then(|key| map.get_mut(&key)).map_or(Value::Null, Value::take)
        };
        Ok(Self {
            display_name: display_name(take("displayName"), dialect)?,
            external_id: text("externalId", take("externalId"), dialect)?,
            members: members(take("members"), dialect)?,
        })
    }

    /// A group as it is sent. `members` is `None` when they were not asked for.
    #[must_use]
    pub fn render(
        display_name: &str,
        external_id: Option<&str>,
        members: Option<&[Member]>,
        envelope: &Envelope<'_>,
        projection: &Projection,
    ) -> Value {
        let mut map = Map::new();
        map.insert("schemas".to_owned(), Value::Array(vec![group::URN.into()]));
        map.insert("id".to_owned(), Value::from(envelope.id));
        if let Some(external_id) = external_id {
            map.insert("externalId".to_owned(), Value::from(external_id));
        }
        map.insert("displayName".to_owned(), Value::from(display_name));
        if let Some(members) = members.filter(|members| !members.is_empty()) {
            let base = envelope.base();
            map.insert("members".to_owned(), members.iter().map(|member| member.render(base)).collect());
        }
        map.insert("meta".to_owned(), envelope.meta("Group"));
        projection.apply(map)
    }
}

impl Member {
    fn render(&self, base: &str) -> Value {
        let kind = self.kind.unwrap_or(MemberKind::User);
        let mut map = Map::new();
        map.insert("value".to_owned(), Value::from(self.value.as_str()));
        map.insert("$ref".to_owned(), Value::from(format!("{base}/{}s/{}", kind.as_str(), self.value)));
        if let Some(display) = &self.display {
            map.insert("display".to_owned(), Value::from(display.as_str()));
        }
        map.insert("type".to_owned(), Value::from(kind.as_str()));
        Value::Object(map)
    }
}

impl GroupChange {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.display_name.is_none() && self.external_id.is_none() && self.members.is_empty()
    }

    pub(super) fn add(&mut self, operation: &Operation, dialect: Dialect) -> Result<(), ScimError> {
        let value = || operation.value.clone().unwrap_or(Value::Null);
        let Some(path) = &operation.path else {
            let Value::Object(map) = value() else {
                return Err(ScimError::value("Without a path its value must be an object of attributes."));
            };
            for (key, value) in map {
                let Ok(path) = AttrPath::parse(&key) else { continue };
                // Okta: `id` beside `displayName`.
                let read_only = |a: &Attribute| a.mutability == Mutability::ReadOnly;
                let target = Schemas::standard().group.lookup(&path).and_then(|target| target.attribute);
                match target {
                    Some(attribute) if !read_only(attribute) || dialect == Dialect::Strict => {
                        self.attribute(operation.op, attribute, &path, None, value, dialect)?;
                    }
                    _ => {}
                }
            }
            return Ok(());
        };
        let target = Schemas::standard().group.lookup(&path.attribute).and_then(|target| target.attribute);
        let attribute = target.ok_or_else(|| ScimError::path(format_args!("The path {path} names no attribute of Group.")))?;
        self.attribute(operation.op, attribute, &path.attribute, path.filter.as_ref(), value(), dialect)
    }

    fn attribute(
        &mut self,
        op: Op,
        attribute: &Attribute,
        path: &AttrPath,
        filter: Option<&Filter>,
        value: Value,
        dialect: Dialect,
    ) -> Result<(), ScimError> {
        match (attribute.name.as_str(), op) {
            ("members", _) => self.members(op, path, filter, value, dialect),
            (name, _) if filter.is_some() => Err(ScimError::path(format_args!("{name} has one value; there is nothing to select."))),
            ("displayName", Op::Remove) => Err(ScimError::mutability("displayName is required and cannot be taken away.")),
            ("displayName", Op::Add | Op::Replace) => {
                self.display_name = Some(display_name(value, dialect)?);
                Ok(())
            }
            ("externalId", Op::Remove) => {
                self.external_id = Some(None);
                Ok(())
            }
            ("externalId", Op::Add | Op::Replace) => {
                self.external_id = Some(text("externalId", value, dialect)?);
                Ok(())
            }
            // It follows from the attributes.
            ("schemas", _) => Ok(()),
            (name, _) => Err(ScimError::mutability(format_args!("{name} is read-only."))),
        }
    }

    fn members(&mut self, op: Op, path: &AttrPath, filter: Option<&Filter>, value: Value, dialect: Dialect) -> Result<(), ScimError> {
        if let Some(sub) = &path.sub {
            // RFC 7643 §4.2: the sub-attributes of members are immutable.
            return Err(ScimError::mutability(format_args!("members.{sub} is immutable; remove the member and add another.")));
        }
        let change = match (op, filter) {
            (Op::Add, None) => MemberChange::Add(members(value, dialect)?),
            (Op::Replace, None) => MemberChange::Replace(members(value, dialect)?),
            (Op::Remove, None) if value.is_null() => MemberChange::RemoveAll,
            // Entra, JumpCloud: what to remove stands in `value`; an empty list removes nobody.
            (Op::Remove, None) => MemberChange::Remove(members(value, dialect)?.into_iter().map(|member| member.value).collect()),
            (Op::Remove, Some(filter)) => match ids(filter) {
                Some(ids) => MemberChange::Remove(ids),
                None => MemberChange::RemoveMatching(filter.clone()),
            },
            (Op::Add | Op::Replace, Some(filter)) => {
                // Without a look at the members it cannot be said whether the filter selects one; but it can say which it means.
                let (Some(ids), Dialect::Tolerant) = (ids(filter), dialect) else {
                    return Err(ScimError::no_target("Members are added by value and removed by path; none is changed in place."));
                };
                MemberChange::Add(ids.into_iter().map(|value| Member { value, kind: None, display: None }).collect())
            }
        };
        self.push(change)
    }

    /// A thousand operations of one member each are one set operation, and what comes before all members are replaced is void.
    fn push(&mut self, change: MemberChange) -> Result<(), ScimError> {
        match (self.members.last_mut(), change) {
            (Some(MemberChange::Add(last)), MemberChange::Add(more)) => last.extend(more),
            (Some(MemberChange::Remove(last)), MemberChange::Remove(more)) => last.extend(more),
            (_, change @ (MemberChange::Replace(_) | MemberChange::RemoveAll)) => self.members = vec![change],
            (_, change @ MemberChange::RemoveMatching(_)) => {
                let before = self.members.iter().filter(|step| matches!(step, MemberChange::RemoveMatching(_))).count();
                if before == FILTERED {
                    let words =
                        format_args!("A PATCH removes members by at most {FILTERED} filters other than value eq; send the rest apart.");
                    return Err(ScimError::new(ErrorKind::TooLarge, words));
                }
                self.members.push(change);
            }
            (_, change) => self.members.push(change),
        }
        Ok(())
    }
}

/// `value eq "a" or value eq "b"`: the ids it selects, whatever else is known of the members.
fn ids(filter: &Filter) -> Option<Vec<String>> {
    match filter {
        Filter::Compare { path, op: Operator::Eq, value: Literal::Text(id) }
            if path.schema.is_none() && path.sub.is_none() && path.name.eq_ignore_ascii_case("value") =>
        {
            Some(vec![id.clone()])
        }
        Filter::Or(left, right) => {
            let mut all = ids(left)?;
            all.extend(ids(right)?);
            Some(all)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{domain::time::Timestamp, scim::patch::Patch};

    fn change(dialect: Dialect, operations: &Value) -> Result<GroupChange, ErrorKind> {
        let body = json!({"schemas": [crate::scim::patch::URN], "Operations": operations}).to_string();
        Patch::parse(body.as_bytes(), dialect).and_then(|patch| patch.group_change(dialect)).map_err(|e| e.kind)
    }

    fn plain(id: &str) -> Member {
        Member { value: id.to_owned(), kind: None, display: None }
    }

    #[rstest::rstest]
    #[case(json!([{"op": "add", "path": "members", "value": [{"value": "a"}]}]), vec![MemberChange::Add(vec![plain("a")])])]
    #[case(json!([{"op": "add", "value": {"members": [{"value": "a"}]}}]), vec![MemberChange::Add(vec![plain("a")])])]
    #[case(json!([{"op": "replace", "value": {"urn:ietf:params:scim:schemas:core:2.0:Group:members": [{"value": "a"}]}}]), vec![MemberChange::Replace(vec![plain("a")])])]
    #[case(json!([{"op": "replace", "path": "members", "value": []}]), vec![MemberChange::Replace(vec![])])]
    #[case(json!([{"op": "remove", "path": "members"}]), vec![MemberChange::RemoveAll])]
    #[case(json!([{"op": "remove", "path": "members[value eq \"a\" or VALUE eq \"b\"]"}]), vec![MemberChange::Remove(vec!["a".into(), "b".into()])])]
    #[case(json!([{"op": "remove", "path": "members[type eq \"Group\"]"}]), vec![MemberChange::RemoveMatching(Filter::parse("type eq \"Group\"").unwrap())])]
    #[case(json!([{"op": "add", "path": "members", "value": [{"value": "a"}]}, {"op": "add", "path": "members", "value": [{"value": "b"}]},
        {"op": "remove", "path": "members[value eq \"c\"]"}, {"op": "remove", "path": "members[value eq \"d\"]"}, {"op": "add", "path": "members", "value": [{"value": "e"}]}]),
        vec![MemberChange::Add(vec![plain("a"), plain("b")]), MemberChange::Remove(vec!["c".into(), "d".into()]), MemberChange::Add(vec![plain("e")])])]
    fn a_patch_becomes_set_operations(#[case] operations: Value, #[case] expected: Vec<MemberChange>) {
        for dialect in [Dialect::Strict, Dialect::Tolerant] {
            assert_eq!(change(dialect, &operations).unwrap().members, expected);
        }
    }

    #[rstest::rstest]
    #[case(json!([{"op": "remove", "path": "displayName"}]), ErrorKind::Mutability)]
    #[case(json!([{"op": "replace", "path": "displayName", "value": ""}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "replace", "path": "displayName", "value": "x".repeat(2000)}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "replace", "path": "id", "value": "x"}]), ErrorKind::Mutability)]
    #[case(json!([{"op": "replace", "path": "unknown", "value": "x"}]), ErrorKind::InvalidPath)]
    #[case(json!([{"op": "replace", "path": "members[value eq \"a\"].display", "value": "x"}]), ErrorKind::Mutability)]
    #[case(json!([{"op": "replace", "path": "displayName[value eq \"a\"]", "value": "x"}]), ErrorKind::InvalidPath)]
    #[case(json!([{"op": "add", "path": "members", "value": [{"display": "x"}]}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "add", "path": "members", "value": [{"value": "a", "display": "x".repeat(1025)}]}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "add", "path": "members", "value": [{"value": "a", "type": "Robot"}]}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "add", "path": "members", "value": true}]), ErrorKind::InvalidValue)]
    fn a_mistake_is_refused_by_its_kind(#[case] operations: Value, #[case] kind: ErrorKind) {
        for dialect in [Dialect::Strict, Dialect::Tolerant] {
            assert_eq!(change(dialect, &operations), Err(kind));
        }
    }

    #[test]
    fn what_replaces_all_members_makes_what_stands_before_it_void() {
        let add = |id: &str| json!({"op": "add", "path": "members", "value": [{"value": id}]});
        let replace = |id: &str| json!({"op": "replace", "path": "members", "value": [{"value": id}]});
        let remove_all = json!({"op": "remove", "path": "members"});
        let members = |operations: Value| change(Dialect::Strict, &operations).unwrap().members;
        assert_eq!(members(json!([replace("a"), add("b"), replace("c")])), [MemberChange::Replace(vec![plain("c")])]);
        assert_eq!(
            members(json!([add("a"), replace("b"), remove_all, add("c")])),
            [MemberChange::RemoveAll, MemberChange::Add(vec![plain("c")])]
        );
    }

    #[test]
    fn few_filters_over_all_members_are_one_request() {
        let removals = |count: usize| {
            let one = json!({"op": "remove", "path": "members[type eq \"Group\"]"});
            change(Dialect::Strict, &Value::Array(vec![one; count])).map(|change| change.members.len())
        };
        assert_eq!(removals(10), Ok(10));
        assert_eq!(removals(11), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn the_external_id_is_set_and_taken_away() {
        let id = |operations: &Value| change(Dialect::Tolerant, operations).unwrap().external_id;
        assert_eq!(id(&json!([{"op": "add", "path": "externalId", "value": 7}])), Some(Some("7".to_owned())));
        assert_eq!(id(&json!([{"op": "replace", "path": "externalId", "value": ""}])), Some(None));
        assert_eq!(id(&json!([{"op": "remove", "path": "externalId"}])), Some(None));
        assert_eq!(id(&json!([{"op": "replace", "value": {"displayName": "x"}}])), None);
    }

    #[test]
    fn a_member_is_known_by_its_address_too() {
        let body = json!({"schemas": [group::URN], "displayname": "Staff", "MEMBERS": [
            {"$ref": "https://rg/scim/v2/Groups/g2"}, {"value": "u1", "$ref": "../Users/u1"}, {"value": "u2", "type": "user"}, {"value": "u3", "$ref": "u3"}]});
        let group = Group::parse(body.to_string().as_bytes(), Dialect::Strict).unwrap();
        let kinds: Vec<_> = group.members.iter().map(|m| (m.value.as_str(), m.kind)).collect();
        let (user, group) = (Some(MemberKind::User), Some(MemberKind::Group));
        assert_eq!(kinds, [("g2", group), ("u1", user), ("u2", user), ("u3", None)]);
    }

    #[test]
    fn a_group_needs_a_name() {
        for body in [
            json!({"schemas": [group::URN]}),
            json!({"schemas": [group::URN], "displayName": " "}),
            json!({"schemas": [group::URN], "displayName": ["a", "b"]}),
        ] {
            assert_eq!(Group::parse(body.to_string().as_bytes(), Dialect::Tolerant).unwrap_err().kind, ErrorKind::InvalidValue, "{body}");
        }
    }

    #[test]
    fn a_group_is_sent_with_the_addresses_of_its_members() {
        let members = [
            Member { value: "u1".into(), kind: Some(MemberKind::User), display: Some("Anna".into()) },
            Member { kind: Some(MemberKind::Group), ..plain("g2") },
        ];
        let at = Timestamp::from_millis(0);
        let envelope = Envelope { id: "g1", created: at, modified: at, version: 1, location: "https://rg/scim/v2/Groups/g1", groups: None };
        let sent = Group::render("Staff", Some("e"), Some(&members), &envelope, &Projection::default());
        assert_eq!(
            sent["members"],
            json!([
            {"value": "u1", "$ref": "https://rg/scim/v2/Users/u1", "display": "Anna", "type": "User"},
            {"value": "g2", "$ref": "https://rg/scim/v2/Groups/g2", "type": "Group"}])
        );
        assert_eq!((&sent["externalId"], &sent["meta"]["resourceType"]), (&json!("e"), &json!("Group")));
        assert!(Group::render("Staff", None, None, &envelope, &Projection::default()).get("members").is_none());
    }
}
