use rolegate::{
    admin::{
        archive::{self, ArchiveError},
        audit_line::AuditLine,
    },
    db::{
        Db, PoolSize,
        audit::{Entry, Event, append, list_audit, list_events, publish},
        seal::{Broken, ChainKey, Head, Verdict, find_head, seal, tenants_to_seal, verify},
    },
    domain::{
        actor::Actor,
        id::{TenantId, TokenId},
    },
};
use rstest::rstest;
use serde_json::json;
use tokio::task::JoinSet;

use super::world::{World, settle, world};
use crate::common::{NOW, engines::Engine, ids, occasion};

fn key() -> ChainKey {
    ChainKey::new([7; 32])
}

/// Writes `rows` audit rows and as many events in one transaction.
async fn write(db: &Db, tenant: TenantId, seed: u8, rows: usize) {
    let entry = |n| Entry { action: "role.granted", target_kind: "account", target_id: format!("{seed}-{n}"), detail: json!({ "n": n }) };
    let event = |n| Event { kind: "account.changed", subject_kind: "account", subject_id: format!("{seed}-{n}"), payload: json!([n]) };
    let mut occasion = occasion(seed);
    if seed.is_multiple_of(2) {
        occasion.actor = Actor::Scim { connection: ids(seed).make(), token: ids(seed).make() as TokenId };
    }
    let mut tx = db.begin().await.unwrap();
    append(&mut tx, tenant, &mut occasion, &(0..rows).map(entry).collect::<Vec<_>>()).await.unwrap();
    publish(&mut tx, tenant, &mut occasion, &(0..rows).map(event).collect::<Vec<_>>()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Rows 1 to 6, sealed.
async fn sealed(engine: Engine) -> World {
    let world = world(engine).await;
    write(&world.db, world.tenant, 31, 3).await;
    write(&world.db, world.tenant, 32, 3).await;
    seal(&world.db, world.tenant, &key()).await.unwrap();
    world
}

async fn verdict(world: &World) -> Verdict {
    verify(&world.db, world.tenant, &key(), None).await.unwrap()
}

async fn alter(world: &World, sql: &'static str) {
    let mut tx = world.db.begin().await.unwrap();
    assert!(tx.query(sql).run().await.unwrap() > 0);
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn rows_wait_for_their_number_and_then_are_read(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, tenant) = (&*world.db, world.tenant);
    write(db, tenant, 32, 2).await;
    assert_eq!(list_audit(db, tenant, 0, 10).await.unwrap(), []);
    assert_eq!(list_events(db, tenant, 0, 10).await.unwrap(), []);
    assert_eq!(tenants_to_seal(db).await.unwrap(), [tenant]);
    let before = verdict(&world).await;
    assert_eq!((before.rows, before.unsealed, before.broken), (0, 2, None));

    let outcome = seal(db, tenant, &key()).await.unwrap();
    assert_eq!((outcome.sealed, outcome.left), (4, false));
    assert_eq!(tenants_to_seal(db).await.unwrap(), []);
    let rows = list_audit(db, tenant, 0, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((rows[1].target_id.as_str(), &rows[1].detail, rows[1].at), ("32-1", &json!({ "n": 1 }), NOW));
    assert_eq!((rows[1].actor_kind.as_str(), rows[1].correlation.as_str()), ("scim_token", "test-32"));
    assert_eq!(rows[1].actor_id, Some((ids(32).make() as TokenId).to_string()));
    let events = list_events(db, tenant, 1, 10).await.unwrap();
    assert_eq!((events.len(), events[0].number, &events[0].payload), (1, 2, &json!([1])));
    let after = verdict(&world).await;
    assert_eq!((after.rows, after.unsealed, after.broken), (2, 0, None));
    assert_eq!(after.head, find_head(db, tenant).await.unwrap());
    assert_eq!(seal(db, tenant, &key()).await.unwrap().sealed, 0, "nothing is left");
}

#[rstest]
#[tokio::test]
async fn a_long_queue_is_sealed_in_batches_and_verified_in_pages(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    write(&world.db, world.tenant, 31, 1_100).await;
    let mut outcomes = vec![];
    for _ in 0..3 {
        let outcome = seal(&world.db, world.tenant, &key()).await.unwrap();
        outcomes.push((outcome.sealed, outcome.left));
    }
    assert_eq!(outcomes, [(1_000, true), (1_000, true), (200, false)]);
    let verdict = verdict(&world).await;
    assert_eq!((verdict.rows, verdict.broken), (1_100, None));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_are_gapless_among_concurrent_writers_and_sealers(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let tenant = world.tenant;
    seal(&world.db, tenant, &key()).await.unwrap();
    let mut tasks = JoinSet::new();
    for first in (50..146).step_by(12) {
        // Connections of its own, as every node of the gateway has.
        let db = Db::open(&world.db.address, PoolSize(1)).await.unwrap();
        tasks.spawn(async move {
            for seed in first..first + 12 {
                write(&db, tenant, seed, 2).await;
                seal(&db, tenant, &key()).await.unwrap();
            }
            db.close().await;
        });
    }
    tasks.join_all().await;
    let verdict = verdict(&world).await;
    assert_eq!((verdict.rows, verdict.unsealed, verdict.broken), (192, 0, None));
    let events = list_events(&*world.db, tenant, 0, 1_000).await.unwrap();
    assert!(events.iter().map(|event| event.number).eq(1..=192));
}

#[rstest]
#[case("update audit set number = 7 where number = 6", 6)]
#[case("update audit set number = -1 where number = 3", 1)]
#[case("update audit set number = null, seal = null where number = 3", 3)]
#[case("update audit set number = null, seal = null where number = 6", 6)]
#[case("update audit set id = '019cb9e4-0000-7000-8000-000000000000' where number = 3", 3)]
#[case("update audit set at_ms = at_ms + 1 where number = 3", 3)]
#[case("update audit set actor_kind = 'system' where number = 3", 3)]
#[case("update audit set actor_id = '' where number = 3", 3)]
#[case("update audit set actor_id = null where number = 4", 4)]
#[case("update audit set action = 'role.grante' where number = 3", 3)]
#[case("update audit set target_kind = 'daccount' where number = 3", 3)]
#[case("update audit set target_id = target_id || 'x' where number = 3", 3)]
#[case("update audit set correlation = '' where number = 3", 3)]
#[case("update audit set detail = '{}' where number = 3", 3)]
#[case("update audit set detail = '{\"n\": 2}' where number = 3", 3)]
#[case("update audit set seal = null where number = 3", 3)]
#[case("update audit set seal = (select seal from audit where number = 2) where number = 3", 3)]
#[case("update audit set action = 'role.grantedaccount', target_kind = '' where number = 3", 3)]
#[case("delete from audit where number = 1", 1)]
#[case("delete from audit where number = 3", 3)]
#[case("delete from audit where number = 6", 6)]
#[case("delete from audit where number > 0", 1)]
#[case("update chain_head set seal = 'x' where chain = 'audit'", 6)]
#[case("update chain_head set number = 9 where chain = 'audit'", 7)]
#[case("update chain_head set number = 5 where chain = 'audit'", 5)]
#[tokio::test]
async fn what_was_altered_is_found(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[case] sql: &'static str,
    #[case] first_broken: i64,
) {
    let world = sealed(engine).await;
    let before = verdict(&world).await;
    assert_eq!((before.rows, before.broken), (6, None));
    alter(&world, sql).await;
    let after = verdict(&world).await;
    assert_eq!(after.broken.map(|broken| broken.number), Some(first_broken));
    assert_eq!(after.rows, after.head.number, "the rows before it hold");
}

#[rstest]
#[tokio::test]
async fn swapped_rows_are_found(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = sealed(engine).await;
    for sql in [
        "update audit set number = 100 where number = 2",
        "update audit set number = 2 where number = 5",
        "update audit set number = 5 where number = 100",
    ] {
        alter(&world, sql).await;
    }
    assert_eq!(verdict(&world).await.broken.unwrap().number, 2);
}

#[rstest]
#[tokio::test]
async fn a_chain_cut_off_together_with_its_head_is_found_by_an_exported_head(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = sealed(engine).await;
    let (db, tenant) = (&*world.db, world.tenant);
    let exported = find_head(db, tenant).await.unwrap();
    write(db, tenant, 33, 1).await;
    seal(db, tenant, &key()).await.unwrap();
    assert_eq!(verify(db, tenant, &key(), Some(&exported)).await.unwrap().broken, None, "the chain has grown");

    let forged = Head { seal: "x".into(), ..exported.clone() };
    let broken = verify(db, tenant, &key(), Some(&forged)).await.unwrap().broken.unwrap();
    assert_eq!(broken, Broken { number: 6, why: "the exported head names another seal".into() });

    alter(&world, "delete from audit where number > 4").await;
    alter(&world, "update chain_head set number = 4, seal = (select seal from audit where number = 4) where chain = 'audit'").await;
    assert_eq!(verdict(&world).await.broken, None, "alone, the database looks whole");
    assert_eq!(verify(db, tenant, &key(), Some(&exported)).await.unwrap().broken.unwrap().number, 5);
}

#[rstest]
#[tokio::test]
async fn another_key_does_not_fit(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = sealed(engine).await;
    let verdict = verify(&world.db, world.tenant, &ChainKey::new([8; 32]), None).await.unwrap();
    assert_eq!(verdict.broken.unwrap().number, 1);
}

#[rstest]
#[tokio::test]
async fn each_tenant_has_a_chain_of_its_own(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let acme = sealed(engine).await;
    let theirs = acme.tenant;
    let beta = settle(acme.db, "beta", 2).await;
    write(&beta.db, beta.tenant, 41, 2).await;
    assert_eq!(seal(&beta.db, beta.tenant, &key()).await.unwrap().sealed, 4);
    let rows = |rows: i64| move |verdict: Verdict| assert_eq!((verdict.rows, verdict.broken), (rows, None));
    rows(2)(verdict(&beta).await);
    rows(6)(verify(&beta.db, theirs, &key(), None).await.unwrap());
    assert_eq!(list_audit(&*beta.db, beta.tenant, 0, 100).await.unwrap().len(), 2);
}

/// Rows 1 to 6 sealed, 1 to 4 in an archive and pruned.
async fn pruned(engine: Engine) -> (World, Vec<u8>) {
    let world = sealed(engine).await;
    let (db, tenant) = (&*world.db, world.tenant);
    let mut file = Vec::new();
    let archived = archive::write(db, tenant, "acme", &key(), NOW.plus_secs(1), &mut file).await.unwrap();
    assert_eq!((archived.rows(), archived.from.number), (6, 0));
    let steps = archive::Archived { steps: vec![line_head(&file, 4)], ..archived };
    let mut occasion = occasion(90);
    assert_eq!(archive::prune(db, tenant, &key(), &mut occasion, &steps).await.unwrap(), 4);
    let lines: Vec<_> = file.split_inclusive(|byte| *byte == b'\n').take(4).flatten().copied().collect();
    (world, lines)
}

fn line_head(file: &[u8], number: usize) -> Head {
    let line = file.split(|byte| *byte == b'\n').nth(number - 1).unwrap();
    let line: AuditLine = serde_json::from_slice(line).unwrap();
    Head { number: line.number, seal: line.seal }
}

#[rstest]
#[tokio::test]
async fn after_pruning_the_archive_and_the_rest_are_one_chain(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let (world, file) = pruned(engine).await;
    let (db, tenant) = (&*world.db, world.tenant);
    let rest = verdict(&world).await;
    assert_eq!((rest.rows, rest.anchor.number, rest.head.number, rest.broken), (2, 4, 6, None));
    assert_eq!(archive::read(&key(), (tenant, "acme"), Head::none(), None, file.as_slice()).unwrap(), rest.anchor);
    // It goes on: what comes later is sealed behind it, and archived behind it.
    seal(db, tenant, &key()).await.unwrap();
    let after = verdict(&world).await;
    assert_eq!((after.rows, after.head.number, after.broken), (3, 7, None));
    let mut second = Vec::new();
    let archived = archive::write(db, tenant, "acme", &key(), NOW.plus_secs(1), &mut second).await.unwrap();
    assert_eq!((archived.from.clone(), archived.rows()), (rest.anchor.clone(), 3));
    assert_eq!(archive::read(&key(), (tenant, "acme"), rest.anchor, None, second.as_slice()).unwrap(), *archived.last());
    let mut occasion = occasion(91);
    assert_eq!(archive::prune(db, tenant, &key(), &mut occasion, &archived).await.unwrap(), 3);
    assert_eq!(archive::prune(db, tenant, &key(), &mut occasion, &archived).await.unwrap(), 0, "twice is once");
    let empty = verdict(&world).await;
    assert_eq!((empty.rows, empty.head.number, empty.broken), (0, 7, None));
}

#[rstest]
#[case("delete from audit_anchor", 1)]
#[case("update audit_anchor set number = 5, seal = (select seal from audit where number = 5)", 5)]
#[case("update audit_anchor set seal = 'x'", 4)]
#[case("update audit_anchor set tag = 'x'", 4)]
#[case("update audit set number = 2 where number = 6", 5)]
#[case("delete from audit where number = 5", 5)]
#[case("update audit set detail = '{}' where number = 5", 5)]
#[tokio::test]
async fn nobody_without_the_key_moves_the_anchor(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[case] sql: &'static str,
    #[case] first_broken: i64,
) {
    let (world, _) = pruned(engine).await;
    assert_eq!(verdict(&world).await.broken, None);
    alter(&world, sql).await;
    assert_eq!(verdict(&world).await.broken.map(|broken| broken.number), Some(first_broken));
}

#[tokio::test]
async fn an_archive_that_was_altered_is_found() {
    let (world, file) = pruned(Engine::Sqlite).await;
    let text = String::from_utf8(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let read = |lines: &[&str]| archive::read(&key(), (world.tenant, "acme"), Head::none(), None, lines.join("\n").as_bytes());
    assert_eq!(read(&lines).unwrap().number, 4);
    for (from, to) in [
        ("\"action\":\"role.granted\"", "\"action\":\"role.revoked\""),
        ("\"kind\":\"account\"", "\"kind\":\"group\""),
        ("\"id\":\"32-0\"", "\"id\":\"32-9\""),
        ("{\"n\":0}", "{\"n\":2}"),
        ("\"correlation\":\"test-32\"", "\"correlation\":\"test-31\""),
        ("\"number\":2", "\"number\":3"),
        ("\"at\":\"2026", "\"at\":\"2027"),
    ] {
        let altered = lines[1].replacen(from, to, 1);
        assert_ne!(altered, lines[1], "{from} is in {}", lines[1]);
        let refused = read(&[lines[0], &altered, lines[2], lines[3]]).unwrap_err();
        assert!(matches!(&refused, ArchiveError::Broken(broken) if broken.number == 2), "{from}: {refused}");
    }
    assert!(read(&[lines[1], lines[2], lines[3]]).is_err(), "the first is missing");
    assert!(read(&[lines[0], lines[2], lines[3]]).is_err(), "one in the middle is missing");
    assert!(read(&[lines[0], lines[2], lines[1], lines[3]]).is_err(), "two are swapped");
    assert_eq!(read(&lines[..3]).unwrap().number, 3, "a missing last one shows where the database goes on");
    assert!(matches!(read(&["x"]).unwrap_err(), ArchiveError::Line { line: 1, .. }));
}

#[rstest]
#[tokio::test]
async fn only_what_is_old_is_archived_and_nothing_of_a_broken_chain(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = sealed(engine).await;
    let (db, tenant) = (&*world.db, world.tenant);
    let mut file = Vec::new();
    let none = archive::write(db, tenant, "acme", &key(), NOW, &mut file).await.unwrap();
    assert_eq!((none.rows(), file.len()), (0, 0));
    alter(&world, "update audit set detail = '{}' where number = 3").await;
    let refused = archive::write(db, tenant, "acme", &key(), NOW.plus_secs(1), &mut file).await.unwrap_err();
    assert!(matches!(&refused, ArchiveError::Broken(broken) if broken.number == 3), "{refused}");
}
