//! A User in canonical form: the schema's names, its types, nothing unassigned. It refuses to know where users are kept.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    error::ScimError,
    json,
    patch::{Editor, Op, ReadOnly},
    project::Projection,
    schema::{Schema, Schemas, enterprise, user},
    unique,
};
use crate::domain::{
    connection::Dialect,
    identity::{GroupRef, Identity, Protocol},
    name::{check_shown, fold},
    time::Timestamp,
};

/// What people are found by must fit into an index: bytes of the folded text.
pub const KEY: usize = 1024;

/// The parts of `name` that stand in for an absent `displayName`.
const NAME_PARTS: [(&str, &str); 3] = [("name.formatted", "formatted"), ("name.givenName", "givenName"), ("name.familyName", "familyName")];

/// `attributes` hold extension attributes in an object under their URN; no `schemas`, `id`, `meta`, `groups`, `password`.
/// `active: null` says: not stated, but inactive (see `active`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct User {
    pub attributes: Map<String, Value>,
}

/// A group in a user's read-only `groups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserGroup {
    pub id: String,
    pub display: Option<String>,
    /// Member itself, or through another group.
    pub direct: bool,
}

/// What the server says of a resource.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    pub id: &'a str,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub version: u64,
    /// The resource's address: base, `/Users/` or `/Groups/`, id.
    pub location: &'a str,
    /// Of a user; `None` when they were not asked for.
    pub groups: Option<&'a [UserGroup]>,
}

impl Envelope<'_> {
    /// RFC 7644 §3.14, a weak ETag: two representations of one version may differ by projection.
    #[must_use]
    pub fn etag(version: u64) -> String {
        format!("W/\"{version}\"")
    }

    pub(super) fn meta(&self, kind: &str) -> Value {
        Value::Object(Map::from_iter([
            ("resourceType".to_owned(), Value::from(kind)),
            ("created".to_owned(), Value::from(self.created.to_string())),
            ("lastModified".to_owned(), Value::from(self.modified.to_string())),
            ("location".to_owned(), Value::from(self.location)),
            ("version".to_owned(), Value::from(Self::etag(self.version))),
        ]))
    }

    /// The address below which all resources of the connection stand.
    pub(super) fn base(&self) -> &str {
        self.location.rsplitn(3, '/').nth(2).unwrap_or_default()
    }
}

/// Strict: the body names its schema. Otherwise forgiven. OneLogin: `urn:scim:schemas:core:2.0`; Entra: a schema of Microsoft's beside
/// the right one; hand-written: none at all.
pub(super) fn check_schemas(map: &Map<String, Value>, urn: &str, dialect: Dialect) -> Result<(), ScimError> {
    let listed = json::find(map, "schemas").and_then(Value::as_array);
    let named = listed.is_some_and(|all| all.iter().any(|s| s.as_str().is_some_and(|s| s.eq_ignore_ascii_case(urn))));
    if named || dialect == Dialect::Tolerant { Ok(()) } else { Err(ScimError::syntax(format_args!("schemas must name {urn}."))) }
}

pub(super) fn check_key(name: &str, text: &str) -> Result<(), ScimError> {
    if fold(text).len() > KEY { Err(ScimError::value(format_args!("{name} is longer than {KEY} bytes."))) } else { Ok(()) }
}

/// Refuses a name that is not shown as it is written, except one that the resource has already: a client that sends it back may still
/// change the rest, such as `active`.
pub(super) fn check_visible(name: &'static str, text: &str, stored: Option<&str>) -> Result<(), ScimError> {
    if stored == Some(text) {
        return Ok(());
    }
    check_shown(name, text).map_err(|error| ScimError::value(format_args!("{error}.")))
}

impl User {
    /// Reads the body of POST or PUT: the whole resource. What only the server sets (`id`, `meta`, `groups`) is left out, `password` too.
    ///
    /// # Errors
    /// When it is no user by the schema.
    pub fn parse(body: &[u8], schemas: &Schemas, dialect: Dialect) -> Result<Self, ScimError> {
        let map = json::object(body)?;
        unique::check(body, dialect)?;
        Self::read(map, schemas, dialect)
    }

    /// As `parse`, from JSON that was read already (an operation of a bulk request).
    ///
    /// # Errors
    /// As `parse`.
    pub fn read(map: Map<String, Value>, schemas: &Schemas, dialect: Dialect) -> Result<Self, ScimError> {
        check_schemas(&map, user::URN, dialect)?;
        // A body is what PATCH would add to nothing.
        let mut editor = Editor { document: Map::with_capacity(map.len()), schema: &schemas.user, dialect, read_only: ReadOnly::Ignore };
        editor.object(Op::Add, map)?;
        let user = Self { attributes: editor.document };
        user.check_required(&schemas.user)?;
        Ok(user)
    }

