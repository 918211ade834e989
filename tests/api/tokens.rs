//! Bearers of the API: of people, made from their sessions, and of applications.

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, StatusCode},
};
use rolegate::db;
use rstest::rstest;
use serde_json::{Value, json};

use super::common::{CERTIFICATES, house, person, send};
use crate::{
    authz::people::{holder, model, scim_token, signed_in, tenant},
    common::{
        engines::Engine,
        installation::{Answer, Browser, Gateway},
    },
    organizations::from,
};

const TOKENS: &str = "/api/v1/tokens";
const APP_TOKENS: &str = "/api/v1/app-tokens";

async fn make(browser: &mut Browser<'_>, path: &str, body: &Value) -> Value {
    let made = browser.post_json(path, body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    made.json()
}

async fn with(gateway: &Gateway, token: &Value, method: Method, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    gateway.browser().send(method, path, &[("authorization", &bearer), ("content-type", "application/json")], body.into()).await
}

async fn get(gateway: &Gateway, token: &Value, path: &str) -> Answer {
    with(gateway, token, Method::GET, path, "").await
}

#[rstest]
#[tokio::test]
async fn a_token_does_what_its_owner_may_do_or_less(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let all = make(&mut owner, TOKENS, &json!({ "name": "script" })).await;
    assert!(all["token"].as_str().unwrap().starts_with("rg_api_") && all["permissions"] == Value::Null);
    let few = make(&mut owner, TOKENS, &json!({ "name": "reader", "permissions": ["certificates.read", "audit.read"] })).await;
    assert_eq!(few["permissions"], json!(["certificates.read", "audit.read"]));

    assert_eq!(get(&gateway, &all, CERTIFICATES).await.status, StatusCode::OK);
    // No token against forgery: browsers do not send bearers by themselves.
    let client = "{\"name\": \"Okta\"}";
    let clients = "/api/v1/connections/acme-okta/oauth-clients";
    assert_eq!(with(&gateway, &all, Method::POST, clients, client).await.status, StatusCode::CREATED);
    assert_eq!(get(&gateway, &few, CERTIFICATES).await.status, StatusCode::OK);
    let refused = with(&gateway, &few, Method::POST, clients, client).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "not_in_token"));

    // A bearer decides alone, whatever cookies come along.
    let mixed = owner.send(Method::GET, CERTIFICATES, &[("authorization", "Bearer rg_api_x")], Vec::new()).await;
    assert_eq!(mixed.status, StatusCode::UNAUTHORIZED);
    assert!(mixed.json()["detail"].as_str().unwrap().starts_with("The bearer token"), "{}", mixed.text());
    // Tokens are made from sessions alone, and open no page.
    let again = with(&gateway, &all, Method::POST, TOKENS, "{\"name\": \"x\"}").await;
    assert_eq!((again.status, again.code().as_str()), (StatusCode::FORBIDDEN, "session_required"));
    let me = gateway.browser().send(Method::GET, "/me", &[("authorization", "Bearer x"), ("accept", "application/json")], Vec::new()).await;
    assert_eq!(me.status, StatusCode::UNAUTHORIZED);

    let secret: Option<(i64,)> = gateway.app.db.query("select count(*) from api_token where hash like 'rg_%'").optional().await.unwrap();
    assert_eq!(secret, Some((0,)));
    assert_eq!(gateway.count("select count(*) from audit where action = 'api_token.created'").await, 2);
    for (body, status, code) in [
        (json!({ "name": "" }), StatusCode::BAD_REQUEST, "name"),
        (json!({ "name": "x", "ttl_secs": 0 }), StatusCode::BAD_REQUEST, "ttl_secs"),
        (json!({ "name": "x", "ttl_secs": 43_201 }), StatusCode::BAD_REQUEST, "ttl_secs"),
        (json!({ "name": "x", "permissions": ["everything"] }), StatusCode::BAD_REQUEST, "body"),
    ] {
        let answer = owner.post_json(TOKENS, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body}");
    }
    let mut member = person(&gateway, "Organization Member").await;
    let beyond = member.post_json(TOKENS, &json!({ "name": "x", "permissions": ["certificates.rotate"] })).await;
    assert_eq!((beyond.status, beyond.code().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "not_held"));
}

