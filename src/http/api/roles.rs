//! Roles: looking at them takes `roles.read` anywhere, changing them the right at the root, because they belong to the tenant.

use std::collections::BTreeSet;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    accounts::ShownAccount,
    assignments::{LineResult, ShownAssignment, list_shown},
    extract::{Body, Path, Query},
    paging::{ListParameters, Page, PageParameters, Paged},
    precondition::{IfMatch, etag},
};
use crate::{
    admin::{
        self, person,
        role::{self, RoleError, Shown},
        role_use,
    },
    db,
    domain::{
        id::{AccountId, AssignmentId, OrganizationId, RoleId},
        role::{ManagedGroups, ManagedRoles, Role},
    },
    http::{
        caller::api::{Caller, ChangingCaller},
        error::{Kind, Problem},
        operation::Operation,
        routes::Routes,
    },
    policy::{
        action::{CreateRoles, DeleteRoles, ReadAccounts, ReadAssignments, ReadRoles, UpdateRoles},
        places::{Places, authorize_for_tenant, places},
        role_change::{self, Draft, RoleRefusal},
    },
};

const PATH: &str = "/api/v1/roles";
const ONE: &str = "/api/v1/roles/{id}";

/// What may be wrong with what a role shall be.
const UNPROCESSABLE: &[&str] = &[
    "name_required",
    "name",
    "description",
    "permission",
    "unknown_permission",
    "role_needs_permission",
    "owner_only",
    "wrong_scope_kind",
    "unknown_managed_role",
    "unknown_managed_group",
    "managed_roles",
    "managed_groups",
    "fixed_field",
    "scope_kind",
    "auto_assign",
];

