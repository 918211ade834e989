//! The provisioning log: what SCIM requests leave to be written down after them, and reading it.
//!
//! No request waits for its entry to be written. What comes faster than it is written down is counted, not kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

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
/// Entries of one transaction.
const BATCH: usize = 1000;

/// Filled by requests, emptied by the jobs.
#[derive(Debug, Clone, Default)]
pub struct ProvisioningLog(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<LogEntry>,
    spoke: BTreeMap<(TenantId, ConnectionId), Timestamp>,
    lost: u64,
}

impl ProvisioningLog {
    pub fn note(&self, entry: LogEntry) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.spoke.insert((entry.tenant, entry.connection), entry.at);
        if waiting.entries.len() < CAPACITY {
            waiting.entries.push(entry);
        } else {
            waiting.lost += 1;
        }
    }

    /// Writes down what waits. What cannot be written is lost: it is a log, not the audit trail.
    pub async fn flush(&self, db: &Db) -> Result<(), DbError> {
        let Waiting { entries, spoke, lost } = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if lost > 0 {
            tracing::warn!(lost, "SCIM requests came faster than their log was written: some are missing in it");
        }
        if entries.is_empty() {
            return Ok(());
        }
        for batch in entries.chunks(BATCH) {
            let mut tx = db.begin().await?;
            log::insert_entries(&mut tx, batch).await?;
            tx.commit().await?;
        }
        let spoke: Vec<_> = spoke.into_iter().map(|((tenant, connection), at)| (tenant, connection, at)).collect();
        let mut tx = db.begin().await?;
        activity::note_activity(&mut tx, &spoke).await?;
        tx.commit().await
    }

    /// Whether so many wait that they should be written now rather than in the next sweep.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entries.len() >= BATCH
    }
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
    waiting.flush(db).await?;
    log::list_entries(db, connection.tenant, connection.id, before, limit).await
}
