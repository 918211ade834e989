//! The metadata of an identity provider, imported by owners and read again from a real server on loopback.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use rolegate::{
    admin::metadata::{self, Document},
    db::{
        self,
        idp_metadata::{MetadataRow, ProposalRow, ProposalState, What},
    },
    domain::{actor::Actor, connection::Connection},
    jobs,
    outbound::Outbound,
    saml::issuer::{IssuerKey, Sign},
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::people::{holder, model, tenant};
use crate::common::{
    NOW,
    engines::Engine,
    idp,
    installation::{Browser, Gateway},
};

const PATH: &str = "/api/v1/connections/acme-okta/metadata";

/// Answers every request with the same bytes, until it is told others.
struct Server {
    url: String,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<Mutex<usize>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metadata", listener.local_addr().unwrap());
        let (answer, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (served, counted) = (answer.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let bytes = served.lock().unwrap().clone();
                *counted.lock().unwrap() += 1;
                let mut buffer = [0; 4096];
                let _ = socket.read(&mut buffer).await;
                let _ = socket.write_all(&bytes).await;
                let _ = socket.shutdown().await;
            }
        });
        Self { url, answer, asked }
    }

    fn say(&self, status: &str, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        *self.answer.lock().unwrap() = [head.as_bytes(), body].concat();
    }

    fn document(&self, xml: &str) {
        self.say("200 OK", "", xml.as_bytes());
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

async fn house(engine: Engine) -> Gateway {
    let mut gateway = Gateway::open(engine).await;
    gateway.configure(|app| app.outbound = Outbound::new(&["127.0.0.0/8".parse().unwrap()]));
    gateway.apply(&tenant("acme", "owner-member").replace("jit = ", "idp_initiated = true\njit = ")).await;
    gateway
}

async fn person<'g>(gateway: &'g Gateway, role: &str) -> Browser<'g> {
    let row = rolegate::db::tenant::find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    holder(gateway, &model(gateway, row.id).await, Some(role)).await
}

async fn put(browser: &mut Browser<'_>, body: &Value) -> crate::common::installation::Answer {
    let csrf = browser.csrf_token().await;
    let headers = [("content-type", "application/json"), ("x-csrf-token", csrf.as_str())];
    browser.send(axum::http::Method::PUT, PATH, &headers, body.to_string().into_bytes()).await
}

fn xml(keys: &[&IssuerKey]) -> String {
    idp::metadata_xml(idp::ENTITY_ID, idp::SSO_URL, keys)
}

fn states(shown: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    shown["proposals"].as_array().unwrap().iter().map(|row| (text(&row["what"]), text(&row["state"]))).collect()
}

async fn certificates(gateway: &Gateway) -> i64 {
    gateway.count("select count(*) from idp_certificate where state <> 'retired'").await
}

#[rstest]
#[tokio::test]
async fn an_address_over_plain_http_is_refused_by_import_by_reading_and_as_a_proposal(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let plain = xml(&[&idp::KEY]).replace(idp::SSO_URL, "http://idp.example/new");
    let refused = put(&mut owner, &json!({ "xml": plain })).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "metadata"));
    assert!(refused.text().contains("is plain http"), "{}", refused.text());
    let server = Server::start().await;
    server.document(&xml(&[&idp::KEY]));
    assert_eq!(put(&mut owner, &json!({ "url": server.url })).await.status, StatusCode::OK);
    server.document(&xml(&[&idp::KEY]).replace(idp::SSO_URL, "https://idp.example/new"));
    gateway.app.clock.advance_secs(86_400);
    jobs::metadata::round(&gateway.app).await.unwrap();
    let mut owner = person(&gateway, "Organization Owner").await;
    let shown = owner.get_json(PATH).await.json();
    assert_eq!(states(&shown), [("sso_url".to_owned(), "open".to_owned())]);
    // As a release before proposed it.
    let mut tx = gateway.app.db.begin().await.unwrap();
    assert_eq!(tx.query("update metadata_proposal set value = 'http://idp.example/new'").run().await.unwrap(), 1);
    tx.commit().await.unwrap();
    let path = format!("{PATH}/proposals/{}/accept", shown["proposals"][0]["id"].as_str().unwrap());
    let answer = owner.post_json(&path, &json!({})).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "metadata"), "{}", answer.text());
    server.document(&plain);
    gateway.app.clock.advance_secs(86_400);
    jobs::metadata::round(&gateway.app).await.unwrap();
    let mut owner = person(&gateway, "Organization Owner").await;
    let shown = owner.get_json(PATH).await.json();
    assert!(shown["source"]["last_error"].as_str().unwrap().contains("is plain http"), "{shown}");
    assert_eq!(shown["sso_url"], idp::SSO_URL, "what was trusted stays");
}

