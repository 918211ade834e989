//! Sessions of people who signed in, and the one-time links by which owners sign in without an identity provider.

use std::collections::BTreeMap;

use super::{
    column,
    engine::{DbError, SET_LIMIT, Target, Tx},
};
use crate::{
    domain::{
        connection::Audience,
        id::{AccountId, ConnectionId, SessionId, TenantId},
        identity::NameIdentifier,
        time::Timestamp,
    },
    policy::session_rights::Held,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    pub id: SessionId,
    pub tenant: TenantId,
    pub account: AccountId,
    /// `None` after a local sign-in.
    pub connection: Option<ConnectionId>,
    /// The version of the connection by which the sign-in was judged; 0 after a local one, and where a node wrote the session that does
    /// not keep it.
    pub connection_version: i64,
    /// What the sign-in was for.
    pub surface: Audience,
    /// SAML SessionIndex, by which the identity provider may end it.
    pub session_index: Option<String>,
    /// As the identity provider named the person.
    pub name_id: Option<NameIdentifier>,
    /// What the account held when the session began; `None` where changes of roles do not wait for the next sign-in.
    pub rights: Option<Vec<Held>>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub csrf_hash: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant: String,
    account: String,
    connection: Option<String>,
    connection_version: i64,
    surface: String,
    session_index: Option<String>,
    name_id: Option<String>,
    rights: Option<String>,
    created_at_ms: i64,
    expires_at_ms: i64,
    last_seen_at_ms: i64,
    csrf_hash: String,
}

impl Row {
    fn read(self) -> Result<SessionRow, DbError> {
        Ok(SessionRow {
            id: column::id("a session's id", &self.id)?,
            tenant: column::id("a session's tenant", &self.tenant)?,
            account: column::id("a session's account", &self.account)?,
            connection: column::optional_id("a session's connection", self.connection.as_deref())?,
            connection_version: self.connection_version,
            surface: column::word("a session's surface", &self.surface)?,
            session_index: self.session_index,
            name_id: self.name_id.as_deref().map(|text| column::document("a session's NameID", text)).transpose()?,
            rights: self.rights.as_deref().map(|text| column::document("a session's rights", text)).transpose()?,
            created_at: Timestamp::from_millis(self.created_at_ms),
            expires_at: Timestamp::from_millis(self.expires_at_ms),
            last_seen_at: Timestamp::from_millis(self.last_seen_at_ms),
            csrf_hash: self.csrf_hash,
        })
    }
}

/// The condition on a session `s` and its connection `c`. A session that began while its connection was switched off may have missed its
/// end: it is dead, because an older version of the connection let it in. Where the version is not known, the session is live if it began
/// a minute after that moment: clocks differ, and the end takes its time.
macro_rules! live {
    () => {
        "(s.connection is null or s.connection_version > c.closed_version
            or (s.connection_version = 0 and s.created_at_ms > c.closed_at_ms + 60000))"
    };
}
pub(super) use live;

/// `hash` is of the cookie's value, which is stored nowhere.
pub async fn insert_session(tx: &mut Tx, session: &SessionRow, hash: &str) -> Result<(), DbError> {
    let sql = "insert into session (tenant, id, hash, csrf_hash, account, connection, session_index, created_at_ms, expires_at_ms,
            last_seen_at_ms, subject, name_id, rights, surface, connection_version)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    tx.query(sql)
        .bind(session.tenant.to_string())
        .bind(session.id.to_string())
        .bind(hash.to_owned())
        .bind(session.csrf_hash.as_str())
        .bind(session.account.to_string())
        .bind(session.connection.map(|connection| connection.to_string()))
        .bind(session.session_index.as_deref())
        .bind(session.created_at.millis())
        .bind(session.expires_at.millis())
        .bind(session.last_seen_at.millis())
        .bind(session.name_id.as_ref().map(|name| name.value.as_str()))
        .bind(session.name_id.as_ref().map(column::to_document))
        .bind(session.rights.as_ref().map(column::to_document))
        .bind(column::to_word(session.surface))
        .bind(session.connection_version)
        .later()
        .await?;
    Ok(())
}

