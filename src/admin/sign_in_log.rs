//! What sign-ins leave to be written down after them: rows of the log that admins read, and when a certificate was last used.
//!
//! Nobody waits for these writes, and who floods the gateway with forged responses does not make it write without bound: what comes
//! faster than it is written down is counted, not kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    db::{
        Db, DbError, Tx, certificate, sign_in,
        sign_in::{LogFilter, SignInLogRow, SignInOutcome},
        sp_key,
    },
    domain::{
        connection::Connection,
        id::{CertificateId, ConnectionId, EventId, SpKeyId, TenantId},
        rate::{Bucket, Rate},
        time::Timestamp,
    },
    policy::{access::Grant, action::ReadLogs},
};

/// Rows that wait in memory at most.
const CAPACITY: usize = 4096;
/// Refusals of one connection that are kept: strangers cause them.
const REFUSALS: Rate = Rate { per_second: 20, burst: 2000 };
/// A certificate's use is written at most this often.
const MARK_EVERY_SECS: i64 = 60;

/// Filled by requests, emptied by the jobs.
#[derive(Debug, Clone, Default)]
pub struct SignInLog(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    rows: Vec<(TenantId, SignInLogRow)>,
    lost: u64,
    refusals: BTreeMap<ConnectionId, Bucket>,
    used: BTreeMap<CertificateId, (TenantId, ConnectionId, Timestamp)>,
    marked: BTreeMap<CertificateId, Timestamp>,
    decrypted: BTreeMap<SpKeyId, (TenantId, ConnectionId, Timestamp)>,
    marked_keys: BTreeMap<SpKeyId, Timestamp>,
}

impl SignInLog {
    pub fn note(&self, tenant: TenantId, row: SignInLogRow) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let in_pace = match row.outcome {
            SignInOutcome::Accepted => true,
            SignInOutcome::Refused => {
                let bucket = waiting.refusals.entry(row.connection).or_insert_with(|| Bucket::full(REFUSALS, row.at));
                bucket.take(REFUSALS, row.at).is_ok()
            }
        };
        if in_pace && waiting.rows.len() < CAPACITY {
            waiting.rows.push((tenant, row));
        } else {
            waiting.lost += 1;
        }
    }

    /// A sign-in was verified with this certificate.
    pub fn mark_used(&self, tenant: TenantId, connection: ConnectionId, certificate: CertificateId, now: Timestamp) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.marked.get(&certificate).is_none_or(|last| last.plus_secs(MARK_EVERY_SECS) <= now) {
            waiting.marked.insert(certificate, now);
            waiting.used.insert(certificate, (tenant, connection, now));
        }
    }

    /// An assertion was decrypted with this key.
    pub fn mark_decrypted(&self, tenant: TenantId, connection: ConnectionId, key: SpKeyId, now: Timestamp) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.marked_keys.get(&key).is_none_or(|last| last.plus_secs(MARK_EVERY_SECS) <= now) {
            waiting.marked_keys.insert(key, now);
            waiting.decrypted.insert(key, (tenant, connection, now));
        }
    }

    /// Writes down what waits, in one transaction. While the database is not to be had it waits on; what cannot be written even then is
    /// lost and counted: it is a log, not the audit trail.
    pub async fn flush(&self, db: &Db) -> Result<(), DbError> {
        let taken = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let lost = std::mem::take(&mut waiting.lost);
            if lost > 0 {
                tracing::warn!(lost, "sign-ins came faster than their log was written: some are missing in it");
            }
            Taken {
                rows: std::mem::take(&mut waiting.rows),
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
            Err(_) => self.0.lock().unwrap_or_else(PoisonError::into_inner).lost += taken.rows.len() as u64,
        }
        outcome
    }

    /// Before what came meanwhile.
    fn put_back(&self, mut taken: Taken) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.rows.append(&mut waiting.rows);
        waiting.lost += taken.rows.len().saturating_sub(CAPACITY) as u64;
        taken.rows.truncate(CAPACITY);
        waiting.rows = taken.rows;
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
    used: BTreeMap<CertificateId, (TenantId, ConnectionId, Timestamp)>,
    decrypted: BTreeMap<SpKeyId, (TenantId, ConnectionId, Timestamp)>,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.used.is_empty() && self.decrypted.is_empty()
    }

    async fn write(&self, mut tx: Tx) -> Result<(), DbError> {
        sign_in::log_sign_ins(&mut tx, &self.rows).await?;
        for (id, (tenant, connection, at)) in &self.used {
            certificate::mark_used(&mut tx, *tenant, *connection, *id, *at).await?;
        }
        for (id, (tenant, connection, at)) in &self.decrypted {
            sp_key::mark_decrypted(&mut tx, *tenant, *connection, *id, *at).await?;
        }
        tx.commit().await
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
    waiting.flush(db).await?;
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
    waiting.flush(db).await?;
    sign_in::find_sign_in(db, connection.tenant, connection.id, reference).await
}
