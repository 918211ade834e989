//! A SCIM client that checks every resource and attribute against the running gateway.

use rstest::rstest;

use super::{gateway::Gateway, peers};
use crate::common::engines::Engine;

const TENANT: &str = r#"
[tenant]
slug = "acme"
name = "Acme"
preset = "org-admin"

[[owners]]
email = "owner@acme.example"
name = "First Owner"

[[connections]]
slug = "acme-okta"
organization = "acme"
audience = "admin"

[connections.scim]
enabled = true
"#;

#[rstest]
#[tokio::test]
async fn scim2_tester_finds_no_error(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let mut gateway = Gateway::prepare(engine).await;
    let applied = gateway.start(TENANT).await;
    let base = applied["connections"][0]["scim_base_url"].as_str().unwrap();
    let output = peers::scim2_tester(base, &gateway.token("acme-okta"));
    let said = String::from_utf8_lossy(&output.stdout);
    let checks = said.lines().last().and_then(|line| line.split_once(" passed, 0 failed")).map(|(passed, _)| passed.parse::<u32>());
    assert!(output.status.success() && matches!(checks, Some(Ok(50..))), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
