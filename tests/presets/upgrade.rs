//! A tenant follows its preset: the plan says what would be done, and exactly that is done.

use rstest::rstest;
use serde_json::{Value, json};

use super::house::{House, Person, created, held, outcome};
use crate::common::engines::Engine;

const PATH: &str = "/api/v1/preset/upgrade";

async fn owner(house: &House) -> Person<'_> {
    house.person("boss", Some("acme"), &[held("Super Administrator", "acme")]).await
}

/// The tenant as an older version of the preset would have left it: another list for the auditor, one entity more, one less.
async fn age(house: &House, entity_more: &'static str) {
    let mut tx = house.gateway.app.db.begin().await.unwrap();
    let tenant = house.tenant.to_string();
    for sql in [
        "update tenant set preset_version = 0, model_version = model_version + 1 where id = $1",
        "delete from entity where tenant = $1 and key = 'webhooks_management'",
        "update role_permission set permission = 'user_management:read' where tenant = $1 and permission = '*:read'",
    ] {
        tx.query(sql).bind(tenant.clone()).run().await.unwrap();
    }
    let document = json!({
        "key": entity_more, "name": "Old", "category": "General", "actions": ["read"], "scope_kind": "organization",
    });
    let sql = "insert into entity (tenant, key, document) values ($1, $2, $3)";
    tx.query(sql).bind(tenant).bind(entity_more).bind(document.to_string()).run().await.unwrap();
    tx.commit().await.unwrap();
}

fn steps(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap().iter();
    steps.map(|step| format!("{} {} {}", step["kind"], step["change"], step["name"]).replace('"', "")).collect()
}

#[rstest]
#[tokio::test]
async fn a_tenant_is_upgraded_as_planned_and_its_own_roles_stay(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    created(&boss.post("/api/v1/roles", &json!({ "name": "Mine", "permissions": ["user_management:*"] })).await);
    let nothing = boss.get(PATH).await.json();
    assert_eq!((&nothing["plan"], &nothing["from"]), (&json!(null), &nothing["to"]));
    age(&house, "old_things").await;
    let plan = boss.get(PATH).await.json();
    assert_eq!(steps(&plan), ["entity added webhooks_management", "entity removed old_things", "role changed Auditor"]);
    assert_eq!(boss.get(PATH).await.json()["plan"], plan["plan"], "a plan changes nothing");
    assert_eq!(outcome(&boss.post(PATH, &json!({ "plan": "another" })).await), (412, "plan_stale".into()));

    let done = boss.post(PATH, &json!({ "plan": plan["plan"] })).await;
    assert_eq!((done.status.as_u16(), &done.json()["applied"]), (200, &json!(true)), "{}", done.text());
    assert_eq!(steps(&done.json()), steps(&plan));
    let auditor = boss.get(&format!("/api/v1/roles/{}", house.role("Auditor").await)).await.json();
    assert_eq!(auditor["permissions"], json!(["*:read"]));
    let mine = boss.get(&format!("/api/v1/roles/{}", house.role("Mine").await)).await.json();
    assert_eq!(mine["permissions"], json!(["user_management:*"]));
    assert!(boss.get("/api/v1/catalogue").await.text().contains("webhooks_management"));
    assert_eq!(boss.get(PATH).await.json()["plan"], json!(null), "once is enough");
    assert_eq!(house.gateway.count("select count(*) from audit where action = 'preset.upgraded'").await, 1);
}

#[rstest]
#[tokio::test]
async fn a_role_that_would_lose_its_last_permission_stops_the_upgrade(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    age(&house, "old_things").await;
    let last = created(&boss.post("/api/v1/roles", &json!({ "name": "Last", "permissions": ["old_things:read"] })).await);
    let plan = boss.get(PATH).await.json();
    assert_eq!((&plan["refusals"][0]["role"], &plan["refusals"][0]["code"]), (&json!("Last"), &json!("role_needs_permission")));
    let refused = boss.post(PATH, &json!({ "plan": plan["plan"] })).await;
    assert_eq!(outcome(&refused), (409, "role_needs_permission".into()));
    assert!(refused.json()["detail"].as_str().unwrap().contains("Last"), "{}", refused.text());
    assert_eq!(house.gateway.count("select count(*) from tenant where preset_version = 0").await, 1, "nothing half done");
    // Edited, it lets the tenant through; but not by the plan of before.
    let path = format!("/api/v1/roles/{}", last["id"].as_str().unwrap());
    let both = json!({ "permissions": ["old_things:read", "user_management:read"] });
    assert_eq!(boss.patch(&path, &both).await.status, 200);
    assert_eq!(outcome(&boss.post(PATH, &json!({ "plan": plan["plan"] })).await), (412, "plan_stale".into()));
    let plan = boss.get(PATH).await.json();
    assert_eq!(boss.post(PATH, &json!({ "plan": plan["plan"] })).await.status, 200);
    assert_eq!(boss.get(&path).await.json()["permissions"], json!(["user_management:read"]));
}

#[rstest]
#[tokio::test]
async fn what_the_file_says_of_settings_stays(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let said = "min_owners = 1, root_only_actions = ['user_management:delete'], externally_managed = ['scim_rule']";
    let house = House::with(engine, "idaas", said, "").await;
    let mut boss = owner(&house).await;
    let before = settings(&house).await;
    age(&house, "old_things").await;
    let plan = boss.get(PATH).await.json();
    assert!(!steps(&plan).iter().any(|step| step.starts_with("settings")), "{plan}");
    let done = boss.post(PATH, &json!({ "plan": plan["plan"] })).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(settings(&house).await, before);
    assert_eq!(before["root_only_actions"], json!(["user_management:delete"]));
}