#[rstest]
#[tokio::test]
async fn a_token_ends_by_itself_by_revocation_and_with_its_session(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let brief = make(&mut owner, TOKENS, &json!({ "name": "brief", "ttl_secs": 60 })).await;
    let lasting = make(&mut owner, TOKENS, &json!({ "name": "lasting" })).await;
    let revoked = make(&mut owner, TOKENS, &json!({ "name": "revoked" })).await;
    let path = format!("{TOKENS}/{}", revoked["id"].as_str().unwrap());
    assert_eq!(send(&mut owner, Method::DELETE, &path, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(send(&mut owner, Method::DELETE, &path, &[], "").await.status, StatusCode::NO_CONTENT, "twice is once");
    assert_eq!(get(&gateway, &revoked, TOKENS).await.status, StatusCode::UNAUTHORIZED);
    gateway.app.clock.advance_secs(60);
    assert_eq!(get(&gateway, &brief, TOKENS).await.status, StatusCode::UNAUTHORIZED);
    let listed = get(&gateway, &lasting, TOKENS).await.json();
    let names: Vec<_> = listed["tokens"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3);
    assert!(!listed.to_string().contains("rg_api_"));
    let browser = &mut owner.clone();
    assert_eq!(send(browser, Method::POST, "/logout", &[("accept", "application/json")], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&gateway, &lasting, TOKENS).await.status, StatusCode::UNAUTHORIZED, "signed out is signed out");
    assert_eq!(gateway.count("select count(*) from api_token").await, 0);
}

#[rstest]
#[tokio::test]
async fn tokens_of_others_are_seen_and_revoked_by_who_may(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut member = person(&gateway, "Organization Member").await;
    let token = make(&mut member, TOKENS, &json!({ "name": "mine" })).await;
    let account: Option<(String,)> = gateway.app.db.query("select account from api_token").optional().await.unwrap();
    let of = format!("{TOKENS}?account={}", account.unwrap().0);
    let path = format!("{TOKENS}/{}", token["id"].as_str().unwrap());
    let mut other = person(&gateway, "Organization Member").await;
    assert_eq!(other.get_json(&of).await.status, StatusCode::FORBIDDEN);
    assert_eq!(send(&mut other, Method::DELETE, &path, &[], "").await.status, StatusCode::NOT_FOUND, "it does not see the account");
    assert_eq!(get(&gateway, &token, TOKENS).await.status, StatusCode::OK);

    let mut owner = person(&gateway, "Organization Owner").await;
    assert_eq!(owner.get_json(&of).await.json()["tokens"][0]["name"], "mine");
    assert_eq!(send(&mut owner, Method::DELETE, &path, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&gateway, &token, TOKENS).await.status, StatusCode::UNAUTHORIZED);
    let nobody = format!("{TOKENS}?account=01900000-0000-7000-8000-000000000001");
    assert_eq!(owner.get_json(&nobody).await.status, StatusCode::NOT_FOUND);

    let strange = model(&gateway, gateway.apply(&tenant("other", "owner-member")).await.tenant).await;
    let mut stranger = holder(&gateway, &strange, Some("Organization Owner")).await;
    assert_eq!(stranger.get_json(&of).await.status, StatusCode::NOT_FOUND);
    assert_eq!(send(&mut stranger, Method::DELETE, &path, &[], "").await.status, StatusCode::NOT_FOUND);
}

#[rstest]
#[tokio::test]
async fn deactivating_an_account_ends_its_tokens_in_the_same_transaction(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut member = person(&gateway, "Organization Member").await;
    let token = make(&mut member, TOKENS, &json!({ "name": "mine" })).await;
    let row: Option<(String, String)> = gateway.app.db.query("select tenant, account from api_token").optional().await.unwrap();
    let (tenant, account) = row.unwrap();
    let (tenant, account) = (tenant.parse_id(), account.parse_id());
    let mut tx = gateway.app.db.begin().await.unwrap();
    // What every deactivation does, whoever asks for it.
    db::session::end_sessions_of_accounts(&mut tx, tenant, &[account]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(gateway.count("select count(*) from api_token").await, 0);
    assert_eq!(get(&gateway, &token, TOKENS).await.status, StatusCode::UNAUTHORIZED);
}

/// Both ways in which an identity provider lets somebody go.
#[rstest]
#[tokio::test]
async fn whom_the_identity_provider_lets_go_keeps_no_token(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values("PATCH", "DELETE")] method: &str,
    #[values(true, false)] through_the_connection: bool,
) {
    let gateway = house(engine).await;
    let bearer = format!("Bearer {}", scim_token(&gateway, "acme-okta").await);
    let scim = async |method: &str, path: &str, body: &Value| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/scim+json")];
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let path = format!("/connections/acme-okta/scim/v2{path}");
        gateway.browser().send(method, &path, &headers, body.to_string().into()).await
    };
    let ann = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann" });
    let made = scim("POST", "/Users", &ann).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let account = made.json()["id"].as_str().unwrap().to_owned();
    let connection = db::connection::find_connection_by_slug(&gateway.app.db, "acme-okta").await.unwrap().unwrap().connection;
    let through = through_the_connection.then_some(connection.id);
    let mut ann = signed_in(&gateway, connection.tenant, account.parse_id(), through).await;
    let token = make(&mut ann, TOKENS, &json!({ "name": "mine" })).await;
    assert_eq!(get(&gateway, &token, TOKENS).await.status, StatusCode::OK);

    let off = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "path": "active", "value": false }],
    });
    let answer = scim(method, &format!("/Users/{account}"), &off).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    assert_eq!(get(&gateway, &token, TOKENS).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(ann.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(gateway.count("select count(*) from api_token").await, 0);
}

trait ParseId {
    fn parse_id<K>(&self) -> rolegate::domain::id::Id<K>;
}

impl ParseId for String {
    fn parse_id<K>(&self) -> rolegate::domain::id::Id<K> {
        rolegate::domain::id::Id::parse(self).unwrap()
    }
}

#[rstest]
#[tokio::test]
async fn an_applications_token_looks_at_its_part_and_changes_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = with_child(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let whole = make(&mut owner, APP_TOKENS, &json!({ "name": "dashboard" })).await;
    assert!(whole["token"].as_str().unwrap().starts_with("rg_app_") && whole["organization"] == "acme");
    let part = make(&mut owner, APP_TOKENS, &json!({ "name": "europe", "organization": "acme-eu", "ttl_days": 1 })).await;

    assert_eq!(get(&gateway, &whole, "/api/v1/events").await.status, StatusCode::OK);
    let beyond = get(&gateway, &part, "/api/v1/events").await;
    assert_eq!((beyond.status, beyond.code().as_str()), (StatusCode::FORBIDDEN, "beyond_token"));
    for path in [CERTIFICATES, APP_TOKENS, "/api/v1/audit/export", "/api/v1/audit", "/api/v1/attention"] {
        let refused = get(&gateway, &whole, path).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "read_only"), "{path}");
    }
    let own = get(&gateway, &whole, TOKENS).await;
    assert_eq!((own.status, own.code().as_str()), (StatusCode::FORBIDDEN, "not_a_person"));
    let write = with(&gateway, &whole, Method::POST, APP_TOKENS, "{\"name\": \"x\"}").await;
    assert_eq!((write.status, write.code().as_str()), (StatusCode::FORBIDDEN, "read_only"));

    gateway.app.clock.advance_secs(86_400);
    assert_eq!(get(&gateway, &part, "/api/v1/events").await.status, StatusCode::UNAUTHORIZED, "expired");
    let mut owner = person(&gateway, "Organization Owner").await;
    let rows = owner.get_json(APP_TOKENS).await.json();
    assert_eq!((rows["tokens"].as_array().unwrap().len(), &rows["tokens"][0]["name"]), (1, &json!("dashboard")));
    assert_eq!(rows["tokens"][0]["last_used_at"], "2026-03-03T01:06:40Z");
    let path = format!("{APP_TOKENS}/{}", whole["id"].as_str().unwrap());
    let mut manager = person(&gateway, "Organization Context Manager").await;
    let refused = send(&mut manager, Method::DELETE, &path, &[], "").await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "owner_only"));
    assert_eq!(manager.post_json(APP_TOKENS, &json!({ "name": "x" })).await.code(), "owner_only");
    assert_eq!(send(&mut owner, Method::DELETE, &path, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&gateway, &whole, "/api/v1/events").await.status, StatusCode::UNAUTHORIZED, "revoked");

    for (body, status, code) in [
        (json!({ "name": "x", "organization": "nowhere" }), StatusCode::UNPROCESSABLE_ENTITY, "organization"),
        (json!({ "name": "x", "ttl_days": 367 }), StatusCode::BAD_REQUEST, "ttl_days"),
        (json!({ "name": "x", "ttl_days": i64::MAX }), StatusCode::BAD_REQUEST, "ttl_days"),
        (json!({ "name": " " }), StatusCode::BAD_REQUEST, "name"),
    ] {
        let answer = owner.post_json(APP_TOKENS, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body}");
    }
}