#[rstest]
#[tokio::test]
async fn an_owner_imports_what_was_uploaded(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    // Keycloak: a KeyDescriptor without `use` is a signing key.
    let both = xml(&[&idp::KEY, &idp::FOREIGN_KEY]).replace(" use=\"signing\"", "").replace(idp::SSO_URL, "https://idp.example/new");
    let answer = put(&mut owner, &json!({ "xml": both })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let changes = answer.json()["changes"].clone();
    assert_eq!(changes["certificates_added"], json!([idp::FOREIGN_KEY.certificate().fingerprint()]));
    let address = json!({ "what": "sso_url", "before": idp::SSO_URL, "after": "https://idp.example/new" });
    assert_eq!(changes["addresses"], json!([address]));
    assert_eq!(certificates(&gateway).await, 2);
    let shown = owner.get_json(PATH).await.json();
    assert_eq!((&shown["sso_url"], &shown["source"]["url"]), (&json!("https://idp.example/new"), &Value::Null));
    assert_eq!(gateway.count("select count(*) from audit where action = 'metadata.imported' and actor_kind = 'account'").await, 1);

    // Of one certificate the other is missing; it stays.
    let one = put(&mut owner, &json!({ "xml": xml(&[&idp::KEY]) })).await.json();
    assert_eq!(one["changes"]["certificates_missing"], json!([idp::FOREIGN_KEY.certificate().fingerprint()]));
    assert_eq!(certificates(&gateway).await, 2);

    let other = xml(&[&idp::KEY]).replace(idp::ENTITY_ID, "https://other.example/idp");
    let refused = put(&mut owner, &json!({ "xml": other })).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "other_identity_provider"));
    assert_eq!(put(&mut owner, &json!({ "xml": other, "confirm": true })).await.status, StatusCode::OK);
    for (body, code) in [
        (json!({}), "body"),
        (json!({ "xml": "x", "url": "https://idp.example/" }), "body"),
        (json!({ "xml": "<a/>" }), "metadata"),
        (json!({ "xml": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>" }), "metadata"),
        (
            json!({ "xml": xml(&[&idp::KEY]).replacen("entityID", "validUntil=\"2020-01-01T00:00:00Z\" entityID", 1), "confirm": true }),
            "metadata",
        ),
        (json!({ "xml": xml(&[&idp::KEY]), "auto_trust": true, "confirm": true }), "metadata"),
        (json!({ "url": "http://idp.example/metadata" }), "url"),
        (json!({ "url": "https://10.0.0.1/metadata" }), "url"),
        (json!({ "url": "nonsense" }), "url"),
    ] {
        let answer = put(&mut owner, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, code), "{body} {}", answer.text());
    }
    let mut member = person(&gateway, "Organization Context Manager").await;
    assert_eq!(put(&mut member, &json!({})).await.code(), "owner_only");
}

#[rstest]
#[tokio::test]
async fn what_a_reading_brings_is_proposed_and_an_owner_decides(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, server) = (house(engine).await, Server::start().await);
    let mut owner = person(&gateway, "Organization Owner").await;
    server.document(&xml(&[&idp::KEY]));
    let answer = put(&mut owner, &json!({ "url": server.url })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!((server.asked(), certificates(&gateway).await), (1, 1));

    // Not yet due.
    gateway.app.clock.advance_secs(86_399);
    jobs::metadata::round(&gateway.app).await.unwrap();
    assert_eq!(server.asked(), 1);
    server.document(&xml(&[&idp::FOREIGN_KEY]).replace(idp::SSO_URL, "https://idp.example/new"));
    gateway.app.clock.advance_secs(1);
    jobs::metadata::round(&gateway.app).await.unwrap();
    jobs::metadata::round(&gateway.app).await.unwrap();
    assert_eq!((server.asked(), certificates(&gateway).await), (2, 1), "nothing is trusted, and nothing dropped");
    assert_eq!(gateway.count("select count(*) from attention where kind = 'metadata.proposed' and resolved_at_ms is null").await, 1);
    let mut owner = person(&gateway, "Organization Owner").await;
    let shown = owner.get_json(PATH).await.json();
    let open = |what: &str| (what.to_owned(), "open".to_owned());
    assert_eq!(states(&shown), [open("certificate"), open("sso_url")]);
    assert_eq!(shown["sso_url"], idp::SSO_URL);
    assert_eq!(shown["proposals"][0]["fingerprint_sha256"], idp::FOREIGN_KEY.certificate().fingerprint());

    let path = |row: usize, verdict: &str| format!("{PATH}/proposals/{}/{verdict}", shown["proposals"][row]["id"].as_str().unwrap());
    let mut manager = person(&gateway, "Organization Context Manager").await;
    assert_eq!(manager.post_json(&path(0, "accept"), &json!({})).await.code(), "owner_only");
    assert_eq!(owner.post_json(&path(0, "accept"), &json!({})).await.json()["state"], "accepted");
    assert_eq!(owner.post_json(&path(0, "accept"), &json!({})).await.status, StatusCode::NOT_FOUND, "once");
    assert_eq!(certificates(&gateway).await, 2);
    assert_eq!(owner.post_json(&path(1, "decline"), &json!({})).await.json()["state"], "declined");
    assert_eq!(gateway.count("select count(*) from attention where resolved_at_ms is null").await, 0);
    assert_eq!(owner.get_json(PATH).await.json()["sso_url"], idp::SSO_URL);

    // What was declined is not proposed again, whatever else the document says.
    server.document(&format!("{}\n", xml(&[&idp::FOREIGN_KEY]).replace(idp::SSO_URL, "https://idp.example/new")));
    let again = owner.post_json(&format!("{PATH}/refresh"), &json!({})).await;
    assert_eq!(again.json()["changes"]["proposed"], json!([]), "{}", again.text());
    assert_eq!(again.json()["changes"]["certificates_missing"], json!([idp::KEY.certificate().fingerprint()]));
}

#[rstest]
#[tokio::test]
async fn an_address_that_an_owner_trusts_brings_certificates_at_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, server) = (house(engine).await, Server::start().await);
    let mut owner = person(&gateway, "Organization Owner").await;
    server.document(&xml(&[&idp::KEY]));
    assert_eq!(put(&mut owner, &json!({ "url": server.url, "auto_trust": true })).await.status, StatusCode::OK);
    let mut message = idp::message("acme-okta", "ada@acme.example", gateway.app.now());
    let post = async |message: &_| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let response = STANDARD.encode(idp::FOREIGN_KEY.issue(message, Sign::Both).unwrap());
        gateway.browser().post_form("/connections/acme-okta/saml/acs", &[("SAMLResponse", &response)]).await.status
    };
    assert_eq!(post(&message).await, StatusCode::FORBIDDEN);
    server.document(&xml(&[&idp::KEY, &idp::FOREIGN_KEY]));
    gateway.app.clock.advance_secs(86_400);
    jobs::metadata::round(&gateway.app).await.unwrap();
    message = idp::message("acme-okta", "ada@acme.example", gateway.app.now());
    assert_eq!(post(&message).await, StatusCode::SEE_OTHER, "the next sign-in is by the new one");
    assert_eq!(gateway.count("select count(*) from audit where action = 'metadata.refreshed' and actor_kind = 'system'").await, 1);

    // An owner who retires it is not overruled.
    let mut owner = person(&gateway, "Organization Owner").await;
    let rows = owner.get_json("/api/v1/connections/acme-okta/certificates").await.json();
    let id = rows["certificates"][1]["id"].as_str().unwrap().to_owned();
    let retire = format!("/api/v1/connections/acme-okta/certificates/{id}/retire");
    assert_eq!(owner.post_json(&retire, &json!({ "confirm": true })).await.status, StatusCode::OK);
    server.document(&format!("{}\n", xml(&[&idp::KEY, &idp::FOREIGN_KEY])));
    assert_eq!(owner.post_json(&format!("{PATH}/refresh"), &json!({})).await.status, StatusCode::OK);
    assert_eq!(certificates(&gateway).await, 1);
}

