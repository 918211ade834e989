use rolegate::{
    db::{
        attention::{list_open, raise, resolve},
        counter::{add, total},
        installation::{find_key_check, insert_key_check},
        organization::{delete_organization, list_organizations},
        role::{delete_role, insert_roles, list_roles, update_role},
        session::{SessionRow, end_session, end_sessions_of_account, find_session, insert_link, insert_session, mark_seen},
        sign_in::{
            ASSERTION_MARGIN_SECS, AuthnRequestRow, SignInLogRow, SignInOutcome, Why, consume_assertion, consume_authn_request,
            find_sign_in, insert_authn_request, list_sign_in_log, log_sign_ins, purge_expired,
        },
    },
    domain::id::{EventId, SessionId},
};
use rstest::rstest;
use serde_json::json;

use super::world::{World, role, settle, world};
use crate::common::{NOW, engines::Engine, ids, occasion};

fn session(world: &World, id: SessionId) -> SessionRow {
    SessionRow {
        name_id: None,
        rights: None,
        id,
        tenant: world.tenant,
        account: world.account,
        connection: Some(world.connection),
        connection_version: 1,
        surface: rolegate::domain::connection::Audience::SelfService,
        session_index: Some("_index".into()),
        created_at: NOW,
        expires_at: NOW.plus_secs(100),
        last_seen_at: NOW,
        csrf_hash: "csrf".into(),
    }
}