const SETTINGS: &str = "/api/v1/organizations/acme/settings";

#[rstest]
#[tokio::test]
async fn an_organization_says_how_long_the_tokens_of_its_people_last(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let before = make(&mut owner, TOKENS, &json!({ "name": "before", "ttl_secs": 3000 })).await;
    let end = gateway.app.now().plus_secs(600).to_string();
    assert_eq!(send(&mut owner, Method::PATCH, SETTINGS, &[], "{\"api_token_ttl_secs\": 600}").await.status, StatusCode::OK);
    let after = make(&mut owner, TOKENS, &json!({ "name": "after", "ttl_secs": 3000 })).await;
    assert_eq!(after["expires_at"], end);
    let listed = owner.get_json(TOKENS).await.json();
    assert_eq!((&listed["tokens"][0]["expires_at"], &listed["tokens"][1]["expires_at"]), (&json!(end), &json!(end)));
    gateway.app.clock.advance_secs(599);
    for token in [&before, &after] {
        assert_eq!(get(&gateway, token, TOKENS).await.status, StatusCode::OK);
    }
    gateway.app.clock.advance_secs(1);
    for token in [&before, &after] {
        assert_eq!(get(&gateway, token, TOKENS).await.status, StatusCode::UNAUTHORIZED, "of those made before, too");
    }
}

