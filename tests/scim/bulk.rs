//! `/Bulk`.

use axum::{body::Body, http::Request};
use rstest::rstest;
use serde_json::{Value, json};

use crate::common::{
    engines::Engine,
    gateway::{Answer, Gateway, OKTA, token},
};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn user(bulk_id: &str) -> Value {
    json!({ "method": "POST", "path": "/Users", "bulkId": bulk_id, "data": { "schemas": [USER], "userName": bulk_id } })
}

fn group(bulk_id: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|member| json!({ "value": member })).collect();
    json!({ "method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": { "schemas": [GROUP], "displayName": bulk_id, "members": members } })
}

async fn bulk(gateway: &Gateway, operations: Value) -> Answer {
    bulk_until(gateway, None, operations).await
}

async fn bulk_until(gateway: &Gateway, fail_on_errors: Option<u32>, operations: Value) -> Answer {
    let schemas = ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"];
    gateway.post("/Bulk", json!({ "schemas": schemas, "failOnErrors": fail_on_errors, "Operations": operations })).await
}

fn statuses(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    json["Operations"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap().to_owned()).collect()
}

fn id_of(answer: &Answer, at: usize) -> String {
    answer.text(&format!("/Operations/{at}/location")).rsplit('/').next().unwrap().to_owned()
}

async fn members(gateway: &Gateway, group: &str) -> Vec<String> {
    let json = gateway.get(&format!("/Groups/{group}")).await.expect(200).json();
    let mut members: Vec<String> =
        json["members"].as_array().into_iter().flatten().map(|member| member["value"].as_str().unwrap().to_owned()).collect();
    members.sort();
    members
}

#[rstest]
#[tokio::test]
async fn what_refers_to_one_another_is_made_in_one_request(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let answer = bulk(&gateway, json!([group("staff", &["bulkId:anna", "bulkId:bert"]), user("anna"), user("bert")])).await.expect(200);
    assert_eq!(statuses(&answer), ["201", "201", "201"]);
    assert_eq!(answer.text("/schemas/0"), "urn:ietf:params:scim:api:messages:2.0:BulkResponse");
    assert_eq!((answer.text("/Operations/0/bulkId"), answer.text("/Operations/1/version")), ("staff".to_owned(), "W/\"1\"".to_owned()));
    let (staff, anna, bert) = (id_of(&answer, 0), id_of(&answer, 1), id_of(&answer, 2));
    let mut expected = [anna.clone(), bert];
    expected.sort();
    assert_eq!(members(&gateway, &staff).await, expected);

    let answer = bulk(
        &gateway,
        json!([
            { "method": "PATCH", "path": format!("/Groups/{staff}"), "data": { "Operations": [{ "op": "remove", "path": format!("members[value eq \"{anna}\"]") }] } },
            { "method": "PUT", "path": format!("/Users/{anna}"), "data": { "schemas": [USER], "userName": "anna", "title": "Boss" } },
            { "method": "DELETE", "path": format!("/Users/{}", expected.iter().find(|id| **id != anna).unwrap()) },
        ]),
    )
    .await
    .expect(200);
    assert_eq!(statuses(&answer), ["200", "200", "204"]);
    assert!(members(&gateway, &staff).await.is_empty());
    assert_eq!(gateway.get(&format!("/Users/{anna}")).await.text("/title"), "Boss");
}

