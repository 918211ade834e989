//! Single Logout, both ways and both bindings, with an identity provider that signs.

use axum::http::{Method, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::{
    db::{self, session::SessionRow},
    domain::{id::CertificateId, identity::NameIdentifier},
    saml::{
        IdpCertificate, KeyPair,
        issuer::IssuerKey,
        logout::{Content, Outgoing},
        sign::{sign_redirect, verify_redirect},
    },
};
use rstest::rstest;
use serde_json::json;
use uuid::Uuid;

use super::house::{SLUG, ada, assert_refused, gateway, last_in_log, sign_in, tenant};
use crate::common::{
    engines::Engine,
    idp,
    installation::{Answer, Browser, Gateway, PUBLIC_URL},
};

const LOGOUT: &str = "/connections/acme-okta/saml/logout";
const SLO: &str = "https://idp.example/slo?tenant=1";
const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
const OWNER: &str = "[[owners]]\nemail = \"second@acme.example\"\nname = \"S\"\n";

/// A connection whose identity provider takes logout messages, and a key to sign ours with.
async fn house(engine: Engine, redirect: bool, post: bool) -> (Gateway, Vec<IdpCertificate>) {
    let gateway = gateway(engine, "", "").await;
    let applied = gateway.apply(&tenant("", OWNER)).await;
    let mut owner = gateway.browser_by_link(&applied, "second@acme.example").await;
    let made = owner.post_json(&format!("/api/v1/connections/{SLUG}/keys"), &json!({})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let mut connection = db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap().connection;
    connection.saml.slo_redirect_url = redirect.then(|| SLO.to_owned());
    connection.saml.slo_post_url = post.then(|| SLO.to_owned());
    let mut tx = gateway.app.db.begin().await.unwrap();
    assert!(db::connection::update_connection(&mut tx, &connection, gateway.app.now()).await.unwrap().is_some());
    tx.commit().await.unwrap();
    let metadata = gateway.browser().get(&format!("/connections/{SLUG}/saml/metadata")).await.text();
    assert_eq!(metadata.matches("<md:SingleLogoutService").count(), 2, "{metadata}");
    let certificate = idp::sp_certificates(&metadata, "signing").remove(0);
    (gateway, vec![IdpCertificate { id: CertificateId::new(Uuid::from_u128(1)), certificate }])
}

async fn signed_in<'g>(gateway: &'g Gateway, index: &str) -> Browser<'g> {
    let mut browser = gateway.browser();
    let mut message = ada(gateway, &[]);
    message.session_index = Some(index.to_owned());
    assert_eq!(sign_in(&mut browser, message).await.status, StatusCode::SEE_OTHER);
    browser
}

fn ada_named(value: &str) -> NameIdentifier {
    NameIdentifier { value: value.to_owned(), format: Some(EMAIL.to_owned()), name_qualifier: None, sp_name_qualifier: None }
}

fn request(gateway: &Gateway, id: &str, name: &str, index: Option<&str>) -> Outgoing {
    Outgoing {
        id: id.to_owned(),
        destination: format!("{PUBLIC_URL}{LOGOUT}"),
        issuer: idp::ENTITY_ID.to_owned(),
        issue_instant: gateway.app.now(),
        content: Content::Request { name_id: ada_named(name), session_index: index.map(str::to_owned) },
    }
}

/// By redirect, as the identity provider sends it.
async fn redirect(gateway: &Gateway, message: &Outgoing, relay_state: Option<&str>, key: Option<&KeyPair>) -> Answer {
    let url = message.redirect_url(relay_state, key).unwrap();
    // The log has an order.
    gateway.app.clock.advance_secs(1);
    gateway.browser().get(url.strip_prefix(PUBLIC_URL).unwrap()).await
}

#[expect(clippy::unnecessary_wraps, reason = "what signs is given as an option")]
fn pair(key: &IssuerKey) -> Option<&KeyPair> {
    Some(key.pair())
}

async fn is_in(browser: &mut Browser<'_>) -> bool {
    browser.get_json("/me").await.status == StatusCode::OK
}

fn inflated(value: &str) -> String {
    let mut xml = String::new();
    let bytes = STANDARD.decode(value).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::DeflateDecoder::new(&bytes[..]), &mut xml).unwrap();
    xml
}

