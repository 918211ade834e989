//! Groups: those of directories, which are looked at, and local ones, which people keep.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    extract::{Body, Path, Query},
    paging::{Page, PageParameters, Paged},
    precondition::{IfMatch, etag},
};
use crate::{
    db::{self, Tx, local_group::ListedGroup},
    domain::{
        id::{AccountId, GroupId, OrganizationId},
        model::RoleModel,
        name::Title,
    },
    http::{
        caller::api::{Caller, ChangingCaller},
        error::{Kind, Problem},
        operation::Operation,
        routes::Routes,
    },
    policy::{
        action::{ReadGroups, UpdateGroups},
        places::{Places, places},
    },
    provision::{
        current_model,
        local_group::{self, GroupError},
    },
};

const PATH: &str = "/api/v1/groups";
const ONE: &str = "/api/v1/groups/{id}";
const MEMBERS: &str = "/api/v1/groups/{id}/members";
/// Members that one request adds and removes.
const MEMBERS_AT_ONCE: usize = 1000;

pub fn routes() -> Routes {
    Routes::chapter(
        "Groups",
        "Groups of directories are kept over SCIM and looked at here; local ones are kept here. Roles can be limited to the members of some groups.",
    )
    .document(
        Operation::get(PATH, "List groups")
            .needs::<ReadGroups>()
            .pages::<PageParameters>()
            .answers::<Paged<ShownGroup>>(StatusCode::OK, "A page of those at organizations where the caller may look"),
        list,
    )
    .document(
        Operation::post(PATH, "Make a local group")
            .needs::<UpdateGroups>()
            .takes::<NewGroup>()
            .tagged()
            .answers::<ShownGroup>(StatusCode::CREATED, "It is empty")
            .refuses(StatusCode::CONFLICT, &["group_name_taken"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["name", "tenant_mismatch"]),
        create,
    )
    .document(Operation::get(ONE, "Show a group").needs::<ReadGroups>().versioned().answers::<ShownGroup>(StatusCode::OK, "The group"), get)
    .document(
        Operation::patch(ONE, "Rename a local group")
            .needs::<UpdateGroups>()
            .takes::<GroupName>()
            .versioned()
            .answers::<ShownGroup>(StatusCode::OK, "As it is now")
            .refuses(StatusCode::FORBIDDEN, &["out_of_reach"])
            .refuses(StatusCode::CONFLICT, &["group_name_taken", "externally_managed"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["name"]),
        rename,
    )
    .document(
        Operation::delete(ONE, "Delete a local group")
            .needs::<UpdateGroups>()
            .versioned()
            .answers_nothing("It is gone")
            .refuses(StatusCode::FORBIDDEN, &["out_of_reach"])
            .refuses(StatusCode::CONFLICT, &["externally_managed"]),
        delete,
    )
    .document(
        Operation::get(MEMBERS, "List the members of a group")
            .about("Those who are in it directly.")
            .needs::<ReadGroups>()
            .pages::<PageParameters>()
            .answers::<Paged<ShownMember>>(StatusCode::OK, "A page of them"),
        members,
    )
    .document(
        Operation::post(MEMBERS, "Add and remove members of a local group")
            .about("Accounts that the caller sees and whose roles and groups the caller's role manages, as it has to manage the group; all of them or none. Nobody but an owner adds or removes themselves.")
            .needs::<UpdateGroups>()
            .takes::<MemberChange>()
            .versioned()
            .answers::<ShownGroup>(StatusCode::OK, "As it is now")
            .refuses(StatusCode::BAD_REQUEST, &["too_many"])
            .refuses(StatusCode::FORBIDDEN, &["out_of_reach", "own_account"])
            .refuses(StatusCode::CONFLICT, &["externally_managed"])
            .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["tenant_mismatch"]),
        change_members,
    )
}

impl From<GroupError> for Problem {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NotFound => Self::not_found(),
            GroupError::Denied(denied) => denied.into(),
            GroupError::MemberDenied { denied, account } => Self::from(denied).at(account.to_string()),
            GroupError::OwnAccount => Self::new(Kind::Forbidden, "own_account", format!("{error}.")),
            GroupError::NameTaken => Self::conflict("group_name_taken", format!("{error}.")).at("name"),
            GroupError::Stale => Self::stale(),
            GroupError::UnknownAccounts(_) => Self::unprocessable("tenant_mismatch", format!("{error}.")),
            GroupError::Provision(error) => error.into(),
        }
    }
}

async fn list(caller: Caller, Query(sent): Query<PageParameters>) -> Result<Json<Paged<ShownGroup>>, Problem> {
    let seen = places::<ReadGroups>(&caller.actor, &caller.model)?;
    let page: Page<GroupId> = Page::read(&caller, "groups", &sent.into(), &[])?;
    let rows = db::local_group::list_groups(caller.db(), caller.tenant, &seen, None, page.after, page.ask()).await?;
    Ok(Json(page.finish(&caller, rows, |row| row.id, |row| ShownGroup::of(&caller, row))))
}

/// One that the caller sees.
async fn find(caller: &Caller, id: GroupId) -> Result<ListedGroup, Problem> {
    let seen = places::<ReadGroups>(&caller.actor, &caller.model)?;
    find_at(caller, &seen, id).await
}

async fn find_at(caller: &Caller, seen: &Places, id: GroupId) -> Result<ListedGroup, Problem> {
    let rows = db::local_group::list_groups(caller.db(), caller.tenant, seen, Some(id), None, 1).await?;
    rows.into_iter().next().ok_or_else(Problem::not_found)
}

