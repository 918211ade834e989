//! Roles by the hand of people: looking at them, making, editing, cloning and deleting them.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    model_change::ModelChange,
    role_use::{self, Usage},
};
use crate::{
    db::{self, Db, DbError, role::RoleRow},
    domain::{
        actor::{Actor, Occasion},
        id::{RoleId, TenantId},
        model::RoleModel,
        name::fold,
        role::Role,
    },
    policy::{
        access::{Denied, Grant},
        action::{CreateRoles, DeleteRoles, ReadRoles, UpdateRoles},
        assigning::authorize_auto_assign,
        places::Places,
        role_change::{self, Draft, RoleRefusal},
    },
    provision::{Precondition, ProvisionError},
};

#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    #[error("there is no such role")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] RoleRefusal),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("{0}")]
    InUse(Box<Usage>),
    #[error(
        "{0} assignments hold the role, and one replacement moves up to {most}: revoke or regrant some of them first",
        most = role_use::MOVED
    )]
    TooManyHolders(i64),
    #[error("what would be done is no longer what was planned; plan again")]
    PlanStale,
    #[error(transparent)]
    Provision(ProvisionError),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<ProvisionError> for RoleError {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::NotFound => Self::NotFound,
            ProvisionError::Db(error) => Self::Db(error),
            error => Self::Provision(error),
        }
    }
}

/// A role as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub row: RoleRow,
    /// Accounts.
    pub holders: i64,
}

/// Every role whose name or description holds the text, in the order of names. Roles are few: a list has no pages. Their holders are
/// counted where somebody may look at assignments.
pub async fn list(_grant: &Places, held_at: &Places, db: &Db, tenant: TenantId, search: Option<&str>) -> Result<Vec<Shown>, DbError> {
    let holders: BTreeMap<RoleId, i64> = db::assignment_list::count_holders_at(db, tenant, held_at).await?.into_iter().collect();
    let wanted = search.map(fold);
    let matches = |role: &Role| {
        wanted.as_ref().is_none_or(|wanted| role.name.key().contains(wanted.as_str()) || fold(&role.description).contains(wanted.as_str()))
    };
    let mut rows = db::role::list_roles(db, tenant).await?;
    rows.retain(|row| matches(&row.role));
    rows.sort_by_cached_key(|row| row.role.name.key());
    Ok(rows.into_iter().map(|row| Shown { holders: holders.get(&row.role.id).copied().unwrap_or_default(), row }).collect())
}

pub async fn get(places: &Places, held_at: &Places, db: &Db, tenant: TenantId, id: RoleId) -> Result<Shown, RoleError> {
    list(places, held_at, db, tenant, None).await?.into_iter().find(|shown| shown.row.role.id == id).ok_or(RoleError::NotFound)
}

/// Makes a role of the tenant's own.
pub async fn create(
    grant: &Grant<CreateRoles>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    draft: &Draft,
) -> Result<Shown, RoleError> {
    let mut change = ModelChange::begin(db, tenant).await?;
    let role = role_change::create(&change.model, draft, occasion.ids.make())?;
    may_auto_assign(grant.actor(), &change.model, None, &role)?;
    insert(&mut change, occasion, &role).await?;
    change.note("role.created", "role", &role.id, json!({ "name": role.name, "permissions": role.permissions }));
    change.commit(occasion).await?;
    Ok(Shown { row: RoleRow { role, from_file: false, version: 1 }, holders: 0 })
}

/// Makes a role that does what another one does; and what it does not take over, in words.
pub async fn clone(
    _grant: &Grant<CreateRoles>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    id: RoleId,
    name: Option<&str>,
) -> Result<(Shown, Vec<String>), RoleError> {
    let mut change = ModelChange::begin(db, tenant).await?;
    let original = change.model.role(id).ok_or(RoleError::NotFound)?.clone();
    let role_change::Clone { role, dropped } = role_change::clone(&change.model, &original, name, occasion.ids.make())?;
    insert(&mut change, occasion, &role).await?;
    let detail = json!({ "name": role.name, "permissions": role.permissions, "clone_of": { "id": original.id, "name": original.name } });
    change.note("role.created", "role", &role.id, detail);
    change.commit(occasion).await?;
    Ok((Shown { row: RoleRow { role, from_file: false, version: 1 }, holders: 0 }, dropped))
}

async fn insert(change: &mut ModelChange, occasion: &Occasion, role: &Role) -> Result<(), RoleError> {
    let tenant = change.model.tenant;
    let made = db::role::insert_roles(&mut change.tx, tenant, std::slice::from_ref(role), false, occasion.now).await?;
    if made { Ok(()) } else { Err(RoleRefusal::NameTaken(role.name.to_string()).into()) }
}

