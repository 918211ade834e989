//! What a changed file does to people who are there already, on both engines.

use std::path::Path;

use rolegate::{
    admin::{
        apply::{Applied, ApplyError, apply, preview},
        listing,
        plan::Metadata,
        tenant_file::TenantFile,
    },
    db::{self, Db},
    domain::{
        identity::{GroupRef, Identity, Protocol},
        secret::Secret,
    },
    provision::{
        PublishedCache,
        sign_in::{Claim, SignIn, seek, sign_in},
    },
};
use rstest::rstest;
use serde_json::json;

use crate::common::{engines::Engine, occasion};

const HEAD: &str = r#"
[tenant]
slug = "acme"
name = "Acme"
preset = "idaas"
settings = { min_owners = 1 }
"#;

const OWNER: &str = r#"
[[owners]]
email = "owner@acme.example"
name = "First Owner"
"#;

const CONNECTION: &str = r#"
[[connections]]
slug = "acme-okta"
allow_owner_grants = true
[connections.saml]
enabled = true
jit = "create"
[connections.default_mapping]
roles = ["Help Desk Administrator"]
apply = "on_create"
[[connections.rules]]
name = "auditors"
when = 'groups[value eq "audit"]'
grant = [{ role = "Auditor" }]
"#;

const OWNER_RULE: &str = r#"
[[connections.rules]]
name = "owners"
when = 'groups[value eq "owners"]'
grant = [{ role = "Super Administrator" }]
"#;

async fn try_apply(db: &Db, parts: &[&str], seed: u8) -> Result<Applied, ApplyError> {
    let file = TenantFile::parse(Path::new("acme.toml"), &parts.concat()).unwrap();
    apply(db, &mut occasion(seed), &mut || Secret::new(format!("secret-{seed}")), &file, &Metadata::new()).await
}

async fn apply_parts(db: &Db, parts: &[&str], seed: u8) -> Applied {
    try_apply(db, parts, seed).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Somebody signs in through the connection.
async fn enters(db: &Db, name: &str, groups: &[&str], seed: u8) {
    let connection = db::connection::find_connection_by_slug(db, "acme-okta").await.unwrap().unwrap().connection;
    let identity = Identity {
        source: Protocol::Saml,
        attributes: json!({ "userName": name }).as_object().unwrap().clone(),
        groups: Some(groups.iter().map(|value| GroupRef { value: (*value).to_owned(), display: None }).collect()),
        active: true,
        authn_context: None,
    };
    let claim = Claim { subject: name.to_owned(), correlation: None, identity };
    let mut tx = db.begin().await.unwrap();
    let published = PublishedCache::default().read(&mut tx, connection.tenant, connection.id).await.unwrap().unwrap();
    let sought = seek(&mut tx, &published.connection, &claim).await.unwrap();
    let outcome = sign_in(&mut tx, &published, &mut occasion(seed), claim, sought).await.unwrap();
    assert!(matches!(outcome, SignIn::Admitted { .. }), "{name} was refused");
    tx.commit().await.unwrap();
}

/// `role: kind of origin, …` of one account.
async fn held(db: &Db, applied: &Applied, name: &str) -> Vec<String> {
    let rows = listing::find_accounts(db, applied.tenant, name).await.unwrap();
    let mut held: Vec<_> = rows[0]
        .assignments
        .iter()
        .map(|held| {
            let origins: Vec<_> = held.origins.iter().map(|origin| origin.rule.clone().unwrap_or_else(|| origin.kind.clone())).collect();
            format!("{}: {}", held.role, origins.join(", "))
        })
        .collect();
    held.sort();
    held
}

#[rstest]
#[tokio::test]
async fn a_changed_rule_withdraws_exactly_what_it_gave_and_plan_counts_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let applied = apply_parts(&db, &[HEAD, OWNER, CONNECTION], 1).await;
    enters(&db, "ann", &["audit"], 2).await;
    enters(&db, "bob", &[], 3).await;
    assert_eq!(held(&db, &applied, "ann").await, ["Auditor: auditors", "Help Desk Administrator: default"]);

    let changed = CONNECTION.replace("\"audit\"", "\"revision\"");
    let file = TenantFile::parse(Path::new("acme.toml"), &[HEAD, OWNER, &changed].concat()).unwrap();
    let previewed = preview(&db, &mut occasion(4), &file, &Metadata::new()).await.unwrap();
    assert_eq!((previewed.counts.origins_added, previewed.counts.origins_removed, previewed.counts.accounts), (0, 1, 1));
    assert_eq!(held(&db, &applied, "ann").await.len(), 2, "a preview writes nothing");

    let after = apply_parts(&db, &[HEAD, OWNER, &changed], 5).await;
    assert_eq!(after.counts, previewed.counts);
    assert!(after.unfinished.is_empty());
    assert_eq!(held(&db, &applied, "ann").await, ["Help Desk Administrator: default"]);
    assert_eq!(held(&db, &applied, "bob").await, ["Help Desk Administrator: default"]);
}

