//! Roles as they were when somebody signed in. A version never changes: it stands under the hash of what it says.

use super::{
    column,
    engine::{Db, DbError, SET_LIMIT, Tx},
};
use crate::{
    domain::{id::TenantId, time::Timestamp},
    policy::session_rights::RoleVersion,
};

const DAY_SECS: i64 = 86_400;

/// `versions` are hashes with what they are of. That one is still in use is written at most once a day.
pub async fn keep_versions(tx: &mut Tx, tenant: TenantId, versions: &[(String, RoleVersion)], now: Timestamp) -> Result<(), DbError> {
    let sql = "insert into role_version (tenant, version, document, last_held_at_ms) values {($1, $2, $3, $4)}
        on conflict (tenant, version) do update set last_held_at_ms = excluded.last_held_at_ms
        where role_version.last_held_at_ms <= excluded.last_held_at_ms - 86400000";
    for chunk in versions.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for (hash, version) in chunk {
            query = query.bind(tenant.to_string()).bind(hash.clone()).bind(column::to_document(version)).bind(now.millis());
        }
        query.later().await?;
    }
    Ok(())
}

/// In no order; what is not there is left out.
pub async fn find_versions(db: &Db, tenant: TenantId, hashes: &[&str]) -> Result<Vec<(String, RoleVersion)>, DbError> {
    let sql = "select version, document from role_version where tenant = $1 and version in ({$2})";
    let mut found = Vec::with_capacity(hashes.len());
    for chunk in hashes.chunks(SET_LIMIT) {
        let query = db.query_set(sql, chunk.len()).bind(tenant.to_string());
        let rows: Vec<(String, String)> = chunk.iter().fold(query, |query, hash| query.bind((*hash).to_owned())).all().await?;
        for (hash, document) in rows {
            found.push((hash, column::document("a version of a role", &document)?));
        }
    }
    Ok(found)
}

/// Removes those that no session that is still alive can have begun with, at most a thousand; how many it were. `longest_secs` is how
/// long any session lasts.
pub async fn purge_versions(db: &Db, now: Timestamp, longest_secs: i64) -> Result<u64, DbError> {
    let sql = "delete from role_version where (tenant, version) in
        (select tenant, version from role_version where last_held_at_ms <= $1 order by last_held_at_ms limit 1000)";
    db.query(sql).bind(now.plus_secs(-longest_secs - 2 * DAY_SECS).millis()).run().await
}
