//! A lock that somebody holds for long on PostgreSQL, whose pool here has four connections.

use rolegate::db::Tx;
use serde_json::{Value, json};

use crate::common::{engines::Engine, gateway::Gateway, together::join_all};

async fn user(gateway: &Gateway, name: &str) -> String {
    gateway.post("/Users", json!({ "userName": name })).await.expect(201).id()
}

fn title(title: &str) -> Value {
    json!([{ "op": "replace", "path": "title", "value": title }])
}

async fn lock(gateway: &Gateway, name: &str) -> (rolegate::db::Db, Tx) {
    let db = gateway.reopen().await;
    let mut tx = db.begin().await.unwrap();
    let rows: Vec<(String,)> = tx.lock("select id from account where user_name_key = $1").bind(name).all().await.unwrap();
    assert_eq!(rows.len(), 1);
    (db, tx)
}

/// Until so many transactions wait for a lock.
async fn waiting(db: &rolegate::db::Db, expected: i64) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    for _ in 0..100_000 {
        if db.query(sql).optional::<(i64,)>().await.unwrap() == Some((expected,)) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{expected} transactions were expected to wait");
}

#[tokio::test]
async fn requests_for_a_locked_account_leave_connections_for_others() {
    let gateway = Gateway::begin(Engine::Postgres).await;
    let (anna, ben) = (user(&gateway, "anna").await, user(&gateway, "ben").await);
    let (db, held) = lock(&gateway, "anna").await;
    let path = format!("/Users/{anna}");
    let blocked = join_all((0..12).map(|n| gateway.patch(&path, title(["a", "b"][n % 2]))));
    let others = async {
        waiting(&db, 2).await;
        gateway.patch(&format!("/Users/{ben}"), title("x")).await.expect(200);
        gateway.get(&path).await.expect(200);
        user(&gateway, "carl").await;
        waiting(&db, 2).await;
        drop(held);
    };
    let (answers, ()) = tokio::join!(blocked, others);
    for answer in answers {
        answer.expect(200);
    }
}

/// Each group is another resource, and all of them wait for the same member.
#[tokio::test]
async fn transactions_that_wait_leave_connections_for_readings() {
    let gateway = Gateway::begin(Engine::Postgres).await;
    let anna = user(&gateway, "anna").await;
    let mut groups = Vec::new();
    for n in 0..6 {
        groups.push(gateway.post("/Groups", json!({ "displayName": format!("group{n}") })).await.expect(201).id());
    }
    let (db, held) = lock(&gateway, "anna").await;
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": anna }] }]);
    let paths: Vec<_> = groups.iter().map(|group| format!("/Groups/{group}")).collect();
    let blocked = join_all(paths.iter().map(|path| gateway.patch(path, add.clone())));
    let readings = async {
        waiting(&db, 3).await;
        for _ in 0..8 {
            gateway.get(&format!("/Users/{anna}")).await.expect(200);
        }
        waiting(&db, 3).await;
        drop(held);
    };
    let (answers, ()) = tokio::join!(blocked, readings);
    for answer in answers {
        answer.expect(204);
    }
}
