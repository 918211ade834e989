//! The ceiling: people who are no owners give what they could use there themselves, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use rolegate::{
    db,
    domain::{
        actor::Actor,
        assignment::{Assignment, Holding, Reach},
        catalogue::{Entity, Permission},
        id::{AccountId, OrganizationId},
        model::RoleModel,
    },
    policy::{access::holds, preset::Preset},
    provision::{
        ProvisionError,
        assign::{self, Outcome, Request, Wish},
    },
};
use rstest::rstest;
use serde_json::{Value, json};

use super::house::{House, Person, created, held, outcome};
use crate::common::engines::Engine;

const OWNER: &str = "Super Administrator";

fn beyond() -> (u16, String) {
    (403, "beyond_own_rights".to_owned())
}

async fn owner(house: &House) -> Person<'_> {
    house.person("boss", Some("acme"), &[held(OWNER, "acme")]).await
}

async fn role(by: &mut Person<'_>, name: &str, permissions: &[&str]) -> Value {
    created(&by.post("/api/v1/roles", &json!({ "name": name, "permissions": permissions })).await)
}

fn path(role: &Value) -> String {
    format!("/api/v1/roles/{}", role["id"].as_str().unwrap())
}

#[rstest]
#[tokio::test]
async fn who_edits_roles_writes_nothing_more_into_one_that_their_second_account_holds(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    role(&mut boss, "Role desk", &["roles_management:*", "user_role_management:*", "groups_management:*"]).await;
    let held_role = role(&mut boss, "Plain", &["user_management:read"]).await;
    let free = role(&mut boss, "Free", &["user_management:read"]).await;
    let mut editor = house.person("editor", Some("acme"), &[held("Role desk", "acme")]).await;
    let mut second = house.person("second", Some("acme-eu"), &[held("Plain", "acme-eu")]).await;
    let wide = json!({ "permissions": ["*:*"] });

    let refused = editor.patch(&path(&held_role), &wide).await;
    assert_eq!(outcome(&refused), beyond());
    assert_eq!(refused.json()["missing"], json!(["*:*"]));
    assert!(refused.json()["detail"].as_str().unwrap().contains("*:*"), "{}", refused.text());
    let pair = json!({ "permissions": ["user_management:read", "webhooks_management:read", "groups_management:read"] });
    assert_eq!(editor.patch(&path(&held_role), &pair).await.json()["missing"], json!(["webhooks_management:read"]));
    assert_eq!(second.permissions("acme-eu").await, ["user_management:read"]);
    // A role without holders may name anything. Every way to a holder is closed.
    assert_eq!(editor.patch(&path(&free), &wide).await.status, 200);
    let wide = &free["id"];
    let set = json!({ "name": "Set", "roles": [wide] });
    assert_eq!(outcome(&editor.post("/api/v1/role-sets", &set).await), beyond());
    assert_eq!(outcome(&editor.patch(&path(&free), &json!({ "auto_assign_on_join": true })).await), beyond());
    assert_eq!(outcome(&editor.patch(&path(&free), &json!({ "auto_assign_first_user": true })).await), beyond());
    let new = json!({ "name": "New", "permissions": ["webhooks_management:*"], "auto_assign_on_join": true });
    assert_eq!(outcome(&editor.post("/api/v1/roles", &new).await), beyond());
    assert_eq!(outcome(&editor.grant(&house, "Free", second.id, "acme-eu").await), beyond());
    let moved = editor.post(&format!("{}/replacement", path(&held_role)), &json!({ "by": wide })).await;
    assert_eq!(moved.json()["moves"][0]["result"]["code"], "beyond_own_rights", "{}", moved.text());
    // An owner put this role into a set, so that anybody may get it.
    let sold = role(&mut boss, "Sold", &["groups_management:read"]).await;
    created(&boss.post("/api/v1/role-sets", &json!({ "name": "Boxed", "roles": [sold["id"]] })).await);
    assert_eq!(outcome(&editor.patch(&path(&sold), &json!({ "permissions": ["user_management:read"] })).await), beyond());
    assert_eq!(editor.patch(&path(&sold), &json!({ "permissions": ["groups_management:*"] })).await.status, 200);
    assert_eq!(boss.patch(&path(&held_role), &json!({ "permissions": ["*:*"] })).await.status, 200, "an owner is free to");
}

