use axum::http::StatusCode;
use rolegate::saml::issuer::Sign;
use rstest::rstest;
use serde_json::json;

use super::house::{ACS, LOGIN, ada, gateway, last_in_log, me, post, roles, sign_in};
use crate::common::{engines::Engine, idp};

#[rstest]
#[tokio::test]
async fn a_first_sign_in_makes_the_account_with_what_the_rules_and_the_default_give(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(Sign::Assertion, Sign::Response, Sign::Both)] sign: Sign,
) {
    let gateway = gateway(engine, "", "").await;
    let mut browser = gateway.browser();
    let begun = browser.get(&format!("{LOGIN}?return_to=/reports%3Fyear=2026")).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER);
    assert!(begun.location().starts_with(idp::SSO_URL));
    let mut message = ada(&gateway, &["staff", "platform-admins"]);
    message.in_response_to = Some(idp::request_id(begun.location()));
    let answer = post(&mut browser, &message, sign).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/reports?year=2026"));
    let cookies = answer.cookies();
    assert!(cookies[0].starts_with("__Host-rolegate_session="), "{cookies:?}");
    assert!(cookies[0].ends_with("; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax; Secure"), "{cookies:?}");
    assert_eq!(browser.cookies.len(), 1, "the request's cookie is gone");

    let me = me(&mut browser).await;
    let account = &me["account"];
    assert_eq!(
        (&account["user_name"], &account["email"], &account["display_name"], &account["active"], &account["connection"]),
        (&json!("ada@acme.example"), &json!("ada@acme.example"), &json!("Ada Lovelace"), &json!(true), &json!("acme-okta"))
    );
    let expected = [("Organization Context Manager", "saml_rule"), ("Organization Member", "default")];
    assert_eq!(roles(&me), expected.map(|(role, kind)| (role.to_owned(), vec![kind.to_owned()])));
    let by_rule = me["assignments"].as_array().unwrap().iter().find(|a| a["role"] == "Organization Context Manager").unwrap();
    assert_eq!(
        by_rule["origins"],
        json!([{ "kind": "saml_rule", "connection": "acme-okta", "rule": "platform team", "since": "2026-03-03T01:06:41Z" }])
    );
    assert_eq!(by_rule["organization"], "acme");
    let permissions = me["permissions"][0]["permissions"].as_array().unwrap();
    assert!(permissions.contains(&json!("organization_structure:read")), "{permissions:?}");

    let row = last_in_log(&gateway).await;
    assert_eq!(row.message, "signed in for the first time; an account was made");
    assert_eq!(row.account.unwrap().to_string(), account["id"].as_str().unwrap());
    assert_eq!(gateway.count("select count(*) from idp_certificate where last_used_at_ms is not null").await, 1);
}

#[rstest]
#[tokio::test]
async fn a_second_sign_in_finds_the_account_and_takes_back_what_the_groups_no_longer_give(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let gateway = gateway(engine, "", "").await;
    let mut browser = gateway.browser();
    sign_in(&mut browser, ada(&gateway, &["platform-admins"])).await;
    let first = me(&mut browser).await;
    assert_eq!(roles(&first).len(), 2);
    let answer = sign_in(&mut browser, ada(&gateway, &[])).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/me"));
    // No group value at all: an empty attribute says that there are none.
    let second = me(&mut browser).await;
    assert_eq!(second["account"]["id"], first["account"]["id"]);
    assert_eq!(roles(&second), [("Organization Member".to_owned(), vec!["default".to_owned()])]);
    assert_eq!(last_in_log(&gateway).await.message, "signed in");
}

#[tokio::test]
async fn several_requests_of_one_browser_wait_side_by_side() {
    let gateway = gateway(Engine::Sqlite, "", "").await;
    let mut browser = gateway.browser();
    let first = browser.get(&format!("{LOGIN}?return_to=/first")).await;
    let second = browser.get(&format!("{LOGIN}?return_to=/second")).await;
    for (begun, expected) in [(&second, "/second"), (&first, "/first")] {
        let mut message = ada(&gateway, &[]);
        message.in_response_to = Some(idp::request_id(begun.location()));
        assert_eq!(post(&mut browser, &message, Sign::Both).await.location(), expected);
    }
}

