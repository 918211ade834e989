//! What running SCIM connections needs: the log, OAuth clients, a tenant's schema, warnings.

use rolegate::{
    db::{
        activity::{list_quiet, note_activity, report_silence},
        custom_schema::{delete_custom_schema, find_custom_schema, put_custom_schema},
        expiry_alert::{give, list_expiring},
        oauth::{
            NewSecret, authenticate_client, find_access_bearer, insert_access_token, insert_client, insert_secret, list_clients,
            list_secrets, purge_access_tokens, revoke_client, revoke_secret,
        },
        provisioning_log::{LogEntry, insert_entries, list_entries, purge_entries},
        token::insert_token,
    },
    domain::{
        id::{ConnectionId, EventId, OauthClientId, OauthSecretId, TenantId, TokenId},
        time::Timestamp,
    },
};
use rstest::rstest;

use super::world::{World, world};
use crate::common::{NOW, engines::Engine, ids};

const DAY: i64 = 24 * 3600;

fn entry(world: &World, id: EventId, at: Timestamp) -> LogEntry {
    LogEntry {
        id,
        tenant: world.tenant,
        connection: world.connection,
        at,
        method: "PATCH".into(),
        resource: "/Users/1".into(),
        status: 400,
        scim_type: Some("invalidPath".into()),
        detail: None,
        facts_changed: 1,
        assignments_changed: -2,
        duration_ms: 7,
        correlation: "r".into(),
        client_request_id: None,
        occurrences: 1,
        last_at: at,
    }
}

#[rstest]
#[tokio::test]
async fn the_log_is_read_backwards_and_forgets(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let mut ids = ids(9);
    let old = entry(&world, ids.make(), NOW);
    let fine = LogEntry { status: 204, scim_type: None, detail: Some("why".into()), ..entry(&world, ids.make(), NOW.plus_secs(1)) };
    let foreign: ConnectionId = ids.make();
    let gone = LogEntry { connection: foreign, ..entry(&world, ids.make(), NOW) };
    let mut tx = world.db.begin().await.unwrap();
    insert_entries(&mut tx, &[]).await.unwrap();
    insert_entries(&mut tx, &[old.clone(), gone, fine.clone()]).await.unwrap();
    insert_entries(&mut tx, std::slice::from_ref(&old)).await.unwrap();
    tx.commit().await.unwrap();
    let list = |before, limit| list_entries(&*world.db, world.tenant, world.connection, before, limit);
    assert_eq!(list(None, 10).await.unwrap(), [fine.clone(), old.clone()]);
    assert_eq!(list(None, 1).await.unwrap(), std::slice::from_ref(&fine));
    assert_eq!(list(Some(fine.id), 10).await.unwrap(), [old]);
    assert!(list_entries(&*world.db, world.tenant, foreign, None, 10).await.unwrap().is_empty());
    assert_eq!(purge_entries(&world.db, NOW.plus_secs(1)).await.unwrap(), 1);
    assert_eq!(list(None, 10).await.unwrap(), [fine]);
}

