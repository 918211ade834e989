//! Computing that takes long (signatures, new keys), off the threads that serve requests and no more of it at a time than there are cores.

use super::error::Problem;
use crate::app::App;

/// Runs the work when its turn comes. A panic in it is the end of this request alone.
pub async fn run<T: Send + 'static>(app: &App, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let turn = app.verifications.clone().acquire_owned().await;
    let turn = turn.map_err(|_| Problem::unavailable("The gateway is ending; try again."))?;
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.map_err(|error| Problem::internal(&error))
}
