//! Sessions: one's own, which everybody sees and ends, and those of others, which takes `sessions.revoke` over the account.

use axum::{
    Json,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    admin::session::{self, Holder, SessionError},
    db::{self, session::SessionRow},
    domain::{
        actor::{AccountActor, Actor},
        id::{AccountId, SessionId},
    },
    http::{
        caller::session::{ChangingCaller, SessionCaller},
        error::{Kind, Problem},
    },
    policy::{
        access::{Grant, Target, authorize_over},
        action::RevokeSessions,
    },
};

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NotFound => Self::not_found(),
            SessionError::Db(error) => error.into(),
        }
    }
}

pub async fn list(caller: SessionCaller) -> Result<Response, Problem> {
    let rows = session::list(caller.db(), caller.tenant, own(&caller)?.account, &caller.model.settings, caller.app.now()).await?;
    shown(&caller, &rows).await
}

pub async fn revoke(ChangingCaller(caller): ChangingCaller, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = parse(&id)?;
    session::revoke_own(caller.db(), &mut caller.occasion(), caller.tenant, own(&caller)?.account, id).await?;
    caller.app.committed.notify_one();
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn list_of(caller: SessionCaller, Path(account): Path<String>) -> Result<Response, Problem> {
    let (holder, grant) = reach(&caller, &account).await?;
    let rows = session::list_of(&grant, caller.db(), caller.tenant, &holder, &caller.model.settings, caller.app.now()).await?;
    shown(&caller, &rows).await
}

pub async fn revoke_of(ChangingCaller(caller): ChangingCaller, Path((account, id)): Path<(String, String)>) -> Result<Response, Problem> {
    let (holder, grant) = reach(&caller, &account).await?;
    session::revoke_of(&grant, caller.db(), &mut caller.occasion(), caller.tenant, &holder, Some(parse(&id)?)).await?;
    caller.app.committed.notify_one();
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn revoke_all_of(ChangingCaller(caller): ChangingCaller, Path(account): Path<String>) -> Result<Response, Problem> {
    let (holder, grant) = reach(&caller, &account).await?;
    let ended = session::revoke_of(&grant, caller.db(), &mut caller.occasion(), caller.tenant, &holder, None).await?;
    caller.app.committed.notify_one();
    Ok(Json(json!({ "ended": ended })).into_response())
}

fn own(caller: &SessionCaller) -> Result<&AccountActor, Problem> {
    match &caller.actor {
        Actor::Account(actor) => Ok(actor),
        Actor::Scim { .. } | Actor::Saml { .. } | Actor::HostOperator | Actor::System => Err(Problem::unauthenticated()),
    }
}

fn parse(id: &str) -> Result<SessionId, Problem> {
    SessionId::parse(id).map_err(|_| Problem::not_found())
}

/// The account, and the right over it: at its home organization, by a role that manages all that it holds. Who has the right nowhere
/// learns nothing of which accounts there are.
async fn reach(caller: &SessionCaller, account: &str) -> Result<(Holder, Grant<RevokeSessions>), Problem> {
    let root = caller.model.organizations.root();
    let found = match AccountId::parse(account) {
        Ok(id) => session::find_holder(caller.db(), caller.tenant, id).await?,
        Err(_) => None,
    };
    let Some(holder) = found else {
        caller.authorize_at::<RevokeSessions>(root)?;
        return Err(Problem::not_found());
    };
    let own_groups = db::group::list_group_ids(caller.db(), caller.tenant, own(caller)?.account).await?;
    let at = holder.row.account.home_organization.unwrap_or(root);
    let target = Target { assignments: &holder.assignments, groups: &holder.groups };
    let grant = authorize_over(&caller.actor, &caller.model, at, &target, &own_groups);
    let grant = grant.map_err(|denied| Problem::new(Kind::Forbidden, denied.code(), format!("{denied}.")))?;
    Ok((holder, grant))
}

async fn shown(caller: &SessionCaller, rows: &[SessionRow]) -> Result<Response, Problem> {
    let connections = db::connection::list_connections(caller.db(), caller.tenant).await?;
    let slug = |row: &SessionRow| {
        let found = connections.iter().find(|known| Some(known.connection.id) == row.connection);
        found.map(|known| known.connection.slug.to_string())
    };
    let (current, idle) = (caller.session.id, caller.model.settings.session_idle_secs);
    let shown = |row: &SessionRow| -> Value {
        let expires_at = row.expires_at.min(row.created_at.plus_secs(caller.model.settings.session_ttl_secs));
        let idle_until = (idle > 0).then(|| row.last_seen_at.plus_secs(idle).min(expires_at));
        json!({
            "id": row.id,
            "connection": slug(row),
            "created_at": row.created_at.to_string(),
            "last_seen_at": row.last_seen_at.to_string(),
            "expires_at": expires_at.to_string(),
            "idle_until": idle_until.map(|at| at.to_string()),
            "current": row.id == current,
        })
    };
    let body = json!({ "sessions": rows.iter().map(shown).collect::<Vec<_>>() });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
