//! Members, contexts and resources, and the connections that an organization uses.

use axum::http::{Method, StatusCode};
use rolegate::domain::{assignment::Reach, id::ScopeId};
use rstest::rstest;
use serde_json::json;

use super::{account_of, at, call, give, house, now, refused, somebody, somebody_at};
use crate::common::engines::Engine;

#[rstest]
#[tokio::test]
async fn somebody_becomes_a_member_is_at_home_and_leaves(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "delegated-user-management").await;
    let mut owner = somebody(&gateway, Some("Super administrator")).await;
    let mut person = somebody(&gateway, None).await;
    let account = account_of(&mut person).await;
    let members = "/api/v1/organizations/acme-eu/members";
    let one = format!("{members}/{account}");
    let joined = call(&mut owner, Method::PUT, &one, None, &[]).await;
    assert_eq!(
        (joined.status, &joined.json()["status"], &joined.json()["home"]),
        (StatusCode::OK, &json!("active"), &json!(false)),
        "{}",
        joined.text()
    );
    let changed = call(&mut owner, Method::PUT, &one, Some(&json!({ "status": "inactive", "home": true })), &[]).await;
    assert_eq!((&changed.json()["status"], &changed.json()["home"]), (&json!("inactive"), &json!(true)));
    let written = gateway.count("select count(*) from audit").await;
    call(&mut owner, Method::PUT, &one, Some(&json!({ "status": "inactive", "home": true })), &[]).await;
    assert_eq!(gateway.count("select count(*) from audit").await, written, "what is so already is not written");
    assert_eq!(owner.get_json(members).await.json()["items"][0]["account"], account.to_string());
    refused(&call(&mut owner, Method::DELETE, &one, None, &[]).await, StatusCode::CONFLICT, "home_organization");
    call(&mut owner, Method::PUT, &one, Some(&json!({ "home": false })), &[]).await;
    assert_eq!(call(&mut owner, Method::DELETE, &one, None, &[]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(owner.get_json(members).await.json()["items"], json!([]));
    for action in ["membership.created", "membership.changed", "account.home_changed", "membership.ended"] {
        let told: Option<(i64,)> =
            gateway.app.db.query("select count(*) from audit where action = $1").bind(action).optional().await.unwrap();
        assert!(told.unwrap().0 > 0, "{action}");
    }
    let wrong = call(&mut owner, Method::PUT, &one, Some(&json!({ "status": "asleep" })), &[]).await;
    refused(&wrong, StatusCode::BAD_REQUEST, "body");
    let stranger = call(&mut owner, Method::PUT, &format!("{members}/01900000-0000-7000-8000-000000000001"), None, &[]).await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND);
}

#[rstest]
#[tokio::test]
async fn who_holds_a_role_of_the_root_stays_at_home_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "delegated-user-management").await;
    let mut owner = somebody(&gateway, Some("Super administrator")).await;
    let mut other = somebody(&gateway, Some("Super administrator")).await;
    let account = account_of(&mut other).await;
    let answer =
        call(&mut owner, Method::PUT, &format!("/api/v1/organizations/acme-eu/members/{account}"), Some(&json!({ "home": true })), &[])
            .await;
    refused(&answer, StatusCode::UNPROCESSABLE_ENTITY, "not_eligible");
    assert_eq!(
        gateway.count("select count(*) from membership m join organization o on o.id = m.organization where o.slug = 'acme-eu'").await,
        0,
        "nothing half done"
    );
}

#[tokio::test]
async fn a_partner_admin_reaches_the_own_people_only() {
    let gateway = house(Engine::Sqlite, "delegated-user-management").await;
    gateway
        .apply(&super::file("delegated-user-management").replacen(
            "[[organizations]]",
            "[[roles]]\nname = \"Partner\"\npermissions = [\"users:*\"]\n[[organizations]]",
            1,
        ))
        .await;
    let mut owner = somebody(&gateway, Some("Super administrator")).await;
    let mut partner = somebody_at(&gateway, "Partner", "acme-eu").await;
    let (mut near, mut far) = (somebody(&gateway, None).await, somebody(&gateway, None).await);
    let (near, far) = (account_of(&mut near).await, account_of(&mut far).await);
    for (account, slug) in [(near, "acme-eu"), (far, "acme-us")] {
        let path = format!("/api/v1/organizations/{slug}/members/{account}");
        assert_eq!(call(&mut owner, Method::PUT, &path, Some(&json!({ "home": true })), &[]).await.status, StatusCode::OK);
    }
    let west = |account| format!("/api/v1/organizations/acme-eu-west/members/{account}");
    assert_eq!(call(&mut partner, Method::PUT, &west(near), None, &[]).await.status, StatusCode::OK);
    assert_eq!(call(&mut partner, Method::PUT, &west(far), None, &[]).await.status, StatusCode::NOT_FOUND, "whom one may not see");
    let beside = format!("/api/v1/organizations/acme-us/members/{near}");
    assert_eq!(
        call(&mut partner, Method::PUT, &beside, None, &[]).await.status,
        StatusCode::NOT_FOUND,
        "an organization that one may not read"
    );
}

