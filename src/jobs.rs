//! What is done after commits and from time to time: rows are numbered and sealed, accounts are mapped again, what expired is removed.
//!
//! Every step takes its work from the database, so that any number of nodes may do it and a process that ends leaves nothing undone.

mod audit_heads;
mod housekeeping;
pub mod metadata;
mod supervise;
pub mod warnings;
mod watching;

pub use housekeeping::purge;

use std::{collections::BTreeSet, time::Duration};

use tokio::{sync::watch, time::Instant};

use self::supervise::{BACK_OFF, supervise};
use crate::{
    app::{App, job_watch::Job},
    db::{self, DbError, evaluation, identity, seal},
    domain::{
        actor::Actor,
        id::{ConnectionId, TenantId},
    },
    provision::{
        ProvisionError,
        published::SETTLED_SECS,
        remap::{CHUNK, remap_chunk},
    },
};

/// Commits that come within this time are sealed together.
const GATHER: Duration = Duration::from_millis(50);
/// Looks for work that nobody announced: of another node, or of a process that ended.
const SWEEP: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// Each was reported when it failed.
    #[error("{0} parts of a job failed; the log has each")]
    Parts(usize),
}

/// What fails for one tenant is reported at once, and the others do not wait for it.
#[derive(Debug, Default)]
struct Failures(usize);

impl Failures {
    /// What the part came to, if it was done.
    fn sort_out<T>(&mut self, job: &'static str, tenant: Option<TenantId>, outcome: Result<T, impl Into<JobError>>) -> Option<T> {
        let outcome = outcome.map_err(Into::into);
        match outcome {
            Ok(done) => Some(done),
            // Its parts were counted where they failed.
            Err(JobError::Parts(parts)) => {
                self.0 += parts;
                None
            }
            Err(error) => {
                self.0 += 1;
                report(job, tenant, Err(error));
                None
            }
        }
    }

    fn end(self) -> Result<(), JobError> {
        if self.0 == 0 { Ok(()) } else { Err(JobError::Parts(self.0)) }
    }
}

/// Runs the jobs until `stop` turns true, then seals what is left. A job that panics is restarted.
pub async fn run(app: App, stop: watch::Receiver<bool>) {
    let (jobs, app) = (app.job_watch.clone(), &app);
    let stopped = || stop.clone();
    tokio::join!(
        supervise(Job::AfterCommits, &jobs, BACK_OFF, stopped(), || after_commits(app.clone(), stopped())),
        supervise(Job::Housekeeping, &jobs, BACK_OFF, stopped(), || housekeeping::run(app.clone(), stopped())),
        // Apart from the others, because it waits for servers of other people.
        supervise(Job::Metadata, &jobs, BACK_OFF, stopped(), || metadata::run(app.clone(), stopped())),
        supervise(Job::Watching, &jobs, BACK_OFF, stopped(), || watching::run(app.clone(), stopped())),
        supervise(Job::AuditHeads, &jobs, BACK_OFF, stopped(), || audit_heads::run(app.clone(), stopped())),
    );
    report("the last log of sign-ins", None, app.sign_in_log.flush(&app.db).await.map_err(JobError::from));
    report("the last provisioning log", None, app.provisioning_log.flush(&app.db).await.map_err(JobError::from));
    report("the last seal", None, seal_all(app).await);
    report("the last audit heads", None, audit_heads::write(app, &mut audit_heads::Logged::new()).await);
}

async fn after_commits(app: App, mut stop: watch::Receiver<bool>) {
    let mut swept_at = None;
    loop {
        if swept_at.is_none_or(|at: Instant| at.elapsed() >= SWEEP) {
            swept_at = Some(Instant::now());
            report("sweep", None, round(&app).await);
        } else {
            report("seal and map", None, after_commit(&app).await);
        }
        app.job_watch.completed(Job::AfterCommits, Instant::now());
        // Only waiting is cut short here, never work.
        tokio::select! {
            () = app.committed.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(SWEEP) => {}
            () = told(&mut stop) => return,
        }
    }
}

