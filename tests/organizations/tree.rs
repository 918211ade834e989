use axum::http::{Method, StatusCode};
use rolegate::domain::assignment::Reach;
use rstest::rstest;
use serde_json::{Value, json};

use super::{account_of, call, give, house, now, refused, somebody, somebody_at};
use crate::common::{
    engines::Engine,
    installation::{Answer, Browser, Gateway},
};

const PATH: &str = "/api/v1/organizations";

fn one(slug: &str) -> String {
    format!("{PATH}/{slug}")
}

fn new(slug: &str, parent: &str) -> Value {
    json!({ "slug": slug, "name": format!("The {slug}"), "parent": parent })
}

async fn patch(browser: &mut Browser<'_>, slug: &str, body: Value) -> Answer {
    call(browser, Method::PATCH, &one(slug), Some(&body), &[]).await
}

async fn parents(gateway: &Gateway) -> Vec<(String, Option<String>)> {
    let tree = now(gateway).await.organizations;
    let slug = |id| tree.find(id).map(|one| one.slug.to_string());
    let mut all: Vec<_> = tree.iter().map(|one| (one.slug.to_string(), one.parent.and_then(slug))).collect();
    all.sort();
    all
}

#[rstest]
#[tokio::test]
async fn an_organization_is_made_renamed_moved_and_deleted(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "idaas").await;
    let mut owner = somebody(&gateway, Some("Super Administrator")).await;
    let made = owner.post_json(PATH, &new("lab", "acme-eu")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!((&made.json()["parent"], &made.json()["from_file"]), (&json!("acme-eu"), &json!(false)));
    assert_eq!(made.headers["etag"], "\"1\"");

    let stale = call(&mut owner, Method::PATCH, &one("lab"), Some(&json!({ "name": "Lab" })), &[("if-match", "\"7\"")]).await;
    refused(&stale, StatusCode::PRECONDITION_FAILED, "precondition_failed");
    let renamed =
        call(&mut owner, Method::PATCH, &one("lab"), Some(&json!({ "name": "Lab", "slug": "labs" })), &[("if-match", "\"1\"")]).await;
    assert_eq!(
        (renamed.status, &renamed.json()["slug"], &renamed.headers["etag"]),
        (StatusCode::OK, &json!("labs"), &"\"2\"".parse().unwrap())
    );
    assert_eq!(owner.get_json(&one("lab")).await.status, StatusCode::NOT_FOUND);
    let unchanged = patch(&mut owner, "labs", json!({ "name": "Lab", "parent": "acme-eu" })).await;
    assert_eq!(unchanged.headers["etag"], "\"2\"", "what differs in nothing is not written");

    assert_eq!(patch(&mut owner, "labs", json!({ "parent": "acme-us" })).await.json()["parent"], "acme-us");
    let listed = owner.get_json(PATH).await.json();
    let lab = listed["items"].as_array().unwrap().iter().find(|item| item["slug"] == "labs").unwrap().clone();
    assert_eq!((&lab["parent"], &lab["level"]), (&json!("acme-us"), &json!(3)));
    let words = "select count(*) from audit where action in ('organization.created', 'organization.changed') and actor_kind = 'account'";
    assert_eq!(gateway.count(words).await, 3);

    let first = owner.get_json(&format!("{PATH}?limit=2")).await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = owner.get_json(&format!("{PATH}?limit=10&cursor={cursor}")).await.json();
    assert_eq!((first["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (2, 3));

    assert_eq!(call(&mut owner, Method::DELETE, &one("labs"), None, &[]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(owner.get_json(&one("labs")).await.status, StatusCode::NOT_FOUND);
}

#[rstest]
#[tokio::test]
async fn what_would_be_no_tree_is_refused(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "idaas").await;
    let mut owner = somebody(&gateway, Some("Super Administrator")).await;
    let before = parents(&gateway).await;
    for (slug, body, status, code) in [
        ("acme-eu", json!({ "parent": "acme-eu-west" }), StatusCode::UNPROCESSABLE_ENTITY, "below_itself"),
        ("acme-eu", json!({ "parent": "acme-eu" }), StatusCode::UNPROCESSABLE_ENTITY, "below_itself"),
        ("acme", json!({ "parent": "acme-eu" }), StatusCode::UNPROCESSABLE_ENTITY, "root_organization"),
        ("acme", json!({ "slug": "other" }), StatusCode::UNPROCESSABLE_ENTITY, "root_organization"),
        ("acme-eu", json!({ "parent": "nowhere" }), StatusCode::UNPROCESSABLE_ENTITY, "unknown_organization"),
        ("acme-eu", json!({ "slug": "acme-us" }), StatusCode::CONFLICT, "slug_taken"),
        ("acme-eu", json!({ "slug": "Acme" }), StatusCode::BAD_REQUEST, "slug"),
        ("acme-eu", json!({ "name": " " }), StatusCode::BAD_REQUEST, "name"),
        ("acme-eu", json!({ "colour": "red" }), StatusCode::BAD_REQUEST, "body"),
    ] {
        refused(&patch(&mut owner, slug, body).await, status, code);
    }
    refused(&owner.post_json(PATH, &new("acme-us", "acme")).await, StatusCode::CONFLICT, "slug_taken");
    refused(&owner.post_json(PATH, &new("x", "nowhere")).await, StatusCode::UNPROCESSABLE_ENTITY, "unknown_organization");
    assert_eq!(parents(&gateway).await, before);

    let mut parent = "acme-eu-west".to_owned();
    for level in 4..=16 {
        let slug = format!("level-{level}");
        assert_eq!(owner.post_json(PATH, &new(&slug, &parent)).await.status, StatusCode::CREATED, "{level}");
        parent = slug;
    }
    refused(&owner.post_json(PATH, &new("level-17", &parent)).await, StatusCode::UNPROCESSABLE_ENTITY, "too_deep");
    refused(&patch(&mut owner, "acme-us", json!({ "parent": "level-16" })).await, StatusCode::UNPROCESSABLE_ENTITY, "too_deep");
    assert_eq!(patch(&mut owner, "acme-us", json!({ "parent": "level-15" })).await.status, StatusCode::OK);
}

#[rstest]
#[tokio::test]
async fn two_who_move_at_once_make_no_circle(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "idaas").await;
    let owner = somebody(&gateway, Some("Super Administrator")).await;
    for _ in 0..4 {
        let (mut first, mut second) = (owner.clone(), owner.clone());
        let (one, other) = tokio::join!(
            patch(&mut first, "acme-eu", json!({ "parent": "acme-us" })),
            patch(&mut second, "acme-us", json!({ "parent": "acme-eu" }))
        );
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 422], "{} {}", one.text(), other.text());
        // The tree loads, so it is one.
        let tree = parents(&gateway).await;
        assert_eq!(tree.iter().filter(|(_, parent)| parent.as_deref() == Some("acme")).count(), 1, "{tree:?}");
        let mut owner = owner.clone();
        for slug in ["acme-eu", "acme-us"] {
            assert_eq!(patch(&mut owner, slug, json!({ "parent": "acme" })).await.status, StatusCode::OK);
        }
    }
}

#[rstest]
#[tokio::test]
async fn an_organization_with_something_in_it_stays_and_says_what(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "idaas").await;
    let mut owner = somebody(&gateway, Some("Super Administrator")).await;
    refused(&call(&mut owner, Method::DELETE, PATH_ROOT, None, &[]).await, StatusCode::UNPROCESSABLE_ENTITY, "root_organization");
    let children = call(&mut owner, Method::DELETE, &one("acme-eu"), None, &[]).await;
    refused(&children, StatusCode::CONFLICT, "organization_in_use");
    assert!(children.json()["detail"].as_str().unwrap().contains("1 child organization"), "{}", children.text());

    let mut person = somebody(&gateway, None).await;
    let account = account_of(&mut person).await;
    give(&gateway, account, "Auditor", "acme-us", Reach::Organization).await;
    let member = call(&mut owner, Method::PUT, &format!("{}/members/{account}", one("acme-us")), Some(&json!({ "home": true })), &[]).await;
    assert_eq!(member.status, StatusCode::OK, "{}", member.text());
    owner.post_json(&format!("{}/domains", one("acme-us")), &json!({ "domain": "us.acme.example" })).await;
    let full = call(&mut owner, Method::DELETE, &one("acme-us"), None, &[]).await;
    refused(&full, StatusCode::CONFLICT, "organization_in_use");
    let detail = full.json()["detail"].as_str().unwrap().to_owned();
    for part in ["1 account at home there", "1 member", "1 assignment", "1 domain"] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
}