    pub(super) fn check_required(&self, schema: &Schema) -> Result<(), ScimError> {
        let missing = |name: &str| ScimError::value(format_args!("{name} is required."));
        if self.user_name().trim().is_empty() {
            return Err(missing("userName"));
        }
        for extension in &schema.extensions {
            let Some(Value::Object(level)) = self.attributes.get(&extension.urn) else { continue };
            if let Some(absent) = extension.attributes.iter().find(|a| a.required && !level.contains_key(&a.name)) {
                return Err(missing(&absent.name));
            }
        }
        check_key("userName", self.user_name())?;
        check_key("externalId", self.external_id().unwrap_or_default())?;
        check_key("displayName", self.display_name().unwrap_or_default())?;
        self.emails().try_for_each(|email| check_key("emails.value", email))
    }

    /// The user after a POST of this body.
    ///
    /// # Errors
    /// When a name is not shown as it is written.
    pub fn created(self) -> Result<Self, ScimError> {
        self.replacing(&Self::default())
    }

    /// The user after a PUT of this body.
    ///
    /// # Errors
    /// When a name is new and not shown as it is written.
    pub fn replacing(self, before: &Self) -> Result<Self, ScimError> {
        self.check_names(before)?;
        Ok(self.keeping_inactive(before))
    }

    /// Checks the names by which lists show the person.
    pub(super) fn check_names(&self, before: &Self) -> Result<(), ScimError> {
        for name in ["userName", "displayName"] {
            check_visible(name, self.text(name).unwrap_or_default(), before.text(name))?;
        }
        for (name, part) in NAME_PARTS {
            check_visible(name, self.name_part(part).unwrap_or_default(), before.name_part(part))?;
        }
        let stored: HashSet<&str> = before.emails().collect();
        self.emails().try_for_each(|email| check_visible("emails.value", email, stored.get(email).copied()))
    }

    fn name_part(&self, part: &str) -> Option<&str> {
        self.attributes.get("name")?.get(part)?.as_str()
    }

    /// A user whose body does not say whether it is active, after one that was not: it stays inactive.
    /// A person who was locked out comes back only by an explicit word.
    #[must_use]
    pub fn keeping_inactive(mut self, before: &Self) -> Self {
        if !before.active() && !self.attributes.contains_key("active") {
            self.attributes.insert("active".to_owned(), Value::Null);
        }
        self
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(Value::as_str)
    }

    #[must_use]
    pub fn user_name(&self) -> &str {
        self.text("userName").unwrap_or_default()
    }