pub fn routes() -> Routes {
    Routes::chapter(
        "Roles",
        "Permissions under a name. Roles belong to the tenant, not to one organization: who may look at them anywhere sees all of them, and they are changed at the root. Roles of the preset cannot be changed; a clone of one can.",
    )
    .document(
        Operation::get(PATH, "List roles")
            .about("In the order of their names; `search` finds a part of the name or of the description, without case.")
            .needs::<ReadRoles>()
            .pages::<RoleParameters>()
            .answers::<Paged<ShownRole>>(StatusCode::OK, "A page of roles"),
        list,
    )
    .document(
        Operation::post(PATH, "Make a role")
            .needs::<CreateRoles>()
            .takes::<NewRole>()
            .tagged()
            .answers::<ShownRole>(StatusCode::CREATED, "It can be assigned now")
            .refuses(StatusCode::FORBIDDEN, &["custom_roles_off"])
            .refuses(StatusCode::CONFLICT, &["role_name_taken"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, UNPROCESSABLE),
        create,
    )
    .document(
        Operation::get(ONE, "Show a role")
            .needs::<ReadRoles>()
            .versioned()
            .answers::<ShownRole>(StatusCode::OK, "The role"),
        get,
    )
    .document(
        Operation::patch(ONE, "Edit a role")
            .about("Members that are left out stay as they are. When it takes effect on those signed in, the tenant's `role_change_effect` says.")
            .needs::<UpdateRoles>()
            .takes::<RoleEdit>()
            .versioned()
            .answers::<ShownRole>(StatusCode::OK, "As it is now")
            .refuses(StatusCode::FORBIDDEN, &["system_role", "locked_field", "own_role"])
            .refuses(StatusCode::CONFLICT, &["role_name_taken"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, UNPROCESSABLE),
        edit,
    )
    .document(
        Operation::delete(ONE, "Delete a role")
            .about("One that nobody holds and no rule or default mapping names. The refusal has the members `assignments`, `holders`, `rules` and `defaults`, as far as the caller may see them; `others` says that there is more.")
            .needs::<DeleteRoles>()
            .versioned()
            .answers_nothing("It is gone")
            .refuses(StatusCode::FORBIDDEN, &["system_role"])
            .refuses(StatusCode::CONFLICT, &["role_in_use"]),
        delete,
    )
    .document(
        Operation::post("/api/v1/roles/{id}/clone", "Clone a role")
            .about("The clone is yours to edit: it is no role of the preset, makes nobody an owner, names nothing that is an owner's alone, and is for people. `dropped` says what of it the clone does not have.")
            .needs::<CreateRoles>()
            .may_take::<CloneName>()
            .tagged()
            .answers::<ClonedRole>(StatusCode::CREATED, "The clone")
            .refuses(StatusCode::FORBIDDEN, &["custom_roles_off"])
            .refuses(StatusCode::CONFLICT, &["role_name_taken"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, UNPROCESSABLE),
        clone,
    )
    .document(
        Operation::post("/api/v1/roles/{id}/replacement", "Move the holders of a role to another one and delete it")
            .about("Two steps: without `plan` it says what would be done and names it, with that `plan` it does exactly this, or nothing. Rules and default mappings that name the role are changed first.")
            .needs::<DeleteRoles>()
            .takes::<ReplacementRequest>()
            .answers::<ShownReplacement>(StatusCode::OK, "What would be done, or was")
            .refuses(StatusCode::FORBIDDEN, &["system_role"])
            .refuses(StatusCode::CONFLICT, &["role_in_use", "too_many_holders"])
            .refuses(StatusCode::PRECONDITION_FAILED, &["plan_stale"]),
        replace,
    )
    .document(
        Operation::get("/api/v1/roles/{id}/assignments", "List the assignments of a role")
            .needs::<ReadAssignments>()
            .pages::<PageParameters>()
            .answers::<Paged<ShownAssignment>>(StatusCode::OK, "A page of those at organizations where the caller may look"),
        assignments,
    )
    .document(
        Operation::get("/api/v1/roles/{id}/lacking", "List the accounts that a role does not reach at an organization")
            .about("Neither assigned there nor above it with reach `subtree`.")
            .needs::<ReadAccounts>()
            .pages::<LackingParameters>()
            .answers::<Paged<ShownAccount>>(StatusCode::OK, "A page of accounts that the caller sees")
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["tenant_mismatch"]),
        lacking,
    )
}

impl From<RoleRefusal> for Problem {
    fn from(refusal: RoleRefusal) -> Self {
        let kind = match &refusal {
            RoleRefusal::System(_) | RoleRefusal::Locked { .. } | RoleRefusal::CustomRolesOff | RoleRefusal::OwnRole => Kind::Forbidden,
            RoleRefusal::NameTaken(_) => Kind::Conflict,
            RoleRefusal::NameRequired
            | RoleRefusal::Name(_)
            | RoleRefusal::DescriptionTooLong
            | RoleRefusal::Permission(_)
            | RoleRefusal::Fault(_)
            | RoleRefusal::UnknownManagedRole(_)
            | RoleRefusal::UnknownManagedGroup(_)
            | RoleRefusal::Fixed { .. }
            | RoleRefusal::UnknownScopeKind(_)
            | RoleRefusal::NotByJoining(_) => Kind::Unprocessable,
        };
        let problem = Self::new(kind, refusal.code(), format!("{refusal}."));
        match refusal.field() {
            Some(field) => problem.at(field),
            None => problem,
        }
    }
}

impl From<RoleError> for Problem {
    fn from(error: RoleError) -> Self {
        match error {
            RoleError::NotFound => Self::not_found(),
            RoleError::Refused(refusal) => refusal.into(),
            RoleError::Denied(denied) => denied.into(),
            RoleError::InUse(usage) => Self::conflict("role_in_use", format!("{usage}.")).with(&*usage),
            RoleError::TooManyHolders(_) => Self::conflict("too_many_holders", format!("{error}.")),
            RoleError::PlanStale => Self::new(Kind::PreconditionFailed, "plan_stale", format!("{error}.")).at("plan"),
            RoleError::Provision(error) => error.into(),
            RoleError::Db(error) => error.into(),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RoleParameters {
    /// A part of the name or of the description.
    search: Option<String>,
    /// How many rows at most: 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

async fn list(caller: Caller, Query(sent): Query<RoleParameters>) -> Result<Json<Paged<ShownRole>>, Problem> {
    let places = role::may_read(&caller.actor, &caller.model)?;
    let name = format!("roles {}", sent.search.as_deref().unwrap_or_default());
    let page: Page<(String, RoleId)> = Page::read(&caller, &name, &ListParameters::of(sent.limit, sent.cursor), &[])?;
    let mut rows = role::list(&places, &held_at(&caller), caller.db(), caller.tenant, sent.search.as_deref()).await?;
    let position = |shown: &Shown| (shown.row.role.name.key(), shown.row.role.id);
    if let Some(after) = &page.after {
        rows.retain(|shown| position(shown) > *after);
    }
    rows.truncate(usize::try_from(page.ask()).unwrap_or(usize::MAX));
    Ok(Json(page.finish(&caller, rows, position, |shown| ShownRole::of(&caller, &shown))))
}

/// Where the caller may look at who holds a role.
fn held_at(caller: &Caller) -> Places {
    places::<ReadAssignments>(&caller.actor, &caller.model).unwrap_or_else(|_| Places::Only(BTreeSet::new()))
}

async fn get(caller: Caller, Path(id): Path<RoleId>) -> Result<Response, Problem> {
    let places = role::may_read(&caller.actor, &caller.model)?;
    Ok(answer(&caller, StatusCode::OK, &role::get(&places, &held_at(&caller), caller.db(), caller.tenant, id).await?))
}

fn answer(caller: &Caller, status: StatusCode, shown: &Shown) -> Response {
    (status, [etag(shown.row.version)], Json(ShownRole::of(caller, shown))).into_response()
}

/// All, or some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
enum Managed {
    /// `all`, or of groups also `own`: those that the holder is a member of.
    Word(String),
    /// Ids. `@none` stands for accounts without a role or without a group; of groups, `@own` stands for those of the holder.
    Only(Vec<String>),
}

impl Managed {
    fn roles(self) -> Result<ManagedRoles, Problem> {
        match self {
            Self::Word(word) if word == "all" => Ok(ManagedRoles::All),
            Self::Word(_) => {
                Err(Problem::unprocessable("managed_roles", "managed_roles is \"all\" or a list of role ids, which may hold \"@none\".")
                    .at("managed_roles"))
            }
            Self::Only(ids) => Ok(ManagedRoles::Only(ids)),
        }
    }

    fn groups(self) -> Result<ManagedGroups, Problem> {
        match self {
            Self::Word(word) if word == "all" => Ok(ManagedGroups::All),
            Self::Word(word) if word == "own" => Ok(ManagedGroups::Own),
            Self::Word(_) => Err(Problem::unprocessable(
                "managed_groups",
                "managed_groups is \"all\", \"own\" or a list of group ids, which may hold \"@own\" and \"@none\".",
            )
            .at("managed_groups")),
            Self::Only(ids) => Ok(ManagedGroups::Only(ids)),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRole {
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    /// Pairs such as `organizations:create`, or selectors: `entity:*`, `*:read`, `*:*`. At least one.
    #[serde(default)]
    permissions: Vec<String>,
    /// Whom a holder manages; all when it is left out.
    managed_roles: Option<Managed>,
    managed_groups: Option<Managed>,
    /// Everybody gets it who first joins an organization, there.
    #[serde(default)]
    auto_assign_on_join: bool,
    /// The first one gets it who joins an organization, there.
    #[serde(default)]
    auto_assign_first_user: bool,
    /// Only for accounts at home in the root organization.
    #[serde(default)]
    root_only: bool,
    /// `context` or `resource`: it is held in one. Left out: at organizations.
    scope_kind: Option<String>,
}

async fn create(ChangingCaller(caller): ChangingCaller, body: Body) -> Result<Response, Problem> {
    let grant = authorize_for_tenant::<CreateRoles>(&caller.actor, &caller.model)?;
    let sent: NewRole = body.read()?;
    let draft = Draft {
        name: Some(sent.name),
        description: Some(sent.description),
        permissions: Some(sent.permissions),
        managed_roles: sent.managed_roles.map(Managed::roles).transpose()?,
        managed_groups: sent.managed_groups.map(Managed::groups).transpose()?,
        auto_assign_on_join: Some(sent.auto_assign_on_join),
        auto_assign_first_user: Some(sent.auto_assign_first_user),
        root_only: Some(sent.root_only),
        scope_kind: sent.scope_kind,
    };
    let made = role::create(&grant, caller.db(), &mut caller.occasion(), caller.tenant, &draft).await?;
    caller.committed();
    Ok(answer(&caller, StatusCode::CREATED, &made))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct RoleEdit {
    name: Option<String>,
    description: Option<String>,
    /// The whole list: what it does not name the role loses.
    permissions: Option<Vec<String>>,
    managed_roles: Option<Managed>,
    managed_groups: Option<Managed>,
    auto_assign_on_join: Option<bool>,
    auto_assign_first_user: Option<bool>,
    /// As it was made.
    root_only: Option<bool>,
    /// As it was made.
    scope_kind: Option<String>,
}

async fn edit(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<RoleId>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let grant = authorize_for_tenant::<UpdateRoles>(&caller.actor, &caller.model)?;
    let sent: RoleEdit = body.read()?;
    let draft = Draft {
        name: sent.name,
        description: sent.description,
        permissions: sent.permissions,
        managed_roles: sent.managed_roles.map(Managed::roles).transpose()?,
        managed_groups: sent.managed_groups.map(Managed::groups).transpose()?,
        auto_assign_on_join: sent.auto_assign_on_join,
        auto_assign_first_user: sent.auto_assign_first_user,
        root_only: sent.root_only,
        scope_kind: sent.scope_kind,
    };
    let edited = role::edit(&grant, caller.db(), &mut caller.occasion(), caller.tenant, id, precondition, &draft).await?;
    caller.committed();
    Ok(answer(&caller, StatusCode::OK, &edited))
}

async fn delete(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<RoleId>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    let grant = authorize_for_tenant::<DeleteRoles>(&caller.actor, &caller.model)?;
    role::delete(&grant, caller.db(), &mut caller.occasion(), caller.tenant, id, precondition).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct CloneName {
    /// The name of the original and " Copy" when it is left out, then " Copy 2" and so on.
    name: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ClonedRole {
    role: ShownRole,
    /// What of the original the clone does not have, and why.
    dropped: Vec<String>,
}

async fn clone(ChangingCaller(caller): ChangingCaller, Path(id): Path<RoleId>, body: Body) -> Result<Response, Problem> {
    let grant = authorize_for_tenant::<CreateRoles>(&caller.actor, &caller.model)?;
    let sent: CloneName = body.read_or_default()?;
    let (made, dropped) = role::clone(&grant, caller.db(), &mut caller.occasion(), caller.tenant, id, sent.name.as_deref()).await?;
    caller.committed();
    let body = ClonedRole { role: ShownRole::of(&caller, &made), dropped };
    Ok((StatusCode::CREATED, [etag(made.row.version)], Json(body)).into_response())
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplacementRequest {
    /// The role that the holders get instead.
    by: RoleId,
    /// What the first step answered; left out: nothing is changed.
    plan: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Replacement)]
struct ShownReplacement {
    /// Names what would be done, for the second step.
    plan: String,
    /// Whether it was done.
    applied: bool,
    /// Of assignments that the caller may see.
    moves: Vec<ShownMove>,
    /// Whether assignments that the caller may not see are moved too.
    others: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Move)]
struct ShownMove {
    assignment: AssignmentId,
    account: AccountId,
    user_name: String,
    /// The slug.
    organization: String,
    result: LineResult,
}

async fn replace(ChangingCaller(caller): ChangingCaller, Path(id): Path<RoleId>, body: Body) -> Result<Json<ShownReplacement>, Problem> {
    let grant = authorize_for_tenant::<DeleteRoles>(&caller.actor, &caller.model)?;
    let sent: ReplacementRequest = body.read()?;
    let done = role_use::replace(&grant, caller.db(), &mut caller.occasion(), caller.tenant, (id, sent.by), sent.plan.as_deref()).await?;
    if done.applied {
        caller.committed();
    }
    let moves = done.moves.into_iter().enumerate().map(|(at, one)| ShownMove {
        assignment: one.holding.id,
        account: one.holding.account,
        user_name: one.holding.user_name,
        organization: one.holding.organization_slug,
        result: LineResult::of(at, &one.outcome),
    });
    Ok(Json(ShownReplacement { plan: done.plan, applied: done.applied, moves: moves.collect(), others: done.others }))
}

async fn assignments(
    caller: Caller,
    Path(id): Path<RoleId>,
    Query(sent): Query<PageParameters>,
) -> Result<Json<Paged<ShownAssignment>>, Problem> {
    let asked = db::assignment_list::Asked { role: Some(id), ..Default::default() };
    list_shown(&caller, &format!("assignments of role {id}"), sent, asked, caller.model.role(id).is_some()).await.map(Json)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LackingParameters {
    /// Where.
    #[param(value_type = String)]
    organization: OrganizationId,
    /// How many rows at most: 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

async fn lacking(
    caller: Caller,
    Path(id): Path<RoleId>,
    Query(sent): Query<LackingParameters>,
) -> Result<Json<Paged<ShownAccount>>, Problem> {
    let places = person::may_read(&caller.actor, &caller.model)?;
    admin::role::may_read(&caller.actor, &caller.model)?;
    let at = sent.organization;
    if caller.model.role(id).is_none() {
        return Err(Problem::not_found());
    }
    if caller.model.organizations.find(at).is_none() {
        return Err(Problem::unprocessable("tenant_mismatch", "The organization is not one of this tenant.").at("organization"));
    }
    let name = format!("lacking {id} {at}");
    let page: Page<AccountId> = Page::read(&caller, &name, &ListParameters::of(sent.limit, sent.cursor), &[])?;
    let rows = person::list_lacking(&places, caller.db(), &caller.model, (id, at), page.after, page.ask()).await?;
    Ok(Json(page.finish(&caller, rows, |row| row.id, |row| ShownAccount::of(&caller, &places, row))))
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Role)]
#[expect(clippy::struct_excessive_bools, reason = "the properties of a role, as in `domain::role::Role`")]
pub struct ShownRole {
    id: RoleId,
    name: String,
    description: String,
    /// As they were written: pairs and selectors.
    permissions: Vec<String>,
    /// Of the preset; cannot be changed.
    system: bool,
    /// Opens every capability within its reach.
    owner_class: bool,
    root_only: bool,
    machine_only: bool,
    locked_fields: Vec<String>,
    managed_roles: Managed,
    managed_groups: Managed,
    auto_assign_on_join: bool,
    auto_assign_first_user: bool,
    scope_kind: Option<String>,
    /// How many accounts hold it where the caller may look at assignments; null where that is nowhere.
    holders: Option<i64>,
    /// A tenant file made it, and will bring it back as it is there.
    from_file: bool,
    /// What it does not do although it names it.
    notices: Vec<String>,
}

impl ShownRole {
    fn of(caller: &Caller, shown: &Shown) -> Self {
        let role: &Role = &shown.row.role;
        Self {
            id: role.id,
            name: role.name.to_string(),
            description: role.description.clone(),
            permissions: role.permissions.iter().map(ToString::to_string).collect(),
            system: role.system,
            owner_class: role.owner_class,
            root_only: role.root_only,
            machine_only: role.machine_only,
            locked_fields: role.locked_fields.clone(),
            managed_roles: match &role.managed_roles {
                ManagedRoles::All => Managed::Word("all".to_owned()),
                ManagedRoles::Only(ids) => Managed::Only(ids.clone()),
            },
            managed_groups: match &role.managed_groups {
                ManagedGroups::All => Managed::Word("all".to_owned()),
                ManagedGroups::Own => Managed::Word("own".to_owned()),
                ManagedGroups::Only(ids) => Managed::Only(ids.clone()),
            },
            auto_assign_on_join: role.auto_assign_on_join,
            auto_assign_first_user: role.auto_assign_first_user,
            scope_kind: role.scope_kind.clone(),
            holders: places::<ReadAssignments>(&caller.actor, &caller.model).is_ok().then_some(shown.holders),
            from_file: shown.row.from_file,
            notices: role_change::notices(&caller.model, role),
        }
    }
}
