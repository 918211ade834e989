//! Rights over people and groups end where they are held, whatever the request names.

use axum::http::Method;
use rolegate::{
    domain::{
        actor::Actor,
        assignment::{Holding, Reach},
    },
    provision::{
        ProvisionError,
        assign::{self, Outcome, Request, Wish},
    },
};
use rstest::rstest;
use serde_json::{Value, json};

use super::house::{CONNECTION, House, Person, created, held, outcome};
use crate::common::{engines::Engine, installation::Answer, together::join_all};

async fn owner(house: &House) -> Person<'_> {
    house.person("boss", Some("acme"), &[held("Super Administrator", "acme")]).await
}

async fn role(boss: &mut Person<'_>, name: &str, permissions: &[&str], managed_groups: impl Into<Value>) {
    created(
        &boss.post("/api/v1/roles", &json!({ "name": name, "permissions": permissions, "managed_groups": managed_groups.into() })).await,
    );
}

async fn group(boss: &mut Person<'_>, house: &House, name: &str, at: &str) -> String {
    let made = created(&boss.post("/api/v1/groups", &json!({ "name": name, "organization": house.organization(at).await })).await);
    format!("/api/v1/groups/{}", made["id"].as_str().unwrap())
}

fn refused(code: &str) -> (u16, String) {
    (403, code.into())
}

#[rstest]
#[tokio::test]
async fn nobody_takes_an_account_home_that_is_at_home_elsewhere(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    role(&mut boss, "Desk", &["user_management:*"], "all").await;
    let mut desk = house.person("desk", Some("acme-eu"), &[held("Desk", "acme-eu")]).await;
    let guest = house.person("guest", Some("acme-us"), &[]).await;
    let stray = house.person("stray", None, &[]).await;
    let at = |slug: &str, person: &Person<'_>| format!("/api/v1/organizations/{slug}/members/{}", person.id);
    for person in [&guest, &stray] {
        let path = at("acme-eu", person);
        assert_eq!(boss.send(Method::PUT, &path, &[], &Value::Null).await.status, 200);
        assert_eq!(desk.send(Method::PUT, &path, &[], &json!({ "status": "inactive" })).await.status, 200, "a member here is changed here");
        assert_eq!(outcome(&desk.send(Method::PUT, &path, &[], &json!({ "home": true })).await), refused("not_permitted"));
    }
    let own = at("acme-eu", &desk);
    assert_eq!(outcome(&desk.send(Method::PUT, &own, &[], &json!({ "home": false })).await), refused("own_account"));
    let near = house.person("near", Some("acme-eu"), &[]).await;
    assert_eq!(desk.send(Method::PUT, &at("acme-eu-west", &near), &[], &json!({ "home": true })).await.status, 200, "within one's own");
    let away = desk.send(Method::PUT, &at("acme-eu-west", &near), &[], &json!({ "home": false })).await;
    assert_eq!(outcome(&away), refused("not_permitted"), "without a home it would be the whole tenant's");
    let moved = boss.send(Method::PUT, &at("acme-eu", &guest), &[], &json!({ "home": true })).await;
    assert_eq!((moved.status.as_u16(), &moved.json()["home"]), (200, &json!(true)));
}

#[rstest]
#[tokio::test]
async fn a_group_that_one_does_not_manage_is_not_changed_and_nobody_joins_it_by_themselves(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    role(&mut boss, "Group admin", &["user_management:*", "groups_management:*"], json!(["@own", "@none"])).await;
    let mut admin = house.person("admin", Some("acme-eu"), &[held("Group admin", "acme-eu")]).await;
    let near = house.person("near", Some("acme-eu"), &[]).await;
    let far = house.person("far", Some("acme-us"), &[]).await;
    let (own, other) = (group(&mut boss, &house, "Own", "acme-eu").await, group(&mut boss, &house, "Other", "acme-eu").await);
    assert_eq!(boss.post(&format!("{own}/members"), &json!({ "add": [admin.id] })).await.status, 200);
    assert_eq!(boss.post(&format!("{other}/members"), &json!({ "add": [near.id] })).await.status, 200);

    let rename = json!({ "name": "Mine" });
    assert_eq!(outcome(&admin.patch(&other, &rename).await), refused("out_of_reach"));
    assert_eq!(outcome(&admin.delete(&other).await), refused("out_of_reach"), "its members would be anybody's again");
    assert_eq!(outcome(&admin.post(&format!("{other}/members"), &json!({ "remove": [near.id] })).await), refused("out_of_reach"));
    for change in ["add", "remove"] {
        let answer = admin.post(&format!("{own}/members"), &json!({ change: [admin.id] })).await;
        assert_eq!(outcome(&answer), refused("own_account"), "{change}");
    }
    let unseen = admin.post(&format!("{own}/members"), &json!({ "add": [far.id] })).await;
    assert_eq!(outcome(&unseen), (422, "tenant_mismatch".into()), "whom one does not see, there is not");

    assert_eq!(admin.patch(&own, &rename).await.status, 200);
    let new = house.person("new", Some("acme-eu"), &[]).await;
    assert_eq!(admin.post(&format!("{own}/members"), &json!({ "add": [new.id] })).await.json()["members"], 2);
    assert_eq!(boss.post(&format!("{own}/members"), &json!({ "add": [boss.id] })).await.status, 200, "an owner may");
}

