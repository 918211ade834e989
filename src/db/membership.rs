//! Who takes part in which organization.

use serde::{Deserialize, Serialize};

use super::{
    column,
    engine::{DbError, Target, Tx},
};
use crate::domain::{
    id::{AccountId, OrganizationId, TenantId},
    time::Timestamp,
};

/// Of one membership. Whether somebody may sign in at all stands with the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipStatus {
    Active,
    /// Known here, and taking no part for the time being.
    Inactive,
}

/// A member with the names of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    pub account: AccountId,
    pub user_name: String,
    pub display_name: Option<String>,
    pub home: bool,
    pub status: MembershipStatus,
    pub since: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    account: String,
    user_name: String,
    display_name: Option<String>,
    home: bool,
    status: String,
    since_ms: i64,
}

impl Row {
    fn read(self) -> Result<MemberRow, DbError> {
        Ok(MemberRow {
            account: column::id("a member's account", &self.account)?,
            user_name: self.user_name,
            display_name: self.display_name,
            home: self.home,
            status: column::word("a membership's status", &self.status)?,
            since: Timestamp::from_millis(self.since_ms),
        })
    }
}

/// In the order of their accounts' making, behind `after`.
pub async fn list_members(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    organization: OrganizationId,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<MemberRow>, DbError> {
    let sql =
        "select m.account, a.user_name, a.display_name, coalesce(a.home_organization, '') = m.organization as home, m.status, m.since_ms
        from membership m
        join account a on a.tenant = m.tenant and a.id = m.account
        where m.tenant = $1 and m.organization = $2 and m.account > $3
        order by m.account limit $4";
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(organization.to_string());
    let query = query.bind(after.map_or_else(String::new, |id| id.to_string())).bind(limit);
    query.all().await?.into_iter().map(Row::read).collect()
}

pub async fn find_member(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    organization: OrganizationId,
    account: AccountId,
) -> Result<Option<MemberRow>, DbError> {
    let sql =
        "select m.account, a.user_name, a.display_name, coalesce(a.home_organization, '') = m.organization as home, m.status, m.since_ms
        from membership m
        join account a on a.tenant = m.tenant and a.id = m.account
        where m.tenant = $1 and m.organization = $2 and m.account = $3";
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(organization.to_string()).bind(account.to_string());
    query.optional().await?.map(Row::read).transpose()
}

/// False when it is no member.
pub async fn set_status(
    tx: &mut Tx,
    tenant: TenantId,
    organization: OrganizationId,
    account: AccountId,
    status: MembershipStatus,
) -> Result<bool, DbError> {
    let sql = "update membership set status = $4 where tenant = $1 and organization = $2 and account = $3";
    let query = tx.query(sql).bind(tenant.to_string()).bind(organization.to_string()).bind(account.to_string());
    Ok(query.bind(column::to_word(status)).run().await? == 1)
}

/// False when it was no member.
pub async fn delete_member(tx: &mut Tx, tenant: TenantId, organization: OrganizationId, account: AccountId) -> Result<bool, DbError> {
    let sql = "delete from membership where tenant = $1 and organization = $2 and account = $3";
    let query = tx.query(sql).bind(tenant.to_string()).bind(organization.to_string()).bind(account.to_string());
    Ok(query.run().await? == 1)
}

/// Of one account.
pub async fn list_organizations(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    account: AccountId,
) -> Result<Vec<OrganizationId>, DbError> {
    let sql = "select organization from membership where tenant = $1 and account = $2 order by organization";
    let rows: Vec<(String,)> = source.into().query(sql).bind(tenant.to_string()).bind(account.to_string()).all().await?;
    rows.iter().map(|(id,)| column::id("membership.organization", id)).collect()
}
