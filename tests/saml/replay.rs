use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use rolegate::{db, jobs, saml::issuer::Sign};
use rstest::rstest;

use super::house::{ACS, LOGIN, SLUG, ada, assert_refused, gateway, last_in_log, post, tenant};
use crate::common::{engines::Engine, idp, installation::Gateway, together::join_all};

/// As a browser sends it, whose body arrives when the stream gives it.
fn arriving(body: Body) -> Request<Body> {
    let request = Request::builder().method(Method::POST).uri(ACS).header("content-type", "application/x-www-form-urlencoded");
    request.body(body).unwrap()
}

fn form(gateway: &Gateway) -> String {
    let response = idp::signed(&ada(gateway, &[]), Sign::Both);
    url::form_urlencoded::Serializer::new(String::new()).append_pair("SAMLResponse", &response).finish()
}

#[rstest]
#[tokio::test]
async fn an_assertion_is_judged_by_the_time_when_all_of_it_is_there(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values((359, StatusCode::SEE_OTHER), (360, StatusCode::FORBIDDEN))] (secs, expected): (i64, StatusCode),
) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    let (form, clock) = (form(&gateway), gateway.app.clock.clone());
    let late = futures_util::stream::once(async move {
        clock.advance_secs(secs);
        Ok::<_, std::convert::Infallible>(form)
    });
    assert_eq!(gateway.send(arriving(Body::from_stream(late))).await.status, expected);
}

#[tokio::test]
async fn an_assertion_that_expires_while_every_core_is_taken_is_refused() {
    let gateway = gateway(Engine::Sqlite, "idp_initiated = true", "").await;
    // Afterwards nothing but the turn is waited for.
    assert_eq!(post(&mut gateway.browser(), &ada(&gateway, &[]), Sign::Both).await.status, StatusCode::SEE_OTHER);
    gateway.app.clock.advance_secs(1);
    let cores = u32::try_from(gateway.app.verifications.available_permits()).unwrap();
    let busy = gateway.app.verifications.clone().acquire_many_owned(cores).await.unwrap();
    let wait = async {
        while gateway.app.intake.held() == 0 {
            tokio::task::yield_now().await;
        }
        gateway.app.clock.advance_secs(360);
        drop(busy);
    };
    let (answer, ()) = tokio::join!(gateway.send(arriving(Body::from(form(&gateway)))), wait);
    assert_refused(&answer);
    assert_eq!(last_in_log(&gateway).await.why.code.as_deref(), Some("expired"));
}

/// Whoever waits for the row of the same assertion finds it gone, and the time too.
#[tokio::test]
async fn an_assertion_that_expires_in_the_queue_of_the_database_is_refused() {
    let gateway = gateway(Engine::Postgres, "idp_initiated = true", "").await;
    let message = ada(&gateway, &[]);
    let connection = db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap().connection;
    let mut other = gateway.app.db.begin().await.unwrap();
    let (tenant, id) = (connection.tenant, connection.id);
    let consumed = db::sign_in::consume_assertion(&mut other, tenant, id, idp::ENTITY_ID, &message.assertion_id, gateway.app.now()).await;
    assert!(consumed.unwrap());
    let wait = async {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while gateway.count(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        gateway.app.clock.advance_secs(360);
        drop(other);
    };
    let mut browser = gateway.browser();
    let (answer, ()) = tokio::join!(post(&mut browser, &message, Sign::Both), wait);
    assert_refused(&answer);
    assert!(last_in_log(&gateway).await.message.contains("expired while it was worked on"));
    assert_eq!(gateway.count("select count(*) from session").await, 0);
}

/// An owner who allows more for wrong clocks gives no used assertion a second life.
#[rstest]
#[tokio::test]
async fn a_replay_is_known_whatever_tolerance_is_set_meanwhile(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    let (used, unused) = (ada(&gateway, &[]), ada(&gateway, &[]));
    assert_eq!(post(&mut gateway.browser(), &used, Sign::Both).await.status, StatusCode::SEE_OTHER);
    gateway.app.clock.advance_secs(590);
    jobs::purge(&gateway.app).await.unwrap();
    gateway.apply(&tenant("idp_initiated = true\nskew_secs = 300", "")).await;
    assert_refused(&post(&mut gateway.browser(), &used, Sign::Both).await);
    assert_eq!(last_in_log(&gateway).await.step.as_deref(), Some("replay"));
    assert_eq!(post(&mut gateway.browser(), &unused, Sign::Both).await.status, StatusCode::SEE_OTHER, "the control");
    // Longer than the clocks of two nodes that sign people in can differ.
    gateway.app.clock.advance_secs(10 + db::sign_in::ASSERTION_MARGIN_SECS);
    jobs::purge(&gateway.app).await.unwrap();
    assert_eq!(gateway.count("select count(*) from consumed_assertion").await, 0);
}

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
