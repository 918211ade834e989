//! Two identity providers sign the same person in, in every way of signing and from both ends.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use super::{
    gateway::Gateway,
    peers::{IdentityProvider, Product, SIGNING, browse, browse_on},
};
use crate::common::engines::Engine;

const TENANT: &str = r#"
[tenant]
slug = "acme"
name = "Acme"
preset = "owner-member"
settings = { min_owners = 1 }

[[owners]]
email = "owner@acme.example"
name = "First Owner"

[[connections]]
slug = "acme-idp"
organization = "acme"
audience = "admin"

[connections.saml]
enabled = true
idp_metadata = "idp.xml"
jit = "create"
idp_initiated = true

[connections.attributes]
email = "mailAddress"
givenName = "firstName"
familyName = "lastName"
groups = "groups"

[connections.default_mapping]
roles = ["Organization Member"]
apply = "on_create"

[[connections.rules]]
name = "platform team"
when = 'groups[value eq "platform-admins"]'
grant = [{ role = "Organization Context Manager", organization = "acme" }]
"#;

fn person(user: &str, groups: &[&str]) -> Value {
    json!({
        "password": "pw",
        "name_id": format!("{user}@acme.example"),
        "attributes": { "mailAddress": [format!("{user}@acme.example")], "firstName": ["Ada"], "lastName": ["Adams"], "groups": groups },
    })
}

/// Role and origin of each assignment, in the order of names.
fn held(row: &Value) -> Vec<(String, String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut held: Vec<_> = row["assignments"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|assignment| {
            let origins = assignment["origins"].as_array().unwrap();
            origins.iter().map(|origin| (text(&assignment["role"]).unwrap(), text(&origin["kind"]).unwrap(), text(&origin["rule"])))
        })
        .collect();
    held.sort();
    held
}

#[rstest]
#[tokio::test]
async fn a_person_signs_in_from_both_ends_however_the_response_is_signed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(Product::Pysaml2, Product::Samlp)] product: Product,
) {
    let mut gateway = Gateway::prepare(engine).await;
    let mut idp = IdentityProvider::start(product, gateway.directory.path(), &gateway.url, "acme-idp");
    let metadata = reqwest::get(&idp.metadata_url).await.unwrap().text().await.unwrap();
    fs::write(gateway.directory.path().join("idp.xml"), metadata).unwrap();
    gateway.start(TENANT).await;
    let login = format!("{}/connections/acme-idp/saml/login?return_to=/me", gateway.url);

    for sign in SIGNING {
        let user = format!("ada-{sign}");
        let email = format!("{user}@acme.example");
        idp.set("sign", json!(sign));
        idp.set("users", json!({ &user: person(&user, &["staff", "platform-admins"]) }));
        let from_here = browse(&login, &user);
        assert_eq!(from_here["status"], 303, "{product:?} {sign}: {from_here}");
        assert_eq!(from_here["location"], "/me");
        let expected = [
            ("Organization Context Manager".to_owned(), "saml_rule".to_owned(), Some("platform team".to_owned())),
            ("Organization Member".to_owned(), "default".to_owned(), None),
        ];
        assert_eq!(from_here["me"]["account"]["email"], email.as_str(), "{from_here}");
        assert_eq!(held(&from_here["me"]), expected, "{product:?} {sign}");

        // The same person, begun at the identity provider, and no longer in the group: the rule's role goes, the default stays.
        idp.set("users", json!({ &user: person(&user, &["staff"]) }));
        let from_there = browse(&idp.initiate_url, &user);
        assert_eq!(from_there["me"]["account"]["id"], from_here["me"]["account"]["id"], "{product:?} {sign}: {from_there}");
        assert_eq!(held(&from_there["me"]), expected[1..]);

        let listed = gateway.json(&["assignments", "--account", &email, "--json"]);
        assert_eq!(held(&listed[0]), expected[1..], "{listed}");
    }

    // Somebody who only pretends to be the identity provider.
    idp.set("key", json!("rogue"));
    idp.set("users", json!({ "eve": person("eve", &["platform-admins"]) }));
    let refused = browse(&login, "eve");
    assert_eq!((refused["status"].as_u64(), &refused["me"]), (Some(403), &Value::Null), "{refused}");
    assert_eq!(gateway.json(&["accounts", "--filter", "userName eq \"eve@acme.example\"", "--json"]), json!([]));
    gateway.run(&["audit", "verify"]);
}

