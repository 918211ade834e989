//! Rights that are revoked while a request is under way: the request is refused, and nothing of it is written.
//!
//! The revocation is made in a transaction that is still open when the request reads the rights of its caller. The request then waits for
//! that transaction (SQLite: for the writer, PostgreSQL: for the locked rows), which commits: the revocation is older than the write.

use std::{collections::BTreeSet, time::Duration};

use axum::http::{Method, StatusCode};
use rolegate::{
    db::{self, Tx},
    domain::{
        id::{AccountId, ApiTokenId, Id},
        model::RoleModel,
    },
    http::{
        self,
        routes::{Entry, Listed},
    },
};
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    people::{holder, model, tenant},
    things::{MARK, Things},
};
use crate::common::{
    engines::Engine,
    installation::{Answer, Browser, Gateway},
    statements::{counted, work_of},
};

/// The statement that reads the assignments of the caller: after it, the rights of the request are known.
const RIGHTS: &str = "select a.id, a.account, a.role,";
/// These take no role: they are about the caller's own sessions and tokens.
const OWN: &[&str] = &["POST /api/v1/tokens", "DELETE /api/v1/tokens/{id}", "DELETE /api/v1/sessions/{id}"];
/// These ask the network before they write.
const ELSEWHERE: &[&str] =
    &["POST /api/v1/organizations/{slug}/domains/{domain}/verify", "POST /api/v1/connections/{slug}/metadata/refresh"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Revoked {
    Assignments,
    Session,
    /// The API token with which the request is made.
    Token,
    /// The account is blocked.
    Account,
    /// The role is no owner's any more.
    Role,
    /// The account is at home elsewhere.
    Home,
}

struct Caller<'g> {
    browser: Browser<'g>,
    account: AccountId,
    csrf: String,
}

async fn owner<'g>(gateway: &'g Gateway, model: &RoleModel) -> Caller<'g> {
    let mut browser = holder(gateway, model, Some("Organization Owner")).await;
    let me = browser.get_json("/me").await.json();
    let account = AccountId::parse(me["account"]["id"].as_str().unwrap()).unwrap();
    let csrf = me["csrf_token"].as_str().unwrap().to_owned();
    Caller { browser, account, csrf }
}

/// Revokes in a transaction that is left open.
async fn revoke(gateway: &Gateway, model: &RoleModel, account: AccountId, what: Revoked, token: Option<ApiTokenId>) -> Tx {
    let (tenant, now) = (model.tenant, gateway.app.now());
    let mut tx = gateway.app.db.begin().await.unwrap();
    if what == Revoked::Role {
        db::tenant::raise_model_version(&mut tx, tenant).await.unwrap();
        let sql = "update role set owner_class = false where tenant = $1 and owner_class";
        assert!(tx.query(sql).bind(tenant.to_string()).run().await.unwrap() > 0);
        return tx;
    }
    let mut row = db::account::lock_accounts(&mut tx, tenant, &[account]).await.unwrap().remove(&account).unwrap();
    match what {
        Revoked::Assignments => {
            for sql in [
                "delete from assignment_origin where tenant = $1 and account = $2",
                "delete from assignment where tenant = $1 and account = $2",
            ] {
                tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).run().await.unwrap();
            }
            db::account::raise_held_versions(&mut tx, tenant, &BTreeSet::from([account])).await.unwrap();
        }
        Revoked::Session => assert_eq!(db::session::end_sessions_of_account(&mut tx, tenant, account).await.unwrap(), 1),
        Revoked::Token => assert!(db::api_token::revoke_api_token(&mut tx, tenant, token.unwrap(), now).await.unwrap()),
        Revoked::Account => {
            row.account.status = rolegate::domain::account::SignInStatus::Blocked;
            db::account::update_account(&mut tx, tenant, &row, now).await.unwrap();
        }
        Revoked::Home => {
            row.account.home_organization = None;
            db::account::update_account(&mut tx, tenant, &row, now).await.unwrap();
        }
        Revoked::Role => unreachable!("it was done above"),
    }
    tx.settle().await.unwrap();
    tx
}