#[rstest]
#[tokio::test]
async fn an_admin_of_one_group_leaves_accounts_without_a_group_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    let path = group(&mut boss, &house, "Field", "acme").await;
    let id = path.rsplit('/').next().unwrap().to_owned();
    role(&mut boss, "Field desk", &["user_management:*", "groups_management:*"], json!([id])).await;
    role(&mut boss, "Front desk", &["user_management:*"], json!([id, "@none"])).await;
    let mut field = house.person("field", Some("acme"), &[held("Field desk", "acme")]).await;
    let mut front = house.person("front", Some("acme"), &[held("Front desk", "acme")]).await;
    let (member, single) = (house.person("member", Some("acme"), &[]).await, house.person("single", Some("acme"), &[]).await);
    assert_eq!(boss.post(&format!("{path}/members"), &json!({ "add": [member.id] })).await.status, 200);
    let disable = |person: &Person<'_>| format!("/api/v1/accounts/{}/disable", person.id);
    assert_eq!(outcome(&field.post(&disable(&single), &json!({})).await), refused("out_of_reach"));
    assert_eq!(outcome(&field.post(&format!("{path}/members"), &json!({ "add": [single.id] })).await), refused("out_of_reach"));
    for person in [&member, &single] {
        assert_eq!(front.post(&disable(person), &json!({})).await.status, 200);
    }
    assert_eq!(field.post(&disable(&member).replace("disable", "enable"), &json!({})).await.status, 200);
    let unknown = json!({ "name": "x", "permissions": ["user_management:read"], "managed_groups": ["@all"] });
    assert_eq!(outcome(&boss.post("/api/v1/roles", &unknown).await), (422, "unknown_managed_group".into()));
}

#[rstest]
#[tokio::test]
async fn who_owns_another_place_is_shut_out_by_nobody_from_here(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    role(&mut boss, "Desk", &["user_management:*", "user_oauth_token_management:*"], "all").await;
    let mut desk = house.person("desk", Some("acme-eu"), &[held("Desk", "acme-eu")]).await;
    let mut partner = house.person("partner", Some("acme-eu"), &[held("Super Administrator", "acme-eu")]).await;
    let auditor = house.person("auditor", Some("acme-eu"), &[held("Auditor", "acme-us")]).await;
    let beside = house.person("beside", Some("acme-eu"), &[held("Super Administrator", "acme-us")]).await;
    let above = house.person("above", Some("acme-eu"), &[held("Super Administrator", "acme")]).await;
    let here = house.person("here", Some("acme-eu"), &[held("Super Administrator", "acme-eu-west")]).await;
    let link = json!({ "connection": CONNECTION, "subject": "partner@acme.example" });
    let identities = |person: &Person<'_>| format!("/api/v1/accounts/{}/identities", person.id);
    let disable = |person: &Person<'_>| format!("/api/v1/accounts/{}/disable", person.id);
    for person in [&beside, &above, &here] {
        assert_eq!(outcome(&desk.post(&disable(person), &json!({})).await), refused("out_of_reach"));
        assert_eq!(outcome(&desk.delete(&format!("/api/v1/accounts/{}", person.id)).await), refused("out_of_reach"));
        assert_eq!(outcome(&desk.delete(&format!("/api/v1/accounts/{}/sessions", person.id)).await), refused("out_of_reach"));
    }
    for person in [&beside, &above] {
        assert_eq!(outcome(&partner.post(&disable(person), &json!({})).await), refused("out_of_reach"));
        assert_eq!(outcome(&partner.post(&identities(person), &link).await), refused("out_of_reach"));
    }
    assert_eq!(
        outcome(&partner.post(&identities(&auditor), &link).await),
        refused("owner_only"),
        "a link gives away what is held elsewhere"
    );
    assert_eq!(partner.post(&identities(&here), &link).await.status, 200);
    assert_eq!(desk.post(&disable(&auditor), &json!({})).await.status, 200);
    assert_eq!(partner.post(&disable(&here), &json!({})).await.status, 200);
    assert_eq!(boss.post(&disable(&beside), &json!({})).await.status, 200);
}

