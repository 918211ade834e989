//! Processes of the gateway, each with a memory of its own: that an assertion counts once is the database's word.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Client, redirect::Policy};
use rolegate::{
    app::Clock,
    domain::time::Timestamp,
    saml::{
        NameId,
        issuer::{IssuerKey, Message, Sign},
    },
};
use rstest::rstest;

use super::house::{SLUG, tenant};
use crate::common::{engines::Engine, idp, installation::Gateway, process::Process};

/// The address that all processes believe to be reached at; nothing listens there.
const PUBLIC: &str = "http://127.0.0.1:9";

fn message(unique: u8, now: Timestamp) -> Message {
    let base = format!("{PUBLIC}/connections/{SLUG}/saml");
    let name_id = NameId { value: "ada@acme.example".to_owned(), format: None };
    Message::new([unique; 16], idp::ENTITY_ID, &format!("{base}/metadata"), &format!("{base}/acs"), name_id, now)
}

async fn start(gateway: &Gateway) -> Process {
    Process::start(gateway.address(), gateway.home(), &[("ROLEGATE_PUBLIC_URL", PUBLIC)]).await
}

async fn post(client: Client, base: String, response: String) -> u16 {
    let answer = client.post(format!("{base}/connections/{SLUG}/saml/acs")).form(&[("SAMLResponse", response)]).send().await;
    answer.unwrap().status().as_u16()
}

/// Fifty posts at once, spread over the processes: how many were let in, how many refused.
async fn flood(client: &Client, processes: &[Process], response: &str) -> (usize, usize) {
    let posts: Vec<_> =
        (0..50).map(|n| tokio::spawn(post(client.clone(), processes[n % processes.len()].base.clone(), response.to_owned()))).collect();
    let mut statuses = Vec::new();
    for post in posts {
        statuses.push(post.await.unwrap());
    }
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(303) + count(403), 50, "{statuses:?}");
    (count(303), count(403))
}

#[rstest]
#[case::two_nodes(Engine::Postgres, 2)]
#[case::one_node(Engine::Sqlite, 1)]
#[tokio::test]
async fn an_assertion_counts_once_for_all_processes_and_after_they_were_killed(#[case] engine: Engine, #[case] nodes: usize) {
    let now = Clock::System.now();
    let key = IssuerKey::rsa("idp.example", now.plus_secs(-3600)).unwrap();
    let gateway = Gateway::open(engine).await;
    gateway.apply_with(&tenant("idp_initiated = true", ""), |_| idp::metadata_with(&[&key])).await;
    let mut processes = Vec::new();
    for _ in 0..nodes {
        processes.push(start(&gateway).await);
    }
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let (first, second) = (message(1, now), message(2, now));
    let signed = |message: &Message, sign| STANDARD.encode(key.issue(message, sign).unwrap());

    let response = signed(&first, Sign::Both);
    assert_eq!(flood(&client, &processes, &response).await, (1, 49));
    // The same assertion signed otherwise is the same assertion.
    assert_eq!(flood(&client, &processes, &signed(&first, Sign::Response)).await, (0, 50));
    // The control: another one.
    assert_eq!(flood(&client, &processes, &signed(&second, Sign::Both)).await, (1, 49));

    for process in &mut processes {
        process.kill();
        *process = start(&gateway).await;
    }
    assert_eq!(flood(&client, &processes, &response).await, (0, 50));
    assert_eq!(flood(&client, &processes, &signed(&message(3, now), Sign::Both)).await, (1, 49));
    assert_eq!(gateway.count("select count(*) from session").await, 3);
    assert_eq!(gateway.count("select count(*) from identity").await, 1);
}
