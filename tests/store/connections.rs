use rolegate::{
    db::{
        certificate::{CertificateState, IdpCertificateRow, insert_certificate, list_certificates, mark_used, retire_certificate},
        connection::{
            find_connection, find_connection_by_slug, insert_connection, list_connections, raise_connection_version, update_connection,
        },
        mapping::{Publication, find_mapping, publish_mapping},
        token::{Bearer, find_bearer, insert_token, list_tokens, mark_token_used, revoke_token},
    },
    domain::{
        connection::{Audience, Authority, Correlation, Jit},
        id::TokenId,
        time::Timestamp,
    },
};
use rstest::rstest;
use serde_json::{Value, json};

use super::world::{connection, settle, world};
use crate::common::{NOW, engines::Engine, ids};

#[rstest]
#[tokio::test]
async fn a_connection_is_read_as_it_was_written(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let db = &*world.db;
    let mut written = connection(&mut ids(9), world.tenant, world.root, "acme-entra");
    let mut tx = db.begin().await.unwrap();
    assert!(insert_connection(&mut tx, &written, false, NOW).await.unwrap());
    assert!(!insert_connection(&mut tx, &connection(&mut ids(10), world.tenant, world.root, "acme-entra"), false, NOW).await.unwrap());
    tx.commit().await.unwrap();
    let read = find_connection_by_slug(db, "acme-entra").await.unwrap().unwrap();
    assert_eq!((&read.connection, read.mapping_version, read.from_file), (&written, 0, false));

    written.audience = Audience::Admin;
    written.authority = Authority::Saml;
    written.enabled = false;
    written.saml.jit = Some(Jit::CreatePending);
    written.saml.correlate = Some(Correlation { scim: "userName".into(), saml: "NameID".into() });
    let mut tx = db.begin().await.unwrap();
    assert_eq!(update_connection(&mut tx, &written, NOW).await.unwrap(), Some(2));
    assert_eq!(update_connection(&mut tx, &written, NOW).await.unwrap(), None, "read before the last change");
    assert_eq!(raise_connection_version(&mut tx, world.tenant, written.id).await.unwrap(), Some(3));
    tx.commit().await.unwrap();
    written.version = 3;
    assert_eq!(find_connection(db, world.tenant, written.id).await.unwrap().unwrap().connection, written);
    assert_eq!(list_connections(db, world.tenant).await.unwrap().len(), 2);
    assert!(find_connection_by_slug(db, "acme-none").await.unwrap().is_none());
}

#[rstest]
#[tokio::test]
async fn mappings_are_published_in_order_and_every_version_stays(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, tenant, connection) = (&*world.db, world.tenant, world.connection);
    let mut tx = db.begin().await.unwrap();
    for (version, published) in [(1, true), (1, false), (3, false), (2, true)] {
        let document = json!({ "version": version, "rules": ["ä"] });
        let publication = Publication { version, mapping: &document, by: Some(world.account), at: NOW, due: None };
        let outcome = publish_mapping(&mut tx, tenant, connection, &publication).await.unwrap();
        assert_eq!(outcome, published, "version {version}");
    }
    tx.commit().await.unwrap();
    let row = find_connection(db, tenant, connection).await.unwrap().unwrap();
    assert_eq!((row.mapping_version, row.connection.version), (2, 3));
    let first: Option<Value> = find_mapping(db, tenant, connection, 1).await.unwrap();
    assert_eq!(first, Some(json!({ "version": 1, "rules": ["ä"] })));
    assert_eq!(find_mapping::<Value>(db, tenant, connection, 3).await.unwrap(), None);
}

fn certificate(world: &super::world::World, seed: u8, fingerprint: &str) -> IdpCertificateRow {
    IdpCertificateRow {
        id: ids(seed).make(),
        connection: world.connection,
        der: vec![0, 1, 254, 255],
        fingerprint: fingerprint.into(),
        subject: "CN=idp".into(),
        key_kind: "RSA 2048".into(),
        not_before: NOW,
        not_after: NOW.plus_secs(3600),
        state: CertificateState::Next,
        from_file: false,
        added_by: Some(world.account),
        added_at: NOW,
        retired_by: None,
        retired_at: None,
        first_used_at: None,
        last_used_at: None,
    }
}

#[rstest]
#[tokio::test]
async fn certificates_are_added_once_marked_once_a_minute_and_retired_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, tenant, connection) = (&*world.db, world.tenant, world.connection);
    let mut written = certificate(&world, 20, "aa");
    let mut tx = db.begin().await.unwrap();
    assert!(insert_certificate(&mut tx, tenant, &written).await.unwrap());
    assert!(!insert_certificate(&mut tx, tenant, &certificate(&world, 21, "aa")).await.unwrap(), "the fingerprint is there");
    tx.commit().await.unwrap();
    assert_eq!(list_certificates(db, tenant, connection).await.unwrap(), [written.clone()]);

    assert!(mark_used(db, tenant, connection, written.id, NOW).await.unwrap());
    assert!(!mark_used(db, tenant, connection, written.id, NOW.plus_secs(59)).await.unwrap());
    assert!(mark_used(db, tenant, connection, written.id, NOW.plus_secs(60)).await.unwrap());
    let mut tx = db.begin().await.unwrap();
    assert!(retire_certificate(&mut tx, tenant, connection, written.id, None, NOW.plus_secs(61)).await.unwrap());
    assert!(!retire_certificate(&mut tx, tenant, connection, written.id, None, NOW.plus_secs(62)).await.unwrap());
    tx.commit().await.unwrap();
    written.state = CertificateState::Retired;
    written.retired_at = Some(NOW.plus_secs(61));
    written.first_used_at = Some(NOW);
    written.last_used_at = Some(NOW.plus_secs(60));
    assert_eq!(list_certificates(db, tenant, connection).await.unwrap(), [written]);
}

