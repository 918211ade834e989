//! `kill -9` under load: what was acknowledged is there after a restart, and nothing is there by half.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rolegate::{db::seal, keys::Keys};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{
    engines::Engine,
    gateway::{Gateway, OKTA, id, token},
    whole,
};

const CLIENTS: usize = 8;
/// The process is killed in the middle of the work that follows so many answers.
const ANSWERS: usize = 150;

/// A gateway in a process of its own, killed when the value is dropped.
struct Process {
    child: Child,
    base: String,
}

impl Process {
    async fn start(gateway: &Gateway, folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(env!("CARGO_BIN_EXE_rolegate"))
            .arg("serve")
            .env("ROLEGATE_DATABASE_URL", gateway.address())
            .env("ROLEGATE_LISTEN", format!("127.0.0.1:{port}"))
            .env("ROLEGATE_DATA_DIR", folder)
            .env("ROLEGATE_LOG_LEVEL", "error")
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let process = Self { child, base: format!("http://127.0.0.1:{port}/connections/{OKTA}/scim/v2") };
        let ready = format!("http://127.0.0.1:{port}/health/ready");
        for _ in 0..300 {
            if reqwest::get(&ready).await.is_ok_and(|answer| answer.status() == 200) {
                return process;
            }
            // Another process has a clock of its own.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the gateway is not ready after 15 seconds");
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request; `None` when the answer did not come.
async fn send(client: &reqwest::Client, method: reqwest::Method, address: String, body: Value) -> Option<(u16, Value)> {
    let answer = client.request(method, address).bearer_auth(token(OKTA)).json(&body).send().await.ok()?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

/// What one client was told is done: users by id with the title they have now, and those it put into the group.
#[derive(Default)]
struct Told {
    titles: Vec<(String, String)>,
    members: Vec<String>,
}

/// Creates people, changes them and puts them into a group until the server is gone.
async fn work(client: reqwest::Client, base: String, name: usize, group: String, answers: Arc<AtomicUsize>) -> Told {
    let mut told = Told::default();
    for n in 0.. {
        let user =
            json!({ "userName": format!("user-{name}-{n}"), "title": "new", "emails": [{ "value": format!("{name}-{n}@example.com") }] });
        let Some((201, created)) = send(&client, reqwest::Method::POST, format!("{base}/Users"), user).await else { break };
        let id = created["id"].as_str().unwrap().to_owned();
        answers.fetch_add(1, Ordering::SeqCst);
        let patch = json!({ "Operations": [{ "op": "replace", "path": "title", "value": "changed" }] });
        let patched = send(&client, reqwest::Method::PATCH, format!("{base}/Users/{id}"), patch).await;
        // While no answer has come, the title may be either.
        let title = if matches!(patched, Some((200, _))) { "changed" } else { "" };
        told.titles.push((id.clone(), title.to_owned()));
        if title.is_empty() {
            break;
        }
        answers.fetch_add(1, Ordering::SeqCst);
        let join = json!({ "Operations": [{ "op": "add", "path": "members", "value": [{ "value": id }] }] });
        let Some((204, _)) = send(&client, reqwest::Method::PATCH, format!("{base}/Groups/{group}"), join).await else { break };
        told.members.push(id);
        answers.fetch_add(1, Ordering::SeqCst);
    }
    told
}

#[rstest]
#[tokio::test]
async fn a_killed_process_loses_nothing_it_acknowledged(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let folder = TempDir::new().unwrap();
    let mut process = Process::start(&gateway, folder.path()).await;
    let client = reqwest::Client::new();
    let group = json!({ "displayName": "Everybody" });
    let (_, group) = send(&client, reqwest::Method::POST, format!("{}/Groups", process.base), group).await.unwrap();
    let group = group["id"].as_str().unwrap().to_owned();

    let answers = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> =
        (0..CLIENTS).map(|name| tokio::spawn(work(client.clone(), process.base.clone(), name, group.clone(), answers.clone()))).collect();
    while answers.load(Ordering::SeqCst) < ANSWERS {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.kill();
    let mut told = Vec::new();
    for client in clients {
        told.push(client.await.unwrap());
    }

    let process = Process::start(&gateway, folder.path()).await;
    let read = async |path: String| {
        let answer = client.get(format!("{}{path}", process.base)).bearer_auth(token(OKTA)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap()
    };
    let members = read(format!("/Groups/{group}")).await["members"].to_string();
    for told in told {
        for (id, title) in told.titles {
            let user = read(format!("/Users/{id}")).await;
            assert!(title.is_empty() || user["title"] == title.as_str(), "{user}");
        }
        for id in told.members {
            assert!(members.contains(&id), "{id} is in the group");
        }
    }
    whole::check(gateway.db()).await;
    // What the first process had no time to seal, the second one seals.
    let keys = Keys::find(&folder.path().join("certs/master.key")).unwrap().unwrap();
    for _ in 0..100 {
        let verdict = seal::verify(gateway.db(), id(1), &keys.chain(), None).await.unwrap();
        assert!(verdict.broken.is_none(), "{verdict:?}");
        if verdict.unsealed == 0 && verdict.rows > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("rows wait for their seal");
}
