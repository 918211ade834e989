//! What the gateway does by itself while time goes by.

use std::collections::BTreeSet;

use rolegate::{
    db::{evaluation, mapping::connections_due},
    domain::id::{AccountId, ConnectionId, kind},
    jobs,
    policy::mapping::Mapping,
    provision::{published, remap::CHUNK},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::common::{
    NOW,
    engines::Engine,
    gateway::{Gateway, id},
};

const DAY_SECS: i64 = 86_400;

/// The connection of [`Gateway::post`].
fn okta() -> ConnectionId {
    id(1)
}

async fn publish(gateway: &Gateway, version: i64, rules: Value) {
    let mapping: Mapping = serde_json::from_value(json!({ "version": version, "rules": rules })).unwrap();
    let mut tx = gateway.db().begin().await.unwrap();
    assert!(published::publish(&mut tx, id(1), okta(), &mapping, None, gateway.app.now()).await.unwrap());
    tx.commit().await.unwrap();
}

async fn count(gateway: &Gateway, sql: &'static str) -> i64 {
    gateway.db().query(sql).optional::<(i64,)>().await.unwrap().unwrap().0
}

/// How many assignments there are after the jobs had their turn, so many seconds later.
async fn held_after(gateway: &Gateway, secs: i64) -> i64 {
    gateway.app.clock.advance_secs(secs);
    jobs::round(&gateway.app).await.unwrap();
    count(gateway, "select count(*) from assignment").await
}

#[rstest]
#[tokio::test]
async fn a_rule_begins_and_ends_at_its_times_without_anybody_asking(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let member: String =
        gateway.db().query("select id from role where name_key = 'organization member'").optional::<(String,)>().await.unwrap().unwrap().0;
    let grant = json!({ "grant": { "role": member, "organization": { "fixed": id::<kind::Organization>(1) }, "reach": "subtree" } });
    let rule = json!({
        "id": id::<kind::Rule>(1), "name": "for a while", "when": "active eq true", "effects": [grant],
        "valid_from": NOW.plus_secs(100), "valid_until": NOW.plus_secs(200),
    });
    publish(&gateway, 1, json!([rule])).await;
    // More than one transaction evaluates.
    let people = CHUNK + 5;
    for n in 0..people {
        gateway.post("/Users", json!({ "userName": format!("user{n}") })).await.expect(201);
    }
    assert_eq!(held_after(&gateway, 0).await, 0);
    assert_eq!(held_after(&gateway, 60).await, 0);
    assert_eq!(held_after(&gateway, 60).await, people);
    assert_eq!(held_after(&gateway, 60).await, people);
    assert_eq!(held_after(&gateway, 60).await, 0);
    assert_eq!(connections_due(gateway.db(), gateway.app.now().plus_secs(10 * DAY_SECS)).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn a_publication_sets_when_its_rules_begin_and_end_and_nothing_without_such_times(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let gateway = Gateway::begin(engine).await;
    let later = gateway.app.now().plus_secs(10 * DAY_SECS);
    publish(&gateway, 1, json!([])).await;
    assert_eq!(connections_due(gateway.db(), later).await.unwrap(), []);
    let rule =
        json!({ "id": id::<kind::Rule>(1), "name": "ends", "when": "active eq true", "effects": [], "valid_until": NOW.plus_secs(200) });
    publish(&gateway, 2, json!([rule])).await;
    assert_eq!(connections_due(gateway.db(), NOW.plus_secs(199)).await.unwrap(), []);
    assert_eq!(connections_due(gateway.db(), NOW.plus_secs(200)).await.unwrap(), [(id(1), okta())]);
}

#[rstest]
#[tokio::test]
async fn nobody_is_looked_for_after_a_commit_that_left_nobody_waiting(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    publish(&gateway, 1, json!([])).await;
    let ada = gateway.post("/Users", json!({ "userName": "ada" })).await.expect(201).id();
    let bob = gateway.post("/Users", json!({ "userName": "bob" })).await.expect(201).id();
    assert_eq!(evaluation::connections_marked(gateway.db()).await.unwrap(), BTreeSet::new());

    let ids = [ada, bob].map(|id| AccountId::parse(&id).unwrap());
    let mut tx = gateway.db().begin().await.unwrap();
    evaluation::mark_stale(&mut tx, id(1), okta(), &ids).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(evaluation::connections_marked(gateway.db()).await.unwrap(), BTreeSet::from([(id(1), okta())]));
    jobs::after_commit(&gateway.app).await.unwrap();
    assert_eq!(evaluation::connections_marked(gateway.db()).await.unwrap(), BTreeSet::new());
}

#[tokio::test]
async fn who_waits_is_found_without_walking_over_the_others_or_the_dead() {
    let gateway = Gateway::begin(Engine::Sqlite).await;
    for (sql, index) in [
        (
            "explain query plan select tenant, connection from identity where mapping_version < 0 and scim_state <> 'deleted' limit 1000",
            "identity_marked",
        ),
        (
            "explain query plan select 1 from identity where tenant = '' and connection = '' and mapping_version < 7 and scim_state <> 'deleted'",
            "identity_by_mapping",
        ),
    ] {
        let plan: Vec<(i64, i64, i64, String)> = gateway.db().query(sql).all().await.unwrap();
        assert!(plan.iter().any(|(.., step)| step.contains(index)), "{plan:?}");
    }
}

#[rstest]
#[tokio::test]
async fn what_a_deleted_person_was_called_is_forgotten_in_time(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    const KNOWN: &str = "select count(*) from identity where scim_document is not null or scim_external_id is not null
        or scim_user_name_key is not null or scim_display_name_key is not null or saml_document is not null or saml_correlation_key is not null
        or subject is not null";
    let gateway = Gateway::begin(engine).await;
    let ada = json!({ "userName": "ada", "externalId": "7", "displayName": "Ada" });
    let first = gateway.post("/Users", ada.clone()).await.expect(201).id();
    gateway.delete(&format!("/Users/{first}")).await.expect(204);
    gateway.app.clock.advance_secs(89 * DAY_SECS);
    jobs::purge(&gateway.app).await.unwrap();
    assert_eq!(count(&gateway, KNOWN).await, 1);
    assert_eq!(gateway.post("/Users", ada.clone()).await.expect(201).id(), first, "as long as it is remembered, the account comes back");

    // Who signed in has a subject, and who comes later by the same name must not be kept out by it.
    let mut tx = gateway.db().begin().await.unwrap();
    assert_eq!(tx.query("update identity set subject = 'ada'").run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    gateway.delete(&format!("/Users/{first}")).await.expect(204);
    gateway.app.clock.advance_secs(91 * DAY_SECS);
    jobs::purge(&gateway.app).await.unwrap();
    assert_eq!(count(&gateway, KNOWN).await, 0);
    assert_ne!(gateway.post("/Users", ada).await.expect(201).id(), first, "then it is somebody else");
}
