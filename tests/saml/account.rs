//! What becomes of an account at sign-in: made, waiting, refused, changed.

use std::path::Path;

use axum::http::StatusCode;
use rolegate::{
    admin::{
        apply::{Applied, preview},
        plan::Metadata,
        tenant_file::TenantFile,
    },
    domain::{actor::Actor, name::Slug},
    saml::issuer::Sign,
};
use rstest::rstest;

use super::house::{SLUG, ada, assert_refused, gateway, last_in_log, me, post, roles, sign_in, tenant, traces};
use crate::common::{engines::Engine, idp, installation::Gateway};

#[rstest]
#[tokio::test]
async fn without_jit_a_stranger_stays_a_stranger(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "jit = \"off\"", "").await;
    let before = traces(&gateway).await;
    assert_refused(&sign_in(&mut gateway.browser(), ada(&gateway, &[])).await);
    assert_eq!(traces(&gateway).await, before);
    let row = last_in_log(&gateway).await;
    assert!(row.step.as_deref() == Some("account") && row.message.contains("jit"), "{}", row.message);
}

#[rstest]
#[tokio::test]
async fn a_refused_response_is_used_up(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "jit = \"off\"\nidp_initiated = true", "").await;
    let message = ada(&gateway, &[]);
    assert_refused(&post(&mut gateway.browser(), &message, Sign::Both).await);
    assert_eq!(gateway.count("select count(*) from consumed_assertion").await, 1);
    // Also when the connection would take it now.
    gateway.apply(&tenant("jit = \"create\"\nidp_initiated = true", "")).await;
    assert_refused(&post(&mut gateway.browser(), &message, Sign::Both).await);
    assert_eq!(last_in_log(&gateway).await.step.as_deref(), Some("replay"));
}

#[rstest]
#[tokio::test]
async fn create_pending_makes_an_account_that_waits(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "jit = \"create_pending\"", "").await;
    for _ in 0..2 {
        assert_refused(&sign_in(&mut gateway.browser(), ada(&gateway, &[])).await);
    }
    assert!(last_in_log(&gateway).await.message.contains("waits for approval"));
    assert_eq!(gateway.count("select count(*) from account where status = 'pending'").await, 1);
    assert_eq!(gateway.count("select count(*) from session").await, 0);
}

const DENY: &str = "[[connections.rules]]\nname = \"leavers\"\nwhen = 'groups[value eq \"leavers\"]'\ndeny_sign_in = \"You have left.\"\n";

#[rstest]
#[tokio::test]
async fn a_rule_that_denies_sign_in_ends_the_sessions_and_keeps_the_stranger_out(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let gateway = gateway(engine, "", DENY).await;
    let before = traces(&gateway).await;
    assert_refused(&sign_in(&mut gateway.browser(), ada(&gateway, &["leavers"])).await);
    assert_eq!(traces(&gateway).await, before, "no account is made for somebody who is denied");

    let (mut desk, mut phone) = (gateway.browser(), gateway.browser());
    assert_eq!(sign_in(&mut desk, ada(&gateway, &["platform-admins"])).await.status, StatusCode::SEE_OTHER);
    assert_eq!(roles(&me(&mut desk).await).len(), 2);
    assert_refused(&sign_in(&mut phone, ada(&gateway, &["leavers"])).await);
    assert_eq!(desk.get_json("/me").await.status, StatusCode::UNAUTHORIZED, "what is taken away is taken away at once");
    assert_eq!(gateway.count("select count(*) from session").await, 0);
    assert!(last_in_log(&gateway).await.message.contains("You have left."));
}

async fn planned(gateway: &Gateway, text: &str) -> Applied {
    let file = TenantFile::parse(Path::new("tenant.toml"), text).unwrap();
    let metadata = Metadata::from([(Slug::parse(SLUG).unwrap(), idp::metadata())]);
    let mut occasion = gateway.app.occasion(Actor::HostOperator, "plan");
    preview(&gateway.app.db, &mut occasion, &file, &metadata).await.unwrap()
}

fn sentences(applied: &Applied, are: &str) -> Vec<String> {
    applied.shut_out.iter().map(|shut_out| shut_out.sentence(are)).collect()
}

#[rstest]
#[tokio::test]
async fn a_plan_says_whom_a_rule_would_keep_out(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "idp_initiated = true", "").await;
    for (name, groups) in [("ada", &["leavers"][..]), ("ben", &["leavers", "platform-admins"]), ("cyd", &[]), ("dee", &["leavers"])] {
        let mut message = ada(&gateway, groups);
        message.name_id.as_mut().unwrap().value = format!("{name}@acme.example");
        assert_eq!(post(&mut gateway.browser(), &message, Sign::Both).await.status, StatusCode::SEE_OTHER);
    }
    // Who is not let in anyway is not kept out by the rule.
    let mut tx = gateway.app.db.begin().await.unwrap();
    tx.query("update account set status = 'blocked' where user_name_key = 'dee@acme.example'").run().await.unwrap();
    tx.commit().await.unwrap();
    let (without, with) = (tenant("idp_initiated = true", ""), tenant("idp_initiated = true", DENY));
    assert!(planned(&gateway, &without).await.shut_out.is_empty());
    let said = "acme-okta: 2 people would be refused at the next sign-in: ada@acme.example, ben@acme.example";
    assert_eq!(sentences(&planned(&gateway, &with).await, "would be"), [said]);
    assert_eq!(gateway.count("select count(*) from session").await, 4, "it is only said");
    let applied = gateway.apply(&with).await;
    assert_eq!(sentences(&applied, "are"), [said.replace("would be", "are")]);
    assert_eq!(gateway.count("select count(*) from session").await, 1);
    // Those are out already: another rule that means them too keeps out who is new to it.
    let strict = with.replace("apply = \"on_create\"", "apply = \"on_create\"\nunmatched = \"deny_sign_in\"");
    let said = "acme-okta: 1 person would be refused at the next sign-in: cyd@acme.example";
    assert_eq!(sentences(&planned(&gateway, &strict).await, "would be"), [said]);
    assert!(planned(&gateway, &without).await.shut_out.is_empty());
}

#[rstest]
#[tokio::test]
async fn groups_that_are_not_spoken_of_stay_as_they_were(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "", "").await;
    let mut browser = gateway.browser();
    sign_in(&mut browser, ada(&gateway, &["platform-admins"])).await;
    let mut silent = ada(&gateway, &[]);
    silent.attributes.retain(|(name, _)| name != "groups");
    assert_eq!(sign_in(&mut browser, silent).await.status, StatusCode::SEE_OTHER);
    assert_eq!(roles(&me(&mut browser).await).len(), 2);
}

#[rstest]
#[tokio::test]
async fn a_transient_name_keys_no_account(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "", "").await;
    let mut message = ada(&gateway, &[]);
    message.name_id.as_mut().unwrap().format = Some("urn:oasis:names:tc:SAML:2.0:nameid-format:transient".to_owned());
    let before = traces(&gateway).await;
    assert_refused(&sign_in(&mut gateway.browser(), message).await);
    assert_eq!(traces(&gateway).await, before);
}
