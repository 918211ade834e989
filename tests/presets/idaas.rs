//! `idaas`: roles say what may be done, and to whom.

use rstest::rstest;
use serde_json::json;

use super::house::{House, Person, created, held, outcome};
use crate::common::engines::Engine;

const OWNER: &str = "Super Administrator";
const DESK: &str = "Help Desk Administrator";

async fn owner(house: &House) -> Person<'_> {
    house.person("boss", Some("acme"), &[held(OWNER, "acme")]).await
}

#[rstest]
#[tokio::test]
async fn the_help_desk_manages_end_users_auditors_and_the_help_desk(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    created(&boss.post("/api/v1/roles", &json!({ "name": "Marketing", "permissions": ["webhooks_management:*"] })).await);
    let mut desk = house.person("desk", Some("acme"), &[held(DESK, "acme")]).await;
    let end_user = house.person("end user", Some("acme-eu"), &[]).await.id;
    let auditor = house.person("an auditor", Some("acme-eu"), &[held("Auditor", "acme")]).await.id;
    let colleague = house.person("a colleague", Some("acme-eu"), &[held(DESK, "acme-eu")]).await.id;
    for within in [end_user, auditor, colleague] {
        let answer = desk.post(&format!("/api/v1/accounts/{within}/disable"), &json!({})).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["account"]["active"]), (200, &json!(false)));
        assert_eq!(desk.post(&format!("/api/v1/accounts/{within}/enable"), &json!({})).await.json()["account"]["active"], json!(true));
    }
    let custom = house.person("marketing", Some("acme-eu"), &[held("Marketing", "acme-eu")]).await.id;
    for beyond in [boss.id, custom] {
        let answer = desk.post(&format!("/api/v1/accounts/{beyond}/disable"), &json!({})).await;
        assert_eq!(outcome(&answer), (403, "out_of_reach".into()));
        let answer = desk.delete(&format!("/api/v1/accounts/{beyond}")).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
}

#[tokio::test]
async fn roles_of_the_preset_are_not_edited_and_their_clones_are() {
    let house = House::open(Engine::Sqlite, "idaas").await;
    let mut boss = owner(&house).await;
    let desk = house.role(DESK).await;
    let edited = boss.patch(&format!("/api/v1/roles/{desk}"), &json!({ "managed_roles": "all" })).await;
    assert_eq!(outcome(&edited), (403, "system_role".into()));
    let cloned = created(&boss.post(&format!("/api/v1/roles/{desk}/clone"), &json!({})).await);
    assert_eq!(cloned["role"]["name"], "Help Desk Administrator Copy");
    assert_eq!(cloned["role"]["managed_roles"].as_array().unwrap().len(), 3, "the clone manages whom the original manages");
    assert!(cloned["dropped"].to_string().contains("system"));
    let again = created(&boss.post(&format!("/api/v1/roles/{desk}/clone"), &json!({})).await);
    assert_eq!(again["role"]["name"], "Help Desk Administrator Copy 2");
    let id = cloned["role"]["id"].as_str().unwrap();
    let wider = boss.patch(&format!("/api/v1/roles/{id}"), &json!({ "managed_roles": "all", "managed_groups": "own" })).await;
    assert_eq!((&wider.json()["managed_roles"], &wider.json()["managed_groups"]), (&json!("all"), &json!("own")));
}

#[rstest]
#[tokio::test]
async fn what_a_directory_gives_people_do_not_take(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let rule = r#"
[[connections.rules]]
name = "auditors"
when = 'groups[value eq "audit"]'
grant = [{ role = "Auditor" }]
"#;
    let house = House::with(engine, "idaas", "min_owners = 1", rule).await;
    let mut boss = owner(&house).await;
    assert_eq!(house.sign_in("ada@acme.example", &["audit"]).await.status, 303);
    let ada = house.account(&mut boss, "ada@acme.example").await;
    let (account, assignment) = (ada["account"]["id"].as_str().unwrap(), ada["assignments"][0]["id"].as_str().unwrap());
    let refused = boss.delete(&format!("/api/v1/assignments/{assignment}")).await;
    assert_eq!(outcome(&refused), (409, "externally_managed".into()));
    let cause = json!({ "kind": "saml_rule", "connection": "acme-okta", "rule": "auditors", "groups": ["audit"] });
    assert_eq!(refused.json()["causes"], json!([cause]));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(["auditors", "acme-okta", "audit", "identity provider"].iter().all(|word| detail.contains(word)), "{detail}");
    // By hand too: two reasons, each leaves alone.
    let body = json!({ "account": account, "role": house.role("Auditor").await, "organization": house.organization("acme-eu").await });
    assert_eq!(boss.post("/api/v1/assignments", &body).await.json()["origins"].as_array().unwrap().len(), 2);
    let left = boss.delete(&format!("/api/v1/assignments/{assignment}")).await;
    assert_eq!((left.status.as_u16(), left.json()["origins"].as_array().unwrap().len()), (200, 1));
    // A role that a rule names is not deleted.
    let rules = boss.delete(&format!("/api/v1/roles/{}", house.role("Auditor").await)).await;
    assert_eq!(outcome(&rules), (403, "system_role".into()));
}

