//! Who am I: account, assignments with their origins, and what they permit.

use askama::Template;
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Serialize;
use serde_json::json;

use super::{
    caller::session::{LeavingCaller, SessionCaller, forget_cookie},
    error::Problem,
    page, saml,
};
use crate::{
    admin::{self, listing::Row},
    app::App,
    domain::actor::Actor,
    policy::access::usable_permissions,
};

/// The row that `rolegate accounts --json` prints too, and what only the holder of the session is told.
#[derive(Serialize)]
struct Me {
    #[serde(flatten)]
    row: Row,
    permissions: Vec<PermissionsAt>,
    /// Goes into the header `X-CSRF-Token` of every change.
    csrf_token: String,
}

/// What is permitted at one organization where a role is held.
#[derive(Debug, Serialize)]
struct PermissionsAt {
    organization: String,
    permissions: Vec<String>,
}

#[derive(Template)]
#[template(path = "me.html")]
struct Page<'a> {
    name: &'a str,
    prefix: &'a str,
    csrf_token: &'a str,
    row: &'a Row,
    permissions: &'a [PermissionsAt],
}

pub async fn get(State(app): State<App>, caller: Result<SessionCaller, Problem>, headers: HeaderMap) -> Response {
    let json = page::prefers_json(&headers);
    let me = match caller {
        Ok(caller) => read(&caller).await,
        Err(problem) => Err(problem),
    };
    match me {
        Ok(me) if json => Json(me).into_response(),
        Ok(me) => show(&app, &me),
        Err(problem) if json => problem.into(),
        Err(problem) => page::failed(problem),
    }
}

/// Who comes to the front door is shown who they are.
pub async fn home(State(app): State<App>) -> Redirect {
    Redirect::to(&format!("{}/me", app.config.public_url.prefix()))
}

async fn read(caller: &SessionCaller) -> Result<Me, Problem> {
    let Actor::Account(actor) = &caller.actor else { return Err(Problem::unauthenticated()) };
    let row = admin::listing::find_account(caller.db(), caller.tenant, actor.account).await?.ok_or_else(Problem::unauthenticated)?;
    let mut places: Vec<_> = actor.assignments.iter().map(|assignment| assignment.holding.organization).collect();
    places.sort_unstable();
    places.dedup();
    let found = places.into_iter().filter_map(|at| {
        let organization = caller.model.organizations.find(at)?.slug.as_str().to_owned();
        let permissions = usable_permissions(actor, &caller.model, at).iter().map(ToString::to_string).collect();
        Some(PermissionsAt { organization, permissions })
    });
    let permissions = found.filter(|at| !at.permissions.is_empty()).collect();
    Ok(Me { row, permissions, csrf_token: caller.csrf_token().expose().clone() })
}

fn show(app: &App, me: &Me) -> Response {
    let account = &me.row.account;
    let page = Page {
        name: account.display_name.as_deref().unwrap_or(&account.user_name),
        prefix: app.config.public_url.prefix(),
        csrf_token: &me.csrf_token,
        row: &me.row,
        permissions: &me.permissions,
    };
    page::respond(StatusCode::OK, &page)
}

/// Ends the session here, and then asks its identity provider to end it there; whatever comes of that, here it has ended.
pub async fn log_out(headers: HeaderMap, LeavingCaller(caller): LeavingCaller) -> Result<Response, Problem> {
    let mut occasion = caller.app.occasion(caller.actor.clone(), &caller.request_id);
    admin::session::sign_out(caller.db(), &mut occasion, caller.tenant, &caller.session).await?;
    let forgotten = [(header::SET_COOKIE, forget_cookie(&caller.app))];
    let onward = saml::logout::begin(&caller.app, &caller.session).await.unwrap_or_else(|problem| {
        tracing::warn!(?problem, "somebody signed out here, and their identity provider could not be asked to do so too");
        None
    });
    if page::prefers_json(&headers) {
        return Ok(match onward.as_ref().and_then(saml::logout::Onward::address) {
            Some(url) => (forgotten, Json(json!({ "continue_at": url }))).into_response(),
            None => (StatusCode::NO_CONTENT, forgotten).into_response(),
        });
    }
    if let Some(onward) = onward {
        return Ok((forgotten, onward.show()).into_response());
    }
    Ok((
        forgotten,
        page::say(StatusCode::OK, "Signed out", &["Your session has ended here. At your identity provider you may still be signed in."]),
    )
        .into_response())
}
