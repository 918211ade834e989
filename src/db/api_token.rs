//! Tokens that people make from a session; only their hashes are here. They are gone with the session: a row of it is their parent.

use std::collections::BTreeSet;

use super::{
    column,
    engine::{Db, DbError, Target, Tx},
    session::{self, SessionRow},
};
use crate::domain::{
    capability::Capability,
    id::{AccountId, ApiTokenId, SessionId, TenantId},
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiTokenRow {
    pub id: ApiTokenId,
    pub session: SessionId,
    pub account: AccountId,
    pub name: String,
    /// `None`: all that the account may do.
    pub only: Option<BTreeSet<Capability>>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    session: String,
    account: String,
    name: String,
    capabilities: String,
    created_at_ms: i64,
    expires_at_ms: i64,
    revoked_at_ms: Option<i64>,
    last_used_at_ms: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct BearerRow {
    #[sqlx(flatten)]
    row: Row,
    session_hash: String,
}

impl Row {
    fn read(self) -> Result<ApiTokenRow, DbError> {
        Ok(ApiTokenRow {
            id: column::id("an API token's id", &self.id)?,
            session: column::id("an API token's session", &self.session)?,
            account: column::id("an API token's account", &self.account)?,
            name: self.name,
            only: column::document("an API token's capabilities", &self.capabilities)?,
            created_at: Timestamp::from_millis(self.created_at_ms),
            expires_at: Timestamp::from_millis(self.expires_at_ms),
            revoked_at: column::time(self.revoked_at_ms),
            last_used_at: column::time(self.last_used_at_ms),
        })
    }
}

pub async fn insert_api_token(tx: &mut Tx, tenant: TenantId, row: &ApiTokenRow, hash: &str) -> Result<(), DbError> {
    let sql = "insert into api_token (tenant, id, session, account, hash, name, capabilities, created_at_ms, expires_at_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    tx.query(sql)
        .bind(tenant.to_string())
        .bind(row.id.to_string())
        .bind(row.session.to_string())
        .bind(row.account.to_string())
        .bind(hash.to_owned())
        .bind(row.name.as_str())
        .bind(column::to_document(&row.only))
        .bind(row.created_at.millis())
        .bind(row.expires_at.millis())
        .run()
        .await?;
    Ok(())
}

/// The token that counts now, with the session that it was made from, which is alive.
pub async fn find_bearer(db: &Db, hash: &str, now: Timestamp) -> Result<Option<(ApiTokenRow, SessionRow)>, DbError> {
    let sql =
        "select t.id, t.session, t.account, t.name, t.capabilities, t.created_at_ms, t.expires_at_ms, t.revoked_at_ms, t.last_used_at_ms,
            s.hash as session_hash
        from api_token t join session s on s.tenant = t.tenant and s.id = t.session
        where t.hash = $1 and t.expires_at_ms > $2 and t.revoked_at_ms is null";
    let row: Option<BearerRow> = db.query(sql).bind(hash.to_owned()).bind(now.millis()).optional().await?;
    let Some(BearerRow { row, session_hash }) = row else { return Ok(None) };
    let token = row.read()?;
    Ok(session::find_session(db, &session_hash, now).await?.map(|session| (token, session)))
}

/// Of one account, in the order of their making; those of sessions that have ended are gone.
pub async fn list_api_tokens(source: impl Into<Target<'_>>, tenant: TenantId, account: AccountId) -> Result<Vec<ApiTokenRow>, DbError> {
    let sql = "select id, session, account, name, capabilities, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms
        from api_token where tenant = $1 and account = $2 order by id";
    source.into().query(sql).bind(tenant.to_string()).bind(account.to_string()).all::<Row>().await?.into_iter().map(Row::read).collect()
}

pub async fn find_api_token(source: impl Into<Target<'_>>, tenant: TenantId, id: ApiTokenId) -> Result<Option<ApiTokenRow>, DbError> {
    let sql = "select id, session, account, name, capabilities, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms
        from api_token where tenant = $1 and id = $2";
    source.into().query(sql).bind(tenant.to_string()).bind(id.to_string()).optional::<Row>().await?.map(Row::read).transpose()
}

/// False when it is not there, or revoked already.
pub async fn revoke_api_token(tx: &mut Tx, tenant: TenantId, id: ApiTokenId, now: Timestamp) -> Result<bool, DbError> {
    // Requests in flight share the row: they commit before it is revoked, or find that it was.
    let sql = "select id from api_token where tenant = $1 and id = $2";
    tx.lock(sql).bind(tenant.to_string()).bind(id.to_string()).optional::<(String,)>().await?;
    let sql = "update api_token set revoked_at_ms = $3 where tenant = $1 and id = $2 and revoked_at_ms is null";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).bind(now.millis()).run().await? == 1)
}

/// At most once a minute.
pub async fn mark_api_token_used(db: &Db, tenant: TenantId, id: ApiTokenId, now: Timestamp) -> Result<(), DbError> {
    let sql = "update api_token set last_used_at_ms = $3
        where tenant = $1 and id = $2 and (last_used_at_ms is null or last_used_at_ms <= $3 - 60000)";
    db.query(sql).bind(tenant.to_string()).bind(id.to_string()).bind(now.millis()).run().await?;
    Ok(())
}
