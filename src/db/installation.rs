//! The one row of the installation: the proof that a master key is the one this database was written with.

use super::engine::{DbError, Target, Tx};
use crate::domain::time::Timestamp;

/// `None` before the first start.
pub async fn find_key_check(source: impl Into<Target<'_>>) -> Result<Option<String>, DbError> {
    let row: Option<(String,)> = source.into().query("select key_check from installation where id = 1").optional().await?;
    Ok(row.map(|(key_check,)| key_check))
}

/// False when there is one already: another process was first, and its key counts.
pub async fn insert_key_check(tx: &mut Tx, key_check: &str, now: Timestamp) -> Result<bool, DbError> {
    let sql = "insert into installation (id, key_check, created_at_ms) values (1, $1, $2) on conflict do nothing";
    Ok(tx.query(sql).bind(key_check.to_owned()).bind(now.millis()).run().await? == 1)
}