const PATH_ROOT: &str = "/api/v1/organizations/acme";

#[tokio::test]
async fn an_organization_that_a_rule_names_stays() {
    let gateway = Gateway::open(Engine::Sqlite).await;
    let rule = "[[connections.rules]]\nname = \"west\"\nwhen = 'department eq \"x\"'\ngrant = [{ role = \"Auditor\", organization = \"acme-eu-west\" }]\n";
    gateway.apply(&super::file("idaas").replacen("[[organizations]]", &format!("{rule}[[organizations]]"), 1)).await;
    let mut owner = somebody(&gateway, Some("Super Administrator")).await;
    let answer = call(&mut owner, Method::DELETE, &one("acme-eu-west"), None, &[]).await;
    refused(&answer, StatusCode::CONFLICT, "organization_in_use");
    assert!(answer.json()["detail"].as_str().unwrap().contains("the rule \"west\""), "{}", answer.text());
}

#[rstest]
#[tokio::test]
async fn org_admin_makes_no_child_while_self_service_registration_is_off(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "org-admin").await;
    let mut admin = somebody_at(&gateway, "Admin", "acme-eu").await;
    let mut owner = somebody(&gateway, Some("Brand admin")).await;
    for browser in [&mut admin, &mut owner] {
        refused(&browser.post_json(PATH, &new("lab", "acme-eu")).await, StatusCode::CONFLICT, "self_service_registration_off");
    }
    let settings = format!("{PATH_ROOT}/settings");
    refused(
        &call(&mut admin, Method::PATCH, &settings, Some(&json!({ "self_service_registration": true })), &[]).await,
        StatusCode::FORBIDDEN,
        "not_permitted",
    );
    let on = call(&mut owner, Method::PATCH, &settings, Some(&json!({ "self_service_registration": true })), &[]).await;
    assert_eq!((on.status, &on.json()["self_service_registration"]), (StatusCode::OK, &json!(true)), "{}", on.text());
    assert_eq!(admin.post_json(PATH, &new("lab", "acme-eu")).await.status, StatusCode::CREATED);
    refused(&admin.post_json(PATH, &new("lab-2", "acme-us")).await, StatusCode::UNPROCESSABLE_ENTITY, "unknown_organization");
    // A file that does not speak of the switch leaves it as people set it.
    gateway.apply(&super::file("org-admin")).await;
    assert!(now(&gateway).await.settings.self_service_org_registration);
}