#[rstest]
#[tokio::test]
async fn a_reading_that_fails_changes_nothing_and_is_tried_again_later(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, server) = (house(engine).await, Server::start().await);
    let mut owner = person(&gateway, "Organization Owner").await;
    server.document(&xml(&[&idp::KEY]));
    put(&mut owner, &json!({ "url": server.url, "auto_trust": true })).await;
    let other = xml(&[&idp::FOREIGN_KEY]).replace(idp::ENTITY_ID, "https://other.example/idp");
    let long = vec![b' '; 3 << 20];
    let answers: [(&str, String, &[u8], &str); 6] = [
        ("500 Oops", String::new(), b"", "answered 500"),
        ("200 OK", String::new(), &long, "longer than"),
        ("200 OK", String::new(), b"<a>", "cannot be read"),
        ("200 OK", String::new(), other.as_bytes(), "other.example"),
        ("302 Found", "location: http://169.254.169.254/latest/meta-data\r\n".to_owned(), b"", "outbound_networks"),
        ("302 Found", format!("location: {}\r\n", server.url), b"", "redirects without end"),
    ];
    gateway.app.clock.advance_secs(86_400);
    for (n, (status, headers, body, why)) in answers.iter().enumerate() {
        server.say(status, headers, body);
        jobs::metadata::round(&gateway.app).await.unwrap();
        let mut owner = person(&gateway, "Organization Owner").await;
        let shown = owner.get_json(PATH).await.json();
        assert_eq!(shown["source"]["failures"], n + 1, "{why} {shown}");
        assert!(shown["source"]["last_error"].as_str().unwrap().contains(why), "{shown}");
        assert_eq!(certificates(&gateway).await, 1);
        // Ten minutes, twenty, forty …
        let asked = server.asked();
        gateway.app.clock.advance_secs((600 << n) - 1);
        jobs::metadata::round(&gateway.app).await.unwrap();
        assert_eq!(server.asked(), asked);
        gateway.app.clock.advance_secs(1);
    }
    let failing = "select count(*) from attention where kind = 'metadata.failing' and resolved_at_ms is null";
    assert_eq!(gateway.count(failing).await, 1);
    server.document(&xml(&[&idp::KEY]));
    jobs::metadata::round(&gateway.app).await.unwrap();
    assert_eq!(gateway.count(failing).await, 0);
    assert_eq!(gateway.count("select failures from idp_metadata").await, 0);
}

