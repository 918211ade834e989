//! LogoutRequests of ours that wait for their answer.

use super::engine::{Db, DbError, Tx};
use crate::domain::{
    id::{ConnectionId, TenantId},
    time::Timestamp,
};

/// `id` is the LogoutRequest's ID.
pub async fn insert_logout_request(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: &str,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    let sql = "insert into logout_request (tenant, connection, id, expires_at_ms) values ($1, $2, $3, $4)";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string());
    query.bind(id.to_owned()).bind(expires_at.millis()).run().await?;
    Ok(())
}

/// False when it is unknown, answered before or expired.
pub async fn consume_logout_request(
    db: &Db,
    tenant: TenantId,
    connection: ConnectionId,
    id: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "delete from logout_request where tenant = $1 and connection = $2 and id = $3 and expires_at_ms > $4";
    let query = db.query(sql).bind(tenant.to_string()).bind(connection.to_string());
    Ok(query.bind(id.to_owned()).bind(now.millis()).run().await? == 1)
}

/// Removes what has expired, at most a thousand; how many it were.
pub async fn purge_logout_requests(db: &Db, now: Timestamp) -> Result<u64, DbError> {
    let sql = "delete from logout_request where (tenant, connection, id) in
        (select tenant, connection, id from logout_request where expires_at_ms <= $1 order by expires_at_ms limit 1000)";
    db.query(sql).bind(now.millis()).run().await
}
