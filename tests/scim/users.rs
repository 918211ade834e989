//! `/Users` and `/Users/{id}`.

use axum::{body::Body, http::Request};
use rstest::rstest;
use serde_json::{Value, json};

use crate::common::{
    engines::Engine,
    gateway::{ENTRA, Gateway, OKTA, token},
};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

pub fn anna() -> Value {
    json!({
        "schemas": [USER], "userName": "anna@example.com", "externalId": "00u1", "displayName": "Anna Berg", "active": true,
        "name": { "givenName": "Anna", "familyName": "Berg" },
        "emails": [{ "value": "anna@example.com", "type": "work", "primary": true }],
    })
}

#[rstest]
#[tokio::test]
async fn a_user_is_created_read_replaced_patched_and_deleted(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let created = gateway.post("/Users", anna()).await.expect(201);
    let id = created.id();
    let location = format!("https://gateway.example/connections/{OKTA}/scim/v2/Users/{id}");
    assert_eq!(created.header("location"), location);
    assert_eq!(created.header("etag"), "W/\"1\"");
    assert_eq!(created.header("content-type"), "application/scim+json");
    let mut expected = anna();
    expected["id"] = id.as_str().into();
    let at = "2026-03-03T01:06:40Z";
    expected["meta"] = json!({ "resourceType": "User", "created": at, "lastModified": at, "location": location, "version": "W/\"1\"" });
    assert_eq!(created.json(), expected);

    let path = format!("/Users/{id}");
    let read = gateway.get(&path).await.expect(200);
    assert_eq!((read.json(), read.header("etag")), (expected, "W/\"1\""));

    gateway.app.clock.advance_secs(60);
    let replaced = gateway.put(&path, json!({ "schemas": [USER], "userName": "anna@example.com", "title": "Boss" })).await.expect(200);
    assert_eq!(replaced.json()["title"], "Boss");
    assert_eq!(replaced.json().get("displayName"), None);
    assert_eq!(replaced.header("etag"), "W/\"2\"");
    assert_eq!(replaced.text("/meta/lastModified"), "2026-03-03T01:07:40Z");
    assert_eq!(replaced.text("/meta/created"), at);

    let patched = gateway.patch(&path, json!([{ "op": "Replace", "path": "active", "value": "False" }])).await.expect(200);
    assert_eq!(patched.json()["active"], false);
    // The same again writes nothing.
    let written = gateway.written().await;
    let again = gateway.patch(&path, json!([{ "op": "Replace", "path": "active", "value": "False" }])).await.expect(200);
    assert_eq!((again.header("etag"), gateway.written().await), ("W/\"3\"", written));

    let deleted = gateway.delete(&path).await.expect(204);
    assert!(deleted.bytes.is_empty());
    gateway.get(&path).await.expect(404);
    gateway.delete(&path).await.expect(404);
    gateway.patch(&path, json!([{ "op": "replace", "path": "active", "value": true }])).await.expect(404);
    assert_eq!(gateway.get("/Users").await.json()["totalResults"], 0);
    let mut newcomer = anna();
    newcomer["externalId"] = "00u2".into();
    assert_ne!(gateway.post("/Users", newcomer).await.expect(201).id(), id);
}

