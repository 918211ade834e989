//! API tokens: one's own, which everybody makes, sees and revokes, and those of others, which takes `tokens.read` and `tokens.revoke` over
//! the account.

use std::collections::BTreeSet;

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::{Body, Path, Query},
    value::Moment,
};
use crate::{
    admin::{
        api_token::{self, ApiTokenError, Asked, MAX_TTL_SECS, TTL_SECS},
        person,
        session::find_holder,
    },
    db::{self, api_token::ApiTokenRow},
    domain::{
        capability::Capability,
        id::{AccountId, ApiTokenId, OrganizationId},
        name::Title,
    },
    http::{
        caller::api::{By, Caller, ChangingCaller},
        error::{Kind, Problem},
        operation::Operation,
        routes::Routes,
    },
    policy::{
        access::{Grant, Target, authorize_over_account, within_token},
        action::{Action, ReadAccounts, ReadTokens, RevokeTokens},
        places::places_or_nowhere,
    },
};

pub fn routes() -> Routes {
    Routes::chapter(
        "API tokens",
        "Short-lived bearers that somebody makes from a session: they do what that person may do, or less, and are gone with the session.",
    )
    .document(
        Operation::post("/api/v1/tokens", "Make an API token")
            .about("From a session, never from another token. It lasts an hour, or as long as is asked for, and never longer than the session or what the organization's settings allow.")
            .takes::<NewToken>()
            .answers::<MadeToken>(StatusCode::CREATED, "The only answer with the token")
            .refuses(StatusCode::BAD_REQUEST, &["name", "ttl_secs"])
            .for_sessions()
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["not_held"]),
        create,
    )
    .document(
        Operation::get("/api/v1/tokens", "List API tokens")
            .about("One's own; with `account` those of somebody else, which needs `tokens.read` over the account.")
            .query::<ListParameters>()
            .answers::<TokenList>(StatusCode::OK, "Those whose sessions last, revoked and expired ones too")
            .refuses(StatusCode::FORBIDDEN, &["not_permitted", "gate", "out_of_reach", "not_a_person", "beyond_token", "root_only"])
            .refuses(StatusCode::NOT_FOUND, &["not_found"]),
        list,
    )
    .document(
        Operation::delete("/api/v1/tokens/{id}", "Revoke an API token")
            .about("One's own; somebody else's needs `tokens.revoke` over the account.")
            .answers_nothing("It is revoked")
            .refuses(StatusCode::FORBIDDEN, &["not_permitted", "gate", "out_of_reach", "root_only"]),
        revoke,
    )
}

