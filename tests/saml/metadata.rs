use axum::http::StatusCode;
use rstest::rstest;

use super::house::{LOGIN, SLUG, gateway};
use crate::common::{engines::Engine, installation::PUBLIC_URL};

#[rstest]
#[tokio::test]
async fn metadata_names_this_connection_and_stays_the_same(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "", "").await;
    let path = format!("/connections/{SLUG}/saml/metadata");
    let answer = gateway.browser().get(&path).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/samlmetadata+xml");
    let xml = answer.text();
    assert!(xml.contains(&format!(r#"entityID="{PUBLIC_URL}{path}""#)), "{xml}");
    assert!(xml.contains(&format!(r#"Location="{PUBLIC_URL}/connections/{SLUG}/saml/acs""#)), "{xml}");
    assert_eq!(gateway.browser().get(&path).await.body, answer.body);
}

#[rstest]
#[tokio::test]
async fn at_a_connection_that_is_unknown_or_switched_off_nobody_signs_in(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let off = "[[connections]]\nslug = \"acme-off\"\nenabled = false\n[connections.saml]\nenabled = true\nidp_metadata = \"idp.xml\"\n
        [[connections]]\nslug = \"acme-scim\"\n[connections.scim]\nenabled = true\n";
    let gateway = gateway(engine, "", off).await;
    for slug in ["nobody", "acme-off", "acme-scim", "ACME-OKTA", "%00", "acme-okta%20"] {
        let mut browser = gateway.browser();
        let answer = browser.get(&format!("/connections/{slug}/saml/login")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{slug}");
        // By the metadata the other side is set up, before anything is switched on.
        let metadata = browser.get(&format!("/connections/{slug}/saml/metadata")).await;
        let expected = if ["acme-off", "acme-scim"].contains(&slug) { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert_eq!(metadata.status, expected, "{slug}");
        let answer = browser.post_form(&format!("/connections/{slug}/saml/acs"), &[("SAMLResponse", "x")]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{slug}");
    }
    assert_eq!(gateway.count("select count(*) from authn_request").await, 0);
}

#[tokio::test]
async fn a_browser_forgets_the_oldest_of_many_requests_that_wait() {
    let gateway = gateway(Engine::Sqlite, "", "").await;
    let mut browser = gateway.browser();
    for _ in 0..12 {
        assert_eq!(browser.get(LOGIN).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(browser.cookies.len(), 8);
}

#[tokio::test]
async fn the_cookie_of_a_request_goes_along_from_another_site() {
    let gateway = gateway(Engine::Sqlite, "", "").await;
    let answer = gateway.browser().get(LOGIN).await;
    let [cookie] = answer.cookies()[..] else { panic!("{:?}", answer.cookies()) };
    assert!(cookie.starts_with("__Host-rolegate_request_"), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=None; Secure"), "{cookie}");
}
