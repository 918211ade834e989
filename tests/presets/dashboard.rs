//! `dashboard`: a fixed set of editors beside the tenant administrator.

use rstest::rstest;
use serde_json::json;

use super::house::{House, created, held, outcome};
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

#[rstest]
#[tokio::test]
async fn roles_that_belong_together_are_given_in_one_step(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "dashboard").await;
    let mut boss = house.person("boss", Some("acme"), &[held("Tenant Administrator", "acme")]).await;
    let mut editor = house.person("editor", Some("acme"), &[held("Editor - Users", "acme")]).await;
    let (one, two) = (house.person("one", Some("acme-eu"), &[]).await, house.person("two", Some("acme-eu"), &[]).await);
    let roles = [house.role("Editor - Organizations").await, house.role("Editor - Connections").await];
    let onboarding = json!({ "name": "Onboarding", "roles": roles });
    assert_eq!(outcome(&editor.post("/api/v1/role-sets", &onboarding).await), (403, "not_permitted".into()));
    let made = created(&boss.post("/api/v1/role-sets", &onboarding).await);
    let again = json!({ "name": "ONBOARDING", "roles": roles });
    assert_eq!(outcome(&boss.post("/api/v1/role-sets", &again).await), (409, "role_set_name_taken".into()));
    for wrong in [json!([]), json!(["01900000-0000-7000-8000-000000000001"])] {
        assert_eq!(outcome(&boss.post("/api/v1/role-sets", &json!({ "name": "x", "roles": wrong })).await), (422, "roles".into()));
    }
    let path = format!("/api/v1/role-sets/{}", made["id"].as_str().unwrap());
    let give = format!("{path}/assignments");
    let at = house.organization("acme-eu").await;
    let to = |accounts: serde_json::Value, preview: bool| json!({ "accounts": accounts, "organization": at, "preview": preview });
    assert_eq!(outcome(&editor.post(&give, &to(json!([one.id]), false)).await), (403, "not_permitted".into()));
    let preview = boss.post(&give, &to(json!([one.id, two.id]), true)).await.json();
    assert_eq!((&preview["written"], &preview["granted"]), (&json!(false), &json!(4)), "{preview}");
    let with_oneself = json!({ "accounts": [one.id, boss.id], "organization": at, "atomic": true });
    let with_oneself = boss.post(&give, &with_oneself).await.json();
    assert_eq!((&with_oneself["written"], &with_oneself["refused"]), (&json!(false), &json!(2)), "all or nothing");
    let given = "select count(*) from assignment a join role r on r.id = a.role where r.name like 'Editor - %'";
    assert_eq!(house.gateway.count(given).await, 1, "the editor's own");
    let done = boss.post(&give, &to(json!([one.id, two.id]), false)).await.json();
    assert_eq!((&done["written"], &done["granted"]), (&json!(true), &json!(4)));
    assert_eq!(house.gateway.count(given).await, 5);
    assert_eq!(boss.get("/api/v1/role-sets").await.json()["role_sets"][0]["name"], "Onboarding");
    assert_eq!(boss.delete(&path).await.status, 204);
    assert_eq!(outcome(&boss.delete(&path).await), (404, "not_found".into()));
    assert_eq!(house.gateway.count(given).await, 5, "what was given stays");
    assert_eq!(house.gateway.count("select count(*) from audit where action like 'role_set.%'").await, 2);
}
