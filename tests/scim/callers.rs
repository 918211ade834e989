//! Who is let in.

use axum::{
    body::Body,
    http::{HeaderMap, Request},
};
use rstest::rstest;
use serde_json::json;

use crate::common::{
    engines::Engine,
    gateway::{Answer, ENTRA, Gateway, OKTA, OTHER, id, token},
};

async fn knock(gateway: &Gateway, slug: &str, authorization: Option<String>) -> Answer {
    let mut request = Request::builder().uri(format!("/connections/{slug}/scim/v2/Users"));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    gateway.call(request.header("x-request-id", "same").body(Body::empty()).unwrap()).await
}

#[rstest]
#[tokio::test]
async fn whatever_is_wrong_with_a_token_the_answer_is_the_same(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let right = format!("Bearer {}", token(OKTA));
    knock(&gateway, OKTA, Some(right.clone())).await.expect(200);
    knock(&gateway, OKTA, Some(right.replace("Bearer", "bearer"))).await.expect(200);
    let nobody = knock(&gateway, OKTA, None).await.expect(401);
    assert_eq!(nobody.header("www-authenticate"), "Bearer realm=\"rolegate\"");
    assert_eq!(
        nobody.json(),
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": "401",
            "detail": "A valid bearer token of this connection is required." })
    );
    let wrong = [
        (OKTA, Some("Bearer rg_scim_wrong".to_owned())),
        (OKTA, Some("Basic YTpi".to_owned())),
        (OKTA, Some("Bearer".to_owned())),
        (OKTA, Some("Bearer ".to_owned())),
        (OKTA, Some(format!("Bearer {}", "x".repeat(5000)))),
        (OKTA, Some(format!("Bearer {}", token(ENTRA)))),
        (OKTA, Some(format!("Bearer {}", token(OTHER)))),
        ("nowhere", Some(right.clone())),
        ("nowhere", None),
        ("%ff", Some(right)),
        ("UPPER", None),
    ];
    for (slug, authorization) in wrong {
        let answer = knock(&gateway, slug, authorization).await.expect(401);
        assert_eq!((headers(&answer), &answer.bytes), (headers(&nobody), &nobody.bytes), "{slug}");
    }
}

/// The headers of an answer without the id of its request, which is never the same.
fn headers(answer: &Answer) -> HeaderMap {
    let mut headers = answer.headers.clone();
    assert!(headers.remove("x-request-id").is_some());
    headers
}

#[rstest]
#[tokio::test]
async fn a_token_ends_with_its_time_its_revocation_and_its_connection(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let (tenant, connection) = (id(1), id(1));
    let sql = "update connection set scim = replace(scim, $1, $2) where id = $3";
    let change = async |from: &str, to: &str| {
        let mut tx = gateway.db().begin().await.unwrap();
        tx.query(sql).bind(from.to_owned()).bind(to.to_owned()).bind(id::<()>(1).to_string()).run().await.unwrap();
        tx.commit().await.unwrap();
    };
    change("\"enabled\":true", "\"enabled\":false").await;
    gateway.get("/Users").await.expect(401);
    change("\"enabled\":false", "\"enabled\":true").await;
    gateway.get("/Users").await.expect(200);

    let mut tx = gateway.db().begin().await.unwrap();
    assert!(rolegate::db::token::revoke_token(&mut tx, tenant, connection, id(1), gateway.app.now()).await.unwrap());
    tx.commit().await.unwrap();
    gateway.get("/Users").await.expect(401);

    gateway.scim_with(ENTRA, &[], "GET", "/Users", None).await.expect(200);
    gateway.app.clock.advance_secs(10 * 365 * 86_400);
    gateway.scim_with(ENTRA, &[], "GET", "/Users", None).await.expect(401);
}

#[rstest]
#[tokio::test]
async fn the_last_use_of_a_token_is_written_at_most_once_a_minute(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let used =
        async || rolegate::db::token::list_tokens(gateway.db(), id(1), id(1)).await.unwrap()[0].last_used_at.map(|at| at.millis() / 1000);
    let now = gateway.app.now().millis() / 1000;
    assert_eq!(used().await, None);
    gateway.get("/Users").await.expect(200);
    assert_eq!(used().await, Some(now));
    gateway.app.clock.advance_secs(59);
    gateway.get("/Users").await.expect(200);
    assert_eq!(used().await, Some(now));
    gateway.app.clock.advance_secs(1);
    gateway.get("/Users").await.expect(200);
    assert_eq!(used().await, Some(now + 60));
}

#[tokio::test]
async fn every_address_asks_for_the_token_first() {
    let gateway = Gateway::begin(Engine::Sqlite).await;
    let paths = ["Users", "Users/x", "Groups", "Groups/x", "Schemas", "Schemas/x", "ResourceTypes", "ResourceTypes/User"];
    let more = ["ServiceProviderConfig", "Me", "Bulk", ".search", "Users/.search", "nothing", "Users/x/y"];
    for path in paths.into_iter().chain(more) {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let request = Request::builder().method(method).uri(format!("/connections/{OKTA}/scim/v2/{path}"));
            let answer = gateway.call(request.body(Body::from("not json")).unwrap()).await;
            assert_eq!(answer.status, 401, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_address_that_is_no_text_names_nothing() {
    let gateway = Gateway::begin(Engine::Sqlite).await;
    for path in ["/Users/%ff", "/Groups/%ff", "/Schemas/%ff", "/Roles/%ff"] {
        let answer = gateway.get(path).await.expect(404);
        assert_eq!(answer.text("/status"), "404", "{path}");
    }
}