async fn told(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone is an end too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Does all that waits, also what nobody announced: publications of other processes, rules that began or ended.
pub async fn round(app: &App) -> Result<(), JobError> {
    let mut failures = Failures::default();
    failures.sort_out("provisioning log", None, app.provisioning_log.flush(&app.db).await);
    for (tenant, connection) in db::mapping::connections_due(&app.db, app.now().plus_secs(-SETTLED_SECS)).await? {
        failures.sort_out("mark due", Some(tenant), mark_due(app, tenant, connection).await);
    }
    failures.sort_out("seal and map", None, seal_and_map(app, &evaluation::connections_to_map(&app.db).await?).await);
    failures.end()
}

/// What a commit of this process can have left.
pub async fn after_commit(app: &App) -> Result<(), JobError> {
    seal_and_map(app, &evaluation::connections_marked(&app.db).await?).await
}

/// Writes down what sign-ins left, maps who waits for it, then seals, so that the rows which mapping writes are sealed too.
async fn seal_and_map(app: &App, connections: &BTreeSet<(TenantId, ConnectionId)>) -> Result<(), JobError> {
    let mut failures = Failures::default();
    failures.sort_out("log of sign-ins", None, app.sign_in_log.flush(&app.db).await);
    if app.provisioning_log.is_due() {
        failures.sort_out("provisioning log", None, app.provisioning_log.flush(&app.db).await);
    }
    failures.sort_out("seal", None, seal_all(app).await);
    let mut mapped = 0;
    for (tenant, connection) in connections {
        mapped += failures.sort_out("map again", Some(*tenant), remap_all(app, *tenant, *connection).await).unwrap_or(1);
    }
    if mapped > 0 {
        failures.sort_out("seal", None, seal_all(app).await);
    }
    failures.end()
}

/// Everybody at the connection is evaluated again, and the next time is set. Each chunk is a transaction, so that no request waits for
/// the whole directory; the time is set last, so that a process which ends in the middle leaves it due.
async fn mark_due(app: &App, tenant: TenantId, connection: ConnectionId) -> Result<(), JobError> {
    let mut last = None;
    loop {
        let mut tx = app.db.begin().await?;
        let Some(published) = app.published.read(&mut tx, tenant, connection).await? else { return Ok(()) };
        let next = published.mapping.next_boundary(app.now().plus_secs(-SETTLED_SECS));
        let found = identity::list_accounts(&mut tx, tenant, connection, last, CHUNK).await?;
        last = found.last().copied();
        let accounts: Vec<_> = found.into_iter().map(|(_, account)| account).collect();
        evaluation::mark_stale(&mut tx, tenant, connection, &accounts).await?;
        if last.is_none() {
            db::mapping::set_due(&mut tx, tenant, connection, published.mapping.version, next).await?;
        }
        tx.commit().await?;
        if last.is_none() {
            return Ok(());
        }
        app.job_watch.progress(Job::AfterCommits, Instant::now());
    }
}

async fn seal_all(app: &App) -> Result<(), JobError> {
    let mut failures = Failures::default();
    for tenant in seal::tenants_to_seal(&app.db).await? {
        failures.sort_out("seal", Some(tenant), seal_tenant(app, tenant).await);
    }
    failures.end()
}

async fn seal_tenant(app: &App, tenant: TenantId) -> Result<(), JobError> {
    let key = app.keys.chain();
    while seal::seal(&app.db, tenant, &key).await?.left {
        app.job_watch.progress(Job::AfterCommits, Instant::now());
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// How many accounts were mapped again.
async fn remap_all(app: &App, tenant: TenantId, connection: ConnectionId) -> Result<i64, JobError> {
    let mut mapped = 0;
    loop {
        let done = remap_once(app, tenant, connection).await?;
        mapped += done;
        if done < CHUNK {
            return Ok(mapped);
        }
        app.job_watch.progress(Job::AfterCommits, Instant::now());
        tokio::task::yield_now().await;
    }
}

async fn remap_once(app: &App, tenant: TenantId, connection: ConnectionId) -> Result<i64, JobError> {
    let mut occasion = app.occasion(Actor::System, "remap");
    let mut tx = app.db.begin().await?;
    let Some(published) = app.published.read(&mut tx, tenant, connection).await? else { return Ok(0) };
    let done = remap_chunk(&mut tx, &published, &mut occasion).await?;
    tx.commit().await?;
    Ok(done)
}

fn report(job: &'static str, tenant: Option<TenantId>, outcome: Result<(), JobError>) {
    let tenant = tenant.map(tracing::field::display);
    match outcome {
        Ok(()) | Err(JobError::Parts(_)) => {}
        Err(JobError::Db(DbError::Transient(_)) | JobError::Provision(ProvisionError::Again)) => {
            tracing::debug!(job, tenant.id = tenant, "a job gave way to requests and is done in the next round");
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(job, tenant.id = tenant, error, "a job failed and is tried again in the next round");
        }
    }
}
