//! The named tolerances: what identity providers send and what they mean by it, one function per habit.
//! The engine behind is strict; with `Dialect::Strict` none of this runs.

use serde_json::{Map, Value};

use super::schema::{Attribute, Kind};

/// One attribute's value as the schema has it, as far as a known habit explains the difference.
#[must_use]
pub fn value(attribute: &Attribute, value: Value) -> Value {
    if !attribute.multi_valued {
        return element(attribute, list_around_one(value));
    }
    match one_as_list(value) {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| element(attribute, item)).collect()),
        other => other,
    }
}

/// One element of a multi-valued attribute, or the value of a single-valued one.
#[must_use]
pub fn element(attribute: &Attribute, value: Value) -> Value {
    let value = empty_text(value);
    match attribute.kind {
        Kind::Boolean => boolean_text(value),
        Kind::Text => number_for_text(value),
        Kind::Complex => match bare_value(attribute, value) {
            Value::Object(mut map) => {
                if attribute.name == "roles" {
                    role_in_json(&mut map);
                }
                Value::Object(parts(attribute, map))
            }
            other => other,
        },
        Kind::Integer | Kind::Decimal | Kind::DateTime | Kind::Binary | Kind::Reference => value,
    }
}

fn parts(attribute: &Attribute, map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter()
        .map(|(key, part)| match attribute.sub(&key) {
            Some(sub) => {
                let part = value(sub, part);
                (key, part)
            }
            None => (key, part),
        })
        .collect()
}

/// Entra: booleans as `"True"` and `"False"`.
fn boolean_text(value: Value) -> Value {
    match value.as_str() {
        Some(text) if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        _ => value,
    }
}

/// Okta: `externalId` and `postalCode` as numbers.
fn number_for_text(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        other => other,
    }
}

/// Entra: an attribute emptied by `""`.
fn empty_text(value: Value) -> Value {
    if value.as_str() == Some("") { Value::Null } else { value }
}

/// Entra: `manager` as `[{"$ref", "value"}]`. An empty list stands for nothing.
fn list_around_one(value: Value) -> Value {
    match value {
        Value::Array(mut items) if items.len() <= 1 => items.pop().unwrap_or(Value::Null),
        other => other,
    }
}

/// Entra, hand-written clients: the only value of a list without the list.
fn one_as_list(value: Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Object(_) | Value::String(_) | Value::Number(_) => Value::Array(vec![value]),
        other => other,
    }
}

/// Entra: `manager` as the id alone; roles as their names alone.
fn bare_value(attribute: &Attribute, value: Value) -> Value {
    match value {
        Value::String(_) | Value::Number(_) if attribute.sub("value").is_some() => {
            let mut map = Map::new();
            map.insert("value".to_owned(), value);
            Value::Object(map)
        }
        other => other,
    }
}

/// Entra, `AppRoleAssignmentsComplex`: a role as a JSON text inside `value`, with `id`, `value` and `displayName`.
fn role_in_json(role: &mut Map<String, Value>) {
    let Some((key, text)) = role.iter().find(|(key, _)| key.eq_ignore_ascii_case("value")) else { return };
    let Some(text) = text.as_str().filter(|text| text.trim_start().starts_with('{')) else { return };
    let Ok(Value::Object(inner)) = serde_json::from_str(text) else { return };
    let part = |name: &str| super::json::find(&inner, name).and_then(Value::as_str).filter(|text| !text.is_empty() && !text.contains('\0'));
    let Some(name) = part("value").or_else(|| part("id")) else { return };
    let key = key.clone();
    let display = part("displayName").or_else(|| part("display"));
    let (name, display) = (name.to_owned(), display.map(str::to_owned));
    if let Some(display) = display
        && super::json::find(role, "display").is_none()
    {
        role.insert("display".to_owned(), Value::String(display));
    }
    role.insert(key, Value::String(name));
}

