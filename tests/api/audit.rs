//! The audit trail through the API.

use axum::http::{Method, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rolegate::{
    admin::{
        archive,
        scim_token::{self, ScimTokenError},
    },
    db::tenant::find_tenant_by_slug,
    domain::actor::Actor,
    policy::{access::authorize, action::ManageScimTokens},
};
use rstest::rstest;
use serde_json::{Value, json};

use super::common::{CERTIFICATES, house, person, send};
use crate::{
    authz::people::tenant,
    common::{
        engines::Engine,
        idp,
        installation::{Answer, Browser, Gateway},
    },
};

const AUDIT: &str = "/api/v1/audit";

async fn filtered(owner: &mut Browser<'_>, filter: &str) -> Vec<Value> {
    let filter = utf8_percent_encode(filter, NON_ALPHANUMERIC);
    let answer = owner.get_json(&format!("{AUDIT}?filter={filter}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["items"].as_array().unwrap().clone()
}

/// A certificate is added and one retired, a minute apart.
async fn lived(gateway: &Gateway) -> Browser<'_> {
    let mut owner = person(gateway, "Organization Owner").await;
    // Rows of one moment are sealed in the order of their ids, which is nobody's.
    gateway.settle().await;
    let pem = json!({ "certificate": idp::FOREIGN_KEY.certificate().to_pem() });
    let added = owner.post_json(CERTIFICATES, &pem).await.json();
    gateway.app.clock.advance_secs(60);
    let retire = format!("{CERTIFICATES}/{}/retire", added["id"].as_str().unwrap());
    assert_eq!(owner.post_json(&retire, &json!({ "confirm": true })).await.status, StatusCode::OK);
    gateway.settle().await;
    owner
}

#[rstest]
#[tokio::test]
async fn the_trail_is_narrowed_by_time_actor_subject_and_kind(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = lived(&gateway).await;
    let all = owner.get_json(AUDIT).await.json()["items"].as_array().unwrap().clone();
    let numbers: Vec<_> = all.iter().map(|row| row["number"].as_i64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a > b) && numbers.last() == Some(&1), "the newest first, to the first: {numbers:?}");
    assert_eq!((&all[0]["action"], &all[1]["action"]), (&json!("certificate.retired"), &json!("certificate.added")));
    assert_eq!(all[0]["tenant"], "acme");

    let actions = |rows: Vec<Value>| rows.iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let both = ["certificate.retired", "certificate.added"];
    let actor = all[0]["actor"]["id"].as_str().unwrap();
    let mine = format!("actor eq {actor:?}");
    let subject = all[0]["target"]["id"].as_str().unwrap();
    assert_eq!(actions(filtered(&mut owner, &format!("actor eq {actor:?}")).await), both);
    assert_eq!(actions(filtered(&mut owner, &format!("subject eq {subject:?}")).await), both);
    assert_eq!(actions(filtered(&mut owner, &format!("subjectKind eq \"certificate\" and subject eq {subject:?}")).await), both);
    assert_eq!(actions(filtered(&mut owner, &format!("{mine} and kind eq \"certificate.added\"")).await), ["certificate.added"]);
    assert_eq!(actions(filtered(&mut owner, &format!("{mine} and kind sw \"certificate.\"")).await), both);
    let (first, last) = (all[1]["at"].as_str().unwrap(), all[0]["at"].as_str().unwrap());
    let kind = format!("{mine} and kind sw \"certificate.\"");
    assert_eq!(actions(filtered(&mut owner, &format!("{kind} and at ge {last:?}")).await), ["certificate.retired"]);
    assert_eq!(actions(filtered(&mut owner, &format!("{kind} and at lt {last:?}")).await), ["certificate.added"]);
    assert_eq!(actions(filtered(&mut owner, &format!("{kind} and at gt {first:?}")).await), ["certificate.retired"]);
    let correlation = all[0]["correlation"].as_str().unwrap();
    assert_eq!(actions(filtered(&mut owner, &format!("correlation eq {correlation:?}")).await), ["certificate.retired"]);
    assert_eq!(actions(filtered(&mut owner, "kind eq \"nothing\"").await), Vec::<String>::new());

    for wrong in ["kind", "colour eq \"red\"", "kind ne \"x\"", "kind eq \"a\" or kind eq \"b\""] {
        let refused = owner.get_json(&format!("{AUDIT}?filter={}", utf8_percent_encode(wrong, NON_ALPHANUMERIC))).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "invalid_filter"), "{wrong}");
        assert_eq!(refused.json()["field"], "filter");
    }
}