#[rstest]
#[tokio::test]
async fn references_may_go_in_a_circle(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let manager = |of: &str, by: &str| {
        let mut user = user(of);
        user["data"]["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] =
            json!({ "manager": { "value": format!("bulkId:{by}") } });
        user
    };
    let operations =
        json!([group("a", &["bulkId:b"]), group("b", &["bulkId:a", "bulkId:u"]), user("u"), manager("v", "w"), manager("w", "v")]);
    let answer = bulk(&gateway, operations).await.expect(200);
    assert_eq!(statuses(&answer), ["201"; 5]);
    let ids: Vec<String> = (0..5).map(|at| id_of(&answer, at)).collect();
    assert_eq!(members(&gateway, &ids[0]).await, [ids[1].clone()]);
    let mut expected = [ids[0].clone(), ids[2].clone()];
    expected.sort();
    assert_eq!(members(&gateway, &ids[1]).await, expected);
    for (one, other) in [(3, 4), (4, 3)] {
        let read = gateway.get(&format!("/Users/{}", ids[one])).await.expect(200);
        assert_eq!(read.text("/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager/value"), ids[other]);
        assert_eq!(read.header("etag"), answer.text(&format!("/Operations/{one}/version")));
    }
}

#[rstest]
#[tokio::test]
async fn each_operation_fails_alone_until_there_are_too_many_errors(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    bulk(&gateway, json!([user("anna")])).await.expect(200);
    let operations = || {
        json!([
            user("bert"),
            user("anna"),
            group("staff", &["bulkId:anna"]),
            { "method": "PATCH", "path": "/Users/bulkId:nobody", "data": {} },
            { "method": "POST", "path": "/Users" },
            { "method": "DELETE", "path": "/Users/7" },
            user("cleo"),
        ])
    };
    let answer = bulk(&gateway, operations()).await.expect(200);
    assert_eq!(statuses(&answer), ["201", "409", "409", "400", "400", "404", "201"]);
    assert_eq!(answer.text("/Operations/1/response/scimType"), "uniqueness");
    assert_eq!(answer.text("/Operations/1/response/status"), "409");
    assert!(answer.text("/Operations/2/response/detail").contains("anna"));
    assert_eq!(answer.text("/Operations/3/response/scimType"), "invalidValue");
    assert_eq!(gateway.get("/Users").await.names().len(), 3);
    assert_eq!(gateway.get("/Groups").await.names().len(), 0);

    let answer = bulk_until(&gateway, Some(2), json!([user("dora"), user("anna"), user("bert"), user("emil")])).await.expect(200);
    assert_eq!(statuses(&answer), ["201", "409", "409"]);
    assert_eq!(gateway.get("/Users").await.names().len(), 4);
}

#[rstest]
#[tokio::test]
async fn a_version_in_an_operation_is_a_condition(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let made = bulk(&gateway, json!([user("anna")])).await.expect(200);
    let path = format!("/Users/{}", id_of(&made, 0));
    let rename = |version: &str| {
        let operations = json!([{ "op": "replace", "path": "title", "value": version }]);
        json!({ "method": "PATCH", "path": path, "version": version, "data": { "Operations": operations } })
    };
    let answer = bulk(&gateway, json!([rename("W/\"9\""), rename("W/\"1\""), rename("W/\"1\"")])).await.expect(200);
    assert_eq!(statuses(&answer), ["412", "200", "412"]);
    assert_eq!(answer.text("/Operations/1/version"), "W/\"2\"");
}

#[rstest]
#[tokio::test]
async fn limits_come_before_the_content(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let many: Vec<Value> = (0..1001).map(|n| user(&n.to_string())).collect();
    bulk(&gateway, json!(many)).await.expect(413);
    bulk(&gateway, json!([user("a"), user("a")])).await.expect(400);
    // More than any other body may have.
    let big = json!([{ "method": "POST", "path": "/Users", "bulkId": "a", "data": { "schemas": [USER], "userName": "a", "title": "x".repeat(2 << 20) } }]);
    assert_eq!(statuses(&bulk(&gateway, big).await.expect(200)), ["201"]);
    let request = Request::builder().method("POST").uri(format!("/connections/{OKTA}/scim/v2/Bulk"));
    let request = request.header("authorization", format!("Bearer {}", token(OKTA))).header("content-type", "application/scim+json");
    let answer = gateway.call(request.body(Body::from(vec![b' '; (10 << 20) + 1])).unwrap()).await;
    assert!(answer.expect(413).text("/detail").contains("10 MiB"));
}

#[rstest]
#[tokio::test]
async fn a_thousand_are_made_at_once_with_all_their_rows(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let mut operations: Vec<Value> = (0..999).map(|n| user(&format!("u{n:03}"))).collect();
    // One that fails in the middle costs nobody else anything.
    operations.insert(500, user("U007"));
    let last = operations.last_mut().unwrap();
    last["bulkId"] = json!("last");
    let answer = bulk(&gateway, json!(operations)).await.expect(200);
    let statuses = statuses(&answer);
    assert_eq!(statuses.iter().filter(|status| *status == "201").count(), 999);
    assert_eq!(statuses[500], "409");
    assert_eq!(gateway.get("/Users?count=0").await.json()["totalResults"], 999);
}
