//! What many ask for at once and one gets; totals that none of many writers loses.

use rolegate::{
    db::{
        counter::{add, total},
        session::{consume_link, insert_link},
        sign_in::consume_assertion,
    },
    domain::id::AccountId,
};
use rstest::rstest;
use tokio::task::JoinSet;

use super::world::world;
use crate::common::{NOW, engines::Engine, ids};

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_link_is_consumed_once_by_twenty_at_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let mut tx = world.db.begin().await.unwrap();
    insert_link(&mut tx, world.tenant, ids(9).make(), "hash", world.account, NOW, NOW.plus_secs(60)).await.unwrap();
    assert_eq!(consume_link(&mut tx, "hash", NOW.plus_secs(60)).await.unwrap(), None, "expired");
    assert_eq!(consume_link(&mut tx, "other", NOW).await.unwrap(), None, "unknown");
    tx.commit().await.unwrap();

    let mut attempts = JoinSet::new();
    for _ in 0..20 {
        let db = (*world.db).clone();
        attempts.spawn(async move {
            let mut tx = db.begin().await.unwrap();
            let consumed = consume_link(&mut tx, "hash", NOW).await.unwrap();
            tx.commit().await.unwrap();
            consumed
        });
    }
    let won: Vec<_> = attempts.join_all().await.into_iter().flatten().collect();
    assert_eq!(won, [(world.tenant, world.account)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_assertion_is_consumed_once_by_fifty_at_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (tenant, connection) = (world.tenant, world.connection);
    let mut attempts = JoinSet::new();
    for _ in 0..50 {
        let db = (*world.db).clone();
        attempts.spawn(async move {
            let mut tx = db.begin().await.unwrap();
            let consumed = consume_assertion(&mut tx, tenant, connection, "idp", "_a", NOW.plus_secs(60)).await.unwrap();
            tx.commit().await.unwrap();
            consumed
        });
    }
    assert_eq!(attempts.join_all().await.into_iter().filter(|&consumed| consumed).count(), 1);
    let mut tx = world.db.begin().await.unwrap();
    assert!(consume_assertion(&mut tx, tenant, connection, "another idp", "_a", NOW).await.unwrap(), "another issuer's of the same id");
}

#[rstest]
#[tokio::test]
async fn an_assertion_of_a_dropped_transaction_was_not_consumed(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let mut tx = world.db.begin().await.unwrap();
    assert!(consume_assertion(&mut tx, world.tenant, world.connection, "idp", "_a", NOW).await.unwrap());
    drop(tx);
    let mut tx = world.db.begin().await.unwrap();
    assert!(consume_assertion(&mut tx, world.tenant, world.connection, "idp", "_a", NOW).await.unwrap());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_lose_nothing_among_many_writers(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (tenant, connection) = (world.tenant, world.connection);
    assert_eq!(total(&*world.db, tenant, connection, "users").await.unwrap(), 0);
    let mut ids = ids(9);
    let mut writers = JoinSet::new();
    for n in 0..60 {
        let (db, account): (_, AccountId) = ((*world.db).clone(), ids.make());
        writers.spawn(async move {
            let mut tx = db.begin().await.unwrap();
            add(&mut tx, tenant, connection, "users", &[account], 1).await.unwrap();
            add(&mut tx, tenant, connection, "groups", &[account], -2).await.unwrap();
            if n % 3 == 0 {
                return;
            }
            tx.commit().await.unwrap();
        });
    }
    writers.join_all().await;
    assert_eq!(total(&*world.db, tenant, connection, "users").await.unwrap(), 40);
    assert_eq!(total(&*world.db, tenant, connection, "groups").await.unwrap(), -80);
    let stripes: Option<(i64,)> = world.db.query("select count(*) from counter where name = 'users'").optional().await.unwrap();
    assert!(stripes.unwrap().0 > 4, "the writers fall on many stripes");
}
