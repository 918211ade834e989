//! A certificate of the identity provider that has expired: it verifies for a while, with an alarm, then no more.

use axum::http::StatusCode;
use rolegate::{db::attention::list_open, jobs::warnings, saml::issuer::Sign};
use rstest::rstest;

use super::house::{ACS, ada, assert_refused, gateway, last_in_log};
use crate::common::{
    engines::Engine,
    idp,
    installation::{Answer, Gateway},
};

const DAY: i64 = 86_400;
/// How long the certificate of the tests' identity provider counts.
const VALID: i64 = 365 * DAY;

async fn post(gateway: &Gateway) -> Answer {
    let response = idp::signed(&ada(gateway, &[]), Sign::Both);
    gateway.browser().post_form(ACS, &[("SAMLResponse", &response)]).await
}

async fn alarms(gateway: &Gateway, kind: &str) -> usize {
    let row = rolegate::db::connection::find_connection_by_slug(&gateway.app.db, "acme-okta").await.unwrap().unwrap();
    let open = list_open(&gateway.app.db, row.connection.tenant, None, 100).await.unwrap();
    open.iter().filter(|attention| attention.kind == kind).count()
}

#[rstest]
#[tokio::test]
async fn it_verifies_with_an_alarm_for_fourteen_days_and_is_then_refused(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    gateway.app.clock.advance_secs(VALID - 1);
    assert_eq!(post(&gateway).await.status, StatusCode::SEE_OTHER);
    assert_eq!(alarms(&gateway, "certificate.expired_in_use").await, 0);
    gateway.app.clock.advance_secs(1);
    for _ in 0..2 {
        assert_eq!(post(&gateway).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(alarms(&gateway, "certificate.expired_in_use").await, 1, "told once");
    gateway.app.clock.advance_secs(14 * DAY - 1);
    assert_eq!(post(&gateway).await.status, StatusCode::SEE_OTHER);
    gateway.app.clock.advance_secs(1);
    assert_refused(&post(&gateway).await);
    let message = last_in_log(&gateway).await.message;
    assert!(message.contains("expired no more than 14 days ago") && message.contains("add the certificate"), "{message}");
}

#[tokio::test]
async fn a_connection_says_how_long() {
    let strict = gateway(Engine::Sqlite, "idp_initiated = true\nexpired_certificate_days = 0", "").await;
    let patient = gateway(Engine::Sqlite, "idp_initiated = true\nexpired_certificate_days = 400", "").await;
    for gateway in [&strict, &patient] {
        gateway.app.clock.advance_secs(VALID - 1);
        assert_eq!(post(gateway).await.status, StatusCode::SEE_OTHER);
    }
    strict.app.clock.advance_secs(1);
    assert_refused(&post(&strict).await);
    patient.app.clock.advance_secs(400 * DAY);
    assert_eq!(post(&patient).await.status, StatusCode::SEE_OTHER);
}

#[rstest]
#[tokio::test]
async fn owners_are_warned_from_ninety_days_before_on(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    let told = async || {
        warnings::give(&gateway.app).await.unwrap();
        warnings::give(&gateway.app).await.unwrap();
        alarms(&gateway, "certificate.expiring").await
    };
    gateway.app.clock.advance_secs(VALID - 90 * DAY - 1);
    assert_eq!(told().await, 0);
    gateway.app.clock.advance_secs(1);
    let mut days = 90;
    for (at, expected) in [(90, 1), (61, 1), (60, 2), (30, 3), (14, 4), (7, 5), (1, 6), (0, 7), (-20, 7)] {
        gateway.app.clock.advance_secs((days - at) * DAY);
        days = at;
        assert_eq!(told().await, expected, "{at} days before");
    }
    let events = "select count(*) from outbox where kind = 'certificate.expiring'";
    assert_eq!(gateway.count(events).await, 7, "applications are told as often");
}