/// Waits until the request has read the rights of its caller.
async fn rights_were_read(request: &str) {
    for _ in 0..20_000 {
        if work_of(request).statements.iter().any(|statement| statement == RIGHTS) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{request} has not read any rights: {:?}", work_of(request).statements);
}

/// The answer to a request whose rights are revoked between their reading and its write.
async fn race(caller: &Caller<'_>, revoked: Tx, request: &str, (method, path, body): (Method, &str, &str), bearer: Option<&str>) -> Answer {
    let authorization = bearer.map(|bearer| format!("Bearer {bearer}"));
    let mut headers = vec![("content-type", "application/json"), ("x-request-id", request), ("x-csrf-token", caller.csrf.as_str())];
    headers.extend(authorization.as_deref().map(|bearer| ("authorization", bearer)));
    let mut browser = caller.browser.clone();
    let sent = browser.send(method, path, &headers, body.as_bytes().to_vec());
    let revocation = async {
        rights_were_read(request).await;
        revoked.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(sent, revocation);
    answer
}

/// Every change is written to one of these.
async fn written(gateway: &Gateway) -> (i64, i64) {
    (gateway.count("select count(*) from audit").await, gateway.count("select count(*) from outbox").await)
}

fn full() -> String {
    tenant("acme", "owner-member").replace("min_owners = 1", "min_owners = 1, custom_roles = true, self_service_org_registration = true")
}

fn changes(listed: &Listed) -> bool {
    let name = format!("{} {}", listed.method, listed.path);
    listed.entry == Entry::Change && listed.documented.is_some() && !ELSEWHERE.contains(&name.as_str())
}

/// All families of use cases: assignments, roles, certificates, keys, metadata, tokens, organizations, members, groups, accounts, sessions.
#[rstest]
#[tokio::test]
async fn no_route_writes_by_rights_that_were_revoked_meanwhile(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(Revoked::Assignments, Revoked::Session)] what: Revoked,
) {
    let gateway = Gateway::open(engine).await;
    let acme = gateway.apply(&full()).await.tenant;
    let acme = model(&gateway, acme).await;
    let things = Things::plant(&gateway, &acme, &mut owner(&gateway, &acme).await.browser).await;
    let routes = http::routes();
    let (mut raced, mut wrong) = (0, Vec::new());
    for listed in routes.table().iter().filter(|listed| changes(listed)) {
        let name = format!("{} {}", listed.method, listed.path);
        if what == Revoked::Assignments && OWN.contains(&name.as_str()) {
            continue;
        }
        let caller = owner(&gateway, &acme).await;
        let before = written(&gateway).await;
        let revoked = revoke(&gateway, &acme, caller.account, what, None).await;
        let request = counted(&format!("{engine:?}-{what:?}-{raced}"));
        let body = things.body(listed).to_string().replace(MARK, "okapi");
        let answer = race(&caller, revoked, &request, (listed.method.clone(), &things.path(listed), &body), None).await;
        if listed.path == "/api/v1/assignments/bulk" && what == Revoked::Assignments {
            assert_eq!(answer.json()["lines"][0]["code"], "not_permitted", "{}", answer.text());
        } else {
            let refused = if what == Revoked::Session { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
            if answer.status != refused {
                wrong.push(format!("{name}: {}", answer.text()));
            }
        }
        assert_eq!(written(&gateway).await, before, "{name} has written something");
        raced += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(raced > 50, "{raced} routes were raced");
}

/// Each way to lose a right, by the grant of an owner's role.
#[rstest]
#[tokio::test]
async fn no_revocation_is_overtaken(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(Revoked::Token, Revoked::Account, Revoked::Role, Revoked::Home)] what: Revoked,
) {
    let gateway = Gateway::open(engine).await;
    let acme = gateway.apply(&full()).await.tenant;
    let acme = model(&gateway, acme).await;
    let target = owner(&gateway, &acme).await.account;
    let mut caller = owner(&gateway, &acme).await;
    let made = caller.browser.post_json("/api/v1/tokens", &json!({ "name": "script" })).await.json();
    let (bearer, token) = (made["token"].as_str().unwrap(), Id::parse(made["id"].as_str().unwrap()).unwrap());
    let member = acme.role_named("Organization Member").unwrap().id;
    let body = json!({ "account": target, "role": member, "organization": acme.organizations.root() }).to_string();
    let before = written(&gateway).await;
    let revoked = revoke(&gateway, &acme, caller.account, what, Some(token)).await;
    let request = counted(&format!("{engine:?}-overtaken-{what:?}"));
    let answer = race(&caller, revoked, &request, (Method::POST, "/api/v1/assignments", &body), Some(bearer)).await;
    let tries = work_of(&request).statements.iter().filter(|statement| *statement == RIGHTS).count();
    match what {
        Revoked::Token | Revoked::Account => {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
            assert_eq!(written(&gateway).await, before);
        }
        Revoked::Role => {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
            assert_eq!(written(&gateway).await, before);
        }
        // An owner stays one: rights are read twice, and the assignments of the other account once.
        _ => assert_eq!((answer.status, tries), (StatusCode::CREATED, 3), "{}", answer.text()),
    }
}

/// Two owners who revoke each other: one of them was first, and the other is no owner any more.
#[rstest]
#[tokio::test]
async fn of_two_who_revoke_each_other_one_is_refused(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let acme = gateway.apply(&full()).await.tenant;
    let acme = model(&gateway, acme).await;
    for _ in 0..10 {
        let (mut one, mut other) = (owner(&gateway, &acme).await, owner(&gateway, &acme).await);
        let of = async |holder: AccountId| {
            let mut asking = owner(&gateway, &acme).await.browser;
            let held = asking.get_json(&format!("/api/v1/accounts/{holder}/assignments")).await.json();
            format!("/api/v1/assignments/{}", held["items"][0]["id"].as_str().unwrap())
        };
        let (of_one, of_other) = (of(one.account).await, of(other.account).await);
        let (csrf_one, csrf_other) = (one.csrf.clone(), other.csrf.clone());
        let (first, second) = ([("x-csrf-token", csrf_one.as_str())], [("x-csrf-token", csrf_other.as_str())]);
        let (a, b) = tokio::join!(
            one.browser.send(Method::DELETE, &of_other, &first, Vec::new()),
            other.browser.send(Method::DELETE, &of_one, &second, Vec::new())
        );
        let statuses = BTreeSet::from([a.status, b.status]);
        assert_eq!(statuses, BTreeSet::from([StatusCode::NO_CONTENT, StatusCode::FORBIDDEN]), "{} {}", a.text(), b.text());
    }
}

/// A SCIM client's token is confirmed in the same way.
#[rstest]
#[tokio::test]
async fn a_scim_request_whose_token_is_revoked_meanwhile_writes_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    gateway.apply(&full()).await;
    let app = &gateway.app;
    let bearer = super::people::scim_token(&gateway, "acme-okta").await;
    let row = db::connection::find_connection_by_slug(&app.db, "acme-okta").await.unwrap().unwrap().connection;
    let token = db::token::list_tokens(&app.db, row.tenant, row.id).await.unwrap()[0].id;
    let before = written(&gateway).await;
    let mut tx = app.db.begin().await.unwrap();
    assert!(db::token::revoke_token(&mut tx, row.tenant, row.id, token, app.now()).await.unwrap());
    tx.settle().await.unwrap();
    let request = counted(&format!("{engine:?}-scim-token"));
    let body: Value = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada" });
    let authorization = format!("Bearer {bearer}");
    let headers =
        [("content-type", "application/scim+json"), ("x-request-id", request.as_str()), ("authorization", authorization.as_str())];
    let mut client = gateway.browser();
    let sent = client.send(Method::POST, "/connections/acme-okta/scim/v2/Users", &headers, body.to_string().into_bytes());
    let revocation = async {
        // The bearer is looked up by the first statement.
        for _ in 0..20_000 {
            if !work_of(&request).statements.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tx.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(sent, revocation);
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
    assert_eq!(written(&gateway).await, before);
}
