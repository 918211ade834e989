//! What strangers can make the gateway do and hold before they have proved anything.

use std::{net::SocketAddr, time::Duration};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, StatusCode},
};
use rolegate::{
    domain::id::ConnectionId,
    http::{self, routes::Entry, saml::intake::Held},
    saml::issuer::Sign,
};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::house::{ACS, LOGIN, SLUG, ada, gateway};
use crate::common::{engines::Engine, idp, installation::Gateway};

async fn connection(gateway: &Gateway, slug: &str) -> ConnectionId {
    rolegate::db::connection::find_connection_by_slug(&gateway.app.db, slug).await.unwrap().unwrap().connection.id
}

const OTHER: &str = "[[connections]]\nslug = \"acme-other\"\naudience = \"self_service\"\n[connections.saml]\nenabled = true\nidp_metadata = \"idp.xml\"\nidp_initiated = true\n";

#[tokio::test]
async fn a_flood_of_one_connection_is_told_to_wait_and_others_sign_in() {
    let gateway = gateway(Engine::Sqlite, "idp_initiated = true", OTHER).await;
    let flooded = connection(&gateway, SLUG).await;
    let waiting: Vec<_> = std::iter::from_fn(|| gateway.app.intake.enter(flooded, None).ok()).collect();
    let response = idp::signed(&ada(&gateway, &[]), Sign::Both);
    let answer = gateway.browser().post_form(ACS, &[("SAMLResponse", &response)]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");

    let mut elsewhere = idp::message("acme-other", "ada@acme.example", gateway.app.now());
    elsewhere.attributes = ada(&gateway, &[]).attributes;
    let there = idp::signed(&elsewhere, Sign::Both);
    let answer = gateway.browser().post_form("/connections/acme-other/saml/acs", &[("SAMLResponse", &there)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());

    // It was not used up: what was told to wait comes again, and is let in.
    drop(waiting);
    let answer = gateway.browser().post_form(ACS, &[("SAMLResponse", &response)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    assert_eq!(gateway.app.intake.held(), 0);
}

/// Every route that asks nothing of its caller, as the table of routes has it.
#[tokio::test]
async fn a_client_that_asks_too_fast_is_told_to_wait_at_every_open_route() {
    let mut gateway = gateway(Engine::Sqlite, "idp_initiated = true", "").await;
    gateway.configure(|app| {
        let mut config = (*app.config).clone();
        config.open_requests_per_second = 1;
        app.config = config.into();
    });
    let from = async |client: &str, method: Method, path: &str| {
        let client = SocketAddr::new(client.parse().unwrap(), 4711);
        let request = Request::builder().method(method).uri(path).extension(ConnectInfo(client));
        gateway.send(request.body(Body::empty()).unwrap()).await
    };
    for begun in 0..20 {
        let answer = from("2001:db8::1", Method::GET, LOGIN).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{begun}");
    }
    let rows = gateway.count("select count(*) from authn_request").await;
    let mut open = 0;
    for listed in http::routes().table().iter().filter(|listed| listed.entry == Entry::Open) {
        let path = listed.path.replace("{slug}", SLUG);
        let is_probe = path.starts_with("/health/");
        let answer = from("2001:db8::2", listed.method.clone(), &path).await;
        assert_eq!(answer.status == StatusCode::TOO_MANY_REQUESTS, !is_probe, "{} {path}", listed.method);
        let elsewhere = from("2001:db8:0:1::1", listed.method.clone(), &path).await;
        assert_ne!(elsewhere.status, StatusCode::TOO_MANY_REQUESTS, "{} {path}", listed.method);
        open += usize::from(!is_probe);
    }
    assert!((10..20).contains(&open), "{open} routes; each of the other client's took one of twenty");
    let answer = from("2001:db8::2", Method::GET, LOGIN).await;
    assert_eq!(answer.headers["retry-after"], "2");
    assert!(answer.text().contains("Too many requests"), "{}", answer.text());
    // Whoever is known is not held up by strangers behind the same address, and time heals.
    assert_eq!(from("2001:db8::2", Method::GET, "/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(gateway.count("select count(*) from authn_request").await, rows + 1, "of the other client");
    gateway.app.clock.advance_secs(1);
    assert_eq!(from("2001:db8::2", Method::GET, LOGIN).await.status, StatusCode::SEE_OTHER);
    assert_eq!(from("2001:db8::2", Method::GET, LOGIN).await.status, StatusCode::TOO_MANY_REQUESTS);
}

/// A response that is none, from this address. The reference that the browser is shown.
async fn junk(gateway: &Gateway, from: &str) -> String {
    let request = Request::builder().method(Method::POST).uri(ACS).header("content-type", "application/x-www-form-urlencoded");
    let request = request.extension(ConnectInfo(SocketAddr::new(from.parse().unwrap(), 4711)));
    let answer = gateway.send(request.body(Body::from("SAMLResponse=AAAA")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    reference(&answer.text())
}

fn reference(page: &str) -> String {
    let is_reference = |word: &&str| word.len() == 36 && word.matches('-').count() == 4;
    page.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find(is_reference).unwrap_or_else(|| panic!("{page}")).to_owned()
}

#[rstest]
#[tokio::test]
async fn junk_of_strangers_is_counted_and_pushes_no_real_refusal_out(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = gateway(engine, "idp_initiated = true\njit = \"off\"", "").await;
    let mut references = Vec::new();
    for _ in 0..900 {
        references.push(junk(&gateway, "192.0.2.1").await);
    }
    gateway.settle().await;
    let rows = "select count(*) from sign_in_log";
    assert_eq!(gateway.count(rows).await, 11, "ten one by one, and one that counts the others");
    assert_eq!(gateway.count("select occurrences from sign_in_log where occurrences > 1").await, 890);
    // Each browser was shown a reference that is in the log.
    references.sort();
    references.dedup();
    assert_eq!(references.len(), 11);
    for reference in &references {
        let row: Option<(i64,)> = gateway.app.db.query(FIND).bind(reference.as_str()).optional().await.unwrap();
        assert_eq!(row, Some((1,)), "{reference}");
    }

    // From however many addresses: all together have a budget, too.
    for n in 0..300 {
        junk(&gateway, &format!("198.51.{}.{}", n / 250, n % 250)).await;
    }
    gateway.settle().await;
    assert_eq!(gateway.count(rows).await, 101);
    assert_eq!(gateway.count("select cast(sum(occurrences) as bigint) from sign_in_log").await, 1200);

    // The identity provider's own people are in the log one by one, refused or let in.
    for n in 0..20 {
        let mut message = idp::message(SLUG, &format!("person-{n}@acme.example"), gateway.app.now());
        message.attributes = ada(&gateway, &[]).attributes;
        let answer = gateway.browser().post_form(ACS, &[("SAMLResponse", &idp::signed(&message, Sign::Both))]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
    }
    gateway.settle().await;
    assert_eq!(gateway.count("select count(*) from sign_in_log where step = 'account' and occurrences = 1").await, 20);

    // In the next hour there is room again.
    gateway.app.clock.advance_secs(3600);
    junk(&gateway, "192.0.2.1").await;
    gateway.settle().await;
    assert_eq!(gateway.count(rows).await, 122);
}

const FIND: &str = "select count(*) from sign_in_log where id = $1";

#[tokio::test]
async fn sign_ins_that_begin_at_one_connection_leave_no_more_rows_than_its_pace() {
    let gateway = gateway(Engine::Sqlite, "idp_initiated = true", OTHER).await;
    let flooded = connection(&gateway, SLUG).await;
    let rate = rolegate::domain::rate::Rate { per_second: 500, burst: 5000 };
    while gateway.app.beginnings.take(flooded, rate, gateway.app.now()).is_ok() {}
    let answer = gateway.browser().get(LOGIN).await;
    assert_eq!((answer.status, &answer.headers["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap()));
    assert_eq!(gateway.count("select count(*) from authn_request").await, 0);
    assert_eq!(gateway.browser().get("/connections/acme-other/saml/login").await.status, StatusCode::SEE_OTHER);
}

/// While every core is taken, thousands of large forms arrive.
#[tokio::test]
async fn a_flood_of_forms_holds_no_more_than_its_bound() {
    let gateway = gateway(Engine::Sqlite, "idp_initiated = true", "").await;
    let cores = u32::try_from(gateway.app.verifications.available_permits()).unwrap();
    let busy = gateway.app.verifications.clone().acquire_many_owned(cores).await.unwrap();
    let body = format!("SAMLResponse={}", "A".repeat(200 * 1024));
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..400 {
        let (router, body) = (http::router(gateway.app.clone()), body.clone());
        let request = Request::builder().method(Method::POST).uri(ACS).header("content-type", "application/x-www-form-urlencoded");
        posts.spawn(tower::ServiceExt::oneshot(router, request.body(Body::from(body)).unwrap()));
    }
    // Those that found no room are answered while the others wait.
    let room = (8 << 20) / body.len();
    for _ in 0..400 - room {
        let answer = posts.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "1");
    }
    assert!(gateway.app.intake.held() <= 8 << 20, "{} bytes are held", gateway.app.intake.held());
    drop(busy);
    while let Some(answer) = posts.join_next().await {
        assert_eq!(answer.unwrap().unwrap().status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(gateway.app.intake.held(), 0);
}

/// Sends a head and then as much of a body as the server takes: what it was answered, and how much went out.
async fn pour(port: u16, head: &str, total: usize) -> (String, usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut sent, chunk) = (0, vec![b'a'; 16 * 1024]);
    while sent < total {
        match tokio::time::timeout(Duration::from_secs(5), stream.write(&chunk)).await {
            Ok(Ok(n)) if n > 0 => sent += n,
            _ => break,
        }
    }
    let mut answer = Vec::new();
    // A server that has answered and reads no more may reset the connection.
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    (String::from_utf8_lossy(&answer).into_owned(), sent)
}

#[tokio::test]
async fn of_a_body_of_20_megabytes_no_more_is_held_than_a_form_may_have() {
    let gateway = gateway(Engine::Sqlite, "idp_initiated = true", "").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(axum::serve(listener, http::router(gateway.app.clone())).into_future());
    let most = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let watched = tokio::spawn({
        let (intake, most) = (gateway.app.intake.clone(), most.clone());
        async move {
            loop {
                most.fetch_max(intake.held(), std::sync::atomic::Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let head = format!(
        "POST {ACS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 20000000\r\n\r\n"
    );
    let (_, sent) = pour(port, &head, 20_000_000).await;
    // What went out beyond lies in the buffers of the sockets, or was read and thrown away.
    assert!(sent > 256 * 1024);
    let most = most.load(std::sync::atomic::Ordering::Relaxed);
    assert!((Held::LEAST..=256 * 1024).contains(&most), "{most} bytes were held");
    watched.abort();
    server.abort();
}
