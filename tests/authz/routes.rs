//! Every route, called by everybody who should not get through, and by an owner. A new route changes the table, which is reviewed.

use std::fmt::Write as _;

use axum::http::{Method, StatusCode};
use rolegate::{
    domain::{connection::Audience, model::RoleModel},
    http::{
        self,
        routes::{Entry, Listed},
    },
};
use rstest::rstest;

use super::{
    people::{app_token, holder, holder_on, model, scim_token, tenant},
    things::{MARK, Things},
};
use crate::common::{
    dump::{Dump, assert_same, dump},
    engines::Engine,
    installation::{Answer, Browser, Gateway},
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
    ask(browser, listed, &path_of(listed), "{}", token).await.status
}

pub(super) async fn ask(browser: &mut Browser<'_>, listed: &Listed, path: &str, body: &str, token: Option<&str>) -> Answer {
    let csrf = browser.clone().csrf_token().await;
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json"), ("accept", "application/json"), ("x-csrf-token", csrf.as_str())];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let body = if listed.method == "GET" { Vec::new() } else { body.as_bytes().to_vec() };
    // Of a copy: what the route does to cookies (signing out) is none of the next one's business.
    browser.clone().send(listed.method.clone(), path, &headers, body).await
}

/// A tenant that can have something of everything.
pub(super) fn full(slug: &str) -> String {
    tenant(slug, "owner-member").replace("min_owners = 1", "min_owners = 1, custom_roles = true, self_service_org_registration = true")
}

/// What is asked with real ids of a tenant, and the same with ids that nobody has.
pub(super) struct Asked {
    pub path: String,
    pub body: String,
}

impl Asked {
    pub fn real(things: &Things, listed: &Listed) -> Self {
        // Names that are given are others than those that are there.
        Self { path: things.path(listed), body: things.body(listed).to_string().replace(MARK, "okapi") }
    }

    pub fn unreal(&self, things: &Things) -> Self {
        Self { path: unreal(things, &self.path), body: unreal(things, &self.body) }
    }
}

/// The same words about things that are nowhere.
pub(super) fn unreal(things: &Things, text: &str) -> String {
    let ids = things.ids().enumerate();
    let text = ids.fold(text.to_owned(), |text, (n, id)| text.replace(id, &format!("01900000-0000-7000-8000-{n:012}")));
    text.replace("acme", "nope").replace(MARK, "okapi")
}

/// An owner of another tenant, who knows every id: what they are answered is what is answered of things that are nowhere.
async fn as_a_stranger(stranger: &mut Browser<'_>, token: Option<&str>, listed: &Listed, things: &Things) -> StatusCode {
    let asked = Asked::real(things, listed);
    let answer = ask(stranger, listed, &asked.path, &asked.body, token).await;
    let (said, sent) = (String::from_utf8_lossy(&answer.body).into_owned(), format!("{} {}", asked.path, asked.body));
    let foreign = things.ids().chain([MARK]).filter(|id| said.contains(id) && !sent.contains(id)).collect::<Vec<_>>();
    assert!(foreign.is_empty(), "{listed:?} tells a stranger of {foreign:?}: {said}");
    let of_something = listed.path.contains("{slug}") || listed.path.contains("{id}");
    if of_something || answer.status.is_client_error() || listed.path == "/api/v1/check" {
        let asked = asked.unreal(things);
        let other = ask(stranger, listed, &asked.path, &asked.body, token).await;
        let same = (other.status, String::from_utf8_lossy(&other.body).into_owned());
        assert_eq!((answer.status, unreal(things, &said)), same, "{listed:?} tells a stranger what there is");
    }
    // What an account that nobody has may do is a question with an answer; the connection of a link is looked for before the account.
    let is_answered = ["/api/v1/accounts/{id}/explain", "/api/v1/accounts/{id}/identities"].contains(&listed.path.as_str());
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&answer.status);
    assert!(refused || is_answered || !of_something, "{listed:?} answers a stranger with {}", answer.status);
    answer.status
}

/// An owner whose session is one of self-service: of their own they may look after sessions and tokens, which do no more than it.
async fn from_self_service(owner: &mut Browser<'_>, listed: &Listed, things: &Things) -> StatusCode {
    let asked = Asked::real(things, listed);
    let answer = ask(owner, listed, &asked.path, &asked.body, None).await;
    if listed.path == "/api/v1/assignments/bulk" {
        assert_eq!(answer.json()["lines"][0]["code"], "self_service", "each line is judged for itself: {}", answer.text());
    } else if listed.entry == Entry::Change && listed.method != Method::DELETE && listed.path != "/api/v1/tokens" {
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{listed:?}: {}", answer.text());
    }
    answer.status
}

