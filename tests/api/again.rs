//! Changes that others are in the way of: made again from the start, and where that does not help, free to be asked for again.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use rolegate::{
    db::{self, Db, idp_metadata::MetadataRow},
    outbound::Outbound,
};
use rstest::rstest;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::oneshot,
};

use super::common::{house, person, send};
use crate::common::{NOW, engines::Engine, idp, installation::Gateway};

/// Nobody waits for a lock for longer than a moment.
async fn make_impatient(db: &Db) {
    match db {
        Db::Sqlite { writer, .. } => {
            sqlx::query("pragma busy_timeout = 50").execute(&mut *writer.acquire().await.unwrap()).await.unwrap();
        }
        Db::Postgres(server) => {
            let pool = server.pool();
            let mut all = Vec::new();
            for _ in 0..pool.options().get_max_connections() {
                let mut connection = pool.acquire().await.unwrap();
                sqlx::query("set lock_timeout = '50ms'").execute(&mut *connection).await.unwrap();
                all.push(connection);
            }
        }
    }
}

/// Answers with the document; the first time it says that it was asked, and waits until it may.
async fn serve(listener: TcpListener, document: String, asked: oneshot::Sender<()>, may_answer: oneshot::Receiver<()>) {
    let mut first = Some((asked, may_answer));
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut buffer = [0; 4096];
        let _ = socket.read(&mut buffer).await;
        if let Some((asked, may_answer)) = first.take() {
            asked.send(()).unwrap();
            may_answer.await.unwrap();
        }
        let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{document}", document.len());
        let _ = socket.write_all(answer.as_bytes()).await;
        let _ = socket.shutdown().await;
    }
}

/// The connection's metadata is read from there.
async fn read_from(gateway: &Gateway, url: String) {
    let row = db::connection::find_connection_by_slug(&gateway.app.db, "acme-okta").await.unwrap().unwrap().connection;
    let metadata = MetadataRow {
        tenant: row.tenant,
        connection: row.id,
        url: Some(url),
        auto_trust: false,
        digest: None,
        valid_until: None,
        set_by: None,
        set_at: NOW,
        read_at: None,
        failures: 0,
        last_error: None,
        due_at: Some(NOW.plus_secs(86_400)),
    };
    let mut tx = gateway.app.db.begin().await.unwrap();
    db::idp_metadata::put_metadata(&mut tx, &metadata).await.unwrap();
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_change_that_others_kept_from_being_made_leaves_its_key_free(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let mut gateway = house(engine).await;
    gateway.configure(|app| app.outbound = Outbound::new(&["127.0.0.0/8".parse().unwrap()]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    read_from(&gateway, format!("http://{}/metadata", listener.local_addr().unwrap())).await;
    let ((asked, is_asked), (may_answer, waits)) = (oneshot::channel(), oneshot::channel());
    let document = idp::metadata_xml(idp::ENTITY_ID, idp::SSO_URL, &[&idp::KEY, &idp::FOREIGN_KEY]);
    tokio::spawn(serve(listener, document, asked, waits));
    make_impatient(&gateway.app.db).await;
    let others = gateway.reopen().await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let (path, key) = ("/api/v1/connections/acme-okta/metadata/refresh", [("idempotency-key", "k-1")]);

    // The key is taken and the change not begun: then somebody holds what it needs.
    let hold = async {
        is_asked.await.unwrap();
        let mut tx = others.begin().await.unwrap();
        let _: Option<(String,)> = tx.lock("select id from connection where slug = 'acme-okta'").optional().await.unwrap();
        may_answer.send(()).unwrap();
        tx
    };
    let (refused, held) = {
        let mut owner = owner.clone();
        let first = async move { send(&mut owner, Method::POST, path, &key, "{}").await };
        tokio::join!(first, hold)
    };
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"), "{}", refused.text());
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(gateway.count("select count(*) from audit where action = 'metadata.refreshed'").await, 0);
    drop(held);

    // On SQLite the key could not be given back while the writer was held: that is done a moment later.
    let mut again = send(&mut owner, Method::POST, path, &key, "{}").await;
    for _ in 0..200 {
        if again.status == StatusCode::OK || !gateway.app.db.is_sqlite() {
            break;
        }
        assert_eq!(again.code(), "idempotency_in_progress", "{}", again.text());
        tokio::time::sleep(Duration::from_millis(20)).await;
        again = send(&mut owner, Method::POST, path, &key, "{}").await;
    }
    assert_eq!(again.status, StatusCode::OK, "{}", again.text());
    let third = send(&mut owner, Method::POST, path, &key, "{}").await;
    assert_eq!((third.status, third.text()), (StatusCode::OK, again.text()));
    assert_eq!(third.headers["idempotency-replayed"], "true");
    assert_eq!(gateway.count("select count(*) from audit where action = 'metadata.refreshed'").await, 1, "done once");
    others.close().await;
}

/// What a change began with is another thing when its turn comes: it is decided anew. SQLite has one writer, who sees what there is.
#[tokio::test]
async fn members_of_a_group_are_changed_although_the_roles_changed_meanwhile() {
    let gateway = house(Engine::Postgres).await;
    let mut owner = person(&gateway, "Organization Owner").await;
    let mut member = person(&gateway, "Organization Member").await;
    let member = member.get_json("/me").await.json()["account"]["id"].clone();
    let at = gateway.app.db.query("select id from organization where slug = 'acme'").optional::<(String,)>().await.unwrap().unwrap().0;
    let group = owner.post_json("/api/v1/groups", &json!({ "name": "G", "organization": at })).await.json();
    let path = format!("/api/v1/groups/{}/members", group["id"].as_str().unwrap());

    let mut tx = gateway.app.db.begin().await.unwrap();
    let _: Option<(String,)> = tx.lock("select id from local_group").optional().await.unwrap();
    let meanwhile = async {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while gateway.count(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        tx.query("update tenant set model_version = model_version + 1").run().await.unwrap();
        tx.commit().await.unwrap();
    };
    let change = json!({ "add": [member] }).to_string();
    let (changed, ()) = tokio::join!(send(&mut owner, Method::POST, &path, &[], &change), meanwhile);
    assert_eq!((changed.status, &changed.json()["members"]), (StatusCode::OK, &json!(1)), "{}", changed.text());
}
