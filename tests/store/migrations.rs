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

#[rstest]
#[tokio::test]
async fn another_process_sees_what_was_committed_and_nothing_that_was_dropped(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let other = Db::open(&db.address, PoolSize(1)).await.unwrap();
    other.migrate().await.unwrap();
    let insert = "insert into installation (id, key_check, created_at_ms) values (1, 'x', 0)";
    let mut tx = db.begin().await.unwrap();
    tx.query(insert).run().await.unwrap();
    drop(tx);
    let count = "select count(*) from installation";
    assert_eq!(other.query(count).optional::<(i64,)>().await.unwrap(), Some((0,)));
    let mut tx = db.begin().await.unwrap();
    tx.query(insert).run().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(other.query(count).optional::<(i64,)>().await.unwrap(), Some((1,)));
    other.close().await;
}

/// A migration that is not in the list would never run.
#[test]
fn every_file_of_the_migrations_is_in_the_list() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = std::fs::read_to_string(root.join("src/db/migrate.rs")).unwrap();
    let mut files: Vec<String> =
        std::fs::read_dir(root.join("migrations")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let places: Vec<usize> =
        files.iter().map(|file| list.find(&format!("migrations/{file}")).unwrap_or_else(|| panic!("{file} is not in the list"))).collect();
    assert!(places.is_sorted(), "the list has the order of the numbers");
}
