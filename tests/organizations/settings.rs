use axum::http::{Method, StatusCode};
use rolegate::domain::assignment::Reach;
use rstest::rstest;
use serde_json::{Value, json};

use super::{account_of, call, from, give, house, refused, somebody};
use crate::common::engines::Engine;

const ROOT: &str = "/api/v1/organizations/acme/settings";
const EU: &str = "/api/v1/organizations/acme-eu/settings";

#[rstest]
#[tokio::test]
async fn settings_are_changed_one_by_one_and_taken_back(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "owner-member").await;
    let mut owner = somebody(&gateway, Some("Organization Owner")).await;
    let nothing = json!({
        "language": null,
        "console_networks": [],
        "email_mfa_required": false,
        "session_ttl_secs": null,
        "api_token_ttl_secs": null,
    });
    assert_eq!(owner.get_json(EU).await.json(), nothing);
    let all = json!({ "language": "pt-BR", "email_mfa_required": true, "session_ttl_secs": 3600, "api_token_ttl_secs": 600 });
    let set = call(&mut owner, Method::PATCH, EU, Some(&all), &[("if-match", "\"1\"")]).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text());
    refused(
        &call(&mut owner, Method::PATCH, EU, Some(&json!({ "language": "de" })), &[("if-match", "\"1\"")]).await,
        StatusCode::PRECONDITION_FAILED,
        "precondition_failed",
    );
    let some = call(&mut owner, Method::PATCH, EU, Some(&json!({ "language": null, "session_ttl_secs": null })), &[]).await;
    assert_eq!(
        (&some.json()["language"], &some.json()["session_ttl_secs"], &some.json()["api_token_ttl_secs"]),
        (&Value::Null, &Value::Null, &json!(600))
    );
    assert_eq!(owner.get_json(EU).await.json(), some.json());
    for (body, status, code, field) in [
        (json!({ "language": "german!" }), 400, "language", "language"),
        (json!({ "console_networks": ["10.0.0.0/8", "10.0.0.0/40"] }), 400, "console_networks", "console_networks[1]"),
        (json!({ "session_ttl_secs": 10 }), 422, "out_of_range", "session_ttl_secs"),
        (json!({ "api_token_ttl_secs": 86401 }), 422, "out_of_range", "api_token_ttl_secs"),
        (json!({ "self_service_registration": true }), 422, "root_only_setting", "self_service_registration"),
        (json!({ "console_networks": vec!["10.0.0.0/8"; 201] }), 422, "too_many_networks", "console_networks"),
    ] {
        let answer = call(&mut owner, Method::PATCH, EU, Some(&body), &[]).await;
        refused(&answer, StatusCode::from_u16(status).unwrap(), code);
        assert_eq!(answer.json()["field"], field);
    }
    assert_eq!(owner.get_json(EU).await.json(), some.json());
    assert_eq!(gateway.count("select count(*) from audit where action = 'organization.settings_changed'").await, 2);
}

#[tokio::test]
async fn all_but_the_language_is_an_owners_alone() {
    let gateway = house(Engine::Sqlite, "idaas").await;
    gateway
        .apply(&super::file("idaas").replacen(
            "[[organizations]]",
            "[[roles]]\nname = \"Editor\"\npermissions = [\"organizations:*\"]\n[[organizations]]",
            1,
        ))
        .await;
    let mut editor = somebody(&gateway, Some("Editor")).await;
    assert_eq!(call(&mut editor, Method::PATCH, EU, Some(&json!({ "language": "de" })), &[]).await.status, StatusCode::OK);
    for body in [
        json!({ "console_networks": ["0.0.0.0/0"] }),
        json!({ "email_mfa_required": true }),
        json!({ "session_ttl_secs": 600 }),
        json!({ "api_token_ttl_secs": 600 }),
        json!({ "self_service_registration": false }),
        json!({ "language": "fr", "email_mfa_required": true }),
    ] {
        refused(&call(&mut editor, Method::PATCH, ROOT, Some(&body), &[]).await, StatusCode::FORBIDDEN, "owner_only");
    }
    assert_eq!(editor.get_json(EU).await.json()["language"], "de");
}