#[rstest]
#[tokio::test]
async fn a_context_is_made_renamed_and_deleted_when_nothing_is_held_in_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "owner-member").await;
    let mut manager = somebody(&gateway, Some("Organization Context Manager")).await;
    let path = "/api/v1/organizations/acme-eu/scopes";
    let made = manager.post_json(path, &json!({ "kind": "sign_in", "name": "Shop" })).await;
    assert_eq!((made.status, &made.json()["class"]), (StatusCode::CREATED, &json!("context")), "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    refused(&manager.post_json(path, &json!({ "kind": "sign_in", "name": "SHOP" })).await, StatusCode::CONFLICT, "name_taken");
    let unknown = manager.post_json(path, &json!({ "kind": "garden", "name": "x" })).await;
    refused(&unknown, StatusCode::UNPROCESSABLE_ENTITY, "unknown_kind");
    assert!(unknown.json()["detail"].as_str().unwrap().contains("sign_in, entrypoint"), "{}", unknown.text());
    let one = format!("{path}/{id}");
    let renamed = call(&mut manager, Method::PATCH, &one, Some(&json!({ "name": "Web shop" })), &[]).await;
    assert_eq!(renamed.json()["name"], "Web shop");
    let elsewhere = format!("/api/v1/organizations/acme-us/scopes/{id}");
    assert_eq!(call(&mut manager, Method::DELETE, &elsewhere, None, &[]).await.status, StatusCode::NOT_FOUND);

    // Held in it, a role acts only there.
    let mut person = somebody(&gateway, Some("Organization Member")).await;
    let account = account_of(&mut person).await;
    let held = give(&gateway, account, "Sign-In administrator", "acme-eu", Reach::Organization).await;
    let scope = ScopeId::parse(&id).unwrap();
    let mut tx = gateway.app.db.begin().await.unwrap();
    tx.query("update assignment set resource_scope = $1 where id = $2").bind(scope.to_string()).bind(held.to_string()).run().await.unwrap();
    tx.commit().await.unwrap();
    let ask = json!([
        { "account": account, "entity": "context_administration", "action": "administer", "organization": "acme-eu", "resource_scope": id },
        { "account": account, "entity": "context_administration", "action": "administer", "organization": "acme-eu" },
        { "account": account, "entity": "context_administration", "action": "administer", "organization": "acme", "resource_scope": id },
    ]);
    let answers = person.post_json("/api/v1/check", &ask).await.json();
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["because"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["granted", "scope_required", "unknown_scope"]);

    refused(&call(&mut manager, Method::DELETE, &one, None, &[]).await, StatusCode::CONFLICT, "scope_in_use");
    let mut tx = gateway.app.db.begin().await.unwrap();
    tx.query("delete from assignment where id = $1").bind(held.to_string()).run().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(call(&mut manager, Method::DELETE, &one, None, &[]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(manager.get_json(path).await.json()["scopes"], json!([]));
    refused(&person.post_json(path, &json!({ "kind": "sign_in", "name": "Mine" })).await, StatusCode::FORBIDDEN, "not_permitted");
}

#[rstest]
#[tokio::test]
async fn an_editor_of_organizations_enables_a_connection_and_cannot_edit_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "dashboard").await;
    let mut editor = somebody(&gateway, Some("Editor - Organizations")).await;
    let path = "/api/v1/organizations/acme-eu/connections";
    assert_eq!(editor.get_json(path).await.json(), json!({ "connections": [] }));
    let one = format!("{path}/acme-okta");
    let used = call(&mut editor, Method::PUT, &one, None, &[]).await;
    assert_eq!(used.status, StatusCode::OK, "{}", used.text());
    assert_eq!((&used.json()["connections"][0]["slug"], &used.json()["connections"][0]["own"]), (&json!("acme-okta"), &json!(false)));
    assert_eq!(call(&mut editor, Method::PUT, &one, None, &[]).await.json(), used.json(), "twice is once");
    refused(
        &call(&mut editor, Method::PUT, "/api/v1/organizations/acme/connections/acme-okta", None, &[]).await,
        StatusCode::CONFLICT,
        "own_connection",
    );
    let certificate = editor.post_json("/api/v1/connections/acme-okta/certificates", &json!({ "certificate": "x" })).await;
    refused(&certificate, StatusCode::FORBIDDEN, "owner_only");
    refused(
        &call(&mut editor, Method::DELETE, "/api/v1/organizations/acme-eu", None, &[]).await,
        StatusCode::CONFLICT,
        "organization_in_use",
    );
    assert_eq!(call(&mut editor, Method::DELETE, &one, None, &[]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(call(&mut editor, Method::DELETE, &one, None, &[]).await.status, StatusCode::NOT_FOUND);
    let told = "select count(*) from audit where action in ('organization.connection_enabled', 'organization.connection_disabled')";
    assert_eq!(gateway.count(told).await, 2);
    let mut connections = somebody(&gateway, Some("Editor - Connections")).await;
    refused(&call(&mut connections, Method::PUT, &one, None, &[]).await, StatusCode::FORBIDDEN, "not_permitted");
    let model = now(&gateway).await;
    assert_eq!(model.organizations.find(at(&model, "acme-eu")).unwrap().slug.as_str(), "acme-eu");
}
