//! The feed of security events: what happened in the tenant, in the order of its numbers. Whoever keeps the last number it has dealt with
//! and asks for what comes after it misses nothing; after a crash it may see some again, which `jti` tells.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{extract::Query, paging::limit};
use crate::{
    admin::event_feed,
    db::audit::EventRow,
    http::{caller::api::Caller, error::Problem, operation::Operation, routes::Routes},
    policy::action::ReadAudit,
    scim::event::Happened,
};

pub fn routes() -> Routes {
    Routes::chapter("Events", "What happened in the tenant, for programs that follow it.").document(
        Operation::get("/api/v1/events", "Read the feed of security events")
            .about(
                "Events come in the order of their numbers, without gaps. Whoever keeps `next_after` and asks for what comes after it misses \
                 nothing; after a crash it may see some again, which `jti` tells.",
            )
            .needs::<ReadAudit>()
            .query::<Parameters>()
            .answers::<EventPage>(StatusCode::OK, "What comes after")
            .refuses(StatusCode::BAD_REQUEST, &["limit"]),
        list,
    )
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Parameters {
    /// The number of the last event that was dealt with; 0 when it is left out.
    after: Option<i64>,
    /// How many events at most: 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

async fn list(caller: Caller, Query(sent): Query<Parameters>) -> Result<Response, Problem> {
    let grant = caller.authorize_at::<ReadAudit>(caller.model.organizations.root())?;
    let after = sent.after.unwrap_or(0);
    let rows = event_feed::list(&grant, caller.db(), &caller.model, after, limit(sent.limit)?).await?;
    let issuer = caller.app.config.public_url.origin();
    let next_after = rows.last().map_or(after, |row| row.number);
    let body = EventPage { events: rows.iter().map(|row| ShownEvent::of(row, &issuer)).collect(), next_after };
    Ok(Json(body).into_response())
}

#[derive(Serialize, ToSchema)]
struct EventPage {
    events: Vec<ShownEvent>,
    /// The number of the last event here.
    next_after: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
struct ShownEvent {
    number: i64,
    /// A security event token's claims (RFC 8417): `iss`, `jti`, `iat`, `toe`, `sub_id`, `events`.
    #[schema(value_type = Object)]
    set: Value,
}

impl ShownEvent {
    fn of(row: &EventRow, issuer: &str) -> Self {
        let id = row.id.to_string();
        let happened = Happened {
            id: &id,
            at: row.at,
            kind: &row.kind,
            subject_kind: &row.subject_kind,
            subject_id: &row.subject_id,
            payload: &row.payload,
        };
        Self { number: row.number, set: happened.security_event(issuer) }
    }
}
