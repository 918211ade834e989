//! Logs the head of each tenant's audit chain, at intervals and when the node shuts down.
//!
//! A person who can write the database can cut off the newest rows and rewrite the head. A head in the log, away from the database,
//! shows that: `rolegate audit verify --head NUMBER:SEAL`.

use std::{collections::BTreeMap, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{JobError, report, told};
use crate::{
    app::{App, job_watch::Job},
    db::seal::list_heads,
    domain::{id::TenantId, time::Timestamp},
};

/// How often the job looks whether it is time.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often the heads are logged.
const EVERY_SECS: i64 = 900;

/// The number of each tenant's head that this node logged last.
pub(super) type Logged = BTreeMap<TenantId, i64>;

pub(super) async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let (mut logged, mut logged_at) = (Logged::new(), None);
    loop {
        if logged_at.is_none_or(|at: Timestamp| at.plus_secs(EVERY_SECS) <= app.now()) {
            logged_at = Some(app.now());
            report("audit heads", None, write(&app, &mut logged).await);
        }
        app.job_watch.completed(Job::AuditHeads, Instant::now());
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = told(&mut stop) => return,
        }
    }
}

/// Logs each head that has moved since it was logged last.
pub(super) async fn write(app: &App, logged: &mut Logged) -> Result<(), JobError> {
    let mut after = None;
    loop {
        let heads = list_heads(&app.db, after).await?;
        let Some(last) = heads.last() else { return Ok(()) };
        after = Some(last.tenant);
        for found in &heads {
            if logged.insert(found.tenant, found.head.number) != Some(found.head.number) {
                tracing::info!(
                    tenant.name = %found.slug,
                    audit.head = %found.head,
                    "the head of the audit chain: keep it for `rolegate audit verify --head`"
                );
            }
        }
        app.job_watch.progress(Job::AuditHeads, Instant::now());
    }
}
