//! Organizations below `/api/v1/organizations`, and the permission check, which is asked about them.

mod check;
mod domains;
mod moves;
mod places;
mod settings;
mod shown;
mod tree;

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, StatusCode},
};
use rolegate::{
    db,
    domain::{
        assignment::{Holding, Origin, Reach},
        id::{AccountId, AssignmentId, OrganizationId},
        model::RoleModel,
    },
};
use serde_json::Value;

use crate::{
    authz::people::{holder, model, tenant},
    common::{
        engines::Engine,
        installation::{Answer, Browser, Gateway},
    },
};

/// `acme` with `acme-eu`, `acme-eu-west` below it, and `acme-us`.
pub fn file(preset: &str) -> String {
    let organization =
        |slug: &str, parent: &str| format!("[[organizations]]\nslug = \"{slug}\"\nname = \"{slug}\"\nparent = \"{parent}\"\n");
    let more = [organization("acme-eu", "acme"), organization("acme-eu-west", "acme-eu"), organization("acme-us", "acme")].concat();
    format!("{}{more}", tenant("acme", preset))
}

pub async fn house(engine: Engine, preset: &str) -> Gateway {
    let gateway = Gateway::open(engine).await;
    gateway.apply(&file(preset)).await;
    gateway
}

pub async fn now(gateway: &Gateway) -> RoleModel {
    let row = db::tenant::find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    model(gateway, row.id).await
}

/// Somebody with a session and this role at the root; with none, when it is `None`.
pub async fn somebody<'g>(gateway: &'g Gateway, role: Option<&str>) -> Browser<'g> {
    holder(gateway, &now(gateway).await, role).await
}

pub async fn account_of(browser: &mut Browser<'_>) -> AccountId {
    AccountId::parse(browser.get_json("/me").await.json()["account"]["id"].as_str().unwrap()).unwrap()
}

pub fn at(model: &RoleModel, slug: &str) -> OrganizationId {
    model.organizations.find_slug(slug).unwrap_or_else(|| panic!("there is no {slug}")).id
}

/// As if a person had granted it.
pub async fn give(gateway: &Gateway, account: AccountId, role: &str, slug: &str, reach: Reach) -> AssignmentId {
    let model = now(gateway).await;
    let role = model.role_named(role).unwrap_or_else(|| panic!("no role is named {role}")).id;
    let holding = Holding { role, organization: at(&model, slug), resource_scope: None, reach };
    let id: AssignmentId = gateway.app.occasion(rolegate::domain::actor::Actor::HostOperator, "test").ids.make();
    let mut tx = gateway.app.db.begin().await.unwrap();
    let time = gateway.app.now();
    db::assignment::insert_assignments(&mut tx, model.tenant, &[(id, account, holding)], time).await.unwrap();
    let origin = db::assignment::NewOrigin { assignment: id, account, origin: Origin::Manual { by: None }, may_delegate: false };
    db::assignment::insert_origins(&mut tx, model.tenant, &[origin], time).await.unwrap();
    db::account::raise_held_versions(&mut tx, model.tenant, &[account].into()).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// Somebody who holds the role at one organization and all below it, and nothing else.
pub async fn somebody_at<'g>(gateway: &'g Gateway, role: &str, slug: &str) -> Browser<'g> {
    let mut browser = somebody(gateway, None).await;
    let account = account_of(&mut browser).await;
    give(gateway, account, role, slug, Reach::Subtree).await;
    browser
}

/// A change, or whatever else the method is, with further headers.
pub async fn call(browser: &mut Browser<'_>, method: Method, path: &str, body: Option<&Value>, more: &[(&str, &str)]) -> Answer {
    let csrf = browser.csrf_token().await;
    let mut headers = vec![("content-type", "application/json"), ("accept", "application/json"), ("x-csrf-token", csrf.as_str())];
    headers.extend(more);
    browser.send(method, path, &headers, body.map(|body| body.to_string().into_bytes()).unwrap_or_default()).await
}

#[track_caller]
pub fn refused(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
}

/// A request that comes from this address, with the session of the browser and its token.
pub async fn from(browser: &Browser<'_>, csrf: &str, address: &str, method: Method, path: &str, body: &str) -> Answer {
    let cookies: Vec<_> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("cookie", cookies.join("; "))
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .header("x-csrf-token", csrf)
        .extension(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 40_000)));
    browser.gateway.send(request.body(Body::from(body.to_owned())).unwrap()).await
}
