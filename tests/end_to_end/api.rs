//! A client that reads the API's document and calls every operation with sound and unsound values.

use axum::http::header;
use serde_json::{Value, json};

use super::{gateway::Gateway, peers};
use crate::common::engines::Engine;

const TENANT: &str = r#"
[tenant]
slug = "acme"
name = "Acme"
preset = "idaas"
settings = { min_owners = 1 }

[[owners]]
email = "owner@acme.example"
name = "First Owner"

[[connections]]
slug = "acme-okta"
organization = "acme"

[connections.scim]
enabled = true
"#;

/// An API token of the owner, who signs in by the link that `apply` printed.
async fn owners_token(gateway: &Gateway, applied: &Value) -> String {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let link = applied["sign_in_links"][0]["url"].as_str().unwrap();
    let answer = client.post(link).send().await.unwrap();
    let cookie = answer.headers()[header::SET_COOKIE.as_str()].to_str().unwrap().split(';').next().unwrap().to_owned();
    let me = client.get(format!("{}/me", gateway.url)).header("cookie", &cookie).header("accept", "application/json").send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    let made = client
        .post(format!("{}/api/v1/tokens", gateway.url))
        .header("cookie", &cookie)
        .header("x-csrf-token", me["csrf_token"].as_str().unwrap())
        .json(&json!({ "name": "schemathesis" }))
        .send()
        .await
        .unwrap();
    let made: Value = made.json().await.unwrap();
    made["token"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

#[tokio::test]
async fn schemathesis_finds_no_server_error_and_no_answer_that_is_not_documented() {
    let mut gateway = Gateway::prepare(Engine::Sqlite).await;
    let applied = gateway.start(TENANT).await;
    let token = owners_token(&gateway, &applied).await;
    let output = peers::schemathesis(&gateway.url, &token);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let selected = said.lines().find_map(|line| line.trim().strip_prefix("Selected: ")?.split_once('/'));
    let tested = said.lines().find_map(|line| line.trim().strip_prefix("Tested: "));
    assert!(tested.is_some() && selected.map(|(selected, _)| selected) == tested, "{said}");
}
