//! Encrypted assertions at the assertion consumer.

use axum::http::StatusCode;
use rolegate::saml::issuer::{ContentCipher, Encryption, Sign};
use rstest::rstest;
use serde_json::json;

use super::house::{ACS, SLUG, ada, assert_refused, gateway, last_in_log, tenant, traces};
use crate::common::{
    engines::Engine,
    idp,
    installation::{Answer, Browser, Gateway},
};

const OWNER: &str = "[[owners]]\nemail = \"second@acme.example\"\nname = \"S\"\n";

/// A gateway with a key pair, and what an identity provider needs to encrypt for it.
async fn house(engine: Engine, saml: &str) -> (Gateway, Encryption) {
    let gateway = gateway(engine, saml, "").await;
    let applied = gateway.apply(&tenant(saml, OWNER)).await;
    let mut owner = gateway.browser_by_link(&applied, "second@acme.example").await;
    let made = owner.post_json(&format!("/api/v1/connections/{SLUG}/keys"), &json!({})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let metadata = gateway.browser().get(&format!("/connections/{SLUG}/saml/metadata")).await.text();
    let recipient = idp::sp_certificates(&metadata, "encryption").remove(0);
    (gateway, Encryption::new(recipient, [7; 32]))
}

async fn post(browser: &mut Browser<'_>, sign: Sign, encryption: &Encryption) -> Answer {
    browser.gateway.app.clock.advance_secs(1);
    let message = ada(browser.gateway, &["platform-admins"]);
    let response = idp::encrypted_by(&idp::KEY, &message, sign, encryption);
    browser.post_form(ACS, &[("SAMLResponse", &response)]).await
}

#[rstest]
#[tokio::test]
async fn a_person_signs_in_with_an_encrypted_assertion(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(Sign::Assertion, Sign::Response, Sign::Both)] sign: Sign,
) {
    let (gateway, encryption) = house(engine, "idp_initiated = true").await;
    let mut browser = gateway.browser();
    assert_eq!(post(&mut browser, sign, &encryption).await.status, StatusCode::SEE_OTHER);
    let me = super::house::me(&mut browser).await;
    assert_eq!(me["account"]["email"], "ada@acme.example");
    gateway.settle().await;
    assert_eq!(gateway.count("select count(*) from sp_key where last_decrypted_at_ms is not null").await, 1);
}

#[rstest]
#[tokio::test]
async fn what_is_refused_leaves_nothing_and_says_why_in_the_log_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, encryption) = house(engine, "idp_initiated = true").await;
    let before = traces(&gateway).await;
    let mut browser = gateway.browser();
    let cbc = Encryption { content: ContentCipher::Aes256Cbc, ..encryption.clone() };
    let foreign = Encryption { recipient: idp::FOREIGN_KEY.certificate().clone(), ..encryption.clone() };
    let cases = [
        (Sign::Nothing, &encryption, "signature", "neither the Response nor the encrypted Assertion is signed"),
        (Sign::Both, &cbc, "decryption", "allow_cbc"),
        (Sign::Assertion, &foreign, "decryption", "load the metadata"),
    ];
    for (sign, encryption, step, words) in cases {
        assert_refused(&post(&mut browser, sign, encryption).await);
        let row = last_in_log(&gateway).await;
        assert_eq!(row.step.as_deref(), Some(step), "{}", row.message);
        assert!(row.message.contains(words), "{}", row.message);
    }
    assert_eq!(traces(&gateway).await, before);
    assert_eq!(gateway.count("select count(*) from sp_key where last_decrypted_at_ms is not null").await, 0);
}

#[tokio::test]
async fn cbc_is_taken_by_the_connections_switch_inside_a_signed_response() {
    let (gateway, encryption) = house(Engine::Sqlite, "idp_initiated = true\nallow_cbc = true").await;
    let cbc = Encryption { content: ContentCipher::Aes128Cbc, ..encryption };
    let mut browser = gateway.browser();
    assert_eq!(post(&mut browser, Sign::Both, &cbc).await.status, StatusCode::SEE_OTHER);
    assert_eq!(post(&mut browser, Sign::Response, &cbc).await.status, StatusCode::SEE_OTHER);
    assert_refused(&post(&mut gateway.browser(), Sign::Assertion, &cbc).await);
    assert!(last_in_log(&gateway).await.message.contains("sign the Response too"));
}

#[tokio::test]
async fn a_connection_without_a_key_says_how_to_make_one() {
    let gateway = gateway(Engine::Sqlite, "idp_initiated = true", "").await;
    let encryption = Encryption::new(idp::FOREIGN_KEY.certificate().clone(), [7; 32]);
    assert_refused(&post(&mut gateway.browser(), Sign::Both, &encryption).await);
    assert!(last_in_log(&gateway).await.message.contains("rolegate keys create"));
}