#[rstest]
#[tokio::test]
async fn rights_below_do_not_reach_beside_or_above(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "delegated-user-management").await;
    gateway
        .apply(&super::file("delegated-user-management").replacen(
            "[[organizations]]",
            "[[roles]]\nname = \"Partner admin\"\npermissions = [\"organizations:*\"]\n[[organizations]]",
            1,
        ))
        .await;
    let mut partner = somebody_at(&gateway, "Partner admin", "acme-eu").await;
    assert_eq!(partner.post_json(PATH, &new("lab", "acme-eu-west")).await.status, StatusCode::CREATED);
    assert_eq!(patch(&mut partner, "lab", json!({ "parent": "acme-eu" })).await.status, StatusCode::OK);
    let unreadable = patch(&mut partner, "lab", json!({ "parent": "acme-us" })).await;
    refused(&unreadable, StatusCode::UNPROCESSABLE_ENTITY, "unknown_organization");
    refused(&patch(&mut partner, "acme-eu", json!({ "parent": "acme-eu-west" })).await, StatusCode::FORBIDDEN, "not_permitted");
    assert_eq!(patch(&mut partner, "acme-us", json!({ "name": "x" })).await.status, StatusCode::NOT_FOUND);
    assert_eq!(call(&mut partner, Method::DELETE, &one("acme-us"), None, &[]).await.status, StatusCode::NOT_FOUND);
    let listed = partner.get_json(PATH).await.json();
    let mut slugs: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| item["slug"].as_str().unwrap()).collect();
    slugs.sort_unstable();
    assert_eq!(slugs, ["acme-eu", "acme-eu-west", "lab"]);
    assert_eq!(call(&mut partner, Method::DELETE, &one("lab"), None, &[]).await.status, StatusCode::NO_CONTENT);
}
