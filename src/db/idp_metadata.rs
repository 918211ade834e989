//! Where a connection's metadata comes from, what became of it, and what it brought that an owner has to decide.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    column,
    engine::{Db, DbError, SET_LIMIT, Target, Tx},
};
use crate::domain::{
    id::{AccountId, ConnectionId, EventId, TenantId},
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataRow {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    /// `None`: it was uploaded.
    pub url: Option<String>,
    /// An owner said that certificates from this address are trusted without being asked.
    pub auto_trust: bool,
    /// SHA-256 of the document that was read last, lower-case hexadecimal.
    pub digest: Option<String>,
    pub valid_until: Option<Timestamp>,
    pub set_by: Option<AccountId>,
    pub set_at: Timestamp,
    pub read_at: Option<Timestamp>,
    /// In a row.
    pub failures: i64,
    pub last_error: Option<String>,
    /// When it is fetched next; `None`: never.
    pub due_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant: String,
    connection: String,
    url: Option<String>,
    auto_trust: bool,
    digest: Option<String>,
    valid_until_ms: Option<i64>,
    set_by: Option<String>,
    set_at_ms: i64,
    read_at_ms: Option<i64>,
    failures: i64,
    last_error: Option<String>,
    due_at_ms: Option<i64>,
}

impl Row {
    fn read(self) -> Result<MetadataRow, DbError> {
        Ok(MetadataRow {
            tenant: column::id("a metadata's tenant", &self.tenant)?,
            connection: column::id("a metadata's connection", &self.connection)?,
            url: self.url,
            auto_trust: self.auto_trust,
            digest: self.digest,
            valid_until: column::time(self.valid_until_ms),
            set_by: column::optional_id("who set metadata", self.set_by.as_deref())?,
            set_at: Timestamp::from_millis(self.set_at_ms),
            read_at: column::time(self.read_at_ms),
            failures: self.failures,
            last_error: self.last_error,
            due_at: column::time(self.due_at_ms),
        })
    }
}

const FIND: &str =
    "select tenant, connection, url, auto_trust, digest, valid_until_ms, set_by, set_at_ms, read_at_ms, failures, last_error,
        due_at_ms
    from idp_metadata where tenant = $1 and connection = $2";

pub async fn find_metadata(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
) -> Result<Option<MetadataRow>, DbError> {
    let mut source = source.into();
    let query = source.query(FIND).bind(tenant.to_string()).bind(connection.to_string());
    query.optional().await?.map(Row::read).transpose()
}

/// As [`find_metadata`]: until the transaction ends nobody else writes it, so that what is written back undoes nobody's word.
pub async fn lock_metadata(tx: &mut Tx, tenant: TenantId, connection: ConnectionId) -> Result<Option<MetadataRow>, DbError> {
    let query = tx.lock(FIND).bind(tenant.to_string()).bind(connection.to_string());
    query.optional().await?.map(Row::read).transpose()
}

/// Writes the row, over the one that is there.
pub async fn put_metadata(tx: &mut Tx, row: &MetadataRow) -> Result<(), DbError> {
    let sql = "insert into idp_metadata (tenant, connection, url, auto_trust, digest, valid_until_ms, set_by, set_at_ms, read_at_ms,
            failures, last_error, due_at_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        on conflict (tenant, connection) do update set url = excluded.url, auto_trust = excluded.auto_trust, digest = excluded.digest,
            valid_until_ms = excluded.valid_until_ms, set_by = excluded.set_by, set_at_ms = excluded.set_at_ms,
            read_at_ms = excluded.read_at_ms, failures = excluded.failures, last_error = excluded.last_error,
            due_at_ms = excluded.due_at_ms";
    tx.query(sql)
        .bind(row.tenant.to_string())
        .bind(row.connection.to_string())
        .bind(row.url.as_deref())
        .bind(row.auto_trust)
        .bind(row.digest.as_deref())
        .bind(row.valid_until.map(Timestamp::millis))
        .bind(row.set_by.map(|account| account.to_string()))
        .bind(row.set_at.millis())
        .bind(row.read_at.map(Timestamp::millis))
        .bind(row.failures)
        .bind(row.last_error.as_deref())
        .bind(row.due_at.map(Timestamp::millis))
        .run()
        .await?;
    Ok(())
}

/// Those that are to be fetched, the longest due first, at most a hundred.
pub async fn list_due(db: &Db, now: Timestamp) -> Result<Vec<MetadataRow>, DbError> {
    let sql = "select tenant, connection, url, auto_trust, digest, valid_until_ms, set_by, set_at_ms, read_at_ms, failures, last_error,
            due_at_ms
        from idp_metadata where due_at_ms <= $1 order by due_at_ms limit 100";
    db.query(sql).bind(now.millis()).all().await?.into_iter().map(Row::read).collect()
}

/// Whether this node is the one that fetches it now: until `until` no other takes it.
pub async fn claim(db: &Db, row: &MetadataRow, until: Timestamp) -> Result<bool, DbError> {
    let sql = "update idp_metadata set due_at_ms = $4 where tenant = $1 and connection = $2 and due_at_ms = $3";
    let query = db.query(sql).bind(row.tenant.to_string()).bind(row.connection.to_string());
    Ok(query.bind(row.due_at.map(Timestamp::millis)).bind(until.millis()).run().await? == 1)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    Open,
    Accepted,
    Declined,
    /// The metadata says it no more.
    Withdrawn,
}

/// What a proposal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Certificate,
    SsoUrl,
    SsoPostUrl,
    SloRedirectUrl,
    SloPostUrl,
    /// Whether AuthnRequests are to be signed: `true` or `false`.
    SignedRequests,
}

