//! Reads the metadata of identity providers from the addresses that owners named, when it is due: as often as it says, at least daily,
//! and later each time after a failure. Of several nodes one reads it.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use super::{JobError, report, told};
use crate::{
    admin::metadata::{Changes, reading},
    app::{App, job_watch::Job},
    db::idp_metadata::{self, MetadataRow},
    domain::actor::Actor,
};

const LOOK_EVERY: Duration = Duration::from_mins(1);
/// For so long no other node reads what this one is about to.
const CLAIM_SECS: i64 = 300;

pub(super) async fn run(app: App, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = told(&mut stop) => return,
        }
        report("metadata", None, round(&app).await);
        app.job_watch.completed(Job::Metadata, Instant::now());
    }
}

/// Reads all that is due. What goes wrong with one keeps no other from being read.
pub async fn round(app: &App) -> Result<(), JobError> {
    for row in idp_metadata::list_due(&app.db, app.now()).await? {
        report("the metadata of one connection", Some(row.tenant), read(app, &row).await);
        app.job_watch.progress(Job::Metadata, Instant::now());
    }
    Ok(())
}

async fn read(app: &App, row: &MetadataRow) -> Result<(), JobError> {
    if !idp_metadata::claim(&app.db, row, app.now().plus_secs(CLAIM_SECS)).await? {
        return Ok(());
    }
    let mut occasion = app.occasion(Actor::System, "metadata");
    if reading::read(&app.db, &app.outbound, row, &mut occasion).await?.is_ok_and(|changes| changes != Changes::default()) {
        app.committed.notify_one();
    }
    Ok(())
}
