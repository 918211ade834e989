//! `dashboard`: a fixed set of editors beside the tenant administrator.

use serde_json::json;

use super::house::{House, held, outcome};
use crate::common::engines::Engine;

#[tokio::test]
async fn the_three_editors_together_have_no_right_to_applications_and_rules() {
    let house = House::open(Engine::Sqlite, "dashboard").await;
    let all = ["Editor - Organizations", "Editor - Connections", "Editor - Users"].map(|role| held(role, "acme"));
    let mut editor = house.person("editor", Some("acme"), &all).await;
    let permissions = editor.permissions("acme").await;
    assert!(permissions.contains(&"organizations:delete".to_owned()) && permissions.contains(&"logs:read".to_owned()));
    assert!(!permissions.iter().any(|pair| pair.starts_with("applications:") || pair.starts_with("rules:")), "{permissions:?}");
}

#[tokio::test]
async fn an_editor_of_connections_edits_and_does_not_delete() {
    let house = House::open(Engine::Sqlite, "dashboard").await;
    let mut editor = house.person("editor", Some("acme"), &[held("Editor - Connections", "acme")]).await;
    let permissions = editor.permissions("acme").await;
    let connections: Vec<_> = permissions.iter().filter(|pair| pair.starts_with("connections:")).collect();
    assert_eq!(connections, ["connections:create", "connections:read", "connections:update"]);
}

#[tokio::test]
async fn an_editor_of_organizations_looks_at_connections_and_changes_none() {
    let house = House::open(Engine::Sqlite, "dashboard").await;
    let mut editor = house.person("editor", Some("acme"), &[held("Editor - Organizations", "acme")]).await;
    let permissions = editor.permissions("acme").await;
    let connections: Vec<_> = permissions.iter().filter(|pair| pair.starts_with("connections:")).collect();
    assert_eq!(connections, ["connections:read"]);
    let catalogue = editor.get("/api/v1/catalogue").await.json();
    let entities: Vec<_> = catalogue["categories"].as_array().unwrap().iter().flat_map(|c| c["entities"].as_array().unwrap()).collect();
    let organizations = entities.iter().find(|entity| entity["key"] == "organizations").unwrap();
    let opens = organizations["actions"].to_string();
    assert!(opens.contains("organizations.enable_connection") && !opens.contains("connections.update"), "{opens}");
}

#[tokio::test]
async fn nobody_makes_or_clones_a_role_where_the_preset_has_a_fixed_set() {
    let house = House::open(Engine::Sqlite, "dashboard").await;
    let mut owner = house.person("owner", Some("acme"), &[held("Tenant Administrator", "acme")]).await;
    let made = owner.post("/api/v1/roles", &json!({ "name": "Mine", "permissions": ["users:read"] })).await;
    assert_eq!(outcome(&made), (403, "custom_roles_off".into()));
    let role = house.role("Editor - Users").await;
    assert_eq!(outcome(&owner.post(&format!("/api/v1/roles/{role}/clone"), &json!({})).await), (403, "custom_roles_off".into()));
    assert_eq!(outcome(&owner.patch(&format!("/api/v1/roles/{role}"), &json!({ "name": "x" })).await), (403, "system_role".into()));
    assert_eq!(outcome(&owner.delete(&format!("/api/v1/roles/{role}")).await), (403, "system_role".into()));
}
