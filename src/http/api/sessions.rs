//! Sessions: one's own, which everybody sees and ends, and those of others, which takes `sessions.revoke` over the account.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{extract::Path, value::Moment};
use crate::{
    admin::{
        holder::{HolderError, authorize_over},
        session::{self, SessionError},
    },
    db::{self, session::SessionRow},
    domain::id::{AccountId, SessionId},
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::{
        access::within_token,
        action::{Action, RevokeSessions},
    },
};

const OF_ACCOUNT: &str = "/api/v1/accounts/{id}/sessions";

pub fn routes() -> Routes {
    Routes::chapter("Sessions", "Who is signed in, since when, and until when at most. Everybody sees and ends their own.")
        .document(
            Operation::get("/api/v1/sessions", "List one's own sessions")
                .answers::<SessionList>(StatusCode::OK, "Those that are alive, the newest first"),
            list,
        )
        .document(Operation::delete("/api/v1/sessions/{id}", "End one of one's own sessions").answers_nothing("It has ended"), revoke)
        .document(
            over(Operation::get(OF_ACCOUNT, "List the sessions of an account"))
                .answers::<SessionList>(StatusCode::OK, "Those that are alive, the newest first"),
            list_of,
        )
        .document(
            over(Operation::delete(OF_ACCOUNT, "End all sessions of an account"))
                .answers::<EndedSessions>(StatusCode::OK, "They have ended"),
            revoke_all_of,
        )
        .document(
            over(Operation::delete("/api/v1/accounts/{id}/sessions/{session}", "End one session of an account"))
                .answers_nothing("It has ended"),
            revoke_of,
        )
}

fn over(operation: Operation) -> Operation {
    operation
        .about("It takes the right at the account's home organization, by a role that manages all that the account holds.")
        .needs::<RevokeSessions>()
        .refuses(StatusCode::FORBIDDEN, &["out_of_reach"])
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NotFound => Self::not_found(),
            SessionError::Holder(error) => error.into(),
            SessionError::Db(error) => error.into(),
        }
    }
}

impl From<HolderError> for Problem {
    fn from(error: HolderError) -> Self {
        match error {
            HolderError::NotFound => Self::not_found(),
            HolderError::Denied(denied) => denied.into(),
            HolderError::Db(error) => error.into(),
        }
    }
}

async fn list(caller: Caller) -> Result<Response, Problem> {
    within_token(caller.person()?, RevokeSessions::CAPABILITY)?;
    let rows = session::list(caller.db(), caller.tenant, caller.person()?.account, &caller.model.settings, caller.app.now()).await?;
    shown(&caller, &rows).await
}

async fn revoke(ChangingCaller(caller): ChangingCaller, Path(id): Path<SessionId>) -> Result<Response, Problem> {
    within_token(caller.person()?, RevokeSessions::CAPABILITY)?;
    session::revoke_own(caller.db(), &mut caller.occasion(), caller.tenant, caller.person()?.account, id).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn list_of(caller: Caller, Path(account): Path<AccountId>) -> Result<Response, Problem> {
    let (holder, grant) = authorize_over(caller.db(), &caller.actor, &caller.model, account).await?;
    let id = holder.row.account.id;
    let rows = session::list_of(&grant, caller.db(), caller.tenant, id, &caller.model.settings, caller.app.now()).await?;
    shown(&caller, &rows).await
}

async fn revoke_of(ChangingCaller(caller): ChangingCaller, Path((account, id)): Path<(AccountId, SessionId)>) -> Result<Response, Problem> {
    session::revoke_of(caller.db(), &mut caller.occasion(), &caller.model, account, Some(id)).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn revoke_all_of(ChangingCaller(caller): ChangingCaller, Path(account): Path<AccountId>) -> Result<Response, Problem> {
    let ended = session::revoke_of(caller.db(), &mut caller.occasion(), &caller.model, account, None).await?;
    caller.committed();
    Ok(Json(EndedSessions { ended }).into_response())
}

#[derive(Serialize, ToSchema)]
struct SessionList {
    sessions: Vec<ShownSession>,
}

#[derive(Serialize, ToSchema)]
struct EndedSessions {
    ended: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct ShownSession {
    id: SessionId,
    /// The slug of the connection by which somebody signed in; null after a local sign-in.
    connection: Option<String>,
    created_at: Moment,
    /// Written at most once a minute.
    last_seen_at: Moment,
    /// When it ends at the latest.
    expires_at: Moment,
    /// When it ends if nobody uses it; null where that is no reason.
    idle_until: Option<Moment>,
    /// The one that asks.
    current: bool,
}

async fn shown(caller: &Caller, rows: &[SessionRow]) -> Result<Response, Problem> {
    let connections = db::connection::list_connections(caller.db(), caller.tenant).await?;
    let slug = |row: &SessionRow| {
        let found = connections.iter().find(|known| Some(known.connection.id) == row.connection);
        found.map(|known| known.connection.slug.to_string())
    };
    let settings = &caller.model.settings;
    let current = caller.person()?.session;
    let shown = |row: &SessionRow| {
        let expires_at = row.expires_at.min(row.created_at.plus_secs(settings.session_ttl_secs));
        let idle = settings.session_idle_secs;
        ShownSession {
            id: row.id,
            connection: slug(row),
            created_at: row.created_at.into(),
            last_seen_at: row.last_seen_at.into(),
            expires_at: expires_at.into(),
            idle_until: (idle > 0).then(|| row.last_seen_at.plus_secs(idle).min(expires_at).into()),
            current: row.id == current,
        }
    };
    let body = SessionList { sessions: rows.iter().map(shown).collect() };
    Ok(Json(body).into_response())
}
