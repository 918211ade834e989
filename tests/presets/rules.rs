//! Rules of the role systems that hold whatever the preset, and courses that lead through several of them.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use rolegate::{
    db,
    domain::{
        actor::Actor,
        assignment::Reach,
        id::{GroupId, kind},
    },
};
use rstest::rstest;
use serde_json::{Value, json};

use super::house::{CONNECTION, Held, House, Person, created, held, outcome};
use crate::common::{engines::Engine, installation::Browser};

const OWNER: &str = "Super Administrator";

async fn owner(house: &House) -> Person<'_> {
    house.person("boss", Some("acme"), &[held(OWNER, "acme")]).await
}

/// Lines of the trail about one thing: what was done, and by whom.
async fn trail(house: &House, target: &str) -> Vec<(String, String)> {
    let sql = "select action, actor_id from audit where tenant = $1 and target_id = $2 and actor_id is not null order by action";
    let query = house.gateway.app.db.query(sql).bind(house.tenant.to_string()).bind(target.to_owned());
    query.all().await.unwrap()
}

#[rstest]
#[tokio::test]
async fn a_grant_names_an_organization_and_a_role_none(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "org-admin").await;
    let mut boss = house.person("boss", Some("acme"), &[held("Brand admin", "acme")]).await;
    let one = house.person("one", Some("acme-eu"), &[]).await;
    let role = house.role("Admin").await;
    let placeless = boss.post("/api/v1/assignments", &json!({ "account": one.id, "role": role })).await;
    assert_eq!(outcome(&placeless), (400, "body".into()));
    assert!(placeless.text().contains("organization"), "{}", placeless.text());
    assert_eq!(house.gateway.count("select count(*) from assignment where role in (select id from role where name = 'Admin')").await, 0);
    let at = house.organization("acme-eu").await;
    let placed = json!({ "name": "Local", "permissions": ["account_management:read"], "organization": at });
    assert_eq!(outcome(&boss.post("/api/v1/roles", &placed).await), (400, "body".into()));
}

#[rstest]
#[tokio::test]
async fn what_people_do_stands_in_the_trail_under_their_name(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "org-admin").await;
    let mut boss = house.person("boss", Some("acme"), &[held("Brand admin", "acme")]).await;
    let by_boss = |action: &str| (action.to_owned(), boss.id.to_string());
    let expected = [by_boss("role.created")];
    let marks = [by_boss("account.unverified"), by_boss("account.verified")];
    let made = created(&boss.post("/api/v1/roles", &json!({ "name": "Reader", "permissions": ["account_management:read"] })).await);
    assert_eq!(trail(&house, made["id"].as_str().unwrap()).await, expected);
    let one = house.person("one", Some("acme-eu"), &[]).await;
    for mark in ["verify", "unverify", "unverify"] {
        assert_eq!(boss.post(&format!("/api/v1/accounts/{}/{mark}", one.id), &json!({})).await.status, 200);
    }
    assert_eq!(trail(&house, &one.id.to_string()).await, marks, "what is so already is not done again");
}

#[rstest]
#[tokio::test]
async fn a_group_that_a_directory_keeps_is_changed_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    let connection = db::connection::find_connection_by_slug(&house.gateway.app.db, CONNECTION).await.unwrap().unwrap().connection.id;
    let id: GroupId = house.gateway.app.occasion(Actor::System, "test").ids.make::<kind::Group>();
    let sql = "insert into directory_group (tenant, id, connection, display_name, display_name_key, pinned_value, pinned_display, version, created_at_ms, changed_at_ms)
        values ($1, $2, $3, 'Sales', 'sales', 'Sales', 'Sales', 1, 0, 0)";
    let mut tx = house.gateway.app.db.begin().await.unwrap();
    tx.query(sql).bind(house.tenant.to_string()).bind(id.to_string()).bind(connection.to_string()).run().await.unwrap();
    tx.commit().await.unwrap();
    let path = format!("/api/v1/groups/{id}");
    assert_eq!(boss.get(&path).await.json()["connection"], CONNECTION);
    let add = json!({ "add": [boss.id] });
    let answers =
        [boss.patch(&path, &json!({ "name": "Mine" })).await, boss.delete(&path).await, boss.post(&format!("{path}/members"), &add).await];
    for answer in answers {
        assert_eq!(outcome(&answer), (409, "externally_managed".into()));
    }
    assert_eq!(house.gateway.count("select count(*) from directory_group where display_name = 'Sales'").await, 1);
}

