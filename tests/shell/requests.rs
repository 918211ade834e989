//! Ids, refusals in the log, probes, addresses that are none.

use std::net::SocketAddr;

use axum::{body::Body, extract::ConnectInfo, http::Request};
use rolegate::app::job_watch::Job;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::common::{
    engines::Engine,
    gateway::{Answer, ENTRA, Gateway, OKTA, id, token},
    log::Captured,
};

async fn call(gateway: &Gateway, method: &str, path: &str, id: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("x-request-id", id);
    gateway.call(request.body(Body::empty()).unwrap()).await
}

fn is_ours(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[rstest]
#[tokio::test]
async fn a_request_gets_an_id_and_the_clients_own_is_kept_beside_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    for sent in ["a", "0190f2b4-6c1e-7b3a-9d55-2f1d3c4b5a69", "proxy_7.example"] {
        let answer = call(&gateway, "GET", "/health/live", sent).await;
        assert!(is_ours(answer.header("x-request-id")), "{answer:?}");
        assert_eq!(answer.header("x-client-request-id"), sent);
    }
    for wrong in ["", "two words", "a\"b", &"x".repeat(65)] {
        let answer = call(&gateway, "GET", "/health/live", wrong).await;
        assert!(is_ours(answer.header("x-request-id")), "{answer:?}");
        assert_eq!(answer.header("x-client-request-id"), "");
    }
}

/// A client that sends the id of another request cannot make its change look like a part of that one.
#[rstest]
#[tokio::test]
async fn the_client_does_not_choose_the_correlation_of_audit_rows(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let first = gateway.post("/Users", json!({ "userName": "anna" })).await.expect(201);
    let victim = first.header("x-request-id").to_owned();
    let create = json!({ "userName": "ben" });
    let second = gateway.scim_with(OKTA, &[("x-request-id", &victim)], "POST", "/Users", Some(create)).await.expect(201);
    assert_ne!(second.header("x-request-id"), victim);
    let rows: Vec<(String, String)> = gateway.db().query("select correlation, detail from audit").all().await.unwrap();
    for (answer, sent) in [(&first, Value::Null), (&second, json!(victim))] {
        let own: Vec<_> = rows.iter().filter(|(correlation, _)| correlation == answer.header("x-request-id")).collect();
        assert!(!own.is_empty(), "{rows:?}");
        for (_, detail) in own {
            assert_eq!(serde_json::from_str::<Value>(detail).unwrap()["client_request_id"], sent);
        }
    }
    let events: Vec<(String,)> = gateway.db().query("select payload from outbox").all().await.unwrap();
    assert!(events.iter().all(|(payload,)| !payload.contains("client_request_id")), "applications are not told: {events:?}");
}

/// The client is at 192.0.2.7, behind no proxy.
async fn from_afar(gateway: &Gateway, path: &str, bearer: &str) -> Answer {
    let request = Request::builder().uri(path).header("authorization", format!("Bearer {bearer}")).header("x-request-id", "theirs");
    let request = request.extension(ConnectInfo("192.0.2.7:4711".parse::<SocketAddr>().unwrap()));
    gateway.call(request.body(Body::empty()).unwrap()).await
}

#[rstest]
#[tokio::test]
async fn refused_requests_are_logged_with_actor_and_address(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let log = Captured::start();
    let users = |slug: &str| format!("/connections/{slug}/scim/v2/Users");
    from_afar(&gateway, &users(OKTA), "rg_scim_unknown").await.expect(401);
    from_afar(&gateway, &format!("{}?filter=nonsense", users(OKTA)), &token(OKTA)).await.expect(400);
    // A token of another connection is known, and refused.
    from_afar(&gateway, &users(ENTRA), &token(OKTA)).await.expect(401);
    from_afar(&gateway, &users(OKTA), &token(OKTA)).await.expect(200);
    let lines = log.with_message("request refused");
    let shown: Vec<_> = lines.iter().map(|line| json!([line["http.status"], line["actor.kind"], line["refusal.code"]])).collect();
    let expected = [json!([401, null, null]), json!([400, "scim_token", "invalidFilter"]), json!([401, "scim_token", null])];
    assert_eq!(shown, expected, "{lines:?}");
    for line in &lines {
        assert_eq!(line["client.address"], "192.0.2.7");
        assert_eq!(line["http.route"], "/connections/{slug}/scim/v2/Users");
        assert_eq!(line["span"]["request.client_id"], "theirs");
        assert!(is_ours(line["span"]["request.id"].as_str().unwrap()), "{line}");
    }
    assert_eq!(lines[1]["actor.id"], id::<()>(1).to_string(), "the token");
    assert!(log.with_message("request").iter().all(|line| line["http.status"] != 200 || line["client.address"].is_null()));
}

#[rstest]
#[tokio::test]
async fn a_node_whose_jobs_do_not_run_is_not_ready(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let now = Instant::now();
    gateway.app.job_watch.started(Job::AfterCommits, now);
    call(&gateway, "GET", "/health/ready", "a").await.expect(200);
    for _ in 0..3 {
        gateway.app.job_watch.panicked(Job::AfterCommits, now);
    }
    let answer = call(&gateway, "GET", "/health/ready", "a").await.expect(503);
    assert!(answer.text("/detail").contains("the job after_commits ended with a panic 3 times in a row"), "{}", answer.json());
    assert_eq!(answer.header("retry-after"), "1");
    call(&gateway, "GET", "/health/live", "a").await.expect(200);
    gateway.app.job_watch.completed(Job::AfterCommits, now);
    call(&gateway, "GET", "/health/ready", "a").await.expect(200);
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
