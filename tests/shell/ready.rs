//! `/health/ready` says whether a write would succeed.

use std::{fs, path::Path, process::Command, time::Duration};

use reqwest::StatusCode;
use rolegate::db::Db;
use rstest::rstest;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::common::{
    engines::Engine,
    gateway::{Gateway, OKTA, token},
    process::Process,
};

/// Returns the answer of the probe once it has the status, within two seconds.
async fn becomes(gateway: &Gateway, expected: u16) -> String {
    let mut said = String::new();
    for _ in 0..40 {
        let request = axum::http::Request::get("/health/ready").body(axum::body::Body::empty()).unwrap();
        let answer = gateway.call(request).await;
        said = String::from_utf8(answer.bytes).unwrap();
        if answer.status == expected {
            return said;
        }
        // The probe repeats its last result for a moment.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{expected} was expected: {said}");
}

async fn run(db: &Db, sql: &'static str) {
    db.query(sql).run().await.unwrap();
}

#[rstest]
#[case::full("pragma max_page_count = 1", "pragma max_page_count = 100000")]
#[case::read_only("pragma query_only = 1", "pragma query_only = 0")]
#[tokio::test]
async fn a_file_that_takes_no_writes_is_not_ready(#[case] broken: &'static str, #[case] mended: &'static str) {
    let gateway = Gateway::begin(Engine::Sqlite).await;
    // Without free pages.
    run(gateway.db(), "vacuum").await;
    run(gateway.db(), broken).await;
    assert!(becomes(&gateway, 503).await.contains("takes no writes"));
    run(gateway.db(), mended).await;
    becomes(&gateway, 200).await;
}

fn check(database: &str, folder: &Path) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
    command.arg("check").env("ROLEGATE_DATABASE_URL", database).env("ROLEGATE_DATA_DIR", folder).current_dir(folder);
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_not_ready_and_check_fails() {
    let (gateway, folder) = (Gateway::begin(Engine::Postgres).await, TempDir::new().unwrap());
    becomes(&gateway, 200).await;
    assert!(check(gateway.address(), folder.path()).0);
    let set = "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$";
    run(gateway.db(), set).await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    run(gateway.db(), end).await;
    becomes(&gateway, 503).await;
    let (fine, said) = check(gateway.address(), folder.path());
    assert!(!fine && said.contains("FAILED   database: it takes no writes"), "{said}");
    // The connections of the pool were ended.
    let mut connection = PgConnection::connect(gateway.address()).await.unwrap();
    let reset = "do $$ begin execute format('alter database %I reset default_transaction_read_only', current_database()); end $$";
    for sql in ["set default_transaction_read_only = off", reset] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    becomes(&gateway, 200).await;
}

/// A client of a process, which has its own memory and log.
struct Client<'p>(&'p Process);

impl Client<'_> {
    async fn ready(&self, expected: StatusCode) {
        for _ in 0..40 {
            if reqwest::get(format!("{}/health/ready", self.0.base)).await.unwrap().status() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{expected} was expected");
    }

    async fn create(&self, name: &str) -> StatusCode {
        let client = reqwest::Client::new().post(format!("{}/connections/{OKTA}/scim/v2/Users", self.0.base));
        client.bearer_auth(token(OKTA)).json(&json!({ "userName": name })).send().await.unwrap().status()
    }
}

#[tokio::test]
async fn a_deleted_file_takes_no_writes_until_it_is_back_and_the_log_tells_each_once() {
    let (gateway, folder) = (Gateway::begin(Engine::Sqlite).await, TempDir::new().unwrap());
    let file = gateway.address().strip_prefix("sqlite://").unwrap().to_owned();
    let log = folder.path().join("log");
    let process = Process::start_logged(gateway.address(), folder.path(), &[("ROLEGATE_LOG_LEVEL", "info")], &log).await;
    let client = Client(&process);
    assert_eq!(client.create("anna").await, StatusCode::CREATED);
    let moved = format!("{file}.moved");
    fs::rename(&file, &moved).unwrap();
    assert_eq!(client.create("ben").await, StatusCode::SERVICE_UNAVAILABLE, "at once, before anything is lost");
    client.ready(StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(!Path::new(&file).exists(), "nothing makes another file");
    assert!(!check(gateway.address(), folder.path()).0);
    client.ready(StatusCode::SERVICE_UNAVAILABLE).await;
    fs::rename(&moved, &file).unwrap();
    client.ready(StatusCode::OK).await;
    assert_eq!(client.create("ben").await, StatusCode::CREATED);
    let log = fs::read_to_string(log).unwrap();
    let told = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!((told("this node is not ready"), told("this node is ready again")), (1, 1), "{log}");
    assert!(log.contains("was deleted while it was open"), "{log}");
}
