//! Probes: whether the process answers, and whether it can do its work.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::error::Problem;
use crate::app::App;

pub async fn live() -> Json<serde_json::Value> {
    Json(json!({ "status": "live" }))
}

/// The database answers, and its tables are those of this program.
pub async fn ready(State(app): State<App>) -> Response {
    match app.db.is_migrated().await {
        Ok(true) => (StatusCode::OK, Json(json!({ "status": "ready" }))).into_response(),
        Ok(false) => Problem::unavailable("the database's tables are not up to date").into(),
        Err(error) => Problem::from(error).into(),
    }
}
