//! `/Groups` and `/Groups/{id}`.

use rstest::rstest;
use serde_json::{Value, json};

use super::users::anna;
use crate::common::{
    engines::Engine,
    gateway::{ENTRA, Gateway, OKTA},
};

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

pub fn group(name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    json!({ "schemas": [GROUP], "displayName": name, "members": members })
}

fn members(body: &Value) -> Vec<String> {
    let mut ids: Vec<String> =
        body["members"].as_array().into_iter().flatten().map(|member| member["value"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

async fn people(gateway: &Gateway, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(gateway.post("/Users", json!({ "userName": format!("person{n}") })).await.expect(201).id());
    }
    ids
}

#[rstest]
#[tokio::test]
async fn a_group_is_created_read_changed_and_deleted(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ids = people(&gateway, 3).await;
    let created = gateway.post("/Groups", group("Admins", &[&ids[0]])).await.expect(201);
    let path = format!("/Groups/{}", created.id());
    let base = format!("https://gateway.example/connections/{OKTA}/scim/v2");
    assert_eq!(created.header("location"), format!("{base}{path}"));
    assert_eq!(created.header("etag"), "W/\"1\"");
    assert_eq!(created.json()["members"], json!([{ "value": ids[0], "$ref": format!("{base}/Users/{}", ids[0]), "type": "User" }]));
    assert_eq!(gateway.get(&path).await.expect(200).json(), created.json());
    assert_eq!(gateway.get(&format!("{path}?excludedAttributes=members")).await.json().get("members"), None);

    let added = gateway.patch(&path, json!([{ "op": "add", "path": "members", "value": [{ "value": ids[1] }] }])).await.expect(204);
    assert_eq!((added.bytes.len(), added.header("etag")), (0, "W/\"2\""));
    let remove = json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", ids[0]) }]);
    let asked = gateway.patch(&format!("{path}?attributes=members"), remove).await.expect(200);
    assert_eq!(members(&asked.json()), [ids[1].clone()]);
    let user = gateway.get(&format!("/Users/{}", ids[1])).await.json();
    let shown = json!([{ "value": created.id(), "$ref": format!("{base}{path}"), "display": "Admins", "type": "direct" }]);
    assert_eq!(user["groups"], shown);

    let replaced = gateway.put(&path, group("Staff", &[&ids[2], &ids[0]])).await.expect(200).json();
    let mut expected = vec![ids[0].clone(), ids[2].clone()];
    expected.sort();
    assert_eq!((replaced["displayName"].as_str(), members(&replaced)), (Some("Staff"), expected));
    // A user who goes leaves the group.
    gateway.delete(&format!("/Users/{}", ids[0])).await.expect(204);
    assert_eq!(members(&gateway.get(&path).await.json()), [ids[2].clone()]);
    gateway.put(&path, group("Staff", &[])).await.expect(200);
    assert_eq!(gateway.get(&path).await.json().get("members"), None);

    gateway.delete(&path).await.expect(204);
    gateway.get(&path).await.expect(404);
    gateway.delete(&path).await.expect(404);
    assert_eq!(gateway.get("/Groups").await.json()["totalResults"], 0);
}

/// Who polls by version or by time sees that a member went, and who writes by an old version is refused.
#[rstest]
#[tokio::test]
async fn a_group_changes_when_a_member_is_deleted(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ids = people(&gateway, 2).await;
    let inner = gateway.post("/Groups", group("Inner", &[&ids[0]])).await.expect(201).id();
    let outer = gateway.post("/Groups", group("Outer", &[&inner, &ids[1]])).await.expect(201).id();
    let version = async |id: &str| {
        let answer = gateway.get(&format!("/Groups/{id}")).await.expect(200);
        (answer.header("etag").to_owned(), answer.text("/meta/lastModified"))
    };
    let (of_inner, of_outer) = (version(&inner).await, version(&outer).await);
    gateway.app.clock.advance_secs(5);
    gateway.delete(&format!("/Users/{}", ids[0])).await.expect(204);
    assert_eq!(version(&outer).await, of_outer, "who is in a nested group is no member of its own");
    let after = version(&inner).await;
    assert!(after.0 == "W/\"2\"" && after.1 > of_inner.1, "{of_inner:?} {after:?}");
    let path = format!("/Groups/{inner}");
    gateway.scim_with(OKTA, &[("if-none-match", &of_inner.0)], "GET", &path, None).await.expect(200);
    gateway.scim_with(OKTA, &[("if-match", &of_inner.0)], "DELETE", &path, None).await.expect(412);

    gateway.delete(&path).await.expect(204);
    let after = version(&outer).await;
    assert!(after.0 == "W/\"2\"" && after.1 > of_outer.1, "{of_outer:?} {after:?}");
    assert_eq!(members(&gateway.get(&format!("/Groups/{outer}")).await.json()), [ids[1].clone()]);
}

#[rstest]
#[tokio::test]
async fn a_member_that_nobody_knows_refuses_the_whole_request(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ids = people(&gateway, 2).await;
    let stranger = gateway.scim_with(ENTRA, &[], "POST", "/Users", Some(anna())).await.expect(201).id();
    let path = format!("/Groups/{}", gateway.post("/Groups", group("Admins", &[&ids[0]])).await.expect(201).id());
    let written = gateway.written().await;
    for wrong in [stranger.as_str(), "00000000-0000-7000-8000-000000000000", "x"] {
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": ids[1] }, { "value": wrong }] }]);
        for refused in [gateway.patch(&path, add).await, gateway.post("/Groups", group("More", &[&ids[1], wrong])).await] {
            let refused = refused.expect(400);
            assert_eq!(refused.json()["scimType"], "invalidValue");
            assert!(refused.text("/detail").contains(wrong), "{}", refused.text("/detail"));
        }
    }
    assert_eq!(gateway.written().await, written);
}

#[rstest]
#[tokio::test]
async fn what_is_wrong_with_a_group_is_named_and_nothing_is_written(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let path = format!("/Groups/{}", gateway.post("/Groups", group("Admins", &[])).await.expect(201).id());
    let written = gateway.written().await;
    let strange = "/Groups/00000000-0000-7000-8000-000000000000";
    gateway.post("/Groups", json!({ "displayName": " " })).await.expect(400);
    gateway.post("/Groups", json!({ "displayName": "x", "members": "y" })).await.expect(400);
    gateway.put(&path, json!({ "externalId": "x" })).await.expect(400);
    gateway.patch(&path, json!([{ "op": "remove", "path": "displayName" }])).await.expect(400);
    gateway.patch(&path, json!([{ "op": "replace", "path": "members.value", "value": "x" }])).await.expect(400);
    gateway.get(strange).await.expect(404);
    gateway.put(strange, group("x", &[])).await.expect(404);
    gateway.patch(strange, json!([{ "op": "add", "path": "displayName", "value": "x" }])).await.expect(404);
    gateway.delete(strange).await.expect(404);
    for (method, body) in [("GET", None), ("DELETE", None), ("PUT", Some(group("x", &[])))] {
        gateway.scim_with(ENTRA, &[], method, &path, body).await.expect(404);
    }
    gateway.scim_with(OKTA, &[("if-match", "\"7\"")], "PUT", &path, Some(group("x", &[]))).await.expect(412);
    gateway.scim_with(OKTA, &[("if-none-match", "\"1\"")], "GET", &path, None).await.expect(304);
    assert_eq!(gateway.written().await, written);
}