#[tokio::test]
async fn a_token_that_was_made_for_something_else_ends_nothing_of_its_holders() {
    let gateway = house(Engine::Sqlite).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let few = make(&mut owner, TOKENS, &json!({ "name": "reader", "permissions": ["certificates.read"] })).await;
    let session = owner.get_json("/api/v1/sessions").await.json()["sessions"][0]["id"].as_str().unwrap().to_owned();
    let account = owner.get_json("/me").await.json()["account"]["id"].as_str().unwrap().to_owned();
    let one = format!("{TOKENS}/{}", few["id"].as_str().unwrap());
    let asked = json!({ "account": account, "entity": "settings", "action": "read", "organization": "acme" }).to_string();
    for (method, path, body) in [
        (Method::GET, TOKENS, ""),
        (Method::DELETE, &one, ""),
        (Method::GET, "/api/v1/sessions", ""),
        (Method::DELETE, &format!("/api/v1/sessions/{session}"), ""),
        (Method::POST, "/api/v1/check", &asked),
    ] {
        let refused = with(&gateway, &few, method.clone(), path, body).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "not_in_token"), "{method} {path}");
    }
    assert_eq!(get(&gateway, &few, CERTIFICATES).await.status, StatusCode::OK);
    let all = make(&mut owner, TOKENS, &json!({ "name": "script" })).await;
    assert_eq!(with(&gateway, &all, Method::DELETE, &one, "").await.status, StatusCode::NO_CONTENT);
}

async fn with_child(engine: Engine) -> Gateway {
    let gateway = Gateway::open(engine).await;
    let child = "[[organizations]]\nslug = \"acme-eu\"\nname = \"Europe\"\nparent = \"acme\"\n";
    gateway.apply(&format!("{}{child}", tenant("acme", "owner-member"))).await;
    gateway
}

#[tokio::test]
async fn an_applications_token_is_used_from_the_networks_of_its_organization() {
    let gateway = with_child(Engine::Sqlite).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let token = make(&mut owner, APP_TOKENS, &json!({ "name": "europe", "organization": "acme-eu" })).await;
    let list = "{\"console_networks\": [\"192.0.2.0/24\"]}";
    let csrf = owner.csrf_token().await;
    let set = from(&owner, &csrf, "192.0.2.9", Method::PATCH, "/api/v1/organizations/acme-eu/settings", list).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text());
    for (address, status) in [("192.0.2.9", StatusCode::OK), ("198.51.100.1", StatusCode::FORBIDDEN)] {
        let request = Request::builder()
            .uri("/api/v1/organizations")
            .header("authorization", format!("Bearer {}", token["token"].as_str().unwrap()))
            .extension(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 40_000)));
        assert_eq!(gateway.send(request.body(Body::empty()).unwrap()).await.status, status, "{address}");
    }
    assert_eq!(get(&gateway, &token, "/api/v1/organizations").await.code(), "network_not_allowed", "an address that is not known");
}

#[rstest]
#[tokio::test]
async fn an_organization_is_deleted_when_no_applications_token_looks_at_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = with_child(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let europe = "/api/v1/organizations/acme-eu";
    let token = make(&mut owner, APP_TOKENS, &json!({ "name": "europe", "organization": "acme-eu" })).await;
    make(&mut owner, APP_TOKENS, &json!({ "name": "brief", "organization": "acme-eu", "ttl_days": 1 })).await;
    let refused = send(&mut owner, Method::DELETE, europe, &[], "").await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "organization_in_use"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("2 application tokens"), "{}", refused.text());
    let revoked = format!("{APP_TOKENS}/{}", token["id"].as_str().unwrap());
    assert_eq!(send(&mut owner, Method::DELETE, &revoked, &[], "").await.status, StatusCode::NO_CONTENT);
    gateway.app.clock.advance_secs(86_400);
    let mut owner = person(&gateway, "Organization Owner").await;
    assert_eq!(send(&mut owner, Method::DELETE, europe, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(gateway.count("select count(*) from app_token").await, 0);
}