#[rstest]
#[tokio::test]
async fn pages_of_the_trail_do_not_move_when_rows_come(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = lived(&gateway).await;
    let first = owner.get_json(&format!("{AUDIT}?limit=1")).await.json();
    let pem = json!({ "certificate": idp::FOREIGN_KEY.certificate().to_pem() });
    assert_eq!(owner.post_json(CERTIFICATES, &pem).await.status, StatusCode::CREATED);
    gateway.settle().await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = owner.get_json(&format!("{AUDIT}?limit=1&cursor={cursor}")).await.json();
    assert_eq!(second["items"][0]["number"].as_i64().unwrap() + 1, first["items"][0]["number"].as_i64().unwrap());
    let other = owner.get_json(&format!("{AUDIT}?limit=1&cursor={cursor}&filter=kind%20eq%20%22x%22")).await;
    assert_eq!(other.code(), "invalid_cursor", "a cursor belongs to its filter");
}

/// Whether the first owner held their role, and the answer.
async fn held(gateway: &Gateway, owner: &mut Browser<'_>, role: &str, at: &str) -> (bool, Answer) {
    let row: Option<(String,)> =
        gateway.app.db.query("select id from account where user_name_key = 'owner@acme.example'").optional().await.unwrap();
    let (account, role) = (row.unwrap().0, utf8_percent_encode(role, NON_ALPHANUMERIC).to_string());
    let answer = owner.get_json(&format!("{AUDIT}/role-at?account={account}&role={role}&at={at}")).await;
    (answer.json()["held"] == true, answer)
}

#[rstest]
#[tokio::test]
async fn a_role_that_was_renamed_or_is_of_an_archive_is_still_one_that_was_held(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let gateway = Gateway::open(engine).await;
    let role = |name: &str| format!("[[roles]]\nname = \"{name}\"\npermissions = [\"user_management:read\"]\n");
    gateway.apply(&format!("{}{}", tenant("acme", "idaas"), role("Desk"))).await;
    let mut owner = person(&gateway, "Super Administrator").await;
    let account: Option<(String,)> =
        gateway.app.db.query("select id from account where user_name_key = 'owner@acme.example'").optional().await.unwrap();
    let roles = owner.get_json("/api/v1/roles?search=desk").await.json();
    let desk = roles["items"].as_array().unwrap().iter().find(|row| row["name"] == "Desk").unwrap()["id"].clone();
    let organization: Option<(String,)> =
        gateway.app.db.query("select id from organization where parent is null").optional().await.unwrap();
    let made = json!({ "account": account.unwrap().0, "role": desk, "organization": organization.unwrap().0 });
    assert_eq!(owner.post_json("/api/v1/assignments", &made).await.status, StatusCode::CREATED);
    let then = gateway.app.now().to_string();
    gateway.app.clock.advance_secs(60);
    let path = format!("/api/v1/roles/{}", desk.as_str().unwrap());
    assert_eq!(send(&mut owner, Method::PATCH, &path, &[], "{\"name\": \"Front desk\"}").await.status, StatusCode::OK);
    gateway.settle().await;
    let now = gateway.app.now().to_string();
    for (name, at) in [("Desk", &then), ("Front desk", &now), ("Desk", &now), ("Front desk", &then)] {
        let (held, answer) = held(&gateway, &mut owner, name, at).await;
        assert!(held, "{name} {at}: {}", answer.text());
        assert_eq!(answer.json()["because"][0]["by_kind"], "account");
    }

    gateway.app.clock.advance_secs(60);
    let (row, key) = (find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap(), gateway.app.keys.chain());
    let before = gateway.app.now();
    let archived = archive::write(&gateway.app.db, row.id, "acme", &key, before, &mut Vec::new()).await.unwrap();
    let mut occasion = gateway.app.occasion(Actor::HostOperator, "test");
    archive::prune(&gateway.app.db, row.id, &key, &mut occasion, &archived).await.unwrap();
    gateway.settle().await;
    let (is_held, answer) = held(&gateway, &mut owner, "Front desk", &before.to_string()).await;
    assert!(is_held, "what began in the archive is there today: {}", answer.text());
    assert_eq!((&answer.json()["because"][0]["by_kind"], &answer.json()["because"][0]["since"]), (&json!("unknown"), &json!(then)));
    let (_, early) = held(&gateway, &mut owner, "Front desk", &then).await;
    assert_eq!((early.status, early.code().as_str()), (StatusCode::CONFLICT, "archived"), "{}", early.text());
}

