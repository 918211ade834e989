//! A node that remembers a connection from the last sign-in decides by what the others have made of it since.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
};
use rolegate::{
    app::App,
    http,
    saml::issuer::{IssuerKey, Message, Sign},
};
use rstest::rstest;
use serde_json::json;
use tower::ServiceExt as _;

use super::house::{ACS, SLUG, ada, gateway, tenant};
use crate::common::{NOW, engines::Engine, idp, installation::Gateway};

const SAML: &str = "idp_initiated = true";

/// Another node, through which somebody has signed in.
async fn node(gateway: &Gateway) -> (App, Router) {
    let app = gateway.node();
    let node = http::router(app.clone());
    assert_eq!(post(&node, &ada(gateway, &[]), &idp::KEY).await, StatusCode::SEE_OTHER);
    assert!(app.published.recall(SLUG).is_some());
    (app, node)
}

async fn post(node: &Router, message: &Message, key: &IssuerKey) -> StatusCode {
    send(node, &base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key.issue(message, Sign::Assertion).unwrap())).await
}

async fn send(node: &Router, response: &str) -> StatusCode {
    let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("SAMLResponse", response).finish();
    let request = Request::builder().method(Method::POST).uri(ACS).header("content-type", "application/x-www-form-urlencoded");
    node.clone().oneshot(request.body(Body::from(form)).unwrap()).await.unwrap().status()
}

async fn used_up(gateway: &Gateway) -> i64 {
    gateway.count("select count(*) from consumed_assertion").await
}

#[rstest]
#[tokio::test]
async fn what_another_node_switched_off_is_not_there(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(("slug = \"acme-okta\"", "slug = \"acme-okta\"\nenabled = false"), ("enabled = true", "enabled = false"))] (from, to): (
        &str,
        &str,
    ),
) {
    let gateway = gateway(engine, SAML, "").await;
    let (app, node) = node(&gateway).await;
    gateway.apply(&tenant(SAML, "").replacen(from, to, 1)).await;
    let before = used_up(&gateway).await;
    assert_eq!(send(&node, "rubbish").await, StatusCode::NOT_FOUND, "it is not said what is wrong with a response");
    assert!(app.published.recall(SLUG).is_none(), "the next one is not even looked at");
    assert_eq!(post(&node, &ada(&gateway, &[]), &idp::KEY).await, StatusCode::NOT_FOUND);
    assert_eq!(used_up(&gateway).await, before, "nothing was used up");
    gateway.apply(&tenant(SAML, "")).await;
    assert_eq!(post(&node, &ada(&gateway, &[]), &idp::KEY).await, StatusCode::SEE_OTHER);
}

#[rstest]
#[tokio::test]
async fn a_certificate_that_another_node_took_is_trusted_at_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    const OWNERS: &str = "[[owners]]\nemail = \"second@acme.example\"\nname = \"S\"\n";
    let gateway = gateway(engine, SAML, "").await;
    let applied = gateway.apply(&tenant(SAML, OWNERS)).await;
    let (app, node) = node(&gateway).await;
    let key = IssuerKey::ec("idp.example", NOW).unwrap();
    assert_eq!(post(&node, &ada(&gateway, &[]), &key).await, StatusCode::FORBIDDEN);
    assert!(app.published.recall(SLUG).is_some(), "the connection is still what it was");
    let mut owner = gateway.browser_by_link(&applied, "second@acme.example").await;
    let added = json!({ "certificate": key.certificate().to_pem() });
    let answer = owner.post_json(&format!("/api/v1/connections/{SLUG}/certificates"), &added).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    assert_eq!(post(&node, &ada(&gateway, &[]), &idp::FOREIGN_KEY).await, StatusCode::FORBIDDEN);
    assert!(app.published.recall(SLUG).is_none(), "it has changed, and the next one reads it before anything else");
    assert_eq!(post(&node, &ada(&gateway, &[]), &key).await, StatusCode::SEE_OTHER);
    let listed = owner.get_json(&format!("/api/v1/connections/{SLUG}/certificates")).await.json();
    let old = listed["certificates"].as_array().unwrap().iter().find(|row| row["state"] == "current").unwrap()["id"].clone();
    let retire = format!("/api/v1/connections/{SLUG}/certificates/{}/retire", old.as_str().unwrap());
    assert!(owner.post_json(&retire, &json!({ "confirm": true })).await.status.is_success());
    assert_eq!(post(&node, &ada(&gateway, &[]), &idp::KEY).await, StatusCode::FORBIDDEN, "nor is one trusted that was retired");
    app.sign_in_log.flush(&app.db).await.unwrap();
    let refused = "select count(*) from sign_in_log where outcome = 'refused' and step = 'signature'";
    assert_eq!(gateway.count(refused).await, 3, "each is told of, once");
}
