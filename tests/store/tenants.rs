use std::collections::BTreeMap;

use rolegate::{
    db::{
        model::{load_model, read_versions},
        organization::{delete_organization, insert_organization, insert_scope, list_organizations, list_scopes, update_organization},
        role::{delete_role, insert_entities, insert_roles, list_entities, list_roles, update_role},
        tenant::{find_tenant, find_tenant_by_slug, insert_tenant, list_tenants, lock_owner_floor, raise_model_version, update_tenant},
    },
    domain::{
        capability::Capability,
        catalogue::{Entity, Permission},
        name::{Slug, Title},
        organization::ResourceScope,
    },
};
use rstest::rstest;

use super::world::{organization, role, tenant, world};
use crate::common::{NOW, engines::Engine, ids};

fn entity(key: &str, actions: &[&str]) -> Entity {
    Entity {
        key: key.into(),
        name: key.to_uppercase(),
        category: "General".into(),
        description: String::new(),
        actions: actions.iter().map(|&action| action.into()).collect(),
        opens: BTreeMap::from([("read".to_owned(), vec![Capability::LogsRead])]),
        scope_kind: "organization".into(),
        labels: BTreeMap::new(),
        sensitive: false,
    }
}

#[rstest]
#[tokio::test]
async fn a_tenant_is_read_as_it_was_written(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let mut written = tenant(&mut ids(1), "acme");
    let mut tx = db.begin().await.unwrap();
    assert!(insert_tenant(&mut tx, &written, NOW).await.unwrap());
    assert_eq!(find_tenant_by_slug(&mut tx, "acme").await.unwrap().as_ref(), Some(&written), "inside the transaction");
    assert_eq!(find_tenant_by_slug(&*db, "acme").await.unwrap(), None, "and nowhere else yet");
    tx.commit().await.unwrap();

    written.name = Title::parse("name", "Acme Two").unwrap();
    written.settings.min_owners = 1;
    let mut tx = db.begin().await.unwrap();
    assert!(update_tenant(&mut tx, &written).await.unwrap());
    assert_eq!(raise_model_version(&mut tx, written.id).await.unwrap(), 3);
    lock_owner_floor(&mut tx, written.id).await.unwrap();
    tx.commit().await.unwrap();
    written.model_version = 3;
    assert_eq!(find_tenant(&*db, written.id).await.unwrap().as_ref(), Some(&written));
    assert_eq!(list_tenants(&*db).await.unwrap(), [written]);
}

