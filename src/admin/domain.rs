//! Domains of an organization: claimed, shown to be its own by a TXT record, given up. Who asks the domain name system is the caller:
//! no question waits while a transaction is open.

use serde_json::json;

use super::organization::{Store, tell};
use crate::{
    db::{
        self, DbError, Tx,
        acting::{self, Writes},
        domain::DomainRow,
    },
    domain::{
        actor::{Actor, Occasion},
        domain_name::DomainName,
    },
    policy::{
        access::Grant,
        action::{ReadOrganizations, UpdateOrganizations},
    },
};

/// Domains that one organization claims.
pub const MOST: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    #[error("the organization has no such domain")]
    NotFound,
    #[error("the organization claims {MOST} domains already: give up one that it does not need")]
    TooMany,
    #[error(
        "{name} has no TXT record that says {expected}{}: publish it, wait until your DNS servers answer with it, and verify again",
        others(.found)
    )]
    NoRecord { name: String, expected: String, found: Vec<String> },
    #[error(
        "the domain is verified for another organization, whose record is still published: remove that one, or give the domain up there"
    )]
    Taken,
    #[error(transparent)]
    Db(#[from] DbError),
}

fn others(texts: &[String]) -> String {
    if texts.is_empty() { String::new() } else { format!(" (there are {} others)", texts.len()) }
}

/// What the record has to say.
#[must_use]
pub fn expected_text(row: &DomainRow) -> String {
    format!("rolegate-domain-verification={}", row.verification_token)
}

pub async fn list(grant: &Grant<ReadOrganizations>, store: Store<'_>) -> Result<Vec<DomainRow>, DomainError> {
    Ok(db::domain::list_domains(store.db, store.tenant, grant.at()).await?)
}

/// Claims a domain; others may claim it too. One that was claimed before stays as it is; whether it is new is said beside the row.
/// `token` is drawn by the caller.
pub async fn claim(
    grant: &Grant<UpdateOrganizations>,
    store: Store<'_>,
    occasion: &mut Occasion,
    domain: &DomainName,
    token: [u8; 16],
) -> Result<(DomainRow, bool), DomainError> {
    let mut tx = acting::begin(store.db, store.tenant, occasion, Writes::Accounts(&[])).await?;
    db::organization::lock_organization(&mut tx, store.tenant, grant.at()).await?.ok_or(DomainError::NotFound)?;
    let known = db::domain::list_domains(&mut tx, store.tenant, grant.at()).await?;
    if let Some(row) = known.iter().find(|row| row.domain == domain.as_str()) {
        return Ok((row.clone(), false));
    }
    if known.len() >= MOST {
        return Err(DomainError::TooMany);
    }
    let row = DomainRow {
        tenant: store.tenant,
        organization: grant.at(),
        domain: domain.as_str().to_owned(),
        verification_token: format!("{:032x}", u128::from_be_bytes(token)),
        created_at: occasion.now,
        verified_at: None,
    };
    if !db::domain::insert_domain(&mut tx, &row).await? {
        return Err(DbError::corrupt("a domain", "it came under the lock of its organization").into());
    }
    tell(&mut tx, store.tenant, occasion, "organization.domain_claimed", grant.at(), json!({ "domain": row.domain })).await?;
    tx.commit().await?;
    Ok((row, true))
}

pub async fn find(grant: &Grant<UpdateOrganizations>, store: Store<'_>, domain: &DomainName) -> Result<DomainRow, DomainError> {
    db::domain::find_domain(store.db, store.tenant, grant.at(), domain.as_str()).await?.ok_or(DomainError::NotFound)
}

/// Believes the texts that stand under the domain's challenge. One that is verified already stays as it is.
pub async fn verify(
    grant: &Grant<UpdateOrganizations>,
    store: Store<'_>,
    occasion: &mut Occasion,
    domain: &DomainName,
    texts: Vec<String>,
) -> Result<DomainRow, DomainError> {
    let mut tx = acting::begin(store.db, store.tenant, occasion, Writes::Accounts(&[])).await?;
    db::organization::lock_organization(&mut tx, store.tenant, grant.at()).await?.ok_or(DomainError::NotFound)?;
    let row = db::domain::find_domain(&mut tx, store.tenant, grant.at(), domain.as_str()).await?.ok_or(DomainError::NotFound)?;
    if row.verified_at.is_some() {
        return Ok(row);
    }
    let expected = expected_text(&row);
    if !texts.iter().any(|text| text.trim() == expected) {
        return Err(DomainError::NoRecord { name: domain.challenge_name(), expected, found: texts });
    }
    pass_on(&mut tx, occasion, domain, &texts).await?;
    match db::domain::verify_domain(&mut tx, store.tenant, grant.at(), domain.as_str(), occasion.now).await {
        Ok(true) => {}
        Ok(false) | Err(DbError::Taken(_)) => return Err(DomainError::Taken),
        Err(error) => return Err(error.into()),
    }
    tell(&mut tx, store.tenant, occasion, "organization.domain_verified", grant.at(), json!({ "domain": row.domain })).await?;
    tx.commit().await?;
    Ok(DomainRow { verified_at: Some(occasion.now), ..row })
}

/// Domains change hands: for whom it was verified, but whose record is there no more, it is verified no more.
async fn pass_on(tx: &mut Tx, occasion: &Occasion, domain: &DomainName, texts: &[String]) -> Result<(), DomainError> {
    let Some(before) = db::domain::find_verified(&mut *tx, domain.as_str()).await? else { return Ok(()) };
    let expected = expected_text(&before);
    if texts.iter().any(|text| text.trim() == expected) {
        return Err(DomainError::Taken);
    }
    db::domain::unverify_domain(tx, &before).await?;
    // It may be another tenant's, which is told that, and not by whom.
    let mut occasion = Occasion { actor: Actor::System, ..occasion.clone() };
    let detail = json!({ "domain": before.domain, "reason": "its record is gone, and somebody else has published theirs" });
    Ok(tell(tx, before.tenant, &mut occasion, "organization.domain_lost", before.organization, detail).await?)
}

/// Gives up a domain, verified or not.
pub async fn remove(
    grant: &Grant<UpdateOrganizations>,
    store: Store<'_>,
    occasion: &mut Occasion,
    domain: &DomainName,
) -> Result<(), DomainError> {
    let mut tx = acting::begin(store.db, store.tenant, occasion, Writes::Accounts(&[])).await?;
    if !db::domain::delete_domain(&mut tx, store.tenant, grant.at(), domain.as_str()).await? {
        return Err(DomainError::NotFound);
    }
    tell(&mut tx, store.tenant, occasion, "organization.domain_removed", grant.at(), json!({ "domain": domain.as_str() })).await?;
    Ok(tx.commit().await?)
}
