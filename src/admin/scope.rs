//! Contexts and resources below an organization, in which roles are held without reaching any further. Their kinds are the preset's.

use serde_json::json;

use super::organization::{OrganizationError, Store, begin, tell};
use crate::{
    db::{self, DbError},
    domain::{
        actor::Occasion,
        id::{OrganizationId, ScopeId, TenantId},
        model::RoleModel,
        name::Title,
        organization::ResourceScope,
    },
    policy::{
        access::Grant,
        action::{ManageScopes, ReadScopes},
    },
    provision::Precondition,
};

#[derive(Debug, thiserror::Error)]
pub enum ScopeError {
    #[error("the organization has no such context or resource")]
    NotFound,
    #[error("{kind:?} is no kind of context or resource of this tenant{}", choices(.known))]
    UnknownKind { kind: String, known: Vec<String> },
    #[error("the organization has a {kind} of this name already")]
    NameTaken { kind: String },
    #[error("{0} assignments are held in it: revoke them first")]
    InUse(i64),
    #[error("the organization has another version than the one named")]
    Stale,
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<OrganizationError> for ScopeError {
    fn from(error: OrganizationError) -> Self {
        match error {
            OrganizationError::Db(error) => error.into(),
            OrganizationError::Stale => Self::Stale,
            OrganizationError::NotFound
            | OrganizationError::SlugTaken(_)
            | OrganizationError::Misplaced(_)
            | OrganizationError::RegistrationOff
            | OrganizationError::RootSlug
            | OrganizationError::RootStays
            | OrganizationError::Relocation(_)
            | OrganizationError::InUse(_) => Self::NotFound,
        }
    }
}

fn choices(kinds: &[String]) -> String {
    if kinds.is_empty() { ": its preset has none".to_owned() } else { format!(": {} are", kinds.join(", ")) }
}

/// Of one organization, in the order of their making, with its version: never a newer one than that of what is listed.
pub async fn list(grant: &Grant<ReadScopes>, store: Store<'_>) -> Result<(Vec<ResourceScope>, i64), ScopeError> {
    let found = db::organization::find_organization(store.db, store.tenant, grant.at()).await?.ok_or(ScopeError::NotFound)?;
    Ok((db::organization::list_scopes_of(store.db, store.tenant, grant.at()).await?, found.version))
}

/// With the organization's version after it.
pub async fn create(
    grant: &Grant<ManageScopes>,
    store: Store<'_>,
    occasion: &mut Occasion,
    precondition: &Precondition,
    kind: &str,
    name: Title,
) -> Result<(ResourceScope, i64), ScopeError> {
    let (mut tx, model) = begin(store, occasion).await?;
    lock(&mut tx, store.tenant, grant.at(), precondition).await?;
    let kinds = &model.settings.scope_kinds;
    if !kinds.iter().any(|known| known.key == kind) {
        let known = kinds.iter().map(|kind| kind.key.clone()).collect();
        return Err(ScopeError::UnknownKind { kind: kind.chars().take(64).collect(), known });
    }
    is_free(&model, grant.at(), kind, &name, None)?;
    let scope = ResourceScope { id: occasion.ids.make(), organization: grant.at(), kind: kind.to_owned(), name };
    db::organization::insert_scope(&mut tx, store.tenant, &scope, occasion.now).await?;
    let version = finish(tx, store.tenant, occasion, "scope.created", &scope).await?;
    Ok((scope, version))
}

/// With the organization's version after it.
pub async fn rename(
    grant: &Grant<ManageScopes>,
    store: Store<'_>,
    occasion: &mut Occasion,
    precondition: &Precondition,
    id: ScopeId,
    name: Title,
) -> Result<(ResourceScope, i64), ScopeError> {
    let (mut tx, model) = begin(store, occasion).await?;
    let scope = find(&model, grant.at(), id)?;
    let version = lock(&mut tx, store.tenant, grant.at(), precondition).await?;
    if scope.name == name {
        return Ok((scope, version));
    }
    is_free(&model, grant.at(), &scope.kind, &name, Some(id))?;
    let scope = ResourceScope { name, ..scope };
    if !db::organization::rename_scope(&mut tx, store.tenant, id, &scope.name).await? {
        return Err(ScopeError::NotFound);
    }
    let version = finish(tx, store.tenant, occasion, "scope.changed", &scope).await?;
    Ok((scope, version))
}

/// Deletes one in which nothing is held. The organization's version after it.
pub async fn delete(
    grant: &Grant<ManageScopes>,
    store: Store<'_>,
    occasion: &mut Occasion,
    precondition: &Precondition,
    id: ScopeId,
) -> Result<i64, ScopeError> {
    let (mut tx, model) = begin(store, occasion).await?;
    let scope = find(&model, grant.at(), id)?;
    lock(&mut tx, store.tenant, grant.at(), precondition).await?;
    match db::organization::count_held_in_scope(&mut tx, store.tenant, id).await? {
        0 => {}
        held => return Err(ScopeError::InUse(held)),
    }
    if !db::organization::delete_scope(&mut tx, store.tenant, id).await? {
        return Err(ScopeError::NotFound);
    }
    Ok(finish(tx, store.tenant, occasion, "scope.deleted", &scope).await?)
}

/// Also against a grant at the organization meanwhile, which refers to its row. The version that it has.
async fn lock(tx: &mut db::Tx, tenant: TenantId, at: OrganizationId, precondition: &Precondition) -> Result<i64, ScopeError> {
    let version = db::organization::lock_organization(tx, tenant, at).await?.ok_or(ScopeError::NotFound)?;
    if precondition.admits(version) { Ok(version) } else { Err(ScopeError::Stale) }
}

fn find(model: &RoleModel, at: OrganizationId, id: ScopeId) -> Result<ResourceScope, ScopeError> {
    model.organizations.find_scope(id).filter(|scope| scope.organization == at).cloned().ok_or(ScopeError::NotFound)
}

/// People tell contexts of one kind apart by their names.
fn is_free(model: &RoleModel, at: OrganizationId, kind: &str, name: &Title, but: Option<ScopeId>) -> Result<(), ScopeError> {
    let key = name.key();
    let taken = model.organizations.scopes_of(at).any(|scope| Some(scope.id) != but && scope.kind == kind && scope.name.key() == key);
    if taken { Err(ScopeError::NameTaken { kind: kind.to_owned() }) } else { Ok(()) }
}

async fn finish(
    mut tx: db::Tx,
    tenant: TenantId,
    occasion: &mut Occasion,
    action: &'static str,
    scope: &ResourceScope,
) -> Result<i64, DbError> {
    let detail = json!({ "scope": { "id": scope.id, "kind": scope.kind, "name": scope.name } });
    tell(&mut tx, tenant, occasion, action, scope.organization, detail).await?;
    db::tenant::raise_model_version(&mut tx, tenant).await?;
    let version = db::organization::raise_organization_version(&mut tx, tenant, scope.organization).await?;
    tx.commit().await?;
    Ok(version)
}
