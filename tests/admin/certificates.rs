//! Certificates that come with the metadata a file names.

use std::path::Path;

use rolegate::{
    admin::{
        apply::{Applied, apply, preview},
        plan::Metadata,
        tenant_file::TenantFile,
        warning::Warning,
    },
    db::{
        self, Db,
        certificate::{CertificateState, list_certificates_of_tenant, retire_certificate},
    },
    domain::{id::AccountId, name::Slug, secret::Secret},
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
    apply_file(db, FILE, keys, seed).await
}

async fn apply_file(db: &Db, text: &str, keys: &[&IssuerKey], seed: u8) -> Applied {
    let file = TenantFile::parse(Path::new("acme.toml"), text).unwrap();
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
    let later = db::connection::find_connection_by_slug(&*db, "acme-okta").await.unwrap().unwrap();
    assert!(later.connection.version > row.connection.version, "caches see that certificates changed");
}

fn warned(applied: &Applied) -> Vec<String> {
    applied.warnings.iter().filter(|warning| matches!(warning, Warning::Retired { .. })).map(ToString::to_string).collect()
}

#[rstest]
#[tokio::test]
async fn a_file_does_not_bring_back_a_certificate_that_was_retired(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    use CertificateState::{Current, Retired};
    let db = engine.fresh().await;
    let file = FILE.to_owned() + "[[owners]]\nemail = \"owner@acme.example\"\nname = \"First Owner\"\n";
    let first = apply_file(&db, &file, &[&KEY, &FOREIGN_KEY], 1).await;
    assert!(warned(&first).is_empty());
    let owner: Option<(String,)> = db.query("select id from account").optional().await.unwrap();
    let owner = AccountId::parse(&owner.unwrap().0).unwrap();
    let rows = list_certificates_of_tenant(&*db, first.tenant).await.unwrap();
    let retired = rows.iter().find(|row| row.fingerprint == KEY.certificate().fingerprint()).unwrap();
    let mut tx = db.begin().await.unwrap();
    assert!(retire_certificate(&mut tx, first.tenant, retired.connection, retired.id, Some(owner), NOW).await.unwrap());
    tx.commit().await.unwrap();
    let words = format!(
        "acme-okta: the metadata has the certificate {} (SHA-256 {}…), which owner@acme.example retired on {NOW}: it stays retired",
        retired.subject,
        &retired.fingerprint[..16]
    );
    let parsed = TenantFile::parse(Path::new("acme.toml"), &file).unwrap();
    let metadata = Metadata::from([(Slug::parse("acme-okta").unwrap(), metadata_with(&[&KEY, &FOREIGN_KEY]))]);
    let planned = preview(&db, &mut occasion(2), &parsed, &metadata).await.unwrap();
    let applied = apply_file(&db, &file, &[&KEY, &FOREIGN_KEY], 3).await;
    for said in [&planned, &applied] {
        assert!(said.changes.is_empty(), "{:?}", said.changes);
        let [warning] = &warned(said)[..] else { panic!("{:?}", said.warnings) };
        assert!(warning.starts_with(&words) && warning.contains("rolegate certificates add --connection acme-okta"), "{warning}");
    }
    assert_eq!(states(&db, &first).await, [(true, Retired), (false, Current)]);
    // What else the file says is done all the same, and whoever takes it out of the metadata hears no more of it.
    let renamed = file.replace("name = \"Acme\"", "name = \"Acme Inc\"");
    assert_eq!(apply_file(&db, &renamed, &[&KEY, &FOREIGN_KEY], 4).await.changes.len(), 2, "the tenant and its root");
    assert!(warned(&apply_file(&db, &renamed, &[&FOREIGN_KEY], 5).await).is_empty());
    assert_eq!(states(&db, &first).await, [(true, Retired), (false, Current)]);
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