/// Changes what the draft names. A change that changes nothing writes nothing.
pub async fn edit(
    grant: &Grant<UpdateRoles>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    id: RoleId,
    precondition: Precondition,
    draft: &Draft,
) -> Result<Shown, RoleError> {
    let mut change = ModelChange::begin(db, tenant).await?;
    let row = locked(&mut change, id, precondition).await?;
    let role = role_change::edit(&change.model, &row.role, draft)?;
    role_change::may_widen(grant.actor(), &change.model, &row.role, &role)?;
    may_auto_assign(grant.actor(), &change.model, Some(&row.role), &role)?;
    let fields = role_change::changed(&row.role, &role);
    let holders = db::assignment_list::count_holders_of(&mut change.tx, tenant, id).await?;
    if fields.is_empty() {
        return Ok(Shown { row, holders });
    }
    if !db::role::update_role(&mut change.tx, tenant, &role).await? {
        return Err(RoleRefusal::NameTaken(role.name.to_string()).into());
    }
    let (gone, new) = (row.role.permissions.difference(&role.permissions), role.permissions.difference(&row.role.permissions));
    let words = |pairs: &mut dyn Iterator<Item = &crate::domain::catalogue::Permission>| pairs.map(ToString::to_string).collect::<Vec<_>>();
    let detail = json!({ "name": role.name, "fields": fields, "added": words(&mut { new }), "removed": words(&mut { gone }) });
    change.note("role.changed", "role", &id, detail);
    change.commit(occasion).await?;
    Ok(Shown { row: RoleRow { role, version: row.version + 1, ..row }, holders })
}

/// Deletes a role that nobody holds and nothing names.
pub async fn delete(
    grant: &Grant<DeleteRoles>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    id: RoleId,
    precondition: Precondition,
) -> Result<(), RoleError> {
    let mut change = ModelChange::begin(db, tenant).await?;
    let row = locked(&mut change, id, precondition).await?;
    role_change::may_edit(&row.role)?;
    remove(&mut change, grant.actor(), &row.role).await?;
    Ok(change.commit(occasion).await?)
}

/// Inside a change: the role goes, or it is said what holds it.
pub(super) async fn remove(change: &mut ModelChange, actor: &Actor, role: &Role) -> Result<(), RoleError> {
    let named = role_use::find_mappings(&mut change.tx, &change.model, role.id).await?;
    let tenant = change.model.tenant;
    if !named.is_empty() || !db::role::delete_role(&mut change.tx, tenant, role.id).await? {
        let usage = role_use::read(change, actor, role, named).await?;
        return Err(RoleError::InUse(Box::new(usage)));
    }
    change.note("role.deleted", "role", &role.id, json!({ "name": role.name }));
    Ok(())
}

/// The role, which no grant holds on to until the end of the change.
pub(super) async fn locked(change: &mut ModelChange, id: RoleId, precondition: Precondition) -> Result<RoleRow, RoleError> {
    let tenant = change.model.tenant;
    if !db::role::lock_role(&mut change.tx, tenant, id).await? {
        return Err(RoleError::NotFound);
    }
    let rows = db::role::list_roles(&mut change.tx, tenant).await?;
    let row = rows.into_iter().find(|row| row.role.id == id).ok_or(RoleError::NotFound)?;
    precondition.check(row.version)?;
    Ok(row)
}

/// A role that comes by itself is a grant to people who are not here yet: it takes the right to grant it, also to change what it gives.
fn may_auto_assign(actor: &Actor, model: &RoleModel, before: Option<&Role>, after: &Role) -> Result<(), Denied> {
    let given = |role: &Role| (role.permissions.clone(), role.managed_roles.clone(), role.managed_groups.clone());
    let comes = |role: &Role| (role.auto_assign_on_join, role.auto_assign_first_user);
    let by_itself = after.auto_assign_on_join || after.auto_assign_first_user;
    let same = before.is_some_and(|before| comes(before) == comes(after) && given(before) == given(after));
    if by_itself && !same { authorize_auto_assign(actor, model, after.id).map(drop) } else { Ok(()) }
}

/// Whoever may look at roles anywhere sees all of them: they belong to the tenant.
///
/// # Errors
/// With the reason at the root.
pub fn may_read(actor: &Actor, model: &RoleModel) -> Result<Places, Denied> {
    crate::policy::places::places::<ReadRoles>(actor, model)
}