#[rstest]
#[tokio::test]
async fn a_client_changes_its_secret_while_both_work(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, tenant, connection, mut ids) = (&*world.db, world.tenant, world.connection, ids(9));
    let client: OauthClientId = ids.make();
    let secrets: [OauthSecretId; 3] = [ids.make(), ids.make(), ids.make()];
    let new = |n: usize| NewSecret { id: secrets[n], hash: ["one", "two", "three"][n], expires_at: NOW.plus_secs(100) };
    let mut tx = db.begin().await.unwrap();
    assert!(!insert_secret(&mut tx, tenant, connection, client, new(0), NOW).await.unwrap(), "no such client");
    insert_client(&mut tx, tenant, connection, client, "Entra", NOW).await.unwrap();
    assert!(insert_secret(&mut tx, tenant, connection, client, new(0), NOW).await.unwrap());
    assert!(insert_secret(&mut tx, tenant, connection, client, new(1), NOW).await.unwrap());
    assert!(!insert_secret(&mut tx, tenant, connection, client, new(2), NOW).await.unwrap(), "two live at a time");
    tx.commit().await.unwrap();

    let sent = client.to_string();
    let login = |hash: &'static str, now| authenticate_client(db, "acme-okta", &sent, hash, now);
    let first = login("one", NOW).await.unwrap().unwrap();
    assert_eq!((first.client, first.secret, first.tenant), (client, secrets[0], tenant));
    let second = login("two", NOW).await.unwrap().unwrap();
    assert_eq!(login("three", NOW).await.unwrap(), None);
    assert_eq!(login("one", NOW.plus_secs(100)).await.unwrap(), None, "expired");
    assert_eq!(authenticate_client(db, "other", &sent, "one", NOW).await.unwrap(), None, "another connection");
    assert_eq!(authenticate_client(db, "acme-okta", "x", "one", NOW).await.unwrap(), None, "another client");

    let tokens: [TokenId; 2] = [ids.make(), ids.make()];
    let mut tx = db.begin().await.unwrap();
    insert_access_token(&mut tx, first, tokens[0], "token-one", NOW, NOW.plus_secs(60)).await.unwrap();
    insert_access_token(&mut tx, second, tokens[1], "token-two", NOW, NOW.plus_secs(60)).await.unwrap();
    tx.commit().await.unwrap();
    let bearer = find_access_bearer(db, "token-one").await.unwrap().unwrap();
    assert_eq!((bearer.token, bearer.connection), (tokens[0], connection));
    assert!(bearer.refused_at(bearer.slug.as_str(), NOW.plus_secs(59)).is_none());
    assert!(bearer.refused_at(bearer.slug.as_str(), NOW.plus_secs(60)).is_some());

    let mut tx = db.begin().await.unwrap();
    assert!(revoke_secret(&mut tx, tenant, connection, secrets[0], NOW).await.unwrap());
    assert!(!revoke_secret(&mut tx, tenant, connection, secrets[0], NOW).await.unwrap());
    assert!(insert_secret(&mut tx, tenant, connection, client, new(2), NOW).await.unwrap(), "there is room for another");
    tx.commit().await.unwrap();
    assert_eq!(find_access_bearer(db, "token-one").await.unwrap(), None, "what it gave is gone with it");
    assert!(find_access_bearer(db, "token-two").await.unwrap().is_some(), "the other works on");
    assert_eq!(login("one", NOW).await.unwrap(), None);
    assert!(login("three", NOW).await.unwrap().is_some());
    let kept = list_secrets(db, tenant, connection).await.unwrap();
    assert_eq!(
        kept.iter().map(|s| (s.id, s.revoked_at, s.last_used_at)).collect::<Vec<_>>(),
        [(secrets[0], Some(NOW), Some(NOW)), (secrets[1], None, Some(NOW)), (secrets[2], None, None)]
    );
    assert_eq!(purge_access_tokens(&world.db, NOW.plus_secs(59)).await.unwrap(), 0);
    assert_eq!(purge_access_tokens(&world.db, NOW.plus_secs(60)).await.unwrap(), 1);

    let mut tx = db.begin().await.unwrap();
    assert!(revoke_client(&mut tx, tenant, connection, client, NOW).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(login("two", NOW).await.unwrap(), None);
    assert_eq!(list_clients(db, tenant, connection).await.unwrap()[0].revoked_at, Some(NOW));
}

