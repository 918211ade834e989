//! A browser has one session, and an account has so many.

use axum::http::StatusCode;
use rolegate::{db, saml::issuer::Sign};
use rstest::rstest;

use super::house::{LOGIN, ada, gateway, post, sign_in, tenant};
use crate::common::{
    engines::Engine,
    idp,
    installation::{Browser, Gateway},
};

const SECOND: &str = "[[owners]]\nemail = \"second@acme.example\"\nname = \"S\"\n";

async fn status(browser: &mut Browser<'_>) -> u16 {
    browser.get_json("/me").await.status.as_u16()
}

/// The reasons of sessions that ended before their time, in order, each with the slug of the tenant whose trail has it.
async fn reasons(gateway: &Gateway) -> Vec<String> {
    let mut found = Vec::new();
    for tenant in db::tenant::list_tenants(&gateway.app.db).await.unwrap() {
        gateway.app.seal(tenant.id).await;
        let rows = db::audit::list_audit(&gateway.app.db, tenant.id, 0, 1000).await.unwrap();
        let ended = rows.into_iter().filter(|row| row.action == "sessions.ended");
        found.extend(ended.map(|row| format!("{} {} {}", tenant.slug, row.detail["reason"].as_str().unwrap(), row.detail["count"])));
    }
    found
}

#[rstest]
#[tokio::test]
async fn a_sign_in_ends_the_session_that_the_browser_had_when_it_began(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "", "").await;
    let mut browser = gateway.browser();
    assert_eq!(sign_in(&mut browser, ada(&gateway, &[])).await.status, StatusCode::SEE_OTHER);
    let mut elsewhere = gateway.browser();
    assert_eq!(sign_in(&mut elsewhere, ada(&gateway, &[])).await.status, StatusCode::SEE_OTHER);
    let mut former = browser.clone();
    let begun = browser.get(LOGIN).await;
    // A browser leaves the session's cookie out of a POST that comes from the identity provider's page.
    browser.cookies.retain(|name, _| !name.ends_with("rolegate_session"));
    let mut message = ada(&gateway, &[]);
    message.in_response_to = Some(idp::request_id(begun.location()));
    assert_eq!(post(&mut browser, &message, Sign::Assertion).await.status, StatusCode::SEE_OTHER);
    assert_eq!((status(&mut former).await, status(&mut browser).await, status(&mut elsewhere).await), (401, 200, 200));
    assert_eq!(reasons(&gateway).await, ["acme replaced 1"]);
}

#[rstest]
#[tokio::test]
async fn a_sign_in_ends_the_session_whose_cookie_comes_along(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    let mut browser = gateway.browser();
    post(&mut browser, &ada(&gateway, &[]), Sign::Both).await;
    let mut former = browser.clone();
    post(&mut browser, &ada(&gateway, &[]), Sign::Both).await;
    assert_eq!((status(&mut former).await, status(&mut browser).await), (401, 200));
    // A refused sign-in ends nothing.
    let mut refused = ada(&gateway, &[]);
    refused.audiences = vec!["https://other.example".to_owned()];
    assert_eq!(post(&mut browser, &refused, Sign::Both).await.status, StatusCode::FORBIDDEN);
    assert_eq!(status(&mut browser).await, 200);
}

#[rstest]
#[tokio::test]
async fn a_sign_in_by_link_ends_the_session_of_another_tenant_too(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "", "").await;
    let applied = gateway.apply(&tenant("", SECOND)).await;
    let other =
        "[tenant]\nslug = \"other\"\nname = \"Other\"\npreset = \"owner-member\"\n[[owners]]\nemail = \"o@other.example\"\nname = \"O\"\n";
    let there = gateway.apply(other).await;
    let mut browser = gateway.browser_by_link(&there, "o@other.example").await;
    let mut former = browser.clone();
    let link = applied.links.iter().find(|link| link.email == "second@acme.example").unwrap();
    let answer = browser.post_form("/sign-in/link", &[("token", link.secret.expose())]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!((status(&mut former).await, status(&mut browser).await), (401, 200));
    assert_eq!(reasons(&gateway).await, ["other replaced 1"]);
    let sql = "select count(*) from audit where action = 'sessions.ended' and actor_kind <> 'system'";
    assert_eq!(gateway.count(sql).await, 0, "the trail of the other tenant does not name who signed in here");
}

#[rstest]
#[tokio::test]
async fn an_account_has_a_bounded_number_of_sessions_and_the_oldest_end(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let text = |most: i64| tenant("", "").replace("min_owners = 1", &format!("min_owners = 1, max_sessions = {most}"));
    gateway.apply(&text(2)).await;
    let mut browsers = Vec::new();
    for _ in 0..4 {
        let mut browser = gateway.browser();
        assert_eq!(sign_in(&mut browser, ada(&gateway, &[])).await.status, StatusCode::SEE_OTHER);
        browsers.push(browser);
    }
    let mut statuses = Vec::new();
    for browser in &mut browsers {
        statuses.push(status(browser).await);
    }
    assert_eq!(statuses, [401, 401, 200, 200]);
    assert_eq!(reasons(&gateway).await, ["acme too_many 1", "acme too_many 1"]);
    // A lower bound ends the others at the next sign-in.
    gateway.apply(&text(1)).await;
    let mut last = gateway.browser();
    sign_in(&mut last, ada(&gateway, &[])).await;
    assert_eq!((status(&mut last).await, gateway.count("select count(*) from session").await), (200, 1));
}
