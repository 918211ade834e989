//! `/Roles`: the tenant's role catalogue as read-only resources, in the shape that Okta's entitlement discovery reads.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{
    project::Projection,
    schema::{
        Definition, Schema,
        build::{boolean, text},
    },
};

pub const URN: &str = "urn:okta:scim:schemas:core:1.0:Role";

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::new(definition(), Vec::new()));

#[must_use]
pub fn definition() -> Definition {
    let attributes = vec![
        text("displayName").required().unique().says("The role's name, unique in the tenant."),
        text("description").says("What the role is for."),
        text("type").says("What kind of entitlement it is: always Role."),
        boolean("system").says("Whether the role came with the product and cannot be changed."),
    ];
    Definition {
        urn: URN.to_owned(),
        name: "Role".to_owned(),
        description: "Role".to_owned(),
        attributes: attributes.into_iter().map(super::schema::Attribute::read_only).collect(),
    }
}

#[must_use]
pub fn schema() -> &'static Schema {
    &SCHEMA
}

/// What is shown of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleFacts<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub description: &'a str,
    pub system: bool,
}

impl RoleFacts<'_> {
    /// As filters and sorting look at it. `base` is the address below which the connection's resources stand.
    #[must_use]
    pub fn document(&self, base: &str) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("schemas".to_owned(), json!([URN]));
        map.insert("id".to_owned(), self.id.into());
        map.insert("displayName".to_owned(), self.name.into());
        if !self.description.is_empty() {
            map.insert("description".to_owned(), self.description.into());
        }
        map.insert("type".to_owned(), "Role".into());
        map.insert("system".to_owned(), self.system.into());
        map.insert("meta".to_owned(), json!({ "resourceType": "Role", "location": format!("{base}/Roles/{}", self.id) }));
        map
    }

    #[must_use]
    pub fn render(&self, base: &str, projection: &Projection) -> Value {
        projection.apply(self.document(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::filter::Filter;

    #[test]
    fn a_role_is_shown_and_found_by_its_name() {
        let role = RoleFacts { id: "r1", name: "Editor", description: "", system: true };
        let attributes = ["displayName".to_owned()];
        let projection = Projection::new(Some(&attributes), None, schema()).unwrap();
        assert_eq!(role.render("https://x", &projection), json!({"schemas": [URN], "id": "r1", "displayName": "Editor"}));
        let whole = role.render("https://x", &Projection::default());
        assert_eq!(whole["meta"], json!({"resourceType": "Role", "location": "https://x/Roles/r1"}));
        assert!(whole.get("description").is_none());
        assert!(Filter::parse(r#"displayName eq "EDITOR" and system eq true"#).unwrap().matches(&role.document("x"), schema()));
    }
}
