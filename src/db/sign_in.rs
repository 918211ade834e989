//! What a SAML sign-in leaves behind: requests that wait for their answer, assertions that were used, and the log that admins read.

use super::{
    column,
    engine::{Db, DbError, SET_LIMIT, Target, Tx},
};
use serde::{Deserialize, Serialize};

use crate::domain::{
    id::{AccountId, ConnectionId, EventId, TenantId},
    time::Timestamp,
};

/// What a request remembers until its answer comes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthnRequestRow {
    pub return_to: Option<String>,
    /// Hash of the session cookie that the browser had when it began.
    pub former_session: Option<String>,
}

/// `id` is the AuthnRequest's ID, `browser_hash` ties it to the browser that began.
pub async fn insert_authn_request(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: &str,
    browser_hash: &str,
    row: &AuthnRequestRow,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    let sql = "insert into authn_request (tenant, connection, id, browser_hash, return_to, former_session, expires_at_ms)
        values ($1, $2, $3, $4, $5, $6, $7)";
    tx.query(sql)
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(id.to_owned())
        .bind(browser_hash.to_owned())
        .bind(row.return_to.clone())
        .bind(row.former_session.clone())
        .bind(expires_at.millis())
        .run()
        .await?;
    Ok(())
}

/// `None` when it is unknown, answered before, expired, or was begun by another browser. Only one of any number of callers gets it.
pub async fn consume_authn_request(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: &str,
    browser_hash: &str,
    now: Timestamp,
) -> Result<Option<AuthnRequestRow>, DbError> {
    let sql = "delete from authn_request
        where tenant = $1 and connection = $2 and id = $3 and browser_hash = $4 and expires_at_ms > $5
        returning return_to, former_session";
    let row: Option<(Option<String>, Option<String>)> = tx
        .query(sql)
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(id.to_owned())
        .bind(browser_hash.to_owned())
        .bind(now.millis())
        .optional()
        .await?;
    Ok(row.map(|(return_to, former_session)| AuthnRequestRow { return_to, former_session }))
}

/// False when the assertion was used before. At `expires_at` its own conditions refuse it, whatever clock skew is tolerated.
pub async fn consume_assertion(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    issuer: &str,
    id: &str,
    expires_at: Timestamp,
) -> Result<bool, DbError> {
    let sql = "insert into consumed_assertion (tenant, connection, issuer, id, expires_at_ms) values ($1, $2, $3, $4, $5)
        on conflict do nothing";
    let written = tx
        .query(sql)
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(issuer.to_owned())
        .bind(id.to_owned())
        .bind(expires_at.millis())
        .run()
        .await?;
    Ok(written == 1)
}

/// How long a used assertion is kept after it expired. A node whose clock is behind that of the node which removes it would take the
/// assertion again; no node whose clock differs by so much signs people in.
pub const ASSERTION_MARGIN_SECS: i64 = 600;
/// How long the log of sign-ins is kept.
const LOG_DAYS: i64 = 90;

/// Removes what has expired: requests, used assertions, sessions, links and the log of sign-ins, at most a thousand of each; how many it
/// were in all.
/// Zero means that nothing is left to remove.
pub async fn purge_expired(db: &Db, now: Timestamp) -> Result<u64, DbError> {
    let requests = "delete from authn_request where (tenant, connection, id) in
        (select tenant, connection, id from authn_request where expires_at_ms <= $1 order by expires_at_ms limit 1000)";
    let assertions = "delete from consumed_assertion where (tenant, connection, issuer, id) in
        (select tenant, connection, issuer, id from consumed_assertion where expires_at_ms <= $1 order by expires_at_ms limit 1000)";
    let sessions = "delete from session where (tenant, id) in
        (select tenant, id from session where expires_at_ms <= $1 order by expires_at_ms limit 1000)";
    let links = "delete from sign_in_link where (tenant, id) in
        (select tenant, id from sign_in_link where expires_at_ms <= $1 order by expires_at_ms limit 1000)";
    let mut removed = db.query(requests).bind(now.millis()).run().await?;
    removed += db.query(assertions).bind(now.plus_secs(-ASSERTION_MARGIN_SECS).millis()).run().await?;
    removed += db.query(sessions).bind(now.millis()).run().await?;
    removed += db.query(links).bind(now.millis()).run().await?;
    let log = "delete from sign_in_log where (tenant, connection, id) in
        (select tenant, connection, id from sign_in_log where at_ms <= $1 order by at_ms limit 1000)";
    removed += db.query(log).bind(now.plus_secs(-LOG_DAYS * 86_400).millis()).run().await?;
    Ok(removed)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInOutcome {
    Accepted,
    Refused,
}

/// One sign-in, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInLogRow {
    /// Also the reference number that the browser was shown.
    pub id: EventId,
    pub connection: ConnectionId,
    pub at: Timestamp,
    pub outcome: SignInOutcome,
    /// Where it was refused.
    pub step: Option<String>,
    pub message: String,
    pub why: Why,
    pub account: Option<AccountId>,
    /// How many refusals of one kind the row stands for; 1 for a single sign-in.
    pub occurrences: i64,
    /// When the last of them came.
    pub last_at: Timestamp,
}

