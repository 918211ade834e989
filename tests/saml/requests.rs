//! What sign-ins ask of the identity provider: signed or not, by redirect and by POST.

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::{
    domain::id::CertificateId,
    saml::{IdpCertificate, issuer::Sign, sign::verify_redirect},
};
use rstest::rstest;
use serde_json::json;
use uuid::Uuid;

use super::house::{ACS, LOGIN, SLUG, ada, assert_refused, gateway, last_in_log, tenant};
use crate::common::{engines::Engine, idp, installation::Gateway};

const OWNER: &str = "[[owners]]\nemail = \"second@acme.example\"\nname = \"S\"\n";

async fn with_key(saml: &str, algorithm: &str) -> (Gateway, IdpCertificate) {
    let gateway = gateway(Engine::Sqlite, saml, "").await;
    let applied = gateway.apply(&tenant(saml, OWNER)).await;
    let mut owner = gateway.browser_by_link(&applied, "second@acme.example").await;
    let made = owner.post_json(&format!("/api/v1/connections/{SLUG}/keys"), &json!({ "algorithm": algorithm })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let metadata = gateway.browser().get(&format!("/connections/{SLUG}/saml/metadata")).await.text();
    assert!(metadata.contains("AuthnRequestsSigned=\"true\""), "{metadata}");
    let certificate = idp::sp_certificates(&metadata, "signing").remove(0);
    (gateway, IdpCertificate { id: CertificateId::new(Uuid::from_u128(1)), certificate })
}

/// The AuthnRequest in the address of a redirect.
fn redirected(location: &str) -> String {
    let url = url::Url::parse(location).unwrap();
    let (_, value) = url.query_pairs().find(|(name, _)| name == "SAMLRequest").unwrap();
    let mut xml = String::new();
    let bytes = STANDARD.decode(value.as_bytes()).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::DeflateDecoder::new(&bytes[..]), &mut xml).unwrap();
    xml
}

#[rstest]
#[tokio::test]
async fn a_redirect_is_signed_with_the_current_key(#[values("rsa-3072", "ec-p256")] algorithm: &str) {
    let (gateway, known) = with_key("sign_requests = true", algorithm).await;
    let mut browser = gateway.browser();
    let begun = browser.get(LOGIN).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text());
    let query = begun.location().split_once('?').unwrap().1;
    verify_redirect(query, &[known]).unwrap();
    // And the sign-in that it begins comes to its end.
    let mut message = ada(&gateway, &[]);
    message.in_response_to = Some(idp::request_id(begun.location()));
    assert_eq!(browser.post_form(ACS, &[("SAMLResponse", &idp::signed(&message, Sign::Both))]).await.status, StatusCode::SEE_OTHER);
}

#[rstest]
#[tokio::test]
async fn a_request_goes_by_post_where_the_identity_provider_takes_it_so(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "request_binding = \"post\"", "").await;
    // The metadata of these tests names HTTP-Redirect alone.
    assert_eq!(gateway.browser().get(LOGIN).await.status, StatusCode::SEE_OTHER);
    set_saml(&gateway, "sso_post_url", &json!("https://idp.example/sso/post")).await;
    let mut browser = gateway.browser();
    let page = browser.get(LOGIN).await;
    assert_eq!(page.status, StatusCode::OK);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'sha256-") && !policy.contains("form-action"), "{policy}");
    let text = page.text();
    assert!(text.contains("action=\"https://idp.example/sso/post\""), "{text}");
    let value = text.split("name=\"SAMLRequest\" value=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#61;", "=");
    let xml = String::from_utf8(STANDARD.decode(value.replace("&#43;", "+").replace("&#x2F;", "/")).unwrap()).unwrap();
    assert!(xml.contains("Destination=\"https://idp.example/sso/post\"") && !xml.contains("Signature"), "{xml}");
    let mut message = ada(&gateway, &[]);
    message.in_response_to = Some(xml.split("ID=\"").nth(1).unwrap().split('"').next().unwrap().to_owned());
    assert_eq!(browser.post_form(ACS, &[("SAMLResponse", &idp::signed(&message, Sign::Both))]).await.status, StatusCode::SEE_OTHER);

    // Where there is nothing but POST, a redirect that is wanted gives way.
    set_saml(&gateway, "request_binding", &json!("redirect")).await;
    set_saml(&gateway, "sso_url", &serde_json::Value::Null).await;
    assert_eq!(gateway.browser().get(LOGIN).await.status, StatusCode::OK);
}

