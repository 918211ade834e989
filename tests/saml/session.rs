use axum::http::{Method, StatusCode};
use rolegate::{
    db,
    domain::{connection::Connection, time::Timestamp},
    saml::issuer::Sign,
};
use rstest::rstest;

use super::house::{SLUG, ada, assert_refused, gateway, last_in_log, me, sign_in, tenant};
use crate::{
    authz::people::scim_token,
    common::{
        engines::Engine,
        idp,
        installation::{Gateway, PUBLIC_URL},
    },
};

#[rstest]
#[tokio::test]
async fn a_session_ends_by_its_time_or_the_identity_providers(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "", "").await;
    let mut browser = gateway.browser();
    sign_in(&mut browser, ada(&gateway, &[])).await;
    // Used now and then: an idle one ends earlier.
    for _ in 0..7 {
        gateway.app.clock.advance_secs(3600);
        assert_eq!(browser.get_json("/me").await.status, StatusCode::OK);
    }
    gateway.app.clock.advance_secs(3599);
    assert_eq!(browser.get_json("/me").await.status, StatusCode::OK);
    gateway.app.clock.advance_secs(1);
    assert_eq!(browser.get_json("/me").await.status, StatusCode::UNAUTHORIZED);

    let mut short = ada(&gateway, &[]);
    short.session_not_on_or_after = Some(Timestamp::from_millis(gateway.app.now().millis() + 60_000));
    assert_eq!(sign_in(&mut browser, short).await.status, StatusCode::SEE_OTHER);
    gateway.app.clock.advance_secs(58);
    assert_eq!(browser.get_json("/me").await.status, StatusCode::OK);
    gateway.app.clock.advance_secs(1);
    assert_eq!(browser.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
}

