//! Looks at intervals whether this node is ready and what time the database has, also while no probe asks.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use super::told;
use crate::app::{App, job_watch::Job, readiness};

const LOOK_EVERY: Duration = Duration::from_secs(10);

pub(super) async fn run(app: App, mut stop: watch::Receiver<bool>) {
    loop {
        // The result goes to the log.
        readiness::find_obstacle(&app).await;
        app.job_watch.completed(Job::Watching, Instant::now());
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = told(&mut stop) => return,
        }
    }
}
