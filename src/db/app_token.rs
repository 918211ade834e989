//! Tokens by which applications read the role store; only their hashes are here.

use super::{
    assignment::HeldColumns,
    column,
    engine::{Db, DbError, Target, Tx},
    identity::{dormant, identity_of_origin},
};
use crate::domain::{
    assignment::Assignment,
    id::{AccountId, AppTokenId, OrganizationId, TenantId},
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppTokenRow {
    pub id: AppTokenId,
    pub tenant: TenantId,
    /// It looks here and below.
    pub organization: OrganizationId,
    pub name: String,
    /// `None`: the operator of the host.
    pub created_by: Option<AccountId>,
    /// The owner who answers for it: who made it, or took it over. `None`: the operator of the host.
    pub owner: Option<AccountId>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant: String,
    organization: String,
    name: String,
    created_by: Option<String>,
    owner: Option<String>,
    created_at_ms: i64,
    expires_at_ms: i64,
    revoked_at_ms: Option<i64>,
    last_used_at_ms: Option<i64>,
}

impl Row {
    fn read(self) -> Result<AppTokenRow, DbError> {
        Ok(AppTokenRow {
            id: column::id("an application token's id", &self.id)?,
            tenant: column::id("an application token's tenant", &self.tenant)?,
            organization: column::id("an application token's organization", &self.organization)?,
            name: self.name,
            created_by: column::optional_id("an application token's author", self.created_by.as_deref())?,
            owner: column::optional_id("an application token's owner", self.owner.as_deref())?,
            created_at: Timestamp::from_millis(self.created_at_ms),
            expires_at: Timestamp::from_millis(self.expires_at_ms),
            revoked_at: column::time(self.revoked_at_ms),
            last_used_at: column::time(self.last_used_at_ms),
        })
    }
}

pub async fn insert_app_token(tx: &mut Tx, row: &AppTokenRow, hash: &str) -> Result<(), DbError> {
    let sql = "insert into app_token (tenant, id, organization, hash, name, created_by, owner, created_at_ms, expires_at_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    tx.query(sql)
        .bind(row.tenant.to_string())
        .bind(row.id.to_string())
        .bind(row.organization.to_string())
        .bind(hash.to_owned())
        .bind(row.name.as_str())
        .bind(row.created_by.map(|account| account.to_string()))
        .bind(row.owner.map(|account| account.to_string()))
        .bind(row.created_at.millis())
        .bind(row.expires_at.millis())
        .run()
        .await?;
    Ok(())
}

/// The token that counts now; it says itself whose it is.
pub async fn find_bearer(db: &Db, hash: &str, now: Timestamp) -> Result<Option<AppTokenRow>, DbError> {
    let sql = "select id, tenant, organization, name, created_by, owner, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms
        from app_token where hash = $1 and expires_at_ms > $2 and revoked_at_ms is null";
    db.query(sql).bind(hash.to_owned()).bind(now.millis()).optional::<Row>().await?.map(Row::read).transpose()
}

/// All of a tenant, in the order of their making.
pub async fn list_app_tokens(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<AppTokenRow>, DbError> {
    let sql = "select id, tenant, organization, name, created_by, owner, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms
        from app_token where tenant = $1 order by id";
    source.into().query(sql).bind(tenant.to_string()).all::<Row>().await?.into_iter().map(Row::read).collect()
}

pub async fn find_app_token(source: impl Into<Target<'_>>, tenant: TenantId, id: AppTokenId) -> Result<Option<AppTokenRow>, DbError> {
    let sql = "select id, tenant, organization, name, created_by, owner, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms
        from app_token where tenant = $1 and id = $2";
    source.into().query(sql).bind(tenant.to_string()).bind(id.to_string()).optional::<Row>().await?.map(Row::read).transpose()
}

/// Selects the live assignments of accounts that may sign in and fit the condition.
macro_rules! live_held {
    ($condition:literal) => {
        concat!(
            "select a.id, a.account, a.role, a.organization, a.resource_scope, a.reach
            from assignment a join account c on c.tenant = a.tenant and c.id = a.account
            where a.tenant = $1 and c.status = 'active' and exists (select 1 from assignment_origin o",
            identity_of_origin!(),
            "where o.tenant = a.tenant and o.assignment = a.id and not ",
            dormant!(),
            ") and ",
            $condition
        )
    };
}

/// Returns the live assignments of the owners of the tenant's tokens, without origins. Owners who may not sign in are left out.
pub async fn list_held_by_owners(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<Assignment>, DbError> {
    let sql = live_held!("a.account in (select owner from app_token where tenant = $1 and owner is not null)");
    source.into().query(sql).bind(tenant.to_string()).all::<HeldColumns>().await?.iter().map(HeldColumns::read).collect()
}

/// Returns the live assignments of the owner of a token, without origins: none if the owner may not sign in.
pub async fn list_held_by_owner(db: &Db, tenant: TenantId, owner: AccountId) -> Result<Vec<Assignment>, DbError> {
    let sql = live_held!("a.account = $2");
    db.query(sql).bind(tenant.to_string()).bind(owner.to_string()).all::<HeldColumns>().await?.iter().map(HeldColumns::read).collect()
}

/// Makes another owner answer for the token.
pub async fn set_owner(tx: &mut Tx, tenant: TenantId, id: AppTokenId, owner: Option<AccountId>) -> Result<(), DbError> {
    let sql = "update app_token set owner = $3 where tenant = $1 and id = $2";
    tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).bind(owner.map(|account| account.to_string())).run().await?;
    Ok(())
}

/// False when it is not there, or revoked already.
pub async fn revoke_app_token(tx: &mut Tx, tenant: TenantId, id: AppTokenId, now: Timestamp) -> Result<bool, DbError> {
    let sql = "update app_token set revoked_at_ms = $3 where tenant = $1 and id = $2 and revoked_at_ms is null";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).bind(now.millis()).run().await? == 1)
}

/// At most once a minute.
pub async fn mark_app_token_used(db: &Db, tenant: TenantId, id: AppTokenId, now: Timestamp) -> Result<(), DbError> {
    let sql = "update app_token set last_used_at_ms = $3
        where tenant = $1 and id = $2 and (last_used_at_ms is null or last_used_at_ms <= $3 - 60000)";
    db.query(sql).bind(tenant.to_string()).bind(id.to_string()).bind(now.millis()).run().await?;
    Ok(())
}