#[rstest]
#[case::a_path("/reports", "/reports")]
#[case::another_host("https://evil.example/", "/me")]
#[case::a_host_without_scheme("//evil.example/", "/me")]
#[case::a_backslash("/\\evil.example/", "/me")]
#[case::a_tab("/\t/evil.example/", "/me")]
#[case::dots("/a/..//evil.example/", "/me")]
#[case::a_script("javascript:alert(1)", "/me")]
#[case::a_header("/me\r\nX-Injected: 1", "/me")]
#[case::an_opaque_state("k2h3kj4h", "/me")]
#[case::nothing("", "/me")]
#[tokio::test]
async fn the_relay_state_of_an_identity_provider_leads_nowhere_else(#[case] state: &str, #[case] expected: &str) {
    let gateway = gateway(Engine::Sqlite, "idp_initiated = true", "").await;
    let response = idp::signed(&ada(&gateway, &[]), Sign::Both);
    let answer = gateway.browser().post_form(ACS, &[("SAMLResponse", &response), ("RelayState", state)]).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, expected));
    assert!(!answer.headers.contains_key("x-injected"));
}

#[rstest]
#[case::another_host("https://evil.example/")]
#[case::a_host_without_scheme("//evil.example")]
#[case::a_backslash("/\\evil.example")]
#[case::an_encoded_slash("/%2f%2fevil.example")]
#[case::an_encoded_backslash("/%5cevil.example")]
#[case::an_encoded_tab("/%09/evil.example")]
#[tokio::test]
async fn login_remembers_only_places_of_this_host(#[case] return_to: &str) {
    let gateway = gateway(Engine::Sqlite, "", "").await;
    let mut browser = gateway.browser();
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", return_to).finish();
    let begun = browser.get(&format!("{LOGIN}?{query}")).await;
    let mut message = ada(&gateway, &[]);
    message.in_response_to = Some(idp::request_id(begun.location()));
    assert_eq!(post(&mut browser, &message, Sign::Both).await.location(), "/me");
}

#[tokio::test]
async fn both_certificates_are_trusted_until_one_is_retired() {
    let gateway = gateway(Engine::Sqlite, "idp_initiated = true", "").await;
    let message = ada(&gateway, &[]);
    let xml = idp::FOREIGN_KEY.issue(&message, Sign::Both).unwrap();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, xml);
    let mut browser = gateway.browser();
    assert_eq!(browser.post_form(ACS, &[("SAMLResponse", &encoded)]).await.status, StatusCode::FORBIDDEN);
    let applied =
        gateway.apply(&super::house::tenant("idp_initiated = true", "[[owners]]\nemail = \"second@acme.example\"\nname = \"S\"\n")).await;
    let mut owner = gateway.browser_by_link(&applied, "second@acme.example").await;
    let added = owner
        .post_json("/api/v1/connections/acme-okta/certificates", &json!({ "certificate": idp::FOREIGN_KEY.certificate().to_pem() }))
        .await;
    assert_eq!((added.status, &added.json()["state"]), (StatusCode::CREATED, &json!("next")));
    assert_eq!(browser.post_form(ACS, &[("SAMLResponse", &encoded)]).await.status, StatusCode::SEE_OTHER);
    let path = format!("/api/v1/connections/acme-okta/certificates/{}/retire", added.json()["id"].as_str().unwrap());
    assert_eq!(owner.post_json(&path, &json!({ "confirm": true })).await.status, StatusCode::OK);
    let again = idp::FOREIGN_KEY.issue(&ada(&gateway, &[]), Sign::Both).unwrap();
    let again = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, again);
    assert_eq!(browser.post_form(ACS, &[("SAMLResponse", &again)]).await.status, StatusCode::FORBIDDEN);
}