#[rstest]
#[tokio::test]
async fn a_bearer_is_found_by_its_hash_and_counts_until_revoked_or_expired(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, tenant, connection) = (&*world.db, world.tenant, world.connection);
    let token: TokenId = ids(20).make();
    let mut tx = db.begin().await.unwrap();
    insert_token(&mut tx, tenant, connection, token, "hash", NOW, NOW.plus_secs(100)).await.unwrap();
    tx.commit().await.unwrap();
    let bearer = find_bearer(db, "hash").await.unwrap().unwrap();
    assert_eq!((bearer.tenant, bearer.connection, bearer.token), (tenant, connection, token));
    assert_eq!((bearer.slug.as_str(), bearer.last_used_at), ("acme-okta", None));
    let slug = bearer.slug.clone();
    let counts = |bearer: &Bearer, at: Timestamp| bearer.refused_at(slug.as_str(), at).is_none();
    assert!(counts(&bearer, NOW.plus_secs(99)) && !counts(&bearer, NOW.plus_secs(100)));
    assert_eq!(find_bearer(db, "Hash").await.unwrap(), None);

    assert!(mark_token_used(db, tenant, connection, token, NOW).await.unwrap());
    assert!(!mark_token_used(db, tenant, connection, token, Timestamp::from_millis(NOW.millis() + 59_999)).await.unwrap());
    let mut tx = db.begin().await.unwrap();
    assert!(revoke_token(&mut tx, tenant, connection, token, NOW.plus_secs(1)).await.unwrap());
    assert!(!revoke_token(&mut tx, tenant, connection, token, NOW.plus_secs(2)).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!counts(&find_bearer(db, "hash").await.unwrap().unwrap(), NOW));
    let rows = list_tokens(db, tenant, connection).await.unwrap();
    assert_eq!((rows.len(), rows[0].revoked_at, rows[0].last_used_at), (1, Some(NOW.plus_secs(1)), Some(NOW)));
}

/// An empty mapping of this version.
fn empty(version: i64) -> Publication<'static, ()> {
    Publication { version, mapping: &(), by: None, at: NOW, due: None }
}

#[rstest]
#[tokio::test]
async fn tenants_do_not_see_each_other(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let acme = world(engine).await;
    let mut written = certificate(&acme, 20, "aa");
    let token: TokenId = ids(20).make();
    let mut tx = acme.db.begin().await.unwrap();
    assert!(insert_certificate(&mut tx, acme.tenant, &written).await.unwrap());
    insert_token(&mut tx, acme.tenant, acme.connection, token, "hash", NOW, NOW.plus_secs(100)).await.unwrap();
    assert!(publish_mapping(&mut tx, acme.tenant, acme.connection, &empty(1)).await.unwrap());
    tx.commit().await.unwrap();
    let (theirs, connection) = (acme.tenant, acme.connection);
    let beta = settle(acme.db, "beta", 2).await;
    let (db, ours) = (&*beta.db, beta.tenant);

    assert!(find_connection(db, ours, connection).await.unwrap().is_none());
    assert_eq!(find_mapping::<Value>(db, ours, connection, 1).await.unwrap(), None);
    assert_eq!(list_certificates(db, ours, connection).await.unwrap(), []);
    assert_eq!(list_tokens(db, ours, connection).await.unwrap(), []);
    let ids_of = |rows: Vec<rolegate::db::connection::ConnectionRow>| rows.iter().map(|row| row.connection.id).collect::<Vec<_>>();
    assert_eq!(ids_of(list_connections(db, ours).await.unwrap()), [beta.connection]);
    let mut tx = db.begin().await.unwrap();
    assert!(!revoke_token(&mut tx, ours, connection, token, NOW).await.unwrap());
    assert!(!retire_certificate(&mut tx, ours, connection, written.id, None, NOW).await.unwrap());
    assert_eq!(raise_connection_version(&mut tx, ours, connection).await.unwrap(), None);
    assert!(!publish_mapping(&mut tx, ours, connection, &empty(2)).await.unwrap());
    let mut foreign = find_connection(&mut tx, theirs, connection).await.unwrap().unwrap().connection;
    foreign.tenant = ours;
    assert_eq!(update_connection(&mut tx, &foreign, NOW).await.unwrap(), None);
    drop(tx);
    assert!(!mark_used(db, ours, connection, written.id, NOW).await.unwrap());
    written.connection = connection;
    assert_eq!(list_certificates(db, theirs, connection).await.unwrap(), [written]);
}
