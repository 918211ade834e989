//! What identity providers send, as recorded, where it shows in addresses, headers and several requests. What stands in bodies alone is
//! tested beside `scim::normalise`.

use axum::{body::Body, http::Request};
use rstest::rstest;
use serde_json::{Value, json};

use crate::common::{
    engines::Engine,
    gateway::{Answer, Gateway, OKTA, token},
};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

async fn raw(gateway: &Gateway, method: &str, path: &str, content_type: Option<&str>, body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("/connections/{OKTA}/scim/v2{path}"));
    request = request.header("authorization", format!("Bearer {}", token(OKTA)));
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    gateway.call(request.body(Body::from(body.to_owned())).unwrap()).await
}

#[rstest]
#[tokio::test]
async fn entra_tests_the_connection_and_goes_through_its_cycle(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let test = gateway.get("/Users?filter=userName+eq+%22c7b1e1c8-3a3e-4a8e-9f2f-0d3f6b3c6f1a%22&aadOptscim062020").await.expect(200);
    assert_eq!((&test.json()["totalResults"], &test.json()["Resources"]), (&json!(0), &json!([])));
    gateway.get("/Groups?excludedAttributes=members&filter=displayName+eq+%22Staff%22").await.expect(200);

    let user = json!({
        "schemas": [USER, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"], "externalId": "0a21f0f2", "userName": "ann@acme.example",
        "active": "True", "displayName": "Ann", "emails": [{ "primary": true, "type": "work", "value": "ann@acme.example" }],
        "meta": { "resourceType": "User" }, "name": { "formatted": "Ann A", "familyName": "A", "givenName": "Ann" }, "roles": [],
    });
    let ann = gateway.post("/Users", user).await.expect(201).id();
    assert_eq!(gateway.get("/Users?filter=externalId+eq+%220a21f0f2%22").await.names(), ["ann@acme.example"]);
    let group = json!({
        "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"], "externalId": "8aa1a0c0",
        "displayName": "Staff", "meta": { "resourceType": "Group" },
    });
    let staff = gateway.post("/Groups", group).await.expect(201).id();
    let add = json!([{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": ann }] }]);
    gateway.patch(&format!("/Groups/{staff}"), add).await.expect(204);
    let check = format!("/Groups?attributes=id&filter=id+eq+%22{staff}%22+and+members+eq+%22{ann}%22");
    assert_eq!(gateway.get(&check).await.expect(200).json()["totalResults"], 1);
    let remove = json!([{ "op": "Remove", "path": "members", "value": [{ "value": ann }] }]);
    gateway.patch(&format!("/Groups/{staff}"), remove).await.expect(204);
    assert_eq!(gateway.get(&check).await.expect(200).json()["totalResults"], 0);
    let off = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    assert_eq!(gateway.patch(&format!("/Users/{ann}"), off).await.expect(200).json()["active"], false);
}

#[rstest]
#[tokio::test]
async fn okta_puts_back_what_it_read_and_drops_no_membership(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ann = gateway.post("/Users", json!({ "schemas": [USER], "userName": "ann", "password": "Secret1!" })).await.expect(201).id();
    let bob = gateway.post("/Users", json!({ "schemas": [USER], "userName": "bob" })).await.expect(201).id();
    let group = json!({ "schemas": [GROUP], "displayName": "Staff", "members": [{ "value": ann, "display": "ann" }] });
    let staff = gateway.post("/Groups", group).await.expect(201).id();

    let mut read = gateway.get(&format!("/Users/{ann}")).await.expect(200).json();
    read["groups"] = json!([]);
    read["active"] = json!(false);
    let put = gateway.put(&format!("/Users/{ann}"), read).await.expect(200).json();
    assert_eq!((&put["active"], &put["groups"][0]["value"]), (&json!(false), &json!(staff)));

    // A rename with the id before each change of members, both without a path; then the members as a whole.
    let rename = json!([{ "op": "replace", "value": { "id": staff, "displayName": "Staff" } }]);
    gateway.patch(&format!("/Groups/{staff}"), rename).await.expect(204);
    let members = json!([{ "op": "replace", "path": "members", "value": [{ "value": bob, "display": "bob" }] }]);
    gateway.patch(&format!("/Groups/{staff}"), members).await.expect(204);
    let read = gateway.get(&format!("/Groups/{staff}")).await.json();
    assert_eq!(read["members"].as_array().unwrap().iter().map(|member| &member["value"]).collect::<Vec<_>>(), [&json!(bob)]);
    let list = gateway.get("/Users?startIndex=1&count=100").await.expect(200).json();
    assert_eq!((&list["totalResults"], &list["startIndex"]), (&json!(2), &json!(1)));
}

#[rstest]
#[tokio::test]
async fn onelogin_ends_addresses_strangely(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let schemas = ["urn:scim:schemas:core:2.0", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"];
    let ann = gateway.post("/Users", json!({ "schemas": schemas, "userName": "ann" })).await.expect(201).id();
    let put = gateway.put(&format!("/Users/{ann}?"), json!({ "schemas": schemas, "userName": "ann", "title": "Boss" })).await.expect(200);
    assert_eq!(put.text("/title"), "Boss");
    assert_eq!(gateway.get("/Users?filter=userName%20eq%20%22ann%22&").await.names(), ["ann"]);
}

#[rstest]
#[tokio::test]
async fn jumpcloud_activates_with_a_test_user_and_group(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let body = json!({ "schemas": [USER], "userName": "test@jumpcloud.example", "active": true });
    let user = gateway.post("/Users", body.clone()).await.expect(201).id();
    gateway.put(&format!("/Users/{user}"), body).await.expect(200);
    let group = gateway.post("/Groups", json!({ "schemas": [GROUP], "displayName": "test" })).await.expect(201).id();
    for operation in ["add", "remove"] {
        let operations = json!([{ "op": operation, "path": "members", "value": [{ "value": user }] }]);
        gateway.patch(&format!("/Groups/{group}"), operations).await.expect(204);
    }
    assert_eq!(gateway.get(&format!("/Groups/{group}")).await.json().get("members"), None);
    gateway.delete(&format!("/Groups/{group}")).await.expect(204);
    gateway.delete(&format!("/Users/{user}")).await.expect(204);
}

#[rstest]
#[tokio::test]
async fn keycloak_and_authentik_put_groups_with_all_their_members(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ann = gateway.post("/Users", json!({ "schemas": [USER], "userName": "ann" })).await.expect(201).id();
    let body = |members: Value| json!({ "schemas": [GROUP], "displayName": "Staff", "members": members });
    let path = format!("/Groups/{}", gateway.post("/Groups", body(json!([]))).await.expect(201).id());
    let put = gateway.put(&path, body(json!([{ "value": ann }]))).await.expect(200).json();
    assert_eq!(put["members"][0]["value"], ann.as_str());
    assert_eq!(gateway.put(&path, body(json!([]))).await.expect(200).json().get("members"), None);
    assert_eq!(gateway.get("/ServiceProviderConfig").await.json()["patch"]["supported"], true);
}

#[rstest]
#[tokio::test]
async fn sailpoint_wants_schemas_on_everything_that_is_listed(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    gateway.post("/Users", json!({ "schemas": [USER], "userName": "ann" })).await.expect(201);
    gateway.post("/Groups", json!({ "schemas": [GROUP], "displayName": "Staff" })).await.expect(201);
    for path in
        ["/Users", "/Users?attributes=userName", "/Users?excludedAttributes=schemas", "/Groups", "/Roles", "/Schemas", "/ResourceTypes"]
    {
        let list = gateway.get(path).await.expect(200).json();
        let resources = list["Resources"].as_array().unwrap();
        assert!(!resources.is_empty() && resources.iter().all(|one| one["schemas"].as_array().is_some_and(|s| !s.is_empty())), "{path}");
    }
}

#[rstest]
#[tokio::test]
async fn hand_written_clients_send_plain_json_or_say_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    for (n, content_type) in [Some("application/json"), Some("application/json; charset=utf-8"), None].into_iter().enumerate() {
        let made = raw(&gateway, "POST", "/Users", content_type, &format!("{{\"userName\":\"u{n}\"}}")).await.expect(201);
        let patch = r#"{"operations":[{"op":"replace","path":"title","value":"x"}]}"#;
        assert_eq!(raw(&gateway, "PATCH", &format!("/Users/{}", made.id()), content_type, patch).await.expect(200).text("/title"), "x");
    }
    raw(&gateway, "POST", "/Users", Some("text/plain"), "{}").await.expect(415);
}