#[tokio::test]
async fn of_several_nodes_one_reads() {
    let (gateway, server) = (house(Engine::Sqlite).await, Server::start().await);
    let mut owner = person(&gateway, "Organization Owner").await;
    server.document(&xml(&[&idp::KEY]));
    put(&mut owner, &json!({ "url": server.url })).await;
    gateway.app.clock.advance_secs(86_400);
    let (a, b) = tokio::join!(jobs::metadata::round(&gateway.app), jobs::metadata::round(&gateway.app));
    a.unwrap();
    b.unwrap();
    assert_eq!(server.asked(), 2);
}

fn certificate(key: &IssuerKey) -> String {
    key.certificate().fingerprint().to_owned()
}

async fn connection(gateway: &Gateway) -> Connection {
    db::connection::find_connection_by_slug(&gateway.app.db, "acme-okta").await.unwrap().unwrap().connection
}

#[rstest]
#[tokio::test]
async fn a_connection_trusts_sixteen_certificates_and_no_more(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, server) = (house(engine).await, Server::start().await);
    let mut owner = person(&gateway, "Organization Owner").await;
    let made: Vec<_> = (0..17).map(|_| IssuerKey::ec("idp", NOW).unwrap()).collect();
    let with = |number: usize| {
        let keys: Vec<_> = std::iter::once(&*idp::KEY).chain(&made[..number]).collect();
        json!({ "xml": xml(&keys) })
    };
    let refused = put(&mut owner, &with(16)).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "too_many_certificates"), "{}", refused.text());
    assert_eq!(certificates(&gateway).await, 1, "all or nothing");
    assert_eq!(put(&mut owner, &with(15)).await.status, StatusCode::OK);
    assert_eq!(certificates(&gateway).await, 16);
    let add = json!({ "certificate": made[15].certificate().to_pem() });
    let one_more = owner.post_json("/api/v1/connections/acme-okta/certificates", &add).await;
    assert_eq!((one_more.status, one_more.code().as_str()), (StatusCode::CONFLICT, "too_many_certificates"));
    assert!(one_more.text().contains("retire"), "{}", one_more.text());

    // Nor does an address that is trusted bring more.
    server.document(&xml(&[&idp::KEY]));
    put(&mut owner, &json!({ "url": server.url, "auto_trust": true })).await;
    server.document(&xml(&[&idp::KEY, &made[16]]));
    let read = owner.post_json(&format!("{PATH}/refresh"), &json!({})).await;
    assert_eq!((read.status, read.code().as_str()), (StatusCode::CONFLICT, "unreadable"), "{}", read.text());
    assert_eq!(certificates(&gateway).await, 16);
    // One less, one more.
    let rows = owner.get_json("/api/v1/connections/acme-okta/certificates").await.json();
    let retire = format!("/api/v1/connections/acme-okta/certificates/{}/retire", rows["certificates"][3]["id"].as_str().unwrap());
    assert_eq!(owner.post_json(&retire, &json!({})).await.status, StatusCode::OK);
    let read = owner.post_json(&format!("{PATH}/refresh"), &json!({})).await.json();
    assert_eq!(read["changes"]["certificates_added"], json!([certificate(&made[16])]));
}

