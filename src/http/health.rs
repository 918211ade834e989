//! Probes: whether the process answers, and whether it can do its work.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use tokio::time::Instant;

use super::error::Problem;
use crate::{
    admin::own_keys,
    app::{App, readiness},
    db::DbError,
    log,
};

/// The routes of this page.
pub const PROBES: [&str; 2] = ["/health/live", "/health/ready"];

pub async fn live() -> Json<serde_json::Value> {
    Json(json!({ "status": "live" }))
}

/// The database accepts a write, its clock and ours agree, its tables are up to date, the master key matches, and the jobs run.
pub async fn ready(State(app): State<App>) -> Response {
    if let Some(obstacle) = app.job_watch.obstacle(Instant::now()) {
        return Problem::unavailable(obstacle).into();
    }
    match find_obstacle(&app).await {
        Ok(None) => (StatusCode::OK, Json(status(log::panics(), log::lost_lines()))).into_response(),
        Ok(Some(obstacle)) => Problem::unavailable(obstacle).into(),
        Err(error) => Problem::from(error).into(),
    }
}

/// The answer of a node that is ready, with the numbers of faults that do not stop its work.
fn status(panics: u64, log_lines_lost: u64) -> serde_json::Value {
    let mut status = json!({ "status": "ready" });
    for (name, number) in [("panics", panics), ("log_lines_lost", log_lines_lost)] {
        if number > 0 {
            status[name] = number.into();
        }
    }
    status
}

async fn find_obstacle(app: &App) -> Result<Option<String>, DbError> {
    if let Some(obstacle) = readiness::find_obstacle(app).await {
        return Ok(Some(obstacle.to_string()));
    }
    if !app.db.is_migrated().await? {
        return Ok(Some("the database's tables are not up to date".to_owned()));
    }
    let current = own_keys::are_current(&app.db, &app.keys).await?;
    Ok((!current).then(|| "the master key was changed while this node runs: restart it with the new one".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_ready_tells_its_faults() {
        assert_eq!(status(0, 0), json!({ "status": "ready" }));
        assert_eq!(status(1, 0), json!({ "status": "ready", "panics": 1 }));
        assert_eq!(status(0, 2), json!({ "status": "ready", "log_lines_lost": 2 }));
    }
}