#[rstest]
#[tokio::test]
async fn who_grants_roles_gives_what_they_could_use_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    role(&mut boss, "Grants", &["user_role_management:*"]).await;
    role(&mut boss, "Reads groups", &["groups_management:*"]).await;
    let set = created(&boss.post("/api/v1/role-sets", &json!({ "name": "All", "roles": [house.role("Auditor").await] })).await);
    let both = [held("Grants", "acme"), held("Reads groups", "acme-eu")];
    let mut grantor = house.person("grantor", Some("acme"), &both).await;
    let second = house.person("second", Some("acme-eu"), &[]).await;
    let refused = grantor.grant(&house, "Auditor", second.id, "acme-eu").await;
    assert_eq!((outcome(&refused), &refused.json()["missing"]), (beyond(), &json!(["*:read"])));
    for name in ["Help Desk Administrator", "SIEM Add-on"] {
        assert_eq!(outcome(&grantor.grant(&house, name, second.id, "acme-eu").await), beyond(), "{name}");
    }
    let to = json!({ "accounts": [second.id], "organization": house.organization("acme-eu").await });
    let given = grantor.post(&format!("/api/v1/role-sets/{}/assignments", set["id"].as_str().unwrap()), &to).await;
    assert_eq!(given.json()["lines"][0]["code"], "beyond_own_rights", "{}", given.text());
    // Within their own rights: there, and not elsewhere.
    assert_eq!(grantor.grant(&house, "Reads groups", second.id, "acme-eu-west").await.status, 201);
    for at in ["acme", "acme-us"] {
        assert_eq!(outcome(&grantor.grant(&house, "Reads groups", second.id, at).await), beyond(), "at {at}");
    }
    assert_eq!(grantor.grant(&house, "Grants", second.id, "acme").await.status, 201);
}

#[rstest]
#[tokio::test]
async fn a_role_that_an_owner_named_is_granted_and_one_that_others_named_is_not(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    let auditor = house.role("Auditor").await;
    role(&mut boss, "Role desk", &["roles_management:*", "user_role_management:*"]).await;
    let mut editor = house.person("editor", Some("acme"), &[held("Role desk", "acme")]).await;
    let names = json!({ "name": "Curators", "permissions": ["user_role_management:*"], "managed_roles": [auditor, "@none"] });
    let curators = created(&editor.post("/api/v1/roles", &names).await);
    assert_eq!(curators["owner_named"], json!([]));
    let nobody = house.person("nobody", Some("acme-eu"), &[]).await;
    let mut by_editor = house.person("by editor", Some("acme"), &[held("Curators", "acme")]).await;
    assert_eq!(outcome(&by_editor.grant(&house, "Auditor", nobody.id, "acme-eu").await), beyond());
    // The owner writes the same list: now it is an owner's word.
    let named = boss.patch(&path(&curators), &json!({ "managed_roles": [auditor, "@none"] })).await;
    let entries: BTreeSet<String> = serde_json::from_value(named.json()["owner_named"].clone()).unwrap();
    assert_eq!(entries, BTreeSet::from([auditor.to_string(), "@none".to_owned()]), "{}", named.text());
    let mut by_owner = house.person("by owner", Some("acme"), &[held("Curators", "acme")]).await;
    assert_eq!(by_owner.grant(&house, "Auditor", nobody.id, "acme-eu").await.status, 201);
    assert_eq!(outcome(&by_editor.grant(&house, "Auditor", nobody.id, "acme").await), (403, "sign_in_again".into()), "an older session");
    // The editor cannot grant auditors, and makes nobody able to: not by a grant and not by a clone.
    assert_eq!(outcome(&editor.grant(&house, "Curators", nobody.id, "acme").await).0, 403);
    let cloned = created(&editor.post(&format!("{}/clone", path(&curators)), &json!({})).await);
    assert_eq!(cloned["role"]["owner_named"], json!([]));
    assert_eq!(
        created(&boss.post(&format!("{}/clone", path(&curators)), &json!({})).await)["role"]["owner_named"].as_array().unwrap().len(),
        2
    );
    // An entry that somebody else takes out and puts back is theirs.
    for list in [json!(["@none"]), json!([auditor, "@none"])] {
        assert_eq!(editor.patch(&path(&curators), &json!({ "managed_roles": list })).await.status, 200);
    }
    assert_eq!(boss.get(&path(&curators)).await.json()["owner_named"], json!(["@none"]));
}