#[rstest]
#[tokio::test]
async fn a_role_that_only_a_rule_or_a_default_names_stays(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let roles =
        ["Of a rule", "Of a default"].map(|name| format!("[[roles]]\nname = \"{name}\"\npermissions = [\"user_management:read\"]\n"));
    let more = format!(
        "[connections.default_mapping]\nroles = [\"Made\"]\n[[connections.rules]]\nname = \"sales\"\nwhen = 'groups[value eq \"sales\"]'\ngrant = [{{ role = \"Made too\" }}]\n{}",
        roles.concat().replace("Of a rule", "Made too").replace("Of a default", "Made")
    );
    let house = House::with(engine, "idaas", "min_owners = 1", &more).await;
    let mut boss = owner(&house).await;
    let by_default = boss.delete(&format!("/api/v1/roles/{}", house.role("Made").await)).await;
    assert_eq!(outcome(&by_default), (409, "role_in_use".into()));
    assert_eq!(
        (&by_default.json()["assignments"], &by_default.json()["defaults"]),
        (&json!(0), &json!([CONNECTION])),
        "{}",
        by_default.text()
    );
    let by_rule = boss.delete(&format!("/api/v1/roles/{}", house.role("Made too").await)).await;
    assert_eq!(outcome(&by_rule), (409, "role_in_use".into()));
    assert!(by_rule.json()["rules"].to_string().contains("sales"), "{}", by_rule.text());
}

#[rstest]
#[tokio::test]
async fn a_manager_of_contexts_administers_each_of_them(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "owner-member").await;
    let (guests, staff) = (house.context("acme-eu", "Guests").await, house.context("acme-eu", "Staff").await);
    let mut boss = house.person("boss", Some("acme"), &[held("Organization Owner", "acme")]).await;
    let manager = house.person("manager", Some("acme"), &[held("Organization Context Manager", "acme")]).await;
    let member = house.person("member", Some("acme-eu"), &[held("Organization Member", "acme")]).await;
    let role = house.role("Sign-In administrator").await;
    let at = house.organization("acme-eu").await;
    created(
        &boss
            .post("/api/v1/assignments", &json!({ "account": member.id, "role": role, "organization": at, "resource_scope": guests }))
            .await,
    );
    let mut asked = Vec::new();
    for person in [&manager, &member] {
        for scope in [Some(guests), Some(staff), None] {
            let mut question =
                json!({ "account": person.id, "entity": "context_administration", "action": "administer", "organization": "acme-eu" });
            if let Some(scope) = scope {
                question["resource_scope"] = json!(scope);
            }
            asked.push(question);
        }
    }
    let answers = boss.post("/api/v1/check", &json!(asked)).await.json();
    let allowed: Vec<&Value> = answers.as_array().unwrap().iter().map(|answer| &answer["allowed"]).collect();
    assert_eq!(allowed, [true, true, false, true, false, false], "{answers}");
}

#[rstest]
#[tokio::test]
async fn one_role_too_many_keeps_an_account_out_of_a_group(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    let powers = json!(["user_management:*", "groups_management:*"]);
    created(&boss.post("/api/v1/roles", &json!({ "name": "Desk", "permissions": powers, "managed_roles": ["@none"] })).await);
    let mut desk = house.person("desk", Some("acme"), &[held("Desk", "acme")]).await;
    let plain = house.person("plain", Some("acme-eu"), &[]).await;
    let auditor = house.person("auditor", Some("acme-eu"), &[held("Auditor", "acme")]).await;
    let group =
        created(&desk.post("/api/v1/groups", &json!({ "name": "Field", "organization": house.organization("acme-eu").await })).await);
    let members = format!("/api/v1/groups/{}/members", group["id"].as_str().unwrap());
    let both = desk.post(&members, &json!({ "add": [plain.id, auditor.id] })).await;
    assert_eq!((outcome(&both), &both.json()["field"]), ((403, "out_of_reach".into()), &json!(auditor.id)));
    assert_eq!(house.gateway.count("select count(*) from local_group_member").await, 0, "all of them or none");
    assert_eq!(desk.post(&members, &json!({ "add": [plain.id] })).await.status, 200);
    // A role that manages all groups manages who is in one.
    assert_eq!(desk.post(&format!("/api/v1/accounts/{}/disable", plain.id), &json!({})).await.status, 200);
    let link = json!({ "connection": CONNECTION, "subject": "desk@acme.example" });
    assert_eq!(outcome(&desk.post(&format!("/api/v1/accounts/{}/identities", auditor.id), &link).await), (403, "owner_only".into()));
}

