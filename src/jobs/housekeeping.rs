//! Deletes expired rows and raises warnings, every ten minutes.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use super::{JobError, report, told, warnings};
use crate::{
    app::{App, job_watch::Job},
    db::{idempotency, identity, logout, oauth, provisioning_log, role_version, sign_in, test_sign_in},
    domain::{model::MAX_SESSION_TTL_SECS, time::Timestamp},
    log,
};

/// How often the job looks whether it is time.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often what expired is removed.
const PURGE_EVERY_SECS: i64 = 600;
/// So long a deleted person is remembered, for an identity provider that brings them back.
const REMEMBERED_SECS: i64 = 90 * 86_400;

pub(super) async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut purged_at = None;
    loop {
        if purged_at.is_none_or(|at: Timestamp| at.plus_secs(PURGE_EVERY_SECS) <= app.now()) {
            purged_at = Some(app.now());
            report("purge", None, purge(&app).await);
            report("warnings", None, warnings::give(&app).await);
        }
        log::report_lost_lines();
        app.job_watch.completed(Job::Housekeeping, Instant::now());
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = told(&mut stop) => return,
        }
    }
}

/// Deletes expired rows. Does nothing while the node's clock differs from the database's.
pub async fn purge(app: &App) -> Result<(), JobError> {
    app.set_clock().await?;
    if let Err(off) = app.check_clock() {
        tracing::debug!("nothing is removed: {off}");
        return Ok(());
    }
    while identity::forget_deleted(&app.db, app.now().plus_secs(-REMEMBERED_SECS)).await? > 0 {
        gone_on(app).await;
    }
    while oauth::purge_access_tokens(&app.db, app.now()).await? > 0 {
        gone_on(app).await;
    }
    while provisioning_log::purge_entries(&app.db, app.now().plus_secs(-provisioning_log::RETENTION_SECS)).await? > 0 {
        gone_on(app).await;
    }
    while role_version::purge_versions(&app.db, app.now(), MAX_SESSION_TTL_SECS).await? > 0 {
        gone_on(app).await;
    }
    while test_sign_in::purge_tests(&app.db, app.now()).await? > 0 {
        gone_on(app).await;
    }
    while logout::purge_logout_requests(&app.db, app.now()).await? > 0 {
        gone_on(app).await;
    }
    idempotency::purge(&app.db, app.now().plus_secs(-idempotency::TTL_SECS)).await?;
    while sign_in::purge_expired(&app.db, app.now()).await? > 0 {
        gone_on(app).await;
    }
    Ok(())
}

async fn gone_on(app: &App) {
    app.job_watch.progress(Job::Housekeeping, Instant::now());
    tokio::task::yield_now().await;
}
