//! What a transaction does with statements whose answers nobody waits for.

use rolegate::db::{DbError, Tx};
use rstest::rstest;

use crate::common::engines::{Engine, Fresh};

const INSERT: &str = "insert into turn (tenant, connection, slot) values {($1, $2, $3)}";

async fn insert_later(tx: &mut Tx, connection: &str, slots: std::ops::Range<i64>) -> Result<(), DbError> {
    let query = tx.query_set(INSERT, usize::try_from(slots.end - slots.start).unwrap());
    slots.fold(query, |query, slot| query.bind("t").bind(connection).bind(slot)).later().await
}

async fn slots(db: &Fresh) -> Vec<(String, i64)> {
    db.query("select connection, slot from turn where tenant = $1 order by connection, slot").bind("t").all().await.unwrap()
}

fn rows(connection: &str, slots: std::ops::Range<i64>) -> Vec<(String, i64)> {
    slots.map(|slot| (connection.to_owned(), slot)).collect()
}

#[rstest]
#[tokio::test]
async fn what_waits_is_seen_by_what_comes_next_and_not_counted_by_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let mut tx = db.begin().await.unwrap();
    insert_later(&mut tx, "a", 0..3).await.unwrap();
    insert_later(&mut tx, "b", 3..5).await.unwrap();
    let read: Vec<(i64,)> = tx.query("select slot from turn where tenant = $1 order by slot").bind("t").all().await.unwrap();
    assert_eq!(read, [(0,), (1,), (2,), (3,), (4,)]);
    insert_later(&mut tx, "c", 5..9).await.unwrap();
    let one: Option<(i64,)> = tx.query("select max(slot) from turn where tenant = $1").bind("t").optional().await.unwrap();
    assert_eq!(one, Some((8,)));
    insert_later(&mut tx, "c", 9..13).await.unwrap();
    let removed = tx.query("delete from turn where tenant = $1 and connection = $2").bind("t").bind("b").run().await.unwrap();
    assert_eq!(removed, 2);
    insert_later(&mut tx, "d", 0..4).await.unwrap();
    let none = tx.query("delete from turn where tenant = $1 and connection = $2").bind("t").bind("b").run().await.unwrap();
    assert_eq!(none, 0, "a statement that touches nothing counts nothing of what was before it");
    tx.commit().await.unwrap();
    assert_eq!(slots(&db).await, [rows("a", 0..3), rows("c", 5..13), rows("d", 0..4)].concat());
}

#[rstest]
#[tokio::test]
async fn what_waits_goes_with_the_commit_or_not_at_all(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let mut tx = db.begin().await.unwrap();
    insert_later(&mut tx, "a", 0..2).await.unwrap();
    // So many that they are not joined with others.
    insert_later(&mut tx, "a", 2..1_000).await.unwrap();
    tx.query("update turn set slot = slot + 1000 where tenant = $1 and slot < $2").bind("t").bind(2_i64).later().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(slots(&db).await, rows("a", 2..1_002), "in the order in which they were given");
    let mut tx = db.begin().await.unwrap();
    insert_later(&mut tx, "b", 0..2).await.unwrap();
    drop(tx);
    assert_eq!(slots(&db).await.len(), 1_000);
}