    #[must_use]
    pub fn external_id(&self) -> Option<&str> {
        self.text("externalId")
    }

    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        self.text("displayName")
    }

    /// Whether the person may sign in as far as this resource goes: true unless said otherwise.
    #[must_use]
    pub fn active(&self) -> bool {
        match self.attributes.get("active") {
            None => true,
            Some(value) => value.as_bool() == Some(true),
        }
    }

    /// The values of `emails`.
    pub fn emails(&self) -> impl Iterator<Item = &str> {
        let emails = self.attributes.get("emails").and_then(Value::as_array);
        emails.into_iter().flatten().filter_map(|email| email.get("value")?.as_str())
    }

    /// The facts that rules look at: enterprise attributes beside the core ones, the tenant's own under `custom`.
    #[must_use]
    pub fn identity(&self, groups: Option<Vec<GroupRef>>) -> Identity {
        let mut attributes = Map::with_capacity(self.attributes.len() + 4);
        let mut custom = Map::new();
        for (key, value) in &self.attributes {
            match value {
                _ if key == "active" => {}
                Value::Object(level) if key == enterprise::URN => attributes.extend(level.clone()),
                Value::Object(level) if key.contains(':') => custom.extend(level.clone()),
                value => {
                    attributes.insert(key.clone(), value.clone());
                }
            }
        }
        if !custom.is_empty() {
            attributes.insert("custom".to_owned(), Value::Object(custom));
        }
        Identity { source: Protocol::Scim, attributes, groups, active: self.active(), authn_context: None }
    }

    /// The resource with everything the server says of it, as stored users are filtered by and sent.
    #[must_use]
    pub fn document(&self, envelope: &Envelope<'_>) -> Map<String, Value> {
        let mut map = Map::with_capacity(self.attributes.len() + 4);
        let extensions = self.attributes.keys().filter(|key| key.contains(':')).map(String::as_str);
        let schemas = std::iter::once(user::URN).chain(extensions).map(Value::from).collect();
        map.insert("schemas".to_owned(), Value::Array(schemas));
        map.insert("id".to_owned(), Value::from(envelope.id));
        map.extend(self.attributes.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), value.clone())));
        if let Some(groups) = envelope.groups.filter(|groups| !groups.is_empty()) {
            let base = envelope.base();
            let group = |group: &UserGroup| {
                let mut map = Map::new();
                map.insert("value".to_owned(), Value::from(group.id.as_str()));
                map.insert("$ref".to_owned(), Value::from(format!("{base}/Groups/{}", group.id)));
                if let Some(display) = &group.display {
                    map.insert("display".to_owned(), Value::from(display.as_str()));
                }
                map.insert("type".to_owned(), Value::from(if group.direct { "direct" } else { "indirect" }));
                Value::Object(map)
            };
            map.insert("groups".to_owned(), groups.iter().map(group).collect());
        }
        map.insert("meta".to_owned(), envelope.meta("User"));
        map
    }

    /// The resource as it is sent.
    #[must_use]
    pub fn render(&self, envelope: &Envelope<'_>, projection: &Projection) -> Value {
        projection.apply(self.document(envelope))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::{
        error::ErrorKind,
        patch::Patch,
        schema::{Definition, build},
    };

    fn parse(dialect: Dialect, body: &Value) -> Result<User, ScimError> {
        User::parse(body.to_string().as_bytes(), Schemas::standard(), dialect)
    }

    fn with(name: &str, value: impl Into<Value>) -> Value {
        let value: Value = value.into();
        json!({"schemas": [user::URN], "userName": "anna", name: value})
    }

    #[rstest::rstest]
    #[case(with("active", json!("yes")))]
    #[case(with("emails", json!([{"value": "a", "primary": true}, {"value": "b", "primary": true}])))]
    #[case(with("emails", json!([{"value": {"a": 1}}])))]
    #[case(with("name", json!(["a", "b"])))]
    #[case(with("title", json!({"a": 1})))]
    #[case(with("userName", json!(null)))]
    #[case(with("userName", json!("")))]
    #[case(with("userName", json!("  ")))]
    #[case(with("userName", json!("x".repeat(KEY + 1))))]
    #[case(with("externalId", json!("x".repeat(KEY + 1))))]
    #[case(with(enterprise::URN, json!("x")))]
    #[case(json!({"schemas": [user::URN], "title": "x"}))]
    fn what_is_no_user_is_refused(#[case] body: Value) {
        for dialect in [Dialect::Strict, Dialect::Tolerant] {
            assert_eq!(parse(dialect, &body).unwrap_err().kind, ErrorKind::InvalidValue, "{body}");
        }
    }

    #[rstest::rstest]
    #[case("userName", json!("ada\u{202e}nimda"), "userName holds the character U+202E")]
    #[case("userName", json!("ada\u{1b}[2J"), "userName holds the character U+001B")]
    #[case("userName", json!("ada\r\nroot"), "userName holds the character U+000D")]
    #[case("displayName", json!("Ada\u{9b}31m"), "displayName holds the character U+009B")]
    #[case("displayName", json!("\u{2066}Ada"), "displayName holds the character U+2066")]
    #[case("name", json!({"givenName": "Ada\u{200f}"}), "name.givenName holds the character U+200F")]
    #[case("name", json!({"formatted": "A\u{2028}da"}), "name.formatted holds the character U+2028")]
    #[case("emails", json!([{"value": "ada@x.example"}, {"value": "a\u{202d}da@x.example"}]), "emails.value holds the character U+202D")]
    fn a_name_that_is_not_shown_as_it_is_written_is_refused_where_it_is_new(#[case] name: &str, #[case] value: Value, #[case] words: &str) {
        for dialect in [Dialect::Strict, Dialect::Tolerant] {
            let read = parse(dialect, &with(name, value.clone())).unwrap();
            let refusal = read.clone().created().unwrap_err();
            assert_eq!(refusal.kind, ErrorKind::InvalidValue);
            assert_eq!(refusal.detail, format!("{words}, which changes how text is shown: remove it."));
            let before = parse(dialect, &with("title", "x")).unwrap();
            assert_eq!(read.clone().replacing(&before), Err(refusal.clone()));
            let operation = json!({"schemas": [crate::scim::patch::URN], "Operations": [{"op": "replace", "path": name, "value": value}]});
            let patch = Patch::parse(operation.to_string().as_bytes(), dialect).unwrap();
            assert_eq!(patch.apply(&before, Schemas::standard(), dialect), Err(refusal));
            // A person who has the name from before a release is still locked out by either way.
            let mut leaver = read.clone();
            leaver.attributes.insert("active".to_owned(), Value::Bool(false));
            assert_eq!(leaver.clone().replacing(&read), Ok(leaver.clone()));
            let operation =
                json!({"schemas": [crate::scim::patch::URN], "Operations": [{"op": "replace", "path": "active", "value": false}]});
            let patch = Patch::parse(operation.to_string().as_bytes(), dialect).unwrap();
            assert_eq!(patch.apply(&read, Schemas::standard(), dialect).map(|user| user.active()), Ok(false));
        }
    }

    #[test]
    fn names_of_all_scripts_and_padded_ones_are_taken() {
        for name in ["علی\u{200c}رضا", "ක්\u{200d}ය", "दीक्\u{200d}षा", "דוד", "王芳", " ada ", "Zoë", "\u{200b}ada"]
        {
            for attribute in ["userName", "displayName"] {
                let user = parse(Dialect::Tolerant, &with(attribute, name)).unwrap();
                assert_eq!(user.clone().created(), Ok(user), "{name:?}");
            }
        }
    }

    #[test]
    fn the_strict_dialect_wants_the_schema_and_its_types() {
        assert_eq!(parse(Dialect::Strict, &json!({"userName": "anna"})).unwrap_err().kind, ErrorKind::InvalidSyntax);
        for wrong in [
            with("active", json!("True")),
            with("externalId", json!(7)),
            with("emails", json!({"value": "a"})),
            with("roles", json!(["a"])),
        ] {
            assert_eq!(parse(Dialect::Strict, &wrong).unwrap_err().kind, ErrorKind::InvalidValue, "{wrong}");
            assert!(parse(Dialect::Tolerant, &wrong).is_ok(), "{wrong}");
        }
    }

    #[test]
    fn names_take_the_schemas_spelling_and_what_is_not_the_clients_is_dropped() {
        let body = json!({
            "SCHEMAS": [user::URN], "username": "anna", "NAME": {"GIVENNAME": "A", "unknown": 1}, "id": "x", "meta": {"version": "9"}, "groups": [{"value": "g"}],
            "password": "secret", "nickName": null, "phoneNumbers": [], "ims": [{}], "unknown": true, "urn:unknown:1.0:X": {"a": 1},
            "URN:ietf:params:scim:schemas:extension:enterprise:2.0:user": {"DEPARTMENT": "Sales", "manager": {"value": "m", "displayName": "M"}}});
        let expected =
            json!({"userName": "anna", "name": {"givenName": "A"}, enterprise::URN: {"department": "Sales", "manager": {"value": "m"}}});
        for dialect in [Dialect::Strict, Dialect::Tolerant] {
            assert_eq!(Value::Object(parse(dialect, &body).unwrap().attributes), expected);
        }
    }

    #[test]
    fn a_user_is_sent_with_what_the_server_says_of_it() {
        let user =
            parse(Dialect::Strict, &json!({"schemas": [user::URN], "userName": "anna", enterprise::URN: {"department": "Sales"}})).unwrap();
        let groups = [UserGroup { id: "g1".to_owned(), display: Some("Staff".to_owned()), direct: true }];
        let envelope = Envelope {
            id: "u1",
            created: Timestamp::from_millis(0),
            modified: Timestamp::from_millis(1500),
            version: 7,
            location: "https://rg/connections/okta/scim/v2/Users/u1",
            groups: Some(&groups),
        };
        insta::assert_json_snapshot!(user.render(&envelope, &Projection::default()), @r#"
        {
          "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
          ],
          "id": "u1",
          "userName": "anna",
          "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "department": "Sales"
          },
          "groups": [
            {
              "value": "g1",
              "$ref": "https://rg/connections/okta/scim/v2/Groups/g1",
              "display": "Staff",
              "type": "direct"
            }
          ],
          "meta": {
            "resourceType": "User",
            "created": "1970-01-01T00:00:00Z",
            "lastModified": "1970-01-01T00:00:01.5Z",
            "location": "https://rg/connections/okta/scim/v2/Users/u1",
            "version": "W/\"7\""
          }
        }
        "#);
        let locked = user.clone().keeping_inactive(&User { attributes: Map::from_iter([("active".to_owned(), json!(false))]) });
        assert!(!locked.active());
        assert_eq!(locked.render(&envelope, &Projection::default()), user.render(&envelope, &Projection::default()));
    }

    #[test]
    fn rules_see_enterprise_attributes_flat_and_the_tenants_own_under_custom() {
        let urn = "urn:example:scim:schemas:extension:2.0:User";
        let schemas = Schemas::with_extension(Some(Definition::custom(urn, "Example", vec![build::text("tenant_code")]).unwrap()));
        let body = json!({"schemas": [user::URN], "userName": "anna", "active": false, enterprise::URN: {"department": "Sales"}, urn: {"tenant_code": "eu7"}});
        let identity = User::parse(body.to_string().as_bytes(), &schemas, Dialect::Strict).unwrap().identity(None);
        assert_eq!(
            Value::Object(identity.attributes),
            json!({"userName": "anna", "department": "Sales", "custom": {"tenant_code": "eu7"}})
        );
        assert!(!identity.active);
        assert_eq!(identity.groups, None);
    }
}
