//! Sign-ins that show what they would do and do nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    column,
    engine::{Db, DbError, Target, Tx},
};
use crate::domain::{
    id::{AccountId, ConnectionId, EventId, TenantId},
    time::Timestamp,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestState {
    /// Nobody has opened its address.
    Waiting,
    /// Somebody is at the identity provider.
    Begun,
    /// The response would be accepted; whether the person would be let in, the result says.
    Accepted,
    Refused,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TestRow {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    pub id: EventId,
    pub started_by: AccountId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub state: TestState,
    /// The AuthnRequest's ID, once it has begun.
    pub request: Option<String>,
    pub result: Option<Value>,
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant: String,
    connection: String,
    id: String,
    started_by: String,
    created_at_ms: i64,
    expires_at_ms: i64,
    state: String,
    request: Option<String>,
    result: Option<String>,
}

impl Row {
    fn read(self) -> Result<TestRow, DbError> {
        Ok(TestRow {
            tenant: column::id("a test's tenant", &self.tenant)?,
            connection: column::id("a test's connection", &self.connection)?,
            id: column::id("a test's id", &self.id)?,
            started_by: column::id("who started a test", &self.started_by)?,
            created_at: Timestamp::from_millis(self.created_at_ms),
            expires_at: Timestamp::from_millis(self.expires_at_ms),
            state: column::word("a test's state", &self.state)?,
            request: self.request,
            result: self.result.as_deref().map(|text| column::document("a test's result", text)).transpose()?,
        })
    }
}

/// `hash` is of the secret in its address.
pub async fn insert_test(tx: &mut Tx, row: &TestRow, hash: &str) -> Result<(), DbError> {
    let sql = "insert into test_sign_in (tenant, connection, id, hash, started_by, created_at_ms, expires_at_ms, state)
        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    tx.query(sql)
        .bind(row.tenant.to_string())
        .bind(row.connection.to_string())
        .bind(row.id.to_string())
        .bind(hash.to_owned())
        .bind(row.started_by.to_string())
        .bind(row.created_at.millis())
        .bind(row.expires_at.millis())
        .bind(column::to_word(row.state))
        .run()
        .await?;
    Ok(())
}

pub async fn find_test(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
    id: EventId,
) -> Result<Option<TestRow>, DbError> {
    let sql = "select tenant, connection, id, started_by, created_at_ms, expires_at_ms, state, request, result
        from test_sign_in where tenant = $1 and connection = $2 and id = $3";
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string());
    query.optional().await?.map(Row::read).transpose()
}

/// Ties the test to an AuthnRequest and the browser that sends it. `None` when the secret is of no test of the connection that still
/// waits: an address works once.
pub async fn begin_test(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    hash: &str,
    request: &str,
    browser_hash: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update test_sign_in set state = 'begun', request = $4, browser_hash = $5
        where tenant = $1 and connection = $2 and hash = $3 and state = 'waiting' and expires_at_ms > $6";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(hash.to_owned());
    Ok(query.bind(request.to_owned()).bind(browser_hash.to_owned()).bind(now.millis()).run().await? == 1)
}

/// The test that this browser has begun by this request and that has no result yet.
pub async fn find_begun(
    db: &Db,
    tenant: TenantId,
    connection: ConnectionId,
    request: &str,
    browser_hash: &str,
    now: Timestamp,
) -> Result<Option<TestRow>, DbError> {
    let sql = "select tenant, connection, id, started_by, created_at_ms, expires_at_ms, state, request, result
        from test_sign_in
        where tenant = $1 and connection = $2 and request = $3 and browser_hash = $4 and state = 'begun' and expires_at_ms > $5";
    let query = db.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(request.to_owned());
    query.bind(browser_hash.to_owned()).bind(now.millis()).optional().await?.map(Row::read).transpose()
}

/// Writes the result; false when there is one already.
pub async fn end_test(tx: &mut Tx, row: &TestRow, state: TestState, result: &Value) -> Result<bool, DbError> {
    let sql = "update test_sign_in set state = $4, result = $5 where tenant = $1 and connection = $2 and id = $3 and state = 'begun'";
    let query = tx.query(sql).bind(row.tenant.to_string()).bind(row.connection.to_string()).bind(row.id.to_string());
    Ok(query.bind(column::to_word(state)).bind(column::to_document(result)).run().await? == 1)
}

/// Removes what has expired, at most a thousand; how many it were. Results hold what an identity provider says of a person.
pub async fn purge_tests(db: &Db, now: Timestamp) -> Result<u64, DbError> {
    let sql = "delete from test_sign_in where (tenant, connection, id) in
        (select tenant, connection, id from test_sign_in where expires_at_ms <= $1 order by expires_at_ms limit 1000)";
    db.query(sql).bind(now.millis()).run().await
}
