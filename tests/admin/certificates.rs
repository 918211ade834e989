//! Certificates that come with the metadata a file names.

use std::path::Path;

use rolegate::{
    admin::{
        apply::{Applied, apply},
        plan::Metadata,
        tenant_file::TenantFile,
    },
    db::{
        self, Db,
        certificate::{CertificateState, list_certificates_of_tenant},
    },
    domain::{name::Slug, secret::Secret},
    saml::issuer::IssuerKey,
};
use rstest::rstest;

use crate::common::{
    engines::Engine,
    idp::{ENTITY_ID, FOREIGN_KEY, KEY, SSO_URL, metadata_with},
    occasion,
};

const FILE: &str = r#"
[tenant]
slug = "acme"
name = "Acme"
preset = "owner-member"

[[connections]]
slug = "acme-okta"
[connections.saml]
enabled = true
idp_metadata = "okta.xml"
"#;

async fn apply_with(db: &Db, keys: &[&IssuerKey], seed: u8) -> Applied {
    let file = TenantFile::parse(Path::new("acme.toml"), FILE).unwrap();
    let metadata = Metadata::from([(Slug::parse("acme-okta").unwrap(), metadata_with(keys))]);
    apply(db, &mut occasion(seed), &mut || Secret::new("s".to_owned()), &file, &metadata).await.unwrap()
}

/// Whether it is the first key's, and its state; that one first.
async fn states(db: &Db, applied: &Applied) -> Vec<(bool, CertificateState)> {
    let rows = list_certificates_of_tenant(db, applied.tenant).await.unwrap();
    let mut states: Vec<_> = rows.iter().map(|row| (row.fingerprint == KEY.certificate().fingerprint(), row.state)).collect();
    states.sort_by_key(|(is_first, _)| !is_first);
    states
}

#[rstest]
#[tokio::test]
async fn certificates_follow_the_metadata_and_a_retired_one_does_not_come_back(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    use CertificateState::{Current, Retired};
    let db = engine.fresh().await;
    let first = apply_with(&db, &[&KEY], 1).await;
    assert_eq!(states(&db, &first).await, [(true, Current)]);
    let row = db::connection::find_connection_by_slug(&*db, "acme-okta").await.unwrap().unwrap();
    assert_eq!(row.connection.saml.idp_entity_id, ENTITY_ID);
    assert_eq!(row.connection.saml.sso_url.as_deref(), Some(SSO_URL));
    assert!(apply_with(&db, &[&KEY], 2).await.changes.is_empty());

    apply_with(&db, &[&KEY, &FOREIGN_KEY], 3).await;
    assert_eq!(states(&db, &first).await, [(true, Current), (false, Current)]);
    let rotated = apply_with(&db, &[&FOREIGN_KEY], 4).await;
    assert_eq!(rotated.changes.len(), 1);
    assert_eq!(states(&db, &first).await, [(true, Retired), (false, Current)]);

    let again = apply_with(&db, &[&KEY, &FOREIGN_KEY], 5).await;
    assert!(again.changes.is_empty(), "an owner decides about what was retired");
    let later = db::connection::find_connection_by_slug(&*db, "acme-okta").await.unwrap().unwrap();
    assert!(later.connection.version > row.connection.version, "caches see that certificates changed");
}
