//! `/Roles`, and the schema that a tenant declares.

use rolegate::{db::custom_schema::put_custom_schema, domain::id::TenantId};
use rstest::rstest;
use serde_json::json;

use crate::common::{
    NOW,
    engines::Engine,
    gateway::{Gateway, OTHER, id},
};

const URN: &str = "urn:okta:scim:schemas:core:1.0:Role";

#[rstest]
#[tokio::test]
async fn the_role_catalogue_is_there_to_be_read(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let list = gateway.get("/Roles").await.expect(200);
    let json = list.json();
    let names = list.names();
    assert!(names.iter().any(|name| name == "Organization Owner"), "{names:?}");
    assert_eq!(json["totalResults"], names.len());
    let role = &json["Resources"][0];
    assert_eq!((&role["schemas"], &role["type"], &role["meta"]["resourceType"]), (&json!([URN]), &json!("Role"), &json!("Role")));
    let path = format!("/Roles/{}", role["id"].as_str().unwrap());
    assert_eq!(gateway.get(&path).await.expect(200).json(), *role);
    assert!(role["meta"]["location"].as_str().unwrap().ends_with(&path));
    assert_eq!(gateway.get(&format!("{path}?attributes=displayName")).await.json().as_object().unwrap().len(), 3);

    assert_eq!(gateway.filter("/Roles", r#"displayName eq "organization OWNER""#).await.names(), ["Organization Owner"]);
    let sorted = gateway.get("/Roles?sortBy=displayName&sortOrder=descending").await.names();
    let mut expected = names.clone();
    expected.sort_by_key(|name| std::cmp::Reverse(name.to_lowercase()));
    assert_eq!(sorted, expected);
    let first = gateway.get("/Roles?count=1&cursor=").await;
    let second = gateway.get(&format!("/Roles?count=1&cursor={}", first.text("/nextCursor"))).await;
    assert_eq!([first.names(), second.names()].concat(), names[..2]);

    for (method, path) in [("POST", "/Roles"), ("PUT", &path), ("PATCH", &path), ("DELETE", &path)] {
        gateway.scim(method, path, Some(json!({}))).await.expect(405);
    }
    gateway.get("/Roles/7").await.expect(404);
    assert_eq!(gateway.get("/ResourceTypes/Role").await.text("/endpoint"), "/Roles");
    assert_eq!(gateway.get(&format!("/Schemas/{URN}")).await.text("/id"), URN);
}

#[rstest]
#[tokio::test]
async fn a_declared_extension_holds_for_its_tenant_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let urn = "urn:example:acme:2.0:User";
    let body = || {
        let core = "urn:ietf:params:scim:schemas:core:2.0:User";
        json!({ "schemas": [core, urn], "userName": "anna", urn: { "tenant_code": "eu7", "level": 3 } })
    };
    let before = gateway.post("/Users", body()).await.expect(201);
    assert_eq!(before.json().get(urn), None, "nobody has declared it");
    gateway.delete(&format!("/Users/{}", before.id())).await.expect(204);

    let declare = async |level: &str| {
        let attributes = json!([{ "name": "tenant_code" }, { "name": "level", "type": level }]);
        let document = json!({ "id": urn, "name": "Acme", "attributes": attributes });
        let mut tx = gateway.db().begin().await.unwrap();
        put_custom_schema(&mut tx, id::<rolegate::domain::id::kind::Tenant>(1) as TenantId, &document.to_string(), false, NOW)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    declare("integer").await;
    let anna = gateway.post("/Users", body()).await.expect(201);
    assert_eq!(anna.json()[urn], json!({ "tenant_code": "eu7", "level": 3 }));
    assert_eq!(gateway.filter("/Users", &format!("{urn}:level gt 2 and tenant_code eq \"EU7\"")).await.names(), ["anna"]);
    assert!(gateway.filter("/Users", &format!("not ({urn}:level gt 2)")).await.names().is_empty());
    let path = format!("/Users/{}", anna.id());
    let patch = json!([{ "op": "replace", "path": format!("{urn}:level"), "value": 4 }]);
    assert_eq!(gateway.patch(&path, patch).await.expect(200).json()[urn]["level"], 4);
    let wrong = json!([{ "op": "replace", "path": format!("{urn}:level"), "value": {"a": 1} }]);
    assert_eq!(gateway.patch(&path, wrong).await.expect(400).text("/scimType"), "invalidValue");
    assert_eq!(gateway.get(&format!("/Schemas/{urn}")).await.expect(200).text("/attributes/1/type"), "integer");

    declare("string").await;
    assert_eq!(gateway.get(&format!("/Schemas/{urn}")).await.expect(200).text("/attributes/1/type"), "string");
    assert_eq!(gateway.scim_with(OTHER, &[], "GET", &format!("/Schemas/{urn}"), None).await.status.as_u16(), 404);
}