#[rstest]
#[tokio::test]
async fn an_export_is_every_row_in_the_form_of_an_archive_and_is_written_down(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = lived(&gateway).await;
    let answer = owner.get_json(&format!("{AUDIT}/export")).await;
    assert_eq!((answer.status, answer.headers[header::CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, "application/x-ndjson"));
    let tenant = find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    let (key, none) = (gateway.app.keys.chain(), rolegate::db::seal::Head::none());
    let head = rolegate::admin::archive::read(&key, (tenant.id, tenant.slug.as_str()), none, None, answer.body.as_slice()).unwrap();
    assert_eq!(head, rolegate::db::seal::find_head(&gateway.app.db, tenant.id).await.unwrap());
    gateway.settle().await;
    let rest = owner.get_json(&format!("{AUDIT}/export?after={}", head.number)).await.text();
    assert_eq!(rest.lines().count(), 1, "{rest}");
    assert!(rest.contains("\"audit.exported\""), "{rest}");
    let mut member = person(&gateway, "Organization Member").await;
    for path in [AUDIT.to_owned(), format!("{AUDIT}/export")] {
        assert_eq!(member.get_json(&path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[rstest]
#[tokio::test]
async fn why_somebody_held_a_role_is_answered_for_a_time_that_is_past(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let row: Option<(String,)> =
        gateway.app.db.query("select id from account where user_name_key = 'owner@acme.example'").optional().await.unwrap();
    let account = row.unwrap().0;
    let ask = |role: &str, at: &str| {
        let role = utf8_percent_encode(role, NON_ALPHANUMERIC).to_string();
        format!("{AUDIT}/role-at?account={account}&role={role}&at={at}")
    };
    let now = gateway.app.now().to_string();
    let then = owner.get_json(&ask("Organization Owner", &now)).await;
    assert_eq!(then.status, StatusCode::OK, "{}", then.text());
    let then = then.json();
    assert_eq!(
        (&then["held"], &then["because"][0]["origin"], &then["because"][0]["by_kind"]),
        (&json!(true), &json!("bootstrap"), &json!("host_operator"))
    );
    let before = owner.get_json(&ask("Organization Owner", "2020-01-01T00:00:00Z")).await.json();
    assert_eq!((&before["held"], &before["because"]), (&json!(false), &json!([])));
    assert_eq!(owner.get_json(&ask("Organization Member", &now)).await.json()["held"], false);
    let unknown = owner.get_json(&ask("x", &now)).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (StatusCode::NOT_FOUND, "unknown_role"));
    assert_eq!(owner.get_json(&ask("\0", &now)).await.code(), "unknown_role");
    let stranger = ask("x", &now).replace(&account, "01900000-0000-7000-8000-000000000001");
    assert_eq!(owner.get_json(&stranger).await.status, StatusCode::NOT_FOUND);
    assert_eq!(owner.get_json(&ask("x", "yesterday")).await.status, StatusCode::BAD_REQUEST);
    let later = owner.get_json(&ask("Organization Owner", &gateway.app.now().plus_secs(1).to_string())).await;
    assert_eq!((later.status, later.code().as_str(), &later.json()["field"]), (StatusCode::BAD_REQUEST, "in_the_future", &json!("at")));
}

/// Made and revoked, as on the host; its id, its secret and until when it would have counted.
async fn rotate_a_scim_token(gateway: &Gateway) -> (String, String, String) {
    let app = &gateway.app;
    let connection = rolegate::db::connection::find_connection_by_slug(&app.db, "acme-okta").await.unwrap().unwrap().connection;
    let model = rolegate::db::model::load_model(&app.db, connection.tenant).await.unwrap();
    let mut occasion = app.occasion(Actor::HostOperator, "test");
    let grant = authorize::<ManageScimTokens>(&Actor::HostOperator, &model, connection.organization).unwrap();
    let made = scim_token::create(&grant, &app.db, &mut occasion, &connection, 3600, app.random.bytes()).await.unwrap();
    scim_token::revoke(&grant, &app.db, &mut occasion, &connection, made.id).await.unwrap();
    let again = scim_token::revoke(&grant, &app.db, &mut occasion, &connection, made.id).await;
    assert!(matches!(again, Err(ScimTokenError::NotFound)), "once is enough");
    (made.id.to_string(), made.token.expose().clone(), made.expires_at.to_string())
}

#[rstest]
#[tokio::test]
async fn what_changes_a_connection_or_the_schema_is_told_to_followers(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let clients = "/api/v1/connections/acme-okta/oauth-clients";
    let client = owner.post_json(clients, &json!({ "name": "Entra" })).await.json();
    let revoke = format!("{clients}/{}/revoke", client["client_id"].as_str().unwrap());
    assert!(owner.post_json(&revoke, &json!({})).await.status.is_success());
    let token = rotate_a_scim_token(&gateway).await;
    let attribute = json!({ "name": "costCentre", "type": "string", "multiValued": false });
    let schema = json!({ "id": "urn:acme:User", "name": "Acme", "attributes": [attribute] }).to_string();
    assert_eq!(send(&mut owner, Method::PUT, "/api/v1/attribute-schema", &[], &schema).await.status, StatusCode::OK);
    assert_eq!(send(&mut owner, Method::DELETE, "/api/v1/attribute-schema", &[], "").await.status, StatusCode::NO_CONTENT);
    // One's own, and of no concern to others.
    assert_eq!(owner.post_json("/api/v1/tokens", &json!({ "name": "mine" })).await.status, StatusCode::CREATED);
    gateway.settle().await;
    let feed = owner.get_json("/api/v1/events?limit=1000").await;
    for kind in ["oauth_secret.created", "oauth_client.revoked", "attribute_schema.changed", "attribute_schema.deleted"] {
        assert!(feed.text().contains(&format!("urn:rolegate:event:{kind}")), "{kind} in {}", feed.text());
    }
    let (id, secret, expires_at) = token;
    let subject = json!({ "format": "opaque", "id": format!("scim_token:{id}") });
    let events = feed.json()["events"].as_array().unwrap().clone();
    let of_token: Vec<_> = events.iter().filter(|event| event["set"]["sub_id"] == subject).map(|event| &event["set"]["events"]).collect();
    let made = json!({ "urn:rolegate:event:scim_token.created": { "connection": "acme-okta", "expires_at": expires_at } });
    let revoked = json!({ "urn:rolegate:event:scim_token.revoked": { "connection": "acme-okta" } });
    // Rows of one moment are numbered in the order of their ids, which is nobody's.
    assert!(of_token.len() == 2 && of_token.contains(&&made) && of_token.contains(&&revoked), "{of_token:?}");
    assert!(!feed.text().contains(&secret));
    assert!(!feed.text().contains("api_token") && !feed.text().contains(client["client_secret"].as_str().unwrap()));
    let told = "select count(*) from audit where action = 'api_token.created'";
    assert_eq!(gateway.count(told).await, 1);
}
