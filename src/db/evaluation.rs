//! Which identities were evaluated with which mapping, and who waits to be evaluated again.

use std::collections::BTreeSet;

use super::{Db, DbError, SET_LIMIT, Tx, column};
use crate::domain::id::{AccountId, ConnectionId, TenantId};

/// Records that these were evaluated with this version of the mapping.
pub async fn mark_mapped(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    accounts: &[AccountId],
    version: i64,
) -> Result<(), DbError> {
    for chunk in accounts.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set("update identity set mapping_version = $3 where tenant = $1 and connection = $2 and mapping_version <> $3 and account in ({$4})", chunk.len())
            .bind(tenant.to_string())
            .bind(connection.to_string())
            .bind(version);
        for account in chunk {
            query = query.bind(account.to_string());
        }
        query.later().await?;
    }
    Ok(())
}

/// Records that the facts of these changed and wait for evaluation; those never evaluated stay marked so.
pub async fn mark_stale(tx: &mut Tx, tenant: TenantId, connection: ConnectionId, accounts: &[AccountId]) -> Result<(), DbError> {
    for chunk in accounts.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set("update identity set mapping_version = -mapping_version where tenant = $1 and connection = $2 and mapping_version > 0 and account in ({$3})", chunk.len())
            .bind(tenant.to_string())
            .bind(connection.to_string());
        for account in chunk {
            query = query.bind(account.to_string());
        }
        query.later().await?;
    }
    Ok(())
}

/// Accounts whose evaluation is older than the published mapping, in the order of their ids.
pub async fn list_unmapped(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    version: i64,
    limit: i64,
) -> Result<Vec<AccountId>, DbError> {
    let rows: Vec<(String,)> = tx
        .query("select account from identity where tenant = $1 and connection = $2 and mapping_version < $3 and scim_state <> 'deleted' order by mapping_version, account limit $4")
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(version)
        .bind(limit)
        .all()
        .await?;
    rows.iter().map(|(id,)| column::id("identity.account", id)).collect()
}

/// Connections with accounts that were marked, as the first thousand of these tell: as cheap as few of them are.
/// `distinct` would make SQLite walk over everybody in the order of another index.
pub async fn connections_marked(db: &Db) -> Result<BTreeSet<(TenantId, ConnectionId)>, DbError> {
    let sql = "select tenant, connection from identity where mapping_version < 0 and scim_state <> 'deleted' limit 1000";
    let rows: Vec<(String, String)> = db.query(sql).all().await?;
    rows.iter().map(|(tenant, id)| Ok((column::id("identity.tenant", tenant)?, column::id("identity.connection", id)?))).collect()
}

/// Connections with accounts that [`list_unmapped`] would list, whatever left them waiting: a look at every connection.
pub async fn connections_to_map(db: &Db) -> Result<BTreeSet<(TenantId, ConnectionId)>, DbError> {
    let rows: Vec<(String, String)> = db
        .query(
            "select tenant, id from connection where exists (
                 select 1 from identity where identity.tenant = connection.tenant and identity.connection = connection.id
                     and identity.mapping_version < connection.mapping_version and identity.scim_state <> 'deleted')",
        )
        .all()
        .await?;
    rows.iter().map(|(tenant, id)| Ok((column::id("connection.tenant", tenant)?, column::id("connection.id", id)?))).collect()
}
