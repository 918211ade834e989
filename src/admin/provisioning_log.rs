//! The provisioning log: what SCIM requests leave to be written down after them, and reading it.
//!
//! No request waits for its entry to be written. Refusals of one kind are stored one by one up to a budget, and counted beyond it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::repeats::{Outcome, Repeated, Repeats};
use crate::{
    db::{Db, DbError, activity, provisioning_log as log},
    domain::{
        connection::Connection,
        id::{ConnectionId, EventId, TenantId},
        time::Timestamp,
    },
    policy::{access::Grant, action::ReadLogs},
};

pub use crate::db::provisioning_log::LogEntry;

/// Entries that wait in memory at most.
const CAPACITY: usize = 20_000;
/// Refusals of a connection that are stored one by one in an hour: of one kind, and in all.
const OF_KIND: u32 = 100;
const OF_CONNECTION: u32 = 300;
/// Entries of one transaction.
const BATCH: usize = 1000;

/// Filled by requests, emptied by the jobs.
#[derive(Debug, Clone, Default)]
pub struct ProvisioningLog(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<LogEntry>,
    repeats: Repeats<Budget, Kind, LogEntry>,
    spoke: BTreeMap<(TenantId, ConnectionId), Timestamp>,
    lost: u64,
}

/// Refusals of one method with the same status and `scimType` at one connection are of one kind.
type Kind = (ConnectionId, String, u16, Option<String>);

/// Limits the refusals that are stored one by one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Budget {
    Kind(Kind),
    Connection(ConnectionId),
}

impl Repeated for LogEntry {
    fn id(&self) -> EventId {
        self.id
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn repeat(&mut self, at: Timestamp) {
        self.occurrences += 1;
        self.last_at = at;
    }
}

impl ProvisioningLog {
    pub fn note(&self, entry: LogEntry) {
        let mut waiting = self.lock();
        waiting.spoke.insert((entry.tenant, entry.connection), entry.at);
        if entry.status >= 400 {
            let kind = (entry.connection, entry.method.clone(), entry.status, entry.scim_type.clone());
            let budgets = [(Budget::Kind(kind.clone()), OF_KIND), (Budget::Connection(entry.connection), OF_CONNECTION)];
            if let Outcome::Counted(_) = waiting.repeats.add(&entry, kind, budgets) {
                return;
            }
        }
        if waiting.entries.len() < CAPACITY {
            waiting.entries.push(entry);
        } else {
            waiting.lost += 1;
        }
    }

    /// Writes down what waits. While the database is not to be had it waits on; what cannot be written even then is lost and counted:
    /// it is a log, not the audit trail.
    pub async fn flush(&self, db: &Db) -> Result<(), DbError> {
        let mut taken = {
            let mut waiting = self.lock();
            Taken {
                entries: std::mem::take(&mut waiting.entries),
                counted: waiting.repeats.take_changed(),
                spoke: std::mem::take(&mut waiting.spoke),
                lost: std::mem::take(&mut waiting.lost),
            }
        };
        if taken.lost > 0 {
            tracing::warn!(lost = taken.lost, "SCIM requests came faster than their log was written: some are missing in it");
            taken.lost = 0;
        }
        let outcome = taken.write(db).await;
        if outcome.is_err() {
            self.put_back(taken);
        }
        outcome
    }

    /// Before what came meanwhile.
    fn put_back(&self, mut taken: Taken) {
        let mut waiting = self.lock();
        taken.entries.append(&mut waiting.entries);
        let beyond = taken.entries.len().saturating_sub(CAPACITY);
        taken.entries.truncate(CAPACITY);
        waiting.entries = taken.entries;
        waiting.repeats.put_back(taken.counted);
        waiting.lost += taken.lost + beyond as u64;
        for (who, at) in taken.spoke {
            waiting.spoke.entry(who).or_insert(at);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many wait that they should be written now rather than in the next sweep.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.lock().entries.len() >= BATCH
    }
}

/// The entries of one flush.
#[derive(Debug)]
struct Taken {
    entries: Vec<LogEntry>,
    /// Refusals that repeat, each with its count.
    counted: Vec<LogEntry>,
    spoke: BTreeMap<(TenantId, ConnectionId), Timestamp>,
    lost: u64,
}

impl Taken {
    /// What was written is no longer here then, and neither is what the database will never take.
    async fn write(&mut self, db: &Db) -> Result<(), DbError> {
        while !self.entries.is_empty() {
            let batch = self.entries.len().min(BATCH);
            let outcome = insert(db, &self.entries[..batch]).await;
            match &outcome {
                Err(error) if error.passes() => return outcome,
                Err(_) => self.lost += batch as u64,
                Ok(()) => {}
            }
            self.entries.drain(..batch);
            outcome?;
        }
        if !self.counted.is_empty() {
            insert(db, &self.counted).await?;
            self.counted.clear();
        }
        if self.spoke.is_empty() {
            return Ok(());
        }
        let spoke: Vec<_> = self.spoke.iter().map(|((tenant, connection), at)| (*tenant, *connection, *at)).collect();
        let mut tx = db.begin().await?;
        activity::note_activity(&mut tx, &spoke).await?;
        tx.commit().await?;
        self.spoke.clear();
        Ok(())
    }
}

async fn insert(db: &Db, entries: &[LogEntry]) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    log::insert_entries(&mut tx, entries).await?;
    tx.commit().await
}

/// The newest entries of a connection, older than `before`, with those of this node that were not written yet.
pub async fn list(
    grant: &Grant<ReadLogs>,
    waiting: &ProvisioningLog,
    db: &Db,
    connection: &Connection,
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<LogEntry>, DbError> {
    if grant.at() != connection.organization {
        return Ok(Vec::new());
    }
    // A failure to write does not stop the reader.
    if let Err(error) = waiting.flush(db).await {
        tracing::warn!(%error, "the provisioning log is read without its newest entries: they could not be written");
    }
    log::list_entries(db, connection.tenant, connection.id, before, limit).await
}
