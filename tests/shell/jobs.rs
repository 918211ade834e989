//! What is done after commits.

use rolegate::{db::seal, jobs, policy::mapping::Mapping, provision::published};
use rstest::rstest;
use serde_json::{Value, json};

use crate::common::{
    engines::Engine,
    gateway::{Gateway, OKTA, OTHER, id},
};

async fn number(gateway: &Gateway, sql: &'static str) -> i64 {
    gateway.db().query(sql).optional::<(i64,)>().await.unwrap().unwrap().0
}

/// Gives a role to whoever is in the group.
async fn publish(gateway: &Gateway, version: i64, group: &str) {
    let mut tx = gateway.db().begin().await.unwrap();
    let role: Option<(String,)> = tx.query("select id from role where name_key = 'organization member'").optional().await.unwrap();
    let (role,) = role.or_else(|| panic!("the preset has members")).unwrap();
    let mapping: Mapping = serde_json::from_value(json!({
        "version": version,
        "rules": [{
            "id": id::<()>(77), "name": "team", "when": format!("groups.value eq \"{group}\""),
            "effects": [{ "grant": { "role": role, "organization": { "fixed": id::<()>(1) }, "reach": "subtree" } }],
        }],
    }))
    .unwrap();
    assert!(published::publish(&mut tx, id(1), id(1), &mapping, None, gateway.app.now()).await.unwrap());
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn rows_are_sealed_and_people_mapped_again_in_rounds(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    publish(&gateway, 1, "Team").await;
    let mut members = Vec::new();
    for n in 0..205 {
        members.push(json!({ "value": gateway.post("/Users", json!({ "userName": format!("user{n}") })).await.expect(201).id() }));
    }
    let few: Vec<Value> = members[..5].to_vec();
    // Few are mapped in the request, many by the job.
    gateway.post("/Groups", json!({ "displayName": "Team", "members": few })).await.expect(201);
    assert_eq!(number(&gateway, "select count(*) from assignment").await, 5);
    let path = format!("/Groups/{}", gateway.get("/Groups").await.text("/Resources/0/id"));
    gateway.put(&path, json!({ "displayName": "Team", "members": members })).await.expect(200);
    let waiting = "select count(*) from audit where number is null";
    assert!(number(&gateway, waiting).await > 205);

    jobs::round(&gateway.app).await.unwrap();
    assert_eq!(number(&gateway, "select count(*) from assignment").await, 205);
    assert_eq!(number(&gateway, waiting).await, 0);
    assert_eq!(number(&gateway, "select count(*) from outbox where number is null").await, 0);
    let verdict = seal::verify(gateway.db(), id(1), &gateway.app.keys.chain(), None).await.unwrap();
    assert!(verdict.broken.is_none() && verdict.rows > 410, "{verdict:?}");

    // Again it finds nothing to do.
    let rows = gateway.written().await;
    jobs::round(&gateway.app).await.unwrap();
    assert_eq!(gateway.written().await, rows);

    // A mapping of another word takes from everybody.
    publish(&gateway, 2, "Nobody").await;
    jobs::round(&gateway.app).await.unwrap();
    assert_eq!(number(&gateway, "select count(*) from assignment").await, 0);
    assert_eq!(number(&gateway, waiting).await, 0);
}

/// The first tenant's chain and mapping cannot be read.
#[rstest]
#[tokio::test]
async fn what_fails_for_one_tenant_does_not_keep_the_others_waiting(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    for slug in [OKTA, OTHER] {
        gateway.scim_with(slug, &[], "POST", "/Users", Some(json!({ "userName": "anna" }))).await.expect(201);
    }
    publish(&gateway, 1, "Team").await;
    publish(&gateway, 2, "Team").await;
    let mut tx = gateway.db().begin().await.unwrap();
    for sql in [
        "update mapping set document = '{' where version = 2",
        "update identity set mapping_version = -1",
        "insert into chain_head (tenant, chain, number, seal) select id, 'audit', 0, '' from tenant where slug = 'acme'",
    ] {
        assert!(tx.query(sql).run().await.unwrap() > 0, "{sql}");
    }
    tx.commit().await.unwrap();
    let waiting = async |slug: &str| {
        let sql = "select count(*) from audit join tenant on tenant.id = audit.tenant where audit.number is null and tenant.slug = $1";
        gateway.db().query(sql).bind(slug).optional::<(i64,)>().await.unwrap().unwrap().0
    };
    assert!(waiting("acme").await > 0 && waiting("other").await > 0);
    assert!(jobs::round(&gateway.app).await.is_err());
    assert_eq!(waiting("other").await, 0);
    assert!(waiting("acme").await > 0);
    let marked = "select count(*) from identity where mapping_version = -1";
    assert_eq!(number(&gateway, marked).await, 1, "the other tenant's people were mapped");
}

#[rstest]
#[tokio::test]
async fn a_commit_wakes_the_sealer(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(jobs::run(gateway.app.clone(), stopped));
    gateway.post("/Users", json!({ "userName": "anna" })).await.expect(201);
    while number(&gateway, "select count(*) from audit where number is null").await > 0 {
        tokio::task::yield_now().await;
    }
    gateway.post("/Users", json!({ "userName": "ben" })).await.expect(201);
    stop.send_replace(true);
    running.await.unwrap();
    assert_eq!(number(&gateway, "select count(*) from audit where number is null").await, 0);
    assert!(number(&gateway, "select count(*) from audit").await >= 2);
}
