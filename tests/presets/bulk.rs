//! Many assignments at a time: each line is told what became of it, and a preview is what the same request would get.

use std::fmt::Write as _;

use rstest::rstest;
use serde_json::{Value, json};

use super::house::{House, Person, created, held, outcome};
use crate::common::engines::Engine;

const PATH: &str = "/api/v1/assignments/bulk";

async fn boss(house: &House) -> Person<'_> {
    house.person("boss", Some("acme"), &[held("Super Administrator", "acme")]).await
}

/// Accounts with no more than a name.
async fn crowd(house: &House, size: usize) -> Vec<String> {
    let mut ids = vec![];
    let mut occasion = house.gateway.app.occasion(rolegate::domain::actor::Actor::HostOperator, "test");
    let mut tx = house.gateway.app.db.begin().await.unwrap();
    for n in 0..size {
        let id: rolegate::domain::id::AccountId = occasion.ids.make();
        let sql = "insert into account (tenant, id, user_name, user_name_key, kind, status, has_local_credential, from_file, created_at_ms, changed_at_ms)
            values ($1, $2, $3, $3, 'human', 'active', true, false, 0, 0)";
        tx.query(sql).bind(house.tenant.to_string()).bind(id.to_string()).bind(format!("p{n}")).run().await.unwrap();
        ids.push(id.to_string());
    }
    tx.commit().await.unwrap();
    ids
}

fn outcomes(result: &Value) -> String {
    let mut text = String::new();
    for line in result["lines"].as_array().unwrap() {
        write!(text, "{} ", line["code"].as_str().unwrap_or(line["outcome"].as_str().unwrap())).unwrap();
    }
    text.trim_end().to_owned()
}

#[rstest]
#[tokio::test]
async fn of_a_thousand_lines_one_bad_one_is_told_and_the_rest_are_written(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = boss(&house).await;
    let (role, at) = (house.role("Auditor").await, house.organization("acme-eu").await);
    let mut accounts = crowd(&house, 999).await;
    accounts.insert(500, "01900000-0000-7000-8000-000000000001".to_owned());
    let line = |account: &String| json!({ "op": "grant", "account": account, "role": role, "organization": at });
    let lines: Vec<Value> = accounts.iter().map(line).collect();
    let held = "select count(*) from assignment a join role r on r.id = a.role where r.name = 'Auditor'";

    let preview = boss.post(PATH, &json!({ "lines": lines, "preview": true })).await.json();
    assert_eq!((&preview["written"], &preview["granted"], &preview["refused"]), (&json!(false), &json!(999), &json!(1)));
    let atomic = boss.post(PATH, &json!({ "lines": lines, "atomic": true })).await.json();
    assert_eq!((&atomic["written"], &atomic["refused"]), (&json!(false), &json!(1)));
    assert_eq!(house.gateway.count(held).await, 0, "neither writes");

    let done = boss.post(PATH, &json!({ "lines": lines })).await.json();
    assert_eq!((&done["written"], &done["granted"], &done["refused"]), (&json!(true), &json!(999), &json!(1)));
    assert_eq!((&done["lines"][500]["code"], &done["lines"][500]["line"]), (&json!("tenant_mismatch"), &json!(500)));
    assert_eq!(outcomes(&done), outcomes(&preview), "a preview is what the same request gets");
    assert_eq!(house.gateway.count(held).await, 999);
    let again = boss.post(PATH, &json!({ "lines": lines })).await.json();
    assert_eq!((&again["written"], &again["unchanged"]), (&json!(false), &json!(999)));

    let back: Vec<Value> = lines
        .iter()
        .map(|line| {
            let mut line = line.clone();
            line["op"] = json!("revoke");
            line
        })
        .collect();
    let gone = boss.post(PATH, &json!({ "lines": back })).await.json();
    assert_eq!((&gone["revoked"], &gone["refused"]), (&json!(999), &json!(1)));
    assert_eq!(house.gateway.count(held).await, 0);
    assert_eq!(
        house
            .gateway
            .count("select count(*) from assignment_origin o where not exists (select 1 from assignment a where a.id = o.assignment)")
            .await,
        0
    );
    let lacking = boss.get(&format!("/api/v1/roles/{role}/lacking?organization={at}&limit=1000")).await.json();
    assert_eq!(lacking["items"].as_array().unwrap().len(), 1000);
    let next = lacking["next_cursor"].as_str().expect("the crowd, the boss and the file's owner are one more than a page");
    let rest = boss.get(&format!("/api/v1/roles/{role}/lacking?organization={at}&limit=1000&cursor={next}")).await.json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn each_line_is_decided_after_the_ones_before_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::with(engine, "idaas", "min_owners = 2", "").await;
    let mut boss = boss(&house).await;
    let (owner, auditor) = (house.role("Super Administrator").await, house.role("Auditor").await);
    let root = house.organization("acme").await;
    let (one, two) = (house.person("one", Some("acme"), &[]).await.id, house.person("two", Some("acme"), &[]).await.id);
    let line = |op: &str, account, role| json!({ "op": op, "account": account, "role": role, "organization": root });
    let lines = [
        line("grant", one, auditor),
        line("grant", one, auditor),
        line("revoke", one, auditor),
        line("revoke", one, auditor),
        line("grant", two, owner),
        line("revoke", two, owner),
        line("grant", boss.id, auditor),
        line("revoke", boss.id, owner),
        line("revoke", two, owner),
    ];
    let preview = boss.post(PATH, &json!({ "lines": lines, "preview": true })).await.json();
    let done = boss.post(PATH, &json!({ "lines": lines })).await.json();
    assert_eq!(outcomes(&preview), outcomes(&done));
    // Owners are the file's and the boss; a third comes and goes, then nobody can go.
    assert_eq!(outcomes(&done), "granted unchanged revoked unchanged granted revoked self_assignment owner_floor unchanged");
    assert_eq!(house.gateway.count("select count(*) from assignment").await, 2);
}