#[tokio::test]
async fn a_role_that_an_owner_named_is_not_widened_for_those_who_grant_it() {
    let house = House::open(Engine::Sqlite, "idaas").await;
    let mut boss = owner(&house).await;
    role(&mut boss, "Role desk", &["roles_management:*"]).await;
    let target = role(&mut boss, "Named", &["user_management:read"]).await;
    let names = json!({ "name": "Curators", "permissions": ["user_role_management:*"], "managed_roles": [target["id"], "@none"] });
    created(&boss.post("/api/v1/roles", &names).await);
    let mut editor = house.person("editor", Some("acme"), &[held("Role desk", "acme")]).await;
    assert_eq!(outcome(&editor.patch(&path(&target), &json!({ "permissions": ["*:*"] })).await), beyond(), "nobody holds it yet");
}

#[tokio::test]
async fn a_role_that_a_rule_or_a_default_gives_is_widened_by_who_could_use_it_there() {
    let role = |name: &str| format!("[[roles]]\nname = \"{name}\"\npermissions = [\"user_management:read\"]\n");
    let more = format!(
        "[connections.default_mapping]\nroles = [\"By default\"]\n[[connections.rules]]\nname = \"sales\"\nwhen = 'groups[value eq \"sales\"]'\ngrant = [{{ role = \"By rule\" }}]\n{}{}",
        role("By default"),
        role("By rule")
    );
    let house = House::with(Engine::Sqlite, "idaas", "min_owners = 1", &more).await;
    let mut boss = owner(&house).await;
    created(&boss.post("/api/v1/roles", &json!({ "name": "Role desk", "permissions": ["roles_management:*"] })).await);
    created(&boss.post("/api/v1/roles", &json!({ "name": "Groups", "permissions": ["groups_management:*"] })).await);
    // The connection is the EU's: what its mapping gives, it gives there.
    let mut editor = house.person("editor", Some("acme"), &[held("Role desk", "acme"), held("Groups", "acme-eu")]).await;
    for name in ["By default", "By rule"] {
        let path = format!("/api/v1/roles/{}", house.role(name).await);
        assert_eq!(outcome(&editor.patch(&path, &json!({ "permissions": ["webhooks_management:*"] })).await), beyond(), "{name}");
        assert_eq!(editor.patch(&path, &json!({ "permissions": ["groups_management:*"] })).await.status, 200, "{name}");
    }
}

/// The grant decides by the role as it is; the role is widened before the grant is written.
#[tokio::test]
async fn a_role_that_is_widened_while_it_is_granted_is_decided_about_again() {
    let house = House::open(Engine::Postgres, "idaas").await;
    let mut boss = owner(&house).await;
    let free = role(&mut boss, "Free", &["user_management:read"]).await;
    let somebody = house.person("somebody", Some("acme-eu"), &[]).await;
    let model = house.model().await;
    let (role, organization) = (house.role("Free").await, house.organization("acme-eu").await);
    let holding = Holding { role, organization, resource_scope: None, reach: Reach::Subtree };
    let request = Request { account: somebody.id, holding, wish: Wish::Grant { may_delegate: false } };
    let mut occasion = house.gateway.app.occasion(Actor::HostOperator, "test");
    let mut tx = house.gateway.app.db.begin().await.unwrap();
    let decided = assign::decide(&mut tx, &model, &mut occasion, &[request]).await.unwrap();
    assert!(matches!(decided.outcomes[..], [Outcome::Granted(_)]));
    assert_eq!(boss.patch(&path(&free), &json!({ "permissions": ["*:*"] })).await.status, 200);
    let written = decided.write(&mut tx, &model, &mut occasion).await;
    assert!(matches!(written, Err(ProvisionError::Again)), "{written:?}");
}

/// The pairs that each account may use, with their places, as the permission check answers.
type Power = BTreeMap<AccountId, BTreeSet<(String, OrganizationId)>>;

async fn power(house: &House, model: &RoleModel, accounts: &[AccountId]) -> Power {
    let everything = Permission::parse("*:*").unwrap();
    let mut power = Power::new();
    for account in accounts {
        let held: Vec<Assignment> = db::assignment::list_held(&house.gateway.app.db, house.tenant, *account).await.unwrap();
        let pairs = model.catalogue.resolve(&everything).flat_map(|(entity, action)| {
            let places = model.organizations.iter().map(|organization| organization.id);
            let allowed = places.filter(|at| holds(model, &held, &entity.key, action, *at, None).is_some());
            allowed.map(|at| (format!("{}:{action}", entity.key), at)).collect::<Vec<_>>()
        });
        power.insert(*account, pairs.collect());
    }
    power
}

