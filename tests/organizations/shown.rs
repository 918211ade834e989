//! What is shown to somebody who looks at a part of the tenant, and to whom a session or a token is all they have.

use axum::http::{Method, StatusCode};
use rolegate::domain::assignment::Reach;
use rstest::rstest;
use serde_json::{Value, json};

use super::{account_of, call, from, give, house, refused, somebody, somebody_at};
use crate::common::{engines::Engine, installation::Gateway};

/// `idaas` with roles of the tenant's own, each with these permissions; what is given acts at once.
async fn with_roles(engine: Engine, roles: &[(&str, &str)]) -> Gateway {
    let gateway = Gateway::open(engine).await;
    let role = |(name, permissions): &(&str, &str)| format!("[[roles]]\nname = \"{name}\"\npermissions = [{permissions}]\n");
    let roles = roles.iter().map(role).collect::<Vec<_>>().concat();
    let at_once = super::file("idaas").replace("min_owners = 1", "min_owners = 1, role_change_effect = \"immediate\"");
    gateway.apply(&at_once.replacen("[[organizations]]", &format!("{roles}[[organizations]]"), 1)).await;
    gateway
}

const LOOKER: (&str, &str) = ("Looker", "\"user_management:read\", \"user_role_management:read\", \"roles_management:read\"");

#[rstest]
#[tokio::test]
async fn who_looks_at_a_part_learns_nothing_of_the_rest(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = with_roles(engine, &[LOOKER]).await;
    let mut owner = somebody(&gateway, Some("Super Administrator")).await;
    let mut looker = somebody_at(&gateway, "Looker", "acme-eu").await;
    let mut person = somebody(&gateway, None).await;
    let account = account_of(&mut person).await;
    for slug in ["acme-eu", "acme-us"] {
        let path = format!("/api/v1/organizations/{slug}/members/{account}");
        assert_eq!(call(&mut owner, Method::PUT, &path, Some(&json!({})), &[]).await.status, StatusCode::OK);
    }
    give(&gateway, account, "Auditor", "acme-us", Reach::Organization).await;
    give(&gateway, account, "Help Desk Administrator", "acme-eu", Reach::Organization).await;

    let found = async |filter: &str| {
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let rows = looker.clone().get_json(&format!("/api/v1/accounts?filter={filter}")).await.json();
        rows["items"].as_array().unwrap_or_else(|| panic!("{rows}")).iter().any(|row| row["account"]["id"] == account.to_string())
    };
    for (filter, expected) in [
        ("roles.value eq \"help desk administrator\"", true),
        ("roles.value eq \"auditor\"", false),
        ("not (roles.value eq \"auditor\")", true),
        ("roles.value sw \"aud\" and active eq true", false),
        ("roles[value eq \"auditor\"]", false),
        ("roles[value eq \"help desk administrator\"] and active eq true", true),
    ] {
        assert_eq!(found(filter).await, expected, "{filter}");
    }
    let one = format!("/api/v1/accounts/{account}");
    let shown = looker.get_json(&one).await.json();
    assert_eq!(shown["account"]["home_organization"], Value::Null, "{shown}");
    let memberships = |shown: &Value| -> Vec<String> {
        let list = shown["account"]["status"]["memberships"].as_array().unwrap();
        let mut slugs: Vec<_> = list.iter().map(|one| one["organization"].as_str().unwrap().to_owned()).collect();
        slugs.sort();
        slugs
    };
    assert_eq!(memberships(&shown), ["acme-eu"]);
    assert_eq!(shown["assignments"].as_array().unwrap().len(), 1);
    let whole = owner.get_json(&one).await.json();
    assert_eq!(whole["account"]["home_organization"], "acme");
    assert_eq!(memberships(&whole), ["acme-eu", "acme-us"]);

    let holders =
        |rows: Value, name: &str| rows["items"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()["holders"].clone();
    assert_eq!(holders(looker.get_json("/api/v1/roles").await.json(), "Auditor"), 0);
    assert_eq!(holders(looker.get_json("/api/v1/roles").await.json(), "Help Desk Administrator"), 1);
    assert_eq!(holders(owner.get_json("/api/v1/roles").await.json(), "Auditor"), 1);
}

#[rstest]
#[tokio::test]
async fn who_may_change_groups_and_not_look_at_them_is_answered_what_they_did(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = with_roles(engine, &[("Maker", "\"groups_management:create\", \"groups_management:update\"")]).await;
    let mut maker = somebody(&gateway, Some("Maker")).await;
    refused(&maker.get_json("/api/v1/groups").await, StatusCode::FORBIDDEN, "not_permitted");
    let root = super::at(&super::now(&gateway).await, "acme");
    let made = maker.post_json("/api/v1/groups", &json!({ "name": "Field", "organization": root })).await;
    assert_eq!((made.status, &made.json()["name"]), (StatusCode::CREATED, &json!("Field")), "{}", made.text());
    let one = format!("/api/v1/groups/{}", made.json()["id"].as_str().unwrap());
    let renamed = call(&mut maker, Method::PATCH, &one, Some(&json!({ "name": "Garden" })), &[]).await;
    assert_eq!((renamed.status, &renamed.json()["name"]), (StatusCode::OK, &json!("Garden")), "{}", renamed.text());
    refused(&maker.get_json(&one).await, StatusCode::FORBIDDEN, "not_permitted");
    assert_eq!(call(&mut maker, Method::DELETE, &one, None, &[]).await.status, StatusCode::NO_CONTENT);
}

#[rstest]
#[tokio::test]
async fn a_check_for_oneself_is_answered_for_the_session_that_asks(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine, "idaas").await;
    let mut owner = somebody(&gateway, Some("Super Administrator")).await;
    let mut person = somebody(&gateway, None).await;
    let account = account_of(&mut person).await;
    give(&gateway, account, "Auditor", "acme", Reach::Subtree).await;
    let ask = json!({ "account": account, "entity": "user_management", "action": "read", "organization": "acme" });
    let own = person.post_json("/api/v1/check", &ask).await.json();
    assert_eq!((&own["allowed"], &own["because"]["code"]), (&json!(false), &json!("sign_in_again")), "{own}");
    assert_eq!(own["because"]["assignment"]["role"], "Auditor", "what would allow it");
    assert_eq!(person.get_json("/api/v1/accounts").await.code(), "sign_in_again", "as the gateway itself decides");
    let others = owner.post_json("/api/v1/check", &ask).await.json();
    assert_eq!((&others["allowed"], &others["because"]["code"]), (&json!(true), &json!("granted")), "{others}");
}

