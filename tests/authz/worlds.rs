//! An answer depends only on what the caller may read: it is the same where the rest is different, and where the rest does not exist.

use std::fmt::Write as _;

use axum::http::{Method, StatusCode};
use rolegate::{
    domain::id::AccountId,
    http::{self, routes::Listed},
};
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    people::{holder, model},
    routes::{Asked, ask, full, unreal},
    things::Things,
};
use crate::{
    common::{
        engines::Engine,
        installation::{Answer, Gateway},
    },
    organizations::somebody_at,
    presets::house::{Held, House, held},
};

/// Routes about what everybody who may look at roles sees, or about what is the caller's own.
fn is_readable(listed: &Listed) -> bool {
    let path = listed.path.strip_prefix("/api/v1").unwrap_or_default();
    path.starts_with("/roles") || path.starts_with("/role-sets") || path == "/reports/assignments" || path == "/tokens"
}

#[rstest]
#[tokio::test]
async fn what_is_hidden_is_answered_as_what_does_not_exist(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::open(engine).await;
    let file = format!("{}\n[[organizations]]\nslug = \"here\"\nname = \"here\"\nparent = \"acme\"\n", full("acme"));
    let acme = gateway.apply(&file).await.tenant;
    let acme = model(&gateway, acme).await;
    let things = Things::plant(&gateway, &acme, &mut holder(&gateway, &acme, Some("Organization Owner")).await).await;
    // An owner of one organization may do everything there and nothing above.
    let mut limited = somebody_at(&gateway, "Organization Owner", "here").await;
    let mut asked_about = 0;
    let mut different = String::new();
    for listed in http::routes().table().iter().filter(|listed| listed.documented.is_some() && !is_readable(listed)) {
        let real = Asked::real(&things, listed);
        let not_there = real.unreal(&things);
        let about_real = ask(&mut limited, listed, &real.path, &real.body, None).await;
        let about_none = ask(&mut limited, listed, &not_there.path, &not_there.body, None).await;
        let shown = |answer: &Answer| (answer.status.as_u16(), unreal(&things, &answer.text()));
        if shown(&about_real) != shown(&about_none) {
            writeln!(different, "{listed:?}:\n  {:?}\n  {:?}", shown(&about_real), shown(&about_none)).unwrap();
        }
        asked_about += usize::from(real.path != not_there.path || real.body != not_there.body);
    }
    assert!(different.is_empty(), "answers tell what the caller may not read:\n{different}");
    assert!(asked_about > 50, "{asked_about} questions name something hidden");
}

/// The difference between two worlds. The limited callers may read none of it.
#[derive(Clone, Copy)]
struct Hidden {
    /// The user name of somebody at the root.
    name: &'static str,
    /// The role that this account holds there. Both roles permit the same.
    role: &'static str,
    /// The organization where this account holds the role "Old".
    also_at: &'static str,
}

