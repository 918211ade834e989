//! Where a browser is sent after a sign-in: a place on this host, whatever stands in RelayState.

use axum::http::StatusCode;
use rolegate::saml::issuer::Sign;

use super::{Sent, craft, open};
use crate::{common::engines::Engine, saml::house::ada};

/// Beside those of `accepted::the_relay_state_of_an_identity_provider_leads_nowhere_else`: what is sent, and where it leads.
const STATES: [(&str, &str); 30] = [
    ("///evil.example", "/me"),
    ("////evil.example", "/me"),
    ("/\\/evil.example", "/me"),
    ("\\\\evil.example", "/me"),
    ("/\t\\evil.example", "/me"),
    ("/\u{0}/evil.example", "/me"),
    ("/\n/evil.example", "/me"),
    ("/\u{85}/evil.example", "/me"),
    ("https:evil.example", "/me"),
    ("https:/evil.example", "/me"),
    ("HTTPS://evil.example", "/me"),
    (" https://evil.example", "/me"),
    (" /reports", "/me"),
    ("reports", "/me"),
    ("?next=//evil.example", "/me"),
    ("data:text/html,x", "/me"),
    ("vbscript:x", "/me"),
    ("\u{ff0f}\u{ff0f}evil.example", "/me"),
    ("/.//evil.example", "/me"),
    ("/x/../..//evil.example", "/me"),
    // Whoever decodes the path gets the address of another host.
    ("/%5cevil.example", "/me"),
    ("/%2fevil.example", "/me"),
    ("/%2f%2fevil.example", "/me"),
    ("/%09/evil.example", "/me"),
    ("/%0a/evil.example", "/me"),
    ("/%252f%252fevil.example", "/me"),
    // Of this host, however odd.
    ("/reports%20of%20may?to=%2F%2Fevil.example%09", "/reports%20of%20may?to=%2F%2Fevil.example%09"),
    ("/done/100%25", "/done/100%25"),
    ("/@evil.example", "/@evil.example"),
    ("/reports?to=https://evil.example/#x", "/reports?to=https://evil.example/#x"),
];

#[tokio::test]
async fn no_relay_state_leads_to_another_host() {
    let gateway = open(Engine::Sqlite).await;
    let mut states: Vec<_> = STATES.iter().map(|(state, place)| ((*state).to_owned(), *place)).collect();
    states.push((format!("/{}", "a".repeat(3000)), "/me"));
    for (state, place) in states {
        gateway.app.clock.advance_secs(1);
        let response = craft::issue(&ada(&gateway, &[]), Sign::Both);
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, response);
        let sent = Sent::fields(&[("SAMLResponse", &encoded), ("RelayState", &state)]);
        let answer = gateway.browser().send(sent.method, &sent.path, &sent.headers, sent.body).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, place), "{state:?}");
        // What a browser makes of it.
        let base = url::Url::parse("https://rolegate.example/connections/acme-okta/saml/acs").unwrap();
        assert_eq!(base.join(answer.location()).unwrap().host_str(), Some("rolegate.example"), "{state:?}");
    }
}
