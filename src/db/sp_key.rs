//! Key pairs of ours, with which a connection's messages are signed and assertions decrypted. Private keys are sealed before they come here.

use super::{
    column,
    engine::{DbError, SET_LIMIT, Target, Tx},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::domain::{
    id::{AccountId, ConnectionId, SpKeyId, TenantId},
    time::Timestamp,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpKeyState {
    /// In the metadata, and able to decrypt, so that the identity provider can take it in.
    Next,
    /// In the metadata; signs what we send. A connection has one at most.
    Current,
    /// In the metadata no more. Decrypts what is still encrypted for it, until it is removed.
    Retired,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpKeyRow {
    pub id: SpKeyId,
    pub connection: ConnectionId,
    pub certificate_der: Vec<u8>,
    /// SHA-256, lower-case hexadecimal.
    pub fingerprint: String,
    pub subject: String,
    pub key_kind: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// The private key under the master key.
    pub sealed: String,
    pub state: SpKeyState,
    pub added_by: Option<AccountId>,
    pub added_at: Timestamp,
    pub current_since: Option<Timestamp>,
    pub retired_by: Option<AccountId>,
    pub retired_at: Option<Timestamp>,
    pub last_decrypted_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    connection: String,
    certificate: String,
    fingerprint: String,
    subject: String,
    key_kind: String,
    not_before_ms: i64,
    not_after_ms: i64,
    sealed: String,
    state: String,
    added_by: Option<String>,
    added_at_ms: i64,
    current_since_ms: Option<i64>,
    retired_by: Option<String>,
    retired_at_ms: Option<i64>,
    last_decrypted_at_ms: Option<i64>,
}

impl Row {
    fn read(self) -> Result<SpKeyRow, DbError> {
        Ok(SpKeyRow {
            id: column::id("a key's id", &self.id)?,
            connection: column::id("a key's connection", &self.connection)?,
            certificate_der: STANDARD.decode(&self.certificate).map_err(|error| DbError::corrupt("a key's certificate", &error))?,
            fingerprint: self.fingerprint,
            subject: self.subject,
            key_kind: self.key_kind,
            not_before: Timestamp::from_millis(self.not_before_ms),
            not_after: Timestamp::from_millis(self.not_after_ms),
            sealed: self.sealed,
            state: column::word("a key's state", &self.state)?,
            added_by: column::optional_id("who added a key", self.added_by.as_deref())?,
            added_at: Timestamp::from_millis(self.added_at_ms),
            current_since: column::time(self.current_since_ms),
            retired_by: column::optional_id("who retired a key", self.retired_by.as_deref())?,
            retired_at: column::time(self.retired_at_ms),
            last_decrypted_at: column::time(self.last_decrypted_at_ms),
        })
    }
}

/// All of a connection, in the order of their adding.
pub async fn list_sp_keys(source: impl Into<Target<'_>>, tenant: TenantId, connection: ConnectionId) -> Result<Vec<SpKeyRow>, DbError> {
    let sql = "select id, connection, certificate, fingerprint, subject, key_kind, not_before_ms, not_after_ms, sealed, state, added_by,
            added_at_ms, current_since_ms, retired_by, retired_at_ms, last_decrypted_at_ms
        from sp_key where tenant = $1 and connection = $2 order by id";
    source.into().query(sql).bind(tenant.to_string()).bind(connection.to_string()).all().await?.into_iter().map(Row::read).collect()
}

/// All of a tenant, in the order of their adding.
pub async fn list_sp_keys_of_tenant(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<SpKeyRow>, DbError> {
    let sql = "select id, connection, certificate, fingerprint, subject, key_kind, not_before_ms, not_after_ms, sealed, state, added_by,
            added_at_ms, current_since_ms, retired_by, retired_at_ms, last_decrypted_at_ms
        from sp_key where tenant = $1 order by id";
    source.into().query(sql).bind(tenant.to_string()).all().await?.into_iter().map(Row::read).collect()
}

/// False when the connection has the fingerprint, the id, or a key in that state already. The connection's version is for the caller to
/// raise.
pub async fn insert_sp_key(tx: &mut Tx, tenant: TenantId, key: &SpKeyRow) -> Result<bool, DbError> {
    let sql =
        "insert into sp_key (tenant, connection, id, certificate, fingerprint, subject, key_kind, not_before_ms, not_after_ms, sealed,
            state, added_by, added_at_ms, current_since_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        on conflict do nothing";
    let written = tx
        .query(sql)
        .bind(tenant.to_string())
        .bind(key.connection.to_string())
        .bind(key.id.to_string())
        .bind(STANDARD.encode(&key.certificate_der))
        .bind(key.fingerprint.as_str())
        .bind(key.subject.as_str())
        .bind(key.key_kind.as_str())
        .bind(key.not_before.millis())
        .bind(key.not_after.millis())
        .bind(key.sealed.as_str())
        .bind(column::to_word(key.state))
        .bind(key.added_by.map(|account| account.to_string()))
        .bind(key.added_at.millis())
        .bind(key.current_since.map(Timestamp::millis))
        .run()
        .await?;
    Ok(written == 1)
}

/// Signs from now on. The one that signed so far must have been retired before; false when this one is not there, or is not `next`.
pub async fn activate_sp_key(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: SpKeyId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update sp_key set state = 'current', current_since_ms = $4
        where tenant = $1 and connection = $2 and id = $3 and state = 'next'";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).bind(now.millis());
    Ok(query.run().await? == 1)
}

/// Goes on decrypting and does nothing else. False when it is not there, or retired already.
pub async fn retire_sp_key(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: SpKeyId,
    by: Option<AccountId>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update sp_key set state = 'retired', retired_by = $4, retired_at_ms = $5
        where tenant = $1 and connection = $2 and id = $3 and state <> 'retired'";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string());
    Ok(query.bind(by.map(|account| account.to_string())).bind(now.millis()).run().await? == 1)
}

/// The private key is gone for good. False when there is none that is retired.
pub async fn delete_sp_key(tx: &mut Tx, tenant: TenantId, connection: ConnectionId, id: SpKeyId) -> Result<bool, DbError> {
    let sql = "delete from sp_key where tenant = $1 and connection = $2 and id = $3 and state = 'retired'";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).run().await? == 1)
}

/// Marks that an assertion was decrypted with it, at most once a minute.
pub async fn mark_decrypted(
    target: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
    id: SpKeyId,
    now: Timestamp,
) -> Result<(), DbError> {
    let sql = "update sp_key set last_decrypted_at_ms = $4
        where tenant = $1 and connection = $2 and id = $3 and (last_decrypted_at_ms is null or last_decrypted_at_ms <= $4 - 60000)";
    let mut target = target.into();
    let query = target.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).bind(now.millis());
    query.run().await?;
    Ok(())
}

/// A private key as it is sealed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    pub id: SpKeyId,
    pub sealed: String,
}

