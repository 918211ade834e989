//! Requests that are made once: what was asked under a key, and the sealed answer.

use super::engine::{Db, DbError};
use crate::domain::{id::TenantId, time::Timestamp};

/// So long a key is remembered.
pub const TTL_SECS: i64 = 86_400;

/// Whose key, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub tenant: TenantId,
    /// The id of the account or of the application token.
    pub caller: String,
    /// Method and path, as the router has it.
    pub route: String,
    pub key: String,
}

/// A request that was made under the key before.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Earlier {
    /// SHA-256 of the request.
    pub digest: String,
    /// Sealed; `None` while it is under way, and for good when nobody knows how it ended.
    pub answer: Option<String>,
    pub created_at_ms: i64,
}

/// Takes the slot; false when somebody has it. What was taken before `forgotten` is taken over.
pub async fn take(db: &Db, slot: &Slot, digest: &str, now: Timestamp, forgotten: Timestamp) -> Result<bool, DbError> {
    let sql = "insert into idempotency (tenant, caller, route, key, digest, answer, created_at_ms) values ($1, $2, $3, $4, $5, null, $6)
        on conflict (tenant, caller, route, key)
        do update set digest = excluded.digest, answer = null, created_at_ms = excluded.created_at_ms
        where idempotency.created_at_ms < $7";
    let query = db.query(sql).bind(slot.tenant.to_string()).bind(slot.caller.as_str()).bind(slot.route.as_str()).bind(slot.key.as_str());
    Ok(query.bind(digest.to_owned()).bind(now.millis()).bind(forgotten.millis()).run().await? == 1)
}

pub async fn find(db: &Db, slot: &Slot) -> Result<Option<Earlier>, DbError> {
    let sql = "select digest, answer, created_at_ms from idempotency where tenant = $1 and caller = $2 and route = $3 and key = $4";
    let query = db.query(sql).bind(slot.tenant.to_string()).bind(slot.caller.as_str()).bind(slot.route.as_str()).bind(slot.key.as_str());
    query.optional().await
}

pub async fn keep(db: &Db, slot: &Slot, answer: &str) -> Result<(), DbError> {
    let sql = "update idempotency set answer = $5 where tenant = $1 and caller = $2 and route = $3 and key = $4";
    let query = db.query(sql).bind(slot.tenant.to_string()).bind(slot.caller.as_str()).bind(slot.route.as_str()).bind(slot.key.as_str());
    query.bind(answer.to_owned()).run().await?;
    Ok(())
}

/// Gives the slot back: nothing was done. What somebody else took meanwhile, or has an answer, stays.
pub async fn release(db: &Db, slot: &Slot, taken_at: Timestamp) -> Result<(), DbError> {
    let sql = "delete from idempotency
        where tenant = $1 and caller = $2 and route = $3 and key = $4 and created_at_ms = $5 and answer is null";
    let query = db.query(sql).bind(slot.tenant.to_string()).bind(slot.caller.as_str()).bind(slot.route.as_str()).bind(slot.key.as_str());
    query.bind(taken_at.millis()).run().await?;
    Ok(())
}

pub async fn purge(db: &Db, before: Timestamp) -> Result<u64, DbError> {
    db.query("delete from idempotency where created_at_ms < $1").bind(before.millis()).run().await
}