#[tokio::test]
async fn what_is_no_bulk_request_is_refused_with_words() {
    let house = House::open(Engine::Sqlite, "idaas").await;
    let mut boss = boss(&house).await;
    assert_eq!(outcome(&boss.post(PATH, &json!({ "lines": [] })).await), (400, "too_many".into()));
    let wrong = boss.post(PATH, &json!({ "lines": [{ "op": "take" }] })).await;
    assert_eq!((wrong.status.as_u16(), &wrong.json()["field"]), (400, &json!("lines[0].op")), "{}", wrong.text());
    let mut auditor = house.person("auditor", Some("acme"), &[held("Auditor", "acme")]).await;
    let line =
        json!({ "op": "grant", "account": boss.id, "role": house.role("Auditor").await, "organization": house.organization("acme").await });
    let refused = auditor.post(PATH, &json!({ "lines": [line] })).await.json();
    assert_eq!(outcomes(&refused), "not_permitted");
}

#[rstest]
#[tokio::test]
async fn holders_move_to_another_role_and_the_role_goes(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = boss(&house).await;
    let old = created(&boss.post("/api/v1/roles", &json!({ "name": "Old", "permissions": ["user_management:read"] })).await);
    let path = format!("/api/v1/roles/{}", old["id"].as_str().unwrap());
    let holders =
        [house.person("one", Some("acme-eu"), &[held("Old", "acme-eu")]).await, house.person("two", None, &[held("Old", "acme")]).await];
    let by = house.role("Auditor").await;
    let plan = boss.post(&format!("{path}/replacement"), &json!({ "by": by })).await.json();
    assert_eq!((&plan["applied"], plan["moves"].as_array().unwrap().len()), (&json!(false), 2));
    assert_eq!(boss.get(&path).await.json()["holders"], 2, "a plan changes nothing");
    // Somebody else comes to hold it: the plan is another one.
    let third = house.person("three", None, &[held("Old", "acme")]).await;
    let stale = boss.post(&format!("{path}/replacement"), &json!({ "by": by, "plan": plan["plan"] })).await;
    assert_eq!(outcome(&stale), (412, "plan_stale".into()));
    let plan = boss.post(&format!("{path}/replacement"), &json!({ "by": by })).await.json();
    let done = boss.post(&format!("{path}/replacement"), &json!({ "by": by, "plan": plan["plan"] })).await;
    assert_eq!((done.status.as_u16(), &done.json()["applied"]), (200, &json!(true)), "{}", done.text());
    assert_eq!(boss.get(&path).await.status, 404);
    for person in [&holders[0], &holders[1], &third] {
        let held = boss.get(&format!("/api/v1/accounts/{}/assignments", person.id)).await.json();
        assert_eq!(held["items"][0]["role"]["name"], "Auditor");
    }
}

