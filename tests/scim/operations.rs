//! What runs beside the requests of a connection: its rate, its log, warnings.

use std::collections::BTreeSet;

use axum::{body::Body, http::Request};
use rolegate::{
    db::{
        activity::list_quiet,
        attention::list_open,
        connection,
        provisioning_log::list_entries,
        sign_in::{SignInLogRow, SignInOutcome, Why},
    },
    domain::{
        connection::{Dialect, ScimSettings, UnknownMembers},
        id::{ConnectionId, TenantId},
    },
    jobs,
};
use rstest::rstest;
use serde_json::json;

use crate::common::{
    NOW,
    engines::Engine,
    gateway::{ENTRA, Gateway, OKTA, id, token},
};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn tenant() -> TenantId {
    id(1)
}

fn okta() -> ConnectionId {
    id(1)
}

async fn set(gateway: &Gateway, scim: ScimSettings) {
    let mut row = connection::find_connection_by_slug(gateway.db(), OKTA).await.unwrap().unwrap().connection;
    row.scim = scim;
    let mut tx = gateway.db().begin().await.unwrap();
    connection::update_connection(&mut tx, &row, gateway.app.now()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_connection_that_is_too_fast_is_told_when_to_go_on(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    set(&gateway, ScimSettings { enabled: true, requests_per_second: 1, burst: 3, ..ScimSettings::default() }).await;
    for _ in 0..3 {
        gateway.get("/Users").await.expect(200);
    }
    let refused = gateway.get("/Users").await.expect(429);
    assert_eq!((refused.header("retry-after"), refused.text("/status")), ("2", "429".to_owned()));
    gateway.scim_with(ENTRA, &[], "GET", "/Users", None).await.expect(200);
    gateway.app.clock.advance_secs(2);
    gateway.get("/Users").await.expect(200);
    gateway.get("/Users").await.expect(200);
    gateway.get("/Users").await.expect(429);
}

/// What a connection may set otherwise: unknown members are left out, and no habit is forgiven.
#[rstest]
#[tokio::test]
async fn a_connection_may_skip_unknown_members_and_may_be_strict(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ann = gateway.post("/Users", json!({ "schemas": [USER], "userName": "ann" })).await.expect(201).id();
    let nobody = "00000000-0000-7000-8000-000000000000";
    let group = json!({ "schemas": [GROUP], "displayName": "Staff", "members": [{ "value": ann }, { "value": nobody }] });
    let without_work = json!([{ "op": "replace", "path": "emails[type eq \"work\"].value", "value": "ann@acme.example" }]);
    let by_capitals = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    let path = format!("/Users/{ann}");
    gateway.post("/Groups", group.clone()).await.expect(400);
    gateway.patch(&path, by_capitals.clone()).await.expect(200);
    let made = gateway.patch(&path, without_work.clone()).await.expect(200).json();
    assert_eq!(made["emails"], json!([{ "type": "work", "value": "ann@acme.example" }]));

    let settings = ScimSettings { enabled: true, requests_per_second: 0, ..ScimSettings::default() };
    set(&gateway, ScimSettings { unknown_members: UnknownMembers::Skip, dialect: Dialect::Strict, ..settings }).await;
    let staff = gateway.post("/Groups", group).await.expect(201).json();
    assert_eq!((&staff["members"][0]["value"], staff["members"].as_array().unwrap().len()), (&json!(ann), 1));
    gateway.patch(&path, json!([{ "op": "remove", "path": "emails" }])).await.expect(200);
    assert_eq!(gateway.patch(&path, without_work).await.expect(400).text("/scimType"), "noTarget");
    gateway.patch(&path, by_capitals).await.expect(400);
}

#[rstest]
#[tokio::test]
async fn a_strict_connection_refuses_a_member_that_is_there_twice(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let ann = gateway.post("/Users", json!({ "schemas": [USER], "userName": "ann" })).await.expect(201).id();
    let send = async |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(format!("/connections/{OKTA}/scim/v2{path}"));
        let request = request.header("authorization", format!("Bearer {}", token(OKTA))).header("content-type", "application/scim+json");
        gateway.call(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let twice = r#""active": false, "Active": true"#;
    let patch_op = r#""schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]"#;
    let bodies = [
        ("PUT", format!("/Users/{ann}"), format!(r#"{{"schemas": ["{USER}"], "userName": "ann", {twice}}}"#)),
        ("PATCH", format!("/Users/{ann}"), format!(r#"{{{patch_op}, "Operations": [{{"op": "replace", "value": {{{twice}}}}}]}}"#)),
        ("POST", "/Groups".to_owned(), format!(r#"{{"schemas": ["{GROUP}"], "displayName": "a", "displayName": "b"}}"#)),
        ("POST", "/Users/.search".to_owned(), r#"{"count": 1, "count": 2}"#.to_owned()),
        ("POST", "/Bulk".to_owned(), r#"{"Operations": [], "failOnErrors": 1, "failOnErrors": 2}"#.to_owned()),
    ];
    for (method, path, body) in &bodies {
        let status = send(method, path, body).await.status;
        assert!(status.is_success(), "the tolerant dialect takes the last: {method} {path} {status}");
    }
    let settings = ScimSettings { enabled: true, requests_per_second: 0, dialect: Dialect::Strict, ..ScimSettings::default() };
    set(&gateway, settings).await;
    let before = gateway.written().await;
    for (method, path, body) in &bodies {
        let answer = send(method, path, body).await.expect(400);
        assert_eq!(answer.text("/scimType"), "invalidSyntax", "{method} {path}");
        assert!(answer.text("/detail").contains("twice in one object at line 1 column "), "{}", answer.json());
    }
    assert_eq!(gateway.written().await, before);
}

#[rstest]
#[tokio::test]
async fn roles_are_announced_where_they_are_looked_for(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let announced = async || {
        let json = gateway.get("/ResourceTypes").await.expect(200).json();
        json["Resources"].as_array().unwrap().iter().map(|one| one["endpoint"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(announced().await, ["/Users", "/Groups"]);
    set(&gateway, ScimSettings { enabled: true, requests_per_second: 0, announce_roles: true, ..ScimSettings::default() }).await;
    assert_eq!(announced().await, ["/Users", "/Groups", "/Roles"]);
    let schemas = gateway.get("/Schemas").await.expect(200).json();
    assert!(schemas["Resources"].as_array().unwrap().iter().any(|one| one["id"] == "urn:okta:scim:schemas:core:1.0:Role"));
}

#[rstest]
#[tokio::test]
async fn every_request_of_a_known_connection_has_an_entry(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let headers = [("x-request-id", "r-1")];
    let body = json!({ "schemas": [USER], "userName": "anna" });
    let made = gateway.scim_with(OKTA, &headers, "POST", "/Users", Some(body.clone())).await.expect(201);
    let (anna, request_id) = (made.id(), made.header("x-request-id").to_owned());
    gateway.post("/Users", body).await.expect(409);
    let group = json!({ "schemas": [GROUP], "displayName": "Staff", "members": [{ "value": anna }] });
    gateway.post("/Groups", group).await.expect(201);
    gateway.filter("/Users", "userName eq \"anna\"").await.expect(200);
    gateway.get("/Nothing").await.expect(404);
    let stranger = axum::http::Request::builder().uri(format!("/connections/{OKTA}/scim/v2/Users")).header("authorization", "Bearer x");
    gateway.call(stranger.body(axum::body::Body::empty()).unwrap()).await.expect(401);

    jobs::round(&gateway.app).await.unwrap();
    let entries = list_entries(gateway.db(), tenant(), okta(), None, 10).await.unwrap();
    let mut lines: Vec<String> = entries
        .iter()
        .map(|e| {
            format!(
                "{} {} {} {} {} {}",
                e.method,
                e.resource,
                e.status,
                e.scim_type.as_deref().unwrap_or("-"),
                e.facts_changed,
                e.assignments_changed
            )
        })
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        ["GET /Users 200 - 0 0", "GET /… 404 - 0 0", "POST /Groups 201 - 1 0", "POST /Users 201 - 1 0", "POST /Users 409 uniqueness 0 0",]
    );
    let made = entries.iter().find(|entry| entry.status == 201 && entry.resource == "/Users").unwrap();
    assert_eq!((made.at, made.correlation.as_str(), made.client_request_id.as_deref()), (NOW, request_id.as_str(), Some("r-1")));
    let text = format!("{entries:?}");
    assert!(!text.contains(&token(OKTA)) && !text.contains("anna"), "{text}");
}

/// Clients put values where none belong, and refusals tell them so.
#[rstest]
#[tokio::test]
async fn the_log_keeps_no_value_that_a_refusal_repeats(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let anna = format!("/Users/{}", gateway.post("/Users", json!({ "schemas": [USER], "userName": "anna" })).await.expect(201).id());
    let path = r#"emails[value eq "secret@acme.example"].nope"#;
    let refused = gateway.patch(&anna, json!([{ "op": "replace", "path": path, "value": "x" }])).await.expect(400);
    assert!(refused.text("/detail").contains("secret@acme.example"), "the client is told: {}", refused.text("/detail"));
    let members = json!([{ "value": "secret@acme.example" }]);
    let refused = gateway.post("/Groups", json!({ "schemas": [GROUP], "displayName": "x", "members": members })).await.expect(400);
    assert!(refused.text("/detail").contains("secret@acme.example"));
    gateway.get("/Users/secret@acme.example").await.expect(404);
    gateway.filter("/Users", r#"active gt "secret@acme.example""#).await.expect(400);
    gateway.filter("/Users", "active gt 4915112345678").await.expect(400);
    gateway.filter("/Users", "secret@acme.example").await.expect(400);
    gateway.get("/Users?sortBy=secret@acme.example").await.expect(400);
    gateway.scim("GET", "/Users/.search/secret", None).await.expect(404);

    jobs::round(&gateway.app).await.unwrap();
    let entries = list_entries(gateway.db(), tenant(), okta(), None, 20).await.unwrap();
    assert_eq!(entries.len(), 9);
    let text = format!("{entries:?}");
    assert!(!text.contains("secret") && !text.contains("4915112345678"), "{text}");
    assert!(entries.iter().any(|entry| entry.resource == anna) && text.contains("noTarget") | text.contains("invalidPath"), "{text}");
}

/// What waits to be written waits on, and nobody is thought silent.
#[rstest]
#[tokio::test]
async fn a_log_waits_for_the_database(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    gateway.get("/Users").await.expect(200);
    let row = SignInLogRow {
        id: id(1),
        connection: okta(),
        at: NOW,
        outcome: SignInOutcome::Accepted,
        step: None,
        message: "in".to_owned(),
        why: Why::default(),
        account: None,
        occurrences: 1,
        last_at: NOW,
    };
    gateway.app.sign_in_log.note(tenant(), row.clone());
    let gone = gateway.reopen().await;
    gone.close().await;
    gateway.app.provisioning_log.flush(&gone).await.unwrap_err();
    gateway.app.sign_in_log.flush(&gone).await.unwrap_err();
    gateway.get("/Groups").await.expect(200);
    gateway.app.sign_in_log.note(tenant(), SignInLogRow { id: id(2), ..row });

    jobs::round(&gateway.app).await.unwrap();
    let entries = list_entries(gateway.db(), tenant(), okta(), None, 10).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.resource.as_str()).collect::<BTreeSet<_>>(), BTreeSet::from(["/Users", "/Groups"]));
    let number = async |sql: &'static str| gateway.db().query(sql).optional::<(i64,)>().await.unwrap().unwrap().0;
    assert_eq!(number("select count(*) from sign_in_log").await, 2);
    assert_eq!(number("select count(*) from connection_activity").await, 1);
}

#[rstest]
#[tokio::test]
async fn somebody_is_told_when_a_token_will_expire_or_a_connection_falls_silent(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let gateway = Gateway::begin(engine).await;
    set(&gateway, ScimSettings { enabled: true, requests_per_second: 0, silence_alarm_hours: 2, ..ScimSettings::default() }).await;
    gateway.get("/Users").await.expect(200);
    jobs::round(&gateway.app).await.unwrap();
    let open = async || {
        jobs::warnings::give(&gateway.app).await.unwrap();
        let open = list_open(gateway.db(), tenant(), None, 100).await.unwrap();
        open.into_iter().map(|one| (one.kind, one.detail["days"].as_i64())).collect::<Vec<_>>()
    };
    assert!(open().await.is_empty());
    gateway.app.clock.advance_secs(2 * 3600 - 1);
    assert!(open().await.is_empty());
    gateway.app.clock.advance_secs(1);
    assert_eq!(open().await, [("connection.silent".to_owned(), None)]);
    assert_eq!(open().await.len(), 1, "it is said once");
    assert!(list_quiet(gateway.db(), gateway.app.now(), None).await.unwrap().is_empty());

    gateway.app.clock.advance_secs(10 * 365 * 86_400 - 7 * 86_400 - 2 * 3600);
    gateway.get("/Users").await.expect(200);
    jobs::round(&gateway.app).await.unwrap();
    // Of both connections of the tenant; each was warned of its nearest date alone.
    assert_eq!(open().await[1..], [("credential.expiring".to_owned(), Some(7)), ("credential.expiring".to_owned(), Some(7))]);
    gateway.app.clock.advance_secs(6 * 86_400);
    gateway.get("/Users").await.expect(200);
    jobs::round(&gateway.app).await.unwrap();
    let days: Vec<_> = open().await.into_iter().filter_map(|(_, days)| days).collect();
    assert_eq!(days, [7, 7, 1, 1]);
}

/// Neither the provisioning log nor the audit log is filled by what is refused.
#[rstest]
#[tokio::test]
async fn refusals_of_one_token_are_counted_and_others_stay_in_the_log(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    gateway.post("/Users", json!({ "userName": "anna" })).await.expect(201);
    let audit = gateway.written().await;
    for _ in 0..250 {
        gateway.filter("/Users", "nonsense").await.expect(400);
    }
    for _ in 0..5 {
        gateway.post("/Users", json!({ "userName": "anna" })).await.expect(409);
    }
    jobs::round(&gateway.app).await.unwrap();
    let count = async |sql: &'static str| gateway.db().query(sql).optional::<(i64,)>().await.unwrap().unwrap().0;
    assert_eq!(count("select count(*) from provisioning_log where status = 400").await, 101);
    assert_eq!(count("select cast(sum(occurrences) as bigint) from provisioning_log where status = 400").await, 250);
    assert_eq!(count("select count(*) from provisioning_log where status = 409 and occurrences = 1").await, 5);
    assert_eq!(count("select count(*) from provisioning_log where status = 201").await, 1);
    assert_eq!(gateway.written().await, audit, "refusals write no audit rows");
    // A row that counts is brought up to date.
    for _ in 0..50 {
        gateway.filter("/Users", "nonsense").await.expect(400);
    }
    jobs::round(&gateway.app).await.unwrap();
    assert_eq!(count("select count(*) from provisioning_log where status = 400").await, 101);
    assert_eq!(count("select occurrences from provisioning_log where occurrences > 1").await, 200);
}
