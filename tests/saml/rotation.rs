//! Both sides change their keys while people sign in, and nobody is turned away.

use std::{cell::Cell, collections::VecDeque};

use axum::http::StatusCode;
use rolegate::{
    domain::id::CertificateId,
    saml::{
        Certificate, IdpCertificate,
        issuer::{Encryption, IssuerKey, Sign},
        sign::verify_redirect,
    },
};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

use super::house::{ACS, LOGIN, SLUG, ada, gateway, tenant};
use crate::common::{
    NOW,
    engines::Engine,
    idp,
    installation::{Browser, Gateway},
};

/// The identity provider's side: which key it signs with, and what it knows of the service provider, which is older than what is true.
struct Provider {
    keys: [IssuerKey; 2],
    signs_with: Cell<usize>,
    /// What it read of our metadata: it goes on with the older reading until the next one.
    readings: std::cell::RefCell<VecDeque<String>>,
}

impl Provider {
    async fn read_metadata(&self, gateway: &Gateway) {
        let xml = gateway.browser().get(&format!("/connections/{SLUG}/saml/metadata")).await.text();
        let mut readings = self.readings.borrow_mut();
        readings.push_back(xml);
        if readings.len() > 2 {
            readings.pop_front();
        }
    }

    fn known(&self, reading: usize, usage: &str) -> Vec<Certificate> {
        let readings = self.readings.borrow();
        idp::sp_certificates(&readings[reading.min(readings.len() - 1)], usage)
    }
}

/// Signs somebody in, as an identity provider does that checks what it is sent, and encrypts for any key that it knows.
async fn sign_in(gateway: &Gateway, provider: &Provider, turn: usize) {
    let mut browser = gateway.browser();
    let begun = browser.get(LOGIN).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text());
    let ours = |certificate| IdpCertificate { id: CertificateId::new(Uuid::from_u128(1)), certificate };
    let query = begun.location().split_once('?').unwrap().1;
    let signing: Vec<_> = provider.known(usize::MAX, "signing").into_iter().map(ours).collect();
    verify_redirect(query, &signing).unwrap_or_else(|refusal| panic!("turn {turn}: {refusal}"));

    let readings = provider.readings.borrow().len();
    let recipients: Vec<_> = (0..readings).flat_map(|reading| provider.known(reading, "encryption")).collect();
    let encryption = Encryption::new(recipients[turn % recipients.len()].clone(), [u8::try_from(turn % 256).unwrap(); 32]);
    let mut message = ada(gateway, &["platform-admins"]);
    message.in_response_to = Some(idp::request_id(begun.location()));
    let sign = [Sign::Assertion, Sign::Response, Sign::Both][turn % 3];
    let response = idp::encrypted_by(&provider.keys[provider.signs_with.get()], &message, sign, &encryption);
    let answer = browser.post_form(ACS, &[("SAMLResponse", &response)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "turn {turn}: {}", answer.text());
}

struct Owner<'g>(Browser<'g>);

impl Owner<'_> {
    async fn change(&mut self, path: &str, body: Value) -> Value {
        let answer = self.0.post_json(&format!("/api/v1/connections/{SLUG}/{path}"), &body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }
}

/// Lets so many sign-ins pass between two steps.
async fn meanwhile(turns: &Cell<usize>, pause: usize) {
    let until = turns.get() + pause;
    while turns.get() < until {
        tokio::task::yield_now().await;
    }
}

#[rstest]
#[tokio::test]
async fn people_sign_in_all_the_time_while_both_sides_rotate(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    const SAML: &str = "sign_requests = true";
    const OWNERS: &str = "[[owners]]\nemail = \"second@acme.example\"\nname = \"S\"\n";
    let gateway = gateway(engine, SAML, "").await;
    let applied = gateway.apply(&tenant(SAML, OWNERS)).await;
    let mut owner = Owner(gateway.browser_by_link(&applied, "second@acme.example").await);
    let first = owner.change("keys", json!({})).await;
    let provider = Provider {
        keys: [idp::KEY.clone(), IssuerKey::ec("idp.example", NOW).unwrap()],
        signs_with: Cell::new(0),
        readings: std::cell::RefCell::default(),
    };
    provider.read_metadata(&gateway).await;
    let (turns, over) = (Cell::new(0_usize), Cell::new(false));

    let people = async {
        while !over.get() {
            // Two at a time, so that steps fall into the middle of sign-ins.
            let turn = turns.get();
            tokio::join!(sign_in(&gateway, &provider, turn), sign_in(&gateway, &provider, turn + 1));
            turns.set(turn + 2);
        }
    };
    let rotation = async {
        meanwhile(&turns, 4).await;
        // The identity provider's signing key: both are trusted, it switches, the old one goes.
        let added = owner.change("certificates", json!({ "certificate": provider.keys[1].certificate().to_pem() })).await;
        assert_eq!(added["state"], "next");
        meanwhile(&turns, 4).await;
        provider.signs_with.set(1);
        // Whoever is under way with the old key comes to the end first.
        meanwhile(&turns, 6).await;
        let listed = owner.0.get_json(&format!("/api/v1/connections/{SLUG}/certificates")).await.json();
        let old = listed["certificates"].as_array().unwrap().iter().find(|row| row["id"] != added["id"]).unwrap().clone();
        owner.change(&format!("certificates/{}/retire", old["id"].as_str().unwrap()), json!({ "confirm": true })).await;
        meanwhile(&turns, 4).await;

        // Our key: published, read by the identity provider, switched, still decrypting for whoever has not read again, removed.
        let second = owner.change("keys", json!({})).await;
        assert_eq!(second["state"], "next");
        meanwhile(&turns, 4).await;
        provider.read_metadata(&gateway).await;
        meanwhile(&turns, 4).await;
        owner.change(&format!("keys/{}/activate", second["id"].as_str().unwrap()), json!({ "confirm": true })).await;
        meanwhile(&turns, 8).await;
        provider.read_metadata(&gateway).await;
        provider.read_metadata(&gateway).await;
        meanwhile(&turns, 6).await;
        owner.change(&format!("keys/{}/remove", first["id"].as_str().unwrap()), json!({ "confirm": true })).await;
        meanwhile(&turns, 4).await;
        over.set(true);
    };
    tokio::join!(people, rotation);

    gateway.settle().await;
    assert!(turns.get() >= 48, "{} sign-ins", turns.get());
    let refused = "select count(*) from sign_in_log where outcome = 'refused'";
    assert_eq!(gateway.count(refused).await, 0);
    assert_eq!(gateway.count("select count(*) from sign_in_log where outcome = 'accepted'").await, i64::try_from(turns.get()).unwrap());
    assert_eq!(gateway.count("select count(*) from idp_certificate where first_used_at_ms is not null").await, 2, "both were used");
    assert_eq!(gateway.count("select count(*) from sp_key").await, 1);
}
