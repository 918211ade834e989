//! A sign-in whose commit PostgreSQL did not answer.

use axum::http::StatusCode;
use rolegate::{
    db::{Db, PoolSize},
    saml::issuer::Sign,
};
use rstest::rstest;

use super::house::{ACS, LOGIN, ada, assert_refused, gateway, last_in_log, me, post};
use crate::common::{
    cut::{Cut, Proxy},
    engines::Engine,
    idp,
    installation::Gateway,
};

async fn behind_proxy() -> (Gateway, Proxy) {
    let mut gateway = gateway(Engine::Postgres, "idp_initiated = true", "").await;
    let proxy = Proxy::start(gateway.address()).await;
    let db = Db::open(&proxy.address, PoolSize(2)).await.unwrap();
    gateway.configure(|parts| parts.db = db);
    (gateway, proxy)
}

#[rstest]
#[case::written(Cut::After, 1)]
#[case::not_written(Cut::Before, 0)]
#[tokio::test]
async fn a_browser_that_sends_its_response_again_gets_the_session(#[case] cut: Cut, #[case] opened: i64) {
    let (gateway, proxy) = behind_proxy().await;
    let mut browser = gateway.browser();
    let mut message = ada(&gateway, &[]);
    message.in_response_to = Some(idp::request_id(browser.get(LOGIN).await.location()));
    let thief = gateway.browser();
    proxy.cut_next(cut);
    let answer = post(&mut browser, &message, Sign::Both).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
    assert_eq!(gateway.count("select count(*) from session").await, opened);
    assert_eq!(last_in_log(&gateway).await.why.code.as_deref(), Some("may_be_written"));

    if opened == 1 {
        // Without what this browser has, the response is a replay.
        assert_refused(&post(&mut thief.clone(), &message, Sign::Both).await);
    }
    let mut kept = browser.clone();
    assert_eq!(post(&mut browser, &message, Sign::Both).await.status, StatusCode::SEE_OTHER);
    me(&mut browser).await;
    assert_eq!(gateway.count("select count(*) from session").await, 1);
    // The browser has forgotten its request by now, and a copy of its cookies has its time.
    gateway.app.clock.advance_secs(300);
    assert_refused(&kept.post_form(ACS, &[("SAMLResponse", &idp::signed(&message, Sign::Both))]).await);
}

/// Nothing ties such a response to a browser.
#[tokio::test]
async fn a_response_that_the_identity_provider_began_with_is_used_up() {
    let (gateway, proxy) = behind_proxy().await;
    let mut browser = gateway.browser();
    let message = ada(&gateway, &[]);
    proxy.cut_next(Cut::After);
    assert_eq!(post(&mut browser, &message, Sign::Both).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_refused(&post(&mut browser, &message, Sign::Both).await);
}

/// Only where the answer was lost.
#[tokio::test]
async fn a_response_that_was_answered_is_a_replay_with_the_cookies_of_then_too() {
    let gateway = gateway(Engine::Sqlite, "", "").await;
    let mut browser = gateway.browser();
    let mut message = ada(&gateway, &[]);
    message.in_response_to = Some(idp::request_id(browser.get(LOGIN).await.location()));
    let mut kept = browser.clone();
    assert_eq!(post(&mut browser, &message, Sign::Both).await.status, StatusCode::SEE_OTHER);
    assert_refused(&post(&mut kept, &message, Sign::Both).await);
}
