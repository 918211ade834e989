//! Sign-ins that show what they would do and do nothing, and the way in by the domain of an e-mail address.

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::{
    db::{self, domain::DomainRow},
    domain::{
        actor::Actor,
        identity::{Identity, Protocol},
    },
    provision::{self, sign_in::Claim},
    saml::issuer::{Message, Sign},
};
use rstest::rstest;
use serde_json::{Value, json};

use super::house::{ACS, SLUG, ada, assert_refused, gateway, last_in_log, me, roles, sign_in, tenant, traces};
use crate::common::{
    engines::Engine,
    idp,
    installation::{Browser, Gateway, PUBLIC_URL},
};

const PATH: &str = "/api/v1/connections/acme-okta/test-sign-ins";
const OWNER: &str = "[[owners]]\nemail = \"second@acme.example\"\nname = \"S\"\n";

/// A connection that is not switched on, and an owner.
async fn house(engine: Engine) -> (Gateway, Vec<(String, String)>) {
    let gateway = gateway(engine, "", "").await;
    let text = tenant("", OWNER).replace("slug = \"acme-okta\"", "slug = \"acme-okta\"\nenabled = false");
    let applied = gateway.apply(&text).await;
    let owner = gateway.browser_by_link(&applied, "second@acme.example").await;
    let cookies = owner.cookies.clone().into_iter().collect();
    (gateway, cookies)
}

fn browser<'g>(gateway: &'g Gateway, cookies: &[(String, String)]) -> Browser<'g> {
    Browser { gateway, cookies: cookies.iter().cloned().collect() }
}

/// Starts a test and comes back with the message; what is shown of it.
async fn run(owner: &mut Browser<'_>, mut message: Message, key: &rolegate::saml::issuer::IssuerKey) -> Value {
    let started = owner.post_json(PATH, &json!({})).await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.text());
    let url = started.json()["url"].as_str().unwrap().strip_prefix(PUBLIC_URL).unwrap().to_owned();
    let begun = owner.get(&url).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text());
    assert_eq!(owner.gateway.browser().get(&url).await.status, StatusCode::NOT_FOUND, "an address works once");
    message.in_response_to = Some(idp::request_id(begun.location()));
    let response = STANDARD.encode(key.issue(&message, Sign::Assertion).unwrap());
    let back = owner.post_form(ACS, &[("SAMLResponse", &response)]).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.text());
    let id = started.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(back.location(), format!("/connections/acme-okta/test-sign-ins/{id}"));
    let page = owner.get(back.location()).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let shown = owner.get_json(&format!("{PATH}/{id}")).await.json();
    let word = if shown["state"] == "accepted" { "would be accepted" } else { "would be refused" };
    assert!(page.text().contains(word), "{}", page.text());
    shown
}

#[rstest]
#[tokio::test]
async fn a_test_shows_what_would_be_done_and_does_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, cookies) = house(engine).await;
    let mut owner = browser(&gateway, &cookies);
    let before = traces(&gateway).await;
    let shown = run(&mut owner, ada(&gateway, &["platform-admins"]), &idp::KEY).await;
    assert_eq!(shown["state"], "accepted", "{shown}");
    let result = &shown["result"];
    assert_eq!(result["assertion"]["name_id"]["value"], "ada@acme.example");
    assert_eq!(result["identity"]["groups"], json!([{ "value": "platform-admins" }]));
    let would = &result["would"];
    assert_eq!((&would["sign_in"], &would["creates_account"]), (&json!("admitted"), &json!(true)));
    let mut preview: Vec<_> =
        would["assignments"].as_array().unwrap().iter().map(|held| held["role"].as_str().unwrap().to_owned()).collect();
    preview.sort();
    assert_eq!(traces(&gateway).await, before, "no account, no session");
    assert_eq!(gateway.count("select count(*) from audit where action = 'account.created' and detail like '%sign_in%'").await, 0);

    // What is then done is what was shown.
    gateway.apply(&tenant("", OWNER)).await;
    let mut real = gateway.browser();
    assert_eq!(sign_in(&mut real, ada(&gateway, &["platform-admins"])).await.status, StatusCode::SEE_OTHER);
    let held: Vec<_> = roles(&me(&mut real).await).into_iter().map(|(role, _)| role).collect();
    assert_eq!(held, preview);
    // And of somebody who is known.
    let known = run(&mut owner, ada(&gateway, &[]), &idp::KEY).await;
    assert_eq!(known["result"]["would"]["creates_account"], false);
    assert_eq!(known["result"]["would"]["assignments"].as_array().unwrap().len(), 1);
    assert_eq!(roles(&me(&mut real).await).len(), 2, "the group was not taken from her");
}

