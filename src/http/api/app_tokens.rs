//! Tokens of applications behind the role store. Making and revoking them is an owner's alone.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::{Body, Path, Query},
    value::Moment,
};
use crate::{
    admin::app_token::{self, AppTokenError, AppTokenState, MAX_TTL_SECS, TTL_SECS},
    db::app_token::AppTokenRow,
    domain::{
        id::{AccountId, AppTokenId, OrganizationId},
        model::RoleModel,
        name::Title,
    },
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::{access::authorize_subtree, action::ManageAppTokens},
};

const PATH: &str = "/api/v1/app-tokens";

pub fn routes() -> Routes {
    Routes::chapter(
        "Application tokens",
        "Expiring bearers for applications behind the role store: they look at one organization and what is below it, and change nothing. \
         Making one takes an owner's role that reaches all of that. A token is valid while the owner who made it, or took it over, could make it still.",
    )
    .document(
        Operation::post(PATH, "Make an application's token")
            .needs::<ManageAppTokens>()
            .takes::<NewToken>()
            .answers::<MadeToken>(StatusCode::CREATED, "The only answer with the token")
            .refuses(StatusCode::BAD_REQUEST, &["name", "ttl_days"])
            .refuses(StatusCode::FORBIDDEN, &["reach_too_short"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["organization"]),
        create,
    )
    .document(
        Operation::get(PATH, "List the applications' tokens of an organization")
            .needs::<ManageAppTokens>()
            .query::<ListParameters>()
            .answers::<TokenList>(StatusCode::OK, "Revoked and expired ones too")
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["organization"]),
        list,
    )
    .document(
        Operation::post("/api/v1/app-tokens/{id}/take-over", "Take over an application's token")
            .about("The caller answers for the token from now on, as if they had made it: it stays valid when the owner before leaves. The secret and the expiry stay.")
            .needs::<ManageAppTokens>()
            .answers::<ShownToken>(StatusCode::OK, "The token")
            .refuses(StatusCode::FORBIDDEN, &["reach_too_short"]),
        take_over,
    )
    .document(
        Operation::delete("/api/v1/app-tokens/{id}", "Revoke an application's token")
            .needs::<ManageAppTokens>()
            .answers_nothing("It is revoked"),
        revoke,
    )
}

