//! A fresh, migrated database for each test, on either engine.
//!
//! ```ignore
//! #[rstest]
//! #[tokio::test]
//! async fn a_claim(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
//!     let db = engine.fresh().await;
//! ```

use std::{
    fs,
    hash::{DefaultHasher, Hasher as _},
    ops::Deref,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use rolegate::db::{Db, PoolSize};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use url::Url;

#[derive(Debug, Clone, Copy)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// A database that vanishes with its value, also when the test fails.
pub struct Fresh {
    db: Db,
    pub address: String,
    place: Place,
}

enum Place {
    /// Removed when it is dropped.
    Directory {
        _directory: TempDir,
    },
    Postgres {
        name: String,
    },
}

impl Deref for Fresh {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl Engine {
    pub async fn fresh(self) -> Fresh {
        let (address, place) = match self {
            Self::Sqlite => {
                let template = SQLITE.get_or_init(make_sqlite_template).await;
                let directory = TempDir::new().unwrap();
                let file = directory.path().join("test.db");
                fs::copy(template, &file).unwrap();
                (format!("sqlite://{}", file.display()), Place::Directory { _directory: directory })
            }
            Self::Postgres => {
                let template = POSTGRES.get_or_init(make_postgres_template).await;
                let name = next_name();
                run(&format!("create database {name} template {template}")).await;
                (address_of(&name), Place::Postgres { name })
            }
        };
        Fresh { db: Db::open(&address, PoolSize(4)).await.unwrap(), address, place }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        remove(&self.place);
    }
}

fn remove(place: &Place) {
    let Place::Postgres { name } = place else { return };
    let sql = format!("drop database if exists {name} with (force)");
    // The test's own runtime cannot be waited for while it drops this value.
    let outcome = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&sql));
    })
    .join();
    // A second panic while the test's own unwinds would end the whole run.
    assert!(outcome.is_ok() || std::thread::panicking(), "the database of a test could not be dropped");
}

static SQLITE: OnceCell<PathBuf> = OnceCell::const_new();
static POSTGRES: OnceCell<String> = OnceCell::const_new();

/// A migrated database to copy, named after what migrations say, so that a later run finds it. It gets its name when it is complete.
async fn make_sqlite_template() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = home.join(format!("template_{:016x}.db", hash_of_migrations()));
    if !template.exists() {
        let draft = TempDir::new_in(home).unwrap();
        let file = draft.path().join("draft.db");
        let db = Db::open(&format!("sqlite://{}", file.display()), PoolSize(1)).await.unwrap();
        db.migrate().await.unwrap();
        // Writes the log back into the file.
        db.close().await;
        fs::rename(file, &template).unwrap();
    }
    template
}

/// As [`make_sqlite_template`], on the server.
async fn make_postgres_template() -> String {
    let name = format!("rolegate_template_{:016x}", hash_of_migrations());
    let mut admin = connect().await;
    // Another process of tests may be about the same.
    sqlx::query("select pg_advisory_lock(7042)").execute(&mut admin).await.unwrap();
    let known = sqlx::query("select 1 from pg_database where datname = $1").bind(&name).fetch_optional(&mut admin).await.unwrap();
    if known.is_none() {
        let draft = format!("{name}_draft");
        execute(&mut admin, &format!("drop database if exists {draft} with (force)")).await;
        execute(&mut admin, &format!("create database {draft} template template0 encoding 'UTF8'")).await;
        let db = Db::open(&address_of(&draft), PoolSize(1)).await.unwrap();
        db.migrate().await.unwrap();
        db.close().await;
        execute(&mut admin, &format!("alter database {draft} rename to {name}")).await;
    }
    // Closing the connection gives the lock back.
    admin.close().await.unwrap();
    name
}

fn hash_of_migrations() -> u64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = fs::read_dir(root.join("migrations")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.push(root.join("src/db/migrate.rs"));
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write(&fs::read(file).unwrap());
    }
    hasher.finish()
}

fn next_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("rolegate_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The test server, as a superuser.
pub fn server() -> Url {
    let address = std::env::var("ROLEGATE_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("ROLEGATE_TEST_POSTGRES is not set: run `make test`, which starts a PostgreSQL of its own for the tests, or name a server by postgres://superuser@host:port/postgres")
    });
    Url::parse(&address).unwrap_or_else(|error| panic!("ROLEGATE_TEST_POSTGRES is no address: {error}"))
}

fn address_of(database: &str) -> String {
    let mut address = server();
    address.set_path(database);
    address.to_string()
}

async fn connect() -> PgConnection {
    let address = server();
    PgConnection::connect(address.as_str()).await.unwrap_or_else(|error| panic!("ROLEGATE_TEST_POSTGRES cannot be reached: {error}"))
}

/// Runs one statement on the server as its superuser.
pub async fn run(sql: &str) {
    let mut admin = connect().await;
    execute(&mut admin, sql).await;
    admin.close().await.unwrap();
}

async fn execute(admin: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(admin).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
