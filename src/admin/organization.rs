//! The tree of organizations: making, renaming, moving and deleting them. The tree is locked first, and what was read of it before is
//! read anew where it is another one.

use std::sync::Arc;

use serde_json::{Value, json};

use super::relocation::{self, Measured, RelocationError};
use crate::{
    db::{
        self, Db, DbError, Tx,
        audit::Entry,
        organization::{Contents, VersionedOrganization},
    },
    domain::{
        actor::Occasion,
        id::{ConnectionId, OrganizationId, TenantId},
        model::RoleModel,
        name::{Slug, Title},
        organization::{Misplaced, Organization},
    },
    policy::{
        access::Grant,
        action::{CreateOrganizations, DeleteOrganizations, ReadMapping, ReadOrganizations, UpdateOrganizations},
        inheritance::Relocation,
        mapping::Mapping,
        places::places_or_nowhere,
        rule::Rule,
    },
    provision::{Precondition, PublishedCache},
};

#[derive(Debug, thiserror::Error)]
pub enum OrganizationError {
    #[error("there is no such organization")]
    NotFound,
    #[error("the organization has another version than the one named")]
    Stale,
    #[error("the slug {0} is taken by another organization of the tenant")]
    SlugTaken(Slug),
    #[error(transparent)]
    Misplaced(#[from] Misplaced),
    #[error(
        "the tenant registers no new organizations (self_service_registration is off): an owner can switch it on in the settings of the root organization"
    )]
    RegistrationOff,
    #[error("the slug of the root organization is the tenant's own and stays")]
    RootSlug,
    #[error("the root organization stays: it is the tenant")]
    RootStays,
    #[error(transparent)]
    Relocation(#[from] RelocationError),
    #[error("the organization still has {}: move or remove them first", .0.join(", "))]
    InUse(Vec<String>),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Where organizations are kept, and the role models that are known.
#[derive(Debug, Clone, Copy)]
pub struct Store<'s> {
    pub db: &'s Db,
    pub published: &'s PublishedCache,
    pub tenant: TenantId,
}

pub async fn get(grant: &Grant<ReadOrganizations>, store: Store<'_>) -> Result<VersionedOrganization, OrganizationError> {
    db::organization::find_organization(store.db, store.tenant, grant.at()).await?.ok_or(OrganizationError::NotFound)
}

/// Makes a child of the organization where the right was given.
pub async fn create(
    grant: &Grant<CreateOrganizations>,
    store: Store<'_>,
    occasion: &mut Occasion,
    slug: Slug,
    name: Title,
) -> Result<VersionedOrganization, OrganizationError> {
    let (mut tx, model) = begin(store).await?;
    if !model.settings.self_service_org_registration {
        return Err(OrganizationError::RegistrationOff);
    }
    model.organizations.may_add(grant.at())?;
    let organization = Organization { id: occasion.ids.make(), parent: Some(grant.at()), slug, name };
    if !db::organization::insert_organization(&mut tx, store.tenant, &organization, false, occasion.now).await? {
        return Err(OrganizationError::SlugTaken(organization.slug));
    }
    let detail = json!({ "slug": organization.slug, "parent": organization.parent });
    finish(tx, store.tenant, occasion, "organization.created", organization.id, detail).await?;
    get_written(store, organization.id).await
}

/// What is to be different; what is `None` stays.
#[derive(Debug, Default)]
pub struct Changed {
    pub slug: Option<Slug>,
    pub name: Option<Title>,
    pub moved: Option<Move>,
}

/// Who moves an organization takes it from those above it and gives it to others: the right is asked at both ends.
#[derive(Debug)]
pub struct Move {
    pub from: Grant<UpdateOrganizations>,
    pub to: Grant<UpdateOrganizations>,
}

