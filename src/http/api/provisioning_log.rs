//! What a connection's identity provider asked for, and what became of it.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    extract::{Path, Query},
    paging::{Page, PageParameters, Paged},
    value::Moment,
};
use crate::{
    admin::provisioning_log::{self, LogEntry},
    domain::id::EventId,
    http::{caller::api::Caller, error::Problem, operation::Operation, routes::Routes},
    policy::action::ReadLogs,
};

pub fn routes() -> Routes {
    Routes::chapter("Provisioning log", "What SCIM clients asked for, and what became of it.").document(
        Operation::get("/api/v1/connections/{slug}/provisioning-log", "List the SCIM requests of a connection")
            .about("The newest first. An entry appears some seconds after its request.")
            .needs::<ReadLogs>()
            .pages::<PageParameters>()
            .answers::<Paged<ShownEntry>>(StatusCode::OK, "A page of entries"),
        list,
    )
}

async fn list(caller: Caller, Path(slug): Path<String>, Query(sent): Query<PageParameters>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ReadLogs>(&slug).await?;
    let page = Page::<EventId>::read(&caller, &format!("provisioning-log {slug}"), &sent.into(), &[])?;
    let rows = provisioning_log::list(&grant, &caller.app.provisioning_log, caller.db(), &connection, page.after, page.ask()).await?;
    let body = page.finish(&caller, rows, |row| row.id, ShownEntry::of);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = ProvisioningLogEntry)]
struct ShownEntry {
    id: EventId,
    at: Moment,
    method: String,
    /// The path below `/scim/v2`, without its query.
    resource: String,
    status: u16,
    /// `accepted` or `refused`.
    outcome: &'static str,
    scim_type: Option<String>,
    /// Of a refusal, in the words that the client was told.
    detail: Option<String>,
    facts_changed: i64,
    assignments_changed: i64,
    duration_ms: i64,
    /// The request's id, in the log and in audit rows.
    correlation: String,
}

impl ShownEntry {
    fn of(entry: LogEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at.into(),
            method: entry.method,
            resource: entry.resource,
            status: entry.status,
            outcome: if entry.status < 400 { "accepted" } else { "refused" },
            scim_type: entry.scim_type,
            detail: entry.detail,
            facts_changed: entry.facts_changed,
            assignments_changed: entry.assignments_changed,
            duration_ms: entry.duration_ms,
            correlation: entry.correlation,
        }
    }
}
