//! Sessions as their holders and others see and end them, and what a session may do while roles change.

use axum::http::{Method, StatusCode};
use rolegate::{http, http::routes::Entry};
use rstest::rstest;
use serde_json::{Value, json};

use super::people::{holder, model, tenant};
use crate::common::{
    engines::Engine,
    installation::{Answer, Browser, Gateway, PUBLIC_URL},
};

async fn house(engine: Engine, preset: &str, more: &str) -> Gateway {
    let gateway = Gateway::open(engine).await;
    gateway.apply(&format!("{}{more}", tenant("acme", preset))).await;
    gateway
}

async fn person<'g>(gateway: &'g Gateway, role: &str) -> Browser<'g> {
    let row = rolegate::db::tenant::find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    holder(gateway, &model(gateway, row.id).await, Some(role)).await
}

async fn delete(browser: &mut Browser<'_>, path: &str) -> Answer {
    let csrf = browser.csrf_token().await;
    browser.send(Method::DELETE, path, &[("x-csrf-token", csrf.as_str())], Vec::new()).await
}

async fn listed(browser: &mut Browser<'_>, path: &str) -> Vec<Value> {
    let answer = browser.get_json(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["sessions"].as_array().unwrap().clone()
}

async fn account(browser: &mut Browser<'_>) -> String {
    browser.get_json("/me").await.json()["account"]["id"].as_str().unwrap().to_owned()
}

#[rstest]
#[tokio::test]
async fn everybody_sees_and_ends_their_own_sessions(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let applied = gateway.apply(&tenant("acme", "owner-member")).await;
    let mut desk = gateway.browser_by_link(&applied, "owner@acme.example").await;
    let mut stranger = person(&gateway, "Organization Member").await;
    let sessions = listed(&mut desk, "/api/v1/sessions").await;
    assert_eq!(sessions.len(), 1);
    assert_eq!((&sessions[0]["current"], &sessions[0]["connection"]), (&json!(true), &Value::Null));
    assert_eq!(sessions[0]["created_at"], "2026-03-03T01:06:40Z");
    assert_eq!(sessions[0]["idle_until"], "2026-03-03T03:06:40Z");
    assert_eq!(sessions[0]["expires_at"], "2026-03-03T09:06:40Z");
    let path = format!("/api/v1/sessions/{}", sessions[0]["id"].as_str().unwrap());
    // Somebody else's is none that there is.
    assert_eq!(delete(&mut stranger, &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete(&mut desk, &path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(desk.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(gateway.count("select count(*) from audit where action = 'sessions.ended' and actor_kind = 'account'").await, 1);
    assert_eq!(gateway.count("select count(*) from outbox where kind = 'sessions.ended'").await, 1);
}

#[rstest]
#[tokio::test]
async fn sessions_of_others_end_by_whom_the_right_was_given(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "idaas", "").await;
    let mut owner = person(&gateway, "Super Administrator").await;
    let mut desk = person(&gateway, "Help Desk Administrator").await;
    let mut auditor = person(&gateway, "Auditor").await;
    let (owners, auditors) = (account(&mut owner).await, account(&mut auditor).await);
    let of = |account: &str| format!("/api/v1/accounts/{account}/sessions");
    // The help desk manages auditors, not super administrators; an auditor only looks.
    let refused = delete(&mut desk, &of(&owners)).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "out_of_reach"));
    assert_eq!(delete(&mut auditor, &of(&owners)).await.code(), "not_permitted");
    assert_eq!(auditor.get_json(&of(&owners)).await.status, StatusCode::FORBIDDEN);
    let unknown = of("01900000-0000-7000-8000-000000000001");
    assert_eq!(auditor.get_json(&unknown).await.status, StatusCode::FORBIDDEN, "who may not look learns nothing of who there is");
    assert_eq!(desk.get_json(&unknown).await.status, StatusCode::NOT_FOUND);

    let sessions = listed(&mut desk, &of(&auditors)).await;
    assert_eq!((sessions.len(), &sessions[0]["current"]), (1, &json!(false)));
    let one = format!("{}/{}", of(&auditors), sessions[0]["id"].as_str().unwrap());
    assert_eq!(delete(&mut desk, &one).await.status, StatusCode::NO_CONTENT);
    assert_eq!(auditor.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(delete(&mut desk, &one).await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete(&mut owner, &of(&account(&mut desk).await)).await.json(), json!({ "ended": 1 }));
    assert_eq!(desk.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    // Of another tenant there is nothing.
    gateway.apply(&tenant("other", "idaas")).await;
    let row = rolegate::db::tenant::find_tenant_by_slug(&gateway.app.db, "other").await.unwrap().unwrap();
    let mut stranger = holder(&gateway, &model(&gateway, row.id).await, Some("Super Administrator")).await;
    assert_eq!(delete(&mut stranger, &of(&owners)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(owner.get_json("/me").await.status, StatusCode::OK);
}

#[rstest]
#[tokio::test]
async fn a_session_ends_when_nobody_uses_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let short = |ttl: i64, idle: i64| {
        tenant("acme", "owner-member")
            .replace("min_owners = 1", &format!("min_owners = 1, session_ttl_secs = {ttl}, session_idle_secs = {idle}"))
    };
    let gateway = Gateway::open(engine).await;
    let applied = gateway.apply(&short(3600, 600)).await;
    let mut owner = gateway.browser_by_link(&applied, "owner@acme.example").await;
    for _ in 0..3 {
        gateway.app.clock.advance_secs(599);
        assert_eq!(owner.get_json("/me").await.status, StatusCode::OK);
    }
    gateway.app.clock.advance_secs(600);
    assert_eq!(owner.get_json("/me").await.status, StatusCode::UNAUTHORIZED);

    // What the tenant sets binds sessions that are there already, and the cookie does not outlive its session.
    let mut member = person(&gateway, "Organization Member").await;
    assert_eq!(gateway.count("select count(*) from session where expires_at_ms - created_at_ms > 3600000").await, 0);
    gateway.app.clock.advance_secs(400);
    assert_eq!(member.get_json("/me").await.status, StatusCode::OK);
    gateway.apply(&short(300, 0)).await;
    assert_eq!(member.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    let mut member = person(&gateway, "Organization Member").await;
    assert_eq!(listed(&mut member, "/api/v1/sessions").await[0]["idle_until"], Value::Null);
    gateway.app.clock.advance_secs(300);
    assert_eq!(member.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
}

fn desk(permissions: &str) -> String {
    format!("[[roles]]\nname = \"Desk\"\npermissions = [{permissions}]\n")
}

#[rstest]
#[tokio::test]
async fn a_wider_role_waits_for_the_next_sign_in_and_a_narrower_one_acts_at_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let narrow = "\"user_management:read\"";
    let wide = "\"user_management:read\", \"user_management:update\"";
    let gateway = house(engine, "idaas", &desk(narrow)).await;
    let mut before = person(&gateway, "Desk").await;
    let of = format!("/api/v1/accounts/{}/sessions", account(&mut person(&gateway, "Auditor").await).await);
    assert_eq!(before.get_json(&of).await.code(), "not_permitted");
    gateway.apply(&format!("{}{}", tenant("acme", "idaas"), desk(wide))).await;
    let waiting = before.get_json(&of).await;
    assert_eq!((waiting.status, waiting.code().as_str()), (StatusCode::FORBIDDEN, "sign_in_again"));
    let permissions = |me: Answer| me.json()["permissions"][0]["permissions"].clone();
    assert_eq!(permissions(before.get_json("/me").await), json!(["user_management:read"]));
    let mut after = person(&gateway, "Desk").await;
    assert_eq!(after.get_json(&of).await.status, StatusCode::OK);
    assert_eq!(permissions(after.get_json("/me").await), json!(["user_management:read", "user_management:update"]));
    // Narrower again: at once, for everybody.
    gateway.apply(&format!("{}{}", tenant("acme", "idaas"), desk(narrow))).await;
    assert_eq!(after.get_json(&of).await.code(), "not_permitted");
    assert_eq!(permissions(after.get_json("/me").await), json!(["user_management:read"]));
    // And back: the session of then had it.
    gateway.apply(&format!("{}{}", tenant("acme", "idaas"), desk(wide))).await;
    assert_eq!(after.get_json(&of).await.status, StatusCode::OK);
    assert_eq!(before.get_json(&of).await.code(), "sign_in_again");
}

#[tokio::test]
async fn where_changes_act_at_once_nothing_waits_and_nothing_is_kept() {
    let at_once = |permissions: &str| {
        let text = tenant("acme", "idaas").replace("min_owners = 1", "min_owners = 1, role_change_effect = \"immediate\"");
        format!("{text}{}", desk(permissions))
    };
    let gateway = Gateway::open(Engine::Sqlite).await;
    gateway.apply(&at_once("\"user_management:read\"")).await;
    let mut browser = person(&gateway, "Desk").await;
    let of = format!("/api/v1/accounts/{}/sessions", account(&mut person(&gateway, "Auditor").await).await);
    gateway.apply(&at_once("\"user_management:read\", \"user_management:update\"")).await;
    assert_eq!(browser.get_json(&of).await.status, StatusCode::OK);
    assert_eq!(
        gateway.count("select (select count(*) from role_version) + (select count(*) from session where rights is not null)").await,
        0
    );
}

#[tokio::test]
async fn versions_of_roles_go_when_no_session_can_need_them() {
    let gateway = house(Engine::Sqlite, "idaas", "").await;
    person(&gateway, "Auditor").await;
    assert_eq!(gateway.count("select count(*) from role_version").await, 1);
    person(&gateway, "Auditor").await;
    rolegate::jobs::purge(&gateway.app).await.unwrap();
    assert_eq!(gateway.count("select count(*) from role_version").await, 1);
    gateway.app.clock.advance_secs(33 * 86_400);
    rolegate::jobs::purge(&gateway.app).await.unwrap();
    assert_eq!(gateway.count("select count(*) from role_version").await, 0);
}

/// Every change that a session can make, through pages and through the API: without its token, with another one's, and from another site's page.
#[tokio::test]
async fn no_change_is_made_without_the_sessions_own_token() {
    let gateway = house(Engine::Sqlite, "owner-member", "").await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let mut other = person(&gateway, "Organization Owner").await;
    let (own, others) = (owner.csrf_token().await, other.csrf_token().await);
    let mut walked = 0;
    for listed in http::routes()
        .table()
        .iter()
        .filter(|listed| matches!(listed.entry, Entry::Session | Entry::Change) && listed.method != Method::GET)
    {
        let id = "01900000-0000-7000-8000-000000000001";
        let path = listed.path.replace("{slug}", "acme-okta");
        let path = path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect::<Vec<_>>().join("/");
        let tries: [(&str, &[(&str, &str)]); 4] = [
            ("csrf_token_missing", &[("content-type", "application/json"), ("origin", PUBLIC_URL)]),
            ("csrf_token_missing", &[("content-type", "application/x-www-form-urlencoded")]),
            ("csrf_token_wrong", &[("content-type", "application/json"), ("x-csrf-token", &others)]),
            ("foreign_origin", &[("content-type", "application/json"), ("x-csrf-token", &own), ("origin", "https://evil.example")]),
        ];
        for (code, headers) in tries {
            let answer = owner.clone().send(listed.method.clone(), &path, headers, b"{}".to_vec()).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, code), "{listed:?}");
        }
        walked += 1;
    }
    assert!(walked >= 12, "{walked}");
    assert_eq!(owner.get_json("/me").await.status, StatusCode::OK, "not even signed out");
}
