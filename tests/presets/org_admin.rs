//! `org-admin`: a tree of organizations, authority that flows down, and a gate before every right over accounts.

use rstest::rstest;
use serde_json::json;

use super::house::{House, created, held, outcome};
use crate::common::{engines::Engine, together::join_all};

#[rstest]
#[tokio::test]
async fn a_child_inherits_and_a_sibling_does_not(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "org-admin").await;
    let below = house.person("below", Some("acme-eu-west"), &[]).await;
    let beside = house.person("beside", Some("acme-us"), &[]).await;
    let above = house.person("above", Some("acme"), &[]).await;
    let mut admin = house.person("admin", Some("acme-eu"), &[held("Admin", "acme-eu")]).await;
    assert_eq!(outcome(&admin.post(&format!("/api/v1/accounts/{}/disable", below.id), &json!({})).await), (200, String::new()));
    for other in [beside.id, above.id] {
        assert_eq!(outcome(&admin.get(&format!("/api/v1/accounts/{other}")).await), (404, "not_found".into()));
        assert_eq!(outcome(&admin.post(&format!("/api/v1/accounts/{other}/disable"), &json!({})).await), (404, "not_found".into()));
    }
    let seen = admin.get("/api/v1/accounts").await.json();
    let names: std::collections::BTreeSet<_> =
        seen["items"].as_array().unwrap().iter().map(|row| row["account"]["user_name"].as_str().unwrap()).collect();
    assert_eq!(names, std::collections::BTreeSet::from(["admin", "below"]));
}

#[rstest]
#[tokio::test]
async fn assignments_stay_within_the_tenant_and_need_no_affiliation(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "org-admin").await;
    let mut owner = house.person("owner", Some("acme"), &[held("Brand admin", "acme")]).await;
    let stray = house.person("stray", None, &[]).await;
    created(&owner.grant(&house, "Admin", stray.id, "acme-eu").await);
    let other = house
        .gateway
        .apply(
            "[tenant]\nslug = \"other\"\nname = \"Other\"\npreset = \"org-admin\"\n[[owners]]\nemail = \"o@other.example\"\nname = \"O\"\n",
        )
        .await;
    let row: Option<(String,)> =
        house.gateway.app.db.query("select id from account where tenant = $1").bind(other.tenant.to_string()).optional().await.unwrap();
    let foreign = rolegate::domain::id::AccountId::parse(&row.unwrap().0).unwrap();
    assert_eq!(outcome(&owner.grant(&house, "Admin", foreign, "acme-eu").await), (422, "tenant_mismatch".into()));
    let foreign_root = rolegate::db::model::load_model(&house.gateway.app.db, other.tenant).await.unwrap().organizations.root();
    let body = json!({ "account": stray.id, "role": house.role("Admin").await, "organization": foreign_root });
    assert_eq!(outcome(&owner.post("/api/v1/assignments", &body).await), (422, "tenant_mismatch".into()));
}

#[tokio::test]
async fn a_role_without_the_gate_gives_no_right_over_accounts() {
    let house = House::open(Engine::Sqlite, "org-admin").await;
    let mut owner = house.person("owner", Some("acme"), &[held("Brand admin", "acme")]).await;
    let made = created(&owner.post("/api/v1/roles", &json!({ "name": "Verifier", "permissions": ["account_verification:write"] })).await);
    assert!(made["notices"][0].as_str().unwrap().contains("account_management:read"), "{made}");
    let mut verifier = house.person("verifier", Some("acme"), &[held("Verifier", "acme")]).await;
    let someone = house.person("someone", Some("acme-eu"), &[]).await;
    let path = format!("/api/v1/accounts/{}/verify", someone.id);
    assert_eq!(outcome(&verifier.post(&path, &json!({})).await), (403, "gate".into()));
    let wider = json!({ "permissions": ["account_verification:write", "account_management:read"] });
    let edited = owner.patch(&format!("/api/v1/roles/{}", made["id"].as_str().unwrap()), &wider).await;
    assert_eq!(edited.json()["notices"], json!([]));
    let answer = verifier.post(&path, &json!({})).await;
    assert_eq!(answer.json()["account"]["verified_at"], "2026-03-03T01:06:40Z", "{}", answer.text());
    let back = verifier.post(&path.replace("/verify", "/unverify"), &json!({})).await;
    assert_eq!(back.json()["account"]["verified_at"], json!(null));
}

#[tokio::test]
async fn an_auditor_reads_and_does_not_export() {
    let house = House::open(Engine::Sqlite, "org-admin").await;
    let mut auditor = house.person("auditor", Some("acme-eu"), &[held("Org auditor", "acme-eu")]).await;
    let permissions = auditor.permissions("acme-eu").await;
    assert!(permissions.contains(&"account_management:read".to_owned()));
    assert!(!permissions.iter().any(|pair| pair.ends_with(":export") || pair.ends_with(":write")), "{permissions:?}");
    assert_eq!(auditor.get("/api/v1/accounts").await.status, 200);
}

#[rstest]
#[tokio::test]
async fn of_fifty_who_join_at_once_one_is_the_first(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "org-admin").await;
    let mut owner = house.person("owner", Some("acme"), &[held("Brand admin", "acme")]).await;
    let role = |name: &str, flag: &str| json!({ "name": name, "permissions": ["account_management:read"], flag: true });
    created(&owner.post("/api/v1/roles", &role("Founder", "auto_assign_first_user")).await);
    created(&owner.post("/api/v1/roles", &role("Colleague", "auto_assign_on_join")).await);
    let names: Vec<String> = (0..50).map(|n| format!("p{n}@acme.example")).collect();
    for answer in join_all(names.iter().map(|name| house.sign_in(name, &[]))).await {
        assert_eq!(answer.status, 303, "{}", answer.text());
    }
    let founders = house.gateway.count("select count(*) from assignment a join role r on r.id = a.role where r.name = 'Founder'").await;
    let colleagues = house.gateway.count("select count(*) from assignment a join role r on r.id = a.role where r.name = 'Colleague'").await;
    assert_eq!((founders, colleagues), (1, 50));
    // Who comes later, or again, is not the first.
    house.sign_in("late@acme.example", &[]).await;
    house.sign_in(&names[0], &[]).await;
    let founders = house.gateway.count("select count(*) from assignment_origin where kind = 'first_user'").await;
    let colleagues = house.gateway.count("select count(*) from assignment_origin where kind = 'auto_join'").await;
    assert_eq!((founders, colleagues), (1, 51));
}

#[rstest]
#[tokio::test]
async fn where_people_are_already_nobody_becomes_the_first(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "org-admin").await;
    let mut owner = house.person("owner", Some("acme"), &[held("Brand admin", "acme")]).await;
    house.sign_in("early@acme.example", &[]).await;
    let role = json!({ "name": "Founder", "permissions": ["account_management:read"], "auto_assign_first_user": true });
    created(&owner.post("/api/v1/roles", &role).await);
    house.sign_in("late@acme.example", &[]).await;
    assert_eq!(house.gateway.count("select count(*) from assignment_origin where kind = 'first_user'").await, 0);
}