#[rstest]
#[tokio::test]
async fn what_waits_and_is_refused_leaves_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(true, false)] by_the_commit: bool,
) {
    let db = engine.fresh().await;
    let mut tx = db.begin().await.unwrap();
    insert_later(&mut tx, "a", 0..2).await.unwrap();
    let outcome = async {
        insert_later(&mut tx, "a", 1..3).await?;
        if !by_the_commit {
            let _: Vec<(i64,)> = tx.query("select slot from turn where tenant = $1").bind("t").all().await?;
        }
        tx.commit().await
    };
    assert!(matches!(outcome.await, Err(DbError::Taken(_))));
    assert!(slots(&db).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_value_may_stand_at_several_places_in_any_order(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let mut tx = db.begin().await.unwrap();
    insert_later(&mut tx, "a", 0..3).await.unwrap();
    let sql = "select cast($3 as text), slot from turn where slot > $2 and tenant = $1 and connection <> $1 and slot <> $2 order by slot";
    let found: Vec<(String, i64)> = tx.query(sql).bind("t").bind(0_i64).bind("said").all().await.unwrap();
    assert_eq!(found, [("said".to_owned(), 1), ("said".to_owned(), 2)]);
}

#[rstest]
#[tokio::test]
async fn what_is_asked_ahead_is_answered_of_that_moment(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let mut tx = db.begin().await.unwrap();
    let sql = "select slot from turn where tenant = $1 order by slot";
    let none = tx.query(sql).bind("t").ahead::<(i64,)>().await.unwrap();
    insert_later(&mut tx, "a", 0..2).await.unwrap();
    let two = tx.query(sql).bind("t").ahead::<(i64,)>().await.unwrap();
    // So many that they are not joined with others.
    insert_later(&mut tx, "a", 2..1_000).await.unwrap();
    let first = tx.query("select slot from turn where tenant = $1 and slot = $2").bind("t").bind(1_i64).ahead::<(i64,)>().await.unwrap();
    let removed = tx.query("delete from turn where tenant = $1 and slot > $2").bind("t").bind(0_i64).run().await.unwrap();
    assert_eq!(removed, 999);
    let last = tx.query(sql).bind("t").ahead::<(i64,)>().await.unwrap();
    // Fetched in any order, and by whoever comes last.
    assert_eq!(last.fetch(&mut tx).await.unwrap(), [(0,)]);
    assert_eq!(first.fetch(&mut tx).await.unwrap(), [(1,)]);
    assert_eq!(none.fetch(&mut tx).await.unwrap(), []);
    assert_eq!(two.fetch(&mut tx).await.unwrap(), [(0,), (1,)]);
    tx.commit().await.unwrap();
    assert_eq!(slots(&db).await, rows("a", 0..1));
}

/// Whoever goes on after a refusal, or fetches what was refused, is refused, and what waited besides is not committed alone.
#[rstest]
#[tokio::test]
async fn after_a_refusal_nothing_goes_on(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let mut tx = db.begin().await.unwrap();
    insert_later(&mut tx, "a", 0..2).await.unwrap();
    tx.settle().await.unwrap();
    let refused = async {
        insert_later(&mut tx, "a", 1..3).await?;
        let asked = tx.query("select slot from turn where tenant = $1").bind("t").ahead::<(i64,)>().await?;
        asked.fetch(&mut tx).await
    };
    assert!(matches!(refused.await, Err(DbError::Taken(_))));
    assert!(tx.query("update turn set slot = 7 where tenant = $1").bind("t").run().await.is_err());
    assert!(tx.query("select slot from turn where tenant = $1").bind("t").all::<(i64,)>().await.is_err());
    let _ = tx.commit().await;
    assert!(slots(&db).await.is_empty());
}

/// What was not committed is undone before the next transaction, whichever way it ended, and the connection serves on.
#[rstest]
#[tokio::test]
async fn what_is_given_up_leaves_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    for round in 0..20 {
        let mut tx = db.begin().await.unwrap();
        insert_later(&mut tx, "a", 0..2).await.unwrap();
        match round % 4 {
            // Nothing of it has reached the database.
            0 => drop(tx),
            1 => {
                tx.settle().await.unwrap();
                drop(tx);
            }
            2 => {
                insert_later(&mut tx, "a", 0..1).await.unwrap_or_default();
                assert!(tx.settle().await.is_err());
                drop(tx);
            }
            // In the middle of a statement.
            _ => {
                let update = tx.query("update turn set slot = slot + 10 where tenant = $1").bind("t").run();
                let _ = tokio::time::timeout(std::time::Duration::ZERO, update).await;
                drop(tx);
            }
        }
        assert!(slots(&db).await.is_empty(), "round {round}");
        let empty = db.begin().await.unwrap();
        empty.commit().await.unwrap();
        let mut next = db.begin().await.unwrap();
        insert_later(&mut next, "b", 0..1).await.unwrap();
        next.commit().await.unwrap();
        assert_eq!(slots(&db).await, rows("b", 0..1));
        let mut last = db.begin().await.unwrap();
        assert_eq!(last.query("delete from turn where tenant = $1").bind("t").run().await.unwrap(), 1);
        last.commit().await.unwrap();
    }
}

/// One that refers to another, one into the same table, and one whose rows are counted.
#[rstest]
#[tokio::test]
async fn what_waits_may_be_referred_to(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let mut tx = db.begin().await.unwrap();
    let tenant = "insert into tenant (id, slug, name, preset, preset_version, settings, model_version, created_at_ms) values ($1, $2, $2, $2, 1, '{}', 1, 0)";
    tx.query(tenant).bind("t").bind("acme").later().await.unwrap();
    let floor = "insert into owner_floor (tenant) values ($1)";
    tx.query(floor).bind("t").later().await.unwrap();
    tx.query(tenant).bind("u").bind("other").later().await.unwrap();
    tx.query(floor).bind("u").later().await.unwrap();
    let again = tx.query("insert into owner_floor (tenant) values ($1) on conflict do nothing").bind("u").run().await.unwrap();
    assert_eq!(again, 0, "the same row waited");
    tx.query(tenant).bind("v").bind("third").later().await.unwrap();
    let trees = tx.query("insert into organization_tree (tenant) select id from tenant where id <> $1").bind("u").run().await.unwrap();
    assert_eq!(trees, 2, "the rows that waited are there for what reads them");
    tx.query(floor).bind("nobody").later().await.unwrap();
    assert!(matches!(tx.commit().await, Err(DbError::Transient(_))), "whom nobody knows is referred to");
    let none: Option<(String,)> = db.query("select id from tenant").optional().await.unwrap();
    assert_eq!(none, None);
}
