//! `delegated-user-management`: partners run their own people, and hand down what they hold with the right to.

use rstest::rstest;
use serde_json::json;

use super::house::{Held, House, Person, created, held, outcome};
use crate::common::engines::Engine;

const OWNER: &str = "Super administrator";

async fn house(engine: Engine) -> House {
    let roles = r#"
[[roles]]
name = "Partner admin"
permissions = ["users:*", "administrator_roles:*", "organizations:read"]

[[roles]]
name = "Viewer"
permissions = ["users:read"]
"#;
    House::with(engine, "delegated-user-management", "min_owners = 1", roles).await
}

async fn owner(house: &House) -> Person<'_> {
    house.person("owner", Some("acme"), &[held(OWNER, "acme")]).await
}

#[rstest]
#[tokio::test]
async fn roles_are_made_at_the_root_only(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = house(engine).await;
    let role = json!({ "name": "New", "permissions": ["users:read"] });
    let mut partner = house.person("partner", Some("acme-eu"), &[held("Partner admin", "acme-eu")]).await;
    assert_eq!(outcome(&partner.post("/api/v1/roles", &role).await), (403, "root_only".into()));
    let viewer = house.role("Viewer").await;
    assert_eq!(outcome(&partner.patch(&format!("/api/v1/roles/{viewer}"), &json!({ "name": "x" })).await), (403, "root_only".into()));
    assert_eq!(outcome(&partner.delete(&format!("/api/v1/roles/{viewer}")).await), (403, "root_only".into()));
    assert_eq!(partner.get("/api/v1/roles").await.status, 200, "looking is fine");
    let mut at_root = house.person("at root", Some("acme"), &[held("Partner admin", "acme")]).await;
    created(&at_root.post("/api/v1/roles", &role).await);
}

#[rstest]
#[tokio::test]
async fn one_passes_on_what_one_holds_with_the_right_to_below_oneself_and_to_others(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let house = house(engine).await;
    let colleague = house.person("colleague", Some("acme-eu-west"), &[]).await;
    let elsewhere = house.person("elsewhere", Some("acme-us"), &[]).await;
    let delegable = Held { may_delegate: true, ..held("Partner admin", "acme-eu") };
    let mut partner = house.person("partner", Some("acme-eu"), &[delegable]).await;
    let mut without = house.person("without", Some("acme-eu"), &[held("Partner admin", "acme-eu")]).await;
    let refused = (403, "not_permitted".to_owned());
    assert_eq!(outcome(&partner.grant(&house, "Viewer", colleague.id, "acme-eu").await), refused, "a role one does not hold");
    assert_eq!(outcome(&without.grant(&house, "Partner admin", colleague.id, "acme-eu").await), refused, "without may_delegate");
    assert_eq!(outcome(&partner.grant(&house, "Partner admin", colleague.id, "acme-us").await), refused, "outside the subtree");
    assert_eq!(outcome(&partner.grant(&house, "Partner admin", elsewhere.id, "acme-eu").await), refused, "to somebody outside");
    let own = partner.id;
    assert_eq!(outcome(&partner.grant(&house, "Partner admin", own, "acme-eu-west").await), (403, "self_assignment".into()));
    let granted = created(&partner.grant(&house, "Partner admin", colleague.id, "acme-eu-west").await);
    assert_eq!((&granted["may_delegate"], &granted["origins"][0]["by"]), (&json!(false), &json!(own.to_string())));
    // Once more it is as it is.
    assert_eq!(partner.grant(&house, "Partner admin", colleague.id, "acme-eu-west").await.status, 200);
}

