//! Bodies, versions and pages.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use futures_util::stream;
use rolegate::db::provisioning_log::LogEntry;
use rolegate::domain::{actor::Actor, id::kind};
use rstest::rstest;
use serde_json::json;
use tokio::sync::oneshot;

use crate::{
    authz::people::{holder, model, tenant},
    common::{
        engines::Engine,
        installation::{Answer, Browser, Gateway},
    },
};

pub const CERTIFICATES: &str = "/api/v1/connections/acme-okta/certificates";
const SCHEMA: &str = "/api/v1/attribute-schema";

pub async fn house(engine: Engine) -> Gateway {
    let gateway = Gateway::open(engine).await;
    gateway.apply(&tenant("acme", "owner-member")).await;
    gateway
}

pub async fn person<'g>(gateway: &'g Gateway, role: &str) -> Browser<'g> {
    let row = rolegate::db::tenant::find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    holder(gateway, &model(gateway, row.id).await, Some(role)).await
}

pub async fn send(browser: &mut Browser<'_>, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let token = browser.clone().csrf_token().await;
    let mut all = vec![("x-csrf-token", token.as_str())];
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        all.push(("content-type", "application/json"));
    }
    all.extend(headers);
    browser.send(method, path, &all, body.as_bytes().to_vec()).await
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_a_problem_that_says_where() {
    let gateway = house(Engine::Sqlite).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let wrong = send(&mut owner, Method::POST, CERTIFICATES, &[], "{\"certificate\": 7}").await;
    assert_eq!((wrong.status, wrong.code().as_str(), &wrong.json()["field"]), (StatusCode::BAD_REQUEST, "body", &json!("certificate")));
    assert_eq!(wrong.json()["detail"], "Invalid type: integer `7`, expected a string.");
    let missing = send(&mut owner, Method::POST, CERTIFICATES, &[], "{}").await;
    assert_eq!((missing.code().as_str(), &missing.json()["field"]), ("body", &json!("certificate")), "{}", missing.text());
    let array = send(&mut owner, Method::POST, CERTIFICATES, &[], "[\"x\"]").await;
    assert_eq!((array.status, array.code().as_str()), (StatusCode::BAD_REQUEST, "body"), "{}", array.text());
    let half = send(&mut owner, Method::POST, CERTIFICATES, &[], "{\"certificate\":").await;
    assert_eq!((half.status, half.code().as_str(), half.json().get("field")), (StatusCode::BAD_REQUEST, "body", None));
    for nothing in ["", " \n"] {
        let empty = send(&mut owner, Method::POST, CERTIFICATES, &[], nothing).await;
        assert_eq!((empty.status, empty.code().as_str(), empty.json().get("field")), (StatusCode::BAD_REQUEST, "body", None));
        assert_eq!(empty.json()["detail"], "The body is empty: a JSON document is expected.");
    }
    let form = send(&mut owner, Method::POST, CERTIFICATES, &[("content-type", "text/plain")], "x").await;
    assert_eq!((form.status, form.code().as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"));
    let large = send(&mut owner, Method::POST, CERTIFICATES, &[], &" ".repeat((1 << 20) + 1)).await;
    assert_eq!((large.status, large.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
    for query in ["?limit=x", "?limit=0", "?colour=red", "?limit=99999999999999999999"] {
        let answer = owner.get_json(&format!("/api/v1/events{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json", "{query}");
        assert!(["limit", "colour"].contains(&answer.json()["field"].as_str().unwrap()), "{}", answer.text());
    }
    let odd = owner.get_json("/api/v1/connections/%FF/certificates").await;
    assert_eq!((odd.status, odd.code().as_str()), (StatusCode::NOT_FOUND, "not_found"));
}

#[rstest]
#[tokio::test]
async fn rights_are_those_of_the_moment_in_which_the_body_is_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let csrf = owner.csrf_token().await;
    let (begun, has_begun) = oneshot::channel();
    let (end, may_end) = oneshot::channel();
    let body = stream::once(async move {
        begun.send(()).unwrap();
        may_end.await.unwrap();
        Ok::<_, std::convert::Infallible>("{\"name\": \"Okta\"}")
    });
    let (name, value) = owner.cookies.iter().next().unwrap();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/connections/acme-okta/oauth-clients")
        .header("cookie", format!("{name}={value}"))
        .header("content-type", "application/json")
        .header("x-csrf-token", csrf)
        .body(Body::from_stream(body))
        .unwrap();
    let meanwhile = async {
        has_begun.await.unwrap();
        let mut tx = gateway.app.db.begin().await.unwrap();
        tx.query("delete from session").run().await.unwrap();
        tx.commit().await.unwrap();
        end.send(()).unwrap();
    };
    let (answer, ()) = tokio::join!(gateway.send(request), meanwhile);
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
}

#[rstest]
#[tokio::test]
async fn a_change_is_made_to_the_version_that_was_read(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let document = |name: &str| {
        let attribute = json!({ "name": name, "type": "string", "multiValued": false });
        json!({ "id": "urn:acme:User", "name": "Acme", "attributes": [attribute] }).to_string()
    };
    let early = send(&mut owner, Method::PUT, SCHEMA, &[("if-match", "*")], &document("a")).await;
    assert_eq!((early.status, early.code().as_str()), (StatusCode::PRECONDITION_FAILED, "precondition_failed"));
    let first = send(&mut owner, Method::PUT, SCHEMA, &[], &document("a")).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    let tag = |answer: &Answer| answer.headers[header::ETAG].to_str().unwrap().to_owned();
    let read = owner.get_json(SCHEMA).await;
    assert_eq!(tag(&read), tag(&first));
    let second = send(&mut owner, Method::PUT, SCHEMA, &[("if-match", &tag(&first))], &document("b")).await;
    assert_eq!(second.status, StatusCode::OK);
    assert_ne!(tag(&second), tag(&first));
    for (method, body) in [(Method::PUT, document("c")), (Method::DELETE, String::new())] {
        let stale = send(&mut owner, method, SCHEMA, &[("if-match", &tag(&first))], &body).await;
        assert_eq!((stale.status, stale.code().as_str()), (StatusCode::PRECONDITION_FAILED, "precondition_failed"));
    }
    for garbage in ["2", "garbage", "\"1\", x", "*, *"] {
        let refused = send(&mut owner, Method::DELETE, SCHEMA, &[("if-match", garbage)], "").await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "if_match"), "{garbage}");
    }
    let others = send(&mut owner, Method::DELETE, SCHEMA, &[("if-match", "\"98\", \"99\"")], "").await;
    assert_eq!((others.status, others.code().as_str()), (StatusCode::PRECONDITION_FAILED, "precondition_failed"));
    assert_eq!(owner.get_json(SCHEMA).await.json()["attributes"][0]["name"], "b");
    let several = format!("{}, {}", tag(&first), tag(&second));
    let gone = send(&mut owner, Method::DELETE, SCHEMA, &[("if-match", &several)], "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[rstest]
#[tokio::test]
async fn pages_come_one_behind_the_other(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    const LOG: &str = "/api/v1/connections/acme-okta/provisioning-log";
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let row = rolegate::db::connection::find_connection_by_slug(&gateway.app.db, "acme-okta").await.unwrap().unwrap().connection;
    let mut occasion = gateway.app.occasion(Actor::System, "test");
    for number in 0..5 {
        gateway.app.provisioning_log.note(LogEntry {
            id: occasion.ids.make::<kind::Event>(),
            tenant: row.tenant,
            connection: row.id,
            at: occasion.now,
            method: "GET".to_owned(),
            resource: format!("/Users/{number}"),
            status: 200,
            scim_type: None,
            detail: None,
            facts_changed: 0,
            assignments_changed: 0,
            duration_ms: 1,
            correlation: "r".to_owned(),
            client_request_id: None,
            occurrences: 1,
            last_at: occasion.now,
        });
    }
    gateway.settle().await;
    let mut seen: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = owner.get_json(&format!("{LOG}?limit=2&cursor={cursor}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        let page = page.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["resource"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = next.to_owned();
    }
    assert_eq!(seen, ["/Users/4", "/Users/3", "/Users/2", "/Users/1", "/Users/0"]);
    // A cursor of this list opens no other one, a changed one none at all.
    for wrong in [format!("{cursor}A"), "x".to_owned(), "A".repeat(10_000)] {
        let refused = owner.get_json(&format!("{LOG}?cursor={wrong}")).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "invalid_cursor"));
    }
    gateway.app.clock.advance_secs(3599);
    let last = owner.get_json(&format!("{LOG}?cursor={cursor}")).await;
    assert_eq!(last.status, StatusCode::OK, "{}", last.text());
    gateway.app.clock.advance_secs(1);
    let mut again = person(&gateway, "Organization Owner").await;
    assert_eq!(again.get_json(&format!("{LOG}?cursor={cursor}")).await.code(), "expired_cursor");
}