/// Changes one SAML setting of the connection, as metadata or an owner would.
async fn set_saml(gateway: &Gateway, key: &str, value: &serde_json::Value) {
    let row = rolegate::db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap();
    let mut connection = row.connection;
    let mut settings = serde_json::to_value(&connection.saml).unwrap();
    settings[key] = value.clone();
    connection.saml = serde_json::from_value(settings).unwrap();
    let mut tx = gateway.app.db.begin().await.unwrap();
    rolegate::db::connection::update_connection(&mut tx, &connection, gateway.app.now()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_signs_and_has_no_key_begins_nothing() {
    let gateway = gateway(Engine::Sqlite, "sign_requests = true", "").await;
    let answer = gateway.browser().get(LOGIN).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.text().contains("tell your administrator"), "{}", answer.text());
    assert_eq!(gateway.count("select count(*) from authn_request").await, 0);
}

#[tokio::test]
async fn metadata_that_asks_for_signed_requests_gets_them_unless_the_connection_says_no() {
    let (gateway, known) = with_key_when_wanted("").await;
    let begun = gateway.browser().get(LOGIN).await;
    verify_redirect(begun.location().split_once('?').unwrap().1, &[known]).unwrap();
    let (gateway, _) = with_key_when_wanted("sign_requests = false").await;
    assert!(!gateway.browser().get(LOGIN).await.location().contains("Signature"));
}

async fn with_key_when_wanted(saml: &str) -> (Gateway, IdpCertificate) {
    let gateway = gateway(Engine::Sqlite, saml, "").await;
    let applied = gateway.apply(&tenant(saml, OWNER)).await;
    let mut owner = gateway.browser_by_link(&applied, "second@acme.example").await;
    let made = owner.post_json(&format!("/api/v1/connections/{SLUG}/keys"), &json!({ "algorithm": "ec-p256" })).await;
    let certificate = rolegate::saml::Certificate::parse(made.json()["certificate"].as_str().unwrap()).unwrap();
    set_saml(&gateway, "idp_wants_signed_requests", &json!(true)).await;
    (gateway, IdpCertificate { id: CertificateId::new(Uuid::from_u128(1)), certificate })
}

#[tokio::test]
async fn a_request_says_what_the_connection_wants() {
    let wants = "force_authn = true\nname_id_format = \"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\"\n\
                 authn_context = { classes = [\"urn:mfa\", \"urn:smartcard\"], required = true }";
    let gateway = gateway(Engine::Sqlite, wants, "").await;
    let mut browser = gateway.browser();
    let begun = browser.get(LOGIN).await;
    let xml = redirected(begun.location());
    for part in [
        "ForceAuthn=\"true\"",
        "<samlp:NameIDPolicy Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\" AllowCreate=\"true\"/>",
        "<samlp:RequestedAuthnContext Comparison=\"exact\"><saml:AuthnContextClassRef>urn:mfa</saml:AuthnContextClassRef>",
    ] {
        assert!(xml.contains(part), "{part} in {xml}");
    }
    // What comes back must be one of them.
    let mut message = ada(&gateway, &[]);
    message.in_response_to = Some(idp::request_id(begun.location()));
    assert_refused(&browser.post_form(ACS, &[("SAMLResponse", &idp::signed(&message, Sign::Both))]).await);
    let row = last_in_log(&gateway).await;
    assert!(row.step.as_deref() == Some("conditions") && row.message.contains("expected \"urn:mfa or urn:smartcard\""), "{}", row.message);
    "urn:smartcard".clone_into(&mut message.authn_context);
    assert_eq!(browser.post_form(ACS, &[("SAMLResponse", &idp::signed(&message, Sign::Both))]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_context_that_is_only_wished_for_is_not_checked() {
    let gateway =
        gateway(Engine::Sqlite, "idp_initiated = true\nauthn_context = { classes = [\"urn:mfa\"], comparison = \"minimum\" }", "").await;
    assert!(redirected(gateway.browser().get(LOGIN).await.location()).contains("Comparison=\"minimum\""));
    let response = idp::signed(&ada(&gateway, &[]), Sign::Both);
    assert_eq!(gateway.browser().post_form(ACS, &[("SAMLResponse", &response)]).await.status, StatusCode::SEE_OTHER);
}
