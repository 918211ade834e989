//! `owner-member`: owners hold the keys, context managers run the services, members look.

use rstest::rstest;
use serde_json::json;

use super::house::{CONNECTION, House, created, held, outcome};
use crate::common::{engines::Engine, idp};

const OWNER: &str = "Organization Owner";
const MEMBER: &str = "Organization Member";

#[tokio::test]
async fn a_context_manager_is_refused_settings_administrators_federation_and_certificates() {
    let house = House::open(Engine::Sqlite, "owner-member").await;
    let other = house.person("other", Some("acme"), &[]).await;
    let mut manager = house.person("manager", Some("acme"), &[held("Organization Context Manager", "acme")]).await;
    let settings = manager.post("/api/v1/preset/upgrade", &json!({ "plan": "x" })).await;
    let administrators = manager.grant(&house, MEMBER, other.id, "acme").await;
    let link = json!({ "connection": CONNECTION, "subject": "x" });
    let federation = manager.post(&format!("/api/v1/accounts/{}/identities", other.id), &link).await;
    let pem = json!({ "certificate": idp::KEY.certificate().to_pem() });
    let certificates = manager.post(&format!("/api/v1/connections/{CONNECTION}/certificates"), &pem).await;
    for answer in [&settings, &administrators, &federation, &certificates] {
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    assert_eq!([settings.code(), federation.code(), certificates.code()], ["owner_only", "owner_only", "owner_only"]);
}

#[rstest]
#[tokio::test]
async fn owners_demote_one_another_until_two_remain(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::with(engine, "owner-member", "min_owners = 2", "").await;
    let mut people = vec![];
    for name in ["one", "two", "three"] {
        people.push(house.person(name, Some("acme"), &[held(OWNER, "acme")]).await);
    }
    let ids: Vec<_> = people.iter().map(|person| person.id).collect();
    let first = &mut people[0];
    let of_file = house.account(first, "owner@acme.example").await;
    let demote = async |by: &mut super::house::Person<'_>, account: String| {
        let held = by.get(&format!("/api/v1/accounts/{account}/assignments")).await.json();
        by.delete(&format!("/api/v1/assignments/{}", held["items"][0]["id"].as_str().unwrap())).await
    };
    assert_eq!(demote(first, of_file["account"]["id"].as_str().unwrap().to_owned()).await.status, 204);
    assert_eq!(demote(first, ids[1].to_string()).await.status, 204);
    let refused = demote(first, ids[2].to_string()).await;
    assert_eq!(outcome(&refused), (409, "owner_floor".into()));
    assert!(refused.json()["detail"].as_str().unwrap().contains("make another owner first"), "{}", refused.text());
    // Nor by resigning, nor by blocking or deleting the other one.
    assert_eq!(outcome(&demote(first, ids[0].to_string()).await), (409, "owner_floor".into()));
    assert_eq!(outcome(&first.post(&format!("/api/v1/accounts/{}/disable", ids[2]), &json!({})).await), (409, "owner_floor".into()));
    assert_eq!(outcome(&first.delete(&format!("/api/v1/accounts/{}", ids[2])).await), (409, "owner_floor".into()));
}

#[tokio::test]
async fn an_owner_signs_in_by_break_glass_when_the_identity_providers_certificate_has_expired() {
    let house = House::open(Engine::Sqlite, "owner-member").await;
    house.gateway.app.clock.advance_secs(50 * 365 * 86_400);
    let app = &house.gateway.app;
    let tenant = rolegate::db::tenant::find_tenant(&app.db, house.tenant).await.unwrap().unwrap();
    let mut occasion = app.occasion(rolegate::domain::actor::Actor::HostOperator, "test");
    let mut mint = || rolegate::keys::secret(app.random.bytes());
    let link = rolegate::admin::recover::recover(&app.db, &tenant, &mut occasion, None, &mut mint).await.unwrap();
    let mut browser = house.gateway.browser();
    assert_eq!(browser.post_form("/sign-in/link", &[("token", link.secret.expose())]).await.status, 303);
    // Times of one form sort as text.
    let listed = browser.get_json(&format!("/api/v1/connections/{CONNECTION}/certificates")).await.json();
    assert!(listed["certificates"][0]["not_after"].as_str().unwrap() < app.now().to_string().as_str(), "{listed}");
}