#[rstest]
#[tokio::test]
async fn a_connection_that_is_switched_off_takes_its_sessions_along(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(("slug = \"acme-okta\"", "slug = \"acme-okta\"\nenabled = false"), ("enabled = true", "enabled = false"))] (from, to): (
        &str,
        &str,
    ),
) {
    let saml = "enabled = true\nidp_metadata = \"idp.xml\"\nidp_initiated = true";
    let more = format!("[[connections]]\nslug = \"acme-other\"\naudience = \"self_service\"\n[connections.saml]\n{saml}\n");
    let gateway = gateway(engine, "", &more).await;
    let (mut here, mut there) = (gateway.browser(), gateway.browser());
    sign_in(&mut here, ada(&gateway, &[])).await;
    let mut message = idp::message("acme-other", "ben@acme.example", gateway.app.now());
    message.attributes.clear();
    let response = idp::signed(&message, Sign::Both);
    let answer = there.post_form("/connections/acme-other/saml/acs", &[("SAMLResponse", &response)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    // The first of them is this connection's.
    gateway.apply(&tenant("", &more).replacen(from, to, 1)).await;
    assert_eq!(here.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(there.get_json("/me").await.status, StatusCode::OK);
    let told = "select count(*) from audit where action = 'connection.changed' and detail like '%\"sessions_ended\":1%'";
    assert_eq!(gateway.count(told).await, 1);
    gateway.apply(&tenant("", &more)).await;
    assert_eq!(here.get_json("/me").await.status, StatusCode::UNAUTHORIZED, "it does not come back");
}

/// The two switches that close a connection for people.
const CLOSINGS: [fn(&mut Connection); 2] = [|connection| connection.enabled = false, |connection| connection.saml.enabled = false];

async fn connection(gateway: &Gateway) -> Connection {
    db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap().connection
}

#[rstest]
#[tokio::test]
async fn a_session_that_missed_the_end_of_its_connection_counts_for_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(0, 1)] closing: usize,
) {
    let gateway = gateway(engine, "", "").await;
    let (mut browser, mut next) = (gateway.browser(), gateway.browser());
    sign_in(&mut browser, ada(&gateway, &[])).await;
    assert_eq!(browser.get_json("/me").await.status, StatusCode::OK);
    let open = connection(&gateway).await;
    let mut closed = open.clone();
    CLOSINGS[closing](&mut closed);
    // As if the sign-in had been committed just after: nobody ends its session.
    let mut tx = gateway.app.db.begin().await.unwrap();
    let version = db::connection::update_connection(&mut tx, &closed, gateway.app.now()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_eq!(browser.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    // Nor does it come back when the connection opens again; a new one is another matter, whatever else changes meanwhile.
    let mut tx = gateway.app.db.begin().await.unwrap();
    let version = db::connection::update_connection(&mut tx, &Connection { version, ..open }, gateway.app.now()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    assert_eq!(browser.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    sign_in(&mut next, ada(&gateway, &[])).await;
    let mut changed = connection(&gateway).await;
    assert_eq!(changed.version, version);
    changed.saml.idp_initiated = true;
    let mut tx = gateway.app.db.begin().await.unwrap();
    assert!(db::connection::update_connection(&mut tx, &changed, gateway.app.now()).await.unwrap().is_some());
    tx.commit().await.unwrap();
    assert_eq!(next.get_json("/me").await.status, StatusCode::OK);
    let listed = next.get_json("/api/v1/sessions").await.json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1, "what counts for nothing is not shown: {listed}");
}

/// As a node of the version before writes it: it does not know the column.
async fn forget_the_version(gateway: &Gateway) {
    let mut tx = gateway.app.db.begin().await.unwrap();
    assert_eq!(tx.query("update session set connection_version = 0").run().await.unwrap(), 1);
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_session_that_an_older_node_began_counts_unless_its_connection_closed_since(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(0, 1)] closing: usize,
) {
    let gateway = gateway(engine, "", "").await;
    let mut browser = gateway.browser();
    let switch = async |connection: &Connection| {
        let mut tx = gateway.app.db.begin().await.unwrap();
        let written = db::connection::update_connection(&mut tx, connection, gateway.app.now()).await.unwrap();
        tx.commit().await.unwrap();
        written.unwrap()
    };
    let open = connection(&gateway).await;
    let mut closed = open.clone();
    CLOSINGS[closing](&mut closed);
    let version = switch(&closed).await;
    switch(&Connection { version, ..open }).await;
    gateway.app.clock.advance_secs(61);
    sign_in(&mut browser, ada(&gateway, &[])).await;
    forget_the_version(&gateway).await;
    assert_eq!(browser.get_json("/me").await.status, StatusCode::OK, "it began after the connection had closed");
    assert_eq!(browser.get_json("/api/v1/sessions").await.json()["sessions"].as_array().unwrap().len(), 1);

    // The end of its sessions missed this one: it was not committed yet.
    let open = connection(&gateway).await;
    let mut closed = open.clone();
    CLOSINGS[closing](&mut closed);
    let version = switch(&closed).await;
    assert_eq!(browser.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    switch(&Connection { version, ..open }).await;
    assert_eq!(browser.get_json("/me").await.status, StatusCode::UNAUTHORIZED, "nor when it opens again");
}

/// The sign-in has seen the connection open, and waits for a row when the connection closes.
#[tokio::test]
async fn a_sign_in_under_way_while_its_connection_closes_leaves_no_session_that_counts() {
    let gateway = gateway(Engine::Postgres, "", "").await;
    sign_in(&mut gateway.browser(), ada(&gateway, &[])).await;
    let mut late = gateway.browser();
    let mut held = gateway.app.db.begin().await.unwrap();
    held.lock("select subject from identity").all::<(String,)>().await.unwrap();
    let close = async {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while gateway.count(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        gateway.apply(&tenant("", "").replacen("enabled = true", "enabled = false", 1)).await;
        assert_eq!(gateway.count("select count(*) from session").await, 0);
        held.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(sign_in(&mut late, ada(&gateway, &[])), close);
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "it was judged by what held: {}", answer.text());
    assert_eq!(gateway.count("select count(*) from session").await, 1, "nobody was there to end it");
    assert_eq!(late.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    gateway.apply(&tenant("", "")).await;
    assert_eq!(late.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in(&mut late, ada(&gateway, &[])).await.status, StatusCode::SEE_OTHER);
    assert_eq!(late.get_json("/me").await.status, StatusCode::OK, "the control");
}

#[tokio::test]
async fn a_session_that_would_be_over_already_is_not_begun() {
    let gateway = gateway(Engine::Sqlite, "", "").await;
    let mut browser = gateway.browser();
    let mut ended = ada(&gateway, &[]);
    // A second later, when it arrives, it is over.
    ended.session_not_on_or_after = Some(gateway.app.now().plus_secs(1));
    assert_refused(&sign_in(&mut browser, ended).await);
    assert_eq!(last_in_log(&gateway).await.why.code.as_deref(), Some("session_expired"));
    assert_eq!(gateway.count("select count(*) from session").await, 0);
}

#[rstest]
#[tokio::test]
async fn signing_out_ends_this_session_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "", "").await;
    let (mut desk, mut phone) = (gateway.browser(), gateway.browser());
    sign_in(&mut desk, ada(&gateway, &[])).await;
    sign_in(&mut phone, ada(&gateway, &[])).await;
    let stolen = desk.clone();
    let token = desk.csrf_token().await;
    let answer = desk.post_form("/logout", &[("csrf_token", &token)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert!(desk.cookies.is_empty());
    assert_eq!(stolen.clone().get_json("/me").await.status, StatusCode::UNAUTHORIZED, "the cookie's value is worth nothing any more");
    assert_eq!(phone.get_json("/me").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_change_needs_this_sessions_token_and_no_foreign_page() {
    let gateway = gateway(Engine::Sqlite, "", "").await;
    let (mut ada_, mut other) = (gateway.browser(), gateway.browser());
    sign_in(&mut ada_, ada(&gateway, &[])).await;
    sign_in(&mut other, ada(&gateway, &[])).await;
    let (token, others) = (ada_.csrf_token().await, other.csrf_token().await);
    assert_ne!(token, others);
    let origin = ("origin", PUBLIC_URL);
    let refused: [(&str, &[(&str, &str)]); 5] = [
        ("csrf_token_missing", &[]),
        ("csrf_token_missing", &[origin]),
        ("csrf_token_wrong", &[("x-csrf-token", &others)]),
        ("foreign_origin", &[("x-csrf-token", &token), ("origin", "https://evil.example")]),
        ("foreign_origin", &[("x-csrf-token", &token), ("origin", "null")]),
    ];
    for (code, headers) in refused {
        let answer = ada_.send(Method::POST, "/logout", headers, Vec::new()).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, code));
    }
    assert_eq!(ada_.get_json("/me").await.status, StatusCode::OK);
    let answer = ada_.send(Method::POST, "/logout", &[("x-csrf-token", &token), origin, ("accept", "application/json")], Vec::new()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_page_says_why_each_role_is_there() {
    let gateway = gateway(Engine::Sqlite, "", "").await;
    let mut browser = gateway.browser();
    let mut message = ada(&gateway, &["platform-admins"]);
    message.attributes[1].1 = vec!["<b>Ada</b>".to_owned()];
    sign_in(&mut browser, message).await;
    let answer = browser.get("/me").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert_eq!(answer.headers["cache-control"], "no-store");
    let page = answer.text();
    assert!(page.contains("Organization Context Manager") && page.contains("by the default mapping of acme-okta"), "{page}");
    assert!(page.contains("platform team") && !page.contains("<b>Ada"), "{page}");
    let account = me(&mut browser).await["account"]["id"].as_str().unwrap().to_owned();
    assert_eq!(account.len(), 36);
}

#[tokio::test]
async fn nobody_is_told_anything() {
    let gateway = gateway(Engine::Sqlite, "", "").await;
    let mut browser = gateway.browser();
    let answer = browser.get_json("/me").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::UNAUTHORIZED, "unauthenticated"));
    let page = browser.get("/me").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(page.text().contains("You are not signed in"), "{}", page.text());
    for value in ["", "x", "__", &"a".repeat(5000)] {
        browser.cookies.insert("__Host-rolegate_session".to_owned(), value.to_owned());
        assert_eq!(browser.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    }
}

#[rstest]
#[tokio::test]
async fn a_person_whom_the_identity_provider_deactivates_is_out_in_the_same_transaction(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let gateway = gateway(engine, "jit = \"create\"", "[connections.scim]\nenabled = true\n").await;
    let mut browser = gateway.browser();
    sign_in(&mut browser, ada(&gateway, &[])).await;
    let token = scim_token(&gateway, SLUG).await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/scim+json")];
    let user = br#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada@acme.example","active":true}"#;
    let made = gateway.browser().send(Method::POST, "/connections/acme-okta/scim/v2/Users", &headers, user.to_vec()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!(browser.get_json("/me").await.status, StatusCode::OK);
    let path = format!("/connections/acme-okta/scim/v2/Users/{}", made.json()["id"].as_str().unwrap());
    let off =
        br#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}"#;
    let answer = gateway.browser().send(Method::PATCH, &path, &headers, off.to_vec()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(gateway.count("select count(*) from session").await, 0);
    assert_eq!(browser.get_json("/me").await.status, StatusCode::UNAUTHORIZED);
    let beside = "select count(*) from audit a join audit b on a.correlation = b.correlation
        where a.action = 'account.blocked' and b.action = 'sessions.ended' and a.correlation = $1";
    let request_id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    let row: Option<(i64,)> = gateway.app.db.query(beside).bind(request_id).optional().await.unwrap();
    assert_eq!(row, Some((1,)));
}
