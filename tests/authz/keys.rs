//! The life of the gateway's own keys, by the hand of an owner.

use axum::http::StatusCode;
use rolegate::saml::issuer::IssuerKey;
use rstest::rstest;
use serde_json::{Value, json};

use super::people::{holder, model, tenant};
use crate::common::{
    NOW,
    engines::Engine,
    idp,
    installation::{Browser, Gateway},
};

const PATH: &str = "/api/v1/connections/acme-okta/keys";
const METADATA: &str = "/connections/acme-okta/saml/metadata";

async fn house(engine: Engine) -> Gateway {
    let gateway = Gateway::open(engine).await;
    gateway.apply(&tenant("acme", "owner-member")).await;
    gateway
}

async fn person<'g>(gateway: &'g Gateway, role: &str) -> Browser<'g> {
    let row = rolegate::db::tenant::find_tenant_by_slug(&gateway.app.db, "acme").await.unwrap().unwrap();
    holder(gateway, &model(gateway, row.id).await, Some(role)).await
}

async fn states(owner: &mut Browser<'_>) -> Vec<String> {
    let answer = owner.get_json(PATH).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["keys"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect()
}

fn step(row: &Value, step: &str) -> String {
    format!("{PATH}/{}/{step}", row["id"].as_str().unwrap())
}

async fn import(owner: &mut Browser<'_>, key: &IssuerKey) -> Value {
    let private = openssl::pkey::PKey::private_key_from_der(key.pair().private_der().expose()).unwrap();
    let private = String::from_utf8(private.private_key_to_pem_pkcs8().unwrap()).unwrap();
    let answer = owner.post_json(PATH, &json!({ "private_key": private, "certificate": key.certificate().to_pem() })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    assert!(!answer.text().contains("PRIVATE"), "a private key never comes out");
    answer.json()
}

/// Fingerprints of a use in the metadata, in order.
async fn published(gateway: &Gateway, usage: &str) -> Vec<String> {
    let xml = gateway.browser().get(METADATA).await.text();
    idp::sp_certificates(&xml, usage).iter().map(|certificate| certificate.fingerprint().to_owned()).collect()
}

#[rstest]
#[tokio::test]
async fn a_key_is_published_signs_decrypts_and_is_removed(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    assert_eq!(published(&gateway, "signing").await, [""; 0]);
    let made = owner.post_json(PATH, &json!({ "algorithm": "rsa-3072", "valid_days": 10 })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let first = made.json();
    assert_eq!((&first["state"], &first["key"], &first["subject"]), (&json!("current"), &json!("RSA 3072"), &json!("CN=acme-okta")));
    assert_eq!(first["not_after"], "2026-03-13T01:06:40Z");
    gateway.app.clock.advance_secs(1);

    // The next one is published and does not sign yet; there is one at a time.
    let next = IssuerKey::rsa("sp", NOW).unwrap();
    let second = import(&mut owner, &next).await;
    assert_eq!(second["state"], "next");
    let fingerprint = |row: &Value| row["fingerprint_sha256"].as_str().unwrap().to_owned();
    for usage in ["signing", "encryption"] {
        assert_eq!(published(&gateway, usage).await, [fingerprint(&first), fingerprint(&second)], "{usage}");
    }
    let third = owner.post_json(PATH, &json!({ "algorithm": "ec-p256" })).await;
    assert_eq!((third.status, third.code().as_str()), (StatusCode::CONFLICT, "next_key_exists"));

    // Switching at once asks, because the identity provider has not read the metadata yet.
    let early = owner.post_json(&step(&second, "activate"), &json!({})).await;
    assert_eq!((early.status, early.code().as_str()), (StatusCode::CONFLICT, "key_not_taken_in"));
    gateway.app.clock.advance_secs(86_400);
    let mut owner = person(&gateway, "Organization Owner").await;
    let switched = owner.post_json(&step(&second, "activate"), &json!({})).await;
    assert_eq!((switched.status, &switched.json()["state"]), (StatusCode::OK, &json!("current")), "{}", switched.text());
    assert_eq!(states(&mut owner).await, ["retired", "current"]);
    assert_eq!(published(&gateway, "encryption").await, [fingerprint(&second)]);
    assert_eq!(owner.post_json(&step(&second, "activate"), &json!({})).await.status, StatusCode::OK, "twice is once");
    assert_eq!(owner.post_json(&step(&first, "activate"), &json!({})).await.code(), "key_not_next");

    // What signs goes only when that is meant; what was published lately may still be encrypted for.
    assert_eq!(owner.post_json(&step(&second, "retire"), &json!({})).await.code(), "key_signs");
    assert_eq!(owner.post_json(&step(&second, "remove"), &json!({ "confirm": true })).await.code(), "key_not_retired");
    assert_eq!(owner.post_json(&step(&first, "remove"), &json!({})).await.code(), "key_in_use");
    gateway.app.clock.advance_secs(7 * 86_400);
    let mut owner = person(&gateway, "Organization Owner").await;
    assert_eq!(owner.post_json(&step(&first, "remove"), &json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(states(&mut owner).await, ["current"]);
    assert_eq!(owner.post_json(&step(&first, "remove"), &json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(owner.post_json(&step(&second, "retire"), &json!({ "confirm": true })).await.status, StatusCode::OK);
    assert_eq!(published(&gateway, "signing").await, [""; 0]);
    for (action, times) in [("sp_key.added", 2), ("sp_key.activated", 1), ("sp_key.retired", 2), ("sp_key.removed", 1)] {
        let sql = "select action from audit where action like 'sp_key.%' and actor_kind = 'account'";
        let rows: Vec<(String,)> = gateway.app.db.query(sql).all().await.unwrap();
        assert_eq!(rows.iter().filter(|(row,)| row == action).count(), times, "{action}");
    }
}

#[rstest]
#[tokio::test]
async fn private_keys_are_sealed_at_rest(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let key = IssuerKey::ec("sp", NOW).unwrap();
    import(&mut owner, &key).await;
    let rows: Vec<(String,)> = gateway.app.db.query("select sealed from sp_key").all().await.unwrap();
    let der = key.pair().private_der();
    let sealed = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &rows[0].0).unwrap();
    assert_eq!(sealed.len(), 12 + 16 + der.expose().len());
    assert!(!sealed.windows(16).any(|window| der.expose().windows(16).any(|plain| plain == window)));
    // A row that was changed in the database is an error of the gateway, not a wrong signature.
    let swapped = "update sp_key set sealed = substr(sealed, 2) || 'A'";
    let mut tx = gateway.app.db.begin().await.unwrap();
    tx.query(swapped).run().await.unwrap();
    tx.query("update connection set version = version + 1").run().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(gateway.browser().get(METADATA).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn what_cannot_be_a_key_is_refused_with_words() {
    let gateway = house(Engine::Sqlite).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let (rsa, other) = (IssuerKey::rsa("sp", NOW).unwrap(), IssuerKey::rsa("sp", NOW).unwrap());
    let private = openssl::pkey::PKey::private_key_from_der(rsa.pair().private_der().expose()).unwrap();
    let pem = String::from_utf8(private.private_key_to_pem_pkcs8().unwrap()).unwrap();
    let cipher = openssl::symm::Cipher::aes_256_cbc();
    let locked = String::from_utf8(private.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap()).unwrap();
    let (certificate, foreign) = (rsa.certificate().to_pem(), other.certificate().to_pem());
    let cases = [
        (json!({ "private_key": "hello", "certificate": certificate }), "private_key", "BEGIN PRIVATE KEY"),
        (json!({ "private_key": locked, "certificate": certificate }), "private_key", "passphrase"),
        (json!({ "private_key": pem, "certificate": foreign }), "certificate", "another private key"),
        (json!({ "private_key": pem, "certificate": "hello" }), "certificate", "PEM"),
        (json!({ "private_key": pem }), "body", "private_key and certificate"),
        (json!({ "private_key": pem, "certificate": certificate, "algorithm": "rsa-3072" }), "body", "Either"),
        (json!({ "algorithm": "rsa-1024" }), "algorithm", "rsa-3072"),
        (json!({ "valid_days": 0 }), "valid_days", "3650"),
        (json!({ "colour": "red" }), "body", "colour"),
    ];
    for (body, code, words) in cases {
        let answer = owner.post_json(PATH, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, code), "{}", answer.text());
        assert!(answer.json()["detail"].as_str().unwrap().contains(words), "{}", answer.text());
    }
    assert_eq!(states(&mut owner).await, [""; 0]);
    import(&mut owner, &rsa).await;
    let again = owner.post_json(PATH, &json!({ "private_key": pem, "certificate": certificate })).await;
    assert_eq!((again.status, again.code().as_str()), (StatusCode::CONFLICT, "key_known"));
}

#[rstest]
#[tokio::test]
async fn only_an_owner_touches_a_key_whatever_is_sent(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let row = import(&mut owner, &IssuerKey::ec("sp", NOW).unwrap()).await;
    let version = gateway.count("select version from connection where slug = 'acme-okta'").await;
    for role in ["Organization Context Manager", "Organization Member", "Sign-In administrator"] {
        let mut browser = person(&gateway, role).await;
        let paths = [PATH.to_owned(), step(&row, "activate"), step(&row, "retire"), step(&row, "remove")];
        for path in paths {
            let answer = browser.post_json(&path, &json!({ "confirm": true })).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "owner_only"), "{role} {path}");
        }
        assert_eq!(browser.get_json(PATH).await.status, StatusCode::FORBIDDEN, "{role}");
    }
    assert_eq!(states(&mut owner).await, ["current"]);
    assert_eq!(gateway.count("select version from connection where slug = 'acme-okta'").await, version);
}

#[rstest]
#[tokio::test]
async fn of_two_who_add_the_next_key_at_once_one_is_refused(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = house(engine).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    import(&mut owner, &IssuerKey::ec("sp", NOW).unwrap()).await;
    let (mut one, mut two) = (owner.clone(), owner.clone());
    let body = json!({ "algorithm": "ec-p256" });
    let (first, second) = tokio::join!(one.post_json(PATH, &body), two.post_json(PATH, &body));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    // Made within one millisecond, they stand in either order.
    let mut states = states(&mut owner).await;
    states.sort_unstable();
    assert_eq!(states, ["current", "next"]);
}