#[rstest]
#[tokio::test]
async fn the_first_sign_in_gets_the_default_role_and_the_second_not_again(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let default = "[connections.default_mapping]\nroles = [\"Organization Member\"]\napply = \"on_create\"\n";
    let house = House::with(engine, "owner-member", "min_owners = 1", default).await;
    let mut owner = house.person("boss", Some("acme"), &[held(OWNER, "acme")]).await;
    house.sign_in("ada@acme.example", &[]).await;
    let ada = house.account(&mut owner, "ada@acme.example").await;
    let held = ada["assignments"][0].clone();
    assert_eq!((&held["role"]["name"], &held["origins"][0]["kind"]), (&json!(MEMBER), &json!("default")));
    let taken = owner.delete(&format!("/api/v1/assignments/{}", held["id"].as_str().unwrap())).await;
    assert_eq!(taken.status, 204, "what is given once is people's to take: {}", taken.text());
    house.sign_in("ada@acme.example", &[]).await;
    assert_eq!(house.account(&mut owner, "ada@acme.example").await["assignments"], json!([]));
}

#[rstest]
#[tokio::test]
async fn a_role_of_contexts_is_held_in_one_and_acts_only_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "owner-member").await;
    let context = house.context("acme-eu", "Guests").await;
    let mut owner = house.person("boss", Some("acme"), &[held(OWNER, "acme")]).await;
    let mut member = house.person("member", Some("acme-eu"), &[held(MEMBER, "acme-eu")]).await;
    let (role, at) = (house.role("Sign-In administrator").await, house.organization("acme-eu").await);
    let grant = |scope: serde_json::Value, at| json!({ "account": member.id, "role": role, "organization": at, "resource_scope": scope });
    let bare = owner.post("/api/v1/assignments", &grant(json!(null), at)).await;
    assert_eq!(outcome(&bare), (422, "wrong_scope_kind".into()));
    let elsewhere = house.organization("acme-us").await;
    assert_eq!(outcome(&owner.post("/api/v1/assignments", &grant(json!(context), elsewhere)).await), (422, "unknown_scope".into()));
    let granted = created(&owner.post("/api/v1/assignments", &grant(json!(context), at)).await);
    assert_eq!((&granted["resource_scope"]["name"], &granted["reach"]), (&json!("Guests"), &json!("organization")));
    // It never leaks upward: at the organization itself only the member's own right is there.
    assert_eq!(member.permissions("acme-eu").await, ["organization_structure:read"]);
    let of_organizations = json!({ "account": member.id, "role": house.role(MEMBER).await, "organization": at, "resource_scope": context });
    assert_eq!(outcome(&owner.post("/api/v1/assignments", &of_organizations).await), (422, "wrong_scope_kind".into()));
}

#[rstest]
#[tokio::test]
async fn who_has_no_way_in_is_no_owner_to_count_on(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::with(engine, "owner-member", "min_owners = 2", "").await;
    let mut boss = house.person("boss", Some("acme"), &[held(OWNER, "acme")]).await;
    let locked_out = house.person("locked out", Some("acme"), &[]).await;
    let mut tx = house.gateway.app.db.begin().await.unwrap();
    tx.query("update account set has_local_credential = false where id = $1").bind(locked_out.id.to_string()).run().await.unwrap();
    tx.commit().await.unwrap();
    let other = house.account(&mut boss, "owner@acme.example").await["account"]["id"].clone();
    let (role, at) = (house.role(OWNER).await, house.organization("acme").await);
    let line = |op: &str, account: &serde_json::Value| json!({ "op": op, "account": account, "role": role, "organization": at });
    let body = json!({ "lines": [line("grant", &json!(locked_out.id)), line("revoke", &other)] });
    let done = boss.post("/api/v1/assignments/bulk", &body).await.json();
    let told: Vec<_> = done["lines"].as_array().unwrap().iter().map(|line| (line["outcome"].clone(), line["code"].clone())).collect();
    assert_eq!(told, [(json!("granted"), json!(null)), (json!("refused"), json!("owner_floor"))], "{done}");
}