fn parameter(address: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(address).unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

fn attribute(xml: &str, name: &str) -> String {
    xml.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[rstest]
#[tokio::test]
async fn an_identity_provider_ends_exactly_the_sessions_it_speaks_of(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, ours) = house(engine, true, true).await;
    let (mut desk, mut phone) = (signed_in(&gateway, "s-1").await, signed_in(&gateway, "s-2").await);
    let mut other = gateway.browser();
    let mut message = ada(&gateway, &[]);
    message.name_id.as_mut().unwrap().value = "ben@acme.example".to_owned();
    message.session_index = Some("s-1".to_owned());
    assert_eq!(sign_in(&mut other, message).await.status, StatusCode::SEE_OTHER);

    let asked = request(&gateway, "_r1", "ada@acme.example", Some("s-1"));
    let answer = redirect(&gateway, &asked, Some("there&back"), pair(&idp::KEY)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    assert!(!is_in(&mut desk).await && is_in(&mut phone).await && is_in(&mut other).await);
    // A signed answer goes back to where the identity provider takes it, with what it wanted to have back.
    let location = answer.location();
    assert!(location.starts_with("https://idp.example/slo?tenant=1&SAMLResponse="), "{location}");
    verify_redirect(location.split_once("tenant=1&").unwrap().1, &ours).unwrap();
    assert_eq!(parameter(location, "RelayState").unwrap(), "there&back");
    let xml = inflated(&parameter(location, "SAMLResponse").unwrap());
    assert_eq!(
        (attribute(&xml, "InResponseTo").as_str(), attribute(&xml, "Value").as_str()),
        ("_r1", "urn:oasis:names:tc:SAML:2.0:status:Success")
    );
    assert_eq!(attribute(&xml, "Destination"), SLO);
    assert_eq!(gateway.count("select count(*) from audit where action = 'sessions.ended' and actor_kind = 'saml_idp'").await, 1);
    assert!(last_in_log(&gateway).await.message.contains("1 sessions ended"));

    // Once.
    assert_refused(&redirect(&gateway, &asked, None, pair(&idp::KEY)).await);
    assert_eq!(last_in_log(&gateway).await.step.as_deref(), Some("replay"));

    // Without an index, by POST: all of the person's sessions, and of nobody else.
    signed_in(&gateway, "s-3").await;
    let value = request(&gateway, "_r2", "ada@acme.example", None).form_value(pair(&idp::KEY)).unwrap();
    let answer = gateway.browser().post_form(LOGOUT, &[("SAMLRequest", &value), ("RelayState", "back")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let page = answer.text();
    assert!(page.contains("action=\"https://idp.example/slo?tenant=1\"") && page.contains("name=\"SAMLResponse\""), "{page}");
    assert!(page.contains("name=\"RelayState\" value=\"back\""), "{page}");
    assert!(!is_in(&mut phone).await && is_in(&mut other).await);
    assert_eq!(gateway.count("select count(*) from session where connection is not null").await, 1);

    // Who is signed out already is: that is what was asked for.
    let answer = redirect(&gateway, &request(&gateway, "_r3", "ada@acme.example", None), None, pair(&idp::KEY)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

/// A person with more sessions than are read at a time.
#[rstest]
#[tokio::test]
async fn all_sessions_of_a_person_end_however_many_there_are(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, _) = house(engine, true, false).await;
    signed_in(&gateway, "s-1").await;
    let connection = db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap().connection;
    let mut tx = gateway.app.db.begin().await.unwrap();
    let found = db::session::list_sessions_of_subject(&mut tx, connection.tenant, connection.id, "ada@acme.example", None).await.unwrap();
    let mut ids = rolegate::domain::id::IdSource::new(gateway.app.now(), [3; 16]);
    for number in 0..2500 {
        let session = SessionRow { id: ids.make(), ..found[0].clone() };
        db::session::insert_session(&mut tx, &session, &format!("hash {number}")).await.unwrap();
    }
    tx.commit().await.unwrap();
    let answer = redirect(&gateway, &request(&gateway, "_r1", "ada@acme.example", None), None, pair(&idp::KEY)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    assert_eq!(gateway.count("select count(*) from session where connection is not null").await, 0);
    assert!(last_in_log(&gateway).await.message.contains("2501 sessions ended"));
    let told = "select count(*) from audit where action = 'sessions.ended' and detail like '%\"count\":2501%'";
    assert_eq!(gateway.count(told).await, 1);
}

/// The owner retires the certificate while a request that was signed with it waits for its turn.
#[rstest]
#[tokio::test]
async fn a_request_counts_by_what_is_trusted_when_it_is_obeyed(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, _) = house(engine, true, false).await;
    let mut browser = signed_in(&gateway, "s-1").await;
    let connection = db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap().connection;
    let trusted = db::certificate::list_certificates(&gateway.app.db, connection.tenant, connection.id).await.unwrap();
    let value = request(&gateway, "_r1", "ada@acme.example", None).form_value(pair(&idp::KEY)).unwrap();
    let busy = gateway.app.verifications.clone();
    let busy = busy.acquire_many_owned(u32::try_from(gateway.app.verifications.available_permits()).unwrap()).await.unwrap();
    let retire = async {
        while gateway.app.intake.held() == 0 {
            tokio::task::yield_now().await;
        }
        let mut tx = gateway.app.db.begin().await.unwrap();
        db::connection::raise_connection_version(&mut tx, connection.tenant, connection.id).await.unwrap();
        let (tenant, id, now) = (connection.tenant, trusted[0].id, gateway.app.now());
        assert!(db::certificate::retire_certificate(&mut tx, tenant, connection.id, id, None, now).await.unwrap());
        tx.commit().await.unwrap();
        drop(busy);
    };
    let mut idp = gateway.browser();
    gateway.app.clock.advance_secs(1);
    let fields = [("SAMLRequest", value.as_str())];
    let (answer, ()) = tokio::join!(idp.post_form(LOGOUT, &fields), retire);
    assert_refused(&answer);
    assert_eq!(last_in_log(&gateway).await.step.as_deref(), Some("signature"));
    assert!(is_in(&mut browser).await);
}

#[rstest]
#[tokio::test]
async fn whoever_cannot_sign_as_the_identity_provider_ends_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, _) = house(engine, true, false).await;
    let mut browser = signed_in(&gateway, "s-1").await;
    let good = |id: &str| request(&gateway, id, "ada@acme.example", Some("s-1"));
    let wrong: [(&str, Outgoing, Option<&KeyPair>); 7] = [
        ("unsigned", good("_1"), None),
        ("signature", good("_2"), pair(&idp::FOREIGN_KEY)),
        ("issuer", Outgoing { issuer: "https://other.example".to_owned(), ..good("_3") }, pair(&idp::KEY)),
        ("destination", Outgoing { destination: format!("{PUBLIC_URL}/connections/other/saml/logout"), ..good("_4") }, pair(&idp::KEY)),
        ("issued_in_future", Outgoing { issue_instant: gateway.app.now().plus_secs(3600), ..good("_5") }, pair(&idp::KEY)),
        ("expired", Outgoing { issue_instant: gateway.app.now().plus_secs(-3600), ..good("_6") }, pair(&idp::KEY)),
        ("no_name_id", Outgoing { content: Content::Response { in_response_to: "_x".to_owned() }, ..good("_7") }, pair(&idp::KEY)),
    ];
    for (code, message, key) in wrong {
        gateway.app.clock.advance_secs(1);
        let url = message.redirect_url(None, key).unwrap();
        let path = format!("{LOGOUT}?{}", url.split_once('?').unwrap().1);
        let answer = gateway.browser().get(&path).await;
        assert_refused(&answer);
        let row = last_in_log(&gateway).await;
        // An answer to a request that was never sent is refused for that.
        let expected = if code == "no_name_id" { "in_response_to" } else { code };
        assert_eq!(row.why.code.as_deref(), Some(expected), "{}", row.message);
    }
    // A signature over one message, carried by another.
    let (ours, theirs) = (good("_8").redirect_url(None, pair(&idp::KEY)).unwrap(), good("_9").redirect_url(None, None).unwrap());
    let swapped = ours.replace(
        &url::form_urlencoded::byte_serialize(parameter(&ours, "SAMLRequest").unwrap().as_bytes()).collect::<String>(),
        &url::form_urlencoded::byte_serialize(parameter(&theirs, "SAMLRequest").unwrap().as_bytes()).collect::<String>(),
    );
    assert_ne!(ours, swapped);
    assert_refused(&gateway.browser().get(swapped.strip_prefix(PUBLIC_URL).unwrap()).await);
    for (name, value) in [("SAMLRequest", "x"), ("Nothing", "x")] {
        assert_refused(&gateway.browser().post_form(LOGOUT, &[(name, value)]).await);
    }
    assert_refused(&gateway.browser().get(&format!("{LOGOUT}?SAMLRequest=a&SAMLResponse=b")).await);
    assert!(is_in(&mut browser).await);
    assert_eq!(gateway.browser().get("/connections/none/saml/logout").await.status, StatusCode::NOT_FOUND);
}

#[rstest]
#[tokio::test]
async fn whoever_signs_out_here_is_sent_on_to_be_signed_out_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, ours) = house(engine, true, true).await;
    let mut browser = signed_in(&gateway, "s-1").await;
    let token = browser.csrf_token().await;
    let page = browser.post_form("/logout", &[("csrf_token", &token)]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(browser.cookies.is_empty() && gateway.count("select count(*) from session where connection is not null").await == 0);
    let text = page.text().replace("&amp;", "&").replace("&#38;", "&");
    let address = text.split("<a href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(text.contains(&format!("content=\"1;url={address}\"")), "{text}");
    verify_redirect(address.split_once("tenant=1&").unwrap().1, &ours).unwrap();
    let xml = inflated(&parameter(&address, "SAMLRequest").unwrap());
    assert!(xml.contains(&format!("Format=\"{EMAIL}\">ada@acme.example</saml:NameID><samlp:SessionIndex>s-1<")), "{xml}");
    assert_eq!(attribute(&xml, "Destination"), SLO);

    // The answer comes back; only a signed one to this request is believed, and once.
    let answer = |in_response_to: String| Outgoing { content: Content::Response { in_response_to }, ..request(&gateway, "_a", "", None) };
    let id = attribute(&xml, "ID");
    assert_refused(&redirect(&gateway, &answer(id.clone()), None, pair(&idp::FOREIGN_KEY)).await);
    assert_refused(&redirect(&gateway, &answer("_unknown".to_owned()), None, pair(&idp::KEY)).await);
    let heard = redirect(&gateway, &answer(id.clone()), None, pair(&idp::KEY)).await;
    assert!(heard.status == StatusCode::OK && heard.text().contains("and at your identity provider"), "{}", heard.text());
    assert_refused(&redirect(&gateway, &answer(id), None, pair(&idp::KEY)).await);

    // A status that is not success is said in words.
    let mut browser = signed_in(&gateway, "s-2").await;
    let token = browser.csrf_token().await;
    let headers = [("x-csrf-token", token.as_str()), ("accept", "application/json")];
    let json = browser.send(Method::POST, "/logout", &headers, Vec::new()).await;
    let address = json.json()["continue_at"].as_str().unwrap().to_owned();
    let id = attribute(&inflated(&parameter(&address, "SAMLRequest").unwrap()), "ID");
    let partial = answer(id).to_xml().replace(
        "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/>",
        "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Responder\"><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:PartialLogout\"/></samlp:StatusCode>",
    );
    let query = sign_redirect(&rolegate::saml::request::redirect_query("SAMLResponse", &partial, None), idp::KEY.pair()).unwrap();
    gateway.app.clock.advance_secs(1);
    let heard = gateway.browser().get(&format!("{LOGOUT}?{query}")).await;
    assert!(heard.status == StatusCode::OK && heard.text().contains("could not sign you out everywhere"), "{}", heard.text());
    assert!(last_in_log(&gateway).await.message.contains("PartialLogout"));
}

