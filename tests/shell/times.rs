//! Rows that a node writes while its clock is a little behind the clock of another node.

use rolegate::{db::seal, jobs};
use rstest::rstest;
use serde_json::json;

use crate::common::{
    engines::Engine,
    gateway::{Gateway, id},
};

#[rstest]
#[tokio::test]
async fn nothing_changes_before_it_was_made_and_the_audit_log_does_not_run_backwards(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let gateway = Gateway::begin(engine).await;
    let user = format!("/Users/{}", gateway.post("/Users", json!({ "userName": "anna" })).await.expect(201).id());
    let group = format!("/Groups/{}", gateway.post("/Groups", json!({ "displayName": "Team" })).await.expect(201).id());
    jobs::round(&gateway.app).await.unwrap();
    gateway.app.clock.advance_secs(-20);
    gateway.patch(&user, json!([{ "op": "replace", "path": "title", "value": "x" }])).await.expect(200);
    gateway.patch(&group, json!([{ "op": "replace", "path": "displayName", "value": "Others" }])).await.expect(204);
    gateway.post("/Users", json!({ "userName": "ben" })).await.expect(201);
    for path in [&user, &group] {
        let meta = gateway.get(path).await.expect(200).json()["meta"].clone();
        assert!(meta["created"].as_str() <= meta["lastModified"].as_str(), "{meta}");
    }
    let changed = "select count(*) from account where changed_at_ms < created_at_ms";
    assert_eq!(gateway.db().query(changed).optional::<(i64,)>().await.unwrap(), Some((0,)));

    jobs::round(&gateway.app).await.unwrap();
    let times: Vec<(i64,)> = gateway.db().query("select at_ms from audit where number is not null order by number").all().await.unwrap();
    assert!(times.len() >= 5 && times.is_sorted(), "{times:?}");
    let verdict = seal::verify(gateway.db(), id(1), &gateway.app.keys.chain(), None).await.unwrap();
    assert!(verdict.broken.is_none() && verdict.unsealed == 0, "{verdict:?}");
}
