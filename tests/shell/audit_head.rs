//! The heads of audit chains in the log show that the end of a chain was cut off.

use rolegate::{
    db::seal::{self, Head, find_head},
    jobs,
};
use rstest::rstest;
use serde_json::json;

use crate::common::{
    engines::Engine,
    gateway::{Gateway, id},
    log::Captured,
};

fn head_of(line: &serde_json::Value) -> Head {
    let (number, seal) = line["audit.head"].as_str().unwrap().split_once(':').unwrap();
    Head { number: number.parse().unwrap(), seal: seal.to_owned() }
}

#[rstest]
#[tokio::test]
async fn a_cut_tail_with_a_rewritten_head_is_found_by_the_head_in_the_log(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let log = Captured::start();
    gateway.post("/Users", json!({ "userName": "anna" })).await.expect(201);
    jobs::round(&gateway.app).await.unwrap();
    let earlier = find_head(gateway.db(), id(1)).await.unwrap();
    gateway.post("/Users", json!({ "userName": "ben" })).await.expect(201);

    // The node seals the other rows and logs the heads when it shuts down.
    let (stop, stopped) = tokio::sync::watch::channel(true);
    jobs::run(gateway.app.clone(), stopped).await;
    drop(stop);
    let lines = log.with_message("the head of the audit chain");
    let last = lines.iter().rfind(|line| line["tenant.name"] == "acme").unwrap_or_else(|| panic!("{lines:?}"));
    let head = head_of(last);
    assert_eq!(head, find_head(gateway.db(), id(1)).await.unwrap());
    assert!(head.number > earlier.number);

    let mut tx = gateway.db().begin().await.unwrap();
    tx.query("delete from audit where tenant = $1 and number > $2").bind(id::<()>(1).to_string()).bind(earlier.number).run().await.unwrap();
    let sql = "update chain_head set number = $2, seal = $3 where tenant = $1 and chain = 'audit'";
    tx.query(sql).bind(id::<()>(1).to_string()).bind(earlier.number).bind(earlier.seal.clone()).run().await.unwrap();
    tx.commit().await.unwrap();
    let key = gateway.app.keys.chain();
    let verdict = seal::verify(gateway.db(), id(1), &key, None).await.unwrap();
    assert_eq!(verdict.broken, None, "the chain alone cannot tell");
    let broken = seal::verify(gateway.db(), id(1), &key, Some(&head)).await.unwrap().broken.unwrap();
    assert_eq!(broken.number, earlier.number + 1);
    assert!(broken.why.contains("the row is missing"), "{}", broken.why);
}
