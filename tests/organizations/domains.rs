//! Domains, with a DNS server on loopback that answers what the test publishes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::http::{Method, StatusCode};
use rolegate::dns::Dns;
use rstest::rstest;
use serde_json::json;
use tokio::net::UdpSocket;

use super::{call, house, refused, somebody};
use crate::common::engines::Engine;

/// Speaks RFC 1035 as far as TXT goes: one question, the texts under its name, or that there is no such name.
struct Zone {
    address: SocketAddr,
    texts: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl Zone {
    async fn serve() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let zone = Self { address: socket.local_addr().unwrap(), texts: Arc::default() };
        let texts = zone.texts.clone();
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                let answer = answer(&packet[..length], &texts.lock().unwrap());
                let _ = socket.send_to(&answer, client).await;
            }
        });
        zone
    }

    fn publish(&self, name: &str, texts: &[&str]) {
        self.texts.lock().unwrap().insert(name.to_owned(), texts.iter().map(|text| (*text).to_owned()).collect());
    }
}

fn answer(query: &[u8], zone: &BTreeMap<String, Vec<String>>) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut end = 12;
    while query[end] != 0 {
        let length = usize::from(query[end]);
        labels.push(String::from_utf8_lossy(&query[end + 1..=end + length]).to_lowercase());
        end += length + 1;
    }
    let question = &query[12..end + 5];
    let texts = zone.get(&labels.join("."));
    let count = u16::try_from(texts.map_or(0, Vec::len)).unwrap();
    // An answer (0x80), with recursion (0x01, 0x80); 3 is NXDOMAIN.
    let mut packet = vec![query[0], query[1], 0x81, if texts.is_some() { 0x80 } else { 0x83 }, 0, 1];
    packet.extend(count.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(question);
    for text in texts.into_iter().flatten() {
        // In pieces, as long texts come.
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(20).collect();
        let data: Vec<u8> = pieces.iter().flat_map(|piece| [&[u8::try_from(piece.len()).unwrap()], *piece].concat()).collect();
        packet.extend([0xC0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
        packet.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        packet.extend(data);
    }
    packet
}

const EU: &str = "/api/v1/organizations/acme-eu/domains";
const US: &str = "/api/v1/organizations/acme-us/domains";

#[rstest]
#[tokio::test]
async fn a_domain_is_claimed_by_several_and_verified_for_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let zone = Zone::serve().await;
    let gateway = house(engine, "idaas").await.asking(Dns::at(zone.address));
    let mut owner = somebody(&gateway, Some("Super Administrator")).await;
    let claimed = owner.post_json(EU, &json!({ "domain": "Bücher.Example." })).await;
    assert_eq!(claimed.status, StatusCode::CREATED, "{}", claimed.text());
    let record = claimed.json()["record"].clone();
    assert_eq!((&record["type"], &record["name"]), (&json!("TXT"), &json!("_rolegate-challenge.xn--bcher-kva.example")));
    let value = record["value"].as_str().unwrap().to_owned();
    let again = owner.post_json(EU, &json!({ "domain": "xn--bcher-kva.example" })).await;
    assert_eq!((again.status, &again.json()["record"]), (StatusCode::OK, &record), "the record that may be published already stays right");
    let other = owner.post_json(US, &json!({ "domain": "bücher.example" })).await;
    assert_eq!(other.status, StatusCode::CREATED, "a claim keeps nobody else from claiming");
    let theirs = other.json()["record"]["value"].as_str().unwrap().to_owned();
    assert_ne!(theirs, value);

    let (verify_eu, verify_us) =
        (format!("{EU}/xn--bcher-kva.example/verify"), format!("{US}/bücher.example/verify").replace('ü', "%C3%BC"));
    let missing = owner.post_json(&verify_eu, &json!({})).await;
    refused(&missing, StatusCode::CONFLICT, "record_missing");
    assert!(missing.json()["detail"].as_str().unwrap().contains(&value), "{}", missing.text());
    zone.publish("_rolegate-challenge.xn--bcher-kva.example", &["v=spf1 -all", &theirs.to_uppercase(), &format!("{value}x")]);
    refused(&owner.post_json(&verify_eu, &json!({})).await, StatusCode::CONFLICT, "record_missing");
    zone.publish("_rolegate-challenge.xn--bcher-kva.example", &["v=spf1 -all", &value, &theirs]);
    let verified = owner.post_json(&verify_eu, &json!({})).await;
    assert_eq!((verified.status, &verified.json()["verified_at"]), (StatusCode::OK, &json!("2026-03-03T01:06:40Z")), "{}", verified.text());
    assert_eq!(owner.post_json(&verify_eu, &json!({})).await.json(), verified.json(), "twice is once");
    refused(&owner.post_json(&verify_us, &json!({})).await, StatusCode::CONFLICT, "domain_taken");

    // Given up by one, it is the other's.
    assert_eq!(call(&mut owner, Method::DELETE, &format!("{EU}/xn--bcher-kva.example"), None, &[]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(owner.get_json(EU).await.json(), json!({ "domains": [] }));
    assert_eq!(owner.post_json(&verify_us, &json!({})).await.json()["verified"], true);
    let told = "select count(*) from audit where action like 'organization.domain_%' and actor_kind = 'account'";
    assert_eq!(gateway.count(told).await, 5);
}

#[tokio::test]
async fn what_nobody_can_own_is_not_claimed_and_a_silent_server_is_no_answer() {
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let gateway = house(Engine::Sqlite, "idaas").await.asking(Dns::at(address));
    let mut owner = somebody(&gateway, Some("Super Administrator")).await;
    for wrong in ["localhost", "192.0.2.7", "[2001:db8::1]", "", "https://acme.example", "*.acme.example"] {
        let answer = owner.post_json(EU, &json!({ "domain": wrong })).await;
        refused(&answer, StatusCode::BAD_REQUEST, "domain");
        assert_eq!(answer.json()["field"], "domain");
    }
    owner.post_json(EU, &json!({ "domain": "acme.example" })).await;
    refused(&owner.post_json(&format!("{EU}/acme.example/verify"), &json!({})).await, StatusCode::SERVICE_UNAVAILABLE, "dns_unavailable");
    for path in [format!("{EU}/other.example/verify"), format!("{US}/acme.example/verify"), format!("{EU}/x/verify")] {
        assert_eq!(owner.post_json(&path, &json!({})).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let mut auditor = somebody(&gateway, Some("Auditor")).await;
    assert_eq!(auditor.get_json(EU).await.status, StatusCode::OK);
    refused(&auditor.post_json(EU, &json!({ "domain": "x.example" })).await, StatusCode::FORBIDDEN, "not_permitted");
}

#[rstest]
#[tokio::test]
async fn a_domain_that_changes_hands_follows_its_record_also_from_another_tenant(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let zone = Zone::serve().await;
    let gateway = house(engine, "idaas").await.asking(Dns::at(zone.address));
    let mut seller = somebody(&gateway, Some("Super Administrator")).await;
    let claim = json!({ "domain": "shop.example" });
    let old = seller.post_json(EU, &claim).await.json()["record"]["value"].as_str().unwrap().to_owned();
    zone.publish("_rolegate-challenge.shop.example", &[&old]);
    assert_eq!(seller.post_json(&format!("{EU}/shop.example/verify"), &json!({})).await.status, StatusCode::OK);

    let buyers = gateway.apply(&crate::authz::people::tenant("buyers", "idaas")).await.tenant;
    let model = crate::authz::people::model(&gateway, buyers).await;
    let mut buyer = crate::authz::people::holder(&gateway, &model, Some("Super Administrator")).await;
    let domains = "/api/v1/organizations/buyers/domains";
    let new = buyer.post_json(domains, &claim).await.json()["record"]["value"].as_str().unwrap().to_owned();
    let verify = format!("{domains}/shop.example/verify");
    refused(&buyer.post_json(&verify, &json!({})).await, StatusCode::CONFLICT, "record_missing");
    zone.publish("_rolegate-challenge.shop.example", &[&old, &new]);
    refused(&buyer.post_json(&verify, &json!({})).await, StatusCode::CONFLICT, "domain_taken");
    assert_eq!(seller.get_json(EU).await.json()["domains"][0]["verified"], true);

    zone.publish("_rolegate-challenge.shop.example", &[&new]);
    assert_eq!(buyer.post_json(&verify, &json!({})).await.json()["verified"], true);
    assert_eq!(seller.get_json(EU).await.json()["domains"][0]["verified"], false);
    let told = "select count(*) from audit a join tenant t on t.id = a.tenant
        where t.slug = 'acme' and a.action = 'organization.domain_lost' and a.actor_kind = 'system'";
    assert_eq!(gateway.count(told).await, 1);
    refused(&seller.post_json(&format!("{EU}/shop.example/verify"), &json!({})).await, StatusCode::CONFLICT, "record_missing");
}
