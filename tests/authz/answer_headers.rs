//! No answer is stored by a cache, and no browser guesses its type.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use rolegate::http;

use super::{
    people::{holder, model, scim_token, tenant},
    routes::{ask, full, path_of},
    things::Things,
};
use crate::common::{
    engines::Engine,
    installation::{Answer, Gateway},
};

#[track_caller]
fn check(answer: &Answer, what: &str) {
    let header = |name: &str| answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((header("cache-control"), header("x-content-type-options")), (vec!["no-store"], vec!["nosniff"]), "{what}");
}

#[tokio::test]
async fn every_route_forbids_caching_and_sniffing_for_everybody() {
    let gateway = Gateway::open(Engine::Sqlite).await;
    let acme = gateway.apply(&full("acme")).await.tenant;
    let acme = model(&gateway, acme).await;
    let mut owner = holder(&gateway, &acme, Some("Organization Owner")).await;
    let things = Things::plant(&gateway, &acme, &mut owner).await;
    let token = scim_token(&gateway, "acme-okta").await;
    let mut answered = BTreeSet::new();
    for listed in http::routes().table() {
        let body = things.body(listed).to_string();
        for token in [None, Some(token.as_str())] {
            let answer = ask(&mut gateway.browser(), listed, &path_of(listed), "{}", token).await;
            check(&answer, &format!("{listed:?} by nobody or by the token"));
            answered.insert(answer.status);
        }
        let mut owner = holder(&gateway, &acme, Some("Organization Owner")).await;
        let answer = ask(&mut owner, listed, &things.path(listed), &body, None).await;
        check(&answer, &format!("{listed:?} by an owner"));
        answered.insert(answer.status);
    }
    let expected = [StatusCode::OK, StatusCode::CREATED, StatusCode::SEE_OTHER, StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED];
    assert!(expected.iter().all(|status| answered.contains(status)), "{answered:?}");
}

#[tokio::test]
async fn refusals_outside_the_routes_forbid_caching_and_sniffing() {
    let gateway = Gateway::open(Engine::Sqlite).await;
    gateway.apply(&tenant("acme", "owner-member")).await;
    let token = format!("Bearer {}", scim_token(&gateway, "acme-okta").await);
    let scim = "/connections/acme-okta/scim/v2";
    let long = vec![b' '; (1 << 20) + 1];
    let json = ("content-type", "application/json");
    let cases = [
        ("an unknown page", Method::GET, "/nowhere".to_owned(), vec![], vec![], StatusCode::NOT_FOUND),
        ("an unknown path of the API", Method::GET, "/api/v1/nowhere".to_owned(), vec![], vec![], StatusCode::NOT_FOUND),
        ("an unknown method", Method::DELETE, "/me".to_owned(), vec![], vec![], StatusCode::METHOD_NOT_ALLOWED),
        ("OPTIONS", Method::OPTIONS, "/api/v1/events".to_owned(), vec![], vec![], StatusCode::NO_CONTENT),
        ("SCIM without a token", Method::GET, format!("{scim}/Nowhere"), vec![], vec![], StatusCode::UNAUTHORIZED),
        ("an unknown SCIM endpoint", Method::GET, format!("{scim}/Nowhere"), vec![], vec![], StatusCode::NOT_FOUND),
        ("an unknown SCIM method", Method::PUT, format!("{scim}/Schemas"), vec![], vec![], StatusCode::METHOD_NOT_ALLOWED),
        ("a long SCIM body", Method::POST, format!("{scim}/Users"), vec![json], long, StatusCode::PAYLOAD_TOO_LARGE),
        ("a broken SCIM body", Method::POST, format!("{scim}/Users"), vec![json], b"{".to_vec(), StatusCode::BAD_REQUEST),
    ];
    for (what, method, path, mut headers, body, status) in cases {
        if status != StatusCode::UNAUTHORIZED {
            headers.push(("authorization", token.as_str()));
        }
        let answer = gateway.browser().send(method, &path, &headers, body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        check(&answer, what);
    }
}
