//! Nodes whose clocks differ from the database's, which is that of the first node here.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use rolegate::{
    app::{App, Clock, DatabaseClock},
    http, jobs,
    saml::issuer::{Message, Sign},
};
use rstest::rstest;

use super::house::{ACS, ada, assert_refused, gateway, last_in_log, post};
use crate::common::{engines::Engine, idp, installation::Gateway};

const HOUR: i64 = 3600;

/// Another node, whose clock is so many seconds ahead of the database's.
async fn node(gateway: &Gateway, ahead_secs: i64) -> App {
    let database = gateway.app.clock.clone();
    let node = gateway.node().changed(|parts| {
        parts.clock = Clock::fixed(database.now().plus_secs(ahead_secs)).set_by_database();
        parts.database_clock = DatabaseClock::Held(database);
    });
    node.set_clock().await.unwrap();
    node
}

async fn send(app: &App, request: Request<Body>) -> (StatusCode, String) {
    let router: Router = http::router(app.clone());
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    let status = response.status();
    (status, String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap())
}

async fn sign_in(app: &App, message: &Message) -> StatusCode {
    let response = idp::signed(message, Sign::Both);
    let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("SAMLResponse", &response).finish();
    let request = Request::builder().method(Method::POST).uri(ACS).header("content-type", "application/x-www-form-urlencoded");
    send(app, request.body(Body::from(form)).unwrap()).await.0
}

#[rstest]
#[tokio::test]
async fn a_node_whose_clock_is_fast_removes_no_assertion_that_others_would_take_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(20, 40, HOUR)] ahead_secs: i64,
) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    let message = ada(&gateway, &[]);
    assert_eq!(post(&mut gateway.browser(), &message, Sign::Both).await.status, StatusCode::SEE_OTHER);
    gateway.app.clock.advance_secs(350);
    let fast = node(&gateway, ahead_secs).await;
    jobs::purge(&fast).await.unwrap();
    assert_eq!(gateway.count("select count(*) from consumed_assertion").await, 1);
    assert_eq!(gateway.count("select count(*) from session").await, 1);
    assert_refused(&post(&mut gateway.browser(), &message, Sign::Both).await);
    assert_eq!(last_in_log(&gateway).await.step.as_deref(), Some("replay"));
}

#[rstest]
#[tokio::test]
async fn a_node_whose_clock_is_off_signs_nobody_in_and_is_not_ready(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(-HOUR, -31, 31, HOUR)] ahead_secs: i64,
) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    let node = node(&gateway, ahead_secs).await;
    assert_eq!(sign_in(&node, &ada(&gateway, &[])).await, StatusCode::SERVICE_UNAVAILABLE);
    let link = Request::builder().method(Method::POST).uri("/sign-in/link").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(send(&node, link.body(Body::from("token=x")).unwrap()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (status, said) = send(&node, Request::get("/health/ready").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(said.contains("clock of this node"), "{said}");
    assert_eq!(gateway.count("select count(*) from session").await, 0);

    node.clock.advance_secs(-ahead_secs);
    node.set_clock().await.unwrap();
    assert_eq!(sign_in(&node, &ada(&gateway, &[])).await, StatusCode::SEE_OTHER);
}

/// Times that nodes write and compare are in the database's time.
#[rstest]
#[tokio::test]
async fn a_node_goes_by_the_clock_of_the_database(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(-25, 25, HOUR)] ahead_secs: i64,
) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    let node = node(&gateway, ahead_secs).await;
    assert_eq!(node.now(), gateway.app.now());
    if node.check_clock().is_ok() {
        assert_eq!(sign_in(&node, &ada(&gateway, &[])).await, StatusCode::SEE_OTHER);
        let at = gateway.app.now().millis();
        let row: Option<(i64,)> = gateway.app.db.query("select created_at_ms from session").optional().await.unwrap();
        assert_eq!(row, Some((at,)));
    }
}

#[tokio::test]
async fn the_clock_of_a_server_is_read() {
    let gateway = Gateway::open(Engine::Postgres).await;
    let own = gateway.app.changed(|parts| {
        parts.clock = Clock::System.set_by_database();
        parts.database_clock = DatabaseClock::Server;
    });
    own.set_clock().await.unwrap();
    own.check_clock().unwrap();
    // The tests' clock stands at another day than the server's.
    let off = gateway.app.changed(|parts| {
        parts.clock = Clock::fixed(gateway.app.now()).set_by_database();
        parts.database_clock = DatabaseClock::Server;
    });
    off.set_clock().await.unwrap();
    off.check_clock().unwrap_err();
    assert!((off.now().millis() - Clock::System.now().millis()).abs() < 60_000);
}