impl From<ApiTokenError> for Problem {
    fn from(error: ApiTokenError) -> Self {
        match error {
            ApiTokenError::NotFound => Self::not_found(),
            ApiTokenError::NotHeld(_) => Self::unprocessable("not_held", format!("{error}.")).at("permissions"),
            ApiTokenError::Db(error) => error.into(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiToken)]
struct NewToken {
    /// What it is for.
    name: String,
    /// Seconds that it lasts: 1 to 43200; 3600 when it is left out.
    #[schema(minimum = 1, maximum = 43200)]
    ttl_secs: Option<i64>,
    /// Names of capabilities such as `accounts.read`: the token does these and nothing else. All of one's own when it is left out.
    #[schema(value_type = Option<Vec<String>>)]
    permissions: Option<BTreeSet<Capability>>,
}

async fn create(ChangingCaller(caller): ChangingCaller, body: Body) -> Result<Response, Problem> {
    let By::Session(session) = &caller.by else {
        let detail = "A token is made from a session, not from another token: sign in, and send the session's cookie.";
        return Err(Problem::new(Kind::Forbidden, "session_required", detail));
    };
    let sent: NewToken = body.read()?;
    let name = Title::parse("name", &sent.name).map_err(|error| Problem::invalid("name", format!("{error}.")).at("name"))?;
    let ttl_secs = sent.ttl_secs.unwrap_or(TTL_SECS);
    if !(1..=MAX_TTL_SECS).contains(&ttl_secs) {
        return Err(Problem::invalid("ttl_secs", format!("ttl_secs is a whole number from 1 to {MAX_TTL_SECS}.")).at("ttl_secs"));
    }
    let longest_secs = longest(&caller, caller.home);
    let asked = Asked { name, ttl_secs, only: sent.permissions, session_ends_at: session.expires_at, longest_secs };
    let random = caller.app.random.bytes();
    let (row, secret) = api_token::create(caller.db(), &mut caller.occasion(), caller.person()?, &caller.model, asked, random).await?;
    caller.committed();
    let body = MadeToken { token: secret.expose().clone(), shown: ShownToken::of(row, longest_secs) };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// How many seconds the tokens of somebody at home there last at most.
fn longest(caller: &Caller, home: Option<OrganizationId>) -> Option<i64> {
    caller.model.organizations.in_force(home).api_token_ttl_secs
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParameters {
    /// The id of somebody else's account.
    #[param(value_type = Option<String>, format = "uuid")]
    account: Option<AccountId>,
}

async fn list(caller: Caller, Query(sent): Query<ListParameters>) -> Result<Response, Problem> {
    let own = caller.person().map(|account| account.account);
    let (rows, home) = match sent.account.filter(|account| own.as_ref().ok() != Some(account)) {
        None => {
            within_token(caller.person()?, ReadTokens::CAPABILITY)?;
            (api_token::list_own(caller.db(), caller.tenant, caller.person()?).await?, caller.home)
        }
        Some(account) => {
            let (grant, home) = over::<ReadTokens>(&caller, account).await?;
            (api_token::list_of(&grant, caller.db(), caller.tenant, account).await?, home)
        }
    };
    let longest_secs = longest(&caller, home);
    let body = TokenList { tokens: rows.into_iter().map(|row| ShownToken::of(row, longest_secs)).collect() };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

async fn revoke(ChangingCaller(caller): ChangingCaller, Path(id): Path<ApiTokenId>) -> Result<Response, Problem> {
    let own = caller.person()?;
    match api_token::find_holder(caller.db(), caller.tenant, id).await? {
        Some(account) if account != own.account => {
            let grant = over_seen(&caller, account).await?;
            api_token::revoke_of(&grant, caller.db(), &mut caller.occasion(), caller.tenant, account, id).await?;
        }
        Some(_) | None => {
            within_token(own, RevokeTokens::CAPABILITY)?;
            api_token::revoke_own(caller.db(), &mut caller.occasion(), caller.tenant, own, id).await?;
        }
    }
    caller.committed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The right to revoke tokens of an account. A token of an account that the caller does not see is answered as one that does not exist.
async fn over_seen(caller: &Caller, account: AccountId) -> Result<Grant<RevokeTokens>, Problem> {
    let refused = match over::<RevokeTokens>(caller, account).await {
        Ok((grant, _)) => return Ok(grant),
        Err(refused) => refused,
    };
    let seen = places_or_nowhere::<ReadAccounts>(&caller.actor, &caller.model);
    let is_seen = person::find(&seen, caller.db(), caller.tenant, account).await?.is_some();
    Err(if is_seen { refused } else { Problem::not_found() })
}

/// The right over somebody else's account: at its home organization, by a role that manages all that it holds. Who has the right nowhere
/// learns nothing of which accounts there are. With the home of the account.
async fn over<A: Action>(caller: &Caller, account: AccountId) -> Result<(Grant<A>, Option<OrganizationId>), Problem> {
    let root = caller.model.organizations.root();
    let Some(holder) = find_holder(caller.db(), caller.tenant, account).await? else {
        caller.authorize_at::<A>(root)?;
        return Err(Problem::not_found());
    };
    let own_groups = db::group::list_group_ids(caller.db(), caller.tenant, caller.person()?.account).await?;
    let home = holder.row.account.home_organization;
    let target = Target { assignments: &holder.assignments, groups: &holder.groups };
    Ok((authorize_over_account(&caller.actor, &caller.model, home, &target, &own_groups)?, home))
}

#[derive(Serialize, ToSchema)]
#[schema(as = ApiTokenList)]
struct TokenList {
    tokens: Vec<ShownToken>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MadeApiToken)]
struct MadeToken {
    /// Goes into `Authorization: Bearer …`; shown this once.
    token: String,
    #[serde(flatten)]
    shown: ShownToken,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ApiToken)]
struct ShownToken {
    id: ApiTokenId,
    name: String,
    /// What it does; null: all that its account may do.
    #[schema(value_type = Option<Vec<String>>)]
    permissions: Option<BTreeSet<Capability>>,
    created_at: Moment,
    expires_at: Moment,
    revoked_at: Option<Moment>,
    last_used_at: Option<Moment>,
}

impl ShownToken {
    fn of(row: ApiTokenRow, longest_secs: Option<i64>) -> Self {
        Self {
            id: row.id,
            name: row.name,
            permissions: row.only,
            created_at: row.created_at.into(),
            expires_at: longest_secs.map_or(row.expires_at, |secs| row.expires_at.min(row.created_at.plus_secs(secs))).into(),
            revoked_at: row.revoked_at.map(Moment),
            last_used_at: row.last_used_at.map(Moment),
        }
    }
}
