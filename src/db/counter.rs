//! Totals without a hot row: each change adds to one of sixteen stripes, a reader sums them.

use super::engine::{DbError, Target, Tx};
use crate::domain::id::{ConnectionId, Id, TenantId};

/// Adds to the stripe that what was counted falls on. The last write of a transaction, or nearly: the stripe stays locked until the
/// commit, and who adds for several things adds in the order of their ids.
pub async fn add<Kind>(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    name: &str,
    stripe_of: Id<Kind>,
    delta: i64,
) -> Result<(), DbError> {
    let sql = "insert into counter (tenant, connection, name, stripe, value) values ($1, $2, $3, $4, $5)
        on conflict (tenant, connection, name, stripe) do update set value = counter.value + excluded.value";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(name.to_owned());
    query.bind(stripe(stripe_of)).bind(delta).run().await?;
    Ok(())
}

pub async fn total(source: impl Into<Target<'_>>, tenant: TenantId, connection: ConnectionId, name: &str) -> Result<i64, DbError> {
    // PostgreSQL sums bigint into numeric.
    let sql = "select cast(coalesce(sum(value), 0) as bigint) from counter where tenant = $1 and connection = $2 and name = $3";
    let mut source = source.into();
    let row: Option<(i64,)> =
        source.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(name.to_owned()).optional().await?;
    Ok(row.map_or(0, |(total,)| total))
}

/// The last digit: the random end of an identifier of version 7.
fn stripe<Kind>(id: Id<Kind>) -> i64 {
    id.to_string().chars().last().and_then(|digit| digit.to_digit(16)).map_or(0, i64::from)
}
