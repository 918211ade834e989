//! The one row of the installation: the proof that a master key is the one this database was written with; and what a change of the master
//! key leaves.

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

/// The check value, locked until the transaction ends: a change of the master key and whoever seals something wait for one another.
pub async fn lock_key_check(tx: &mut Tx) -> Result<Option<String>, DbError> {
    let row: Option<(String,)> = tx.lock("select key_check from installation where id = 1").optional().await?;
    Ok(row.map(|(key_check,)| key_check))
}

/// The key of the audit chain, sealed under the present master key; `None` while there never was another master key.
pub async fn find_chain_key(source: impl Into<Target<'_>>) -> Result<Option<String>, DbError> {
    let row: Option<(Option<String>,)> = source.into().query("select chain_key from master_key_change where id = 1").optional().await?;
    Ok(row.and_then(|(chain_key,)| chain_key))
}

/// Begins the change to the key with that check value; false when it was begun before and goes on. One that was begun for another key is
/// given up.
pub async fn begin_key_change(tx: &mut Tx, next_key_check: &str, next_chain_key: &str) -> Result<bool, DbError> {
    let sql = "update master_key_change set next_key_check = $1, next_chain_key = $2
        where id = 1 and (next_key_check is null or next_key_check <> $1)";
    let begun = tx.query(sql).bind(next_key_check.to_owned()).bind(next_chain_key.to_owned()).run().await? == 1;
    if begun {
        tx.query("update sp_key set sealed_next = null where sealed_next is not null").run().await?;
    }
    Ok(begun)
}

/// The check value of the key to which a change is under way.
pub async fn find_next_key_check(tx: &mut Tx) -> Result<Option<String>, DbError> {
    let row: Option<(Option<String>,)> = tx.query("select next_key_check from master_key_change where id = 1").optional().await?;
    Ok(row.and_then(|(check,)| check))
}

/// From here on the database is that of the next key.
pub async fn finish_key_change(tx: &mut Tx, next_key_check: &str) -> Result<(), DbError> {
    tx.query("update installation set key_check = $1 where id = 1").bind(next_key_check.to_owned()).run().await?;
    let sql = "update master_key_change set chain_key = next_chain_key, next_key_check = null, next_chain_key = null where id = 1";
    tx.query(sql).run().await?;
    Ok(())
}