/// A thousand more of somebody who is there.
const PEOPLE: &str = "with digits (d) as (values ('0'), ('1'), ('2'), ('3'), ('4'), ('5'), ('6'), ('7'), ('8'), ('9'))
    insert into account (tenant, id, user_name, user_name_key, kind, home_organization, status, standing, has_local_credential, from_file,
        created_at_ms, changed_at_ms)
    select tenant, '01900000-0000-7000-8000-000000000' || a.d || b.d || c.d, 'p' || a.d || b.d || c.d, 'p' || a.d || b.d || c.d, kind,
        home_organization, status, standing, has_local_credential, from_file, created_at_ms, changed_at_ms
    from account, digits a, digits b, digits c where user_name_key = 'super administrator'";
/// Each with assignments in forty contexts.
const HELD: &str = "with digits (d) as (values ('0'), ('1'), ('2'), ('3'), ('4'), ('5'), ('6'), ('7'), ('8'), ('9'))
    insert into assignment (tenant, id, account, role, organization, resource_scope, reach, created_at_ms)
    select a.tenant, '01900000-0000-7000-8' || x.d || y.d || '0-000000000' || substr(p.user_name_key, 2, 3), p.id, a.role, a.organization,
        '01900000-0000-7000-9' || x.d || y.d || '0-000000000000', a.reach, a.created_at_ms
    from assignment a join account p on p.tenant = a.tenant and p.user_name_key like 'p___', digits x, digits y
    where a.account = (select id from account where user_name_key = 'super administrator') and x.d < '4'";

#[rstest]
#[tokio::test]
async fn a_page_of_a_thousand_accounts_has_all_that_they_hold(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    const EACH: i64 = 40;
    let gateway = house(engine, "idaas").await;
    let mut owner = somebody(&gateway, Some("Super Administrator")).await;
    let before = gateway.count("select count(*) from assignment").await;
    let mut tx = gateway.app.db.begin().await.unwrap();
    for sql in [PEOPLE, HELD] {
        tx.query(sql).run().await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(gateway.count("select count(*) from assignment").await, before + 1000 * EACH);
    let page = owner.get_json("/api/v1/accounts?limit=1000").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let page = page.json();
    let rows = page["items"].as_array().unwrap();
    let full = rows.iter().filter(|row| row["assignments"].as_array().unwrap().len() == usize::try_from(EACH).unwrap()).count();
    assert_eq!((rows.len(), full), (1000, 1000));
}

#[tokio::test]
async fn who_left_the_networks_of_their_organization_can_sign_out_and_it_is_written_down() {
    let gateway = house(Engine::Sqlite, "owner-member").await;
    let mut owner = somebody(&gateway, Some("Organization Owner")).await;
    let csrf = owner.csrf_token().await;
    let settings = "/api/v1/organizations/acme/settings";
    let list = r#"{"console_networks": ["192.0.2.0/24"]}"#;
    assert_eq!(from(&owner, &csrf, "192.0.2.9", Method::PATCH, settings, list).await.status, StatusCode::OK);
    refused(&from(&owner, &csrf, "198.51.100.1", Method::GET, "/me", "").await, StatusCode::FORBIDDEN, "network_not_allowed");
    refused(&from(&owner, "", "198.51.100.1", Method::POST, "/logout", "").await, StatusCode::FORBIDDEN, "csrf_token_wrong");
    assert_eq!(from(&owner, &csrf, "198.51.100.1", Method::POST, "/logout", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(gateway.count("select count(*) from session").await, 0);
    let row: Option<(String, String)> =
        gateway.app.db.query("select actor_kind, detail from audit where action = 'sessions.ended'").optional().await.unwrap();
    let (actor, detail) = row.expect("it is written down");
    assert_eq!(
        (actor.as_str(), serde_json::from_str::<Value>(&detail).unwrap()),
        ("account", json!({ "count": 1, "reason": "signed_out" }))
    );
}
