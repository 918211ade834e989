//! The life of a certificate, by the hand of an owner.

use axum::http::StatusCode;
use rolegate::saml::issuer::{IssuerKey, Sign};
use rstest::rstest;
use serde_json::{Value, json};

use super::people::{holder, model, tenant};
use crate::common::{
    NOW,
    engines::Engine,
    idp,
    installation::{Browser, Gateway},
};

const PATH: &str = "/api/v1/connections/acme-okta/certificates";

async fn house(engine: Engine) -> Gateway {
    let gateway = Gateway::open(engine).await;
    gateway.apply(&tenant("acme", "owner-member").replace("jit = ", "idp_initiated = true\njit = ")).await;
    gateway
}

async fn person<'g>(gateway: &'g Gateway, role: &str) -> Browser<'g> {
    let row = rolegate::db::tenant::find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    holder(gateway, &model(gateway, row.id).await, Some(role)).await
}

async fn listed(owner: &mut Browser<'_>) -> Vec<Value> {
    let answer = owner.get_json(PATH).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["certificates"].as_array().unwrap().clone()
}

fn states(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["state"].as_str().unwrap()).collect()
}

fn retire(row: &Value) -> String {
    format!("{PATH}/{}/retire", row["id"].as_str().unwrap())
}

#[rstest]
#[tokio::test]
async fn a_rotation_adds_watches_and_retires(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let version = "select version from connection where slug = 'acme-okta'";
    let before = gateway.count(version).await;
    // Lists are in the order of ids, which begin with the time.
    gateway.app.clock.advance_secs(1);
    let added = owner.post_json(PATH, &json!({ "certificate": idp::FOREIGN_KEY.certificate().to_pem() })).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text());
    assert_eq!(states(&listed(&mut owner).await), ["current", "next"]);
    assert_eq!(gateway.count(version).await, before + 1);
    assert_eq!(gateway.count("select count(*) from audit where action = 'certificate.added' and actor_kind = 'account'").await, 1);

    // Added again, in its other form, it is the same one, and nothing is written.
    let again = owner.post_json(PATH, &json!({ "certificate": idp::FOREIGN_KEY.certificate().to_base64() })).await;
    assert_eq!((again.status, &again.json()["id"]), (StatusCode::OK, &added.json()["id"]));
    assert_eq!(gateway.count(version).await, before + 1);

    // The old one verified a sign-in just now: retiring it asks.
    let response = idp::signed(&idp::message("acme-okta", "ada@acme.example", gateway.app.now()), Sign::Both);
    let answer = gateway.browser().post_form("/connections/acme-okta/saml/acs", &[("SAMLResponse", &response)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    gateway.settle().await;
    let rows = listed(&mut owner).await;
    assert_eq!(rows[0]["last_used_at"], "2026-03-03T01:06:41Z");
    let refused = owner.post_json(&retire(&rows[0]), &json!({})).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "certificate_in_use"));
    assert_eq!(owner.post_json(&retire(&rows[0]), &json!({ "confirm": false })).await.status, StatusCode::CONFLICT);
    assert_eq!(states(&listed(&mut owner).await), ["current", "next"]);

    let retired = owner.post_json(&retire(&rows[0]), &json!({ "confirm": true })).await;
    assert_eq!((retired.status, &retired.json()["state"]), (StatusCode::OK, &json!("retired")));
    assert_eq!(states(&listed(&mut owner).await), ["retired", "current"], "the heir takes over");

    let last = owner.post_json(&retire(&rows[1]), &json!({})).await;
    assert_eq!((last.status, last.code().as_str()), (StatusCode::CONFLICT, "last_certificate"));
    // Retired by mistake, it comes back.
    let back = owner.post_json(PATH, &json!({ "certificate": idp::KEY.certificate().to_pem() })).await;
    assert_eq!((&back.json()["id"], &back.json()["state"]), (&rows[0]["id"], &json!("next")));
}

#[tokio::test]
async fn a_certificate_that_was_not_used_for_a_week_goes_without_asking() {
    let gateway = house(Engine::Sqlite).await;
    let response = idp::signed(&idp::message("acme-okta", "ada@acme.example", gateway.app.now()), Sign::Both);
    gateway.browser().post_form("/connections/acme-okta/saml/acs", &[("SAMLResponse", &response)]).await;
    gateway.settle().await;
    let new = IssuerKey::ec("idp.example", NOW).unwrap();
    gateway.app.clock.advance_secs(7 * 86_400 - 1);
    let mut owner = person(&gateway, "Organization Owner").await;
    owner.post_json(PATH, &json!({ "certificate": new.certificate().to_pem() })).await;
    let rows = listed(&mut owner).await;
    assert_eq!(owner.post_json(&retire(&rows[0]), &json!({})).await.code(), "certificate_in_use");
    gateway.app.clock.advance_secs(1);
    assert_eq!(owner.post_json(&retire(&rows[0]), &json!({})).await.status, StatusCode::OK);
    // Twice is once.
    let version = "select version from connection where slug = 'acme-okta'";
    let before = gateway.count(version).await;
    assert_eq!(owner.post_json(&retire(&rows[0]), &json!({})).await.status, StatusCode::OK);
    assert_eq!(gateway.count(version).await, before);
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_with_words() {
    let gateway = house(Engine::Sqlite).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let cases = [
        (json!({ "certificate": "hello" }), "certificate", "PEM"),
        (json!({ "certificate": "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----" }), "certificate", "private key"),
        (json!({}), "body", "certificate"),
        (json!({ "certificate": 7 }), "body", "string"),
        (json!({ "certificate": "x", "state": "current" }), "body", "state"),
        (json!([]), "body", ""),
    ];
    for (body, code, words) in cases {
        let answer = owner.post_json(PATH, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, code), "{body}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(words), "{}", answer.text());
    }
    for id in ["x", "01900000-0000-7000-8000-000000000001"] {
        assert_eq!(owner.post_json(&format!("{PATH}/{id}/retire"), &json!({})).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(listed(&mut owner).await.len(), 1);
}

#[rstest]
#[tokio::test]
async fn only_an_owner_rotates_whatever_is_sent(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let rows = listed(&mut owner).await;
    for role in ["Organization Context Manager", "Organization Member", "Sign-In administrator"] {
        let mut browser = person(&gateway, role).await;
        for (path, body) in [(PATH.to_owned(), json!({ "certificate": "nonsense" })), (retire(&rows[0]), json!({ "confirm": true }))] {
            let answer = browser.post_json(&path, &body).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "owner_only"), "{role} {path}");
        }
        assert_eq!(browser.get_json(PATH).await.status, StatusCode::FORBIDDEN, "{role}");
    }
    assert_eq!(states(&listed(&mut owner).await), ["current"]);
}

#[rstest]
#[tokio::test]
async fn of_two_who_retire_the_last_two_at_once_one_is_asked(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    owner.post_json(PATH, &json!({ "certificate": idp::FOREIGN_KEY.certificate().to_pem() })).await;
    let rows = listed(&mut owner).await;
    let (mut one, mut two) = (owner.clone(), owner.clone());
    let (paths, body) = ([retire(&rows[0]), retire(&rows[1])], json!({}));
    let (first, second) = tokio::join!(one.post_json(&paths[0], &body), two.post_json(&paths[1], &body));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}