#[rstest]
#[tokio::test]
async fn a_rule_that_vanishes_can_leave_what_it_gave_to_people(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let kept = CONNECTION.replace("grant = [{ role = \"Auditor\" }]", "grant = [{ role = \"Auditor\" }]\non_delete = \"keep_as_manual\"");
    let applied = apply_parts(&db, &[HEAD, OWNER, &kept, OWNER_RULE], 1).await;
    enters(&db, "ann", &["audit"], 2).await;
    enters(&db, "bob", &[], 3).await;
    let without = &kept[..kept.find("[[connections.rules]]").unwrap()];
    let file = TenantFile::parse(Path::new("acme.toml"), &[HEAD, OWNER, without].concat()).unwrap();
    let previewed = preview(&db, &mut occasion(4), &file, &Metadata::new()).await.unwrap();
    let gone = apply_parts(&db, &[HEAD, OWNER, without], 5).await;
    assert_eq!(gone.counts, previewed.counts);
    assert_eq!((gone.counts.origins_added, gone.counts.origins_removed, gone.counts.accounts), (1, 1, 1));
    assert_eq!(held(&db, &applied, "ann").await, ["Auditor: manual", "Help Desk Administrator: default"]);
    assert_eq!(held(&db, &applied, "bob").await, ["Help Desk Administrator: default"]);
    enters(&db, "ann", &[], 6).await;
    assert_eq!(held(&db, &applied, "ann").await, ["Auditor: manual", "Help Desk Administrator: default"], "nor is it a sync's any more");
}

#[rstest]
#[tokio::test]
async fn a_connection_that_vanishes_takes_back_all_it_gave_and_its_rules_work_again_when_it_returns(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let db = engine.fresh().await;
    let applied = apply_parts(&db, &[HEAD, OWNER, CONNECTION], 1).await;
    enters(&db, "ann", &["audit"], 2).await;
    let gone = apply_parts(&db, &[HEAD, OWNER], 3).await;
    assert_eq!((gone.counts.origins_removed, gone.counts.accounts), (2, 1));
    assert!(held(&db, &applied, "ann").await.is_empty());
    let row = db::connection::find_connection_by_slug(&*db, "acme-okta").await.unwrap().unwrap();
    assert!(!row.connection.enabled);
    assert!(apply_parts(&db, &[HEAD, OWNER], 4).await.changes.is_empty());

    apply_parts(&db, &[HEAD, OWNER, CONNECTION], 5).await;
    assert_eq!(held(&db, &applied, "ann").await, ["Auditor: auditors"], "a default that is given once is not given again");
}

#[rstest]
#[tokio::test]
async fn no_file_takes_the_last_owner_nor_the_last_way_in_without_an_identity_provider(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let db = engine.fresh().await;
    let applied = apply_parts(&db, &[HEAD, OWNER, CONNECTION, OWNER_RULE], 1).await;
    enters(&db, "ann", &["owners"], 2).await;
    assert_eq!(held(&db, &applied, "ann").await, ["Help Desk Administrator: default", "Super Administrator: owners"]);

    let refused = try_apply(&db, &[HEAD, CONNECTION, OWNER_RULE], 3).await.unwrap_err();
    assert!(matches!(refused, ApplyError::NoLocalOwner), "{refused}");
    apply_parts(&db, &[HEAD, OWNER, CONNECTION], 4).await;
    assert_eq!(held(&db, &applied, "ann").await, ["Help Desk Administrator: default"], "another owner is there");
}

#[rstest]
#[tokio::test]
async fn a_rule_change_that_would_drop_the_only_owner_is_refused_in_plan_and_in_apply(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let db = engine.fresh().await;
    let applied = apply_parts(&db, &[HEAD, CONNECTION, OWNER_RULE], 1).await;
    enters(&db, "ann", &["owners"], 2).await;
    let file = TenantFile::parse(Path::new("acme.toml"), &[HEAD, CONNECTION].concat()).unwrap();
    for refused in [
        preview(&db, &mut occasion(3), &file, &Metadata::new()).await.unwrap_err(),
        try_apply(&db, &[HEAD, CONNECTION], 4).await.unwrap_err(),
        try_apply(&db, &[HEAD], 5).await.unwrap_err(),
    ] {
        assert!(matches!(refused, ApplyError::LastOwner | ApplyError::Provision(_)), "{refused}");
        assert!(refused.to_string().contains("make another owner first"), "{refused}");
    }
    assert!(held(&db, &applied, "ann").await.contains(&"Super Administrator: owners".to_owned()));
}
