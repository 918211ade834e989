//! Accounts and what they hold, in the names that people know: for lists, `/me` and the command line.

use std::collections::BTreeMap;

use super::{
    column,
    engine::{DbError, SET_LIMIT, Target},
    identity::{dormant, identity_of_origin},
};
use crate::domain::{
    id::{AccountId, ConnectionId, OrganizationId, RoleId, TenantId},
    name::fold,
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ListedAccount {
    pub id: String,
    pub user_name: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub status: String,
    /// The slug of the connection whose facts name the account.
    pub connection: Option<String>,
}

/// One origin of one assignment.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ListedOrigin {
    pub account: String,
    pub assignment: String,
    pub role: String,
    pub organization: String,
    pub resource_scope: Option<String>,
    pub reach: String,
    pub kind: String,
    /// The slug.
    pub connection: Option<String>,
    /// The id, or the empty text.
    pub rule: String,
    pub granted_by: Option<String>,
    pub since_ms: i64,
    /// Its identity is blocked.
    pub dormant: bool,
}

/// A page in the order of ids, after `after`.
pub async fn list_accounts(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<ListedAccount>, DbError> {
    let sql = "select account.id, account.user_name, account.email, account.display_name, account.status, connection.slug as connection
        from account
        left join connection on connection.tenant = account.tenant and connection.id = account.profile_connection
        where account.tenant = $1 and account.id > $2
        order by account.id limit $3";
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(after.map(|id| id.to_string()).unwrap_or_default());
    query.bind(limit).all().await
}

/// Those of exactly this user name, e-mail address or id; several connections may know one address. At most 100.
pub async fn find_accounts(source: impl Into<Target<'_>>, tenant: TenantId, name: &str) -> Result<Vec<ListedAccount>, DbError> {
    let sql = "select account.id, account.user_name, account.email, account.display_name, account.status, connection.slug as connection
        from account
        left join connection on connection.tenant = account.tenant and connection.id = account.profile_connection
        where account.tenant = $1 and (account.user_name_key = $2 or account.email_key = $2 or account.id = $3)
        order by account.id limit 100";
    source.into().query(sql).bind(tenant.to_string()).bind(fold(name)).bind(name.to_owned()).all().await
}

/// The user names of these accounts; who is gone is left out.
pub async fn name_accounts(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, String>, DbError> {
    let mut source = source.into();
    let mut names = BTreeMap::new();
    for chunk in accounts.chunks(SET_LIMIT) {
        let sql = "select id, user_name from account where tenant = $1 and id in ({$2})";
        let query = source.query_set(sql, chunk.len()).bind(tenant.to_string());
        for (id, name) in chunk.iter().fold(query, |query, id| query.bind(id.to_string())).all::<(String, String)>().await? {
            names.insert(column::id("account.id", &id)?, name);
        }
    }
    Ok(names)
}

/// What these accounts hold, every origin of it, in the order of accounts and assignments. At most [`SET_LIMIT`] accounts.
pub async fn list_origins(source: impl Into<Target<'_>>, tenant: TenantId, accounts: &[&str]) -> Result<Vec<ListedOrigin>, DbError> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    assert!(accounts.len() <= SET_LIMIT, "a page is smaller than a set");
    let sql = concat!(
        "select a.account, a.id as assignment, role.name as role, organization.slug as organization, scope.name as resource_scope,
            a.reach, o.kind, connection.slug as connection, o.rule, o.granted_by, o.since_ms, ",
        dormant!(),
        " as dormant
        from assignment_origin o
        join assignment a on a.tenant = o.tenant and a.id = o.assignment
        join role on role.tenant = a.tenant and role.id = a.role
        join organization on organization.tenant = a.tenant and organization.id = a.organization
        left join resource_scope scope on scope.tenant = a.tenant and scope.id = a.resource_scope
        left join connection on connection.tenant = o.tenant and connection.id = o.connection",
        identity_of_origin!(),
        "where o.tenant = $1 and o.account in ({$2})
        order by a.account, a.id, o.since_ms, o.kind, o.connection, o.rule"
    );
    let mut source = source.into();
    let query = source.query_set(sql, accounts.len()).bind(tenant.to_string());
    accounts.iter().fold(query, |query, account| query.bind((*account).to_owned())).all().await
}

/// The documents of a tenant's published mappings, by connection.
pub async fn list_published_mappings<Mapping: serde::de::DeserializeOwned>(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
) -> Result<Vec<(ConnectionId, Mapping)>, DbError> {
    let sql = "select mapping.connection, mapping.document
        from mapping
        join connection on connection.tenant = mapping.tenant and connection.id = mapping.connection
            and connection.mapping_version = mapping.version
        where mapping.tenant = $1";
    let rows: Vec<(String, String)> = source.into().query(sql).bind(tenant.to_string()).all().await?;
    rows.iter().map(|(id, text)| Ok((column::id("a mapping's connection", id)?, column::document("a mapping", text)?))).collect()
}

/// Who holds these roles, by user name; at most 1,000 altogether, enough to name some.
pub async fn list_holders(source: impl Into<Target<'_>>, tenant: TenantId, roles: &[RoleId]) -> Result<Vec<(RoleId, String)>, DbError> {
    let Some(roles) = roles.get(..roles.len().min(SET_LIMIT)).filter(|roles| !roles.is_empty()) else { return Ok(Vec::new()) };
    let sql = "select distinct a.role, account.user_name
        from assignment a join account on account.tenant = a.tenant and account.id = a.account
        where a.tenant = $1 and a.role in ({$2}) order by a.role, account.user_name limit 1000";
    let mut source = source.into();
    let query = source.query_set(sql, roles.len()).bind(tenant.to_string());
    let rows: Vec<(String, String)> = roles.iter().fold(query, |query, role| query.bind(role.to_string())).all().await?;
    rows.into_iter().map(|(role, name)| Ok((column::id("a role's id", &role)?, name))).collect()
}

/// Organizations in which accounts are at home, members, or hold something, or to which something belongs but a connection.
pub async fn list_occupied(source: impl Into<Target<'_>>, tenant: TenantId, now: Timestamp) -> Result<Vec<OrganizationId>, DbError> {
    let sql = "select home_organization from account where tenant = $1 and home_organization is not null
        union select organization from membership where tenant = $1
        union select organization from assignment where tenant = $1
        union select organization from resource_scope where tenant = $1
        union select organization from local_group where tenant = $1
        union select organization from connection_use where tenant = $1
        union select organization from organization_domain where tenant = $1
        union select organization from app_token where tenant = $1 and revoked_at_ms is null and expires_at_ms > $2";
    let rows: Vec<(String,)> = source.into().query(sql).bind(tenant.to_string()).bind(now.millis()).all().await?;
    rows.iter().map(|(id,)| column::id("an organization's id", id)).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub origins_added: i64,
    pub origins_removed: i64,
    pub accounts: i64,
}

/// What the audit rows of one correlation say of assignments.
pub async fn count_changes(source: impl Into<Target<'_>>, tenant: TenantId, correlation: &str) -> Result<Counts, DbError> {
    let sql = "select coalesce(sum(case when action = 'assignment.origin_added' then 1 else 0 end), 0),
            coalesce(sum(case when action = 'assignment.origin_removed' then 1 else 0 end), 0),
            count(distinct target_id)
        from audit
        where tenant = $1 and correlation = $2 and action in ('assignment.origin_added', 'assignment.origin_removed')";
    let row: Option<(i64, i64, i64)> = source.into().query(sql).bind(tenant.to_string()).bind(correlation.to_owned()).optional().await?;
    let (origins_added, origins_removed, accounts) = row.unwrap_or_default();
    Ok(Counts { origins_added, origins_removed, accounts })
}
