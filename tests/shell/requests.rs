//! Ids, probes, addresses that are none.

use axum::{body::Body, http::Request};
use rstest::rstest;
use serde_json::json;

use crate::common::{
    engines::Engine,
    gateway::{Answer, Gateway, OKTA},
};

async fn call(gateway: &Gateway, method: &str, path: &str, id: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("x-request-id", id);
    gateway.call(request.body(Body::empty()).unwrap()).await
}

#[rstest]
#[tokio::test]
async fn a_request_keeps_a_sane_id_and_gets_one_otherwise(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    for sane in ["a", "0190f2b4-6c1e-7b3a-9d55-2f1d3c4b5a69", "proxy_7.example"] {
        assert_eq!(call(&gateway, "GET", "/health/live", sane).await.header("x-request-id"), sane);
    }
    for wrong in ["", "two words", "a\"b", &"x".repeat(65)] {
        let given = call(&gateway, "GET", "/health/live", wrong).await;
        let given = given.header("x-request-id");
        assert!(given.len() == 32 && given.bytes().all(|byte| byte.is_ascii_hexdigit()), "{given}");
    }
    // Audit rows carry it.
    let created = gateway.scim_with(OKTA, &[("x-request-id", "from-okta")], "POST", "/Users", Some(json!({ "userName": "anna" }))).await;
    created.expect(201);
    let sql = "select distinct correlation from audit";
    assert_eq!(gateway.db().query(sql).all::<(String,)>().await.unwrap(), [("from-okta".to_owned(),)]);
}

#[rstest]
#[tokio::test]
async fn probes_say_whether_work_can_be_done(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    assert_eq!(call(&gateway, "GET", "/health/live", "a").await.expect(200).json(), json!({ "status": "live" }));
    assert_eq!(call(&gateway, "GET", "/health/ready", "a").await.expect(200).json(), json!({ "status": "ready" }));
    gateway.db().close().await;
    call(&gateway, "GET", "/health/live", "a").await.expect(200);
    let away = call(&gateway, "GET", "/health/ready", "a").await.expect(503);
    assert_eq!((away.header("retry-after"), away.header("content-type")), ("1", "application/problem+json"));
    let away = gateway.get("/Users").await.expect(503);
    assert_eq!((away.header("retry-after"), away.header("content-type")), ("1", "application/scim+json"));
    assert_eq!(away.json()["status"], "503");
}

#[tokio::test]
async fn an_address_that_is_none_is_a_problem_document() {
    let gateway = Gateway::begin(Engine::Sqlite).await;
    let missing = call(&gateway, "GET", "/nothing", "a").await.expect(404);
    assert_eq!(missing.header("content-type"), "application/problem+json");
    assert_eq!(missing.json()["code"], "not_found");
    let wrong = call(&gateway, "DELETE", "/health/live", "a").await.expect(405);
    assert_eq!((wrong.json()["code"].clone(), wrong.header("allow")), (json!("method_not_allowed"), "GET,HEAD"));
}
