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
        certificate::{CertificateState, list_certificates_of_tenant, retire_certificate},
    },
    domain::{name::Slug, secret::Secret},
    saml::issuer::IssuerKey,
};
use rstest::rstest;

use crate::common::{
    NOW,
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
async fn a_file_adds_certificates_and_retires_none(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
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
    assert!(apply_with(&db, &[&FOREIGN_KEY], 4).await.changes.is_empty(), "what the metadata no longer has stays trusted");
    let without = FILE.replace("idp_metadata = \"okta.xml\"\n", "");
    let file = TenantFile::parse(Path::new("acme.toml"), &without).unwrap();
    let mut mint = || Secret::new("s".to_owned());
    assert!(apply(&db, &mut occasion(5), &mut mint, &file, &Metadata::new()).await.unwrap().changes.is_empty(), "without the line too");
    assert_eq!(states(&db, &first).await, [(true, Current), (false, Current)]);

    let rows = list_certificates_of_tenant(&*db, first.tenant).await.unwrap();
    let retired = rows.iter().find(|row| row.fingerprint == KEY.certificate().fingerprint()).unwrap();
    let mut tx = db.begin().await.unwrap();
    assert!(retire_certificate(&mut tx, first.tenant, retired.connection, retired.id, None, NOW).await.unwrap());
    tx.commit().await.unwrap();
    assert!(apply_with(&db, &[&FOREIGN_KEY], 6).await.changes.is_empty());
    assert_eq!(states(&db, &first).await, [(true, Retired), (false, Current)]);
    let back = apply_with(&db, &[&KEY, &FOREIGN_KEY], 7).await;
    assert_eq!(back.changes.len(), 1, "the file names it, so that it is trusted again");
    assert!(back.changes[0].to_string().starts_with("+ certificate of acme-okta, retired before"), "{}", back.changes[0]);
    assert_eq!(states(&db, &first).await, [(true, Current), (false, Current)]);
    let later = db::connection::find_connection_by_slug(&*db, "acme-okta").await.unwrap().unwrap();
    assert!(later.connection.version > row.connection.version, "caches see that certificates changed");
}

#[rstest]
#[tokio::test]
async fn a_file_makes_a_connection_trust_sixteen_certificates_at_most(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let db = engine.fresh().await;
    let keys: Vec<_> = (0..17).map(|_| IssuerKey::ec("idp", NOW).unwrap()).collect();
    let keys: Vec<_> = keys.iter().collect();
    let file = TenantFile::parse(Path::new("acme.toml"), FILE).unwrap();
    let metadata = Metadata::from([(Slug::parse("acme-okta").unwrap(), metadata_with(&keys))]);
    let refused = apply(&db, &mut occasion(1), &mut || Secret::new("s".to_owned()), &file, &metadata).await.unwrap_err();
    assert!(refused.to_string().starts_with("acme-okta: a connection trusts 16 certificates at most"), "{refused}");
    let applied = apply_with(&db, &keys[1..], 2).await;
    assert_eq!(states(&db, &applied).await.len(), 16);
}
