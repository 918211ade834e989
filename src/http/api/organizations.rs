//! The tree of organizations.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    extract::{Body, Path, Query},
    organization_moves::{DENIED, TOO_MANY},
    paging::{Page, PageParameters, Paged},
    precondition::{IfMatch, etag},
    value::Moment,
};
use crate::{
    admin::organization::{self, Changed, Move, OrganizationError, Store},
    db::organization::VersionedOrganization,
    domain::{
        id::OrganizationId,
        model::RoleModel,
        name::{Slug, Title},
        organization::{Misplaced, Organization},
    },
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::{
        access::Grant,
        action::{Action, CreateOrganizations, DeleteOrganizations, ReadOrganizations, UpdateOrganizations},
        places::places,
    },
};

const PATH: &str = "/api/v1/organizations";
pub(super) const ONE: &str = "/api/v1/organizations/{slug}";

pub fn routes() -> Routes {
    Routes::chapter("Organizations", "The tree of organizations of the tenant: one root, up to 16 levels.")
        .document(
            Operation::get(PATH, "List the organizations")
                .about("Those that the caller may see, in the order of their making; `parent` makes a tree of them.")
                .needs::<ReadOrganizations>()
                .pages::<PageParameters>()
                .answers::<Paged<Node>>(StatusCode::OK, "A page of organizations"),
            list,
        )
        .document(
            Operation::post(PATH, "Make an organization")
                .about("It hangs below `parent`, where the right is asked for. The tenant's switch `self_service_registration` must be on.")
                .needs::<CreateOrganizations>()
                .takes::<New>()
                .tagged()
                .answers::<Shown>(StatusCode::CREATED, "It is made")
                .refuses(StatusCode::BAD_REQUEST, &["slug", "name"])
                .refuses(StatusCode::CONFLICT, &["slug_taken", "self_service_registration_off"])
                .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["unknown_organization", "too_deep"]),
            create,
        )
        .document(
            Operation::get(ONE, "Show an organization")
                .needs::<ReadOrganizations>()
                .versioned()
                .answers::<Shown>(StatusCode::OK, "The organization"),
            get,
        )
        .document(
            Operation::patch(ONE, "Rename or move an organization")
                .about("What is left out stays. A move needs the right at the organization, at its parent and at the new parent. It also needs the rights to everything that it changes by inheritance: see `move`, which previews it.")
                .needs::<UpdateOrganizations>()
                .takes::<Patch>()
                .versioned()
                .answers::<Shown>(StatusCode::OK, "The organization as it is now")
                .refuses(StatusCode::BAD_REQUEST, &["slug", "name"])
                .refuses(StatusCode::FORBIDDEN, DENIED)
                .refuses(StatusCode::CONFLICT, &["slug_taken", TOO_MANY])
                .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["unknown_organization", "too_deep", "below_itself", "root_organization"]),
            patch,
        )
        .document(
            Operation::delete(ONE, "Delete an organization")
                .about("In which there is nothing any more; the refusal counts what there is.")
                .needs::<DeleteOrganizations>()
                .versioned()
                .answers_nothing("It is deleted")
                .refuses(StatusCode::CONFLICT, &["organization_in_use"])
                .refuses(StatusCode::UNPROCESSABLE_ENTITY, &["root_organization"]),
            delete,
        )
}

impl From<OrganizationError> for Problem {
    fn from(error: OrganizationError) -> Self {
        let detail = format!("{error}.");
        match error {
            OrganizationError::NotFound => Self::not_found(),
            OrganizationError::Stale => Self::stale(),
            OrganizationError::SlugTaken(_) => Self::conflict("slug_taken", detail).at("slug"),
            OrganizationError::Misplaced(Misplaced::Root) => Self::unprocessable("root_organization", detail).at("parent"),
            OrganizationError::Misplaced(Misplaced::NoParent) => Self::unprocessable("unknown_organization", detail).at("parent"),
            OrganizationError::Misplaced(Misplaced::BelowItself) => Self::unprocessable("below_itself", detail).at("parent"),
            OrganizationError::Misplaced(Misplaced::TooDeep) => Self::unprocessable("too_deep", detail).at("parent"),
            OrganizationError::RegistrationOff => Self::conflict("self_service_registration_off", detail),
            OrganizationError::RootSlug => Self::unprocessable("root_organization", detail).at("slug"),
            OrganizationError::RootStays => Self::unprocessable("root_organization", detail),
            OrganizationError::InUse(_) => Self::conflict("organization_in_use", detail),
            OrganizationError::Relocation(error) => error.into(),
            OrganizationError::Db(error) => error.into(),
        }
    }
}

/// Of the caller's tenant; of another one's, nobody is told that it exists.
pub(super) fn find<'c>(caller: &'c Caller, slug: &str) -> Result<&'c Organization, Problem> {
    caller.model.organizations.find_slug(slug).ok_or_else(Problem::not_found)
}

pub(super) fn store(caller: &Caller) -> Store<'_> {
    Store { db: caller.db(), published: &caller.app.published, tenant: caller.tenant }
}

/// The right at the parent that the body names by its slug.
fn authorize_parent<A: Action>(caller: &Caller, slug: &str) -> Result<Grant<A>, Problem> {
    let found = caller.model.organizations.find_slug(slug).map(|organization| organization.id);
    caller.authorize_named::<A, ReadOrganizations>(found, || {
        let slug: String = slug.chars().take(80).collect();
        Problem::unprocessable("unknown_organization", format!("The tenant has no organization {slug:?}: name one by its slug."))
            .at("parent")
    })
}