#[rstest]
#[tokio::test]
async fn of_a_set_one_gives_what_one_passes_on(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = house(engine).await;
    let mut owner = owner(&house).await;
    let roles = [house.role("Partner admin").await, house.role("Viewer").await];
    let set = created(&owner.post("/api/v1/role-sets", &json!({ "name": "Both", "roles": roles })).await);
    let path = format!("/api/v1/role-sets/{}/assignments", set["id"].as_str().unwrap());
    let colleague = house.person("colleague", Some("acme-eu-west"), &[]).await;
    let elsewhere = house.person("elsewhere", Some("acme-us"), &[]).await;
    let delegable = Held { may_delegate: true, ..held("Partner admin", "acme-eu") };
    let mut partner = house.person("partner", Some("acme-eu"), &[delegable]).await;
    let mut without = house.person("without", Some("acme-eu"), &[held("Partner admin", "acme-eu")]).await;
    let at = house.organization("acme-eu-west").await;
    let to = |atomic: bool| json!({ "accounts": [colleague.id, elsewhere.id], "organization": at, "atomic": atomic });
    let refused = (403, "not_permitted".to_owned());
    assert_eq!(outcome(&without.post(&path, &to(false)).await), refused, "who passes on nothing");
    let held = "select count(*) from assignment a join role r on r.id = a.role where r.name in ('Partner admin', 'Viewer')";
    let atomic = partner.post(&path, &to(true)).await.json();
    assert_eq!((&atomic["written"], &atomic["refused"]), (&json!(false), &json!(3)), "{atomic}");
    assert_eq!(house.gateway.count(held).await, 2, "what was there");
    // As each of them would be judged alone.
    let mut expected = Vec::new();
    for account in [colleague.id, elsewhere.id] {
        for role in roles {
            let line = json!({ "op": "grant", "account": account, "role": role, "organization": at });
            let alone = partner.post("/api/v1/assignments/bulk", &json!({ "lines": [line], "preview": true })).await.json();
            expected.push(alone["lines"][0]["code"].clone());
        }
    }
    let given = partner.post(&path, &to(false)).await.json();
    let codes: Vec<_> = given["lines"].as_array().unwrap().iter().map(|line| line["code"].clone()).collect();
    assert_eq!(codes.iter().filter(|code| code.is_null()).count(), 1, "{given}");
    assert_eq!((&given["written"], &given["granted"], &given["refused"]), (&json!(true), &json!(1), &json!(3)));
    let sorted = |codes: Vec<serde_json::Value>| {
        let mut codes: Vec<_> = codes.iter().map(ToString::to_string).collect();
        codes.sort();
        codes
    };
    assert_eq!(sorted(codes), sorted(expected));
    assert_eq!(house.gateway.count(held).await, 3);
    let theirs = owner.get(&format!("/api/v1/accounts/{}/assignments", colleague.id)).await.json();
    assert_eq!(theirs["items"][0]["role"]["name"], "Partner admin");
}

#[rstest]
#[tokio::test]
async fn the_super_administrator_is_at_home_at_the_root(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = house(engine).await;
    let mut owner = owner(&house).await;
    let partner = house.person("partner", Some("acme-eu"), &[]).await;
    let refused = owner.grant(&house, OWNER, partner.id, "acme").await;
    assert_eq!(outcome(&refused), (422, "not_eligible".into()));
    assert!(refused.json()["detail"].as_str().unwrap().contains("root"), "{}", refused.text());
    let colleague = house.person("colleague", Some("acme"), &[]).await;
    created(&owner.grant(&house, OWNER, colleague.id, "acme").await);
}

#[tokio::test]
async fn a_role_keeps_a_name_of_its_own_a_permission_and_its_holders() {
    let house = house(Engine::Sqlite).await;
    let mut owner = owner(&house).await;
    let twice = owner.post("/api/v1/roles", &json!({ "name": "ｖｉｅｗｅｒ", "permissions": ["users:read"] })).await;
    assert_eq!(outcome(&twice), (409, "role_name_taken".into()));
    assert_eq!(twice.json()["field"], "name");
    let viewer = format!("/api/v1/roles/{}", house.role("Viewer").await);
    let emptied = owner.patch(&viewer, &json!({ "permissions": [] })).await;
    assert_eq!(outcome(&emptied), (422, "role_needs_permission".into()));
    let holder = house.person("holder", Some("acme-eu"), &[held("Viewer", "acme-eu")]).await;
    let refused = owner.delete(&viewer).await;
    assert_eq!(outcome(&refused), (409, "role_in_use".into()));
    let usage = refused.json();
    assert_eq!(usage["assignments"], 1);
    assert_eq!(usage["holders"], json!([{ "account": holder.id, "user_name": "holder", "organization": "acme-eu" }]));
}

#[tokio::test]
async fn roles_are_not_passed_on_where_the_tenant_does_not_delegate() {
    let house = House::open(Engine::Sqlite, "idaas").await;
    let mut owner = house.person("owner", Some("acme"), &[held("Super Administrator", "acme")]).await;
    let colleague = house.person("colleague", Some("acme"), &[]).await;
    let body = json!({
        "account": colleague.id, "role": house.role("Auditor").await, "organization": house.organization("acme").await, "may_delegate": true,
    });
    assert_eq!(outcome(&owner.post("/api/v1/assignments", &body).await), (422, "no_delegation".into()));
}
