use rolegate::db::{
    DbError,
    domain::{DomainRow, delete_domain, find_domain, find_verified, insert_domain, list_domains, verify_domain},
};
use rstest::rstest;

use super::world::{World, settle, world};
use crate::common::{NOW, engines::Engine};

fn row(world: &World, domain: &str) -> DomainRow {
    DomainRow {
        tenant: world.tenant,
        organization: world.root,
        domain: domain.to_owned(),
        verification_token: format!("token of {}", world.tenant),
        created_at: NOW,
        verified_at: None,
    }
}

#[rstest]
#[tokio::test]
async fn a_domain_is_claimed_by_many_and_verified_for_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let one = world(engine).await;
    let (tenant, root) = (one.tenant, one.root);
    let first = row(&one, "acme.example");
    let two = settle(one.db, "other", 2).await;
    let second = row(&two, "acme.example");
    let db = &two.db;
    let mut tx = db.begin().await.unwrap();
    assert!(insert_domain(&mut tx, &first).await.unwrap() && insert_domain(&mut tx, &second).await.unwrap());
    assert!(!insert_domain(&mut tx, &first).await.unwrap());
    assert_eq!(find_verified(&mut tx, "acme.example").await.unwrap(), None);
    let later = NOW.plus_secs(60);
    assert!(verify_domain(&mut tx, tenant, root, "acme.example", later).await.unwrap());
    assert!(!verify_domain(&mut tx, two.tenant, two.root, "acme.example", later).await.unwrap());
    assert!(verify_domain(&mut tx, tenant, root, "acme.example", later).await.unwrap(), "again is once");
    tx.commit().await.unwrap();
    let verified = DomainRow { verified_at: Some(later), ..first.clone() };
    assert_eq!(find_verified(&**db, "acme.example").await.unwrap(), Some(verified.clone()));
    assert_eq!(find_domain(&**db, two.tenant, two.root, "acme.example").await.unwrap(), Some(second));
    assert_eq!(list_domains(&**db, tenant, root).await.unwrap(), [verified]);

    let mut tx = db.begin().await.unwrap();
    assert!(delete_domain(&mut tx, tenant, root, "acme.example").await.unwrap());
    assert!(!delete_domain(&mut tx, tenant, root, "acme.example").await.unwrap());
    assert!(verify_domain(&mut tx, two.tenant, two.root, "acme.example", later).await.unwrap(), "it is free again");
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn the_index_itself_keeps_a_second_one_from_being_verified(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let one = world(engine).await;
    let first = DomainRow { verified_at: Some(NOW), ..row(&one, "acme.example") };
    let two = settle(one.db, "other", 2).await;
    let mut tx = two.db.begin().await.unwrap();
    assert!(insert_domain(&mut tx, &first).await.unwrap() && insert_domain(&mut tx, &row(&two, "acme.example")).await.unwrap());
    let sql = "update organization_domain set verified_at_ms = 1 where tenant = $1";
    let outcome = tx.query(sql).bind(two.tenant.to_string()).run().await;
    assert!(matches!(outcome, Err(DbError::Taken(_))), "{outcome:?}");
}