#[rstest]
#[tokio::test]
async fn a_machine_signs_in_holds_the_role_of_machines_and_makes_itself_a_token(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let rule = r#"
[[connections.rules]]
name = "machines"
when = 'groups[value eq "machines"]'
grant = [{ role = "SCIM Provisioning" }]
set = { kind = "machine" }
"#;
    let house = House::with(engine, "idaas", "min_owners = 1", rule).await;
    let mut boss = owner(&house).await;
    let person = house.person("person", Some("acme-eu"), &[]).await;
    assert_eq!(outcome(&boss.grant(&house, "SCIM Provisioning", person.id, "acme-eu").await), (422, "machine_only".into()));
    let signed_in = house.sign_in("sync@acme.example", &["machines"]).await;
    assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{}", signed_in.text());
    let account = house.account(&mut boss, "sync@acme.example").await;
    assert_eq!((&account["account"]["kind"], &account["assignments"][0]["role"]["name"]), (&json!("machine"), &json!("SCIM Provisioning")));
    let cookies: BTreeMap<String, String> = signed_in
        .cookies()
        .iter()
        .filter_map(|cookie| cookie.split(';').next()?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut machine = Browser { gateway: &house.gateway, cookies };
    let made = machine.post_json("/api/v1/tokens", &json!({ "name": "nightly", "ttl_secs": 3600 })).await;
    let token = created(&made)["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let mut caller = house.gateway.browser();
    let headers = [("authorization", bearer.as_str()), ("accept", "application/json"), ("content-type", "application/json")];
    let mut ask = async |method: Method, path: String| caller.send(method, &path, &headers, b"{}".to_vec()).await;
    assert_eq!(ask(Method::GET, format!("/api/v1/accounts/{}", person.id)).await.status, 200);
    assert_eq!(ask(Method::POST, format!("/api/v1/accounts/{}/disable", person.id)).await.status, 200);
    assert_eq!(outcome(&ask(Method::GET, "/api/v1/audit".to_owned()).await).0, 403, "what the role does not name");
    assert_eq!(outcome(&ask(Method::POST, format!("/api/v1/accounts/{}/disable", boss.id)).await).0, 404, "nor where it is not held");
    let id = account["account"]["id"].as_str().unwrap().to_owned();
    assert_eq!(trail(&house, &person.id.to_string()).await[0], ("account.blocked".to_owned(), id));
}

#[rstest]
#[tokio::test]
async fn an_applications_token_ends_with_its_owner_unless_another_takes_it_over(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    for (preset, role) in [("owner-member", "Organization Owner"), ("idaas", "Super Administrator")] {
        let house = House::with(engine, preset, "min_owners = 1", "").await;
        let mut first = house.person("first", Some("acme"), &[held(role, "acme")]).await;
        let mut boss = house.person("boss", Some("acme"), &[held(role, "acme")]).await;
        let mut of_eu = house.person("of eu", Some("acme"), &[held(role, "acme-eu")]).await;
        let made = created(&boss.post("/api/v1/app-tokens", &json!({ "name": "portal" })).await);
        let token = made["token"].as_str().unwrap().to_owned();
        let narrow = of_eu.post("/api/v1/app-tokens", &json!({ "name": "eu", "organization": "acme-eu" })).await;
        let narrow = created(&narrow)["token"].as_str().unwrap().to_owned();
        let on_host = crate::authz::people::app_token(&house.gateway, &house.model().await).await;
        let reads = async |token: &str| {
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str()), ("accept", "application/json")];
            house.gateway.browser().send(Method::GET, "/api/v1/organizations", &headers, vec![]).await.status
        };
        let gone = StatusCode::UNAUTHORIZED;
        assert_eq!((reads(&token).await, reads(&narrow).await), (StatusCode::OK, StatusCode::OK), "an owner of some place, for it");
        // Blocked, and let in again.
        let path = format!("/api/v1/accounts/{}", boss.id);
        assert_eq!(first.post(&format!("{path}/disable"), &Value::Null).await.status, 200);
        assert_eq!(reads(&token).await, gone);
        assert_eq!(first.post(&format!("{path}/enable"), &Value::Null).await.status, 200);
        assert_eq!(reads(&token).await, StatusCode::OK);
        // An owner no more.
        let held = first.get(&format!("{path}/assignments")).await.json()["items"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(first.delete(&format!("/api/v1/assignments/{held}")).await.status, 204);
        assert_eq!(reads(&token).await, gone);
        // And not there any more; then another owner answers for it.
        assert_eq!(first.delete(&path).await.status, 204);
        assert_eq!(reads(&token).await, gone);
        let take = format!("/api/v1/app-tokens/{}/take-over", made["id"].as_str().unwrap());
        assert_eq!(of_eu.post(&take, &Value::Null).await.status, 403, "an owner of a part answers for no token of the whole");
        let taken = first.post(&take, &Value::Null).await;
        assert_eq!((taken.status.as_u16(), &taken.json()["owner"], &taken.json()["created_by"]), (200, &json!(first.id), &json!(boss.id)));
        assert_eq!(reads(&token).await, StatusCode::OK);
        assert_eq!(first.post(&take, &Value::Null).await.status, 200, "twice is once");
        assert_eq!(house.gateway.count("select count(*) from audit where action = 'app_token.taken_over'").await, 1);
        assert_eq!((reads(&narrow).await, reads(&on_host).await), (StatusCode::OK, StatusCode::OK), "their owners are where they were");
        assert_eq!(first.delete(&format!("/api/v1/app-tokens/{}", made["id"].as_str().unwrap())).await.status, 204);
        assert_eq!(first.post(&take, &Value::Null).await.status, 404, "a revoked token has ended");
    }
}

#[rstest]
#[tokio::test]
async fn an_applications_token_reads_no_further_than_its_maker_reaches(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::with(engine, "owner-member", "min_owners = 1", "").await;
    let mut first = house.person("first", Some("acme"), &[held("Organization Owner", "acme")]).await;
    let here = Held { reach: Reach::Organization, ..held("Organization Owner", "acme-eu") };
    let mut narrow = house.person("narrow", Some("acme"), &[here]).await;
    let mut wide = house.person("wide", Some("acme"), &[held("Organization Owner", "acme-eu")]).await;
    let tokens = "/api/v1/app-tokens?organization=acme-eu";
    let portal = json!({ "name": "portal", "organization": "acme-eu" });
    let refused = narrow.post("/api/v1/app-tokens", &portal).await;
    assert_eq!(outcome(&refused), (403, "reach_too_short".into()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("assigned here or above with reach subtree"), "{detail}");
    assert_eq!(narrow.get(tokens).await.json()["tokens"], json!([]), "looking is another matter");
    let made = created(&wide.post("/api/v1/app-tokens", &portal).await);
    assert_eq!(made["state"], "live");
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let reads = async || {
        let headers = [("authorization", bearer.as_str()), ("accept", "application/json")];
        house.gateway.browser().send(Method::GET, "/api/v1/organizations/acme-eu-west", &headers, vec![]).await.status
    };
    let states = async |person: &mut Person<'_>| {
        let listed = person.get(tokens).await.json();
        listed["tokens"].as_array().unwrap().iter().map(|token| token["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let set_reach = async |reach: &'static str| {
        let mut tx = house.gateway.app.db.begin().await.unwrap();
        let query = tx.query("update assignment set reach = $2 where account = $1").bind(wide.id.to_string()).bind(reach);
        assert_eq!(query.run().await.unwrap(), 1);
        tx.commit().await.unwrap();
    };
    assert_eq!((reads().await, states(&mut narrow).await), (StatusCode::OK, vec!["live".to_owned()]));
    // Its maker reaches less than it reads.
    set_reach("organization").await;
    assert_eq!((reads().await, states(&mut narrow).await), (StatusCode::UNAUTHORIZED, vec!["unbacked".to_owned()]));
    set_reach("subtree").await;
    assert_eq!((reads().await, states(&mut first).await), (StatusCode::OK, vec!["live".to_owned()]));
    // Or may not sign in.
    let path = format!("/api/v1/accounts/{}", wide.id);
    assert_eq!(first.post(&format!("{path}/disable"), &Value::Null).await.status, 200);
    assert_eq!((reads().await, states(&mut first).await), (StatusCode::UNAUTHORIZED, vec!["unbacked".to_owned()]));
    assert_eq!(first.post(&format!("{path}/enable"), &Value::Null).await.status, 200);
    assert_eq!(states(&mut first).await, ["live"]);
    house.gateway.app.clock.advance_secs(90 * 86_400);
    let mut later = house.person("later", Some("acme"), &[held("Organization Owner", "acme")]).await;
    assert_eq!(states(&mut later).await, ["expired"]);
    assert_eq!(later.delete(&format!("/api/v1/app-tokens/{}", made["id"].as_str().unwrap())).await.status, 204);
    assert_eq!(states(&mut later).await, ["revoked"]);
}

#[rstest]
#[tokio::test]
async fn staff_set_a_customer_up_from_the_organization_to_the_first_sign_in(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let mapping = "[connections.default_mapping]\nroles = [\"Editor - Users\"]\n";
    let house = House::with(engine, "dashboard", "min_owners = 1", mapping).await;
    let mut staff = house.person("staff", Some("acme"), &[held("Editor - Organizations", "acme")]).await;
    let customer = json!({ "slug": "customer", "name": "Customer", "parent": "acme" });
    created(&staff.post("/api/v1/organizations", &customer).await);
    let uses = format!("/api/v1/organizations/customer/connections/{CONNECTION}");
    assert_eq!(staff.send(Method::PUT, &uses, &[], &Value::Null).await.status, 200);
    created(&staff.post("/api/v1/organizations/customer/domains", &json!({ "domain": "customer.example" })).await);
    let at = house.organization("customer").await;
    let mut tx = house.gateway.app.db.begin().await.unwrap();
    let now = house.gateway.app.now();
    assert!(db::domain::verify_domain(&mut tx, house.tenant, at, "customer.example", now).await.unwrap(), "as its TXT record does");
    tx.commit().await.unwrap();
    let begun = house.gateway.browser().post_form("/login", &[("email", "ann@customer.example")]).await;
    assert_eq!(begun.location(), format!("/connections/{CONNECTION}/saml/login"));
    let signed_in = house.sign_in("ann@customer.example", &[]).await;
    assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{}", signed_in.text());
    let ann = house.account(&mut staff, "ann@customer.example").await;
    let member = format!("/api/v1/organizations/customer/members/{}", ann["account"]["id"].as_str().unwrap());
    assert_eq!(outcome(&staff.send(Method::PUT, &member, &[], &Value::Null).await), (403, "not_permitted".into()), "people are for others");
    let mut people = house.person("people", Some("acme"), &[held("Editor - Users", "acme")]).await;
    assert_eq!(people.send(Method::PUT, &member, &[], &Value::Null).await.status, 200);
    assert_eq!(staff.get("/api/v1/organizations/customer").await.json()["name"], "Customer");
}

#[rstest]
#[tokio::test]
async fn what_a_tenant_has_and_who_holds_what_is_counted(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let house = House::open(engine, "idaas").await;
    let mut boss = owner(&house).await;
    for name in ["one", "two", "three"] {
        house.person(name, Some("acme-eu"), &[held("Auditor", "acme-eu")]).await;
    }
    let two = house.account(&mut boss, "two").await["account"]["id"].as_str().unwrap().to_owned();
    assert_eq!(boss.post(&format!("/api/v1/accounts/{two}/disable"), &json!({})).await.status, 200);
    let usage = boss.get("/api/v1/reports/usage").await;
    assert_eq!(usage.status, 200, "{}", usage.text());
    let usage = usage.json();
    // The owner of the file, the boss, and the three.
    assert_eq!((&usage["people"], &usage["machines"], &usage["active_accounts"]), (&json!(5), &json!(0), &json!(4)));
    assert_eq!((&usage["organizations"], &usage["connections"], &usage["assignments"]), (&json!(4), &json!(1), &json!(5)));
    assert_eq!((&usage["roles"], &usage["custom_roles"], &usage["groups"]), (&json!(6), &json!(0), &json!(0)));
    assert_eq!(usage["limits"]["organization_depth"], 16);

    let report = "/api/v1/reports/assignments";
    let rows = |page: &Value| -> Vec<(String, String, String, i64, i64)> {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let items = page["items"].as_array().unwrap().iter();
        let mut rows: Vec<_> = items
            .map(|row| {
                let (accounts, active) = (row["accounts"].as_i64().unwrap(), row["active"].as_i64().unwrap());
                (text(row, "organization_slug"), text(row, "role_name"), text(row, "origin"), accounts, active)
            })
            .collect();
        rows.sort();
        rows
    };
    let row = |at: &str, role: &str, origin: &str, accounts, active| (at.to_owned(), role.to_owned(), origin.to_owned(), accounts, active);
    let all = [row("acme", OWNER, "bootstrap", 1, 1), row("acme", OWNER, "manual", 1, 1), row("acme-eu", "Auditor", "manual", 3, 2)];
    assert_eq!(rows(&boss.get(report).await.json()), all);
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = boss.get(&format!("{report}?limit=1&cursor={cursor}")).await.json();
        paged.extend(rows(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    paged.sort();
    assert_eq!(paged, all, "page by page the same");
    let of_auditors = boss.get(&format!("{report}?role={}", house.role("Auditor").await)).await.json();
    assert_eq!(rows(&of_auditors), all[2..]);
    // Of a part of the tenant, that part.
    let mut below = house.person("below", Some("acme-eu"), &[held("Auditor", "acme-eu")]).await;
    assert_eq!(rows(&below.get(report).await.json()), [row("acme-eu", "Auditor", "manual", 4, 3)]);
    assert_eq!(outcome(&below.get("/api/v1/reports/usage").await), (403, "root_only".into()));
}
