use axum::http::StatusCode;
use rolegate::saml::issuer::Sign;
use rstest::rstest;

use super::house::{ACS, LOGIN, ada, assert_refused, gateway, last_in_log, post};
use crate::common::{engines::Engine, idp, together::join_all};

#[rstest]
#[tokio::test]
async fn an_assertion_signs_in_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    let message = ada(&gateway, &[]);
    assert_eq!(post(&mut gateway.browser(), &message, Sign::Both).await.status, StatusCode::SEE_OTHER);
    assert_refused(&post(&mut gateway.browser(), &message, Sign::Both).await);
    // In another envelope, and signed otherwise, it is the same assertion.
    let mut other = message.clone();
    other.response_id.push('x');
    assert_refused(&post(&mut gateway.browser(), &other, Sign::Assertion).await);
    assert!(last_in_log(&gateway).await.message.contains("used before"));
    // Until it would be refused anyway the record is kept, skew included.
    gateway.app.clock.advance_secs(355);
    gateway.settle().await;
    assert_refused(&post(&mut gateway.browser(), &message, Sign::Both).await);
    assert_eq!(last_in_log(&gateway).await.step.as_deref(), Some("replay"));
    assert_eq!(gateway.count("select count(*) from session").await, 1);
}

#[rstest]
#[tokio::test]
async fn of_fifty_posts_at_once_exactly_one_is_accepted(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(false, true)] begun_here: bool,
) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    let mut browser = gateway.browser();
    let mut message = ada(&gateway, &[]);
    if begun_here {
        message.in_response_to = Some(idp::request_id(browser.get(LOGIN).await.location()));
    }
    let response = idp::signed(&message, Sign::Both);
    let posts = (0..50).map(|_| {
        let (mut browser, response) = (browser.clone(), &response);
        async move { browser.post_form(ACS, &[("SAMLResponse", response)]).await.status }
    });
    let statuses = join_all(posts).await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::SEE_OTHER).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::FORBIDDEN).count(), 49, "{statuses:?}");
    assert_eq!(gateway.count("select count(*) from session").await, 1);
    assert_eq!(gateway.count("select count(*) from identity").await, 1);
}

#[rstest]
#[tokio::test]
async fn first_sign_ins_at_once_make_one_account(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    let responses: Vec<_> = (0..8).map(|_| idp::signed(&ada(&gateway, &["platform-admins"]), Sign::Both)).collect();
    let posts = responses.iter().map(|response| {
        let mut browser = gateway.browser();
        async move { browser.post_form(ACS, &[("SAMLResponse", response)]).await.status }
    });
    let statuses = join_all(posts).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::SEE_OTHER), "{statuses:?}");
    assert_eq!(gateway.count("select count(*) from identity").await, 1);
    assert_eq!(gateway.count("select count(*) from account where profile_connection is not null").await, 1);
    assert_eq!(gateway.count("select count(*) from session").await, 8);
}