#[rstest]
#[tokio::test]
async fn an_import_trusts_nothing_that_was_retired_or_has_expired(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let expired = IssuerKey::ec("idp", NOW.plus_secs(-366 * 86_400)).unwrap();
    let all = json!({ "xml": xml(&[&idp::KEY, &idp::FOREIGN_KEY, &expired]) });
    let first = put(&mut owner, &all).await.json();
    assert_eq!(first["changes"]["certificates_added"], json!([certificate(&idp::FOREIGN_KEY)]));
    assert_eq!(first["changes"]["certificates_expired"], json!([certificate(&expired)]));
    let rows = owner.get_json("/api/v1/connections/acme-okta/certificates").await.json();
    let rows = rows["certificates"].as_array().unwrap();
    let foreign = rows.iter().find(|row| row["fingerprint_sha256"] == certificate(&idp::FOREIGN_KEY)).unwrap();
    let retire = format!("/api/v1/connections/acme-okta/certificates/{}/retire", foreign["id"].as_str().unwrap());
    assert_eq!(owner.post_json(&retire, &json!({})).await.status, StatusCode::OK);

    let again = put(&mut owner, &all).await.json();
    assert_eq!(again["changes"]["certificates_retired"], json!([certificate(&idp::FOREIGN_KEY)]));
    assert_eq!((&again["changes"]["certificates_added"], certificates(&gateway).await), (&json!([]), 1));
    // Who means it says so.
    let add = json!({ "certificate": idp::FOREIGN_KEY.certificate().to_pem() });
    assert_eq!(owner.post_json("/api/v1/connections/acme-okta/certificates", &add).await.status, StatusCode::CREATED);
    assert_eq!(certificates(&gateway).await, 2);
}