/// A small generator, so that a history that fails fails again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<'p, T>(&mut self, from: &'p [T]) -> &'p T {
        &from[self.roll(from.len())]
    }
}

#[tokio::test]
async fn no_history_over_the_api_gives_anybody_what_who_acted_did_not_have() {
    let mut written = 0;
    for (seed, preset) in (1..).zip(Preset::all()) {
        // A file cannot put an owner's permission into a role.
        let owners = &preset.settings.owner_only;
        let is_free = |entity: &Entity| owners.iter().all(|pair| pair.entity.as_ref() != Some(&entity.key));
        let opens = |capability: &str| {
            let pair = |entity: &Entity| {
                let opens = serde_json::to_value(&entity.opens).unwrap().to_string();
                (opens.contains(&format!("\"{capability}\"")) && is_free(entity)).then(|| format!("{}:*", entity.key))
            };
            preset.catalogue.iter().find_map(pair)
        };
        let (grants, edits) = (opens("assignments.grant"), opens("roles.update"));
        let entities: Vec<&str> = preset.catalogue.iter().map(|entity| entity.key.as_str()).collect();
        let mut pool: Vec<String> = entities.iter().map(|key| format!("{key}:*")).collect();
        pool.extend(preset.catalogue.iter().flat_map(|entity| entity.actions.iter().map(move |action| format!("{}:{action}", entity.key))));
        pool.extend(["*:read".to_owned(), "*:*".to_owned()]);
        let file_role = |name: &str, permissions: &[&str]| {
            let list = permissions.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
            format!("[[roles]]\nname = \"{name}\"\npermissions = [{list}]\n")
        };
        let powers: Vec<&str> = grants.iter().chain(&edits).map(String::as_str).collect();
        let reads = preset
            .catalogue
            .iter()
            .find(|entity| is_free(entity) && entity.scope_kind == "organization" && entity.actions.contains(&"read".to_owned()));
        let reads = format!("{}:read", reads.unwrap().key);
        let desk: Vec<&str> = if powers.is_empty() { vec![&reads] } else { powers };
        let roles = [file_role("Desk", &desk), file_role("Reader", &[&reads])].concat();
        let house = House::with(Engine::Sqlite, &preset.key, "min_owners = 1, custom_roles = true", &roles).await;
        let mut people = [
            house.person("one", Some("acme"), &[held("Desk", "acme")]).await,
            house.person("same", Some("acme-eu"), &[held("Reader", "acme-eu")]).await,
            house.person("other", Some("acme-us"), &[held("Desk", "acme-us"), held("Reader", "acme")]).await,
        ];
        let accounts: Vec<AccountId> = people.iter().map(|person| person.id).collect();
        let mut dice = Dice(seed);
        let mut names: Vec<String> = ["Desk", "Reader"].map(str::to_owned).into();
        for step in 0..40 {
            let before = power(&house, &house.model().await, &accounts).await;
            let at = dice.roll(people.len());
            let (acting, permissions) = (&mut people[at], vec![dice.pick(&pool).clone(), dice.pick(&pool).clone()]);
            let name = dice.pick(&names).clone();
            let answer = match dice.roll(4) {
                0 => {
                    let new = format!("New {step}");
                    let answer = acting.post("/api/v1/roles", &json!({ "name": new, "permissions": permissions })).await;
                    names.extend((answer.status == 201).then_some(new));
                    answer
                }
                1 => {
                    let path = format!("/api/v1/roles/{}", house.role(&name).await);
                    acting.patch(&path, &json!({ "permissions": permissions })).await
                }
                _ => {
                    let to = *dice.pick(&accounts);
                    let place = *dice.pick(&["acme", "acme-eu", "acme-us", "acme-eu-west"]);
                    acting.grant(&house, &name, to, place).await
                }
            };
            written += usize::from(answer.status.is_success());
            let after = power(&house, &house.model().await, &accounts).await;
            for account in &accounts {
                let gained: BTreeSet<_> = &after[account] - &before[account];
                let more: Vec<_> = gained.difference(&before[&accounts[at]]).collect();
                assert!(more.is_empty(), "{} step {step}: {account} gained {more:?} by {}", preset.key, answer.text());
            }
        }
    }
    assert!(written > 4, "{written} acts were done: too few to show anything");
}