impl From<AppTokenError> for Problem {
    fn from(error: AppTokenError) -> Self {
        match error {
            AppTokenError::NotFound => Self::not_found(),
            AppTokenError::Db(error) => error.into(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAppToken)]
struct NewToken {
    /// Which application it is for.
    name: String,
    /// The slug of the organization that it looks at, with what is below; the root when it is left out.
    organization: Option<String>,
    /// Days that it lasts: 1 to 366; 90 when it is left out.
    #[schema(minimum = 1, maximum = 366)]
    ttl_days: Option<i64>,
}

/// The right is asked for at the root first: whoever has it nowhere learns nothing of which organizations there are.
async fn create(ChangingCaller(caller): ChangingCaller, body: Body) -> Result<Response, Problem> {
    let sent: Result<NewToken, Problem> = body.read();
    let at = sent.as_ref().ok().and_then(|sent| place(&caller.model, sent.organization.as_deref()));
    let place = at.unwrap_or(caller.model.organizations.root());
    let grant = authorize_subtree::<ManageAppTokens>(&caller.actor, &caller.model, place)?;
    let sent = sent?;
    at.ok_or_else(unknown)?;
    let name = Title::parse("name", &sent.name).map_err(|error| Problem::invalid("name", format!("{error}.")).at("name"))?;
    let ttl_secs = sent.ttl_days.map_or(Some(TTL_SECS), |days| days.checked_mul(86_400)).filter(|secs| (1..=MAX_TTL_SECS).contains(secs));
    let ttl_secs = ttl_secs.ok_or_else(|| {
        Problem::invalid("ttl_days", format!("ttl_days is a whole number from 1 to {}.", MAX_TTL_SECS / 86_400)).at("ttl_days")
    })?;
    let random = caller.app.random.bytes();
    let (row, secret) = app_token::create(&grant, caller.db(), &mut caller.occasion(), caller.tenant, &name, ttl_secs, random).await?;
    caller.committed();
    let body = MadeToken { token: secret.expose().clone(), shown: ShownToken::of(&caller.model, row, AppTokenState::Live) };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn place(model: &RoleModel, slug: Option<&str>) -> Option<OrganizationId> {
    match slug {
        None => Some(model.organizations.root()),
        Some(slug) => model.organizations.find_slug(slug).map(|organization| organization.id),
    }
}

fn unknown() -> Problem {
    Problem::unprocessable("organization", "The tenant has no organization of that slug.").at("organization")
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParameters {
    /// The slug of the organization that they were made for; the root when it is left out.
    organization: Option<String>,
}

async fn list(caller: Caller, Query(sent): Query<ListParameters>) -> Result<Response, Problem> {
    let at = place(&caller.model, sent.organization.as_deref());
    let grant = caller.authorize_at::<ManageAppTokens>(at.unwrap_or(caller.model.organizations.root()))?;
    at.ok_or_else(unknown)?;
    let rows = app_token::list(&grant, caller.db(), &caller.model, caller.app.now()).await?;
    let body = TokenList { tokens: rows.into_iter().map(|(row, state)| ShownToken::of(&caller.model, row, state)).collect() };
    Ok(Json(body).into_response())
}

async fn revoke(ChangingCaller(caller): ChangingCaller, Path(id): Path<AppTokenId>) -> Result<Response, Problem> {
    let found = app_token::find(caller.db(), caller.tenant, id).await?;
    let at = found.map_or(caller.model.organizations.root(), |row| row.organization);
    let grant = caller.authorize_at::<ManageAppTokens>(at)?;
    app_token::revoke(&grant, caller.db(), &mut caller.occasion(), caller.tenant, id).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn take_over(ChangingCaller(caller): ChangingCaller, Path(id): Path<AppTokenId>) -> Result<Response, Problem> {
    let found = app_token::find(caller.db(), caller.tenant, id).await?;
    let at = found.map_or(caller.model.organizations.root(), |row| row.organization);
    let grant = authorize_subtree::<ManageAppTokens>(&caller.actor, &caller.model, at)?;
    let row = app_token::take_over(&grant, caller.db(), &mut caller.occasion(), caller.tenant, id).await?;
    caller.committed();
    Ok(Json(ShownToken::of(&caller.model, row, AppTokenState::Live)).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = AppTokenList)]
struct TokenList {
    tokens: Vec<ShownToken>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MadeAppToken)]
struct MadeToken {
    /// Goes into `Authorization: Bearer …`; shown this once.
    token: String,
    #[serde(flatten)]
    shown: ShownToken,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AppToken)]
struct ShownToken {
    id: AppTokenId,
    name: String,
    /// The slug.
    organization: Option<String>,
    /// The account; null: the operator of the host.
    created_by: Option<AccountId>,
    /// The account of the owner who answers for it; null: the operator of the host.
    owner: Option<AccountId>,
    created_at: Moment,
    expires_at: Moment,
    revoked_at: Option<Moment>,
    last_used_at: Option<Moment>,
    /// `live`, `expired`, `revoked`, or `unbacked`: its owner could not make it any more, and no other owner has taken it over.
    #[schema(value_type = String)]
    state: AppTokenState,
}

impl ShownToken {
    fn of(model: &RoleModel, row: AppTokenRow, state: AppTokenState) -> Self {
        Self {
            id: row.id,
            name: row.name,
            organization: model.organizations.find(row.organization).map(|organization| organization.slug.to_string()),
            created_by: row.created_by,
            owner: row.owner,
            created_at: row.created_at.into(),
            expires_at: row.expires_at.into(),
            revoked_at: row.revoked_at.map(Moment),
            last_used_at: row.last_used_at.map(Moment),
            state,
        }
    }
}
