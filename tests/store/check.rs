//! What the permission check reads, to the last column.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rolegate::{
    db::{
        Db, DbError,
        account::raise_held_versions,
        assignment::{NewOrigin, insert_assignments, insert_origins},
        check::{AccountState, Facts, Giver, Holdings, read_facts},
        connection::insert_connection,
        role::insert_roles,
    },
    domain::{
        account::SignInStatus,
        assignment::{Assignment, Holding, Origin, OriginRow, Reach},
        id::{AccountId, ConnectionId, IdSource, OrganizationId, TenantId, kind},
        time::Timestamp,
    },
};
use rstest::rstest;

use super::world::{World, connection, role, settle, world};
use crate::common::{NOW, engines::Engine, ids};

const LATER: Timestamp = Timestamp::from_millis(1_772_500_001_000);

/// Writes them, and the origins of [`LATER`] in a statement of their own.
async fn give(db: &Db, tenant: TenantId, held: &[Assignment]) {
    let rows: Vec<_> = held.iter().map(|held| (held.id, held.account, held.holding)).collect();
    let mut tx = db.begin().await.unwrap();
    insert_assignments(&mut tx, tenant, &rows, NOW).await.unwrap();
    for since in [NOW, LATER] {
        let rows = held.iter().flat_map(|held| held.origins.iter().map(move |row| (held, row))).filter(|(_, row)| row.since == since);
        let rows: Vec<_> = rows
            .map(|(held, row)| NewOrigin { assignment: held.id, account: held.account, origin: row.origin, may_delegate: row.may_delegate })
            .collect();
        insert_origins(&mut tx, tenant, &rows, since).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn alter(db: &Db, sql: &'static str, value: &str) {
    let mut tx = db.begin().await.unwrap();
    assert_eq!(tx.query(sql).bind(value).run().await.unwrap(), 1);
    tx.commit().await.unwrap();
}

async fn add_account(db: &Db, tenant: TenantId, account: AccountId, status: &'static str) {
    let sql = "insert into account
        (tenant, id, user_name, user_name_key, kind, status, has_local_credential, from_file, created_at_ms, changed_at_ms)
        values ($1, $2, $2, $2, 'human', $3, $4, $4, 0, 0)";
    let mut tx = db.begin().await.unwrap();
    tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).bind(status).bind(false).run().await.unwrap();
    tx.commit().await.unwrap();
}

async fn add_connection(world: &World, ids: &mut IdSource, slug: &str) -> ConnectionId {
    let added = connection(ids, world.tenant, world.root, slug);
    let mut tx = world.db.begin().await.unwrap();
    assert!(insert_connection(&mut tx, &added, false, NOW).await.unwrap());
    tx.commit().await.unwrap();
    added.id
}

/// A role at an organization, which nobody has yet.
async fn place(db: &Db, tenant: TenantId, organization: OrganizationId, ids: &mut IdSource) -> Holding {
    let role = role(ids, "Editor", &["settings:*"]);
    let mut tx = db.begin().await.unwrap();
    assert!(insert_roles(&mut tx, tenant, std::slice::from_ref(&role), false, NOW).await.unwrap());
    tx.commit().await.unwrap();
    Holding { role: role.id, organization, resource_scope: None, reach: Reach::Subtree }
}

fn because<const N: usize>(origins: [(Origin, Timestamp, bool); N]) -> Vec<OriginRow> {
    origins.map(|(origin, since, may_delegate)| OriginRow { origin, since, may_delegate, dormant: false }).into()
}

fn state(status: SignInStatus, held_version: i64) -> AccountState {
    AccountState { status, held_version }
}

fn holdings<const N: usize>(version: i64, assignments: [Assignment; N]) -> Arc<Holdings> {
    Arc::new(Holdings { version, assignments: assignments.into() })
}

#[rstest]
#[tokio::test]
async fn what_accounts_hold_is_read_to_the_last_column(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let acme = world(engine).await;
    let (theirs, their_root, their_account) = (acme.tenant, acme.root, acme.account);
    let world = settle(acme.db, "zeta", 2).await;
    let (db, tenant, ada, mut ids) = (&*world.db, world.tenant, world.account, ids(9));
    let (holder, without, stranger): (AccountId, AccountId, AccountId) = (ids.make(), ids.make(), ids.make());
    add_account(db, tenant, holder, "pending").await;
    add_account(db, tenant, without, "blocked").await;
    let (scim, saml) = (world.connection, add_connection(&world, &mut ids, "zeta-saml").await);
    add_connection(&world, &mut ids, "zeta-gave-nothing").await;
    alter(db, "update connection set mapping_version = 7 where slug = $1", "zeta-saml").await;
    let everywhere = place(db, tenant, world.root, &mut ids).await;
    let narrow = Holding { resource_scope: Some(ids.make()), reach: Reach::Organization, ..everywhere };
    let rules = [ids.make(), ids.make()];
    let origins = because([
        (Origin::Manual { by: Some(ada) }, LATER, true),
        (Origin::ScimRule { connection: scim, rule: rules[0] }, NOW, false),
        (Origin::ScimRule { connection: scim, rule: rules[1] }, LATER, false),
        (Origin::SamlRule { connection: saml, rule: rules[0] }, NOW, false),
        (Origin::Default { connection: saml }, NOW, false),
        (Origin::AutoJoin, NOW, false),
        (Origin::FirstUser, LATER, false),
        (Origin::Invitation { by: Some(ada) }, NOW, true),
        (Origin::DirectorySync { connection: scim }, NOW, false),
        (Origin::Bootstrap, NOW, false),
        (Origin::Retention, NOW, false),
    ]);
    let by_nobody = because([(Origin::Manual { by: None }, NOW, false), (Origin::Invitation { by: None }, LATER, true)]);
    let adas = Assignment { id: ids.make(), account: ada, holding: everywhere, origins };
    let first = Assignment { id: ids.make(), account: holder, holding: everywhere, origins: by_nobody.clone() };
    let second = Assignment { id: ids.make(), account: holder, holding: narrow, origins: by_nobody.clone() };
    // The last first: what is read does not depend on the order of writing.
    give(db, tenant, &[second.clone(), first.clone(), adas.clone()]).await;
    let elsewhere = place(db, theirs, their_root, &mut ids).await;
    give(db, theirs, &[Assignment { id: ids.make(), account: their_account, holding: elsewhere, origins: by_nobody }]).await;
    let mut tx = db.begin().await.unwrap();
    raise_held_versions(&mut tx, tenant, &[holder].into()).await.unwrap();
    raise_held_versions(&mut tx, tenant, &[holder].into()).await.unwrap();
    tx.commit().await.unwrap();

    let asked = BTreeSet::from([ada, holder, without, stranger, their_account]);
    let whole = Facts {
        model_version: 1,
        accounts: [
            (ada, state(SignInStatus::Active, 0)),
            (holder, state(SignInStatus::Pending, 2)),
            (without, state(SignInStatus::Blocked, 0)),
        ]
        .into(),
        read: [(ada, holdings(0, [adas])), (holder, holdings(2, [first, second])), (without, holdings(0, []))].into(),
        givers: [
            (scim, Giver { slug: "zeta-okta".into(), mapping_version: 0 }),
            (saml, Giver { slug: "zeta-saml".into(), mapping_version: 7 }),
        ]
        .into(),
    };
    assert_eq!(read_facts(db, tenant, &asked, &BTreeMap::new()).await.unwrap().unwrap(), whole);
    // What is known is not read again, nor what those hold who are not asked about; connections are, whoever names them.
    let mut rest = whole.clone();
    let kept: BTreeMap<_, _> = rest.read.remove_entry(&ada).into_iter().collect();
    assert_eq!(read_facts(db, tenant, &asked, &kept).await.unwrap().unwrap(), rest);
    let nothing = Facts { read: BTreeMap::new(), ..whole.clone() };
    assert_eq!(read_facts(db, tenant, &asked, &whole.read).await.unwrap().unwrap(), nothing);
    let of_one = Facts {
        accounts: [(without, state(SignInStatus::Blocked, 0))].into(),
        read: [(without, holdings(0, []))].into(),
        givers: BTreeMap::new(),
        ..whole.clone()
    };
    assert_eq!(read_facts(db, tenant, &[without].into(), &BTreeMap::new()).await.unwrap().unwrap(), of_one);
    let of_nobody = Facts { accounts: BTreeMap::new(), read: BTreeMap::new(), givers: BTreeMap::new(), ..whole };
    assert_eq!(read_facts(db, tenant, &[stranger, their_account].into(), &BTreeMap::new()).await.unwrap().unwrap(), of_nobody);
    assert_eq!(read_facts(db, ids.make(), &asked, &BTreeMap::new()).await.unwrap(), None, "no such tenant");
}

#[rstest]
#[tokio::test]
async fn what_cannot_be_read_is_said_to_be_corrupt(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, tenant, account, mut ids) = (&*world.db, world.tenant, world.account, ids(9));
    let held =
        |origin, ids: &mut IdSource, holding| Assignment { id: ids.make(), account, holding, origins: because([(origin, NOW, false)]) };
    let everywhere = place(db, tenant, world.root, &mut ids).await;
    let by_rule = held(Origin::ScimRule { connection: world.connection, rule: ids.make() }, &mut ids, everywhere);
    let narrow = Holding { reach: Reach::Organization, ..everywhere };
    let by_hand = held(Origin::Manual { by: Some(account) }, &mut ids, narrow);
    give(db, tenant, &[by_rule, by_hand]).await;
    let (account, some_id) = ([account].into(), ids.make::<kind::Rule>().to_string());
    let read = async || read_facts(db, tenant, &account, &BTreeMap::new()).await;
    for (sql, sound, damaged, what) in [
        ("update account set status = $1", "active", &["", "asleep", "active now", "active 0,"][..], "account"),
        (
            "update assignment set reach = $1 where reach <> 'subtree'",
            "organization",
            &["", "far", "far away", "organization,"],
            "assignment",
        ),
        ("update assignment set resource_scope = $1 where reach = 'subtree'", "", &["here", "not here", ","], "assignment"),
        (
            "update assignment_origin set kind = $1 where rule = ''",
            "manual",
            &["", "gift", "by hand", "manual,manual"],
            "assignment_origin",
        ),
        ("update assignment_origin set rule = $1 where kind = 'scim_rule'", &some_id, &["", "one", "rule one"], "assignment_origin"),
        ("update assignment_origin set granted_by = $1 where kind = 'manual'", &some_id, &["", "ada", "ada ada"], "assignment_origin"),
        ("update connection set slug = $1", "acme-okta", &["acme okta", "acme,okta"], "connection"),
    ] {
        for damaged in damaged {
            alter(db, sql, damaged).await;
            let error = read().await.unwrap_err();
            let DbError::Corrupt { what: found, .. } = &error else { panic!("{sql} {damaged:?}: {error}") };
            assert!(found.starts_with(what), "{sql} {damaged:?}: {error}");
            alter(db, sql, sound).await;
            read().await.unwrap().unwrap();
        }
    }
}
