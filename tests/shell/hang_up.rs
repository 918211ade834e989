//! Clients that go away in the middle.

use std::{
    future::Future as _,
    task::{Context, Waker},
};

use axum::{body::Body, http::Request};
use rolegate::{cli::serve::serve, http};
use rstest::rstest;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tower::ServiceExt as _;

use crate::common::{
    engines::Engine,
    gateway::{Gateway, OKTA, token},
    whole,
};

/// What the server does when a client hangs up: the request's future is dropped, wherever it stands.
#[rstest]
#[tokio::test]
async fn a_request_whose_client_is_gone_comes_to_its_end(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    for n in 0..20 {
        let request = Request::builder().method("POST").uri(format!("/connections/{OKTA}/scim/v2/Users"));
        let request = request.header("authorization", format!("Bearer {}", token(OKTA)));
        let body = json!({ "userName": format!("user{n}"), "emails": [{ "value": "a@example.com" }] });
        let mut answer = Box::pin(http::router(gateway.app.clone()).oneshot(request.body(Body::from(body.to_string())).unwrap()));
        assert!(answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
        drop(answer);
    }
    gateway.app.under_way.ended().await;
    assert_eq!(gateway.get("/Users").await.expect(200).json()["totalResults"], 20);
    whole::check(gateway.db()).await;
}

#[rstest]
#[tokio::test]
async fn half_a_request_writes_nothing_and_what_was_begun_is_sealed_at_the_end(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let gateway = Gateway::begin(engine).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(serve(gateway.app.clone(), listener, stopped));
    let body = json!({ "userName": "anna" }).to_string();
    let head = format!(
        "POST /connections/{OKTA}/scim/v2/Users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        token(OKTA),
        body.len()
    );
    for part in [&head[..40], &head, &format!("{head}{}", &body[..7])] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(part.as_bytes()).await.unwrap();
    }
    // A whole request whose client does not wait for the answer, and one that does.
    TcpStream::connect(address).await.unwrap().write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let other = body.replace("anna", "bena");
    socket.write_all(format!("{head}{other}").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");

    stop.send_replace(true);
    served.await.unwrap().unwrap();
    let database = gateway.reopen().await;
    whole::check(&database).await;
    let names: Vec<(String,)> = database.query("select scim_user_name_key from identity order by 1").all().await.unwrap();
    assert!(matches!(names.iter().map(|(name,)| name.as_str()).collect::<Vec<_>>()[..], ["anna", "bena"] | ["bena"]), "{names:?}");
    let waiting: Option<(i64,)> = database.query("select count(*) from audit where number is null").optional().await.unwrap();
    assert_eq!(waiting, Some((0,)));
    database.close().await;
}
