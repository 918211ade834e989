//! PATCH (RFC 7644 §3.5.2) as a pure function: the old resource and a request make the new one, or nothing changes.
//! A group's membership is never loaded: its PATCH becomes set operations (`group`).

mod edit;
mod level;

use std::mem;

use serde_json::{Map, Value};

pub(super) use edit::{Editor, ReadOnly};

use super::{
    error::{ErrorKind, ScimError},
    group::GroupChange,
    json, normalise,
    path::Path,
    resource::User,
    schema::Schemas,
    unique,
};
use crate::domain::connection::Dialect;

pub const URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Operations in one request.
pub const OPERATIONS: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Add,
    Replace,
    Remove,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub op: Op,
    pub path: Option<Path>,
    pub value: Option<Value>,
}

/// A PATCH request.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    pub operations: Vec<Operation>,
}

impl Patch {
    /// Reads a request body.
    ///
    /// # Errors
    /// When it is no PATCH, has more than 1,000 operations, or one of them cannot be read; the words name which.
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
        let tolerant = dialect == Dialect::Tolerant;
        // Hand-written clients: PATCH without `schemas`.
        let named = map.get("schemas").and_then(Value::as_array).is_some_and(|schemas| schemas.iter().any(|s| s.as_str() == Some(URN)));
        if !named && !tolerant {
            return Err(ScimError::syntax(format_args!("schemas of a PATCH must name {URN}.")));
        }
        // Hand-written clients: `operations` in lower case.
        let key = map.keys().find(|key| *key == "Operations" || (tolerant && key.eq_ignore_ascii_case("operations"))).cloned();
        let Some(Value::Array(items)) = key.and_then(|key| map.get_mut(&key)).map(Value::take) else {
            return Err(ScimError::syntax("A PATCH has an array Operations."));
        };
        if items.is_empty() {
            return Err(ScimError::syntax("Operations is empty; a PATCH has at least one."));
        }
        if items.len() > OPERATIONS {
            return Err(ScimError::new(
                ErrorKind::TooLarge,
                format_args!("A PATCH has at most {OPERATIONS} operations, not {}.", items.len()),
            ));
        }
        let named =
            |(i, item)| Operation::read(item, dialect).map_err(|e| ScimError { detail: format!("Operation {}: {}", i + 1, e.detail), ..e });
        let operations = items.into_iter().enumerate().map(named).collect::<Result<_, _>>()?;
        Ok(Self { operations })
    }

    /// The user as it is after all operations, or the first one's refusal.
    ///
    /// # Errors
    /// As RFC 7644 §3.5.2 names them.
    pub fn apply(&self, user: &User, schemas: &Schemas, dialect: Dialect) -> Result<User, ScimError> {
        let mut editor = Editor { document: user.attributes.clone(), schema: &schemas.user, dialect, read_only: ReadOnly::Refuse };
        for (i, operation) in self.operations.iter().enumerate() {
            editor.apply(operation).map_err(|e| ScimError { detail: format!("Operation {}: {}", i + 1, e.detail), ..e })?;
        }
        let changed = User { attributes: mem::take(&mut editor.document) };
        changed.check_required(&schemas.user)?;
        changed.check_names(user)?;
        Ok(changed.keeping_inactive(user))
    }

    /// What the request changes of a group.
    ///
    /// # Errors
    /// As RFC 7644 §3.5.2 names them.
    pub fn group_change(&self, dialect: Dialect) -> Result<GroupChange, ScimError> {
        let mut change = GroupChange::default();
        for (i, operation) in self.operations.iter().enumerate() {
            change.add(operation, dialect).map_err(|e| ScimError { detail: format!("Operation {}: {}", i + 1, e.detail), ..e })?;
        }
        Ok(change)
    }
}