#[rstest]
#[tokio::test]
async fn more_changes_at_once_than_the_database_has_connections(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    let mut paths = Vec::new();
    for n in 0..12 {
        let name: &'static str = format!("p{n}").leak();
        paths.push(format!("/api/v1/accounts/{}/disable", house.person(name, Some("acme-eu"), &[]).await.id));
    }
    let token = boss.browser.csrf_token().await;
    let headers = [("content-type", "application/json"), ("x-csrf-token", token.as_str())];
    let mut browsers: Vec<_> = paths.iter().map(|_| boss.browser.clone()).collect();
    let sent = browsers.iter_mut().zip(&paths).map(|(browser, path)| browser.send(Method::POST, path, &headers, b"{}".to_vec()));
    for answer in join_all(sent).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[rstest]
#[tokio::test]
async fn what_was_decided_by_roles_that_changed_meanwhile_is_decided_again(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    let somebody = house.person("somebody", Some("acme-eu"), &[]).await;
    let before = house.model().await;
    role(&mut boss, "New", &["user_management:read"], "all").await;
    let now = house.model().await;
    let holding = Holding {
        role: house.role("Auditor").await,
        organization: house.organization("acme-eu").await,
        resource_scope: None,
        reach: Reach::Subtree,
    };
    let request = Request { account: somebody.id, holding, wish: Wish::Grant { may_delegate: false } };
    let mut occasion = house.gateway.app.occasion(Actor::HostOperator, "test");
    let mut tx = house.gateway.app.db.begin().await.unwrap();
    let stale = assign::decide(&mut tx, &before, &mut occasion, &[request]).await;
    assert!(matches!(stale, Err(ProvisionError::Again)), "{stale:?}");
    let fresh = assign::decide(&mut tx, &now, &mut occasion, &[request]).await.unwrap();
    assert!(matches!(fresh.outcomes[..], [Outcome::Granted(_)]));
}

#[rstest]
#[tokio::test]
async fn a_context_goes_or_something_is_held_in_it_never_both(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "owner-member").await;
    let mut boss = house.person("boss", Some("acme"), &[held("Organization Owner", "acme")]).await;
    let somebody = house.person("somebody", Some("acme-eu"), &[]).await;
    let (role, at) = (house.role("Sign-In administrator").await, house.organization("acme-eu").await);
    let token = boss.browser.csrf_token().await;
    let headers = [("content-type", "application/json"), ("x-csrf-token", token.as_str())];
    for round in 0..8 {
        let context = house.context("acme-eu", format!("c{round}").leak()).await;
        let grant = json!({ "account": somebody.id, "role": role, "organization": at, "resource_scope": context }).to_string();
        let scope = format!("/api/v1/organizations/acme-eu/scopes/{context}");
        let (mut giver, mut taker) = (boss.browser.clone(), boss.browser.clone());
        let give = giver.send(Method::POST, "/api/v1/assignments", &headers, grant.into_bytes());
        let take = taker.send(Method::DELETE, &scope, &headers, Vec::new());
        let both: [std::pin::Pin<Box<dyn Future<Output = Answer>>>; 2] = [Box::pin(give), Box::pin(take)];
        let outcomes: Vec<_> = join_all(both).await.iter().map(outcome).collect();
        let granted = outcomes == [(201, String::new()), (409, "scope_in_use".into())];
        let deleted = outcomes == [(422, "unknown_scope".into()), (204, String::new())];
        assert!(granted || deleted, "{outcomes:?}");
    }
    let lost = "select count(*) from assignment a where a.resource_scope <> ''
        and not exists (select 1 from resource_scope s where s.tenant = a.tenant and s.id = a.resource_scope)";
    assert_eq!(house.gateway.count(lost).await, 0);
}

#[rstest]
#[tokio::test]
async fn more_holders_than_one_replacement_moves_are_counted_and_stay(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    role(&mut boss, "Many", &["user_management:read"], "all").await;
    let mut tx = house.gateway.app.db.begin().await.unwrap();
    let sql = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 5001)
        insert into account (tenant, id, user_name, user_name_key, kind, status, has_local_credential, from_file, created_at_ms, changed_at_ms)
        select $1, '01900000-0000-7000-8000-' || substr('000000000000' || cast(i as text), length(cast(i as text)) + 1),
            'p' || cast(i as text), 'p' || cast(i as text), 'human', 'active', true, false, 0, 0 from n";
    tx.query(sql).bind(house.tenant.to_string()).run().await.unwrap();
    let sql = "insert into assignment (tenant, id, account, role, organization, resource_scope, reach, created_at_ms)
        select tenant, id, id, $2, $3, '', 'subtree', 0 from account where tenant = $1 and id like '01900000-0000-7000-8000-%'";
    let (many, at) = (house.role("Many").await, house.organization("acme").await);
    tx.query(sql).bind(house.tenant.to_string()).bind(many.to_string()).bind(at.to_string()).run().await.unwrap();
    tx.commit().await.unwrap();
    let answer = boss.post(&format!("/api/v1/roles/{many}/replacement"), &json!({ "by": house.role("Auditor").await })).await;
    assert_eq!(outcome(&answer), (409, "too_many_holders".into()));
    assert!(answer.text().contains("5001") && answer.text().contains("5000"), "{}", answer.text());
}
