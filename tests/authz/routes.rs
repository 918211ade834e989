//! Every route, called by everybody who should not get through, and by an owner. A new route changes the table, which is reviewed.

use std::fmt::Write as _;

use axum::http::StatusCode;
use rolegate::http::{
    self,
    routes::{Entry, Listed},
};
use rstest::rstest;

use super::people::{app_token, holder, model, scim_token, tenant};
use crate::common::{
    engines::Engine,
    installation::{Browser, Gateway},
};

/// A path of the table with its parameters filled in.
fn path_of(listed: &Listed) -> String {
    let slug = if listed.path.starts_with("/api/v1/organizations/") { "acme" } else { "acme-okta" };
    listed
        .path
        .replace("{slug}", slug)
        .replace("{connection}", "acme-okta")
        .replace("{domain}", "acme.example")
        .replace("{id}", "01900000-0000-7000-8000-000000000001")
        .replace("{secret}", "01900000-0000-7000-8000-000000000002")
        .replace("{session}", "01900000-0000-7000-8000-000000000002")
}

async fn call(browser: &mut Browser<'_>, listed: &Listed, token: Option<&str>) -> StatusCode {
    let csrf = browser.clone().csrf_token().await;
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json"), ("accept", "application/json"), ("x-csrf-token", csrf.as_str())];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let body = if listed.method == "GET" { Vec::new() } else { b"{}".to_vec() };
    // Of a copy: what the route does to cookies (signing out) is none of the next one's business.
    browser.clone().send(listed.method.clone(), &path_of(listed), &headers, body).await.status
}

#[rstest]
#[tokio::test]
async fn every_route_asks_for_what_it_says(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let (acme, other) =
        (gateway.apply(&tenant("acme", "owner-member")).await.tenant, gateway.apply(&tenant("other", "owner-member")).await.tenant);
    let (acme, other) = (model(&gateway, acme).await, model(&gateway, other).await);
    let routes = http::routes();
    let mut table = format!(
        "{:60} {:10} {:>7} {:>9} {:>8} {:>7} {:>8} {:>6} {:>6} {:>6}\n",
        "route", "entry", "nobody", "stranger", "no role", "member", "manager", "owner", "token", "app"
    );
    let token = scim_token(&gateway, "acme-okta").await;
    let strange_token = scim_token(&gateway, "other-okta").await;
    let strange_token = Some(strange_token.as_str());
    let application = app_token(&gateway, &acme).await;
    for listed in routes.table() {
        let mut nobody = gateway.browser();
        let mut stranger = holder(&gateway, &other, Some("Organization Owner")).await;
        let mut without = holder(&gateway, &acme, None).await;
        let mut member = holder(&gateway, &acme, Some("Organization Member")).await;
        let mut manager = holder(&gateway, &acme, Some("Organization Context Manager")).await;
        let mut owner = holder(&gateway, &acme, Some("Organization Owner")).await;
        let statuses = [
            call(&mut nobody, listed, None).await,
            call(&mut stranger, listed, strange_token.filter(|_| listed.entry == Entry::ScimToken)).await,
            call(&mut without, listed, None).await,
            call(&mut member, listed, None).await,
            call(&mut manager, listed, None).await,
            call(&mut owner, listed, None).await,
            call(&mut nobody, listed, Some(&token)).await,
        ];
        check(listed, &statuses);
        let application = call(&mut nobody, listed, Some(&application)).await;
        check_application(listed, application);
        let name = format!("{} {}", listed.method, listed.path);
        let entry = format!("{:?}", listed.entry);
        let ([a, b, c, d, e, f, g], h) = (statuses.map(|status| status.as_u16()), application.as_u16());
        writeln!(table, "{name:60} {entry:10} {a:>7} {b:>9} {c:>8} {d:>7} {e:>8} {f:>6} {g:>6} {h:>6}").unwrap();
    }
    insta::assert_snapshot!("every_route_and_who_gets_through", table);
}

/// An application looks where it may, and changes nothing anywhere.
fn check_application(listed: &Listed, status: StatusCode) {
    match listed.entry {
        Entry::Open => {}
        Entry::Session | Entry::ScimToken => assert_eq!(status, StatusCode::UNAUTHORIZED, "{listed:?}"),
        Entry::Read => assert!(status != StatusCode::UNAUTHORIZED && !status.is_server_error(), "{listed:?} {status}"),
        Entry::Change => assert_eq!(status, StatusCode::FORBIDDEN, "{listed:?}"),
    }
}

/// What holds for every route of a kind, whatever it is for.
fn check(listed: &Listed, [nobody, stranger, without, member, manager, owner, token]: &[StatusCode; 7]) {
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
    match listed.entry {
        Entry::Open => {}
        Entry::Session | Entry::Read | Entry::Change => {
            assert_eq!((*nobody, *token), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED), "{listed:?}");
            if listed.path.contains("{slug}") {
                assert_eq!(*stranger, StatusCode::NOT_FOUND, "nobody is told what another tenant has: {listed:?}");
                assert!(refused.contains(without), "{listed:?}");
                // What members see of organizations, the preset says.
                if listed.path.contains("/connections/{slug}") {
                    assert!(refused.contains(member) && refused.contains(manager), "{listed:?}");
                }
                assert!(*owner != StatusCode::FORBIDDEN && *owner != StatusCode::UNAUTHORIZED, "{listed:?}");
            }
        }
        Entry::ScimToken => {
            for status in [nobody, stranger, without, member, manager, owner] {
                assert_eq!(*status, StatusCode::UNAUTHORIZED, "{listed:?}");
            }
            assert_ne!(*token, StatusCode::UNAUTHORIZED, "{listed:?}");
        }
    }
}

#[test]
fn routes_are_registered_nowhere_but_in_the_table() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open = vec![root.clone()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.strip_prefix(&root).unwrap() != "http/routes.rs" && !path.starts_with(root.join("cli/demo")) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for call in [".route(\"", ".route_service(", ".nest_service("] {
                assert!(
                    !text.contains(call),
                    "{} calls {call}…: add the route to `http::routes`, so that the tests walk it",
                    path.display()
                );
            }
        }
    }
}