impl Operation {
    fn read(item: Value, dialect: Dialect) -> Result<Self, ScimError> {
        let tolerant = dialect == Dialect::Tolerant;
        let Value::Object(mut map) = item else {
            return Err(ScimError::syntax("It is not an object."));
        };
        let mut member = |name: &str| {
            let key = map.keys().find(|key| *key == name || (tolerant && key.eq_ignore_ascii_case(name))).cloned();
            key.and_then(|key| map.get_mut(&key)).map(Value::take)
        };
        let op = match member("op") {
            Some(Value::String(op)) if tolerant => normalise::operation_name(&op),
            Some(Value::String(op)) => op,
            _ => return Err(ScimError::syntax("It has no op; add, replace or remove was expected.")),
        };
        let op = match op.as_str() {
            "add" => Op::Add,
            "replace" => Op::Replace,
            "remove" => Op::Remove,
            _ => return Err(ScimError::syntax("Its op is unknown; add, replace or remove was expected.")),
        };
        let path = match member("path") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.trim().is_empty() && tolerant => None,
            Some(Value::String(text)) => {
                let path = text.trim().parse().map_err(|e| ScimError::path(format_args!("Its path cannot be read {e}.")))?;
                Some(path)
            }
            Some(_) => return Err(ScimError::path("Its path is not a string.")),
        };
        let value = member("value");
        match op {
            // RFC 7644 §3.5.2.1: "The operation MUST contain a "value" member".
            Op::Add | Op::Replace if value.is_none() => Err(ScimError::value("It has no value.")),
            // RFC 7644 §3.5.2.2: "If "path" is unspecified, the operation fails with HTTP status code 400 and a "scimType" error code of "noTarget"."
            Op::Remove if path.is_none() => Err(ScimError::no_target("It has no path; remove needs one.")),
            // RFC 7644 §3.5.2.2 selects with the path alone; whoever sends a value means less than the whole attribute.
            Op::Remove if !tolerant && value.as_ref().is_some_and(|value| !value.is_null()) => {
                Err(ScimError::syntax("remove takes no value; select the values in its path."))
            }
            Op::Add | Op::Replace | Op::Remove => Ok(Self { op, path, value }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ENTERPRISE: &str = crate::scim::schema::enterprise::URN;

    fn user(attributes: Value) -> User {
        let Value::Object(mut attributes) = attributes else { panic!("an object") };
        attributes.insert("userName".to_owned(), json!("anna@example.com"));
        User { attributes }
    }

    fn patch(operations: &Value) -> Patch {
        let body = json!({"schemas": [URN], "Operations": operations}).to_string();
        Patch::parse(body.as_bytes(), Dialect::Tolerant).unwrap()
    }

    fn run(dialect: Dialect, before: Value, operations: &Value) -> Result<Value, ScimError> {
        let body = json!({"schemas": [URN], "Operations": operations}).to_string();
        let changed = Patch::parse(body.as_bytes(), dialect)?.apply(&user(before), Schemas::standard(), dialect)?;
        let mut attributes = changed.attributes;
        if attributes.get("userName") == Some(&json!("anna@example.com")) {
            attributes.shift_remove("userName");
        }
        Ok(Value::Object(attributes))
    }

    /// Both dialects agree.
    fn both(before: &Value, operations: &Value) -> Result<Value, ErrorKind> {
        let [strict, tolerant] = [Dialect::Strict, Dialect::Tolerant].map(|d| run(d, before.clone(), operations).map_err(|e| e.kind));
        assert_eq!(strict, tolerant);
        strict
    }

    fn two_emails() -> Value {
        json!({"emails": [{"value": "a@work", "type": "work", "primary": true}, {"value": "a@home", "type": "home"}]})
    }

    #[rstest::rstest]
    // add, RFC 7644 §3.5.2.1
    #[case(json!({}), json!([{"op": "add", "path": "title", "value": "Boss"}]), json!({"title": "Boss"}))]
    #[case(json!({}), json!([{"op": "add", "path": "TITLE", "value": "Boss"}]), json!({"title": "Boss"}))]
    #[case(json!({}), json!([{"op": "add", "value": {"title": "Boss", "name": {"givenName": "Anna"}}}]), json!({"title": "Boss", "name": {"givenName": "Anna"}}))]
    #[case(json!({"name": {"familyName": "B"}}), json!([{"op": "add", "path": "name.givenName", "value": "Anna"}]), json!({"name": {"familyName": "B", "givenName": "Anna"}}))]
    #[case(json!({"name": {"familyName": "B"}}), json!([{"op": "add", "path": "name", "value": {"givenName": "Anna"}}]), json!({"name": {"familyName": "B", "givenName": "Anna"}}))]
    #[case(json!({}), json!([{"op": "add", "path": "emails", "value": [{"value": "x", "type": "other"}]}]), json!({"emails": [{"value": "x", "type": "other"}]}))]
    #[case(two_emails(), json!([{"op": "add", "path": "emails", "value": [{"value": "a@work", "type": "work", "primary": true}]}]), two_emails())]
    #[case(two_emails(), json!([{"op": "add", "path": "emails", "value": [{"value": "c", "primary": true}]}]),
        json!({"emails": [{"value": "a@work", "type": "work", "primary": false}, {"value": "a@home", "type": "home"}, {"value": "c", "primary": true}]}))]
    #[case(two_emails(), json!([{"op": "add", "path": "emails[type eq \"home\"].primary", "value": true}]),
        json!({"emails": [{"value": "a@work", "type": "work", "primary": false}, {"value": "a@home", "type": "home", "primary": true}]}))]
    #[case(two_emails(), json!([{"op": "add", "path": "emails[type eq \"home\"]", "value": {"display": "Home"}}]),
        json!({"emails": [{"value": "a@work", "type": "work", "primary": true}, {"value": "a@home", "type": "home", "display": "Home"}]}))]
    #[case(json!({}), json!([{"op": "add", "path": format!("{ENTERPRISE}:department"), "value": "Sales"}]), json!({ENTERPRISE: {"department": "Sales"}}))]
    #[case(json!({}), json!([{"op": "add", "path": ENTERPRISE, "value": {"department": "Sales", "manager": {"value": "m"}}}]), json!({ENTERPRISE: {"department": "Sales", "manager": {"value": "m"}}}))]
    #[case(json!({}), json!([{"op": "add", "value": {ENTERPRISE: {"division": "D"}}}]), json!({ENTERPRISE: {"division": "D"}}))]
    #[case(json!({}), json!([{"op": "add", "path": "urn:ietf:params:scim:schemas:core:2.0:User:name.givenName", "value": "A"}]), json!({"name": {"givenName": "A"}}))]
    #[case(json!({}), json!([{"op": "add", "path": "password", "value": "secret"}]), json!({}))]
    #[case(json!({}), json!([{"op": "add", "value": {"unknown": 1}}]), json!({}))]
    // replace, §3.5.2.3
    #[case(json!({"title": "Boss"}), json!([{"op": "replace", "path": "title", "value": "Chief"}]), json!({"title": "Chief"}))]
    #[case(json!({}), json!([{"op": "replace", "path": "title", "value": "Chief"}]), json!({"title": "Chief"}))]
    #[case(json!({"title": "Boss"}), json!([{"op": "replace", "path": "title", "value": null}]), json!({}))]
    #[case(two_emails(), json!([{"op": "replace", "path": "emails", "value": [{"value": "c"}]}]), json!({"emails": [{"value": "c"}]}))]
    #[case(two_emails(), json!([{"op": "replace", "path": "emails", "value": []}]), json!({}))]
    #[case(two_emails(), json!([{"op": "replace", "path": "emails[type eq \"work\"]", "value": {"value": "b@work", "type": "work"}}]),
        json!({"emails": [{"value": "b@work", "type": "work"}, {"value": "a@home", "type": "home"}]}))]
    #[case(two_emails(), json!([{"op": "replace", "path": "emails[value ew \"home\"].value", "value": "b@home"}]),
        json!({"emails": [{"value": "a@work", "type": "work", "primary": true}, {"value": "b@home", "type": "home"}]}))]
    #[case(two_emails(), json!([{"op": "replace", "path": "emails.display", "value": "x"}]),
        json!({"emails": [{"value": "a@work", "type": "work", "primary": true, "display": "x"}, {"value": "a@home", "type": "home", "display": "x"}]}))]
    #[case(json!({ENTERPRISE: {"manager": {"value": "m", "$ref": "https://x/Users/m"}}}), json!([{"op": "replace", "path": format!("{ENTERPRISE}:manager.value"), "value": "n"}]), json!({ENTERPRISE: {"manager": {"value": "n"}}}))]
    #[case(json!({"active": true}), json!([{"op": "replace", "value": {"active": false}}]), json!({"active": false}))]
    // remove, §3.5.2.2
    #[case(json!({"title": "Boss"}), json!([{"op": "remove", "path": "title"}]), json!({}))]
    #[case(json!({}), json!([{"op": "remove", "path": "title"}]), json!({}))]
    #[case(json!({"name": {"givenName": "A", "familyName": "B"}}), json!([{"op": "remove", "path": "name.givenName"}]), json!({"name": {"familyName": "B"}}))]
    #[case(json!({"name": {"givenName": "A"}}), json!([{"op": "remove", "path": "name.givenName"}]), json!({}))]
    #[case(two_emails(), json!([{"op": "remove", "path": "emails"}]), json!({}))]
    #[case(two_emails(), json!([{"op": "remove", "path": "emails[type eq \"work\"]"}]), json!({"emails": [{"value": "a@home", "type": "home"}]}))]
    #[case(two_emails(), json!([{"op": "remove", "path": "emails[type eq \"work\"].primary"}]),
        json!({"emails": [{"value": "a@work", "type": "work"}, {"value": "a@home", "type": "home"}]}))]
    #[case(json!({ENTERPRISE: {"department": "S"}}), json!([{"op": "remove", "path": format!("{ENTERPRISE}:department")}]), json!({}))]
    #[case(json!({ENTERPRISE: {"department": "S"}}), json!([{"op": "remove", "path": ENTERPRISE}]), json!({}))]
    // several
    #[case(json!({"title": "a"}), json!([{"op": "remove", "path": "title"}, {"op": "add", "path": "title", "value": "b"}]), json!({"title": "b"}))]
    fn an_operation_does_what_the_rfc_says(#[case] before: Value, #[case] operations: Value, #[case] after: Value) {
        assert_eq!(both(&before, &operations), Ok(after));
    }

    #[rstest::rstest]
    #[case(json!([{"op": "remove"}]), ErrorKind::NoTarget)]
    #[case(json!([{"op": "remove", "path": "userName"}]), ErrorKind::Mutability)]
    #[case(json!([{"op": "replace", "path": "userName", "value": null}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "replace", "path": "userName", "value": "  "}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "replace", "path": "id", "value": "x"}]), ErrorKind::Mutability)]
    #[case(json!([{"op": "add", "path": "meta.location", "value": "x"}]), ErrorKind::Mutability)]
    #[case(json!([{"op": "add", "path": "groups", "value": [{"value": "x"}]}]), ErrorKind::Mutability)]
    #[case(json!([{"op": "add", "path": "unknown", "value": "x"}]), ErrorKind::InvalidPath)]
    #[case(json!([{"op": "add", "path": "name.unknown", "value": "x"}]), ErrorKind::InvalidPath)]
    #[case(json!([{"op": "add", "path": "emails[type eq ]", "value": "x"}]), ErrorKind::InvalidPath)]
    #[case(json!([{"op": "add", "path": "title[value eq \"x\"]", "value": "x"}]), ErrorKind::InvalidPath)]
    #[case(json!([{"op": "add", "path": 7, "value": "x"}]), ErrorKind::InvalidPath)]
    #[case(json!([{"op": "add", "path": "title"}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "add", "value": "x"}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "add", "path": "title", "value": {}}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "replace", "path": "active", "value": "perhaps"}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "replace", "path": "emails", "value": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "replace", "path": "emails.primary", "value": true}]), ErrorKind::InvalidValue)]
    #[case(json!([{"op": "move", "path": "title", "value": "x"}]), ErrorKind::InvalidSyntax)]
    #[case(json!([{"path": "title", "value": "x"}]), ErrorKind::InvalidSyntax)]
    #[case(json!([7]), ErrorKind::InvalidSyntax)]
    #[case(json!([]), ErrorKind::InvalidSyntax)]
    #[case(json!({}), ErrorKind::InvalidSyntax)]
    fn a_mistake_is_refused_by_its_kind(#[case] operations: Value, #[case] kind: ErrorKind) {
        assert_eq!(both(&two_emails(), &operations), Err(kind));
    }

    #[test]
    fn a_refused_operation_undoes_those_before_it_and_is_named() {
        let before = user(json!({"title": "a"}));
        let error = patch(&json!([{"op": "replace", "path": "title", "value": "b"}, {"op": "remove", "path": "userName"}]))
            .apply(&before, Schemas::standard(), Dialect::Tolerant)
            .unwrap_err();
        assert!(error.detail.starts_with("Operation 2: "), "{error}");
        assert_eq!(before.attributes["title"], "a");
    }

    #[test]
    fn at_most_a_thousand_operations_are_taken() {
        let many =
            |n: usize| json!({"schemas": [URN], "Operations": vec![json!({"op": "add", "path": "title", "value": "x"}); n]}).to_string();
        assert!(Patch::parse(many(OPERATIONS).as_bytes(), Dialect::Strict).is_ok());
        assert_eq!(Patch::parse(many(OPERATIONS + 1).as_bytes(), Dialect::Strict).unwrap_err().kind, ErrorKind::TooLarge);
    }

    #[test]
    fn a_value_path_without_its_element_makes_it_unless_strict() {
        let operations = json!([{"op": "replace", "path": "emails[type eq \"work\"].value", "value": "x"}]);
        assert_eq!(run(Dialect::Tolerant, json!({}), &operations).unwrap(), json!({"emails": [{"type": "work", "value": "x"}]}));
        assert_eq!(run(Dialect::Strict, json!({}), &operations).unwrap_err().kind, ErrorKind::NoTarget);
        let vague = json!([{"op": "add", "path": "emails[not (type eq \"work\")].value", "value": "x"}]);
        assert_eq!(run(Dialect::Tolerant, json!({}), &vague).unwrap_err().kind, ErrorKind::NoTarget);
    }

    #[test]
    fn active_taken_away_leaves_access_as_it_was() {
        let remove = || patch(&json!([{"op": "remove", "path": "active"}]));
        let apply = |active: bool| remove().apply(&user(json!({"active": active})), Schemas::standard(), Dialect::Tolerant).unwrap();
        assert!(apply(true).active());
        let locked = apply(false);
        assert!(!locked.active());
        // … and stays so through later requests that do not speak of it.
        let later =
            patch(&json!([{"op": "add", "path": "title", "value": "x"}])).apply(&locked, Schemas::standard(), Dialect::Tolerant).unwrap();
        assert!(!later.active());
        let let_in =
            patch(&json!([{"op": "add", "path": "active", "value": true}])).apply(&later, Schemas::standard(), Dialect::Tolerant).unwrap();
        assert!(let_in.active());
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let text = proptest::sample::select(vec!["", "work", "a@b", "True", "{\"value\":\"r\"}", "x"]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i8>().prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        let key = proptest::sample::select(vec![
            "value",
            "type",
            "primary",
            "emails",
            "name",
            "givenName",
            "active",
            "$ref",
            "roles",
            "userName",
            ENTERPRISE,
            "manager",
            "name.givenName",
        ]);
        leaf.prop_recursive(3, 12, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((key.clone(), inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())),
            ]
        })
    }

    fn operation() -> impl Strategy<Value = Value> {
        let op = proptest::sample::select(vec!["add", "Replace", "remove"]);
        let path = proptest::sample::select(vec![
            "title",
            "active",
            "name",
            "name.givenName",
            "emails",
            "emails.value",
            "emails[type eq \"work\"]",
            "emails[type eq \"work\"].value",
            "emails[primary eq true].primary",
            "roles[primary eq \"True\"].value",
            "manager",
            "addresses[type eq \"work\"].country",
            ENTERPRISE,
            "userName",
            "externalId",
        ]);
        (op, proptest::option::weighted(0.8, path), json_value())
            .prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value}))
    }

    proptest! {
        #[test]
        fn whatever_is_asked_the_user_stays_sound(before in json_value(), operations in proptest::collection::vec(operation(), 1..5)) {
            let schemas = Schemas::standard();
            for dialect in [Dialect::Tolerant, Dialect::Strict] {
                let mut body = json!({"schemas": [crate::scim::schema::user::URN]});
                if let (Value::Object(body), Value::Object(before)) = (&mut body, &before) {
                    body.extend(before.clone());
                }
                body["userName"] = json!("anna");
                let Ok(user) = User::parse(body.to_string().as_bytes(), schemas, dialect) else { continue };
                let request = json!({"schemas": [URN], "Operations": operations}).to_string();
                let Ok(patch) = Patch::parse(request.as_bytes(), dialect) else { continue };
                let Ok(changed) = patch.apply(&user, schemas, dialect) else { continue };
                // What it became is what its own rendering says, read again by the strict engine.
                let mut own = changed.attributes.clone();
                own.insert("schemas".to_owned(), json!([crate::scim::schema::user::URN]));
                let again = User::read(own, schemas, Dialect::Strict).unwrap().keeping_inactive(&changed);
                prop_assert_eq!(again, changed);
            }
        }

        /// RFC 7644 §3.5.2: replace and remove name a state, add adds what is not there: once more changes nothing.
        #[test]
        fn an_operation_done_twice_is_done_once(before in json_value(), operation in operation()) {
            let schemas = Schemas::standard();
            let mut body = json!({"emails": before});
            body["userName"] = json!("anna");
            let Ok(user) = User::parse(body.to_string().as_bytes(), schemas, Dialect::Tolerant) else { return Ok(()) };
            let request = json!({"Operations": [operation]}).to_string();
            let Ok(patch) = Patch::parse(request.as_bytes(), Dialect::Tolerant) else { return Ok(()) };
            let Ok(once) = patch.apply(&user, schemas, Dialect::Tolerant) else { return Ok(()) };
            if let Ok(twice) = patch.apply(&once, schemas, Dialect::Tolerant) {
                prop_assert_eq!(twice, once);
            }
        }

        #[test]
        fn any_group_patch_is_read_or_refused(operations in proptest::collection::vec(operation(), 1..5)) {
            let request = json!({"Operations": operations}).to_string();
            if let Ok(patch) = Patch::parse(request.as_bytes(), Dialect::Tolerant) {
                let _ = patch.group_change(Dialect::Tolerant);
            }
        }
    }
}