#[rstest]
#[tokio::test]
async fn roles_are_found_paged_and_changed_by_version(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = boss(&house).await;
    for name in ["Theme editor", "Theme reader", "Other"] {
        created(&boss.post("/api/v1/roles", &json!({ "name": name, "permissions": ["user_management:read"] })).await);
    }
    let names =
        |page: &Value| page["items"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&boss.get("/api/v1/roles?search=THEME").await.json()), ["Theme editor", "Theme reader"]);
    let first = boss.get("/api/v1/roles?search=theme&limit=1").await.json();
    let next = boss.get(&format!("/api/v1/roles?search=theme&limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!((names(&first), names(&next)), (vec!["Theme editor".to_owned()], vec!["Theme reader".to_owned()]));
    let path = format!("/api/v1/roles/{}", first["items"][0]["id"].as_str().unwrap());
    let tag = boss.get(&path).await.headers["etag"].to_str().unwrap().to_owned();
    let edit = json!({ "description": "for themes" });
    let fresh = boss.send(axum::http::Method::PATCH, &path, &[("if-match", tag.as_str())], &edit).await;
    assert_eq!((fresh.status.as_u16(), &fresh.json()["description"]), (200, &json!("for themes")));
    let stale = boss.send(axum::http::Method::PATCH, &path, &[("if-match", tag.as_str())], &json!({ "name": "x" })).await;
    assert_eq!(outcome(&stale), (412, "precondition_failed".into()));
    assert_eq!(boss.delete(&path).await.status, 204);
    assert_eq!(boss.get(&path).await.status, 404);
}

#[rstest]
#[tokio::test]
async fn accounts_are_found_by_what_they_are_and_hold(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = boss(&house).await;
    house.person("ann", Some("acme-eu"), &[held("Auditor", "acme-eu")]).await;
    house.person("bob", Some("acme-us"), &[]).await;
    let found = async |boss: &mut Person<'_>, filter: &str| {
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let page = boss.get(&format!("/api/v1/accounts?filter={filter}")).await.json();
        let rows = page["items"].as_array().unwrap().iter();
        let mut names: Vec<_> = rows.map(|row| row["account"]["user_name"].as_str().unwrap().to_owned()).collect();
        // Ids of one moment are in no order that the test knows.
        names.sort();
        names
    };
    assert_eq!(found(&mut boss, "roles.value eq \"auditor\"").await, ["ann"]);
    assert_eq!(found(&mut boss, "roles.value eq \"auditor\" and active eq true").await, ["ann"]);
    assert!(found(&mut boss, "roles.value eq \"auditor\" and active eq false").await.is_empty());
    assert_eq!(found(&mut boss, "emails.value eq \"BOB@acme.example\" or userName sw \"an\"").await, ["ann", "bob"]);
    assert_eq!(outcome(&boss.get("/api/v1/accounts?filter=department%20eq%20%22x%22").await), (400, "invalid_filter".into()));
    let ann = house.account(&mut boss, "ann").await;
    assert_eq!((&ann["account"]["home_organization"], &ann["assignments"][0]["role"]["name"]), (&json!("acme-eu"), &json!("Auditor")));
    let path = format!("/api/v1/accounts/{}", ann["account"]["id"].as_str().unwrap());
    assert_eq!(boss.delete(&path).await.status, 204);
    assert_eq!(boss.get(&path).await.status, 404);
}

#[rstest]
#[tokio::test]
async fn an_owner_links_a_second_identity(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = boss(&house).await;
    let ann = house.person("ann", Some("acme-eu"), &[held("Auditor", "acme-eu")]).await;
    let path = format!("/api/v1/accounts/{}/identities", ann.id);
    let link = json!({ "connection": "acme-okta", "subject": "ann@idp.example" });
    assert_eq!(boss.post(&path, &link).await.status, 200);
    assert_eq!(house.sign_in("ann@idp.example", &[]).await.status, 303);
    assert_eq!(house.gateway.count("select count(*) from account where profile_connection is not null").await, 0, "nobody else was made");
    assert_eq!(boss.post(&path, &link).await.status, 200, "again is the same");
    let other = json!({ "connection": "acme-okta", "subject": "other@idp.example" });
    assert_eq!(outcome(&boss.post(&path, &other).await), (409, "linked_otherwise".into()));
    let bob = house.person("bob", Some("acme-eu"), &[]).await;
    assert_eq!(outcome(&boss.post(&path.replace(&ann.id.to_string(), &bob.id.to_string()), &link).await), (409, "subject_taken".into()));
    let elsewhere = json!({ "connection": "other-okta", "subject": "x" });
    assert_eq!(outcome(&boss.post(&path, &elsewhere).await), (422, "tenant_mismatch".into()));
}
