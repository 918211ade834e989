//! The certificates by which a connection's identity provider signs.

use super::{
    column,
    engine::{DbError, Target, Tx},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::domain::{
    id::{AccountId, CertificateId, ConnectionId, TenantId},
    time::Timestamp,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    /// Accepted, and expected to take over.
    Next,
    Current,
    /// Kept for the record; signs nothing in any more.
    Retired,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdpCertificateRow {
    pub id: CertificateId,
    pub connection: ConnectionId,
    pub der: Vec<u8>,
    /// SHA-256, lower-case hexadecimal.
    pub fingerprint: String,
    pub subject: String,
    pub key_kind: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub state: CertificateState,
    pub from_file: bool,
    pub added_by: Option<AccountId>,
    pub added_at: Timestamp,
    pub retired_by: Option<AccountId>,
    pub retired_at: Option<Timestamp>,
    pub first_used_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    connection: String,
    der: String,
    fingerprint: String,
    subject: String,
    key_kind: String,
    not_before_ms: i64,
    not_after_ms: i64,
    state: String,
    from_file: bool,
    added_by: Option<String>,
    added_at_ms: i64,
    retired_by: Option<String>,
    retired_at_ms: Option<i64>,
    first_used_at_ms: Option<i64>,
    last_used_at_ms: Option<i64>,
}

impl Row {
    fn read(self) -> Result<IdpCertificateRow, DbError> {
        Ok(IdpCertificateRow {
            id: column::id("a certificate's id", &self.id)?,
            connection: column::id("a certificate's connection", &self.connection)?,
            der: STANDARD.decode(&self.der).map_err(|error| DbError::corrupt("a certificate", &error))?,
            fingerprint: self.fingerprint,
            subject: self.subject,
            key_kind: self.key_kind,
            not_before: Timestamp::from_millis(self.not_before_ms),
            not_after: Timestamp::from_millis(self.not_after_ms),
            state: column::word("a certificate's state", &self.state)?,
            from_file: self.from_file,
            added_by: column::optional_id("who added a certificate", self.added_by.as_deref())?,
            added_at: Timestamp::from_millis(self.added_at_ms),
            retired_by: column::optional_id("who retired a certificate", self.retired_by.as_deref())?,
            retired_at: column::time(self.retired_at_ms),
            first_used_at: column::time(self.first_used_at_ms),
            last_used_at: column::time(self.last_used_at_ms),
        })
    }
}

/// All of a connection, retired ones too, in the order of their adding.
pub async fn list_certificates(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
) -> Result<Vec<IdpCertificateRow>, DbError> {
    let sql = "select id, connection, der, fingerprint, subject, key_kind, not_before_ms, not_after_ms, state, from_file, added_by,
            added_at_ms, retired_by, retired_at_ms, first_used_at_ms, last_used_at_ms
        from idp_certificate where tenant = $1 and connection = $2 order by id";
    source.into().query(sql).bind(tenant.to_string()).bind(connection.to_string()).all().await?.into_iter().map(Row::read).collect()
}

/// All of a tenant, in the order of their adding.
pub async fn list_certificates_of_tenant(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<IdpCertificateRow>, DbError> {
    let sql = "select id, connection, der, fingerprint, subject, key_kind, not_before_ms, not_after_ms, state, from_file, added_by,
            added_at_ms, retired_by, retired_at_ms, first_used_at_ms, last_used_at_ms
        from idp_certificate where tenant = $1 order by id";
    source.into().query(sql).bind(tenant.to_string()).all().await?.into_iter().map(Row::read).collect()
}

/// False when the connection has the fingerprint (or the id) already. The connection's version is for the caller to raise.
pub async fn insert_certificate(tx: &mut Tx, tenant: TenantId, certificate: &IdpCertificateRow) -> Result<bool, DbError> {
    let sql =
        "insert into idp_certificate (tenant, connection, id, der, fingerprint, subject, key_kind, not_before_ms, not_after_ms, state,
            from_file, added_by, added_at_ms, retired_by, retired_at_ms, first_used_at_ms, last_used_at_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        on conflict do nothing";
    let written = tx
        .query(sql)
        .bind(tenant.to_string())
        .bind(certificate.connection.to_string())
        .bind(certificate.id.to_string())
        .bind(STANDARD.encode(&certificate.der))
        .bind(certificate.fingerprint.as_str())
        .bind(certificate.subject.as_str())
        .bind(certificate.key_kind.as_str())
        .bind(certificate.not_before.millis())
        .bind(certificate.not_after.millis())
        .bind(column::to_word(certificate.state))
        .bind(certificate.from_file)
        .bind(certificate.added_by.map(|account| account.to_string()))
        .bind(certificate.added_at.millis())
        .bind(certificate.retired_by.map(|account| account.to_string()))
        .bind(certificate.retired_at.map(Timestamp::millis))
        .bind(certificate.first_used_at.map(Timestamp::millis))
        .bind(certificate.last_used_at.map(Timestamp::millis))
        .run()
        .await?;
    Ok(written == 1)
}

/// False when it is not there, or retired already. The connection's version is for the caller to raise.
pub async fn retire_certificate(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: CertificateId,
    by: Option<AccountId>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update idp_certificate set state = 'retired', retired_by = $4, retired_at_ms = $5
        where tenant = $1 and connection = $2 and id = $3 and state <> 'retired'";
    let written = tx
        .query(sql)
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(id.to_string())
        .bind(by.map(|account| account.to_string()))
        .bind(now.millis())
        .run()
        .await?;
    Ok(written == 1)
}

/// Puts it among the trusted ones, as `next` or `current`, also after it was retired; false when it is not there. The connection's
/// version is for the caller to raise.
pub async fn trust_certificate(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: CertificateId,
    state: CertificateState,
) -> Result<bool, DbError> {
    let sql = "update idp_certificate set state = $4, retired_by = null, retired_at_ms = null
        where tenant = $1 and connection = $2 and id = $3";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string());
    Ok(query.bind(column::to_word(state)).run().await? == 1)
}

/// Marks that a signature was verified with it, at most once a minute; whether something was written.
pub async fn mark_used(
    target: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
    id: CertificateId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update idp_certificate set first_used_at_ms = coalesce(first_used_at_ms, $4), last_used_at_ms = $4
        where tenant = $1 and connection = $2 and id = $3 and (last_used_at_ms is null or last_used_at_ms <= $4 - 60000)";
    let mut target = target.into();
    let query = target.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).bind(now.millis());
    Ok(query.run().await? == 1)
}
