//! Watches the jobs of this node, for the probe that asks whether they run.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Panics in a row after which a job is reported as not running.
const PANICS: u32 = 3;
/// A job without progress for so long is reported as stuck. Each job makes progress at least every minute.
const STUCK_AFTER: Duration = Duration::from_mins(10);

/// The jobs of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Seals audit rows, numbers events, evaluates accounts again and writes logs.
    AfterCommits,
    /// Deletes expired rows and raises warnings.
    Housekeeping,
    /// Fetches the metadata of identity providers.
    Metadata,
    /// Checks whether the node is ready and reads the database's clock.
    Watching,
    /// Logs the heads of the audit chains.
    AuditHeads,
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AfterCommits => "after_commits",
            Self::Housekeeping => "housekeeping",
            Self::Metadata => "metadata",
            Self::Watching => "watching",
            Self::AuditHeads => "audit_heads",
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct State {
    progress_at: Instant,
    /// Panics since the last completed round.
    panics: u32,
}

/// Written by the jobs, read by the probe. A job that was never started is not watched.
#[derive(Debug, Clone, Default)]
pub struct JobWatch(Arc<Mutex<BTreeMap<Job, State>>>);

impl JobWatch {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Job, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a job from its start on. A restart keeps the number of its panics.
    pub fn started(&self, job: Job, now: Instant) {
        self.lock().entry(job).or_insert(State { progress_at: now, panics: 0 }).progress_at = now;
    }

    /// Notes that the job did a part of a round. A job that is not watched stays so.
    pub fn progress(&self, job: Job, now: Instant) {
        if let Some(state) = self.lock().get_mut(&job) {
            state.progress_at = now;
        }
    }

    /// Notes that the job completed a round.
    pub fn completed(&self, job: Job, now: Instant) {
        self.lock().insert(job, State { progress_at: now, panics: 0 });
    }

    /// Notes that the job ended with a panic. Returns how many panics there were since its last completed round.
    pub fn panicked(&self, job: Job, now: Instant) -> u32 {
        let mut jobs = self.lock();
        let state = jobs.entry(job).or_insert(State { progress_at: now, panics: 0 });
        *state = State { progress_at: now, panics: state.panics.saturating_add(1) };
        state.panics
    }

    #[cfg(test)]
    pub(crate) fn panics(&self, job: Job) -> u32 {
        self.lock().get(&job).map_or(0, |state| state.panics)
    }

    /// Stops watching a job that ended because the node shuts down.
    pub fn ended(&self, job: Job) {
        self.lock().remove(&job);
    }

    /// Why the jobs of this node do not do their work; `None` if they do.
    #[must_use]
    pub fn obstacle(&self, now: Instant) -> Option<String> {
        self.lock().iter().find_map(|(job, state)| {
            if state.panics >= PANICS {
                let panics = state.panics;
                return Some(format!("the job {job} ended with a panic {panics} times in a row: the log says where"));
            }
            let idle = now.saturating_duration_since(state.progress_at);
            let secs = idle.as_secs();
            (idle >= STUCK_AFTER).then(|| format!("the job {job} made no progress for {secs} seconds: restart the node"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_keeps_panicking_is_an_obstacle_until_it_completes_a_round() {
        let (watch, now) = (JobWatch::default(), Instant::now());
        assert_eq!(watch.obstacle(now + STUCK_AFTER), None, "no job was started");
        watch.completed(Job::Housekeeping, now);
        assert_eq!((watch.panicked(Job::Housekeeping, now), watch.panicked(Job::Housekeeping, now)), (1, 2));
        watch.started(Job::Housekeeping, now);
        assert_eq!(watch.obstacle(now), None);
        assert_eq!(watch.panicked(Job::Housekeeping, now), 3);
        let obstacle = watch.obstacle(now).unwrap();
        assert!(obstacle.contains("housekeeping") && obstacle.contains("3 times"), "{obstacle}");
        watch.completed(Job::Housekeeping, now);
        assert_eq!(watch.obstacle(now), None);
    }

    #[test]
    fn a_job_without_progress_is_an_obstacle_until_it_ends() {
        let (watch, now) = (JobWatch::default(), Instant::now());
        watch.started(Job::Metadata, now);
        watch.started(Job::AfterCommits, now);
        watch.progress(Job::Housekeeping, now);
        let later = now + STUCK_AFTER;
        watch.progress(Job::AfterCommits, later);
        let obstacle = watch.obstacle(later).unwrap();
        assert!(obstacle.contains("metadata") && obstacle.contains("600 seconds"), "{obstacle}");
        watch.ended(Job::Metadata);
        assert_eq!(watch.obstacle(later), None);
    }
}