/// The reading had begun when the owner took the trust away, and is written down after that.
#[tokio::test]
async fn a_reading_does_not_bring_back_the_trust_that_an_owner_took_from_an_address() {
    let (gateway, server) = (house(Engine::Postgres).await, Server::start().await);
    let mut owner = person(&gateway, "Organization Owner").await;
    server.document(&xml(&[&idp::KEY]));
    let connection = connection(&gateway).await;
    let document = Document::parse(xml(&[&idp::KEY]).as_bytes()).unwrap();
    let db = &gateway.app.db;
    for fails in [false, true] {
        assert_eq!(put(&mut owner, &json!({ "url": server.url, "auto_trust": true })).await.status, StatusCode::OK);
        let before = db::idp_metadata::find_metadata(db, connection.tenant, connection.id).await.unwrap().unwrap();
        assert!(before.auto_trust);
        let mut withdrawal = db.begin().await.unwrap();
        let row = MetadataRow { auto_trust: false, ..before.clone() };
        db::idp_metadata::put_metadata(&mut withdrawal, &row).await.unwrap();
        let withdraw = async {
            let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
            while gateway.count(waiting).await == 0 {
                tokio::task::yield_now().await;
            }
            withdrawal.commit().await.unwrap();
        };
        let mut occasion = gateway.app.occasion(Actor::System, "metadata");
        let read = async {
            if fails {
                metadata::note_failure(db, &mut occasion, &before, "it was not there").await.unwrap();
            } else {
                metadata::refresh(db, &mut occasion, &before, &document).await.unwrap();
            }
        };
        tokio::join!(read, withdraw);
        let after = db::idp_metadata::find_metadata(db, connection.tenant, connection.id).await.unwrap().unwrap();
        assert_eq!((after.auto_trust, after.failures), (false, i64::from(fails)));
    }
}

#[rstest]
#[tokio::test]
async fn that_requests_are_to_be_signed_is_proposed_whatever_else_is_trusted(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(false, true)] auto_trust: bool,
) {
    let (gateway, server) = (house(engine).await, Server::start().await);
    let mut owner = person(&gateway, "Organization Owner").await;
    server.document(&xml(&[&idp::KEY]));
    put(&mut owner, &json!({ "url": server.url, "auto_trust": auto_trust })).await;
    server.document(&xml(&[&idp::KEY]).replace("<md:IDPSSODescriptor", "<md:IDPSSODescriptor WantAuthnRequestsSigned=\"true\""));
    let read = owner.post_json(&format!("{PATH}/refresh"), &json!({})).await.json();
    assert_eq!(read["changes"]["proposed"], json!(["true"]), "{read}");
    assert!(!connection(&gateway).await.saml.idp_wants_signed_requests);
    let shown = owner.get_json(PATH).await.json();
    let proposal = &shown["proposals"][0];
    let said = (&proposal["what"], &proposal["signed_requests"], &proposal["address"]);
    assert_eq!(said, (&json!("signed_requests"), &json!(true), &Value::Null));
    let accept = format!("{PATH}/proposals/{}/accept", proposal["id"].as_str().unwrap());
    assert_eq!(owner.post_json(&accept, &json!({})).await.status, StatusCode::OK);
    assert!(connection(&gateway).await.saml.idp_wants_signed_requests);
    assert_eq!(gateway.count("select count(*) from attention where resolved_at_ms is null").await, 0);
}