#[tokio::test]
async fn signing_out_here_works_whatever_the_identity_provider_takes() {
    // By POST alone.
    let (gateway, _) = house(Engine::Sqlite, false, true).await;
    let mut browser = signed_in(&gateway, "s-1").await;
    let token = browser.csrf_token().await;
    let page = browser.post_form("/logout", &[("csrf_token", &token)]).await;
    assert!(page.text().contains("name=\"SAMLRequest\"") && browser.cookies.is_empty(), "{}", page.text());
    // Not at all.
    let (gateway, _) = house(Engine::Sqlite, false, false).await;
    let mut browser = signed_in(&gateway, "s-1").await;
    let token = browser.csrf_token().await;
    let page = browser.post_form("/logout", &[("csrf_token", &token)]).await;
    assert!(page.text().contains("may still be signed in"), "{}", page.text());
    assert!(!is_in(&mut browser).await);
    // Its own requests are obeyed all the same, with nowhere to answer to.
    let mut browser = signed_in(&gateway, "s-2").await;
    let answer = redirect(&gateway, &request(&gateway, "_1", "ada@acme.example", None), None, pair(&idp::KEY)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!is_in(&mut browser).await);
}

#[rstest]
#[tokio::test]
async fn of_many_posts_of_one_request_one_is_obeyed(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (gateway, _) = house(engine, true, false).await;
    signed_in(&gateway, "s-1").await;
    let message = request(&gateway, "_1", "ada@acme.example", None);
    let answers = (0..10).map(|_| redirect(&gateway, &message, None, pair(&idp::KEY)));
    let mut statuses = Vec::new();
    for answer in futures_join(answers).await {
        statuses.push(answer.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 403, 403, 403, 403, 403, 403, 403, 403, 403]);
}

/// All at once, in one task.
async fn futures_join<F: Future<Output = Answer>>(all: impl Iterator<Item = F>) -> Vec<Answer> {
    let mut pinned: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<Answer>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in pinned.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(answer) = future.as_mut().poll(context)
            {
                *slot = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().map(Option::unwrap).collect()
}
