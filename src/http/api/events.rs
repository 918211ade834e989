//! The feed of security events: what happened in the tenant, in the order of its numbers. Whoever keeps the last number it has dealt with
//! and asks for what comes after it misses nothing; after a crash it may see some again, which `jti` tells.

use axum::{
    Json,
    extract::Query,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::limit;
use crate::{
    admin::event_feed,
    db::audit::EventRow,
    http::{caller::session::SessionCaller, error::Problem},
    policy::action::ReadAudit,
    scim::event::Happened,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    after: Option<i64>,
    limit: Option<i64>,
}

pub async fn list(caller: SessionCaller, Query(page): Query<Page>) -> Result<Response, Problem> {
    let grant = caller.authorize_at::<ReadAudit>(caller.model.organizations.root())?;
    let after = page.after.unwrap_or(0);
    let rows = event_feed::list(&grant, caller.db(), &caller.model, after, limit(page.limit)?).await?;
    let issuer = caller.app.config.public_url.origin();
    let next = rows.last().map_or(after, |row| row.number);
    let body = json!({ "events": rows.iter().map(|row| shown(row, &issuer)).collect::<Vec<_>>(), "next_after": next });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

fn shown(row: &EventRow, issuer: &str) -> Value {
    let id = row.id.to_string();
    let happened = Happened {
        id: &id,
        at: row.at,
        kind: &row.kind,
        subject_kind: &row.subject_kind,
        subject_id: &row.subject_id,
        payload: &row.payload,
    };
    json!({ "number": row.number, "set": happened.security_event(issuer) })
}