#[rstest]
#[case(Product::Pysaml2, &["aes128-gcm", "aes256-gcm"], &["aes128-cbc"], "tripledes-cbc")]
#[case(Product::Samlp, &["aes128-gcm", "aes256-gcm"], &["aes256-cbc"], "")]
#[tokio::test]
async fn a_person_signs_in_with_an_assertion_that_is_encrypted_for_the_key_of_the_metadata(
    #[case] product: Product,
    #[case] ciphers: &[&str],
    #[case] cbc: &[&str],
    #[case] refused: &str,
) {
    let mut gateway = Gateway::prepare(Engine::Sqlite).await;
    let mut idp = IdentityProvider::start(product, gateway.directory.path(), &gateway.url, "acme-idp");
    let metadata = reqwest::get(&idp.metadata_url).await.unwrap().text().await.unwrap();
    fs::write(gateway.directory.path().join("idp.xml"), metadata).unwrap();
    gateway.start(&TENANT.replace("idp_initiated = true", "allow_cbc = true\nsign_requests = true")).await;
    let key = gateway.json(&["keys", "create", "--connection", "acme-idp", "--json"]);
    assert_eq!(key["state"], "current");
    let metadata = reqwest::get(format!("{}/connections/acme-idp/saml/metadata", gateway.url)).await.unwrap().text().await.unwrap();
    let ours = gateway.directory.path().join("sp.xml");
    fs::write(&ours, metadata).unwrap();
    idp.set("sp_metadata", json!(ours));
    idp.set("want_signed_requests", json!(true));
    idp.set("encryption_certificate", key["certificate"].clone());
    let login = format!("{}/connections/acme-idp/saml/login?return_to=/me", gateway.url);

    idp.set("users", json!({ "ada": person("ada", &["platform-admins"]) }));
    let gcm = SIGNING.iter().flat_map(|sign| ciphers.iter().map(move |cipher| (*sign, *cipher, 303)));
    let unsigned = cbc.iter().map(|cipher| ("assertion", *cipher, 403));
    let in_signed = ["response", "both"].into_iter().flat_map(|sign| cbc.iter().map(move |cipher| (sign, *cipher, 303)));
    let broken = (!refused.is_empty()).then_some(("both", refused, 403));
    for (sign, cipher, expected) in gcm.chain(unsigned).chain(in_signed).chain(broken) {
        idp.set("sign", json!(sign));
        idp.set("encrypt", json!(cipher));
        let answer = browse(&login, "ada");
        let log = gateway.json(&["sign-ins", "--connection", "acme-idp", "--json"]);
        assert_eq!(answer["status"], expected, "{product:?} {sign} {cipher}: {answer} {}", log[0]);
        if expected == 303 {
            assert_eq!(answer["me"]["account"]["email"], "ada@acme.example", "{answer}");
        }
    }
}

/// Single Logout in both directions and by both bindings, with an identity provider that signs what it sends and refuses what is not
/// signed by the key in our metadata.
#[rstest]
#[tokio::test]
async fn who_signs_out_at_one_side_is_signed_out_at_the_other(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values("redirect", "post")] binding: &str,
) {
    let mut gateway = Gateway::prepare(engine).await;
    let mut idp = IdentityProvider::start(Product::Pysaml2, gateway.directory.path(), &gateway.url, "acme-idp");
    idp.set("logout", json!([binding]));
    let metadata = reqwest::get(&idp.metadata_url).await.unwrap().text().await.unwrap();
    assert_eq!(metadata.matches("SingleLogoutService").count(), 1, "{metadata}");
    fs::write(gateway.directory.path().join("idp.xml"), metadata).unwrap();
    gateway.start(&TENANT.replace("idp_initiated = true", "sign_requests = true")).await;
    gateway.json(&["keys", "create", "--connection", "acme-idp", "--json"]);
    let metadata = reqwest::get(format!("{}/connections/acme-idp/saml/metadata", gateway.url)).await.unwrap().text().await.unwrap();
    let ours = gateway.directory.path().join("sp.xml");
    fs::write(&ours, metadata).unwrap();
    idp.set("sp_metadata", json!(ours));
    idp.set("want_signed_requests", json!(true));
    idp.set("users", json!({ "ada": person("ada", &[]) }));
    let login = format!("{}/connections/acme-idp/saml/login?return_to=/me", gateway.url);
    let log = |gateway: &Gateway| gateway.json(&["sign-ins", "--connection", "acme-idp", "--json"])[0].clone();

    // Begun here: the identity provider takes our request for genuine, and its answer comes back.
    let here = browse_on(&login, "ada", "sign-out");
    assert_eq!((&here["me"]["account"]["email"], &here["then"]["status"]), (&json!("ada@acme.example"), &json!(200)), "{here}");
    let page = here["then"]["body"].as_str().unwrap();
    assert!(page.contains("Your session has ended here and at your identity provider."), "{page}");
    assert_eq!(here["then"]["me_status"], 401);

    // Begun there: the session of that index, and then all of the person; our answer is taken for genuine, with what came along.
    for which in ["", "&all=1"] {
        let address = |user: &str| {
            format!("{}/begin?user={user}&binding={binding}&RelayState=back%26forth{which}", idp.metadata_url.replace("/metadata", "/slo"))
        };
        let there = browse_on(&login, "ada", &address("ada"));
        assert_eq!(there["then"]["status"], 200, "{there} {}", log(&gateway));
        let page = there["then"]["body"].as_str().unwrap();
        assert!(page.contains("signed out everywhere; RelayState back&amp;forth"), "{page}");
        assert_eq!(there["then"]["me_status"], 401);
        logged(&gateway, "1 sessions ended");
    }

    // Somebody who only pretends to be the identity provider.
    let address = format!("{}/begin?user=ada&binding={binding}", idp.metadata_url.replace("/metadata", "/slo"));
    let sessions = browse(&login, "ada");
    assert_eq!(sessions["status"], 303);
    idp.set("key", json!("rogue"));
    let answer = reqwest::get(&address).await.unwrap();
    let status = if binding == "redirect" { answer.status().as_u16() } else { post_on(&answer.text().await.unwrap()).await };
    assert_eq!(status, 403, "{}", log(&gateway));
    logged(&gateway, "\"step\":\"signature\"");
    gateway.run(&["audit", "verify"]);
}

/// The log is written a moment after the answer.
fn logged(gateway: &Gateway, word: &str) {
    for _ in 0..50 {
        if gateway.json(&["sign-ins", "--connection", "acme-idp", "--json"])[0].to_string().contains(word) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{word} is not what the log says last");
}

/// Sends the one form of a page on.
async fn post_on(page: &str) -> u16 {
    let value = |name: &str, attribute: &str| {
        let tag = page.split('<').find(|tag| tag.contains(name)).unwrap_or_else(|| panic!("{name} is not in {page}"));
        tag.split(&format!("{attribute}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let fields = [("SAMLRequest", value("name=\"SAMLRequest\"", "value"))];
    reqwest::Client::new().post(value("action=", "action")).form(&fields).send().await.unwrap().status().as_u16()
}
