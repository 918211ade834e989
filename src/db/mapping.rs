//! Published mappings, every version kept. What a mapping says is known to `policy`; here it is a document.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    column,
    engine::{Db, DbError, Target, Tx},
};
use crate::domain::{
    id::{AccountId, ConnectionId, TenantId},
    time::Timestamp,
};

pub async fn find_mapping<Mapping: DeserializeOwned>(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
    version: i64,
) -> Result<Option<Mapping>, DbError> {
    let sql = "select document from mapping where tenant = $1 and connection = $2 and version = $3";
    let row: Option<(String,)> =
        source.into().query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(version).optional().await?;
    row.map(|(text,)| column::document("a mapping", &text)).transpose()
}

/// A version of a mapping that takes the place of the one before.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a, Mapping> {
    pub version: i64,
    pub mapping: &'a Mapping,
    pub by: Option<AccountId>,
    pub at: Timestamp,
    /// When a rule of it begins or ends first.
    pub due: Option<Timestamp>,
}

/// Writes the next version, makes it the published one and raises the connection's version.
/// False when its number is not the one after the published one: somebody else published meanwhile.
pub async fn publish_mapping<Mapping: Serialize>(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    publication: &Publication<'_, Mapping>,
) -> Result<bool, DbError> {
    let Publication { version, mapping, by, at, due } = publication;
    let sql = "update connection set mapping_version = $3, version = version + 1, rules_due_ms = $4
        where tenant = $1 and id = $2 and mapping_version = $3 - 1";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(*version).bind(due.map(Timestamp::millis));
    if query.run().await? == 0 {
        return Ok(false);
    }
    let sql = "insert into mapping (tenant, connection, version, document, published_by, published_at_ms)
        values ($1, $2, $3, $4, $5, $6)
        on conflict do nothing";
    let written = tx
        .query(sql)
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(*version)
        .bind(column::to_document(*mapping))
        .bind(by.map(|account| account.to_string()))
        .bind(at.millis())
        .run()
        .await?;
    if written == 1 { Ok(true) } else { Err(DbError::corrupt("a mapping", "there is already one of a version not yet published")) }
}

/// Connections with rules that began or ended up to `now`, and where nobody looked since.
pub async fn connections_due(db: &Db, now: Timestamp) -> Result<Vec<(TenantId, ConnectionId)>, DbError> {
    let sql = "select tenant, id from connection where rules_due_ms <= $1 order by tenant, id";
    let rows: Vec<(String, String)> = db.query(sql).bind(now.millis()).all().await?;
    rows.iter().map(|(tenant, id)| Ok((column::id("connection.tenant", tenant)?, column::id("connection.id", id)?))).collect()
}

/// Records when a rule of this version begins or ends next; false when another version was published meanwhile.
pub async fn set_due(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    version: i64,
    next: Option<Timestamp>,
) -> Result<bool, DbError> {
    let sql = "update connection set rules_due_ms = $4 where tenant = $1 and id = $2 and mapping_version = $3";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(version);
    Ok(query.bind(next.map(Timestamp::millis)).run().await? == 1)
}