/// As the database has them.
async fn settings(house: &House) -> Value {
    let row = rolegate::db::tenant::find_tenant(&house.gateway.app.db, house.tenant).await.unwrap().unwrap();
    serde_json::to_value(row.settings).unwrap()
}

/// As a version leaves it that does not keep what the file names.
async fn forget_the_file(house: &House) {
    let mut tx = house.gateway.app.db.begin().await.unwrap();
    tx.query("update tenant set settings_of_file = null where id = $1").bind(house.tenant.to_string()).run().await.unwrap();
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn while_it_is_not_known_what_the_file_says_nothing_of_it_is_lost(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let said = "min_owners = 1, root_only_actions = ['user_management:delete']";
    let house = House::with(engine, "idaas", said, "").await;
    let mut boss = owner(&house).await;
    let before = settings(&house).await;
    let plan = {
        age(&house, "old_things").await;
        boss.get(PATH).await.json()["plan"].clone()
    };
    forget_the_file(&house).await;
    let refused = boss.get(PATH).await;
    assert_eq!(outcome(&refused), (409, "apply_first".into()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("names root_only_actions,") && detail.contains("apply the file"), "{detail}");
    assert_eq!(outcome(&boss.post(PATH, &json!({ "plan": plan })).await), (409, "apply_first".into()));
    assert_eq!(settings(&house).await, before);

    house.gateway.apply(&super::house::file("idaas", said, "")).await;
    assert_eq!(settings(&house).await, before);
    let after = boss.get(PATH).await.json();
    assert_eq!((&after["plan"], &after["from"]), (&json!(null), &json!(1)), "the file brought the tenant to the newest version");
}

#[rstest]
#[tokio::test]
async fn a_tenant_with_the_presets_settings_needs_no_file_to_follow_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    age(&house, "old_things").await;
    forget_the_file(&house).await;
    let plan = boss.get(PATH).await.json();
    let done = boss.post(PATH, &json!({ "plan": plan["plan"] })).await;
    assert_eq!((done.status.as_u16(), &done.json()["applied"]), (200, &json!(true)), "{}", done.text());
}

#[rstest]
#[tokio::test]
async fn settings_that_change_after_the_plan_make_it_stale(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    age(&house, "old_things").await;
    let plan = boss.get(PATH).await.json();
    let off = boss.patch("/api/v1/organizations/acme/settings", &json!({ "self_service_registration": false })).await;
    assert_eq!(off.status, 200, "{}", off.text());
    assert_eq!(outcome(&boss.post(PATH, &json!({ "plan": plan["plan"] })).await), (412, "plan_stale".into()));
    let again = boss.get(PATH).await.json();
    assert_eq!(steps(&again), steps(&plan), "what would be done is the same");
    assert_eq!(boss.post(PATH, &json!({ "plan": again["plan"] })).await.status, 200);
    assert_eq!(settings(&house).await["self_service_org_registration"], json!(false));
}

/// `organization_settings:read` stands for what the older version of the preset listed and this one lists no more.
#[rstest]
#[tokio::test]
async fn what_the_file_lists_as_an_owners_alone_is_so_after_the_upgrade_as_after_an_apply(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let listed: Vec<String> =
        rolegate::policy::preset::Preset::find("owner-member").unwrap().settings.owner_only.iter().map(ToString::to_string).collect();
    let listed = [listed, vec!["organization_settings:read".to_owned()]].concat();
    let said = format!("min_owners = 1, owner_only = {}", json!(listed));
    let house = House::with(engine, "owner-member", &said, "").await;
    let mut boss = house.person("boss", Some("acme"), &[held("Organization Owner", "acme")]).await;
    let before = settings(&house).await;
    // What the older catalogue had and this one has not.
    let mut older = before.clone();
    older["owner_only"].as_array_mut().unwrap().push(json!("old_things:read"));
    age(&house, "old_things").await;
    let mut tx = house.gateway.app.db.begin().await.unwrap();
    let write = tx.query("update tenant set settings = $2 where id = $1").bind(house.tenant.to_string()).bind(older.to_string());
    write.run().await.unwrap();
    tx.commit().await.unwrap();

    let plan = boss.get(PATH).await.json();
    assert_eq!(plan["steps"][0], json!({ "kind": "settings", "change": "changed", "name": "owner_only", "what": ["-old_things:read"] }));
    assert_eq!(boss.post(PATH, &json!({ "plan": plan["plan"] })).await.status, 200);
    assert_eq!(settings(&house).await, before);
    house.gateway.apply(&super::house::file("owner-member", &said, "")).await;
    assert_eq!(settings(&house).await, before);
}

#[tokio::test]
async fn only_an_owner_upgrades() {
    let house = House::open(Engine::Sqlite, "idaas").await;
    let mut auditor = house.person("auditor", Some("acme"), &[held("Auditor", "acme")]).await;
    assert_eq!(outcome(&auditor.get(PATH).await), (403, "owner_only".into()));
    assert_eq!(outcome(&auditor.post(PATH, &json!({ "plan": "x" })).await), (403, "owner_only".into()));
}
