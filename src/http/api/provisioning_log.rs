//! What a connection's identity provider asked for, and what became of it.

use axum::{
    Json,
    extract::{Path, Query},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::limit;
use crate::{
    admin::provisioning_log::{self, LogEntry},
    domain::id::EventId,
    http::{caller::session::SessionCaller, error::Problem},
    policy::action::ReadLogs,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    limit: Option<i64>,
    /// The id of the last entry that was read.
    cursor: Option<String>,
}

pub async fn list(caller: SessionCaller, Path(slug): Path<String>, Query(page): Query<Page>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ReadLogs>(&connection)?;
    let limit = limit(page.limit)?;
    let before = page.cursor.as_deref().map(EventId::parse).transpose();
    let before = before.map_err(|error| Problem::invalid("cursor", format!("cursor: {error}.")))?;
    let entries = provisioning_log::list(&grant, &caller.app.provisioning_log, caller.db(), &connection, before, limit).await?;
    let full = i64::try_from(entries.len()).is_ok_and(|read| read == limit);
    let next = entries.last().filter(|_| full).map(|last| last.id);
    let body = json!({ "entries": entries.iter().map(shown).collect::<Vec<_>>(), "next_cursor": next });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

fn shown(entry: &LogEntry) -> Value {
    json!({
        "id": entry.id,
        "at": entry.at.to_string(),
        "method": entry.method,
        "resource": entry.resource,
        "status": entry.status,
        "outcome": if entry.status < 400 { "accepted" } else { "refused" },
        "scim_type": entry.scim_type,
        "detail": entry.detail,
        "facts_changed": entry.facts_changed,
        "assignments_changed": entry.assignments_changed,
        "duration_ms": entry.duration_ms,
        "correlation": entry.correlation,
    })
}
