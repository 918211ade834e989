//! Domains of organizations: claimed by any number of them, verified for one. A verified domain leads the people of it to the
//! organization's identity provider.

use super::{
    column,
    engine::{DbError, Target, Tx},
};
use crate::domain::{
    id::{OrganizationId, TenantId},
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRow {
    pub tenant: TenantId,
    pub organization: OrganizationId,
    /// Lower case, in its ASCII form.
    pub domain: String,
    /// What the TXT record has to say.
    pub verification_token: String,
    pub created_at: Timestamp,
    pub verified_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant: String,
    organization: String,
    domain: String,
    verification_token: String,
    created_at_ms: i64,
    verified_at_ms: Option<i64>,
}

impl Row {
    fn read(self) -> Result<DomainRow, DbError> {
        Ok(DomainRow {
            tenant: column::id("a domain's tenant", &self.tenant)?,
            organization: column::id("a domain's organization", &self.organization)?,
            domain: self.domain,
            verification_token: self.verification_token,
            created_at: Timestamp::from_millis(self.created_at_ms),
            verified_at: column::time(self.verified_at_ms),
        })
    }
}

/// False when the organization has claimed it before; what stands there stays.
pub async fn insert_domain(tx: &mut Tx, row: &DomainRow) -> Result<bool, DbError> {
    let sql = "insert into organization_domain (tenant, organization, domain, verification_token, created_at_ms, verified_at_ms)
        values ($1, $2, $3, $4, $5, $6)
        on conflict do nothing";
    let written = tx
        .query(sql)
        .bind(row.tenant.to_string())
        .bind(row.organization.to_string())
        .bind(row.domain.as_str())
        .bind(row.verification_token.as_str())
        .bind(row.created_at.millis())
        .bind(row.verified_at.map(Timestamp::millis))
        .run()
        .await?;
    Ok(written == 1)
}

/// Of one organization, in order.
pub async fn list_domains(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    organization: OrganizationId,
) -> Result<Vec<DomainRow>, DbError> {
    let sql = "select tenant, organization, domain, verification_token, created_at_ms, verified_at_ms
        from organization_domain where tenant = $1 and organization = $2 order by domain";
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(organization.to_string());
    query.all().await?.into_iter().map(Row::read).collect()
}

pub async fn find_domain(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    organization: OrganizationId,
    domain: &str,
) -> Result<Option<DomainRow>, DbError> {
    let sql = "select tenant, organization, domain, verification_token, created_at_ms, verified_at_ms
        from organization_domain where tenant = $1 and organization = $2 and domain = $3";
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(organization.to_string()).bind(domain.to_owned());
    query.optional().await?.map(Row::read).transpose()
}

/// The one look-up without a tenant: whoever comes to sign in has none yet.
pub async fn find_verified(source: impl Into<Target<'_>>, domain: &str) -> Result<Option<DomainRow>, DbError> {
    let sql = "select tenant, organization, domain, verification_token, created_at_ms, verified_at_ms
        from organization_domain where domain = $1 and verified_at_ms is not null";
    source.into().query(sql).bind(domain.to_owned()).optional().await?.map(Row::read).transpose()
}

/// It is verified no more; the claim stays.
pub async fn unverify_domain(tx: &mut Tx, row: &DomainRow) -> Result<(), DbError> {
    let sql = "update organization_domain set verified_at_ms = null where tenant = $1 and organization = $2 and domain = $3";
    let query = tx.query(sql).bind(row.tenant.to_string()).bind(row.organization.to_string()).bind(row.domain.as_str());
    query.run().await.map(drop)
}

/// Marks it as verified. False when it is not there, or is verified for another organization of the installation. Of two that are
/// verified at once the second gets [`DbError::Taken`], and its transaction can only be given up.
pub async fn verify_domain(
    tx: &mut Tx,
    tenant: TenantId,
    organization: OrganizationId,
    domain: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update organization_domain set verified_at_ms = $4
        where tenant = $1 and organization = $2 and domain = $3
            and not exists (select 1 from organization_domain other
                where other.domain = $3 and other.verified_at_ms is not null and (other.tenant <> $1 or other.organization <> $2))";
    let query = tx.query(sql).bind(tenant.to_string()).bind(organization.to_string()).bind(domain.to_owned()).bind(now.millis());
    Ok(query.run().await? == 1)
}

/// False when it is not there.
pub async fn delete_domain(tx: &mut Tx, tenant: TenantId, organization: OrganizationId, domain: &str) -> Result<bool, DbError> {
    let sql = "delete from organization_domain where tenant = $1 and organization = $2 and domain = $3";
    let query = tx.query(sql).bind(tenant.to_string()).bind(organization.to_string()).bind(domain.to_owned());
    Ok(query.run().await? == 1)
}
