//! Connections that an organization uses: its own, and those that were enabled for it.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    extract::Path,
    organizations::store,
    precondition::{IfMatch, etag},
    value::Moment,
};
use crate::{
    admin::connection_use::{self, UseError, Used},
    db::connection_use::UsedConnection,
    domain::id::{AccountId, ConnectionId},
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::action::{EnableConnections, ReadConnections, ReadOrganizations},
};

const ONE: &str = "/api/v1/organizations/{slug}/connections/{connection}";

pub fn routes() -> Routes {
    Routes::chapter(
        "Connections of an organization",
        "Enabling a connection for an organization leaves the connection as it is: the version is the organization's.",
    )
    .document(
        Operation::get("/api/v1/organizations/{slug}/connections", "List the connections that an organization uses")
            .needs::<ReadOrganizations>()
            .versioned()
            .answers::<UsedList>(StatusCode::OK, "Its own, and those that were enabled for it"),
        list,
    )
    .document(
        Operation::put(ONE, "Enable a connection for an organization")
            .needs::<EnableConnections>()
            .versioned()
            .answers::<UsedList>(StatusCode::OK, "What the organization uses now")
            .refuses(StatusCode::CONFLICT, &["own_connection"]),
        enable,
    )
    .document(
        Operation::delete(ONE, "Disable a connection for an organization")
            .needs::<EnableConnections>()
            .versioned()
            .answers_nothing("It is not used any more")
            .refuses(StatusCode::CONFLICT, &["own_connection"]),
        disable,
    )
}

impl From<UseError> for Problem {
    fn from(error: UseError) -> Self {
        match error {
            UseError::NotFound => Self::not_found(),
            UseError::Stale => Self::stale(),
            UseError::Own => Self::conflict("own_connection", format!("{error}.")),
            UseError::Db(error) => error.into(),
        }
    }
}

async fn list(caller: Caller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<ReadOrganizations>(&slug)?;
    Ok(shown(&connection_use::list(&grant, store(&caller)).await?))
}

async fn enable(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, connection)): Path<(String, String)>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<EnableConnections>(&slug)?;
    // To callers who may not read the connection at its own organization, it does not exist.
    let (connection, _) = caller.authorize_connection::<ReadConnections>(&connection).await?;
    let used = connection_use::enable(&grant, store(&caller), &mut caller.occasion(), &precondition, &connection).await?;
    caller.committed();
    Ok(shown(&used))
}

async fn disable(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, connection)): Path<(String, String)>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<EnableConnections>(&slug)?;
    let connection = caller.connection(&connection).await?;
    let version = connection_use::disable(&grant, store(&caller), &mut caller.occasion(), &precondition, &connection).await?;
    caller.committed();
    Ok((StatusCode::NO_CONTENT, [etag(version)]).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionsInUse)]
struct UsedList {
    connections: Vec<Shown>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionInUse)]
struct Shown {
    id: ConnectionId,
    slug: String,
    /// `admin` or `self_service`.
    audience: String,
    /// Whether the connection is switched on at all.
    active: bool,
    /// Whether it is the organization's own.
    own: bool,
    enabled_at: Option<Moment>,
    /// The account; null: the operator of the host, or its own.
    enabled_by: Option<AccountId>,
}

fn shown(used: &Used) -> Response {
    let shown = |row: &UsedConnection| Shown {
        id: row.connection,
        slug: row.slug.clone(),
        audience: row.audience.clone(),
        active: row.enabled,
        own: row.enabled_at.is_none(),
        enabled_at: row.enabled_at.map(Moment),
        enabled_by: row.enabled_by,
    };
    let body = UsedList { connections: used.connections.iter().map(shown).collect() };
    ([etag(used.version)], [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
