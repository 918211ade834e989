//! Probes: whether the process answers, and whether it can do its work.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::error::Problem;
use crate::{
    admin::own_keys,
    app::{App, readiness},
    db::DbError,
};

/// The routes of this page.
pub const PROBES: [&str; 2] = ["/health/live", "/health/ready"];

pub async fn live() -> Json<serde_json::Value> {
    Json(json!({ "status": "live" }))
}

/// The database takes a write, its clock is ours, its tables are those of this program, and the master key is still its own.
pub async fn ready(State(app): State<App>) -> Response {
    match find_obstacle(&app).await {
        Ok(None) => (StatusCode::OK, Json(json!({ "status": "ready" }))).into_response(),
        Ok(Some(obstacle)) => Problem::unavailable(obstacle).into(),
        Err(error) => Problem::from(error).into(),
    }
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