const ROLES: &str = "
[[roles]]
name = \"Upper one\"
permissions = [\"user_management:read\"]
[[roles]]
name = \"Upper two\"
permissions = [\"user_management:read\"]
[[roles]]
name = \"Old\"
permissions = [\"user_management:read\"]
[[roles]]
name = \"New\"
permissions = [\"user_management:read\"]
[[roles]]
name = \"Role desk\"
permissions = [\"roles_management:*\", \"user_management:read\"]
[[roles]]
name = \"Desk\"
permissions = [\"user_role_management:*\", \"user_management:*\", \"organizations:*\"]
";

/// The answers of one world, with masked ids.
async fn answers(engine: Engine, hidden: Hidden) -> Vec<(String, u16, Value)> {
    let house = House::with(engine, "idaas", "min_owners = 1", ROLES).await;
    let above = house.person(hidden.name, Some("acme"), &[held(hidden.role, "acme"), held("Old", hidden.also_at)]).await.id;
    let ben = house.person("ben", Some("acme-eu"), &[held("Old", "acme-eu")]).await.id;
    let mut desk = house.person("desk", Some("acme-eu"), &[held("Desk", "acme-eu")]).await;
    let desk_at_eu = Held { ..held("Desk", "acme-eu") };
    let mut roles = house.person("roles", Some("acme"), &[held("Role desk", "acme"), desk_at_eu]).await;
    let (old, new) = (house.role("Old").await, house.role("New").await);
    let (eu, us) = (house.organization("acme-eu").await, house.organization("acme-us").await);
    let question =
        |account: AccountId, at: &str| json!({ "account": account, "entity": "user_management", "action": "read", "organization": at });
    let grant = |account: AccountId, at| json!({ "account": account, "role": new, "organization": at });
    let mut all = Vec::new();
    let asked = [
        ("/api/v1/check".to_owned(), question(above, "acme-eu")),
        ("/api/v1/check".to_owned(), json!([question(above, "acme-eu-west"), question(ben, "acme-eu")])),
        ("/api/v1/check".to_owned(), question(above, "acme-us")),
        ("/api/v1/assignments".to_owned(), grant(above, eu)),
        ("/api/v1/assignments".to_owned(), grant(ben, us)),
        (
            "/api/v1/assignments/bulk".to_owned(),
            json!({ "preview": true, "lines": [{ "op": "grant", "account": above, "role": new, "organization": eu }] }),
        ),
        ("/api/v1/organizations/acme-eu-west/move".to_owned(), json!({ "parent": "acme-us", "preview": true })),
        (format!("/api/v1/accounts/{above}/disable"), json!({})),
    ];
    for (path, body) in asked {
        let answer = desk.post(&path, &body).await;
        all.push(masked(&format!("desk: POST {path}"), &answer));
    }
    for path in [
        format!("/api/v1/accounts/{above}"),
        format!("/api/v1/accounts/{above}/assignments"),
        "/api/v1/accounts".to_owned(),
        "/api/v1/assignments".to_owned(),
        format!("/api/v1/roles/{old}/assignments"),
        format!("/api/v1/organizations/{us}/assignments"),
    ] {
        let answer = desk.get(&path).await;
        all.push(masked(&format!("desk: GET {path}"), &answer));
    }
    let deleted = roles.send(Method::DELETE, &format!("/api/v1/roles/{old}"), &[], &Value::Null).await;
    assert_eq!(deleted.status, StatusCode::CONFLICT, "{}", deleted.text());
    all.push(masked("roles: DELETE role", &deleted));
    let moved = roles.post(&format!("/api/v1/roles/{old}/replacement"), &json!({ "by": new })).await;
    all.push(masked("roles: POST replacement", &moved));
    all
}

fn masked(asked: &str, answer: &Answer) -> (String, u16, Value) {
    let mut body = if answer.body.is_empty() { Value::Null } else { answer.json() };
    // The order of rows is that of their ids.
    if let Some(items) = body.get_mut("items").and_then(Value::as_array_mut) {
        items.sort_by_key(|item| mask(&item.to_string()));
    }
    // A hash of everything that the plan would do.
    if let Some(plan) = body.get_mut("plan") {
        *plan = Value::Null;
    }
    let body = serde_json::from_str(&mask(&body.to_string())).unwrap();
    (mask(asked), answer.status.as_u16(), body)
}

/// Ids are different in each installation.
fn mask(text: &str) -> String {
    let is_id = |word: &str| word.len() == 36 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let letters: Vec<char> = text.chars().collect();
    let mut masked = String::new();
    let mut at = 0;
    while at < letters.len() {
        let word: String = letters[at..letters.len().min(at + 36)].iter().collect();
        if is_id(&word) {
            masked.push_str("ID");
            at += 36;
        } else {
            masked.push(letters[at]);
            at += 1;
        }
    }
    masked
}

#[rstest]
#[tokio::test]
async fn answers_are_the_same_in_worlds_that_differ_in_what_the_caller_may_not_read(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let one = answers(engine, Hidden { name: "ursula", role: "Upper one", also_at: "acme-us" }).await;
    let other = answers(engine, Hidden { name: "ulrich", role: "Upper two", also_at: "acme" }).await;
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one, other);
        for hidden in ["ursula", "ulrich", "Upper"] {
            assert!(!one.2.to_string().contains(hidden), "{} tells of {hidden}: {}", one.0, one.2);
        }
    }
    // The answers have everything that the callers may read.
    let shown = |asked: &str| one.iter().find(|(name, ..)| name == asked).unwrap_or_else(|| panic!("{asked}")).2.to_string();
    assert!(shown("roles: DELETE role").contains("ben") && shown("roles: POST replacement").contains("ben"));
    assert!(shown("desk: POST /api/v1/check").contains("\"allowed\":true"));
}
