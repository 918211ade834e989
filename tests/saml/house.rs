//! The tenant of these tests: one connection as the documentation shows it, one that differs in what a test asks for.

use axum::http::StatusCode;
use rolegate::{
    db::sign_in::{SignInLogRow, list_sign_in_log},
    saml::issuer::{Message, Sign},
};
use serde_json::Value;

use crate::common::{
    engines::Engine,
    idp,
    installation::{Answer, Browser, Gateway},
};

pub const SLUG: &str = "acme-okta";
pub const ACS: &str = "/connections/acme-okta/saml/acs";
pub const LOGIN: &str = "/connections/acme-okta/saml/login";

/// `saml` and `more` are further lines of the tables `[connections.saml]` and `[[connections]]`.
pub fn tenant(saml: &str, more: &str) -> String {
    format!(
        r#"
[tenant]
slug = "acme"
name = "Acme"
preset = "owner-member"
settings = {{ min_owners = 1 }}

[[organizations]]
slug = "acme-eu"
name = "Acme Europe"
parent = "acme"

[[owners]]
email = "owner@acme.example"
name = "First Owner"

[[connections]]
slug = "acme-okta"
organization = "acme"

[connections.saml]
enabled = true
idp_metadata = "idp.xml"
{saml}

[connections.attributes]
email = "email"
givenName = "firstName"
familyName = "lastName"
groups = "groups"

[connections.default_mapping]
roles = ["Organization Member"]
apply = "on_create"

[[connections.rules]]
name = "platform team"
when = 'groups[value eq "platform-admins"]'
grant = [{{ role = "Organization Context Manager", organization = "acme" }}]

{more}
"#
    )
}

pub async fn gateway(engine: Engine, saml: &str, more: &str) -> Gateway {
    let gateway = Gateway::open(engine).await;
    gateway.apply(&tenant(saml, more)).await;
    gateway
}

/// Ada, with the groups named.
pub fn ada(gateway: &Gateway, groups: &[&str]) -> Message {
    let mut message = idp::message(SLUG, "ada@acme.example", gateway.app.now());
    let text = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
    message.attributes = vec![
        ("email".to_owned(), text(&["ada@acme.example"])),
        ("firstName".to_owned(), text(&["Ada"])),
        ("lastName".to_owned(), text(&["Lovelace"])),
        ("groups".to_owned(), text(groups)),
    ];
    message
}

/// Begins at the gateway and comes back with the message, which answers the request.
pub async fn sign_in(browser: &mut Browser<'_>, mut message: Message) -> Answer {
    let begun = browser.get(LOGIN).await;
    message.in_response_to = Some(idp::request_id(begun.location()));
    post(browser, &message, Sign::Assertion).await
}

/// A second after what came before, so that the log has an order.
pub async fn post(browser: &mut Browser<'_>, message: &Message, sign: Sign) -> Answer {
    browser.gateway.app.clock.advance_secs(1);
    browser.post_form(ACS, &[("SAMLResponse", &idp::signed(message, sign))]).await
}

pub async fn me(browser: &mut Browser<'_>) -> Value {
    let answer = browser.get_json("/me").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

/// Role, and the kinds of its origins.
pub fn roles(me: &Value) -> Vec<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let assignments = me["assignments"].as_array().unwrap().iter();
    let mut roles: Vec<_> = assignments
        .map(|assignment| {
            let kinds = assignment["origins"].as_array().unwrap().iter().map(|origin| text(&origin["kind"])).collect();
            (text(&assignment["role"]), kinds)
        })
        .collect();
    roles.sort();
    roles
}

/// What the log says of the latest sign-in at the connection.
pub async fn last_in_log(gateway: &Gateway) -> SignInLogRow {
    gateway.settle().await;
    let row = rolegate::db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap();
    let (tenant, id) = (row.connection.tenant, row.connection.id);
    list_sign_in_log(&gateway.app.db, tenant, id, None, 1).await.unwrap().pop().unwrap()
}

/// Rows that a sign-in could have made.
pub async fn traces(gateway: &Gateway) -> [i64; 4] {
    [
        gateway.count("select count(*) from account").await,
        gateway.count("select count(*) from assignment").await,
        gateway.count("select count(*) from session").await,
        gateway.count("select count(*) from identity").await,
    ]
}

/// The one page, whatever was wrong, and nothing written but the log.
#[track_caller]
pub fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
    assert!(answer.cookies().is_empty());
    let page = answer.text();
    let reference = page.split("Reference: <code>").nth(1).unwrap().split('<').next().unwrap();
    assert_eq!(reference.len(), 36);
    let without = page.replace(reference, "");
    assert!(without.contains("Sign-in refused") && !without.contains("acme"), "{without}");
}
