//! Whether a piece of work has written anything: what failed before it did may be done again, and what was set aside for it is free.
//!
//! Refuses to know what the work is.

use std::cell::Cell;

use super::engine::DbError;

tokio::task_local! {
    static WRITTEN: Cell<bool>;
    static REHEARSAL: ();
}

/// Does the work without committing: each of its commits undoes the transaction and fails with [`DbError::Rehearsed`]. It shows whether the
/// work is still permitted.
pub async fn rehearse<T>(work: impl Future<Output = T>) -> T {
    REHEARSAL.scope((), work).await
}

/// Returns whether the current work is one that [`rehearse`] does.
pub(super) fn is_rehearsal() -> bool {
    REHEARSAL.try_with(|()| ()).is_ok()
}

/// Does the work; beside what comes of it, whether a transaction of it was committed or, for all that is known, may have been.
/// Statements outside of transactions do not count.
pub async fn attempt<T>(work: impl Future<Output = T>) -> (T, bool) {
    let work = async {
        let outcome = work.await;
        (outcome, WRITTEN.with(Cell::get))
    };
    WRITTEN.scope(Cell::new(false), work).await
}

/// Around every commit. The work says whether it came as far as the commit itself, whose answer may be lost on the way
/// ([`DbError::Uncertain`]). Jobs and commands are nobody's attempt.
pub(super) async fn noted(commit: impl Future<Output = (Result<(), DbError>, bool)>) -> Result<(), DbError> {
    // Set before the commit: a future that is dropped while it waits for the answer may have written.
    let before = WRITTEN.try_with(|written| written.replace(true));
    let (outcome, was_asked) = commit.await;
    let outcome = if was_asked { outcome.map_err(DbError::of_commit) } else { outcome };
    if let (Ok(before), false) = (before, matches!(outcome, Ok(()) | Err(DbError::Uncertain(_)))) {
        let _ = WRITTEN.try_with(|written| written.set(before));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transient() -> DbError {
        DbError::Transient(sqlx::Error::PoolClosed)
    }

    #[tokio::test]
    async fn what_was_committed_or_may_have_been_was_written() {
        for (commits, expected) in [
            (vec![], false),
            (vec![Ok(())], true),
            (vec![Err(transient())], false),
            (vec![Err(DbError::Unable(sqlx::Error::PoolClosed))], false),
            (vec![Err(DbError::Unreachable(sqlx::Error::PoolClosed))], true),
            (vec![Ok(()), Err(transient())], true),
            (vec![Err(transient()), Ok(())], true),
        ] {
            let said = format!("{commits:?}");
            let work = async {
                for commit in commits {
                    let _ = noted(async { (commit, true) }).await;
                }
            };
            assert_eq!(attempt(work).await, ((), expected), "{said}");
        }
        let refused_before = async {
            let _ = noted(async { (Err(DbError::Statement(sqlx::Error::PoolClosed)), false) }).await;
        };
        assert_eq!(attempt(refused_before).await, ((), false));
        assert!(noted(async { (Ok(()), true) }).await.is_ok(), "outside of any attempt");
    }
}