#[rstest]
#[tokio::test]
async fn a_session_lives_until_it_expires_or_is_ended(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, tenant, mut ids) = (&*world.db, world.tenant, ids(9));
    let mut first = session(&world, ids.make());
    let mut tx = db.begin().await.unwrap();
    insert_session(&mut tx, &first, "one").await.unwrap();
    insert_session(&mut tx, &SessionRow { connection: None, session_index: None, ..session(&world, ids.make()) }, "two").await.unwrap();
    insert_session(&mut tx, &session(&world, ids.make()), "three").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(find_session(db, "one", NOW).await.unwrap().as_ref(), Some(&first));
    assert_eq!(find_session(db, "one", NOW.plus_secs(100)).await.unwrap(), None, "expired");
    assert!(!mark_seen(db, tenant, first.id, NOW.plus_secs(59)).await.unwrap());
    assert!(mark_seen(db, tenant, first.id, NOW.plus_secs(61)).await.unwrap());
    first.last_seen_at = NOW.plus_secs(61);
    assert_eq!(find_session(db, "one", NOW).await.unwrap().as_ref(), Some(&first));

    let mut tx = db.begin().await.unwrap();
    assert!(end_session(&mut tx, tenant, first.id).await.unwrap());
    assert!(!end_session(&mut tx, tenant, first.id).await.unwrap());
    assert_eq!(end_sessions_of_account(&mut tx, tenant, world.account).await.unwrap(), 2);
    tx.commit().await.unwrap();
    assert_eq!(find_session(db, "two", NOW).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_request_is_answered_once_in_time_and_by_its_browser(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (tenant, connection) = (world.tenant, world.connection);
    let mut tx = world.db.begin().await.unwrap();
    let begun = AuthnRequestRow { return_to: Some("/me".into()), former_session: Some("hash".into()) };
    insert_authn_request(&mut tx, tenant, connection, "_a", "browser", &begun, NOW.plus_secs(10)).await.unwrap();
    let consumed = consume_authn_request(&mut tx, tenant, connection, "_a", "other", NOW).await.unwrap();
    assert_eq!(consumed, None, "another browser");
    let consumed = consume_authn_request(&mut tx, tenant, connection, "_a", "browser", NOW.plus_secs(10)).await.unwrap();
    assert_eq!(consumed, None, "too late");
    let consumed = consume_authn_request(&mut tx, tenant, connection, "_a", "browser", NOW).await.unwrap();
    assert_eq!(consumed, Some(begun));
    assert_eq!(consume_authn_request(&mut tx, tenant, connection, "_a", "browser", NOW).await.unwrap(), None, "again");
    insert_authn_request(&mut tx, tenant, connection, "_b", "browser", &AuthnRequestRow::default(), NOW.plus_secs(10)).await.unwrap();
    let consumed = consume_authn_request(&mut tx, tenant, connection, "_b", "browser", NOW).await.unwrap();
    assert_eq!(consumed, Some(AuthnRequestRow::default()));
}

#[rstest]
#[tokio::test]
async fn what_expired_is_removed_and_nothing_else(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, tenant, connection, mut ids) = (&*world.db, world.tenant, world.connection, ids(9));
    let mut tx = db.begin().await.unwrap();
    for (n, secs) in [(1, 10), (2, 20)] {
        let hash = format!("hash-{n}");
        insert_authn_request(&mut tx, tenant, connection, &hash, "browser", &AuthnRequestRow::default(), NOW.plus_secs(secs))
            .await
            .unwrap();
        assert!(consume_assertion(&mut tx, tenant, connection, "idp", &hash, NOW.plus_secs(secs)).await.unwrap());
        insert_link(&mut tx, tenant, ids.make(), &hash, world.account, NOW, NOW.plus_secs(secs)).await.unwrap();
        let session = SessionRow { expires_at: NOW.plus_secs(secs), ..session(&world, ids.make()) };
        insert_session(&mut tx, &session, &hash).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(purge_expired(db, NOW.plus_secs(9)).await.unwrap(), 0);
    assert_eq!(purge_expired(db, NOW.plus_secs(10)).await.unwrap(), 3);
    assert_eq!(purge_expired(db, NOW.plus_secs(10)).await.unwrap(), 0);
    // A used assertion is kept longer than any clock may differ. The rest of the second kind expired meanwhile.
    assert_eq!(purge_expired(db, NOW.plus_secs(9 + ASSERTION_MARGIN_SECS)).await.unwrap(), 3);
    assert_eq!(purge_expired(db, NOW.plus_secs(10 + ASSERTION_MARGIN_SECS)).await.unwrap(), 1);
    let mut tx = db.begin().await.unwrap();
    assert!(!consume_assertion(&mut tx, tenant, connection, "idp", "hash-2", NOW).await.unwrap(), "still remembered");
}

#[rstest]
#[tokio::test]
async fn sign_ins_are_listed_newest_first_page_by_page(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, tenant, connection, mut ids) = (&*world.db, world.tenant, world.connection, ids(9));
    let row = |id: EventId, outcome, step: Option<&str>, account| SignInLogRow {
        why: Why::default(),
        id,
        connection,
        at: NOW,
        outcome,
        step: step.map(str::to_owned),
        message: "in words".into(),
        account,
        occurrences: 1,
        last_at: NOW,
    };
    let refused = row(ids.make(), SignInOutcome::Refused, Some("conditions"), None);
    let accepted = row(ids.make(), SignInOutcome::Accepted, None, Some(world.account));
    let mut tx = db.begin().await.unwrap();
    log_sign_ins(&mut tx, &[(tenant, refused.clone()), (tenant, accepted.clone())]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(list_sign_in_log(db, tenant, connection, None, 1).await.unwrap(), std::slice::from_ref(&accepted));
    assert_eq!(find_sign_in(db, tenant, connection, refused.id).await.unwrap().as_ref(), Some(&refused));
    assert_eq!(list_sign_in_log(db, tenant, connection, Some(accepted.id), 9).await.unwrap(), [refused]);
}

#[rstest]
#[tokio::test]
async fn attention_stays_open_until_somebody_resolves_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, mut occasion) = (&*world.db, occasion(9));
    let mut tx = db.begin().await.unwrap();
    raise(&mut tx, world.tenant, &mut occasion, "owner_retained", Some(world.connection), Some(world.account), &json!({"n": 1}))
        .await
        .unwrap();
    raise(&mut tx, world.tenant, &mut occasion, "group_renamed", None, None, &json!(null)).await.unwrap();
    tx.commit().await.unwrap();
    let open = list_open(db, world.tenant, None, 9).await.unwrap();
    assert_eq!(list_open(db, world.tenant, None, 1).await.unwrap(), open[..1]);
    assert_eq!(list_open(db, world.tenant, Some(open[0].id), 9).await.unwrap(), open[1..]);
    assert_eq!(open.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["owner_retained", "group_renamed"]);
    assert_eq!((open[0].connection, open[0].account, &open[0].detail), (Some(world.connection), Some(world.account), &json!({"n": 1})));
    let mut tx = db.begin().await.unwrap();
    assert!(resolve(&mut tx, world.tenant, open[0].id, NOW).await.unwrap());
    assert!(!resolve(&mut tx, world.tenant, open[0].id, NOW).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(list_open(db, world.tenant, None, 9).await.unwrap(), open[1..]);
}