impl What {
    #[must_use]
    pub fn is_address(self) -> bool {
        match self {
            Self::SsoUrl | Self::SsoPostUrl | Self::SloRedirectUrl | Self::SloPostUrl => true,
            Self::Certificate | Self::SignedRequests => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalRow {
    pub id: EventId,
    pub what: What,
    /// A certificate's fingerprint, or the address.
    pub key: String,
    /// A certificate in base64, or the address.
    pub value: String,
    pub state: ProposalState,
    pub proposed_at: Timestamp,
    pub decided_by: Option<AccountId>,
    pub decided_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct ProposalColumns {
    id: String,
    what: String,
    key: String,
    value: String,
    state: String,
    proposed_at_ms: i64,
    decided_by: Option<String>,
    decided_at_ms: Option<i64>,
}

impl ProposalColumns {
    fn read(self) -> Result<ProposalRow, DbError> {
        Ok(ProposalRow {
            id: column::id("a proposal's id", &self.id)?,
            what: column::word("what a proposal is about", &self.what)?,
            key: self.key,
            value: self.value,
            state: column::word("a proposal's state", &self.state)?,
            proposed_at: Timestamp::from_millis(self.proposed_at_ms),
            decided_by: column::optional_id("who decided a proposal", self.decided_by.as_deref())?,
            decided_at: column::time(self.decided_at_ms),
        })
    }
}

/// The open proposals of a connection in the order of their making, then decided ones, the latest first; at most a thousand.
pub async fn list_proposals(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
) -> Result<Vec<ProposalRow>, DbError> {
    let sql = "select id, what, key, value, state, proposed_at_ms, decided_by, decided_at_ms
        from metadata_proposal where tenant = $1 and connection = $2
        order by case when state = 'open' then 0 else 1 end, case when state = 'open' then id end, id desc limit 1000";
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(connection.to_string());
    query.all().await?.into_iter().map(ProposalColumns::read).collect()
}

/// Those that wait for an owner, in the order of their making. No more than one document can name.
pub async fn list_open_proposals(tx: &mut Tx, tenant: TenantId, connection: ConnectionId) -> Result<Vec<ProposalRow>, DbError> {
    let sql = "select id, what, key, value, state, proposed_at_ms, decided_by, decided_at_ms
        from metadata_proposal where tenant = $1 and connection = $2 and state = 'open' order by id";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string());
    query.all().await?.into_iter().map(ProposalColumns::read).collect()
}

/// What was withdrawn before and is said again is open again; what is open or declined stays as it is. Which are open only now.
pub async fn propose(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    rows: &[ProposalRow],
) -> Result<BTreeSet<(What, String)>, DbError> {
    let mut opened = BTreeSet::new();
    let sql = "insert into metadata_proposal (tenant, connection, id, what, key, value, state, proposed_at_ms)
        values {($1, $2, $3, $4, $5, $6, $7, $8)}
        on conflict (tenant, connection, what, key) do update set state = 'open', proposed_at_ms = excluded.proposed_at_ms
        where metadata_proposal.state in ('withdrawn', 'accepted')
        returning what, key";
    for chunk in rows.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for row in chunk {
            query = query
                .bind(tenant.to_string())
                .bind(connection.to_string())
                .bind(row.id.to_string())
                .bind(column::to_word(row.what))
                .bind(row.key.as_str())
                .bind(row.value.as_str())
                .bind(column::to_word(row.state))
                .bind(row.proposed_at.millis());
        }
        for (what, key) in query.all::<(String, String)>().await? {
            opened.insert((column::word("what a proposal is about", &what)?, key));
        }
    }
    Ok(opened)
}

/// False when it is not there, or is not open any more.
pub async fn decide(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: EventId,
    state: ProposalState,
    by: Option<AccountId>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update metadata_proposal set state = $4, decided_by = $5, decided_at_ms = $6
        where tenant = $1 and connection = $2 and id = $3 and state = 'open'";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string());
    let query = query.bind(column::to_word(state)).bind(by.map(|account| account.to_string())).bind(now.millis());
    Ok(query.run().await? == 1)
}
