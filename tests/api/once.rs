//! `Idempotency-Key`.

use axum::http::{Method, StatusCode};
use rolegate::db::idempotency::{self, Slot};
use rstest::rstest;
use serde_json::json;

use super::common::{CERTIFICATES, house, person, send};
use crate::{
    authz::people::tenant,
    common::{engines::Engine, idp, installation::Gateway},
};

const CLIENTS: &str = "/api/v1/connections/acme-okta/oauth-clients";

#[rstest]
#[tokio::test]
async fn what_is_sent_again_is_done_once_and_answered_twice(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let (key, body) = ([("idempotency-key", "k-1")], json!({ "name": "Okta" }).to_string());
    let first = send(&mut owner, Method::POST, CLIENTS, &key, &body).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text());
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let again = send(&mut owner, Method::POST, CLIENTS, &key, &body).await;
    assert_eq!((again.status, again.text()), (StatusCode::CREATED, first.text()));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.headers["content-type"], first.headers["content-type"]);
    assert_eq!(gateway.count("select count(*) from oauth_client").await, 1);
    // The answer holds a secret; the database does not.
    let secret = first.json()["client_secret"].as_str().unwrap().to_owned();
    let row: Option<(String,)> = gateway.app.db.query("select answer from idempotency").optional().await.unwrap();
    let kept = row.unwrap().0;
    assert!(!kept.contains(&secret) && !kept.contains("client_secret"), "{kept}");

    let other = send(&mut owner, Method::POST, CLIENTS, &key, &json!({ "name": "Entra" }).to_string()).await;
    assert_eq!((other.status, other.code().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"));
    // Keys are a caller's own, and a route's own.
    let mut colleague = person(&gateway, "Organization Owner").await;
    assert_eq!(send(&mut colleague, Method::POST, CLIENTS, &key, &body).await.status, StatusCode::CREATED);
    let pem = json!({ "certificate": idp::FOREIGN_KEY.certificate().to_pem() }).to_string();
    assert_eq!(send(&mut owner, Method::POST, CERTIFICATES, &key, &pem).await.status, StatusCode::CREATED);
    assert_eq!(gateway.count("select count(*) from oauth_client").await, 2);

    gateway.app.clock.advance_secs(86_401);
    let mut owner_later = person(&gateway, "Organization Owner").await;
    let fresh = send(&mut owner_later, Method::POST, CLIENTS, &key, &body).await;
    assert_eq!(fresh.status, StatusCode::CREATED);
    rolegate::jobs::purge(&gateway.app).await.unwrap();
    assert_eq!(gateway.count("select count(*) from idempotency").await, 1, "what is a day old is forgotten");
}

#[rstest]
#[tokio::test]
async fn an_answer_is_repeated_only_to_who_still_has_the_right(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let (key, body) = ([("idempotency-key", "k-1")], json!({ "name": "Okta" }).to_string());
    let first = send(&mut owner, Method::POST, CLIENTS, &key, &body).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text());
    let written = gateway.count("select count(*) from audit").await;
    assert_eq!(send(&mut owner, Method::POST, CLIENTS, &key, &body).await.text(), first.text());
    assert_eq!(gateway.count("select count(*) from audit").await, written, "asking for the right again writes nothing");
    let account = owner.get_json("/me").await.json()["account"]["id"].as_str().unwrap().to_owned();
    let mut tx = gateway.app.db.begin().await.unwrap();
    for sql in ["delete from assignment_origin where account = $1", "delete from assignment where account = $1"] {
        tx.query(sql).bind(account.clone()).run().await.unwrap();
    }
    let tenant: (String,) = tx.query("select id from tenant where slug = 'acme'").optional().await.unwrap().unwrap();
    let id = rolegate::domain::id::AccountId::parse(&account).unwrap();
    let tenant = rolegate::domain::id::TenantId::parse(&tenant.0).unwrap();
    rolegate::db::account::raise_held_versions(&mut tx, tenant, &[id].into()).await.unwrap();
    tx.commit().await.unwrap();
    let refused = send(&mut owner, Method::POST, CLIENTS, &key, &body).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "owner_only"), "{}", refused.text());
    assert!(!refused.headers.contains_key("idempotency-replayed"));
}

