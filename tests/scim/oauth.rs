//! `/connections/{slug}/oauth/token`: short-lived tokens for a client's id and secret.

use axum::{body::Body, http::Request};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::{
    db::oauth::{NewSecret, insert_client, insert_secret, revoke_secret},
    domain::id::{ConnectionId, OauthClientId, OauthSecretId, TenantId},
    keys,
};
use rstest::rstest;
use serde_json::json;

use crate::common::{
    NOW,
    engines::Engine,
    gateway::{Answer, ENTRA, Gateway, OKTA, id},
};

const TENANT: u128 = 1;
const CONNECTION: u128 = 1;

async fn client(gateway: &Gateway) -> OauthClientId {
    let client = id(70);
    let mut tx = gateway.db().begin().await.unwrap();
    insert_client(&mut tx, tenant(), connection(), client, "Entra", NOW).await.unwrap();
    tx.commit().await.unwrap();
    client
}

fn tenant() -> TenantId {
    id(TENANT)
}

fn connection() -> ConnectionId {
    id(CONNECTION)
}

async fn secret(gateway: &Gateway, client: OauthClientId, number: u8) -> (OauthSecretId, String) {
    let (secret, text) = (id(u128::from(number)), keys::client_secret([number; 32]).expose().clone());
    let hash = keys::hash(&text);
    let mut tx = gateway.db().begin().await.unwrap();
    let new = NewSecret { id: secret, hash: &hash, expires_at: NOW.plus_secs(90 * 86_400) };
    assert!(insert_secret(&mut tx, tenant(), connection(), client, new, NOW).await.unwrap());
    tx.commit().await.unwrap();
    (secret, text)
}

async fn ask(gateway: &Gateway, slug: &str, authorization: Option<&str>, form: &str) -> Answer {
    let request = Request::builder().method("POST").uri(format!("/connections/{slug}/oauth/token"));
    let mut request = request.header("content-type", "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    gateway.call(request.body(Body::from(form.to_owned())).unwrap()).await
}

async fn users_with(gateway: &Gateway, slug: &str, token: &str) -> u16 {
    let request = Request::builder().uri(format!("/connections/{slug}/scim/v2/Users")).header("authorization", format!("Bearer {token}"));
    gateway.call(request.body(Body::empty()).unwrap()).await.status.as_u16()
}

#[rstest]
#[tokio::test]
async fn a_client_gets_tokens_that_speak_scim_for_an_hour(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let client = client(&gateway).await;
    let (_, secret) = secret(&gateway, client, 1).await;
    let form = format!("grant_type=client_credentials&client_id={client}&client_secret={secret}&scope=anything");
    let answer = ask(&gateway, OKTA, None, &form).await.expect(200);
    assert_eq!((answer.header("cache-control"), answer.text("/token_type")), ("no-store", "Bearer".to_owned()));
    assert_eq!(answer.json()["expires_in"], 3600);
    let token = answer.text("/access_token");
    assert_eq!(users_with(&gateway, OKTA, &token).await, 200);
    assert_eq!(users_with(&gateway, ENTRA, &token).await, 401, "another connection");
    gateway.app.clock.advance_secs(3599);
    assert_eq!(users_with(&gateway, OKTA, &token).await, 200);
    gateway.app.clock.advance_secs(1);
    assert_eq!(users_with(&gateway, OKTA, &token).await, 401);

    let basic = format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")));
    let again = ask(&gateway, OKTA, Some(&basic), "grant_type=client_credentials").await.expect(200);
    assert_eq!(users_with(&gateway, OKTA, &again.text("/access_token")).await, 200);
    gateway.app.clock.advance_secs(90 * 86_400);
    ask(&gateway, OKTA, None, &form).await.expect(401);
}

#[rstest]
#[tokio::test]
async fn a_secret_is_changed_without_a_pause(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let client = client(&gateway).await;
    let (old_id, old) = secret(&gateway, client, 1).await;
    let form = |secret: &str| format!("grant_type=client_credentials&client_id={client}&client_secret={secret}");
    let token = async |secret: &str| ask(&gateway, OKTA, None, &form(secret)).await.expect(200).text("/access_token");
    let by_old = token(&old).await;
    let (_, new) = secret(&gateway, client, 2).await;
    let by_new = token(&new).await;
    for token in [&by_old, &by_new, &token(&old).await] {
        assert_eq!(users_with(&gateway, OKTA, token).await, 200);
    }
    let mut tx = gateway.db().begin().await.unwrap();
    assert!(revoke_secret(&mut tx, tenant(), connection(), old_id, NOW).await.unwrap());
    tx.commit().await.unwrap();
    ask(&gateway, OKTA, None, &form(&old)).await.expect(401);
    assert_eq!(users_with(&gateway, OKTA, &by_old).await, 401, "what the old one gave is gone at once");
    assert_eq!(users_with(&gateway, OKTA, &by_new).await, 200, "nobody who has the new one noticed");
}

#[rstest]
#[tokio::test]
async fn whoever_is_wrong_learns_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let client = client(&gateway).await;
    let (_, secret) = secret(&gateway, client, 1).await;
    let right = format!("client_id={client}&client_secret={secret}");
    let mut answers = Vec::new();
    for (slug, form) in [
        (OKTA, format!("grant_type=client_credentials&client_id={client}&client_secret=wrong")),
        (OKTA, format!("grant_type=client_credentials&client_id=x&client_secret={secret}")),
        (OKTA, format!("grant_type=client_credentials&client_id={client}")),
        (ENTRA, format!("grant_type=client_credentials&{right}")),
        ("nobody", format!("grant_type=client_credentials&{right}")),
    ] {
        let answer = ask(&gateway, slug, None, &form).await.expect(401);
        assert!(answer.header("www-authenticate").starts_with("Basic"));
        answers.push(answer.json());
    }
    answers.dedup();
    assert_eq!(answers, [json!({ "error": "invalid_client", "error_description": answers[0]["error_description"] })]);
    let error = async |form: &str| ask(&gateway, OKTA, None, form).await.expect(400).text("/error");
    assert_eq!(error(&right).await, "invalid_request");
    assert_eq!(error(&format!("grant_type=password&{right}")).await, "unsupported_grant_type");
    assert_eq!(error(&format!("grant_type=client_credentials&grant_type=client_credentials&{right}")).await, "invalid_request");
    assert_eq!(error(&"x".repeat(9000)).await, "invalid_request");
}