#[rstest]
#[tokio::test]
async fn every_route_asks_for_what_it_says(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let (acme, other) = (gateway.apply(&full("acme")).await.tenant, gateway.apply(&tenant("other", "owner-member")).await.tenant);
    let (acme, other) = (model(&gateway, acme).await, model(&gateway, other).await);
    let things = Things::plant(&gateway, &acme, &mut holder(&gateway, &acme, Some("Organization Owner")).await).await;
    let routes = http::routes();
    let mut table = format!(
        "{:60} {:10} {:>7} {:>9} {:>9} {:>8} {:>7} {:>8} {:>6} {:>9} {:>6} {:>6}\n",
        "route", "entry", "nobody", "stranger", "real ids", "no role", "member", "manager", "owner", "self-serv", "token", "app"
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
        let real = match listed.entry {
            // Whoever comes.
            Entry::Open => "-".to_owned(),
            Entry::Session | Entry::Read | Entry::Change | Entry::ScimToken => {
                let token = strange_token.filter(|_| listed.entry == Entry::ScimToken);
                let before = rows_of(&gateway, &acme).await;
                let status = as_a_stranger(&mut stranger, token, listed, &things).await;
                assert_same(&before, &rows_of(&gateway, &acme).await, &format!("{listed:?} by a stranger"));
                status.as_u16().to_string()
            }
        };
        let mut outside = holder_on(&gateway, &acme, Some("Organization Owner"), Audience::SelfService).await;
        let outside = from_self_service(&mut outside, listed, &things).await.as_u16();
        let name = format!("{} {}", listed.method, listed.path);
        let entry = format!("{:?}", listed.entry);
        let ([a, b, c, d, e, f, g], h) = (statuses.map(|status| status.as_u16()), application.as_u16());
        writeln!(table, "{name:60} {entry:10} {a:>7} {b:>9} {real:>9} {c:>8} {d:>7} {e:>8} {f:>6} {outside:>9} {g:>6} {h:>6}").unwrap();
    }
    insta::assert_snapshot!("every_route_and_who_gets_through", table);
}

/// Everything that the tenant has.
async fn rows_of(gateway: &Gateway, model: &RoleModel) -> Dump {
    let tenant = model.tenant.to_string();
    let mut rows = dump(gateway.address(), &[]).await;
    for rows in rows.values_mut() {
        rows.retain(|row| row.contains(&tenant));
    }
    rows
}

/// Whether the table above asked with ids that are there: the owner finds what they are of.
#[tokio::test]
async fn every_real_id_is_one() {
    let gateway = Gateway::open(Engine::Sqlite).await;
    let acme = gateway.apply(&full("acme")).await.tenant;
    let acme = model(&gateway, acme).await;
    let mut owner = holder(&gateway, &acme, Some("Organization Owner")).await;
    let things = Things::plant(&gateway, &acme, &mut owner).await;
    let mut colleague = holder(&gateway, &acme, Some("Organization Owner")).await;
    let routes = http::routes();
    let mut listed: Vec<_> = routes.table().iter().filter(|listed| listed.documented.is_some()).collect();
    listed.retain(|listed| listed.path.contains("{id}") || listed.path.contains("{domain}"));
    // What is looked at comes first, then the session that ends when its holder is blocked; what is below something goes before it.
    listed.sort_by_key(|listed| {
        let stage = match (&listed.method, listed.path.as_str()) {
            (&Method::GET, _) => 0,
            (_, "/api/v1/accounts/{id}/sessions/{session}") => 1,
            // With it go its tokens.
            (_, "/api/v1/sessions/{id}") => 4,
            (&Method::DELETE, _) => 3,
            _ => 2,
        };
        (stage, std::cmp::Reverse(listed.path.len()))
    });
    for listed in listed {
        // Whose the session is, which ends with it.
        let browser = if listed.path == "/api/v1/sessions/{id}" { &mut owner } else { &mut colleague };
        let answer = ask(browser, listed, &things.path(listed), &things.body(listed).to_string(), None).await;
        let refused = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
        assert!(!refused.contains(&answer.status) && !answer.status.is_server_error(), "{listed:?}: {}", answer.text());
    }
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