#[rstest]
#[tokio::test]
async fn what_the_request_deleted_is_answered_again(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    gateway.apply(&tenant("acme", "owner-member").replace("min_owners = 1", "min_owners = 1, custom_roles = true")).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let role = |name: &str| json!({ "name": name, "permissions": ["administrators:read"] }).to_string();
    let [old, new] = [role("Old"), role("New")];
    let mut ids = Vec::new();
    for body in [&old, &new] {
        let made = send(&mut owner, Method::POST, "/api/v1/roles", &[], body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
        ids.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    let path = format!("/api/v1/roles/{}/replacement", ids[0]);
    let planned = send(&mut owner, Method::POST, &path, &[], &json!({ "by": ids[1] }).to_string()).await.json();
    let (key, body) = ([("idempotency-key", "k-1")], json!({ "by": ids[1], "plan": planned["plan"] }).to_string());
    let first = send(&mut owner, Method::POST, &path, &key, &body).await;
    assert_eq!((first.status, &first.json()["applied"]), (StatusCode::OK, &json!(true)), "{}", first.text());
    let again = send(&mut owner, Method::POST, &path, &key, &body).await;
    assert_eq!((again.status, again.text()), (StatusCode::OK, first.text()));
}

#[rstest]
#[tokio::test]
async fn of_many_at_once_one_is_done(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let owner = person(&gateway, "Organization Owner").await;
    let (key, body) = ([("idempotency-key", "k-1")], json!({ "name": "Okta" }).to_string());
    let mut hands: Vec<_> = (0..4).map(|_| owner.clone()).collect();
    let [a, b, c, d] = hands.as_mut_slice() else { unreachable!() };
    let (a, b, c, d) = tokio::join!(
        send(a, Method::POST, CLIENTS, &key, &body),
        send(b, Method::POST, CLIENTS, &key, &body),
        send(c, Method::POST, CLIENTS, &key, &body),
        send(d, Method::POST, CLIENTS, &key, &body),
    );
    assert_eq!(gateway.count("select count(*) from oauth_client").await, 1);
    for answer in [&a, &b, &c, &d] {
        let known = answer.status == StatusCode::CREATED || answer.code() == "idempotency_in_progress";
        assert!(known, "{}", answer.text());
    }
}

#[rstest]
#[tokio::test]
async fn a_request_that_never_ended_is_not_made_again(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let (key, body) = ([("idempotency-key", "k-1")], json!({ "name": "Okta" }).to_string());
    send(&mut owner, Method::POST, CLIENTS, &key, &body).await;
    // As if the process had ended before it kept the answer.
    let mut tx = gateway.app.db.begin().await.unwrap();
    tx.query("update idempotency set answer = null").run().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(send(&mut owner, Method::POST, CLIENTS, &key, &body).await.code(), "idempotency_in_progress");
    gateway.app.clock.advance_secs(60);
    let unknown = send(&mut owner, Method::POST, CLIENTS, &key, &body).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (StatusCode::CONFLICT, "idempotency_unknown"));
    assert_eq!(gateway.count("select count(*) from oauth_client").await, 1);
}

#[tokio::test]
async fn an_answer_is_repeated_to_whom_it_was_given() {
    let gateway = house(Engine::Sqlite).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let few = owner.post_json("/api/v1/tokens", &json!({ "name": "x", "permissions": ["certificates.read"] })).await.json();
    let body = json!({ "name": "Okta" }).to_string();
    assert_eq!(send(&mut owner, Method::POST, CLIENTS, &[("idempotency-key", "k-1")], &body).await.status, StatusCode::CREATED);
    // The same account, the same request, another bearer: it is judged for itself.
    let bearer = format!("Bearer {}", few["token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", "k-1")];
    let refused = gateway.browser().send(Method::POST, CLIENTS, &headers, body.into_bytes()).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "not_in_token"), "{}", refused.text());
}

#[tokio::test]
async fn a_refusal_leaves_the_key_free_and_a_key_opens_nothing() {
    let gateway = house(Engine::Sqlite).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let key = [("idempotency-key", "k-1")];
    assert_eq!(send(&mut owner, Method::POST, CLIENTS, &key, "{\"name\": \"\"}").await.status, StatusCode::BAD_REQUEST);
    let body = json!({ "name": "Okta" }).to_string();
    assert_eq!(send(&mut owner, Method::POST, CLIENTS, &key, &body).await.status, StatusCode::CREATED);
    // Without the session's token nothing is answered again.
    let headers = [("content-type", "application/json"), key[0]];
    let forged = owner.send(Method::POST, CLIENTS, &headers, body.clone().into_bytes()).await;
    assert_eq!((forged.status, forged.code().as_str()), (StatusCode::FORBIDDEN, "csrf_token_missing"));
    let nobody = gateway.browser().send(Method::POST, CLIENTS, &headers, body.into_bytes()).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    for wrong in ["", "é", &"k".repeat(256)] {
        let refused = send(&mut owner, Method::POST, CLIENTS, &[("idempotency-key", wrong)], "{}").await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "idempotency_key"), "{wrong}");
    }
}

#[rstest]
#[tokio::test]
async fn a_sealed_answer_opens_in_its_own_slot_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let body = json!({ "name": "Okta" }).to_string();
    for key in ["k-1", "k-2"] {
        assert_eq!(send(&mut owner, Method::POST, CLIENTS, &[("idempotency-key", key)], &body).await.status, StatusCode::CREATED);
    }
    let mut tx = gateway.app.db.begin().await.unwrap();
    let sql = "update idempotency set answer = (select answer from idempotency as other where other.key = 'k-1') where key = 'k-2'";
    tx.query(sql).run().await.unwrap();
    tx.commit().await.unwrap();
    gateway.app.clock.advance_secs(60);
    let moved = send(&mut owner, Method::POST, CLIENTS, &[("idempotency-key", "k-2")], &body).await;
    assert_eq!(moved.code(), "idempotency_unknown");
    let row = rolegate::db::tenant::find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    let slot = Slot { tenant: row.id, caller: "x".to_owned(), route: "POST /x".to_owned(), key: "k".to_owned() };
    assert_eq!(idempotency::find(&gateway.app.db, &slot).await.unwrap(), None);
}