/// What the message says in words, in parts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Why {
    /// A short word that stays the same over releases.
    pub code: Option<String>,
    pub expected: Option<String>,
    pub got: Option<String>,
    pub cure: Option<String>,
}

/// Which rows of the log are listed; everything that is `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    pub outcome: Option<SignInOutcome>,
    pub step: Option<String>,
    pub account: Option<AccountId>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct LogRow {
    id: String,
    connection: String,
    at_ms: i64,
    outcome: String,
    step: Option<String>,
    message: String,
    code: Option<String>,
    expected: Option<String>,
    got: Option<String>,
    cure: Option<String>,
    account: Option<String>,
    occurrences: i64,
    last_at_ms: Option<i64>,
}

impl LogRow {
    fn read(self) -> Result<SignInLogRow, DbError> {
        Ok(SignInLogRow {
            id: column::id("a sign-in's id", &self.id)?,
            connection: column::id("a sign-in's connection", &self.connection)?,
            at: Timestamp::from_millis(self.at_ms),
            outcome: column::word("a sign-in's outcome", &self.outcome)?,
            step: self.step,
            message: self.message,
            why: Why { code: self.code, expected: self.expected, got: self.got, cure: self.cure },
            account: column::optional_id("a sign-in's account", self.account.as_deref())?,
            occurrences: self.occurrences,
            last_at: Timestamp::from_millis(self.last_at_ms.unwrap_or(self.at_ms)),
        })
    }
}

/// Outside the transactions of sign-ins, many at a time: a refused one has none, and none waits for its log. A row that is there gets
/// the higher count.
pub async fn log_sign_ins(tx: &mut Tx, rows: &[(TenantId, SignInLogRow)]) -> Result<(), DbError> {
    let sql = "insert into sign_in_log (tenant, connection, id, at_ms, outcome, step, message, account, code, expected, got, cure,
            occurrences, last_at_ms)
        values {($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)}
        on conflict (tenant, connection, id) do update set occurrences = excluded.occurrences, last_at_ms = excluded.last_at_ms
        where sign_in_log.occurrences < excluded.occurrences";
    for chunk in rows.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for (tenant, row) in chunk {
            query = query
                .bind(tenant.to_string())
                .bind(row.connection.to_string())
                .bind(row.id.to_string())
                .bind(row.at.millis())
                .bind(column::to_word(row.outcome))
                .bind(row.step.as_deref())
                .bind(row.message.as_str())
                .bind(row.account.map(|account| account.to_string()))
                .bind(row.why.code.as_deref())
                .bind(row.why.expected.as_deref())
                .bind(row.why.got.as_deref())
                .bind(row.why.cure.as_deref())
                .bind(row.occurrences)
                .bind(row.last_at.millis());
        }
        query.run().await?;
    }
    Ok(())
}

/// By the reference number that the browser was shown.
pub async fn find_sign_in(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
    id: EventId,
) -> Result<Option<SignInLogRow>, DbError> {
    let sql = "select id, connection, at_ms, outcome, step, message, account, code, expected, got, cure, occurrences, last_at_ms
        from sign_in_log where tenant = $1 and connection = $2 and id = $3";
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string());
    query.optional().await?.map(LogRow::read).transpose()
}

/// The newest first, older than `before`, at most `limit`.
pub async fn list_sign_in_log(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<SignInLogRow>, DbError> {
    search_sign_in_log(source, tenant, connection, &LogFilter::default(), before, limit).await
}

/// As [`list_sign_in_log`], of those that pass the filter.
pub async fn search_sign_in_log(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
    filter: &LogFilter,
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<SignInLogRow>, DbError> {
    let sql = "select id, connection, at_ms, outcome, step, message, account, code, expected, got, cure, occurrences, last_at_ms
        from sign_in_log
        where tenant = $1 and connection = $2 and id < $3 and ($4 = '' or outcome = $4) and ($5 = '' or step = $5)
            and ($6 = '' or account = $6) and at_ms >= $7 and at_ms < $8
        order by id desc limit $9";
    // Above every identifier: they are lower-case hexadecimal.
    let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
    let mut source = source.into();
    let query = source
        .query(sql)
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(before)
        .bind(filter.outcome.map_or_else(String::new, column::to_word))
        .bind(filter.step.clone().unwrap_or_default())
        .bind(filter.account.map_or_else(String::new, |account| account.to_string()))
        .bind(filter.since.map_or(i64::MIN, Timestamp::millis))
        .bind(filter.until.map_or(i64::MAX, Timestamp::millis))
        .bind(limit);
    query.all().await?.into_iter().map(LogRow::read).collect()
}
