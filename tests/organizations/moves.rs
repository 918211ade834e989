//! Moves of organizations and of homes: what they change by inheritance needs the right to change it by hand.

use axum::http::StatusCode;
use rolegate::domain::{assignment::Reach, id::AccountId};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    common::engines::Engine,
    presets::house::{CONNECTION, Held, House, Person, file, held, outcome},
};

const EU: &str = "/api/v1/organizations/acme-eu";
const PRESET: &str = "delegated-user-management";
const ROLES: &str = "
[[roles]]
name = \"Mover\"
permissions = [\"organizations:*\"]

[[roles]]
name = \"Desk\"
permissions = [\"users:*\"]
";

async fn house(engine: Engine) -> House {
    House::with(engine, PRESET, "min_owners = 1", ROLES).await
}

async fn owner<'h>(house: &'h House, name: &str, at: &str) -> Person<'h> {
    house.person(name, Some("acme"), &[held("Super administrator", at)]).await
}

fn refused(code: &str) -> (u16, String) {
    (403, code.to_owned())
}

async fn parent_of(person: &mut Person<'_>, path: &str) -> Value {
    person.get(path).await.json()["parent"].clone()
}

/// Account and role of each line.
fn lines(list: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |line: &Value| (text(&line["user_name"]), text(&line["role_name"]), text(&line["organization"]));
    list.as_array().unwrap().iter().map(one).collect()
}

#[rstest]
#[tokio::test]
async fn a_mover_does_not_make_an_accomplice_an_owner_of_what_moves(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = house(engine).await;
    let mut boss = owner(&house, "boss", "acme").await;
    let mut accomplice = owner(&house, "accomplice", "acme-us").await;
    let mut mover = house.person("mover", Some("acme"), &[held("Mover", "acme")]).await;
    let certificates = format!("/api/v1/connections/{CONNECTION}/certificates");
    let rotate = json!({ "certificate": "none" });
    let before = accomplice.post(&certificates, &rotate).await.status;
    assert!(before == StatusCode::FORBIDDEN || before == StatusCode::NOT_FOUND, "{before}");

    let to = json!({ "parent": "acme-us" });
    assert_eq!(outcome(&mover.patch(EU, &to).await), refused("owner_only"));
    assert_eq!(outcome(&mover.post(&format!("{EU}/move"), &to).await), refused("owner_only"));
    assert_eq!(parent_of(&mut boss, EU).await, "acme");
    assert_eq!(outcome(&accomplice.patch(EU, &to).await).0 / 100, 4, "an owner of one end");

    let moved = boss.post(&format!("{EU}/move"), &to).await;
    assert_eq!((moved.status, &moved.json()["moved"]), (StatusCode::OK, &json!(true)), "{}", moved.text());
    assert_eq!(moved.headers["etag"], "\"2\"");
    assert_eq!(parent_of(&mut boss, EU).await, "acme-us");
    assert_eq!(
        accomplice.post(&certificates, &rotate).await.status,
        StatusCode::BAD_REQUEST,
        "the right is there, the certificate is none"
    );
    // The way out takes ownership away: it is an owner's too.
    assert_eq!(outcome(&mover.patch(EU, &json!({ "parent": "acme" })).await), refused("owner_only"));
}

#[rstest]
#[tokio::test]
async fn a_preview_names_who_gains_and_loses_which_role_as_far_as_one_sees_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = house(engine).await;
    let mut boss = owner(&house, "boss", "acme").await;
    owner(&house, "partner", "acme-us").await;
    house.person("ann", None, &[held("Desk", "acme-eu")]).await;
    house.person("ben", None, &[held("Desk", "acme-eu"), held("Desk", "acme-us")]).await;
    house.person("cid", None, &[Held { reach: Reach::Organization, ..held("Desk", "acme-us") }]).await;
    let west = "/api/v1/organizations/acme-eu-west";
    let ask = json!({ "parent": "acme-us", "preview": true });
    let preview = boss.post(&format!("{west}/move"), &ask).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text());
    let preview = preview.json();
    let line = |user: &str, role: &str, at: &str| (user.to_owned(), role.to_owned(), at.to_owned());
    assert_eq!(lines(&preview["gained"]), [line("partner", "Super administrator", "acme-us")]);
    assert_eq!(lines(&preview["lost"]), [line("ann", "Desk", "acme-eu")]);
    assert_eq!((&preview["moved"], &preview["complete"], &preview["refusal"]), (&json!(false), &json!(true), &Value::Null));
    assert_eq!(parent_of(&mut boss, west).await, "acme-eu");

    let mut mover = house.person("mover", Some("acme"), &[held("Mover", "acme")]).await;
    let preview = mover.post(&format!("{west}/move"), &ask).await.json();
    assert_eq!((&preview["gained"], &preview["lost"]), (&json!([]), &json!([])), "assignments that one does not see");
    assert_eq!(preview["refusal"]["code"], "owner_only");
    let stale = mover.send(axum::http::Method::POST, &format!("{west}/move"), &[("if-match", "\"7\"")], &ask).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(mover.post(&format!("{west}/move"), &json!({ "parent": "acme-eu" })).await.json()["moved"], false, "it is there");
}