#[tokio::test]
async fn a_super_auditor_manages_auditors_alone() {
    let house = House::open(Engine::Sqlite, "idaas").await;
    let mut boss = owner(&house).await;
    let auditor = house.role("Auditor").await;
    let role = json!({
        "name": "Super Auditor", "permissions": ["user_management:*", "user_role_management:*"], "managed_roles": [auditor],
    });
    created(&boss.post("/api/v1/roles", &role).await);
    let mut curator = house.person("curator", Some("acme"), &[held("Super Auditor", "acme")]).await;
    let one = house.person("one", Some("acme-eu"), &[held("Auditor", "acme-eu")]).await;
    let nobody = house.person("nobody", Some("acme-eu"), &[]).await;
    let desk = house.person("desk", Some("acme-eu"), &[held(DESK, "acme-eu")]).await;
    assert_eq!(curator.grant(&house, "Auditor", one.id, "acme-eu-west").await.status, 201);
    assert_eq!(outcome(&curator.grant(&house, "Auditor", desk.id, "acme-eu").await), (403, "out_of_reach".into()));
    assert_eq!(outcome(&curator.grant(&house, "Auditor", nobody.id, "acme-eu").await), (403, "out_of_reach".into()), "without @none");
    assert_eq!(outcome(&curator.grant(&house, DESK, one.id, "acme-eu").await), (403, "out_of_reach".into()));
    assert_eq!(outcome(&curator.post(&format!("/api/v1/accounts/{}/disable", desk.id), &json!({})).await), (403, "out_of_reach".into()));
    let unknown =
        boss.post("/api/v1/roles", &json!({ "name": "x", "permissions": ["user_management:read"], "managed_roles": ["Auditor"] })).await;
    assert_eq!(outcome(&unknown), (422, "unknown_managed_role".into()));
}

#[tokio::test]
async fn a_role_with_every_action_of_one_entity() {
    let house = House::open(Engine::Sqlite, "idaas").await;
    let mut boss = owner(&house).await;
    created(&boss.post("/api/v1/roles", &json!({ "name": "Marketing", "permissions": ["account_branding_customization:*"] })).await);
    let mut marketing = house.person("marketing", Some("acme"), &[held("Marketing", "acme")]).await;
    let permissions = marketing.permissions("acme").await;
    assert!(
        !permissions.is_empty() && permissions.iter().all(|pair| pair.starts_with("account_branding_customization:")),
        "{permissions:?}"
    );
    assert_eq!(outcome(&marketing.get("/api/v1/accounts").await), (403, "not_permitted".into()));
}

#[rstest]
#[tokio::test]
async fn who_manages_their_own_groups_loses_one_on_leaving_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    let role = json!({ "name": "Group admin", "permissions": ["user_management:*"], "managed_groups": "own" });
    created(&boss.post("/api/v1/roles", &role).await);
    let mut admin = house.person("admin", Some("acme"), &[held("Group admin", "acme")]).await;
    let member = house.person("member", Some("acme"), &[]).await;
    let group = created(&boss.post("/api/v1/groups", &json!({ "name": "Field", "organization": house.organization("acme").await })).await);
    let members = format!("/api/v1/groups/{}/members", group["id"].as_str().unwrap());
    for id in [admin.id, member.id] {
        assert_eq!(boss.post(&members, &json!({ "add": [id] })).await.status, 200);
    }
    let disable = format!("/api/v1/accounts/{}/disable", member.id);
    assert_eq!(admin.post(&disable, &json!({})).await.status, 200);
    assert_eq!(boss.post(&members, &json!({ "remove": [admin.id] })).await.status, 200);
    assert_eq!(outcome(&admin.post(&disable.replace("disable", "enable"), &json!({})).await), (403, "out_of_reach".into()));
}

#[rstest]
#[tokio::test]
async fn a_role_comes_by_itself_only_from_whom_it_could_be_granted(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    let auditor = house.role("Auditor").await;
    let powers = json!(["roles_management:*", "user_role_management:*"]);
    created(&boss.post("/api/v1/roles", &json!({ "name": "Roles", "permissions": powers, "managed_roles": [auditor, "@none"] })).await);
    let and_users = json!(["roles_management:*", "user_role_management:*", "user_management:*"]);
    created(&boss.post("/api/v1/roles", &json!({ "name": "All roles", "permissions": and_users })).await);
    let welcome = created(&boss.post("/api/v1/roles", &json!({ "name": "Welcome", "permissions": ["user_management:read"] })).await);
    let path = format!("/api/v1/roles/{}", welcome["id"].as_str().unwrap());
    let mut some = house.person("some", Some("acme"), &[held("Roles", "acme")]).await;
    let mut all = house.person("all", Some("acme"), &[held("All roles", "acme")]).await;
    let newcomer = house.person("newcomer", Some("acme-eu"), &[]).await;
    assert_eq!(outcome(&some.grant(&house, "Welcome", newcomer.id, "acme").await), (403, "out_of_reach".into()));
    let comes = json!({ "auto_assign_on_join": true });
    assert_eq!(outcome(&some.patch(&path, &comes).await), (403, "out_of_reach".into()));
    let own = json!({ "name": "Mine", "permissions": ["user_management:read"], "auto_assign_first_user": true });
    assert_eq!(outcome(&some.post("/api/v1/roles", &own).await), (403, "out_of_reach".into()));
    assert_eq!(all.patch(&path, &comes).await.status, 200);
    // What it gives from now on is given as much.
    for wider in [json!({ "permissions": ["user_management:*"] }), json!({ "managed_roles": [auditor] })] {
        assert_eq!(outcome(&some.patch(&path, &wider).await), (403, "out_of_reach".into()));
    }
    assert_eq!(some.patch(&path, &json!({ "description": "Hello" })).await.status, 200);
    assert_eq!(some.patch(&path, &json!({ "auto_assign_on_join": false })).await.status, 200);
}