/// Renames and moves. Nothing is written where nothing differs. A move also needs the rights to everything that it changes by inheritance.
pub async fn update(
    grant: &Grant<UpdateOrganizations>,
    store: Store<'_>,
    occasion: &mut Occasion,
    precondition: Precondition,
    changed: Changed,
) -> Result<VersionedOrganization, OrganizationError> {
    let (mut tx, model) = begin(store).await?;
    let id = grant.at();
    let before = db::organization::find_organization(&mut tx, store.tenant, id).await?.ok_or(OrganizationError::NotFound)?;
    if !precondition.admits(before.version) {
        return Err(OrganizationError::Stale);
    }
    let mut after = before.row.organization.clone();
    after.name = changed.name.unwrap_or(after.name);
    if let Some(slug) = changed.slug.filter(|slug| *slug != after.slug) {
        if after.parent.is_none() {
            return Err(OrganizationError::RootSlug);
        }
        after.slug = slug;
    }
    let mut measured = None;
    if let Some(moved) = changed.moved.filter(|moved| Some(moved.to.at()) != after.parent) {
        let (effects, permitted) = measure(&mut tx, &model, occasion, &after, &moved).await?;
        permitted?;
        measured = Some(effects);
        after.parent = Some(moved.to.at());
    }
    if after == before.row.organization {
        return Ok(before);
    }
    write(tx, store.tenant, occasion, &before.row.organization, &after, measured.as_ref()).await?;
    get_written(store, id).await
}

/// Writes what differs, tells of it and commits.
async fn write(
    mut tx: Tx,
    tenant: TenantId,
    occasion: &mut Occasion,
    before: &Organization,
    after: &Organization,
    moved: Option<&Measured>,
) -> Result<(), OrganizationError> {
    if !db::organization::update_organization(&mut tx, tenant, after).await? {
        return Err(OrganizationError::SlugTaken(after.slug.clone()));
    }
    let differs = [("name", before.name != after.name), ("slug", before.slug != after.slug), ("parent", before.parent != after.parent)];
    let what: Vec<&str> = differs.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect();
    let shift = moved.map(|moved| &moved.effects.shift);
    let detail = json!({
        "what": what,
        "from": { "slug": before.slug, "name": before.name, "parent": before.parent },
        "to": { "slug": after.slug, "name": after.name, "parent": after.parent },
        "inherited": shift.map(|shift| json!({ "gained": shift.gained.len(), "lost": shift.lost.len() })),
    });
    Ok(finish(tx, tenant, occasion, "organization.changed", after.id, detail).await?)
}

/// What a move did, or would do.
#[derive(Debug)]
pub struct Moved {
    pub measured: Measured,
    /// Why the actor may not make it. Set by a preview alone.
    pub refused: Option<RelocationError>,
    /// The organization's version after the move. `None`: nothing was written.
    pub version: Option<i64>,
}

/// Moves an organization, or returns what the move would do. `None`: the organization is there already.
pub async fn relocate(
    grant: &Grant<UpdateOrganizations>,
    store: Store<'_>,
    occasion: &mut Occasion,
    precondition: Precondition,
    to: Move,
    preview: bool,
) -> Result<Option<Moved>, OrganizationError> {
    let (mut tx, model) = begin(store).await?;
    let before = db::organization::find_organization(&mut tx, store.tenant, grant.at()).await?.ok_or(OrganizationError::NotFound)?;
    if !precondition.admits(before.version) {
        return Err(OrganizationError::Stale);
    }
    let before = before.row.organization;
    if before.parent == Some(to.to.at()) {
        return Ok(None);
    }
    let (measured, permitted) = measure(&mut tx, &model, occasion, &before, &to).await?;
    if preview {
        return match permitted {
            Err(RelocationError::Db(error)) => Err(error.into()),
            permitted => Ok(Some(Moved { measured, refused: permitted.err(), version: None })),
        };
    }
    permitted?;
    let after = Organization { parent: Some(to.to.at()), ..before.clone() };
    write(tx, store.tenant, occasion, &before, &after, Some(&measured)).await?;
    let version = get_written(store, grant.at()).await?.version;
    Ok(Some(Moved { measured, refused: None, version: Some(version) }))
}

/// What the move changes by inheritance, and whether the actor may change that.
async fn measure(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &Occasion,
    organization: &Organization,
    moved: &Move,
) -> Result<(Measured, Result<(), RelocationError>), OrganizationError> {
    model.organizations.may_move(organization.id, moved.to.at())?;
    if organization.parent != Some(moved.from.at()) {
        // Another request moved it meanwhile. The right was asked for at its former parent.
        return Err(OrganizationError::Stale);
    }
    let after = model.organizations.moved(organization.id, moved.to.at());
    let relocation = Relocation { organization: organization.id, before: &model.organizations, after: &after };
    let measured = relocation::measure(tx, model.tenant, &relocation, occasion.now).await?;
    let permitted = relocation::permit(tx, &occasion.actor, model, &relocation, &measured).await;
    Ok((measured, permitted))
}

