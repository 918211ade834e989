//! Runs a job until the node shuts down, and starts it again when it ends with a panic.

use std::{cmp, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::told;
use crate::app::job_watch::{Job, JobWatch};

/// How long a job waits for its restart: twice as long after each panic in a row.
#[derive(Debug, Clone, Copy)]
pub struct BackOff {
    pub first: Duration,
    pub longest: Duration,
}

pub const BACK_OFF: BackOff = BackOff { first: Duration::from_secs(1), longest: Duration::from_mins(1) };

impl BackOff {
    /// The time before the restart after so many panics in a row.
    fn after(self, panics: u32) -> Duration {
        let doubled = 1_u32.checked_shl(panics.saturating_sub(1)).unwrap_or(u32::MAX);
        cmp::min(self.first.saturating_mul(doubled), self.longest)
    }
}

/// Runs the job in a task until it returns. It returns when `stop` turns true; when it panics it is restarted.
pub async fn supervise<F>(job: Job, jobs: &JobWatch, back_off: BackOff, mut stop: watch::Receiver<bool>, start: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        jobs.started(job, Instant::now());
        let Err(_panic) = tokio::spawn(start()).await else { break };
        let panics = jobs.panicked(job, Instant::now());
        let wait = back_off.after(panics);
        tracing::error!(job.name = %job, panics, restart.seconds = wait.as_secs(), "a job ended with a panic and is restarted");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = told(&mut stop) => break,
        }
    }
    jobs.ended(job);
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    /// Waits until the condition holds, for 20 seconds at most.
    async fn until(holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the condition holds in time");
    }

    const BRIEF: BackOff = BackOff { first: Duration::from_millis(1), longest: Duration::from_millis(2) };

    #[test]
    fn the_time_before_a_restart_doubles_up_to_its_bound() {
        let waits: Vec<_> = (1..=8).map(|panics| BACK_OFF.after(panics).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(BACK_OFF.after(u32::MAX), Duration::from_mins(1));
    }

    #[tokio::test]
    async fn a_job_that_panics_is_restarted_and_reported_until_it_works_again() {
        let (jobs, started) = (JobWatch::default(), Arc::new(AtomicU32::new(0)));
        let (stop, stopped) = watch::channel(false);
        let (go_on, may_go_on) = watch::channel(false);
        let (works, working) = watch::channel(false);
        let works = Arc::new(works);
        let run = {
            let (jobs, started, stopped) = (jobs.clone(), started.clone(), stopped.clone());
            move || {
                let (jobs, mut stopped, mut may_go_on, works) = (jobs.clone(), stopped.clone(), may_go_on.clone(), works.clone());
                let turn = started.fetch_add(1, Ordering::SeqCst);
                async move {
                    assert!(turn >= 3, "a fault of the job");
                    may_go_on.wait_for(|may| *may).await.unwrap();
                    jobs.completed(Job::Housekeeping, Instant::now());
                    works.send_replace(true);
                    told(&mut stopped).await;
                }
            }
        };
        let supervised = {
            let jobs = jobs.clone();
            tokio::spawn(async move { supervise(Job::Housekeeping, &jobs, BRIEF, stopped, run).await })
        };
        until(|| started.load(Ordering::SeqCst) == 4).await;
        assert!(jobs.obstacle(Instant::now()).unwrap().contains("3 times"), "it is reported while it has not worked");
        go_on.send_replace(true);
        working.clone().wait_for(|works| *works).await.unwrap();
        assert_eq!(jobs.obstacle(Instant::now()), None);
        stop.send_replace(true);
        supervised.await.unwrap();
        assert_eq!(started.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_job_that_waits_for_its_restart_ends_with_the_node() {
        let jobs = JobWatch::default();
        let (stop, stopped) = watch::channel(false);
        let never = BackOff { first: Duration::from_hours(1), longest: Duration::from_hours(1) };
        let supervised = {
            let jobs = jobs.clone();
            tokio::spawn(async move { supervise(Job::Metadata, &jobs, never, stopped, || async { panic!("a fault of the job") }).await })
        };
        until(|| jobs.panics(Job::Metadata) == 1).await;
        stop.send_replace(true);
        supervised.await.unwrap();
        assert_eq!(jobs.panics(Job::Metadata), 0);
    }
}
