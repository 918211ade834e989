//! Whether this node can do its work: the database takes a write, and its clock is ours.
//!
//! Every look writes to the database. However many ask, one look is under way at a time, and two looks are some time apart.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{App, clock::ClockOff};
use crate::db::{DbError, probe};

/// How long a probe waits for the database before it says that it gets no answer.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long what was seen is told without looking again.
const FRESH: Duration = Duration::from_millis(400);

/// Why this node is not ready.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    #[error("the database takes no writes")]
    Write(#[source] DbError),
    #[error(transparent)]
    Clock(#[from] ClockOff),
    #[error("the database does not answer in time")]
    Silent,
}

/// The result of the last look, shared by all probes.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Parts>);

#[derive(Debug, Default)]
struct Parts {
    seen: watch::Sender<Option<Seen>>,
    is_looking: AtomicBool,
    /// The obstacle that the log has told of last.
    told: Mutex<Option<String>>,
}

#[derive(Debug, Clone)]
struct Seen {
    at: Instant,
    obstacle: Option<Arc<Obstacle>>,
}

impl Readiness {
    /// Says in the log what became different.
    fn tell(&self, obstacle: Option<&Obstacle>) {
        let said = obstacle.map(|obstacle| match obstacle {
            // The seconds are others each time.
            Obstacle::Clock(_) => "clock".to_owned(),
            other => other.to_string(),
        });
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == said {
            return;
        }
        if let Some(obstacle) = obstacle {
            tracing::error!(error = obstacle as &dyn std::error::Error, "this node is not ready");
        } else {
            tracing::info!("this node is ready again");
        }
        *told = said;
    }
}

/// Looks unless somebody has just done so. `None` if nothing is in the way.
pub async fn find_obstacle(app: &App) -> Option<Arc<Obstacle>> {
    let mut seen = app.readiness.0.seen.subscribe();
    let asked = Instant::now();
    let is_fresh = |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.at + FRESH > asked);
    if !is_fresh(&seen.borrow()) && !app.readiness.0.is_looking.swap(true, Ordering::SeqCst) {
        tokio::spawn(look(app.clone()));
    }
    if let Ok(Ok(seen)) = tokio::time::timeout(PATIENCE, seen.wait_for(is_fresh)).await {
        return seen.as_ref().and_then(|seen| seen.obstacle.clone());
    }
    app.readiness.tell(Some(&Obstacle::Silent));
    Some(Arc::new(Obstacle::Silent))
}

/// Runs to its end even if the caller stops waiting: no statement is cancelled.
async fn look(app: App) {
    let _looking = Looking(&app.readiness);
    let obstacle = try_all(&app).await.err();
    app.readiness.tell(obstacle.as_ref());
    app.readiness.0.seen.send_replace(Some(Seen { at: Instant::now(), obstacle: obstacle.map(Arc::new) }));
}

async fn try_all(app: &App) -> Result<(), Obstacle> {
    let id = format!("{:032x}", u128::from_be_bytes(app.random.bytes()));
    probe::write(&app.db, &id).await.map_err(Obstacle::Write)?;
    app.set_clock().await.map_err(Obstacle::Write)?;
    Ok(app.check_clock()?)
}

/// Lets the next one look, also after a panic.
struct Looking<'a>(&'a Readiness);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.0.is_looking.store(false, Ordering::SeqCst);
    }
}