/// The same person is made an account at the same time, so that the preview has to be made again: the response is not a replay for that.
#[tokio::test]
async fn a_test_that_meets_another_sign_in_is_tried_again() {
    let (gateway, cookies) = house(Engine::Postgres).await;
    let connection = db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap().connection;
    let mut occasion = gateway.app.occasion(Actor::Saml { connection: connection.id }, "other");
    let mut other = gateway.app.db.begin().await.unwrap();
    let published = gateway.app.published.read(&mut other, connection.tenant, connection.id).await.unwrap().unwrap();
    let identity = Identity {
        source: Protocol::Saml,
        attributes: [("userName".to_owned(), json!("ada@acme.example"))].into_iter().collect(),
        groups: None,
        active: true,
        authn_context: None,
    };
    let claim = Claim { subject: "ada@acme.example".to_owned(), correlation: None, identity };
    let sought = provision::sign_in::seek(&mut other, &published.connection, &claim).await.unwrap();
    provision::sign_in::sign_in(&mut other, &published, &mut occasion, claim, sought).await.unwrap();
    let wait = async {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while gateway.count(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        other.commit().await.unwrap();
    };
    let mut owner = browser(&gateway, &cookies);
    let (shown, ()) = tokio::join!(run(&mut owner, ada(&gateway, &[]), &idp::KEY), wait);
    assert_eq!((&shown["state"], &shown["result"]["would"]["creates_account"]), (&json!("accepted"), &json!(false)), "{shown}");
}

#[rstest]
#[tokio::test]
async fn a_refused_test_says_why(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, cookies) = house(engine).await;
    let mut owner = browser(&gateway, &cookies);
    let before = traces(&gateway).await;
    let mut wrong = ada(&gateway, &[]);
    wrong.audiences = vec!["https://other.example".to_owned()];
    let shown = run(&mut owner, wrong, &idp::KEY).await;
    assert_eq!(shown["state"], "refused");
    let refused = &shown["result"]["refused"];
    assert_eq!((&refused["step"], &refused["why"]["got"]), (&json!("conditions"), &json!("https://other.example")));
    assert!(refused["message"].as_str().unwrap().contains("expected"), "{refused}");
    let shown = run(&mut owner, ada(&gateway, &[]), &idp::FOREIGN_KEY).await;
    assert_eq!(shown["result"]["refused"]["step"], "signature");
    assert!(shown["result"]["refused"]["why"]["cure"].is_string());
    assert_eq!(traces(&gateway).await, before);
}

#[rstest]
#[tokio::test]
async fn a_test_is_the_owners_and_of_one_browser(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, cookies) = house(engine).await;
    let mut owner = browser(&gateway, &cookies);
    let started = owner.post_json(PATH, &json!({})).await.json();
    let url = started["url"].as_str().unwrap().strip_prefix(PUBLIC_URL).unwrap().to_owned();
    let begun = owner.get(&url).await;
    let mut message = ada(&gateway, &[]);
    message.in_response_to = Some(idp::request_id(begun.location()));
    // Another browser gets what everybody gets: the connection is not there.
    let stolen = gateway.browser().post_form(ACS, &[("SAMLResponse", &idp::signed(&message, Sign::Assertion))]).await;
    assert_eq!(stolen.status, StatusCode::NOT_FOUND);
    // Nor is a test a way in to a connection that is switched on.
    gateway.apply(&tenant("", OWNER)).await;
    assert_refused(&gateway.browser().post_form(ACS, &[("SAMLResponse", &idp::signed(&message, Sign::Assertion))]).await);
    let page = format!("/connections/acme-okta/test-sign-ins/{}", started["id"].as_str().unwrap());
    let mut stranger = gateway.browser();
    sign_in(&mut stranger, ada(&gateway, &[])).await;
    assert_eq!(stranger.get_json(&page).await.status, StatusCode::FORBIDDEN);
    assert_eq!(gateway.browser().get(&page).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.post_json(PATH, &json!({})).await.code(), "owner_only");
    // In an hour nothing is left of it.
    gateway.app.clock.advance_secs(3600);
    rolegate::jobs::purge(&gateway.app).await.unwrap();
    assert_eq!(gateway.count("select count(*) from test_sign_in").await, 0);
}