#[rstest]
#[tokio::test]
async fn a_move_does_not_escape_the_settings_of_its_place(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = house(engine).await;
    let mut boss = owner(&house, "boss", "acme").await;
    let set = boss.patch(&format!("{EU}/settings"), &json!({ "session_ttl_secs": 3600 })).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text());
    let mut mover = house.person("mover", Some("acme"), &[held("Mover", "acme"), held("Desk", "acme")]).await;
    let west = "/api/v1/organizations/acme-eu-west";
    for to in ["acme", "acme-us"] {
        let answer = mover.patch(west, &json!({ "parent": to })).await;
        assert_eq!(outcome(&answer), refused("owner_only"), "{}", answer.text());
        let preview = mover.post(&format!("{west}/move"), &json!({ "parent": to, "preview": true })).await.json();
        assert_eq!(preview["also_different"], json!(["security_settings"]));
    }
    assert_eq!(mover.patch("/api/v1/organizations/acme-us", &json!({ "parent": "acme-eu" })).await.status, StatusCode::FORBIDDEN);

    // The home decides which settings hold for an account.
    let guest = house.person("guest", Some("acme-eu"), &[]).await;
    let member = |slug: &str| format!("/api/v1/organizations/{slug}/members/{}", guest.id);
    let put = axum::http::Method::PUT;
    let lifted = mover.send(put.clone(), &member("acme-eu"), &[], &json!({ "home": false })).await;
    assert_eq!(outcome(&lifted), refused("owner_only"), "{}", lifted.text());
    assert_eq!(outcome(&mover.send(put.clone(), &member("acme-us"), &[], &json!({ "home": true })).await), refused("owner_only"));
    assert_eq!(mover.send(put.clone(), &member("acme-eu-west"), &[], &json!({ "home": true })).await.status, 200, "the same settings");
    assert_eq!(boss.send(put, &member("acme-eu-west"), &[], &json!({ "home": false })).await.status, 200);
}

#[rstest]
#[tokio::test]
async fn an_application_token_and_a_rule_above_make_a_move_an_owners(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let rule = "
[[connections.rules]]
name = \"sites\"
when = 'active eq true'
grant = [{ role = \"Desk\", organization = \"acme-{custom.site}\" }]
";
    let house = House::with(engine, PRESET, "min_owners = 1, service_accounts = true", &format!("{rule}{ROLES}")).await;
    let mut boss = owner(&house, "boss", "acme").await;
    let mut mover = house.person("mover", Some("acme"), &[held("Mover", "acme")]).await;
    let us = "/api/v1/organizations/acme-us";
    let preview = mover.post(&format!("{us}/move"), &json!({ "parent": "acme-eu", "preview": true })).await.json();
    assert_eq!((&preview["also_different"], &preview["refusal"]["code"]), (&json!(["rules"]), &json!("owner_only")), "{preview}");
    let token = json!({ "name": "reader", "organization": "acme-us" });
    let made = boss.post("/api/v1/app-tokens", &token).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let preview = mover.post(&format!("{EU}/move"), &json!({ "parent": "acme-us", "preview": true })).await.json();
    assert_eq!((&preview["also_different"], &preview["refusal"]["code"]), (&json!(["app_tokens"]), &json!("owner_only")), "{preview}");
    assert_eq!(boss.patch(EU, &json!({ "parent": "acme-us" })).await.status, StatusCode::OK);
}

#[rstest]
#[tokio::test]
async fn roles_of_others_are_moved_by_who_may_grant_and_withdraw_them(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let roles = "
[[roles]]
name = \"Mover\"
permissions = [\"organizations:*\"]

[[roles]]
name = \"Grantor\"
permissions = [\"organizations:*\", \"user_role_management:*\", \"user_management:*\"]

[[roles]]
name = \"Reader\"
permissions = [\"user_management:read\"]
";
    let house = House::with(engine, "idaas", "min_owners = 1", roles).await;
    house.person("ann", None, &[held("Reader", "acme-us")]).await;
    let mut mover = house.person("mover", Some("acme"), &[held("Mover", "acme")]).await;
    let mut grantor = house.person("grantor", Some("acme"), &[held("Grantor", "acme")]).await;
    let to = json!({ "parent": "acme-us" });
    assert_eq!(outcome(&mover.patch(EU, &to).await), refused("not_permitted"));
    let moved = grantor.patch(EU, &to).await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.text());
    let sql = "select detail from audit where action = 'organization.changed' order by id desc limit 1";
    let told: Option<(String,)> = house.gateway.app.db.query(sql).optional().await.unwrap();
    let detail: Value = serde_json::from_str(&told.unwrap().0).unwrap();
    assert_eq!(detail["inherited"], json!({ "gained": 1, "lost": 0 }));
    // Back, the role is withdrawn: the same right.
    assert_eq!(outcome(&mover.patch(EU, &json!({ "parent": "acme" })).await), refused("not_permitted"));
    assert_eq!(grantor.patch(EU, &json!({ "parent": "acme" })).await.status, StatusCode::OK);
}

#[rstest]
#[tokio::test]
async fn a_plan_that_moves_an_organization_says_who_gains_and_loses_what(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = house(engine).await;
    owner(&house, "partner", "acme-us").await;
    let ann: AccountId = house.person("ann", None, &[held("Desk", "acme-eu")]).await.id;
    let text = file(PRESET, "min_owners = 1", ROLES)
        .replace("name = \"acme-eu-west\"\nparent = \"acme-eu\"", "name = \"acme-eu-west\"\nparent = \"acme-us\"");
    let applied = house.gateway.apply(&text).await;
    let said: Vec<String> = applied.moves.iter().flat_map(rolegate::admin::relocation::Report::sentences).collect();
    assert_eq!(
        said,
        [
            "  partner gains \"Super administrator\" in acme-eu-west, by the role held at acme-us",
            "  ann loses \"Desk\" in acme-eu-west, by the role held at acme-eu",
        ],
        "{ann}"
    );
    assert!(house.gateway.apply(&text).await.moves.is_empty());
}