fn slug(text: &str) -> Result<Slug, Problem> {
    Slug::parse(text).map_err(|error| Problem::invalid("slug", format!("{error}.")).at("slug"))
}

fn title(text: &str) -> Result<Title, Problem> {
    Title::parse("name", text).map_err(|error| Problem::invalid("name", format!("{error}.")).at("name"))
}

async fn list(caller: Caller, Query(sent): Query<PageParameters>) -> Result<Response, Problem> {
    let places = places::<ReadOrganizations>(&caller.actor, &caller.model)?;
    let page = Page::<OrganizationId>::read(&caller, "organizations", &sent.into(), &[])?;
    let most = usize::try_from(page.ask()).unwrap_or(usize::MAX);
    let seen = caller.model.organizations.iter().filter(|one| places.contains(one.id) && page.after.is_none_or(|after| one.id > after));
    let rows: Vec<_> = seen.take(most).collect();
    let body = page.finish(&caller, rows, |row| row.id, |row| Node::of(row, &caller.model));
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

async fn get(caller: Caller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<ReadOrganizations>(&slug)?;
    let found = organization::get(&grant, store(&caller)).await?;
    Ok(shown(StatusCode::OK, &found, &caller))
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewOrganization)]
#[serde(deny_unknown_fields)]
struct New {
    /// 1 to 63 of `a-z`, `0-9` and inner hyphens; unique in the tenant.
    slug: String,
    /// Up to 256 characters.
    name: String,
    /// Slug of the organization it hangs below.
    parent: String,
}

/// The right is asked for at the parent, which stands in the body.
async fn create(ChangingCaller(caller): ChangingCaller, body: Body) -> Result<Response, Problem> {
    places::<CreateOrganizations>(&caller.actor, &caller.model)?;
    let sent: New = body.read()?;
    let grant = authorize_parent::<CreateOrganizations>(&caller, &sent.parent)?;
    let (slug, name) = (slug(&sent.slug)?, title(&sent.name)?);
    let made = organization::create(&grant, store(&caller), &mut caller.occasion(), slug, name).await?;
    caller.committed();
    Ok(shown(StatusCode::CREATED, &made, &caller))
}

#[derive(Deserialize, ToSchema)]
#[schema(as = OrganizationPatch)]
#[serde(deny_unknown_fields)]
struct Patch {
    slug: Option<String>,
    name: Option<String>,
    /// Slug of the organization it is to hang below.
    parent: Option<String>,
}

async fn patch(
    ChangingCaller(caller): ChangingCaller,
    Path(at): Path<String>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<UpdateOrganizations>(&at)?;
    let sent: Patch = body.read()?;
    let parent = find(&caller, &at)?.parent.and_then(|parent| caller.model.organizations.find(parent));
    let is_other = |slug: &&str| parent.is_none_or(|parent| parent.slug.as_str() != *slug);
    let moved = sent.parent.as_deref().filter(is_other).map(|parent| movement(&caller, grant.at(), parent));
    let changed = Changed {
        slug: sent.slug.as_deref().map(slug).transpose()?,
        name: sent.name.as_deref().map(title).transpose()?,
        moved: moved.transpose()?,
    };
    let after = organization::update(&grant, store(&caller), &mut caller.occasion(), precondition, changed).await?;
    caller.committed();
    Ok(shown(StatusCode::OK, &after, &caller))
}

/// The rights at both ends. The root has no parent: the tree refuses its move.
pub(super) fn movement(caller: &Caller, organization: OrganizationId, parent: &str) -> Result<Move, Problem> {
    let from = caller.model.organizations.find(organization).and_then(|organization| organization.parent);
    Ok(Move { from: caller.authorize_at(from.unwrap_or(organization))?, to: authorize_parent(caller, parent)? })
}

async fn delete(
    ChangingCaller(caller): ChangingCaller,
    Path(slug): Path<String>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<DeleteOrganizations>(&slug)?;
    organization::delete(&grant, store(&caller), &mut caller.occasion(), precondition).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An organization in a list.
#[derive(Serialize, ToSchema)]
#[schema(as = OrganizationNode)]
struct Node {
    id: OrganizationId,
    slug: String,
    name: String,
    /// Slug of the organization above it; null: the root.
    parent: Option<String>,
    /// 1 is the root's.
    level: usize,
}

impl Node {
    fn of(organization: &Organization, model: &RoleModel) -> Self {
        Self {
            id: organization.id,
            slug: organization.slug.to_string(),
            name: organization.name.to_string(),
            parent: parent(organization, model),
            level: model.organizations.line(organization.id).count(),
        }
    }
}

fn parent(organization: &Organization, model: &RoleModel) -> Option<String> {
    organization.parent.and_then(|parent| model.organizations.find(parent)).map(|parent| parent.slug.to_string())
}

#[derive(Serialize, ToSchema)]
#[schema(as = Organization)]
struct Shown {
    id: OrganizationId,
    slug: String,
    name: String,
    /// Slug of the organization above it; null: the root.
    parent: Option<String>,
    /// Made by the tenant's file: the next `apply` sets back what was changed here.
    from_file: bool,
    created_at: Moment,
}

fn shown(status: StatusCode, found: &VersionedOrganization, caller: &Caller) -> Response {
    let organization = &found.row.organization;
    let body = Shown {
        id: organization.id,
        slug: organization.slug.to_string(),
        name: organization.name.to_string(),
        parent: parent(organization, &caller.model),
        from_file: found.row.from_file,
        created_at: found.created_at.into(),
    };
    (status, [etag(found.version), (header::CACHE_CONTROL, "no-store".parse().expect("a header's value"))], Json(body)).into_response()
}