/// One that the caller sees or may change, and that no directory keeps.
async fn find_local(caller: &Caller, id: GroupId) -> Result<(), Problem> {
    let may_change = places::<UpdateGroups>(&caller.actor, &caller.model)?;
    let seen = places::<ReadGroups>(&caller.actor, &caller.model).unwrap_or(may_change);
    match find_at(caller, &seen, id).await?.connection {
        None => Ok(()),
        Some(connection) => {
            let detail = format!("The group is kept by the connection {connection}: change it at the identity provider.");
            Err(Problem::conflict("externally_managed", detail))
        }
    }
}

async fn get(caller: Caller, Path(id): Path<GroupId>) -> Result<Response, Problem> {
    Ok(answer(&caller, StatusCode::OK, find(&caller, id).await?))
}

fn answer(caller: &Caller, status: StatusCode, row: ListedGroup) -> Response {
    (status, [etag(row.version)], Json(ShownGroup::of(caller, row))).into_response()
}

async fn begin(caller: &Caller) -> Result<(Tx, std::sync::Arc<RoleModel>), Problem> {
    let mut tx = caller.db().begin().await?;
    let model = current_model(&mut tx, &caller.app.published, caller.tenant).await?;
    Ok((tx, model))
}

async fn finish(caller: &Caller, tx: Tx) -> Result<(), Problem> {
    tx.commit().await?;
    caller.committed();
    Ok(())
}

/// As it was just written: who may change a group may see what they made of it.
async fn written(caller: &Caller, status: StatusCode, id: GroupId) -> Result<Response, Problem> {
    Ok(answer(caller, status, find_at(caller, &Places::Everywhere, id).await?))
}

fn title(name: &str) -> Result<Title, Problem> {
    Title::parse("the name", name.trim()).map_err(|error| Problem::unprocessable("name", format!("{error}.")).at("name"))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    /// Unique among the local groups of the organization.
    name: String,
    organization: OrganizationId,
}

async fn create(ChangingCaller(caller): ChangingCaller, body: Body) -> Result<Response, Problem> {
    places::<UpdateGroups>(&caller.actor, &caller.model)?;
    let sent: NewGroup = body.read()?;
    let known = caller.model.organizations.find(sent.organization).map(|organization| organization.id);
    caller.authorize_named::<UpdateGroups, ReadGroups>(known, || {
        Problem::unprocessable("tenant_mismatch", "The organization is not one of this tenant.").at("organization")
    })?;
    let name = title(&sent.name)?;
    let (mut tx, model) = begin(&caller).await?;
    let id = local_group::create(&mut tx, &model, &mut caller.occasion(), sent.organization, name).await?;
    finish(&caller, tx).await?;
    written(&caller, StatusCode::CREATED, id).await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupName {
    name: String,
}

async fn rename(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<GroupId>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    find_local(&caller, id).await?;
    let sent: GroupName = body.read()?;
    let name = title(&sent.name)?;
    let (mut tx, model) = begin(&caller).await?;
    local_group::rename(&mut tx, &model, &mut caller.occasion(), id, precondition, name).await?;
    finish(&caller, tx).await?;
    written(&caller, StatusCode::OK, id).await
}

async fn delete(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<GroupId>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    find_local(&caller, id).await?;
    let (mut tx, model) = begin(&caller).await?;
    local_group::delete(&mut tx, &model, &mut caller.occasion(), id, precondition).await?;
    finish(&caller, tx).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn members(caller: Caller, Path(id): Path<GroupId>, Query(sent): Query<PageParameters>) -> Result<Json<Paged<ShownMember>>, Problem> {
    find(&caller, id).await?;
    let page: Page<AccountId> = Page::read(&caller, &format!("members of {id}"), &sent.into(), &[])?;
    let rows = db::local_group::list_members(caller.db(), caller.tenant, id, page.after, page.ask()).await?;
    Ok(Json(page.finish(&caller, rows, |(id, _)| *id, |(id, user_name)| ShownMember { id, user_name })))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct MemberChange {
    add: Vec<AccountId>,
    remove: Vec<AccountId>,
}

async fn change_members(
    ChangingCaller(caller): ChangingCaller,
    Path(id): Path<GroupId>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    find_local(&caller, id).await?;
    let sent: MemberChange = body.read()?;
    if sent.add.len() + sent.remove.len() > MEMBERS_AT_ONCE {
        return Err(Problem::invalid("too_many", format!("One request changes up to {MEMBERS_AT_ONCE} members: split it.")));
    }
    let (mut tx, model) = begin(&caller).await?;
    local_group::change_members(&mut tx, &model, &mut caller.occasion(), id, precondition, &sent.add, &sent.remove).await?;
    finish(&caller, tx).await?;
    written(&caller, StatusCode::OK, id).await
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
struct ShownGroup {
    id: GroupId,
    name: String,
    /// The slug.
    organization: Option<String>,
    /// The slug of the connection that keeps it; null: it is local.
    connection: Option<String>,
    /// How many are in it directly.
    members: i64,
}

impl ShownGroup {
    fn of(caller: &Caller, row: ListedGroup) -> Self {
        let organization = caller.model.organizations.find(row.organization);
        Self {
            id: row.id,
            name: row.name,
            organization: organization.map(|organization| organization.slug.to_string()),
            connection: row.connection,
            members: row.members,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupMember)]
struct ShownMember {
    id: AccountId,
    user_name: String,
}