#[rstest]
#[tokio::test]
async fn the_console_is_used_from_the_networks_of_ones_organization(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "owner-member").await;
    let mut owner = somebody(&gateway, Some("Organization Owner")).await;
    let mut person = somebody(&gateway, None).await;
    let (account, csrf, theirs) = (account_of(&mut person).await, owner.csrf_token().await, person.csrf_token().await);
    give(&gateway, account, "Organization Owner", "acme-eu", Reach::Subtree).await;
    let home = format!("/api/v1/organizations/acme-eu/members/{account}");
    assert_eq!(call(&mut owner, Method::PUT, &home, Some(&json!({ "home": true })), &[]).await.status, StatusCode::OK);

    // Who writes the list is in it.
    let list = json!({ "console_networks": ["192.0.2.0/24", "2001:db8::/32"] }).to_string();
    let out = from(&owner, &csrf, "198.51.100.1", Method::PATCH, ROOT, &list).await;
    refused(&out, StatusCode::CONFLICT, "locks_author_out");
    assert!(out.json()["detail"].as_str().unwrap().contains("198.51.100.1"), "{}", out.text());
    refused(
        &call(&mut owner, Method::PATCH, ROOT, Some(&serde_json::from_str(&list).unwrap()), &[]).await,
        StatusCode::CONFLICT,
        "locks_author_out",
    );
    assert_eq!(from(&owner, &csrf, "192.0.2.9", Method::PATCH, ROOT, &list).await.status, StatusCode::OK);

    for (address, status) in
        [("192.0.2.200", 200), ("2001:db8::7", 200), ("::ffff:192.0.2.1", 200), ("198.51.100.1", 403), ("2001:db9::1", 403)]
    {
        for path in ["/me", "/api/v1/organizations"] {
            assert_eq!(from(&owner, &csrf, address, Method::GET, path, "").await.status.as_u16(), status, "{address} {path}");
        }
    }
    refused(&from(&owner, &csrf, "198.51.100.1", Method::GET, "/me", "").await, StatusCode::FORBIDDEN, "network_not_allowed");
    // Nor is it enough to know nothing of the address.
    refused(&owner.get_json("/me").await, StatusCode::FORBIDDEN, "network_not_allowed");

    // A child's own list narrows it for those at home there, and for nobody else.
    let narrow = json!({ "console_networks": ["192.0.2.128/25", "203.0.113.0/24"] }).to_string();
    assert_eq!(from(&owner, &csrf, "192.0.2.200", Method::PATCH, EU, &narrow).await.status, StatusCode::OK);
    for (address, status) in [("192.0.2.200", 200), ("192.0.2.1", 403), ("203.0.113.1", 403)] {
        assert_eq!(from(&person, &theirs, address, Method::GET, "/me", "").await.status.as_u16(), status, "{address}");
    }
    assert_eq!(from(&owner, &csrf, "192.0.2.1", Method::GET, "/me", "").await.status, StatusCode::OK);
    // Taken back, everybody may from everywhere.
    assert_eq!(from(&owner, &csrf, "192.0.2.1", Method::PATCH, ROOT, r#"{"console_networks":[]}"#).await.status, StatusCode::OK);
    assert_eq!(owner.get_json("/me").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_ends_when_its_organization_says() {
    let gateway = house(Engine::Sqlite, "owner-member").await;
    let mut owner = somebody(&gateway, Some("Organization Owner")).await;
    let mut member = somebody(&gateway, Some("Organization Member")).await;
    assert_eq!(call(&mut owner, Method::PATCH, ROOT, Some(&json!({ "session_ttl_secs": 600 })), &[]).await.status, StatusCode::OK);
    gateway.app.clock.advance_secs(599);
    assert_eq!(member.get_json("/me").await.status, StatusCode::OK);
    gateway.app.clock.advance_secs(1);
    assert_eq!(member.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
}