/// Deletes an organization in which there is nothing any more.
pub async fn delete(
    grant: &Grant<DeleteOrganizations>,
    store: Store<'_>,
    occasion: &mut Occasion,
    precondition: Precondition,
) -> Result<(), OrganizationError> {
    let (mut tx, model) = begin(store).await?;
    let id = grant.at();
    if id == model.organizations.root() {
        return Err(OrganizationError::RootStays);
    }
    let version = db::organization::lock_organization(&mut tx, store.tenant, id).await?.ok_or(OrganizationError::NotFound)?;
    if !precondition.admits(version) {
        return Err(OrganizationError::Stale);
    }
    let mut inside = named(&db::organization::count_contents(&mut tx, store.tenant, id, occasion.now).await?);
    let mappings: Vec<(ConnectionId, Mapping)> = db::listing::list_published_mappings(&mut tx, store.tenant).await?;
    let naming = |mapping: &Mapping| mapping.rules.iter().filter(|rule| rule.names_organization(id)).cloned().collect::<Vec<_>>();
    let naming: Vec<_> =
        mappings.iter().map(|(connection, mapping)| (*connection, naming(mapping))).filter(|(_, rules)| !rules.is_empty()).collect();
    if !naming.is_empty() {
        let connections = db::connection::list_connections(&mut tx, store.tenant).await?;
        let readable = places_or_nowhere::<ReadMapping>(grant.actor(), &model);
        let is_readable =
            |id: ConnectionId| connections.iter().any(|row| row.connection.id == id && readable.contains(row.connection.organization));
        for (connection, rules) in naming {
            let named = |rule: &Rule| {
                if is_readable(connection) { format!("the rule {:?}", rule.name) } else { "a rule that you may not see".to_owned() }
            };
            inside.extend(rules.iter().map(named));
        }
    }
    if !inside.is_empty() || !db::organization::delete_organization(&mut tx, store.tenant, id, occasion.now).await? {
        return Err(OrganizationError::InUse(inside));
    }
    let slug = model.organizations.find(id).map(|organization| organization.slug.as_str());
    Ok(finish(tx, store.tenant, occasion, "organization.deleted", id, json!({ "slug": slug })).await?)
}

fn named(contents: &Contents) -> Vec<String> {
    let counted = [
        (contents.children, "child organization", "child organizations"),
        (contents.accounts, "account at home there", "accounts at home there"),
        (contents.members, "member", "members"),
        (contents.assignments, "assignment", "assignments"),
        (contents.connections, "connection", "connections"),
        (contents.used_connections, "connection enabled for it", "connections enabled for it"),
        (contents.scopes, "context or resource", "contexts and resources"),
        (contents.domains, "domain", "domains"),
        (contents.groups, "local group", "local groups"),
        (contents.app_tokens, "application token", "application tokens"),
    ];
    let named = counted.into_iter().filter(|(count, ..)| *count > 0);
    named.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many })).collect()
}

/// With the tree locked and the role model that holds under the lock.
pub(super) async fn begin(store: Store<'_>) -> Result<(Tx, Arc<RoleModel>), OrganizationError> {
    let mut tx = store.db.begin().await?;
    db::organization::lock_tree(&mut tx, store.tenant).await?;
    let version = db::tenant::find_model_version(&mut tx, store.tenant).await?.ok_or(OrganizationError::NotFound)?;
    let model = store.published.model(&mut tx, store.tenant, version).await?;
    Ok((tx, model))
}

/// Tells of it, raises the model's version and commits.
pub(super) async fn finish(
    mut tx: Tx,
    tenant: TenantId,
    occasion: &mut Occasion,
    action: &'static str,
    id: OrganizationId,
    detail: Value,
) -> Result<(), DbError> {
    tell(&mut tx, tenant, occasion, action, id, detail).await?;
    db::tenant::raise_model_version(&mut tx, tenant).await?;
    tx.commit().await
}

/// The same words for the auditor and for listeners.
pub(super) async fn tell(
    tx: &mut Tx,
    tenant: TenantId,
    occasion: &mut Occasion,
    action: &'static str,
    id: OrganizationId,
    detail: Value,
) -> Result<(), DbError> {
    let entry = Entry { action, target_kind: "organization", target_id: id.to_string(), detail };
    db::audit::tell(tx, tenant, occasion, &[entry]).await
}

async fn get_written(store: Store<'_>, id: OrganizationId) -> Result<VersionedOrganization, OrganizationError> {
    db::organization::find_organization(store.db, store.tenant, id).await?.ok_or(OrganizationError::NotFound)
}
