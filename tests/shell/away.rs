//! A database that fails for a while: requests are answered 503 and may be sent again, and nothing is written twice.

use rolegate::db::{Db, PoolSize};
use rstest::rstest;
use serde_json::{Value, json};

use crate::common::{
    cut::{Cut, Proxy},
    engines::Engine,
    gateway::{Answer, Gateway},
};

const CONNECTIONS: u32 = 3;

#[track_caller]
fn is_away(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", String::from_utf8_lossy(&answer.bytes));
    assert_eq!(answer.header("retry-after"), "1");
}

/// A gateway whose connections go through a proxy.
async fn behind_proxy() -> (Gateway, Proxy) {
    let mut gateway = Gateway::begin(Engine::Postgres).await;
    let proxy = Proxy::start(gateway.address()).await;
    let db = Db::open(&proxy.address, PoolSize(CONNECTIONS)).await.unwrap();
    gateway.app = gateway.app.changed(|parts| parts.db = db);
    (gateway, proxy)
}

fn anna() -> Value {
    json!({ "userName": "anna", "externalId": "00u1", "emails": [{ "value": "anna@acme.example" }] })
}

async fn count(gateway: &Gateway, sql: &'static str) -> i64 {
    gateway.db().query(sql).optional::<(i64,)>().await.unwrap().unwrap().0
}

/// Runs a statement on every connection of the gateway's pool.
async fn on_every_connection(gateway: &Gateway, sql: &'static str) {
    let Db::Postgres(server) = &gateway.app.db else { unreachable!("the proxy stands in front of PostgreSQL") };
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = server.pool().acquire().await.unwrap();
        sqlx::query(sql).execute(&mut *connection).await.unwrap();
        all.push(connection);
    }
}

#[rstest]
#[case::written(Cut::After, 1)]
#[case::not_written(Cut::Before, 0)]
#[tokio::test]
async fn a_user_whose_commit_was_not_answered_is_created_once(#[case] cut: Cut, #[case] written: i64) {
    let (gateway, proxy) = behind_proxy().await;
    gateway.post("/Users", json!({ "userName": "first" })).await.expect(201);
    proxy.cut_next(cut);
    let answer = gateway.post("/Users", anna()).await;
    is_away(&answer);
    assert!(answer.text("/detail").contains("may have been written"), "{}", answer.json());
    assert_eq!(count(&gateway, "select count(*) from identity where scim_user_name_key = 'anna'").await, written);

    let again = gateway.post("/Users", anna()).await.expect(201);
    assert_eq!(gateway.get(&format!("/Users/{}", again.id())).await.expect(200).json(), again.json());
    assert_eq!(count(&gateway, "select count(*) from identity where scim_user_name_key = 'anna'").await, 1);
    // The client has its answer: from now on the name is taken.
    gateway.post("/Users", anna()).await.expect(409);
}

#[tokio::test]
async fn another_user_does_not_get_the_answer_of_an_unanswered_one() {
    let (gateway, proxy) = behind_proxy().await;
    proxy.cut_next(Cut::After);
    is_away(&gateway.post("/Users", anna()).await);
    gateway.post("/Users", json!({ "userName": "anna", "externalId": "00u2" })).await.expect(409);
    gateway.post("/Users", anna()).await.expect(201);
}

#[rstest]
#[case::written(Cut::After)]
#[case::not_written(Cut::Before)]
#[tokio::test]
async fn a_group_whose_commit_was_not_answered_is_created_once(#[case] cut: Cut) {
    let (gateway, proxy) = behind_proxy().await;
    let member = gateway.post("/Users", anna()).await.expect(201).id();
    let group = json!({ "displayName": "Team", "members": [{ "value": member }] });
    proxy.cut_next(cut);
    is_away(&gateway.post("/Groups", group.clone()).await);
    let again = gateway.post("/Groups", group.clone()).await.expect(201);
    assert_eq!(again.json()["members"][0]["value"], member.as_str());
    assert_eq!(count(&gateway, "select count(*) from directory_group").await, 1);
    // A displayName need not be unique: who asks a third time means another group.
    gateway.post("/Groups", group).await.expect(201);
    assert_eq!(count(&gateway, "select count(*) from directory_group").await, 2);
}

