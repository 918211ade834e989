//! An account with two identities: what one identity provider gave is dormant while it blocks the person, although the other one lets
//! them in.

use std::collections::{BTreeMap, BTreeSet};

use rolegate::{
    db::{self, app_token, check::read_facts},
    domain::{
        account::SignInStatus,
        assignment::live,
        id::{AccountId, OrganizationId},
    },
    policy::check::{Decision, Holder, Question, decide},
    provision::ProvisionError,
};
use rstest::rstest;
use serde_json::json;

use super::story::{ACME, ENTRA, EU, OKTA, Story, grants, id, person};
use crate::common::engines::Engine;

const OWNER: &str = "Organization Owner";

/// Ada is known to both connections; Okta gives her the role Editors by a group.
async fn ada(story: &Story) -> AccountId {
    let editors = grants(1, r#"groups.value eq "g1""#, story.role("Editors"), EU);
    let owners = grants(2, r#"groups.value eq "g2""#, story.role(OWNER), ACME);
    story.publish(OKTA, json!({ "rules": [editors, owners] })).await;
    let ada = story.create(OKTA, person("ada")).await.unwrap();
    story.create_group(OKTA, "g1", &[ada]).await.unwrap();
    story.link(ENTRA, ada, "ada@entra").await;
    ada
}

/// The answer of the permission check, by its code.
async fn check(story: &Story, account: AccountId, pair: (&str, &str), at: u128) -> &'static str {
    let facts = read_facts(&story.db, story.tenant, &BTreeSet::from([account]), &BTreeMap::new()).await.unwrap().unwrap();
    let model = db::model::load_model(&story.db, story.tenant).await.unwrap();
    let holder = Holder { status: facts.accounts[&account].status, assignments: &facts.read[&account].assignments };
    let question = Question { entity: pair.0, action: pair.1, organization: id(at), resource_scope: None };
    match decide(&model, Some(holder), &question) {
        Decision::Allowed(_) => "granted",
        Decision::Denied { why, .. } => why.code(),
    }
}

async fn usable(story: &Story, account: AccountId) -> Vec<OrganizationId> {
    let held = live(db::assignment::list_held(&story.db, story.tenant, account).await.unwrap());
    held.iter().map(|held| held.holding.organization).collect()
}

/// A pair that the role Editors names and that is not reserved for owners.
async fn pair(story: &Story) -> (String, String) {
    let model = db::model::load_model(&story.db, story.tenant).await.unwrap();
    let role = model.role_named("Editors").unwrap();
    let permission = role.permissions.iter().next().unwrap();
    let reserved: BTreeSet<_> = model
        .settings
        .owner_only
        .iter()
        .flat_map(|listed| model.catalogue.resolve(listed))
        .map(|(entity, action)| (&entity.key, action))
        .collect();
    let mut pairs = model
        .catalogue
        .resolve(permission)
        .filter(|(entity, action)| entity.scope_kind == "organization" && !reserved.contains(&(&entity.key, *action)));
    let (entity, action) = pairs.next().unwrap();
    (entity.key.clone(), action.to_owned())
}

async fn told(story: &Story, action: &'static str) -> i64 {
    let row: Option<(i64,)> = story
        .db
        .query("select count(*) from outbox where tenant = $1 and kind = $2")
        .bind(story.tenant.to_string())
        .bind(action)
        .optional()
        .await
        .unwrap();
    row.unwrap().0
}

#[rstest]
#[tokio::test]
async fn roles_of_a_blocked_identity_give_nothing_while_another_lets_in(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = ada(&story).await;
    let (entity, action) = pair(&story).await;
    let pair = (entity.as_str(), action.as_str());
    assert_eq!((check(&story, ada, pair, EU).await, usable(&story, ada).await), ("granted", vec![id(EU)]));

    story.patch(OKTA, ada, json!({ "active": false })).await.unwrap();
    assert_eq!(story.status(ada).await, SignInStatus::Active, "Entra lets her in");
    assert_eq!(story.held(ada).await, ["editors at acme-eu: scim_rule okta 1"], "the assignment stays");
    assert_eq!((check(&story, ada, pair, EU).await, usable(&story, ada).await), ("dormant", vec![]));
    assert_eq!((told(&story, "identity.roles_dormant").await, told(&story, "identity.roles_restored").await), (1, 0));

    story.patch(OKTA, ada, json!({ "active": true })).await.unwrap();
    assert_eq!((check(&story, ada, pair, EU).await, usable(&story, ada).await), ("granted", vec![id(EU)]));
    assert_eq!((told(&story, "identity.roles_dormant").await, told(&story, "identity.roles_restored").await), (1, 1));
}

#[rstest]
#[tokio::test]
async fn an_assignment_lives_by_any_live_origin(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = ada(&story).await;
    let (entity, action) = pair(&story).await;
    let pair = (entity.as_str(), action.as_str());
    story.grant(ada, "Editors", "acme-eu").await.unwrap();
    story.patch(OKTA, ada, json!({ "active": false })).await.unwrap();
    assert_eq!(check(&story, ada, pair, EU).await, "granted", "a person gave it too");
    let held = live(db::assignment::list_held(&story.db, story.tenant, ada).await.unwrap());
    assert_eq!(held[0].origins.len(), 1, "and that origin alone counts");
    story.revoke(ada, "Editors", "acme-eu").await.unwrap();
    assert_eq!(check(&story, ada, pair, EU).await, "dormant");
}

/// A role that is dormant makes nobody a usable owner.
#[rstest]
#[tokio::test]
async fn an_owner_whose_role_is_dormant_does_not_hold_the_floor(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = ada(&story).await;
    let (bob, cyd) = (story.local_account("bob").await, story.local_account("cyd").await);
    for owner in [bob, cyd] {
        story.grant(owner, OWNER, "acme").await.unwrap();
    }
    story.create_group(OKTA, "g2", &[ada]).await.unwrap();
    let mut tx = story.db.begin().await.unwrap();
    let usable = |owners: Vec<db::account::OwnerRow>| owners.iter().filter(|owner| owner.usable).count();
    assert_eq!(usable(db::account::list_owners(&mut tx, story.tenant, id(ACME)).await.unwrap()), 3);
    drop(tx);
    story.patch(OKTA, ada, json!({ "active": false })).await.unwrap();
    let mut tx = story.db.begin().await.unwrap();
    assert_eq!(usable(db::account::list_owners(&mut tx, story.tenant, id(ACME)).await.unwrap()), 2);
    drop(tx);
    let refused = story.revoke(bob, OWNER, "acme").await;
    assert!(matches!(refused, Err(ProvisionError::OwnerFloor(_))), "{refused:?}");
    story.patch(OKTA, ada, json!({ "active": true })).await.unwrap();
    assert!(story.revoke(bob, OWNER, "acme").await.unwrap());
    // Then the floor is met by Ada and Cyd, until Okta blocks her again.
    story.patch(OKTA, ada, json!({ "active": false })).await.unwrap();
    assert_eq!(story.attention().await, ["owner.below_floor"]);
}

/// An application token needs a maker who could make it again; a dormant role is not enough.
#[rstest]
#[tokio::test]
async fn a_dormant_role_backs_no_application_token(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let story = Story::begin(engine).await;
    let ada = ada(&story).await;
    let mut tx = story.db.begin().await.unwrap();
    let occasion = story.occasion(rolegate::domain::actor::Actor::HostOperator);
    let row = app_token::AppTokenRow {
        id: id(900),
        tenant: story.tenant,
        organization: id(EU),
        name: "dashboard".to_owned(),
        created_by: Some(ada),
        owner: Some(ada),
        created_at: occasion.now,
        expires_at: occasion.now.plus_secs(3600),
        revoked_at: None,
        last_used_at: None,
    };
    app_token::insert_app_token(&mut tx, &row, "hash").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(app_token::list_held_by_owners(&story.db, story.tenant).await.unwrap().len(), 1);
    story.patch(OKTA, ada, json!({ "active": false })).await.unwrap();
    assert_eq!(app_token::list_held_by_owners(&story.db, story.tenant).await.unwrap().len(), 0);
}