#[rstest]
#[tokio::test]
async fn what_the_file_of_a_tenant_names_is_unknown_where_it_was_not_kept_which_is_not_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let db = engine.fresh().await;
    let settings = serde_json::to_string(&tenant(&mut ids(1), "acme").settings).unwrap();
    let mut tx = db.begin().await.unwrap();
    // As a version writes it that does not know the column.
    let sql = "insert into tenant (id, slug, name, preset, preset_version, settings, model_version, created_at_ms)
        values ($1, 'old', 'Old', 'idaas', 1, $2, 1, 0)";
    tx.query(sql).bind(tenant(&mut ids(2), "old").id.to_string()).bind(settings).run().await.unwrap();
    let mut written = find_tenant_by_slug(&mut tx, "old").await.unwrap().unwrap();
    assert_eq!(written.file_settings, None);
    written.file_settings = Some(std::collections::BTreeSet::new());
    assert!(update_tenant(&mut tx, &written).await.unwrap());
    assert_eq!(find_tenant(&mut tx, written.id).await.unwrap().unwrap().file_settings, written.file_settings);
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_taken_slug_is_said_and_the_transaction_goes_on(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let mut tx = db.begin().await.unwrap();
    assert!(insert_tenant(&mut tx, &tenant(&mut ids(1), "acme"), NOW).await.unwrap());
    assert!(!insert_tenant(&mut tx, &tenant(&mut ids(2), "acme"), NOW).await.unwrap());
    assert!(insert_tenant(&mut tx, &tenant(&mut ids(3), "beta"), NOW).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(list_tenants(&*db).await.unwrap().len(), 2);
}

#[rstest]
#[tokio::test]
async fn organizations_move_are_renamed_and_deleted_when_nothing_hangs_on_them(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let (db, mut ids) = (&world.db, ids(9));
    let mut europe = organization(&mut ids, Some(world.root), "europe");
    let asia = organization(&mut ids, Some(world.root), "asia");
    let scope =
        ResourceScope { id: ids.make(), organization: asia.id, kind: "context".into(), name: Title::parse("name", "Shop").unwrap() };
    let mut tx = db.begin().await.unwrap();
    assert!(insert_organization(&mut tx, world.tenant, &europe, false, NOW).await.unwrap());
    assert!(insert_organization(&mut tx, world.tenant, &asia, true, NOW).await.unwrap());
    assert!(!insert_organization(&mut tx, world.tenant, &organization(&mut ids, Some(world.root), "asia"), true, NOW).await.unwrap());
    assert!(insert_scope(&mut tx, world.tenant, &scope, NOW).await.unwrap());
    europe.parent = Some(asia.id);
    europe.slug = Slug::parse("asia").unwrap();
    assert!(!update_organization(&mut tx, world.tenant, &europe).await.unwrap(), "the slug is taken");
    europe.slug = Slug::parse("eurasia").unwrap();
    assert!(update_organization(&mut tx, world.tenant, &europe).await.unwrap());
    assert!(!delete_organization(&mut tx, world.tenant, asia.id, NOW).await.unwrap(), "it has a child and a scope");
    assert!(!delete_organization(&mut tx, world.tenant, world.root, NOW).await.unwrap());
    tx.commit().await.unwrap();

    let rows = list_organizations(&**db, world.tenant).await.unwrap();
    let rows: Vec<_> = rows.into_iter().filter(|row| row.organization.id != world.root).collect();
    assert_eq!(rows.iter().map(|row| (&row.organization, row.from_file)).collect::<Vec<_>>(), [(&europe, false), (&asia, true)]);
    assert_eq!(list_scopes(&**db, world.tenant).await.unwrap(), [scope]);

    let mut tx = db.begin().await.unwrap();
    assert!(delete_organization(&mut tx, world.tenant, europe.id, NOW).await.unwrap());
    assert!(!delete_organization(&mut tx, world.tenant, europe.id, NOW).await.unwrap(), "it is gone");
    tx.commit().await.unwrap();
    assert_eq!(list_organizations(&**db, world.tenant).await.unwrap().len(), 2);
}

#[rstest]
#[tokio::test]
async fn roles_are_read_as_they_were_written_in_any_number(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let mut ids = ids(9);
    let roles: Vec<_> = (0..1_203).map(|n| role(&mut ids, &format!("Role {n}"), &["logs:read", "a:*"])).collect();
    let mut tx = world.db.begin().await.unwrap();
    assert!(insert_roles(&mut tx, world.tenant, &roles, true, NOW).await.unwrap());
    tx.commit().await.unwrap();
    let read = list_roles(&*world.db, world.tenant).await.unwrap();
    assert!(read.iter().all(|row| row.from_file));
    assert_eq!(read.into_iter().map(|row| row.role).collect::<Vec<_>>(), roles);
}

#[rstest]
#[tokio::test]
async fn names_of_roles_are_unique_after_folding(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let mut ids = ids(9);
    let editor = role(&mut ids, "Théme Editor", &["logs:read"]);
    let mut viewer = role(&mut ids, "Viewer", &["logs:read"]);
    let mut tx = world.db.begin().await.unwrap();
    assert!(insert_roles(&mut tx, world.tenant, &[editor.clone(), viewer.clone()], false, NOW).await.unwrap());
    assert!(!insert_roles(&mut tx, world.tenant, &[role(&mut ids, "THE\u{301}ME EDITOR", &["a:*"])], false, NOW).await.unwrap());
    viewer.name = Title::parse("name", "théme editor").unwrap();
    assert!(!update_role(&mut tx, world.tenant, &viewer).await.unwrap());
    viewer.name = Title::parse("name", "VIEWER").unwrap();
    viewer.permissions = [Permission::parse("*:read").unwrap()].into();
    assert!(update_role(&mut tx, world.tenant, &viewer).await.unwrap(), "its own name in capitals");
    assert!(delete_role(&mut tx, world.tenant, editor.id).await.unwrap());
    tx.commit().await.unwrap();
    let read: Vec<_> = list_roles(&*world.db, world.tenant).await.unwrap().into_iter().map(|row| row.role).collect();
    assert_eq!(read, [viewer]);
}

#[rstest]
#[tokio::test]
async fn a_role_that_somebody_holds_is_not_deleted(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let mut ids = ids(9);
    let held = role(&mut ids, "Held", &["logs:read"]);
    let mut tx = world.db.begin().await.unwrap();
    assert!(insert_roles(&mut tx, world.tenant, std::slice::from_ref(&held), false, NOW).await.unwrap());
    tx.query(
        "insert into assignment (tenant, id, account, role, organization, resource_scope, reach, created_at_ms)
        values ($1, 'x', $2, $3, $4, '', 'subtree', 0)",
    )
    .bind(world.tenant.to_string())
    .bind(world.account.to_string())
    .bind(held.id.to_string())
    .bind(world.root.to_string())
    .run()
    .await
    .unwrap();
    assert!(!delete_role(&mut tx, world.tenant, held.id).await.unwrap());
}

#[rstest]
#[tokio::test]
async fn a_model_is_loaded_whole_and_its_version_is_known(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let mut ids = ids(9);
    let admin = role(&mut ids, "Admin", &["logs:*"]);
    let mut tx = world.db.begin().await.unwrap();
    insert_entities(&mut tx, world.tenant, &[entity("logs", &["read"]), entity("users", &["read"])]).await.unwrap();
    insert_entities(&mut tx, world.tenant, &[entity("logs", &["read", "export"])]).await.unwrap();
    assert!(insert_roles(&mut tx, world.tenant, std::slice::from_ref(&admin), false, NOW).await.unwrap());
    raise_model_version(&mut tx, world.tenant).await.unwrap();
    let inside = load_model(&mut tx, world.tenant).await.unwrap();
    tx.commit().await.unwrap();

    let model = load_model(&*world.db, world.tenant).await.unwrap();
    assert_eq!((model.version, inside.version), (2, 2));
    assert_eq!(model.organizations.root(), world.root);
    assert_eq!(model.role_named("ADMIN"), Some(&admin));
    assert_eq!(model.catalogue.find("logs").unwrap().actions, ["read", "export"], "a later entity replaces the earlier");
    assert_eq!(list_entities(&*world.db, world.tenant).await.unwrap().len(), 2);
    let versions = read_versions(&*world.db, world.tenant, world.connection).await.unwrap().unwrap();
    assert_eq!((versions.connection, versions.mapping, versions.model), (1, 0, 2));
    assert_eq!(read_versions(&*world.db, world.tenant, ids.make()).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_model_loaded_amid_changes_is_of_one_version(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let world = world(engine).await;
    let tenant = world.tenant;
    let db = (*world.db).clone();
    // Each change adds one organization, one role and one to the version; requests run in tasks, so loading must be able to as well.
    let writer = tokio::spawn(async move {
        let mut ids = ids(9);
        for n in 0..20 {
            let mut tx = db.begin().await.unwrap();
            let child = organization(&mut ids, Some(world.root), &format!("child-{n}"));
            raise_model_version(&mut tx, tenant).await.unwrap();
            assert!(insert_organization(&mut tx, tenant, &child, false, NOW).await.unwrap());
            assert!(insert_roles(&mut tx, tenant, &[role(&mut ids, &format!("Role {n}"), &["a:*"])], false, NOW).await.unwrap());
            tx.commit().await.unwrap();
        }
    });
    let db = (*world.db).clone();
    let reader = tokio::spawn(async move {
        loop {
            let model = load_model(&db, tenant).await.unwrap();
            let changes = model.version - 1;
            assert_eq!(model.roles().count(), usize::try_from(changes).unwrap());
            assert_eq!(model.organizations.iter().count(), usize::try_from(changes).unwrap() + 1);
            if changes == 20 {
                return;
            }
        }
    });
    writer.await.unwrap();
    reader.await.unwrap();
}