#[tokio::test]
async fn a_bulk_request_whose_commit_was_not_answered_is_not_done_twice() {
    let (gateway, proxy) = behind_proxy().await;
    let operation = |name: &str| json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": { "userName": name } });
    let bulk = json!({ "Operations": [operation("anna"), operation("ben")] });
    proxy.cut_next(Cut::After);
    let answer = gateway.post("/Bulk", bulk).await.expect(200).json();
    for outcome in answer["Operations"].as_array().unwrap() {
        assert_eq!(outcome["status"], "503", "{answer}");
        assert!(outcome["response"]["detail"].as_str().unwrap().contains("may have been written"), "{answer}");
    }
    assert_eq!(count(&gateway, "select count(*) from identity").await, 2);
}

#[tokio::test]
async fn connections_that_a_server_ends_are_503_and_then_replaced() {
    let (gateway, _proxy) = behind_proxy().await;
    gateway.post("/Users", json!({ "userName": "first" })).await.expect(201);
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and client_port is not null";
    assert!(count(&gateway, end).await > 0);
    let mut answer = gateway.post("/Users", anna()).await;
    for _ in 0..CONNECTIONS {
        if answer.status == 201 {
            break;
        }
        is_away(&answer);
        answer = gateway.post("/Users", anna()).await;
    }
    answer.expect(201);
}

/// The server has a session of every connection lead to a standby after a failover: it reads, and takes no writes.
#[tokio::test]
async fn connections_that_became_read_only_are_replaced_after_one_answer() {
    let (gateway, _proxy) = behind_proxy().await;
    // The last use of the token is written now, and not at the request that shall fail.
    gateway.post("/Users", json!({ "userName": "first" })).await.expect(201);
    on_every_connection(&gateway, "set default_transaction_read_only = on").await;
    is_away(&gateway.post("/Users", anna()).await);
    gateway.post("/Users", anna()).await.expect(201);
}

#[tokio::test]
async fn a_statement_that_the_server_cancels_is_503() {
    let (gateway, _proxy) = behind_proxy().await;
    let anna = gateway.post("/Users", anna()).await.expect(201).id();
    on_every_connection(&gateway, "set statement_timeout = '100ms'").await;
    let mut held = gateway.db().begin().await.unwrap();
    held.lock("select id from account where user_name_key = 'anna'").all::<(String,)>().await.unwrap();
    is_away(&gateway.patch(&format!("/Users/{anna}"), json!([{ "op": "replace", "path": "title", "value": "x" }])).await);
}

#[tokio::test]
async fn a_full_file_is_503_until_there_is_room() {
    let gateway = Gateway::begin(Engine::Sqlite).await;
    gateway.db().query("pragma max_page_count = 1").run().await.unwrap();
    let mut created = 0;
    let refused = loop {
        let answer = gateway.post("/Users", json!({ "userName": format!("user{created}"), "title": "x".repeat(2000) })).await;
        if answer.status != 201 {
            break answer;
        }
        created += 1;
        assert!(created < 1000, "the file never becomes full");
    };
    is_away(&refused);
    assert!(refused.text("/detail").contains("try again"), "it is known that nothing was written");
    assert_eq!(count(&gateway, "select count(*) from identity").await, created);
    gateway.get("/Users").await.expect(200);
    gateway.db().query("pragma max_page_count = 100000").run().await.unwrap();
    gateway.post("/Users", anna()).await.expect(201);
}

#[tokio::test]
async fn a_read_only_file_is_503_until_it_takes_writes() {
    let gateway = Gateway::begin(Engine::Sqlite).await;
    gateway.db().query("pragma query_only = 1").run().await.unwrap();
    is_away(&gateway.post("/Users", anna()).await);
    gateway.db().query("pragma query_only = 0").run().await.unwrap();
    gateway.post("/Users", anna()).await.expect(201);
}
