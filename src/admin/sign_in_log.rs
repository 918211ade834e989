//! What sign-ins leave to be written down after them: rows of the log that admins read, and when a certificate was last used.
//!
//! No request waits for these writes. Refusals that anybody can cause are stored one by one only up to a budget for each address, for each
//! connection and in all; beyond that they are counted.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::repeats::{Outcome, Repeated, Repeats};
use crate::{
    db::{
        Db, DbError, Tx, certificate, sign_in,
        sign_in::{LogFilter, SignInLogRow},
        sp_key,
    },
    domain::{
        connection::Connection,
        id::{CertificateId, ConnectionId, EventId, SpKeyId, TenantId},
        time::Timestamp,
    },
    policy::{access::Grant, action::ReadLogs},
};

/// Rows that wait in memory at most.
const CAPACITY: usize = 4096;
/// Refusals that anybody can cause, stored one by one in an hour: of one address, of one connection, and in all.
const OF_ADDRESS: u32 = 10;
const OF_CONNECTION: u32 = 100;
const IN_ALL: u32 = 1000;
/// Refusals of fresh messages of the identity provider, stored one by one in an hour.
const FRESH: u32 = 5000;
/// A certificate's use is written at most this often.
const MARK_EVERY_SECS: i64 = 60;

/// Filled by requests, emptied by the jobs.
#[derive(Debug, Clone, Default)]
pub struct SignInLog(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    rows: Vec<(TenantId, SignInLogRow)>,
    lost: u64,
    repeats: Repeats<Budget, Kind, (TenantId, SignInLogRow)>,
    used: BTreeMap<CertificateId, (TenantId, ConnectionId, Timestamp)>,
    marked: BTreeMap<CertificateId, Timestamp>,
    decrypted: BTreeMap<SpKeyId, (TenantId, ConnectionId, Timestamp)>,
    marked_keys: BTreeMap<SpKeyId, Timestamp>,
}

/// The origin of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Anybody, as often as they like, from this address.
    Anybody(Option<IpAddr>),
    /// A message of the identity provider that was genuine and fresh. It cannot be sent again.
    IdentityProvider,
}

/// Limits the refusals that are stored one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Budget {
    Address(IpAddr),
    Connection(ConnectionId),
    All,
    Fresh(ConnectionId),
}

/// Refusals with the same step and code at one connection are of one kind.
type Kind = (ConnectionId, Option<String>, Option<String>);

impl Repeated for (TenantId, SignInLogRow) {
    fn id(&self) -> EventId {
        self.1.id
    }

    fn at(&self) -> Timestamp {
        self.1.at
    }

    fn repeat(&mut self, at: Timestamp) {
        self.1.occurrences += 1;
        self.1.last_at = at;
    }
}

impl SignInLog {
    pub fn note(&self, tenant: TenantId, row: SignInLogRow) {
        self.lock().push((tenant, row));
    }