#[rstest]
#[tokio::test]
async fn a_tenants_schema_is_written_over_and_removed(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let document = |name: &str| format!(r#"{{"id":"urn:example:acme:2.0:User","name":"Acme","attributes":[{{"name":"{name}"}}]}}"#);
    assert_eq!(find_custom_schema(&*world.db, world.tenant).await.unwrap(), None);
    let mut tx = world.db.begin().await.unwrap();
    assert_eq!(put_custom_schema(&mut tx, world.tenant, &document("a"), false, NOW).await.unwrap(), NOW.millis());
    assert_eq!(put_custom_schema(&mut tx, world.tenant, &document("b"), false, NOW).await.unwrap(), NOW.millis() + 1);
    tx.commit().await.unwrap();
    let found = find_custom_schema(&*world.db, world.tenant).await.unwrap().unwrap();
    assert_eq!((found.version, found.definition.attributes[0].name.as_str()), (NOW.millis() + 1, "b"));
    let mut tx = world.db.begin().await.unwrap();
    assert!(delete_custom_schema(&mut tx, world.tenant).await.unwrap());
    assert!(!delete_custom_schema(&mut tx, world.tenant).await.unwrap());
}

#[rstest]
#[tokio::test]
async fn each_warning_is_given_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, mut ids) = (&*world.db, ids(9));
    let (token, later): (TokenId, TokenId) = (ids.make(), ids.make());
    let mut tx = db.begin().await.unwrap();
    insert_token(&mut tx, world.tenant, world.connection, token, "a", NOW, NOW.plus_secs(40 * DAY)).await.unwrap();
    insert_token(&mut tx, world.tenant, world.connection, later, "b", NOW, NOW.plus_secs(400 * DAY)).await.unwrap();
    let client: OauthClientId = ids.make();
    insert_client(&mut tx, world.tenant, world.connection, client, "x", NOW).await.unwrap();
    let secret: OauthSecretId = ids.make();
    let new = NewSecret { id: secret, hash: "c", expires_at: NOW.plus_secs(90 * DAY) };
    assert!(insert_secret(&mut tx, world.tenant, world.connection, client, new, NOW).await.unwrap());
    tx.commit().await.unwrap();

    let mut given = Vec::new();
    for day in 0..100 {
        let now = NOW.plus_secs(day * DAY);
        for alert in list_expiring(db, now).await.unwrap() {
            let mut tx = db.begin().await.unwrap();
            assert!(give(&mut tx, &alert, now).await.unwrap());
            assert!(!give(&mut tx, &alert, now).await.unwrap());
            tx.commit().await.unwrap();
            given.push((day, alert.credential, alert.days));
        }
    }
    let of =
        |id: &str, days: [i64; 4]| [30, 14, 7, 1].into_iter().zip(days).map(|(left, day)| (day, id.to_owned(), left)).collect::<Vec<_>>();
    let mut expected = of(&token.to_string(), [10, 26, 33, 39]);
    expected.extend(of(&secret.to_string(), [60, 76, 83, 89]));
    assert_eq!(given, expected);
}

#[rstest]
#[tokio::test]
async fn silence_is_noticed_once_and_ends_with_a_word(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, tenant, connection) = (&*world.db, world.tenant, world.connection);
    let gone: ConnectionId = ids(9).make();
    let speak = async |spoke: &[(TenantId, ConnectionId, Timestamp)]| {
        let mut tx = db.begin().await.unwrap();
        note_activity(&mut tx, spoke).await.unwrap();
        tx.commit().await.unwrap();
    };
    assert!(list_quiet(db, NOW.plus_secs(DAY), None).await.unwrap().is_empty(), "who never spoke is not silent");
    speak(&[(tenant, connection, NOW), (tenant, gone, NOW)]).await;
    speak(&[(tenant, connection, NOW.plus_secs(59))]).await;
    assert!(list_quiet(db, NOW.plus_secs(-1), None).await.unwrap().is_empty());
    let quiet = list_quiet(db, NOW.plus_secs(3600), None).await.unwrap();
    assert_eq!(quiet.iter().map(|q| (q.connection, q.last_request_at, q.scim.enabled)).collect::<Vec<_>>(), [(connection, NOW, true)]);

    let mut tx = db.begin().await.unwrap();
    assert!(report_silence(&mut tx, &quiet[0], NOW.plus_secs(3600)).await.unwrap());
    assert!(!report_silence(&mut tx, &quiet[0], NOW.plus_secs(3600)).await.unwrap());
    tx.commit().await.unwrap();
    assert!(list_quiet(db, NOW.plus_secs(3600), None).await.unwrap().is_empty());
    speak(&[(tenant, connection, NOW.plus_secs(3700))]).await;
    assert_eq!(list_quiet(db, NOW.plus_secs(8000), None).await.unwrap().len(), 1);
}