#[rstest]
#[tokio::test]
async fn the_first_key_check_counts(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    assert_eq!(find_key_check(&*db).await.unwrap(), None);
    let mut tx = db.begin().await.unwrap();
    assert!(insert_key_check(&mut tx, "first", NOW).await.unwrap());
    assert!(!insert_key_check(&mut tx, "second", NOW).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(find_key_check(&*db).await.unwrap().as_deref(), Some("first"));
}

#[rstest]
#[tokio::test]
async fn tenants_reach_nothing_of_each_other(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let acme = world(engine).await;
    let mut ids = ids(9);
    let (theirs, connection, root, account) = (acme.tenant, acme.connection, acme.root, acme.account);
    let held = role(&mut ids, "Admin", &["a:*"]);
    let session = session(&acme, ids.make());
    let log = SignInLogRow {
        why: Why::default(),
        id: ids.make(),
        connection,
        at: NOW,
        outcome: SignInOutcome::Accepted,
        step: None,
        message: "in words".into(),
        account: None,
        occurrences: 1,
        last_at: NOW,
    };
    let mut tx = acme.db.begin().await.unwrap();
    assert!(insert_roles(&mut tx, theirs, std::slice::from_ref(&held), false, NOW).await.unwrap());
    insert_session(&mut tx, &session, "cookie").await.unwrap();
    insert_authn_request(&mut tx, theirs, connection, "_a", "browser", &AuthnRequestRow::default(), NOW.plus_secs(9)).await.unwrap();
    assert!(consume_assertion(&mut tx, theirs, connection, "idp", "_a", NOW.plus_secs(9)).await.unwrap());
    log_sign_ins(&mut tx, &[(theirs, log)]).await.unwrap();
    raise(&mut tx, theirs, &mut occasion(9), "owner_retained", None, None, &json!(null)).await.unwrap();
    add(&mut tx, theirs, connection, "users", &[account], 1).await.unwrap();
    tx.commit().await.unwrap();
    let beta = settle(acme.db, "beta", 2).await;
    let (db, ours) = (&*beta.db, beta.tenant);

    assert_eq!(list_roles(db, ours).await.unwrap(), []);
    assert_eq!(list_sign_in_log(db, ours, connection, None, 9).await.unwrap(), []);
    let logged = &list_sign_in_log(db, theirs, connection, None, 1).await.unwrap()[0];
    assert!(find_sign_in(db, ours, connection, logged.id).await.unwrap().is_none());
    assert_eq!(list_open(db, ours, None, 9).await.unwrap(), []);
    assert_eq!(total(db, ours, connection, "users").await.unwrap(), 0);
    assert!(!mark_seen(db, ours, session.id, NOW.plus_secs(99)).await.unwrap());
    assert_eq!(list_organizations(db, ours).await.unwrap().len(), 1);
    let open = list_open(db, theirs, None, 9).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    assert!(!resolve(&mut tx, ours, open[0].id, NOW).await.unwrap());
    assert!(!update_role(&mut tx, ours, &held).await.unwrap());
    assert!(!delete_role(&mut tx, ours, held.id).await.unwrap());
    assert!(!delete_organization(&mut tx, ours, root, NOW).await.unwrap());
    assert!(!end_session(&mut tx, ours, session.id).await.unwrap());
    assert_eq!(end_sessions_of_account(&mut tx, ours, account).await.unwrap(), 0);
    assert_eq!(consume_authn_request(&mut tx, ours, connection, "_a", "browser", NOW).await.unwrap(), None);
    assert!(consume_assertion(&mut tx, ours, connection, "idp", "_a", NOW).await.unwrap(), "each tenant remembers its own");
    assert!(insert_roles(&mut tx, ours, &[role(&mut ids, "Admin", &["a:*"])], false, NOW).await.unwrap(), "the name is free here");
    tx.commit().await.unwrap();
    assert_eq!(find_session(db, "cookie", NOW).await.unwrap().map(|session| session.tenant), Some(theirs));
}
