//! `kill -9` under load: what was acknowledged is there after a restart, and nothing is there by half.

use std::{
    path::Path,
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
    process::Process,
    whole,
};

const CLIENTS: usize = 8;
/// The process is killed in the middle of the work that follows so many answers.
const ANSWERS: usize = 150;

async fn start(gateway: &Gateway, folder: &Path) -> (Process, String) {
    let process = Process::start(gateway.address(), folder, &[]).await;
    let base = format!("{}/connections/{OKTA}/scim/v2", process.base);
    (process, base)
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
    let (mut process, base) = start(&gateway, folder.path()).await;
    let client = reqwest::Client::new();
    let group = json!({ "displayName": "Everybody" });
    let (_, group) = send(&client, reqwest::Method::POST, format!("{base}/Groups"), group).await.unwrap();
    let group = group["id"].as_str().unwrap().to_owned();

    let answers = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> =
        (0..CLIENTS).map(|name| tokio::spawn(work(client.clone(), base.clone(), name, group.clone(), answers.clone()))).collect();
    while answers.load(Ordering::SeqCst) < ANSWERS {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.kill();
    let mut told = Vec::new();
    for client in clients {
        told.push(client.await.unwrap());
    }

    let (_process, base) = start(&gateway, folder.path()).await;
    let read = async |path: String| {
        let answer = client.get(format!("{base}{path}")).bearer_auth(token(OKTA)).send().await.unwrap();
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
