use axum::http::{Method, StatusCode};
use rstest::rstest;

use super::house::{me, roles, tenant};
use crate::common::{engines::Engine, installation::Gateway};

#[rstest]
#[tokio::test]
async fn a_link_signs_an_owner_in_once_and_looking_at_it_does_not_use_it_up(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let applied = gateway.apply(&tenant("", "")).await;
    let path = applied.links[0].path();
    let mut browser = gateway.browser();
    for _ in 0..3 {
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text().contains("<button>Sign in</button>") && page.cookies().is_empty());
    }
    let token = path.split("token=").nth(1).unwrap();
    let answer = browser.post_form("/sign-in/link", &[("token", token)]).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/me"));
    let me = me(&mut browser).await;
    assert_eq!(me["account"]["email"], "owner@acme.example");
    assert_eq!(me["account"]["connection"], serde_json::Value::Null);
    assert_eq!(roles(&me), [("Organization Owner".to_owned(), vec!["bootstrap".to_owned()])]);
    assert_eq!(gateway.count("select count(*) from session where connection is null").await, 1);
    assert_eq!(gateway.count("select count(*) from audit where action = 'sign_in.by_link' and actor_kind = 'account'").await, 1);

    let again = gateway.browser().post_form("/sign-in/link", &[("token", token)]).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    assert!(again.cookies().is_empty());
}

#[tokio::test]
async fn a_link_that_is_old_or_wrong_or_posted_by_another_site_signs_nobody_in() {
    let gateway = Gateway::open(Engine::Sqlite).await;
    let applied = gateway.apply(&tenant("", "")).await;
    let token = applied.links[0].secret.expose();
    let mut browser = gateway.browser();
    for wrong in ["", "x", &token[1..], &token.to_lowercase()] {
        assert_eq!(browser.post_form("/sign-in/link", &[("token", wrong)]).await.status, StatusCode::FORBIDDEN);
    }
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://evil.example")];
    let answer = browser.send(Method::POST, "/sign-in/link", &headers, format!("token={token}").into_bytes()).await;
    assert_eq!(answer.code(), "foreign_origin");
    gateway.app.clock.advance_secs(24 * 3600);
    assert_eq!(browser.post_form("/sign-in/link", &[("token", token)]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(gateway.count("select count(*) from session").await, 0);
}
