//! Connections that organizations use beside their own.

use super::{
    column,
    engine::{DbError, Target, Tx},
};
use crate::domain::{
    id::{AccountId, ConnectionId, OrganizationId, TenantId},
    time::Timestamp,
};

/// A connection that an organization may use: its own, or one that was enabled for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedConnection {
    pub connection: ConnectionId,
    pub slug: String,
    pub audience: String,
    /// Whether the connection is switched on at all.
    pub enabled: bool,
    /// Since when it is enabled for the organization; `None`: it is the organization's own.
    pub enabled_at: Option<Timestamp>,
    pub enabled_by: Option<AccountId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    slug: String,
    audience: String,
    enabled: bool,
    enabled_at_ms: Option<i64>,
    enabled_by: Option<String>,
}

/// Of one organization, in the order of slugs: its own and those that were enabled for it.
pub async fn list_used(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    organization: OrganizationId,
) -> Result<Vec<UsedConnection>, DbError> {
    let sql = "select c.id, c.slug, c.audience, c.enabled, u.enabled_at_ms, u.enabled_by
        from connection c
        left join connection_use u on u.tenant = c.tenant and u.connection = c.id and u.organization = $2
        where c.tenant = $1 and (c.organization = $2 or u.organization is not null)
        order by c.slug";
    let rows: Vec<Row> = source.into().query(sql).bind(tenant.to_string()).bind(organization.to_string()).all().await?;
    let read = |row: Row| {
        Ok(UsedConnection {
            connection: column::id("a connection's id", &row.id)?,
            slug: row.slug,
            audience: row.audience,
            enabled: row.enabled,
            enabled_at: column::time(row.enabled_at_ms),
            enabled_by: column::optional_id("who enabled a connection", row.enabled_by.as_deref())?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// False when it is enabled already.
pub async fn insert_use(
    tx: &mut Tx,
    tenant: TenantId,
    organization: OrganizationId,
    connection: ConnectionId,
    by: Option<AccountId>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "insert into connection_use (tenant, organization, connection, enabled_by, enabled_at_ms)
        values ($1, $2, $3, $4, $5)
        on conflict do nothing";
    let query = tx.query(sql).bind(tenant.to_string()).bind(organization.to_string()).bind(connection.to_string());
    Ok(query.bind(by.map(|id| id.to_string())).bind(now.millis()).run().await? == 1)
}

/// False when it was not enabled.
pub async fn delete_use(tx: &mut Tx, tenant: TenantId, organization: OrganizationId, connection: ConnectionId) -> Result<bool, DbError> {
    let sql = "delete from connection_use where tenant = $1 and organization = $2 and connection = $3";
    let query = tx.query(sql).bind(tenant.to_string()).bind(organization.to_string()).bind(connection.to_string());
    Ok(query.run().await? == 1)
}
