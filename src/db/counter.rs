//! Totals without a hot row: each change adds to one of sixteen stripes, a reader sums them.

use std::collections::BTreeMap;

use super::engine::{DbError, Target, Tx};
use crate::domain::id::{ConnectionId, Id, TenantId};

/// Live SCIM users of a connection.
pub const USERS: &str = "users";
/// SCIM groups of a connection.
pub const GROUPS: &str = "groups";

/// The sum of the stripes; its values: tenant, connection, name. PostgreSQL sums bigint into numeric.
pub(super) const TOTAL: &str =
    "select cast(coalesce(sum(value), 0) as bigint) as total from counter where tenant = $1 and connection = $2 and name = $3";

/// Adds `delta` for each of these to the stripes that they fall on. The last write of a transaction, or nearly: the stripes stay locked
/// until the commit, and are taken in their order.
pub async fn add<Kind>(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    name: &str,
    stripes_of: &[Id<Kind>],
    delta: i64,
) -> Result<(), DbError> {
    let mut stripes: BTreeMap<i64, i64> = BTreeMap::new();
    for id in stripes_of {
        *stripes.entry(stripe(*id)).or_default() += delta;
    }
    if stripes.is_empty() {
        return Ok(());
    }
    let sql = "insert into counter (tenant, connection, name, stripe, value) values {($1, $2, $3, $4, $5)}
        on conflict (tenant, connection, name, stripe) do update set value = counter.value + excluded.value";
    let mut query = tx.query_set(sql, stripes.len());
    for (stripe, sum) in stripes {
        query = query.bind(tenant.to_string()).bind(connection.to_string()).bind(name.to_owned()).bind(stripe).bind(sum);
    }
    query.later().await?;
    Ok(())
}

pub async fn total(source: impl Into<Target<'_>>, tenant: TenantId, connection: ConnectionId, name: &str) -> Result<i64, DbError> {
    let mut source = source.into();
    let row: Option<(i64,)> =
        source.query(TOTAL).bind(tenant.to_string()).bind(connection.to_string()).bind(name.to_owned()).optional().await?;
    Ok(row.map_or(0, |(total,)| total))
}

/// The last digit: the random end of an identifier of version 7.
fn stripe<Kind>(id: Id<Kind>) -> i64 {
    id.to_string().chars().last().and_then(|digit| digit.to_digit(16)).map_or(0, i64::from)
}
