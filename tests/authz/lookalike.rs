//! People whom a directory names like an owner.

use std::collections::{BTreeMap, BTreeSet};

use axum::{body::Body, http::Request};
use rolegate::{
    admin::listing,
    db,
    domain::{
        actor::Actor,
        assignment::{Holding, Reach},
        id::AccountId,
    },
};
use rstest::rstest;
use serde_json::{Value, json};

use super::people::{holder, model, scim_token, tenant};
use crate::common::{
    engines::Engine,
    installation::{Browser, Gateway},
};

async fn push(gateway: &Gateway, token: &str, user: &Value) {
    let request = Request::post("/connections/acme-okta/scim/v2/Users").header("authorization", format!("Bearer {token}"));
    let request = request.header("content-type", "application/scim+json").body(Body::from(user.to_string())).unwrap();
    let answer = gateway.send(request).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
}

/// The mark of each account that a directory names.
async fn marks(browser: &mut Browser<'_>) -> BTreeMap<String, bool> {
    let page = browser.get_json("/api/v1/accounts?limit=100").await.json();
    let rows = page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
    let named = rows.filter(|row| !row["account"]["connection"].is_null());
    named.map(|row| (row["account"]["user_name"].as_str().unwrap().to_owned(), row["looks_like_owner"].as_bool().unwrap())).collect()
}

#[rstest]
#[tokio::test]
async fn a_person_with_an_owners_name_or_address_is_marked_in_lists(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let acme = gateway.apply(&tenant("acme", "owner-member")).await.tenant;
    gateway.apply(&tenant("other", "owner-member")).await;
    let token = scim_token(&gateway, "acme-okta").await;
    for user in [
        json!({ "userName": "OWNER@acme.example" }),
        json!({ "userName": "helpdesk", "emails": [{ "value": "Owner@Acme.example", "primary": true }] }),
        json!({ "userName": "owner@other.example" }),
        json!({ "userName": "ann" }),
        json!({ "userName": "organization member" }),
    ] {
        push(&gateway, &token, &user).await;
    }
    let model = model(&gateway, acme).await;
    // A local member, whose name a directory has too: no owner.
    holder(&gateway, &model, Some("Organization Member")).await;
    let mut owner = holder(&gateway, &model, Some("Organization Owner")).await;
    let expected =
        [("OWNER@acme.example", true), ("ann", false), ("helpdesk", true), ("organization member", false), ("owner@other.example", false)];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(name, mark)| (name.to_owned(), mark)).collect();
    assert_eq!(marks(&mut owner).await, expected);

    // The same on the command line, and in what needs attention.
    let rows = listing::list_accounts(&gateway.app.db, acme, None).await.unwrap();
    let marked: BTreeSet<_> = rows.iter().filter(|row| row.looks_like_owner).map(|row| row.account.user_name.as_str()).collect();
    assert_eq!(marked, BTreeSet::from(["OWNER@acme.example", "helpdesk"]));
    let found = listing::find_accounts(&gateway.app.db, acme, "helpdesk").await.unwrap();
    assert!(found[0].looks_like_owner);
    let id = AccountId::parse(&found[0].account.id).unwrap();
    let mut occasion = gateway.app.occasion(Actor::System, "test");
    let mut tx = gateway.app.db.begin().await.unwrap();
    db::attention::raise(&mut tx, acme, &mut occasion, "account.deleted_with_grants", None, Some(id), &json!({})).await.unwrap();
    tx.commit().await.unwrap();
    let items = owner.get_json("/api/v1/attention").await.json();
    assert_eq!(items["items"][0]["looks_like_owner"], true, "{items}");

    // An owner is one, whatever they are called.
    let role = model.role_named("Organization Owner").unwrap().id;
    let holding = Holding { role, organization: model.organizations.root(), resource_scope: None, reach: Reach::Subtree };
    let mut tx = gateway.app.db.begin().await.unwrap();
    db::assignment::insert_assignments(&mut tx, acme, &[(occasion.ids.make(), id, holding)], occasion.now).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!listing::find_accounts(&gateway.app.db, acme, "helpdesk").await.unwrap()[0].looks_like_owner);
}