/// The session that is alive now; the cookie says neither tenant nor account.
pub async fn find_session(source: impl Into<Target<'_>>, hash: &str, now: Timestamp) -> Result<Option<SessionRow>, DbError> {
    let sql = concat!(
        "select s.id, s.tenant, s.account, s.connection, s.connection_version, s.surface, s.session_index, s.name_id, s.rights,
            s.created_at_ms, s.expires_at_ms, s.last_seen_at_ms, s.csrf_hash
        from session s left join connection c on c.tenant = s.tenant and c.id = s.connection
        where s.hash = $1 and s.expires_at_ms > $2 and ",
        live!()
    );
    source.into().query(sql).bind(hash.to_owned()).bind(now.millis()).optional().await?.map(Row::read).transpose()
}

/// False when it has ended before.
pub async fn end_session(tx: &mut Tx, tenant: TenantId, id: SessionId) -> Result<bool, DbError> {
    let sql = "delete from session where tenant = $1 and id = $2";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).run().await? == 1)
}

/// Those of an account that have not come to their end by time, the newest first, at most a thousand. Idle ones are among them.
pub async fn list_sessions(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    account: AccountId,
    now: Timestamp,
) -> Result<Vec<SessionRow>, DbError> {
    let sql = concat!(
        "select s.id, s.tenant, s.account, s.connection, s.connection_version, s.surface, s.session_index, s.name_id, s.rights,
            s.created_at_ms, s.expires_at_ms, s.last_seen_at_ms, s.csrf_hash
        from session s left join connection c on c.tenant = s.tenant and c.id = s.connection
        where s.tenant = $1 and s.account = $2 and s.expires_at_ms > $3 and ",
        live!(),
        " order by s.id desc limit 1000"
    );
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(account.to_string()).bind(now.millis());
    query.all().await?.into_iter().map(Row::read).collect()
}

/// Those of one subject at one connection, whoever's account it is: what a LogoutRequest speaks of. In the order of their beginning, from
/// the one after `after` on, at most a thousand.
pub async fn list_sessions_of_subject(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    subject: &str,
    after: Option<SessionId>,
) -> Result<Vec<SessionRow>, DbError> {
    let sql = "select id, tenant, account, connection, connection_version, surface, session_index, name_id, rights, created_at_ms,
            expires_at_ms, last_seen_at_ms, csrf_hash
        from session where tenant = $1 and connection = $2 and subject = $3 and id > $4 order by id limit 1000";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(subject.to_owned());
    let query = query.bind(after.map_or_else(String::new, |id| id.to_string()));
    query.all().await?.into_iter().map(Row::read).collect()
}

/// How many of them there still were.
pub async fn end_sessions(tx: &mut Tx, tenant: TenantId, ids: &[SessionId]) -> Result<u64, DbError> {
    let mut ended = 0;
    for chunk in ids.chunks(SET_LIMIT) {
        let query = tx.query_set("delete from session where tenant = $1 and id in ({$2})", chunk.len()).bind(tenant.to_string());
        ended += chunk.iter().fold(query, |query, id| query.bind(id.to_string())).run().await?;
    }
    Ok(ended)
}

/// Ends the session of a cookie, given by the cookie's hash. Returns whose session it was; `None` when it had ended before.
pub async fn end_session_of_cookie(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<Option<(TenantId, AccountId)>, DbError> {
    let sql = "delete from session where hash = $1 and expires_at_ms > $2 returning tenant, account";
    let row: Option<(String, String)> = tx.query(sql).bind(hash.to_owned()).bind(now.millis()).optional().await?;
    row.map(|(tenant, account)| Ok((column::id("a session's tenant", &tenant)?, column::id("a session's account", &account)?))).transpose()
}

/// Ends the oldest sessions of an account that the caller has locked, so that the newest `keep` remain. Returns how many ended.
pub async fn end_oldest_sessions(tx: &mut Tx, tenant: TenantId, account: AccountId, keep: i64, now: Timestamp) -> Result<u64, DbError> {
    let sql = "delete from session where tenant = $1 and id in (
            select id from session where tenant = $1 and account = $2 and expires_at_ms > $3
            order by created_at_ms desc, id desc limit 1000 offset $4)";
    tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).bind(now.millis()).bind(keep).run().await
}