/// Of years of proposals, thousands are settled.
#[rstest]
#[tokio::test]
async fn what_was_declined_long_ago_is_not_proposed_again_and_what_is_open_is_shown(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let (gateway, server) = (house(engine).await, Server::start().await);
    let mut owner = person(&gateway, "Organization Owner").await;
    server.document(&xml(&[&idp::KEY]));
    put(&mut owner, &json!({ "url": server.url })).await;
    let connection = connection(&gateway).await;
    let mut ids = crate::common::ids(5);
    let row = |id, what, key: &str, state| ProposalRow {
        id,
        what,
        key: key.to_owned(),
        value: key.to_owned(),
        state,
        proposed_at: NOW,
        decided_by: None,
        decided_at: None,
    };
    let mut rows = vec![row(ids.make(), What::SsoUrl, "https://idp.example/open", ProposalState::Withdrawn)];
    rows.extend((0..1200).map(|n| row(ids.make(), What::SsoUrl, &format!("https://idp.example/{n}"), ProposalState::Declined)));
    rows.push(row(ids.make(), What::SsoUrl, "https://idp.example/declined", ProposalState::Declined));
    let mut tx = gateway.app.db.begin().await.unwrap();
    db::idp_metadata::propose(&mut tx, connection.tenant, connection.id, &rows).await.unwrap();
    tx.commit().await.unwrap();

    server.document(&xml(&[&idp::KEY]).replace(idp::SSO_URL, "https://idp.example/declined"));
    let read = owner.post_json(&format!("{PATH}/refresh"), &json!({})).await.json();
    assert_eq!(read["changes"]["proposed"], json!([]), "{read}");
    // The oldest of all, which the document names again.
    server.document(&xml(&[&idp::KEY]).replace(idp::SSO_URL, "https://idp.example/open"));
    let read = owner.post_json(&format!("{PATH}/refresh"), &json!({})).await.json();
    assert_eq!(read["changes"]["proposed"], json!(["https://idp.example/open"]));
    let shown = owner.get_json(PATH).await.json();
    let first = &shown["proposals"][0];
    assert_eq!((&first["state"], &first["address"]), (&json!("open"), &json!("https://idp.example/open")));
    let accept = format!("{PATH}/proposals/{}/accept", first["id"].as_str().unwrap());
    assert_eq!(owner.post_json(&accept, &json!({})).await.status, StatusCode::OK);
    assert_eq!(owner.get_json(PATH).await.json()["sso_url"], "https://idp.example/open");
}

#[rstest]
#[tokio::test]
async fn one_reading_that_breaks_keeps_no_other_from_being_done(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, server) = (house(engine).await, Server::start().await);
    gateway.apply(&tenant("other", "owner-member")).await;
    server.document(&xml(&[&idp::KEY]));
    let mut ids = crate::common::ids(5);
    let mut tx = gateway.app.db.begin().await.unwrap();
    for (slug, due_secs) in [("acme-okta", 1), ("other-okta", 2)] {
        let row = db::connection::find_connection_by_slug(&mut tx, slug).await.unwrap().unwrap().connection;
        let due = MetadataRow {
            tenant: row.tenant,
            connection: row.id,
            url: Some(server.url.clone()),
            auto_trust: false,
            digest: None,
            valid_until: None,
            set_by: Some(ids.make()),
            set_at: NOW,
            read_at: None,
            failures: 0,
            last_error: None,
            due_at: Some(NOW.plus_secs(due_secs)),
        };
        db::idp_metadata::put_metadata(&mut tx, &due).await.unwrap();
    }
    // What is read first cannot even be read from the database.
    tx.query("update connection set attributes = 'nonsense' where slug = 'acme-okta'").run().await.unwrap();
    tx.commit().await.unwrap();
    gateway.app.clock.advance_secs(10);
    jobs::metadata::round(&gateway.app).await.unwrap();
    assert_eq!(server.asked(), 2);
    assert_eq!(gateway.count("select count(*) from idp_metadata where read_at_ms is not null").await, 1);
}