    /// Notes a refused sign-in. Returns the reference under which the log has it: the row's own, or that of the row that counts it.
    pub fn note_refusal(&self, tenant: TenantId, row: SignInLogRow, cause: Cause) -> EventId {
        let mut waiting = self.lock();
        let kind = (row.connection, row.step.clone(), row.why.code.clone());
        let budgets = match cause {
            Cause::IdentityProvider => vec![(Budget::Fresh(row.connection), FRESH)],
            Cause::Anybody(address) => {
                let address = address.map(|address| (Budget::Address(address), OF_ADDRESS));
                address.into_iter().chain([(Budget::Connection(row.connection), OF_CONNECTION), (Budget::All, IN_ALL)]).collect()
            }
        };
        let (own, entry) = (row.id, (tenant, row));
        match waiting.repeats.add(&entry, kind, budgets) {
            Outcome::Counted(reference) => reference,
            Outcome::Stored => {
                waiting.push(entry);
                own
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sign-in was verified with this certificate.
    pub fn mark_used(&self, tenant: TenantId, connection: ConnectionId, certificate: CertificateId, now: Timestamp) {
        let mut waiting = self.lock();
        if waiting.marked.get(&certificate).is_none_or(|last| last.plus_secs(MARK_EVERY_SECS) <= now) {
            waiting.marked.insert(certificate, now);
            waiting.used.insert(certificate, (tenant, connection, now));
        }
    }

    /// An assertion was decrypted with this key.
    pub fn mark_decrypted(&self, tenant: TenantId, connection: ConnectionId, key: SpKeyId, now: Timestamp) {
        let mut waiting = self.lock();
        if waiting.marked_keys.get(&key).is_none_or(|last| last.plus_secs(MARK_EVERY_SECS) <= now) {
            waiting.marked_keys.insert(key, now);
            waiting.decrypted.insert(key, (tenant, connection, now));
        }
    }

    /// Writes down what waits, in one transaction. While the database is not to be had it waits on; what cannot be written even then is
    /// lost and counted: it is a log, not the audit trail.
    pub async fn flush(&self, db: &Db) -> Result<(), DbError> {
        let taken = {
            let mut waiting = self.lock();
            let lost = std::mem::take(&mut waiting.lost);
            if lost > 0 {
                tracing::warn!(lost, "sign-ins came faster than their log was written: some are missing in it");
            }
            Taken {
                rows: std::mem::take(&mut waiting.rows),
                counted: waiting.repeats.take_changed(),
                used: std::mem::take(&mut waiting.used),
                decrypted: std::mem::take(&mut waiting.decrypted),
            }
        };
        if taken.is_empty() {
            return Ok(());
        }
        let tx = match db.begin().await {
            Ok(tx) => tx,
            Err(error) => {
                self.put_back(taken);
                return Err(error);
            }
        };
        let outcome = taken.write(tx).await;
        match &outcome {
            Ok(()) => {}
            // A transient error may be a row whose connection was deleted: it would come back for ever.
            Err(error) if error.passes() && !error.is_transient() => self.put_back(taken),
            Err(_) => self.lock().lost += (taken.rows.len() + taken.counted.len()) as u64,
        }
        outcome
    }

    /// Before what came meanwhile.
    fn put_back(&self, mut taken: Taken) {
        let mut waiting = self.lock();
        taken.rows.append(&mut waiting.rows);
        waiting.lost += taken.rows.len().saturating_sub(CAPACITY) as u64;
        taken.rows.truncate(CAPACITY);
        waiting.rows = taken.rows;
        waiting.repeats.put_back(taken.counted);
        for (id, mark) in taken.used {
            waiting.used.entry(id).or_insert(mark);
        }
        for (id, mark) in taken.decrypted {
            waiting.decrypted.entry(id).or_insert(mark);
        }
    }
}

/// What one transaction writes.
#[derive(Debug)]
struct Taken {
    rows: Vec<(TenantId, SignInLogRow)>,
    /// Refusals that repeat, each with its count.
    counted: Vec<(TenantId, SignInLogRow)>,
    used: BTreeMap<CertificateId, (TenantId, ConnectionId, Timestamp)>,
    decrypted: BTreeMap<SpKeyId, (TenantId, ConnectionId, Timestamp)>,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.counted.is_empty() && self.used.is_empty() && self.decrypted.is_empty()
    }

    async fn write(&self, mut tx: Tx) -> Result<(), DbError> {
        sign_in::log_sign_ins(&mut tx, &self.rows).await?;
        sign_in::log_sign_ins(&mut tx, &self.counted).await?;
        for (id, (tenant, connection, at)) in &self.used {
            certificate::mark_used(&mut tx, *tenant, *connection, *id, *at).await?;
        }
        for (id, (tenant, connection, at)) in &self.decrypted {
            sp_key::mark_decrypted(&mut tx, *tenant, *connection, *id, *at).await?;
        }
        tx.commit().await
    }
}

impl Waiting {
    fn push(&mut self, row: (TenantId, SignInLogRow)) {
        if self.rows.len() < CAPACITY {
            self.rows.push(row);
        } else {
            self.lost += 1;
        }
    }
}

/// Writes what waits, so that a reader of the log sees it. A failure does not stop the reader.
async fn flush_for_reader(waiting: &SignInLog, db: &Db) {
    if let Err(error) = waiting.flush(db).await {
        tracing::warn!(%error, "the log of sign-ins is read without its newest rows: they could not be written");
    }
}

/// The newest entries of a connection that pass the filter, older than `before`, with those of this node that were not written yet.
pub async fn list(
    grant: &Grant<ReadLogs>,
    waiting: &SignInLog,
    db: &Db,
    connection: &Connection,
    filter: &LogFilter,
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<SignInLogRow>, DbError> {
    if grant.at() != connection.organization {
        return Ok(Vec::new());
    }
    flush_for_reader(waiting, db).await;
    sign_in::search_sign_in_log(db, connection.tenant, connection.id, filter, before, limit).await
}

/// The entry with the reference number that a browser was shown.
pub async fn find(
    grant: &Grant<ReadLogs>,
    waiting: &SignInLog,
    db: &Db,
    connection: &Connection,
    reference: EventId,
) -> Result<Option<SignInLogRow>, DbError> {
    if grant.at() != connection.organization {
        return Ok(None);
    }
    flush_for_reader(waiting, db).await;
    sign_in::find_sign_in(db, connection.tenant, connection.id, reference).await
}