#[rstest]
#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_written(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let id = gateway.post("/Users", anna()).await.expect(201).id();
    let written = gateway.written().await;
    let raw = async |method: &str, path: &str, kind: &str, body: &str| {
        let request = Request::builder().method(method).uri(format!("/connections/{OKTA}/scim/v2{path}"));
        let request = request.header("authorization", format!("Bearer {}", token(OKTA))).header("content-type", kind);
        gateway.call(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let json = "application/json; charset=utf-8";
    let user = format!("/Users/{id}");
    let large = "x".repeat((1 << 20) + 1);
    let cases = [
        ("POST", "/Users", json, "{", 400, "invalidSyntax", "line 1 column 1"),
        ("POST", "/Users", json, "[]", 400, "invalidSyntax", "not a JSON object"),
        ("POST", "/Users", json, "{}", 400, "invalidValue", "userName is required"),
        ("POST", "/Users", json, r#"{"userName":"x","emails":[{"value":{"x":1}}]}"#, 400, "invalidValue", "a string was expected"),
        ("POST", "/Users", json, r#"{"userName":"a\u0000"}"#, 400, "invalidValue", "U+0000"),
        ("POST", "/Users", json, r#"{"userName":"ANNA@example.com"}"#, 409, "uniqueness", "userName"),
        ("POST", "/Users", json, &large, 413, "", "1 MiB"),
        ("POST", "/Users", "text/xml", "<user/>", 415, "", "application/scim+json"),
        ("POST", "/Users?attributes=id&excludedAttributes=name", json, r#"{"userName":"x"}"#, 400, "invalidValue", "exclude each other"),
        ("PUT", &user, json, r#"{"displayName":"x"}"#, 400, "invalidValue", "userName is required"),
        (
            "PATCH",
            &user,
            json,
            r#"{"Operations":[{"op":"add","path":"title","value":"x"},{"op":"remove"}]}"#,
            400,
            "noTarget",
            "Operation 2",
        ),
        ("PATCH", &user, json, r#"{"Operations":[{"op":"replace","path":"emails[type eq","value":1}]}"#, 400, "invalidPath", "Operation 1"),
        ("PATCH", &user, json, r#"{"Operations":[{"op":"replace","path":"id","value":"x"}]}"#, 400, "mutability", "id"),
        ("GET", "/Users/7", json, "", 404, "", "no such resource"),
        ("GET", "/Users/00000000-0000-7000-8000-000000000000", json, "", 404, "", "no such resource"),
        ("PUT", "/Users/00000000-0000-7000-8000-000000000000", json, r#"{"userName":"x"}"#, 404, "", "no such resource"),
        ("GET", "/Users?filter=userName%20eq", json, "", 400, "invalidFilter", "at character"),
        ("GET", "/Users?filter=active%20gt%20true", json, "", 400, "invalidFilter", "active"),
        ("GET", "/Users?count=many", json, "", 400, "invalidValue", "count"),
        ("GET", "/Nobody", json, "", 404, "", "no such endpoint"),
        ("POST", "/Schemas", json, "{", 405, "", "no such method"),
        ("PUT", "/ServiceProviderConfig", json, "{", 405, "", "no such method"),
        ("POST", "/Bulk", json, "{}", 400, "invalidSyntax", "Operations"),
        ("GET", "/Me", json, "", 501, "", "no /Me"),
    ];
    for (method, path, kind, body, status, scim_type, words) in cases {
        let answer = raw(method, path, kind, body).await;
        let shown = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {shown}");
        let error = answer.json();
        assert_eq!(error["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{method} {path}");
        assert_eq!(error["status"], status.to_string());
        assert_eq!(error.get("scimType").and_then(Value::as_str).unwrap_or_default(), scim_type, "{method} {path}: {shown}");
        assert!(error["detail"].as_str().unwrap().contains(words), "{method} {path}: {shown}");
        assert_eq!(answer.header("content-type"), "application/scim+json");
    }
    assert_eq!(gateway.written().await, written);
}

#[rstest]
#[tokio::test]
async fn a_version_guards_a_change(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let path = format!("/Users/{}", gateway.post("/Users", anna()).await.expect(201).id());
    let body = |title: &str| {
        let mut body = anna();
        body["title"] = title.into();
        Some(body)
    };
    let with =
        async |header: (&str, &str), method: &str, body: Option<Value>| gateway.scim_with(OKTA, &[header], method, &path, body).await;
    with(("if-match", "W/\"1\""), "PUT", body("one")).await.expect(200);
    with(("if-match", "W/\"1\""), "PUT", body("two")).await.expect(412);
    with(("if-match", "\"2\""), "PUT", body("two")).await.expect(200);
    with(("if-match", "*"), "PUT", body("three")).await.expect(200);
    with(("if-match", "something"), "DELETE", None).await.expect(412);
    with(("if-match", "\"1\", \"2\""), "DELETE", None).await.expect(412);
    assert_eq!(gateway.get(&path).await.json()["title"], "three");

    let unchanged = with(("if-none-match", "W/\"4\""), "GET", None).await.expect(304);
    assert_eq!((unchanged.header("etag"), unchanged.bytes.len()), ("W/\"4\"", 0));
    with(("if-none-match", "*"), "GET", None).await.expect(304);
    with(("if-none-match", "\"3\""), "GET", None).await.expect(200);
    with(("if-match", "\"1\", W/\"4\""), "DELETE", None).await.expect(204);
}

#[rstest]
#[tokio::test]
async fn one_connection_sees_nothing_of_another(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let path = format!("/Users/{}", gateway.post("/Users", anna()).await.expect(201).id());
    for (method, body) in [("GET", None), ("PUT", Some(anna())), ("DELETE", None)] {
        gateway.scim_with(ENTRA, &[], method, &path, body).await.expect(404);
    }
    assert_eq!(gateway.scim_with(ENTRA, &[], "GET", "/Users", None).await.json()["totalResults"], 0);
    // The same name is free there.
    gateway.scim_with(ENTRA, &[], "POST", "/Users", Some(anna())).await.expect(201);
    gateway.get(&path).await.expect(200);
}

#[rstest]
#[tokio::test]
async fn attributes_are_chosen_and_the_password_is_never_kept(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let mut body = anna();
    body["password"] = "hunter2".into();
    let created = gateway.post("/Users?attributes=userName", body).await.expect(201);
    assert_eq!(created.json(), json!({ "schemas": [USER], "id": created.id(), "userName": "anna@example.com" }));
    let path = format!("/Users/{}", created.id());
    assert_eq!(gateway.get(&path).await.json().get("password"), None);
    let some = gateway.get(&format!("{path}?attributes=name.givenName,emails.value")).await.json();
    assert_eq!((&some["name"], &some["emails"]), (&json!({ "givenName": "Anna" }), &json!([{ "value": "anna@example.com" }])));
    let without = gateway.get(&format!("{path}?excludedAttributes=name,emails,meta")).await.json();
    assert_eq!([without.get("name"), without.get("emails"), without.get("meta")], [None; 3]);
    assert_eq!(without["displayName"], "Anna Berg");
    gateway.patch(&path, json!([{ "op": "add", "value": { "password": "hunter3" } }])).await.expect(200);
    let sql = "select count(*) from identity where scim_document like '%hunter%'";
    assert_eq!(gateway.db().query(sql).optional::<(i64,)>().await.unwrap(), Some((0,)));
}

#[rstest]
#[tokio::test]
async fn silence_about_active_leaves_a_locked_person_out(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let path = format!("/Users/{}", gateway.post("/Users", anna()).await.expect(201).id());
    gateway.patch(&path, json!([{ "op": "replace", "value": { "active": false } }])).await.expect(200);
    let mut silent = anna();
    silent.as_object_mut().unwrap().remove("active");
    let replaced = gateway.put(&path, silent).await.expect(200);
    assert_eq!(replaced.json().get("active"), None);
    let sql = "select active from identity";
    assert_eq!(gateway.db().query(sql).optional::<(bool,)>().await.unwrap(), Some((false,)));
    gateway.put(&path, anna()).await.expect(200);
    assert_eq!(gateway.db().query(sql).optional::<(bool,)>().await.unwrap(), Some((true,)));
}
