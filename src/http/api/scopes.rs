//! Contexts and resources below an organization.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    extract::{Body, Path},
    organizations::store,
    precondition::{IfMatch, etag},
};
use crate::{
    admin::scope::{self, ScopeError},
    domain::{id::ScopeId, model::RoleModel, name::Title, organization::ResourceScope},
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::action::{ManageScopes, ReadScopes},
};

const PATH: &str = "/api/v1/organizations/{slug}/scopes";
const ONE: &str = "/api/v1/organizations/{slug}/scopes/{id}";

pub fn routes() -> Routes {
    Routes::chapter(
        "Contexts and resources",
        "Places below an organization in which a role is held without reaching any further. Their kinds are the preset's. Their version is \
         the organization's.",
    )
    .document(
        Operation::get(PATH, "List the contexts and resources of an organization")
            .needs::<ReadScopes>()
            .versioned()
            .answers::<ScopeList>(StatusCode::OK, "All of them, and the kinds that there are"),
        list,
    )
    .document(
        Operation::post(PATH, "Make a context or resource")
            .needs::<ManageScopes>()
            .takes::<New>()
            .versioned()
            .answers::<Shown>(StatusCode::CREATED, "It is made")
            .refuses(StatusCode::BAD_REQUEST, &["name"])
            .refuses(StatusCode::CONFLICT, &["name_taken"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["unknown_kind"]),
        create,
    )
    .document(
        Operation::patch(ONE, "Rename a context or resource")
            .needs::<ManageScopes>()
            .takes::<Patch>()
            .versioned()
            .answers::<Shown>(StatusCode::OK, "It as it is now")
            .refuses(StatusCode::BAD_REQUEST, &["name"])
            .refuses(StatusCode::CONFLICT, &["name_taken"]),
        rename,
    )
    .document(
        Operation::delete(ONE, "Delete a context or resource")
            .about("In which no assignment is held any more.")
            .needs::<ManageScopes>()
            .versioned()
            .answers_nothing("It is deleted")
            .refuses(StatusCode::CONFLICT, &["scope_in_use"]),
        delete,
    )
}

impl From<ScopeError> for Problem {
    fn from(error: ScopeError) -> Self {
        let detail = format!("{error}.");
        match error {
            ScopeError::NotFound => Self::not_found(),
            ScopeError::UnknownKind { .. } => Self::unprocessable("unknown_kind", detail).at("kind"),
            ScopeError::NameTaken { .. } => Self::conflict("name_taken", detail).at("name"),
            ScopeError::Stale => Self::stale(),
            ScopeError::InUse(_) => Self::conflict("scope_in_use", detail),
            ScopeError::Db(error) => error.into(),
        }
    }
}

async fn list(caller: Caller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<ReadScopes>(&slug)?;
    let kinds = caller.model.settings.scope_kinds.iter();
    let kinds = kinds.map(|kind| Choice { kind: kind.key.clone(), class: kind.kind.clone(), name: kind.name.clone() });
    let (scopes, version) = scope::list(&grant, store(&caller)).await?;
    let scopes = scopes.iter().map(|scope| Shown::of(scope, &caller.model));
    let body = ScopeList { scopes: scopes.collect(), kinds: kinds.collect() };
    Ok(([etag(version)], [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewScope)]
#[serde(deny_unknown_fields)]
struct New {
    /// One of the kinds of the list, such as `sign_in`.
    kind: String,
    /// Up to 256 characters.
    name: String,
}

async fn create(
    ChangingCaller(caller): ChangingCaller,
    Path(slug): Path<String>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<ManageScopes>(&slug)?;
    let sent: New = body.read()?;
    let name = title(&sent.name)?;
    let (made, version) = scope::create(&grant, store(&caller), &mut caller.occasion(), &precondition, &sent.kind, name).await?;
    caller.committed();
    Ok((StatusCode::CREATED, [etag(version)], Json(Shown::of(&made, &caller.model))).into_response())
}

#[derive(Deserialize, ToSchema)]
#[schema(as = ScopePatch)]
#[serde(deny_unknown_fields)]
struct Patch {
    name: String,
}

async fn rename(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, ScopeId)>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<ManageScopes>(&slug)?;
    let sent: Patch = body.read()?;
    let name = title(&sent.name)?;
    let (scope, version) = scope::rename(&grant, store(&caller), &mut caller.occasion(), &precondition, id, name).await?;
    caller.committed();
    Ok(([etag(version)], Json(Shown::of(&scope, &caller.model))).into_response())
}

async fn delete(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, ScopeId)>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<ManageScopes>(&slug)?;
    let version = scope::delete(&grant, store(&caller), &mut caller.occasion(), &precondition, id).await?;
    caller.committed();
    Ok((StatusCode::NO_CONTENT, [etag(version)]).into_response())
}

fn title(text: &str) -> Result<Title, Problem> {
    Title::parse("name", text).map_err(|error| Problem::invalid("name", format!("{error}.")).at("name"))
}

#[derive(Serialize, ToSchema)]
struct ScopeList {
    scopes: Vec<Shown>,
    kinds: Vec<Choice>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ScopeKind)]
struct Choice {
    kind: String,
    /// `context` or `resource`.
    class: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Scope)]
struct Shown {
    id: ScopeId,
    kind: String,
    /// `context` or `resource`.
    class: String,
    name: String,
}

impl Shown {
    fn of(scope: &ResourceScope, model: &RoleModel) -> Self {
        let class = model.settings.class_of_scope(&scope.kind).to_owned();
        Self { id: scope.id, kind: scope.kind.clone(), class, name: scope.name.to_string() }
    }
}