/// The same under the next master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    pub key: SealedKey,
    pub sealed_next: String,
}

/// Of every tenant, for the operator of the host: private keys that are not sealed under the next master key yet, at most `limit`.
pub async fn list_to_rewrap(source: impl Into<Target<'_>>, limit: i64) -> Result<Vec<SealedKey>, DbError> {
    let sql = "select tenant, connection, id, sealed from sp_key where sealed_next is null order by tenant, connection, id limit $1";
    let rows: Vec<(String, String, String, String)> = source.into().query(sql).bind(limit).all().await?;
    let read = |(tenant, connection, id, sealed): (String, String, String, String)| {
        Ok(SealedKey {
            tenant: column::id("a key's tenant", &tenant)?,
            connection: column::id("a key's connection", &connection)?,
            id: column::id("a key's id", &id)?,
            sealed,
        })
    };
    rows.into_iter().map(read).collect()
}

pub async fn any_to_rewrap(tx: &mut Tx) -> Result<bool, DbError> {
    let row: Option<(String,)> = tx.query("select id from sp_key where sealed_next is null limit 1").optional().await?;
    Ok(row.is_some())
}

/// Keeps them beside the present seals. What was changed or removed meanwhile is left alone. At most [`SET_LIMIT`].
pub async fn keep_resealed(tx: &mut Tx, rows: &[Resealed]) -> Result<(), DbError> {
    let sql = "with next (tenant, connection, id, sealed, sealed_next) as (values {($1, $2, $3, $4, $5)})
        update sp_key set sealed_next = next.sealed_next from next
        where sp_key.tenant = next.tenant and sp_key.connection = next.connection and sp_key.id = next.id and sp_key.sealed = next.sealed";
    for chunk in rows.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for row in chunk {
            query = query
                .bind(row.key.tenant.to_string())
                .bind(row.key.connection.to_string())
                .bind(row.key.id.to_string())
                .bind(row.key.sealed.as_str())
                .bind(row.sealed_next.as_str());
        }
        query.run().await?;
    }
    Ok(())
}

/// Puts the next seals in the place of the present ones; how many.
pub async fn take_over_resealed(tx: &mut Tx) -> Result<u64, DbError> {
    tx.query("update sp_key set sealed = sealed_next, sealed_next = null where sealed_next is not null").run().await
}
