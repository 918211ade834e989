use rolegate::db::{Db, PoolSize};
use rstest::rstest;

use crate::common::engines::Engine;

#[rstest]
#[tokio::test]
async fn migrations_run_twice_and_say_so(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    assert!(db.is_migrated().await.unwrap());
    db.migrate().await.unwrap();
    assert!(db.is_migrated().await.unwrap());
}

#[tokio::test]
async fn a_database_without_tables_is_not_migrated() {
    let directory = tempfile::TempDir::new().unwrap();
    let db = Db::open(&format!("sqlite://{}", directory.path().join("empty.db").display()), PoolSize(1)).await.unwrap();
    assert!(!db.is_migrated().await.unwrap());
}

#[rstest]
#[tokio::test]
async fn keys_sort_by_bytes(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let mut tx = db.begin().await.unwrap();
    tx.query(
        "insert into tenant (id, slug, name, preset, preset_version, settings, model_version, created_at_ms)
        values ('1', 'b', '', '', 0, '', 0, 0), ('2', 'B', '', '', 0, '', 0, 0), ('3', 'a-b', '', '', 0, '', 0, 0),
            ('4', 'ab', '', '', 0, '', 0, 0), ('5', 'é', '', '', 0, '', 0, 0)",
    )
    .run()
    .await
    .unwrap();
    let rows: Vec<(String,)> = tx.query("select slug from tenant order by slug").all().await.unwrap();
    let slugs: Vec<_> = rows.iter().map(|(slug,)| slug.as_str()).collect();
    assert_eq!(slugs, ["B", "a-b", "ab", "b", "é"]);
}