/// False when the account has no such session.
pub async fn end_session_of_account(tx: &mut Tx, tenant: TenantId, account: AccountId, id: SessionId) -> Result<bool, DbError> {
    let sql = "delete from session where tenant = $1 and account = $2 and id = $3";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).bind(id.to_string()).run().await? == 1)
}

/// How many there were.
pub async fn end_sessions_of_account(tx: &mut Tx, tenant: TenantId, account: AccountId) -> Result<u64, DbError> {
    tx.query("delete from session where tenant = $1 and account = $2").bind(tenant.to_string()).bind(account.to_string()).run().await
}

/// Those that began by a sign-in through one connection; how many there were.
pub async fn end_sessions_by_connection(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
    connection: ConnectionId,
) -> Result<u64, DbError> {
    let sql = "delete from session where tenant = $1 and account = $2 and connection = $3";
    tx.query(sql).bind(tenant.to_string()).bind(account.to_string()).bind(connection.to_string()).run().await
}

/// How many each account had; an account without any is left out.
pub async fn end_sessions_of_accounts(
    tx: &mut Tx,
    tenant: TenantId,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, usize>, DbError> {
    let mut ended = BTreeMap::new();
    for chunk in accounts.chunks(SET_LIMIT) {
        let sql = "delete from session where tenant = $1 and account in ({$2}) returning account";
        let query = tx.query_set(sql, chunk.len()).bind(tenant.to_string());
        let query = chunk.iter().fold(query, |query, account| query.bind(account.to_string()));
        for (account,) in query.all::<(String,)>().await? {
            *ended.entry(column::id("a session's account", &account)?).or_default() += 1;
        }
    }
    Ok(ended)
}

/// Of everybody who signed in through it; how many there were.
pub async fn end_sessions_of_connection(tx: &mut Tx, tenant: TenantId, connection: ConnectionId) -> Result<u64, DbError> {
    let sql = "delete from session where tenant = $1 and connection = $2";
    tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).run().await
}

/// At most once a minute; whether something was written.
pub async fn mark_seen(target: impl Into<Target<'_>>, tenant: TenantId, id: SessionId, now: Timestamp) -> Result<bool, DbError> {
    let sql = "update session set last_seen_at_ms = $3 where tenant = $1 and id = $2 and last_seen_at_ms <= $3 - 60000";
    Ok(target.into().query(sql).bind(tenant.to_string()).bind(id.to_string()).bind(now.millis()).run().await? == 1)
}

/// `hash` is of the link's secret, which is stored nowhere.
pub async fn insert_link(
    tx: &mut Tx,
    tenant: TenantId,
    id: SessionId,
    hash: &str,
    account: AccountId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    let sql = "insert into sign_in_link (tenant, id, hash, account, created_at_ms, expires_at_ms) values ($1, $2, $3, $4, $5, $6)";
    tx.query(sql)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .bind(hash.to_owned())
        .bind(account.to_string())
        .bind(now.millis())
        .bind(expires_at.millis())
        .run()
        .await?;
    Ok(())
}

/// Whose link it was; `None` when it is unknown, used or expired. Only one of any number of callers gets it.
pub async fn consume_link(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<Option<(TenantId, AccountId)>, DbError> {
    let sql = "update sign_in_link set used_at_ms = $2
        where hash = $1 and used_at_ms is null and expires_at_ms > $2
        returning tenant, account";
    let row: Option<(String, String)> = tx.query(sql).bind(hash.to_owned()).bind(now.millis()).optional().await?;
    row.map(|(tenant, account)| Ok((column::id("a link's tenant", &tenant)?, column::id("a link's account", &account)?))).transpose()
}
