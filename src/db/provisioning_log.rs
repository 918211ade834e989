//! The provisioning log: one entry for each request of a SCIM client, for people who ask what an identity provider did. It holds neither
//! secrets nor values of persons, is written in batches outside of the transactions that it tells of, and is kept for a while only.

use super::{
    column,
    engine::{Db, DbError, SET_LIMIT, Target, Tx},
};
use crate::domain::{
    id::{ConnectionId, EventId, TenantId},
    time::Timestamp,
};

/// How long entries are kept.
pub const RETENTION_SECS: i64 = 90 * 24 * 3600;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub id: EventId,
    pub tenant: TenantId,
    pub connection: ConnectionId,
    pub at: Timestamp,
    pub method: String,
    /// The path below the connection's SCIM address, without the query.
    pub resource: String,
    pub status: u16,
    pub scim_type: Option<String>,
    /// Why it was refused.
    pub detail: Option<String>,
    pub facts_changed: i64,
    pub assignments_changed: i64,
    pub duration_ms: i64,
    /// The request's id, also in the audit rows of what it changed.
    pub correlation: String,
    /// The id that the client gave its request.
    pub client_request_id: Option<String>,
    /// How many refusals of one kind the entry stands for; 1 for a single request.
    pub occurrences: i64,
    /// When the last of them came.
    pub last_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    at_ms: i64,
    method: String,
    resource: String,
    status: i64,
    scim_type: Option<String>,
    detail: Option<String>,
    facts_changed: i64,
    assignments_changed: i64,
    duration_ms: i64,
    correlation: String,
    client_request_id: Option<String>,
    occurrences: i64,
    last_at_ms: Option<i64>,
}

impl Row {
    fn read(self, tenant: TenantId, connection: ConnectionId) -> Result<LogEntry, DbError> {
        Ok(LogEntry {
            id: column::id("a log entry's id", &self.id)?,
            tenant,
            connection,
            at: Timestamp::from_millis(self.at_ms),
            method: self.method,
            resource: self.resource,
            status: u16::try_from(self.status).map_err(|error| DbError::corrupt("a log entry's status", &error))?,
            scim_type: self.scim_type,
            detail: self.detail,
            facts_changed: self.facts_changed,
            assignments_changed: self.assignments_changed,
            duration_ms: self.duration_ms,
            correlation: self.correlation,
            client_request_id: self.client_request_id,
            occurrences: self.occurrences,
            last_at: Timestamp::from_millis(self.last_at_ms.unwrap_or(self.at_ms)),
        })
    }
}

/// Entries of a connection that is gone meanwhile are dropped. An entry that is there gets the higher count.
pub async fn insert_entries(tx: &mut Tx, entries: &[LogEntry]) -> Result<(), DbError> {
    // A foreign key that fails would take the whole batch with it.
    let sql = "with entry (tenant, connection, id, at_ms, method, resource, status, scim_type, detail, facts_changed, assignments_changed,
            duration_ms, correlation, client_request_id, occurrences, last_at_ms) as (values {($1, $2, $3, cast($4 as bigint), $5, $6, cast($7 as bigint), $8, $9, cast($10 as bigint), cast($11 as bigint), cast($12 as bigint), $13, $14, cast($15 as bigint), cast($16 as bigint))})
        insert into provisioning_log (tenant, connection, id, at_ms, method, resource, status, scim_type, detail, facts_changed,
            assignments_changed, duration_ms, correlation, client_request_id, occurrences, last_at_ms)
        select entry.tenant, entry.connection, entry.id, entry.at_ms, entry.method, entry.resource, entry.status, entry.scim_type,
            entry.detail, entry.facts_changed, entry.assignments_changed, entry.duration_ms, entry.correlation, entry.client_request_id,
            entry.occurrences, entry.last_at_ms
        from entry
        join connection on connection.tenant = entry.tenant and connection.id = entry.connection
        where true
        on conflict (tenant, connection, id) do update set occurrences = excluded.occurrences, last_at_ms = excluded.last_at_ms
        where provisioning_log.occurrences < excluded.occurrences";
    for chunk in entries.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for entry in chunk {
            query = query
                .bind(entry.tenant.to_string())
                .bind(entry.connection.to_string())
                .bind(entry.id.to_string())
                .bind(entry.at.millis())
                .bind(entry.method.as_str())
                .bind(entry.resource.as_str())
                .bind(i64::from(entry.status))
                .bind(entry.scim_type.as_deref())
                .bind(entry.detail.as_deref())
                .bind(entry.facts_changed)
                .bind(entry.assignments_changed)
                .bind(entry.duration_ms)
                .bind(entry.correlation.as_str())
                .bind(entry.client_request_id.as_deref())
                .bind(entry.occurrences)
                .bind(entry.last_at.millis());
        }
        query.run().await?;
    }
    Ok(())
}

/// The newest first, older than `before`, at most `limit`.
pub async fn list_entries(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<LogEntry>, DbError> {
    let sql = "select id, at_ms, method, resource, status, scim_type, detail, facts_changed, assignments_changed, duration_ms, correlation,
            client_request_id, occurrences, last_at_ms
        from provisioning_log where tenant = $1 and connection = $2 and id < $3 order by id desc limit $4";
    // Above every identifier: they are lower-case hexadecimal.
    let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(before).bind(limit);
    query.all::<Row>().await?.into_iter().map(|row| row.read(tenant, connection)).collect()
}

/// Removes entries that are older than `before`, at most a thousand; how many it were.
pub async fn purge_entries(db: &Db, before: Timestamp) -> Result<u64, DbError> {
    let sql = "delete from provisioning_log where (tenant, connection, id) in
        (select tenant, connection, id from provisioning_log where at_ms < $1 order by at_ms limit 1000)";
    db.query(sql).bind(before.millis()).run().await
}