/// Entra: `op` capitalised.
#[must_use]
pub fn operation_name(op: &str) -> String {
    op.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        domain::connection::Dialect,
        scim::{
            error::ErrorKind,
            filter::Filter,
            group::{Group, GroupChange, Member, MemberChange},
            patch::Patch,
            path::AttrPath,
            resource::User,
            schema::Schemas,
        },
    };

    fn user(name: &str) -> &'static Attribute {
        Schemas::standard().user.lookup_anywhere(&AttrPath::parse(name).unwrap()).unwrap().attribute.unwrap()
    }

    #[rstest::rstest]
    #[case("active", json!("True"), json!(true))]
    #[case("active", json!("false"), json!(false))]
    #[case("active", json!("yes"), json!("yes"))]
    #[case("externalId", json!(4711), json!("4711"))]
    #[case("title", json!(""), json!(null))]
    #[case("emails", json!(""), json!(null))]
    #[case("manager", json!("m1"), json!({"value": "m1"}))]
    #[case("manager", json!(""), json!(null))]
    #[case("manager", json!([]), json!(null))]
    #[case("manager", json!([{"$ref": "https://x/Users/m1", "value": "m1"}]), json!({"$ref": "https://x/Users/m1", "value": "m1"}))]
    #[case("addresses", json!([{"postalCode": 12345, "country": ""}]), json!([{"postalCode": "12345", "country": null}]))]
    #[case("emails", json!({"value": "a@example.com", "primary": "True"}), json!([{"value": "a@example.com", "primary": true}]))]
    #[case("roles", json!(["Admin"]), json!([{"value": "Admin"}]))]
    #[case("roles", json!([{"value": "{\"id\":\"06b0\",\"value\":\"25\",\"displayName\":\"Role1234\"}"}]), json!([{"value": "25", "display": "Role1234"}]))]
    #[case("roles", json!([{"primary": "False", "type": "WindowsAzureActiveDirectoryRole", "display": "Admin", "value": "Admin"}]),
        json!([{"primary": false, "type": "WindowsAzureActiveDirectoryRole", "display": "Admin", "value": "Admin"}]))]
    #[case("roles", json!([{"value": "{not json"}]), json!([{"value": "{not json"}]))]
    fn a_habit_is_understood(#[case] name: &str, #[case] sent: Value, #[case] meant: Value) {
        assert_eq!(value(user(name), sent), meant);
    }

    const ENTERPRISE: &str = crate::scim::schema::enterprise::URN;

    fn posted(body: &Value) -> Map<String, Value> {
        let mut body = body.clone();
        body["userName"] = json!("anna");
        let mut attributes = User::parse(body.to_string().as_bytes(), Schemas::standard(), Dialect::Tolerant).unwrap().attributes;
        attributes.shift_remove("userName");
        attributes
    }

    fn patched(before: Value, body: &Value) -> Map<String, Value> {
        let Value::Object(mut attributes) = before else { panic!("an object") };
        attributes.insert("userName".to_owned(), json!("anna"));
        let patch = Patch::parse(body.to_string().as_bytes(), Dialect::Tolerant).unwrap();
        let mut attributes = patch.apply(&User { attributes }, Schemas::standard(), Dialect::Tolerant).unwrap().attributes;
        attributes.shift_remove("userName");
        attributes
    }

    fn refused_when_strict(body: &Value) {
        let user = User { attributes: Map::from_iter([("userName".to_owned(), json!("anna"))]) };
        let strict =
            Patch::parse(body.to_string().as_bytes(), Dialect::Strict).and_then(|p| p.apply(&user, Schemas::standard(), Dialect::Strict));
        assert!(strict.is_err(), "{body}");
    }

    fn ops(operations: &Value) -> Value {
        json!({"schemas": [crate::scim::patch::URN], "Operations": operations})
    }

    #[test]
    fn entra_writes_op_and_booleans_with_capitals() {
        let body = ops(&json!([{"op": "Replace", "path": "active", "value": "False"}]));
        assert_eq!(Value::Object(patched(json!({"active": true}), &body)), json!({"active": false}));
        refused_when_strict(&body);
        refused_when_strict(&ops(&json!([{"op": "replace", "path": "active", "value": "False"}])));
        // The other dialect of the same tenant.
        let body = ops(&json!([{"op": "replace", "value": {"active": false}}]));
        assert_eq!(Value::Object(patched(json!({"active": true}), &body)), json!({"active": false}));
    }

    #[test]
    fn entra_replaces_without_path_by_dotted_and_urn_keys() {
        let body = ops(&json!([{"op": "replace", "value": {
            "displayName": "Anna B", "name.givenName": "Anna", "name.familyName": "B", "emails[type eq \"work\"].value": "anna@example.com",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "Sales",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager": "m1"}}]));
        let expected = json!({
            "displayName": "Anna B", "name": {"givenName": "Anna", "familyName": "B"}, "emails": [{"type": "work", "value": "anna@example.com"}],
            ENTERPRISE: {"department": "Sales", "manager": {"value": "m1"}}});
        assert_eq!(Value::Object(patched(json!({}), &body)), expected);
        assert_eq!(Value::Object(posted(&body["Operations"][0]["value"])), expected);
    }

    #[test]
    fn entra_posts_meta_nulls_empty_lists_and_stray_enterprise_attributes() {
        let body = json!({
            "schemas": [crate::scim::schema::user::URN, ENTERPRISE], "externalId": "e", "active": "True", "displayName": null, "roles": [],
            "meta": {"resourceType": "User"}, "department": "Sales", "manager": {"$ref": null, "value": "m1"}, "emails": [{"primary": "True", "type": "work", "value": "a@b", "display": null}]});
        assert_eq!(
            Value::Object(posted(&body)),
            json!({
            "externalId": "e", "active": true, "emails": [{"primary": true, "type": "work", "value": "a@b"}],
            ENTERPRISE: {"department": "Sales", "manager": {"value": "m1"}}})
        );
    }

    #[test]
    fn entra_posts_a_group_under_a_schema_of_its_own_too() {
        let body = json!({
            "schemas": [crate::scim::schema::group::URN, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
            "externalId": "8aa1a0c0", "displayName": "Staff", "members": [{"$ref": null, "value": "u1"}], "meta": {"resourceType": "Group"}});
        let group = Group::parse(body.to_string().as_bytes(), Dialect::Tolerant).unwrap();
        assert_eq!((group.display_name.as_str(), group.external_id.as_deref()), ("Staff", Some("8aa1a0c0")));
        assert_eq!(group.members, [Member { value: "u1".to_owned(), kind: None, display: None }]);
    }

    #[test]
    fn entra_adds_with_a_filtered_path_where_nothing_is_and_an_address_part_by_part() {
        let body = ops(&json!([
            {"op": "Add", "path": "addresses[type eq \"work\"].country", "value": "DE"},
            {"op": "Add", "path": "addresses[type eq \"work\"].postalCode", "value": 10115},
            {"op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+49"}]));
        assert_eq!(
            Value::Object(patched(json!({}), &body)),
            json!({
            "addresses": [{"type": "work", "country": "DE", "postalCode": "10115"}], "phoneNumbers": [{"type": "mobile", "value": "+49"}]})
        );
        refused_when_strict(&body);
    }

    #[test]
    fn entra_sends_roles_in_three_shapes() {
        let one = ops(
            &json!([{"op": "Add", "path": "roles[primary eq \"True\"].value", "value": "{\"id\":\"1\",\"value\":\"Admin\",\"displayName\":\"Administrator\"}"}]),
        );
        assert_eq!(
            Value::Object(patched(json!({}), &one)),
            json!({"roles": [{"primary": true, "value": "Admin", "display": "Administrator"}]})
        );
        let plain = ops(&json!([{"op": "Add", "path": "roles[primary eq \"True\"].value", "value": "Editor"}]));
        assert_eq!(
            Value::Object(patched(json!({"roles": [{"primary": true, "value": "Admin"}]}), &plain)),
            json!({"roles": [{"primary": true, "value": "Editor"}]})
        );
        let several = ops(&json!([{"op": "Add", "path": "roles", "value": [
            {"value": "{\"id\":\"06b0\",\"value\":\"25\",\"displayName\":\"Role1234\"}"}, {"value": "{\"id\":\"06c0\",\"value\":\"26\",\"displayName\":\"Role5\"}"}]}]));
        let both = json!({"roles": [{"value": "25", "display": "Role1234"}, {"value": "26", "display": "Role5"}]});
        assert_eq!(Value::Object(patched(json!({}), &several)), both);
        assert_eq!(
            Value::Object(posted(
                &json!({"roles": [{"primary": "False", "type": "WindowsAzureActiveDirectoryRole", "display": "Admin", "value": "Admin"}]})
            )),
            json!({"roles": [{"primary": false, "type": "WindowsAzureActiveDirectoryRole", "display": "Admin", "value": "Admin"}]})
        );
    }

    #[test]
    fn entra_names_the_manager_in_every_way() {
        let expected = json!({ENTERPRISE: {"manager": {"value": "m1"}}});
        let path = format!("{ENTERPRISE}:manager");
        for (path, value) in [
            (path.as_str(), json!("m1")),
            ("manager", json!("m1")),
            (&path, json!([{"$ref": null, "value": "m1"}])),
            ("manager", json!({"value": "m1"})),
        ] {
            let body = ops(&json!([{"op": "Add", "path": path, "value": value}]));
            assert_eq!(Value::Object(patched(json!({}), &body)), expected, "{body}");
        }
        for value in [json!(""), json!(null), json!({"value": ""})] {
            let body = ops(&json!([{"op": "Replace", "path": path, "value": value}]));
            assert_eq!(Value::Object(patched(expected.clone(), &body)), json!({}), "{body}");
        }
    }

    #[test]
    fn entra_empties_by_an_empty_text_and_then_by_null() {
        let before = json!({"title": "Boss", "name": {"givenName": "A"}, "phoneNumbers": [{"type": "mobile", "value": "+49"}]});
        for nothing in [json!(""), json!(null)] {
            let body = ops(&json!([
                {"op": "Replace", "path": "title", "value": nothing}, {"op": "Replace", "path": "name.givenName", "value": nothing},
                {"op": "Replace", "path": "phoneNumbers[type eq \"mobile\"].value", "value": nothing}]));
            let empty = patched(before.clone(), &body);
            assert_eq!(Value::Object(empty), json!({}));
            assert_eq!(Value::Object(patched(json!({}), &body)), json!({}));
        }
    }

    #[test]
    fn entra_and_jumpcloud_remove_by_a_value_array() {
        let emails = json!({"emails": [{"value": "a", "type": "work"}, {"value": "b", "type": "home"}]});
        let body = ops(&json!([{"op": "Remove", "path": "emails", "value": [{"value": "A", "type": "work", "primary": true}]}]));
        assert_eq!(Value::Object(patched(emails, &body)), json!({"emails": [{"value": "b", "type": "home"}]}));
        refused_when_strict(&ops(&json!([{"op": "remove", "path": "emails", "value": [{"value": "A"}]}])));
        for operation in [
            json!({"op": "Remove", "path": "members", "value": [{"value": "u1"}]}),
            json!({"op": "remove", "path": "members", "value": {"value": "u1"}}),
            json!({"op": "remove", "path": "members[value eq \"u1\"]"}),
        ] {
            let patch = Patch::parse(ops(&json!([operation])).to_string().as_bytes(), Dialect::Tolerant).unwrap();
            assert_eq!(patch.group_change(Dialect::Tolerant).unwrap().members, [MemberChange::Remove(vec!["u1".to_owned()])]);
        }
    }

    #[test]
    fn entra_filters_on_what_the_grammar_has_no_word_for() {
        let user = json!({"id": "u1", "emails": [{"type": "work", "value": "a@b"}], ENTERPRISE: {"manager": {"value": "m1"}}});
        for filter in ["emails[type eq \"work\"].value eq \"A@b\"", "id eq \"u1\" and manager eq \"m1\""] {
            assert!(Filter::parse(filter).unwrap().matches(user.as_object().unwrap(), &Schemas::standard().user), "{filter}");
        }
    }

    #[test]
    fn okta_puts_what_it_read() {
        let body = json!({
            "schemas": [crate::scim::schema::user::URN], "id": "u1", "externalId": 4711, "meta": {"resourceType": "User"}, "groups": [], "active": false,
            "password": "secret", "addresses": [{"type": "work", "postalCode": 94110}], "locale": "en-US"});
        let expected =
            json!({"externalId": "4711", "active": false, "addresses": [{"type": "work", "postalCode": "94110"}], "locale": "en-US"});
        assert_eq!(Value::Object(posted(&body)), expected);
    }

    #[test]
    fn okta_renames_a_group_with_its_id_and_changes_members_in_one_request() {
        let rename = ops(&json!([{"op": "replace", "value": {"id": "g1", "displayName": "New"}}]));
        let patch = Patch::parse(rename.to_string().as_bytes(), Dialect::Tolerant).unwrap();
        let change = patch.group_change(Dialect::Tolerant).unwrap();
        assert_eq!(change, GroupChange { display_name: Some("New".to_owned()), ..GroupChange::default() });
        assert_eq!(patch.group_change(Dialect::Strict).unwrap_err().kind, ErrorKind::Mutability);
        let both = ops(
            &json!([{"op": "remove", "path": "members[value eq \"u1\"]"}, {"op": "add", "path": "members", "value": [{"value": "u2", "display": "b@x"}]}]),
        );
        let change = Patch::parse(both.to_string().as_bytes(), Dialect::Tolerant).unwrap().group_change(Dialect::Tolerant).unwrap();
        let added = Member { value: "u2".to_owned(), kind: None, display: Some("b@x".to_owned()) };
        assert_eq!(change.members, [MemberChange::Remove(vec!["u1".to_owned()]), MemberChange::Add(vec![added])]);
    }

    #[test]
    fn onelogin_names_schemas_of_an_older_draft() {
        let body = json!({"schemas": ["urn:scim:schemas:core:2.0", "urn:scim:schemas:extension:enterprise:2.0"], "userName": "anna"});
        assert!(User::parse(body.to_string().as_bytes(), Schemas::standard(), Dialect::Tolerant).is_ok());
        assert!(User::parse(body.to_string().as_bytes(), Schemas::standard(), Dialect::Strict).is_err());
    }

    #[test]
    fn hand_written_clients_write_operations_small_and_leave_schemas_out() {
        let body = json!({"operations": [{"Op": "add", "Path": "title", "Value": "x"}]});
        assert_eq!(Value::Object(patched(json!({}), &body)), json!({"title": "x"}));
        refused_when_strict(&body);
    }

    #[test]
    fn keycloak_and_authentik_empty_a_group_by_an_empty_list() {
        let body = json!({"schemas": [crate::scim::schema::group::URN], "displayName": "Staff", "members": []});
        assert!(Group::parse(body.to_string().as_bytes(), Dialect::Strict).unwrap().members.is_empty());
    }
}
