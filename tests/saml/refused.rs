use axum::http::{Method, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::saml::issuer::{Message, Sign};
use rstest::rstest;

use super::house::{ACS, LOGIN, ada, assert_refused, gateway, last_in_log, post, traces};
use crate::common::{
    engines::Engine,
    idp::{self, FOREIGN_KEY, KEY},
    installation::Gateway,
};

type Alter = fn(&Gateway, &mut Message);

#[rstest]
#[case::audience("conditions", "audience", |_: &Gateway, m: &mut Message| m.audiences = vec!["https://other.example".to_owned()])]
#[case::no_audience("conditions", "AudienceRestriction", |_: &Gateway, m: &mut Message| m.audiences.clear())]
#[case::expired("conditions", "NotOnOrAfter", |g: &Gateway, m: &mut Message| m.not_on_or_after = Some(g.app.now().plus_secs(-60)))]
#[case::not_yet("conditions", "NotBefore", |g: &Gateway, m: &mut Message| m.not_before = Some(g.app.now().plus_secs(62)))]
#[case::issuer("conditions", "Issuer", |_: &Gateway, m: &mut Message| m.issuer = "https://foreign.example".to_owned())]
#[case::recipient("conditions", "Recipient", |_: &Gateway, m: &mut Message| m.recipient = Some("https://rolegate.example/connections/other/saml/acs".to_owned()))]
#[case::destination("conditions", "Destination", |_: &Gateway, m: &mut Message| m.destination = Some("https://other.example/acs".to_owned()))]
#[case::status("conditions", "sign-in failed", |_: &Gateway, m: &mut Message| m.status = "urn:oasis:names:tc:SAML:2.0:status:Responder".to_owned())]
#[case::no_authn("conditions", "AuthnStatement", |_: &Gateway, m: &mut Message| m.authn_instant = None)]
#[case::padded_name("identity", "white space", |_: &Gateway, m: &mut Message| m.name_id.as_mut().unwrap().value.push(' '))]
#[case::unknown_request("in_response_to", "did not begin", |_: &Gateway, m: &mut Message| m.in_response_to = Some("_00".to_owned()))]
#[tokio::test]
async fn a_response_that_does_not_fit_leaves_nothing_and_its_reason_is_in_the_log(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[case] step: &str,
    #[case] words: &str,
    #[case] alter: Alter,
) {
    let gateway = gateway(engine, "", "").await;
    let mut browser = gateway.browser();
    let begun = browser.get(LOGIN).await;
    let mut message = ada(&gateway, &["platform-admins"]);
    message.in_response_to = Some(idp::request_id(begun.location()));
    alter(&gateway, &mut message);
    let before = traces(&gateway).await;
    let answer = post(&mut browser, &message, Sign::Both).await;
    assert_refused(&answer);
    assert_eq!(traces(&gateway).await, before);
    let row = last_in_log(&gateway).await;
    assert_eq!(row.step.as_deref(), Some(step));
    assert!(row.message.to_lowercase().contains(&words.to_lowercase()), "{}", row.message);
    assert!(answer.text().contains(&row.id.to_string()), "the page's reference leads to the row");
    assert!(!row.message.contains("ada@"), "nobody's name is in the log: {}", row.message);
}

#[tokio::test]
async fn whatever_arrives_gets_the_same_page() {
    let gateway = gateway(Engine::Sqlite, "idp_initiated = true", "").await;
    let good = KEY.issue(&ada(&gateway, &[]), Sign::Assertion).unwrap();
    let foreign = FOREIGN_KEY.issue(&ada(&gateway, &[]), Sign::Both).unwrap();
    let unsigned = KEY.issue(&ada(&gateway, &[]), Sign::Nothing).unwrap();
    let altered = good.replace("ada@acme.example", "eve@acme.example");
    let cases: [(&str, String); 10] = [
        ("signature", STANDARD.encode(foreign)),
        ("signature", STANDARD.encode(unsigned)),
        ("signature", STANDARD.encode(altered)),
        ("encoding", "not base64!".to_owned()),
        ("encoding", STANDARD.encode(b"<a>\xff</a>")),
        ("scan", STANDARD.encode("<!DOCTYPE a><a/>")),
        ("scan", STANDARD.encode("<a")),
        ("scan", STANDARD.encode(good.replacen("<samlp:Status>", "<!-- --><samlp:Status>", 1))),
        ("scan", String::new()),
        ("structure", STANDARD.encode("<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"/>")),
    ];
    let before = traces(&gateway).await;
    let mut pages = Vec::new();
    for (step, response) in &cases {
        gateway.app.clock.advance_secs(1);
        let answer = gateway.browser().post_form(ACS, &[("SAMLResponse", response)]).await;
        assert_refused(&answer);
        let row = last_in_log(&gateway).await;
        assert_eq!(row.step.as_deref(), Some(*step), "{}", row.message);
        pages.push(answer.text().replace(&row.id.to_string(), ""));
    }
    assert!(pages.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(traces(&gateway).await, before);
}

#[tokio::test]
async fn the_form_is_taken_strictly() {
    let gateway = gateway(Engine::Sqlite, "idp_initiated = true", "").await;
    let response = idp::signed(&ada(&gateway, &[]), Sign::Both);
    let encoded = url::form_urlencoded::Serializer::new(String::new()).append_pair("SAMLResponse", &response).finish();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let cases: [(&str, (&str, &str), String); 6] = [
        (ACS, ("content-type", "application/json"), encoded.clone()),
        (ACS, ("content-type", "text/plain"), encoded.clone()),
        (ACS, form, format!("{encoded}&{encoded}")),
        (ACS, form, format!("{encoded}&RelayState=a&RelayState=b")),
        (ACS, form, "RelayState=a".to_owned()),
        (ACS, form, format!("{encoded}&x={}", "a".repeat(256 * 1024))),
    ];
    let mut browser = gateway.browser();
    for (path, header, body) in cases {
        gateway.app.clock.advance_secs(1);
        let answer = browser.send(Method::POST, path, &[header], body.into_bytes()).await;
        assert_refused(&answer);
        assert_eq!(last_in_log(&gateway).await.step.as_deref(), Some("transport"));
    }
    // Nothing is taken from the query.
    let answer = browser.send(Method::POST, &format!("{ACS}?{encoded}"), &[form], Vec::new()).await;
    assert_refused(&answer);
    let answer = browser.get(&format!("{ACS}?{encoded}")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(gateway.count("select count(*) from session").await, 0);
    // The control: the same response in a proper form.
    assert_eq!(browser.send(Method::POST, ACS, &[form], encoded.into_bytes()).await.status, StatusCode::SEE_OTHER);
}

#[rstest]
#[tokio::test]
async fn an_identity_provider_begins_only_where_the_connection_lets_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let off = gateway(engine, "", "").await;
    let before = traces(&off).await;
    let answer = post(&mut off.browser(), &ada(&off, &[]), Sign::Both).await;
    assert_refused(&answer);
    assert!(last_in_log(&off).await.message.contains("idp_initiated = false"));
    assert_eq!(traces(&off).await, before);
    assert_eq!(off.count("select count(*) from consumed_assertion").await, 1, "used up all the same");

    let on = gateway(engine, "idp_initiated = true", "").await;
    let mut browser = on.browser();
    assert_eq!(post(&mut browser, &ada(&on, &[]), Sign::Both).await.status, StatusCode::SEE_OTHER);
    // An InResponseTo is checked all the same.
    let mut message = ada(&on, &[]);
    message.in_response_to = Some("_ab".to_owned());
    assert_refused(&post(&mut browser, &message, Sign::Both).await);
}

#[rstest]
#[tokio::test]
async fn a_response_is_only_for_the_browser_and_the_connection_that_began(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let other = "[[connections]]\nslug = \"acme-other\"\n[connections.saml]\nenabled = true\nidp_metadata = \"idp.xml\"\n";
    let gateway = gateway(engine, "", other).await;
    let (mut hers, mut his) = (gateway.browser(), gateway.browser());
    let begun = hers.get(LOGIN).await;
    let mut message = ada(&gateway, &[]);
    message.in_response_to = Some(idp::request_id(begun.location()));
    let before = traces(&gateway).await;

    his.get(LOGIN).await;
    assert_refused(&post(&mut his, &message, Sign::Both).await);
    // With her cookie's name and another value.
    for value in his.cookies.values().cloned().collect::<Vec<_>>() {
        his.cookies.insert(hers.cookies.keys().next().unwrap().clone(), value);
    }
    let another = || {
        let mut another = ada(&gateway, &[]);
        another.in_response_to.clone_from(&message.in_response_to);
        another
    };
    assert_refused(&post(&mut his, &another(), Sign::Both).await);
    assert!(last_in_log(&gateway).await.message.contains("unknown"));

    // Her own request of the other connection, answered here.
    let elsewhere = hers.get("/connections/acme-other/saml/login").await;
    let mut crossed = ada(&gateway, &[]);
    crossed.in_response_to = Some(idp::request_id(elsewhere.location()));
    assert_refused(&post(&mut hers, &crossed, Sign::Both).await);
    assert_eq!(traces(&gateway).await, before);

    // What he had is used up; her own is the control, and then the request is used up too.
    assert_refused(&post(&mut hers, &message, Sign::Both).await);
    assert_eq!(last_in_log(&gateway).await.step.as_deref(), Some("replay"));
    assert_eq!(post(&mut hers, &another(), Sign::Both).await.status, StatusCode::SEE_OTHER);
    assert_refused(&post(&mut hers, &another(), Sign::Both).await);
}

#[tokio::test]
async fn a_request_waits_ten_minutes() {
    let gateway = gateway(Engine::Sqlite, "", "").await;
    let mut browser = gateway.browser();
    let begun = browser.get(LOGIN).await;
    gateway.app.clock.advance_secs(601);
    let mut message = ada(&gateway, &[]);
    message.in_response_to = Some(idp::request_id(begun.location()));
    assert_refused(&post(&mut browser, &message, Sign::Both).await);
    assert!(last_in_log(&gateway).await.message.contains("too old"));
}