#[rstest]
#[tokio::test]
async fn people_begin_by_the_domain_of_their_address(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "", "").await;
    let connection = db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap().connection;
    let row = |domain: &str, verified| DomainRow {
        tenant: connection.tenant,
        organization: connection.organization,
        domain: domain.to_owned(),
        verification_token: String::new(),
        created_at: gateway.app.now(),
        verified_at: verified,
    };
    let mut tx = gateway.app.db.begin().await.unwrap();
    assert!(db::domain::insert_domain(&mut tx, &row("acme.example", Some(gateway.app.now()))).await.unwrap());
    assert!(db::domain::insert_domain(&mut tx, &row("claimed.example", None)).await.unwrap());
    tx.commit().await.unwrap();

    let mut browser = gateway.browser();
    let form = browser.get("/login?return_to=/me%3Fa%3Db").await.text();
    assert!(form.contains("value=\"/me?a=b\""), "{form}");
    let found = browser.post_form("/login", &[("email", "Ada@ACME.example"), ("return_to", "/me?a=b")]).await;
    assert_eq!(found.status, StatusCode::SEE_OTHER);
    assert_eq!(found.location(), "/connections/acme-okta/saml/login?return_to=%2Fme%3Fa%3Db");
    let elsewhere = browser.post_form("/login", &[("email", "ada@acme.example"), ("return_to", "//evil.example")]).await;
    assert_eq!(elsewhere.location(), "/connections/acme-okta/saml/login");

    // One answer, whatever it is that leads nowhere.
    let long = format!("{}@acme.example", "a".repeat(400));
    let mut answers = Vec::new();
    for address in ["ada@unknown.example", "ada@claimed.example", "nonsense", "", &long, "ada@sub.acme.example"] {
        let answer = browser.post_form("/login", &[("email", address)]).await;
        answers.push((answer.status, answer.text()));
    }
    gateway.apply(&tenant("", "").replace("slug = \"acme-okta\"", "slug = \"acme-okta\"\nenabled = false")).await;
    let off = browser.post_form("/login", &[("email", "ada@acme.example")]).await;
    answers.push((off.status, off.text()));
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].1.contains("No sign-in begins by this address"));
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://evil.example")];
    let foreign = browser.send(axum::http::Method::POST, "/login", &headers, b"email=a%40b.example".to_vec()).await;
    assert_eq!(foreign.code(), "foreign_origin");
}

#[rstest]
#[tokio::test]
async fn the_log_says_why_in_parts_and_in_pages(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "", "").await;
    let applied = gateway.apply(&tenant("", OWNER)).await;
    let mut owner = gateway.browser_by_link(&applied, "second@acme.example").await;
    for number in 0..3 {
        let mut message = ada(&gateway, &[]);
        message.audiences = vec![format!("https://other{number}.example")];
        assert_refused(&sign_in(&mut gateway.browser(), message).await);
        sign_in(&mut gateway.browser(), ada(&gateway, &[])).await;
    }
    let log = "/api/v1/connections/acme-okta/sign-in-log";
    let all = owner.get_json(log).await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 6, "{all}");
    let refused = owner.get_json(&format!("{log}?outcome=refused&step=conditions&limit=2")).await.json();
    let entries = refused["items"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]["got"]), (2, &json!("https://other2.example")));
    assert_eq!(
        (&entries[0]["code"], &entries[0]["expected"]),
        (&json!("audience"), &json!(format!("{PUBLIC_URL}/connections/acme-okta/saml/metadata")))
    );
    let next = refused["next_cursor"].as_str().unwrap();
    let rest = owner.get_json(&format!("{log}?outcome=refused&step=conditions&limit=2&cursor={next}")).await.json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    let account = entries[0]["account"].clone();
    assert_eq!(account, Value::Null);
    let since = all["items"][1]["at"].as_str().unwrap();
    assert_eq!(owner.get_json(&format!("{log}?since={since}")).await.json()["items"].as_array().unwrap().len(), 2);
    let reference = last_in_log(&gateway).await.id;
    assert_eq!(owner.get_json(&format!("{log}/{reference}")).await.json()["outcome"], "accepted");
    for (query, code) in [("cursor=x", "invalid_cursor"), ("since=yesterday", "since"), ("account=x", "account")] {
        assert_eq!(owner.get_json(&format!("{log}?{query}")).await.code(), code);
    }
    let mut member = gateway.browser();
    sign_in(&mut member, ada(&gateway, &[])).await;
    assert_eq!(member.get_json(log).await.status, StatusCode::FORBIDDEN);
}
