//! Sets of roles under a name, and giving all of one in one step.

use std::collections::BTreeSet;

use axum::{Json, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    assignments::{BulkResult, change},
    extract::{Body, Path},
};
use crate::{
    admin::{
        assign::{LINES, Mode},
        role,
        role_set::{self, RoleSetError},
    },
    db::{self, role_set::RoleSetRow},
    domain::{
        assignment::{Holding, Reach},
        id::{AccountId, OrganizationId, RoleId, RoleSetId},
        name::Title,
    },
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::{
        action::{CreateRoles, DeleteRoles, GrantAssignments, ReadRoles},
        assigning::may_grant_something,
        places::authorize_for_tenant,
    },
    provision::assign::{Request, Wish},
};

const PATH: &str = "/api/v1/role-sets";

pub fn routes() -> Routes {
    Routes::chapter("Sets of roles", "Roles that are given together, under a name. What was given does not follow the set when that changes.")
        .document(
            Operation::get(PATH, "List the sets of roles").needs::<ReadRoles>().answers::<RoleSets>(StatusCode::OK, "All of them, by their names"),
            list,
        )
        .document(
            Operation::post(PATH, "Make a set of roles")
                .needs::<CreateRoles>()
                .takes::<NewRoleSet>()
                .answers::<RoleSet>(StatusCode::CREATED, "The set")
                .refuses(StatusCode::FORBIDDEN, &["beyond_own_rights"])
                .refuses(StatusCode::CONFLICT, &["role_set_name_taken", "too_many_role_sets"])
                .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["name", "roles"]),
            create,
        )
        .document(
            Operation::delete("/api/v1/role-sets/{id}", "Delete a set of roles")
                .about("What was given by it stays.")
                .needs::<DeleteRoles>()
                .answers_nothing("It is gone"),
            delete,
        )
        .document(
            Operation::post("/api/v1/role-sets/{id}/assignments", "Give all roles of a set")
                .about("To each of the accounts, at one organization. Each line is decided as in a bulk request of grants, the right to it too: lines that are refused say why and the others are written, unless `atomic` asks for all or none. Lines are accounts in the order of their ids, with each role in the order of the set.")
                .needs::<GrantAssignments>()
                .takes::<GivenSet>()
                .answers::<BulkResult>(StatusCode::OK, "What was done, or would be")
                .refuses(StatusCode::BAD_REQUEST, &["too_many"]),
            give,
        )
}

impl From<RoleSetError> for Problem {
    fn from(error: RoleSetError) -> Self {
        let detail = format!("{error}.");
        match error {
            RoleSetError::NotFound => Self::not_found(),
            RoleSetError::Size | RoleSetError::UnknownRole(_) => Self::unprocessable("roles", detail).at("roles"),
            RoleSetError::NameTaken(_) => Self::conflict("role_set_name_taken", detail).at("name"),
            RoleSetError::TooMany => Self::conflict("too_many_role_sets", detail),
            RoleSetError::Denied(denied) => denied.into(),
            RoleSetError::Db(error) => error.into(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct RoleSet {
    id: RoleSetId,
    name: String,
    /// Ids, in the order in which they are given.
    roles: BTreeSet<RoleId>,
}

impl From<RoleSetRow> for RoleSet {
    fn from(RoleSetRow { id, name, roles }: RoleSetRow) -> Self {
        Self { id, name: name.to_string(), roles }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct RoleSets {
    role_sets: Vec<RoleSet>,
}

async fn list(caller: Caller) -> Result<Json<RoleSets>, Problem> {
    role::may_read(&caller.actor, &caller.model)?;
    let rows = db::role_set::list_role_sets(caller.db(), caller.tenant).await?;
    Ok(Json(RoleSets { role_sets: rows.into_iter().map(RoleSet::from).collect() }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRoleSet {
    /// Unique among the sets of the tenant.
    name: String,
    /// Ids of 1 to 100 roles.
    roles: BTreeSet<RoleId>,
}

async fn create(ChangingCaller(caller): ChangingCaller, body: Body) -> Result<(StatusCode, Json<RoleSet>), Problem> {
    let grant = authorize_for_tenant::<CreateRoles>(&caller.actor, &caller.model)?;
    let sent: NewRoleSet = body.read()?;
    let name = Title::parse("the name", sent.name.trim());
    let name = name.map_err(|error| Problem::unprocessable("name", format!("{error}.")).at("name"))?;
    let row = role_set::create(&grant, caller.db(), &mut caller.occasion(), caller.tenant, name, sent.roles).await?;
    caller.committed();
    Ok((StatusCode::CREATED, Json(row.into())))
}

async fn delete(ChangingCaller(caller): ChangingCaller, Path(id): Path<RoleSetId>) -> Result<StatusCode, Problem> {
    let grant = authorize_for_tenant::<DeleteRoles>(&caller.actor, &caller.model)?;
    role_set::delete(&grant, caller.db(), &mut caller.occasion(), caller.tenant, id).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GivenSet {
    accounts: BTreeSet<AccountId>,
    organization: OrganizationId,
    /// The tenant's `default_reach` when it is left out.
    #[schema(value_type = Option<String>)]
    reach: Option<Reach>,
    /// Everything or nothing: one line that is refused, and none is written. False when it is left out: the others are written.
    #[serde(default)]
    atomic: bool,
    /// Says what would be done, and does nothing.
    #[serde(default)]
    preview: bool,
}

async fn give(ChangingCaller(caller): ChangingCaller, Path(id): Path<RoleSetId>, body: Body) -> Result<Json<BulkResult>, Problem> {
    may_grant_something(&caller.actor, &caller.model)?;
    let row = role_set::find(caller.db(), caller.tenant, id).await?;
    let sent: GivenSet = body.read()?;
    let reach = sent.reach.unwrap_or(caller.model.settings.default_reach);
    let request = |account: AccountId, role: RoleId| {
        let holding = Holding { role, organization: sent.organization, resource_scope: None, reach };
        Request { account, holding, wish: Wish::Grant { may_delegate: false } }
    };
    let lines = sent.accounts.len().saturating_mul(row.roles.len());
    if !(1..=LINES).contains(&lines) {
        let detail = format!("{} accounts with {} roles each: 1 to {LINES} grants are made at once.", sent.accounts.len(), row.roles.len());
        return Err(Problem::invalid("too_many", detail).at("accounts"));
    }
    let requests: Vec<Request> = sent.accounts.iter().flat_map(|account| row.roles.iter().map(|role| request(*account, *role))).collect();
    let mode = Mode::asked(sent.preview, sent.atomic);
    Ok(Json(BulkResult::of(&change(&caller, &requests, mode).await?)))
}
