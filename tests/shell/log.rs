//! A log that cannot be written does not stop the gateway.

use std::{fs::File, io::pipe, process::Stdio, time::Duration};

use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use crate::common::{
    engines::Engine,
    gateway::{Gateway, OKTA, token},
    process::Process,
};

/// The target of the log of the process.
#[derive(Debug, Clone, Copy)]
enum Stderr {
    /// The reader of the pipe is gone.
    Closed,
    /// The disk is full.
    Full,
    /// The pipe is open and nobody reads it.
    Unread,
}

#[rstest]
#[tokio::test]
async fn requests_are_answered_and_jobs_run_although_the_log_cannot_be_written(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(Stderr::Closed, Stderr::Full, Stderr::Unread)] stderr: Stderr,
) {
    let gateway = Gateway::begin(engine).await;
    let folder = TempDir::new().unwrap();
    let (reader, writer) = pipe().unwrap();
    let mut unread = None;
    let target = match stderr {
        Stderr::Closed => {
            drop(reader);
            Stdio::from(writer)
        }
        Stderr::Full => Stdio::from(File::options().write(true).open("/dev/full").unwrap()),
        Stderr::Unread => {
            unread = Some(reader);
            Stdio::from(writer)
        }
    };
    let process = Process::start_logging_to(gateway.address(), folder.path(), &[("ROLEGATE_LOG_LEVEL", "trace")], target).await;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let users = format!("{}/connections/{OKTA}/scim/v2/Users", process.base);
    for n in 0..30 {
        let request = client.post(&users).bearer_auth(token(OKTA)).json(&json!({ "userName": format!("user-{n}") }));
        assert_eq!(request.send().await.unwrap().status(), 201, "request {n}");
    }
    // The job that seals audit rows is alive.
    let mut unsealed = i64::MAX;
    for _ in 0..200 {
        let row: Option<(i64,)> = gateway.db().query("select count(*) from audit where number is null").optional().await.unwrap();
        unsealed = row.unwrap().0;
        if unsealed == 0 {
            break;
        }
        // Another process has its own clock.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(unsealed, 0, "unsealed rows");
    // A pipe that nobody reads takes some lines, and so does the queue.
    let mut body = serde_json::Value::Null;
    for _ in 0..40 {
        let ready = client.get(format!("{}/health/ready", process.base)).send().await.unwrap();
        assert_eq!(ready.status(), 200);
        body = ready.json().await.unwrap();
        if body["log_lines_lost"].as_u64().is_some_and(|lost| lost > 0) {
            break;
        }
        for _ in 0..50 {
            assert_eq!(client.get(&users).bearer_auth(token(OKTA)).send().await.unwrap().status(), 200);
        }
    }
    assert!(body["log_lines_lost"].as_u64().is_some_and(|lost| lost > 0), "{body}");
    drop(unread);
}
