//! Groups that people keep: made, renamed, filled and deleted. No rule looks at them; they say whom a role manages.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Precondition, ProvisionError, record::Record};
use crate::{
    db::{self, DbError, Tx, local_group::LocalGroup},
    domain::{
        actor::{Actor, Occasion},
        id::{AccountId, GroupId, OrganizationId},
        model::RoleModel,
        name::Title,
    },
    policy::{
        access::{Denied, Target, authorize, authorize_over, manages_group},
        action::{ReadAccounts, UpdateGroups},
        invariant,
        places::places,
    },
};

/// Why a group cannot be changed so.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("there is no such group")]
    NotFound,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the organization has a group of this name already; names that look alike count as one")]
    NameTaken,
    #[error("the group has changed: its version is not the one in If-Match. Read it again")]
    Stale,
    #[error("these are no accounts of this tenant: {}", .0.join(", "))]
    UnknownAccounts(Vec<String>),
    #[error("nobody but an owner changes the groups that they are in themselves: ask another administrator")]
    OwnAccount,
    #[error("the account {account}: {denied}")]
    MemberDenied { account: AccountId, denied: Denied },
    #[error(transparent)]
    Provision(ProvisionError),
}

impl From<DbError> for GroupError {
    fn from(error: DbError) -> Self {
        Self::Provision(error.into())
    }
}

impl From<ProvisionError> for GroupError {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::Stale => Self::Stale,
            error => Self::Provision(error),
        }
    }
}

pub async fn create(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    organization: OrganizationId,
    name: Title,
) -> Result<GroupId, GroupError> {
    authorize::<UpdateGroups>(&occasion.actor, model, organization)?;
    let group = LocalGroup { id: occasion.ids.make(), organization, name, version: 1 };
    if !db::local_group::insert_local_group(tx, model.tenant, &group, occasion.now).await? {
        return Err(GroupError::NameTaken);
    }
    note(tx, model, occasion, "group.created", group.id, json!({ "organization": organization })).await?;
    Ok(group.id)
}

pub async fn rename(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    id: GroupId,
    precondition: Precondition,
    name: Title,
) -> Result<(), GroupError> {
    let group = lock(tx, model, occasion, id, precondition).await?;
    if group.name == name {
        return Ok(());
    }
    let group = LocalGroup { name, version: group.version + 1, ..group };
    if !db::local_group::update_local_group(tx, model.tenant, &group, occasion.now).await? {
        return Err(GroupError::NameTaken);
    }
    note(tx, model, occasion, "group.changed", id, json!({ "renamed": true })).await
}

pub async fn delete(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    id: GroupId,
    precondition: Precondition,
) -> Result<(), GroupError> {
    lock(tx, model, occasion, id, precondition).await?;
    db::local_group::delete_local_group(tx, model.tenant, id).await?;
    note(tx, model, occasion, "group.deleted", id, json!({})).await
}

/// Adds and removes members: those whom the actor manages.
pub async fn change_members(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    id: GroupId,
    precondition: Precondition,
    add: &[AccountId],
    remove: &[AccountId],
) -> Result<(), GroupError> {
    let group = lock(tx, model, occasion, id, precondition).await?;
    let ids: Vec<AccountId> = add.iter().chain(remove).copied().collect();
    if invariant::is_own_matter(model, &occasion.actor, &ids) {
        return Err(GroupError::OwnAccount);
    }
    let accounts = db::account::lock_accounts(tx, model.tenant, &ids).await?;
    super::is_current(tx, model).await?;
    let visible = visible(tx, model, &occasion.actor, &ids).await?;
    let unknown: BTreeSet<String> = ids.iter().filter(|id| !visible.contains(id)).map(ToString::to_string).collect();
    if !unknown.is_empty() {
        return Err(GroupError::UnknownAccounts(unknown.into_iter().collect()));
    }
    let held = db::assignment::held(tx, model.tenant, &ids).await?;
    let with_actor: Vec<AccountId> = ids.iter().copied().chain(occasion.actor.account_id()).collect();
    let groups = db::group::memberships(&mut *tx, model.tenant, &with_actor).await?;
    let none = BTreeSet::new();
    let own = occasion.actor.account_id().and_then(|actor| groups.get(&actor)).unwrap_or(&none);
    for account in accounts.keys() {
        let assignments = held.get(account).map(Vec::as_slice).unwrap_or_default();
        let target = Target { assignments, groups: groups.get(account).unwrap_or(&none) };
        authorize_over::<UpdateGroups>(&occasion.actor, model, group.organization, &target, own)
            .map_err(|denied| GroupError::MemberDenied { account: *account, denied })?;
    }
    let added = db::local_group::add_members(tx, model.tenant, id, add, occasion.now).await?;
    let removed = db::local_group::remove_members(tx, model.tenant, id, remove).await?;
    if added == 0 && removed == 0 {
        return Ok(());
    }
    let raised = LocalGroup { version: group.version + 1, ..group };
    db::local_group::update_local_group(tx, model.tenant, &raised, occasion.now).await?;
    note(tx, model, occasion, "group.changed", id, json!({ "members_added": added, "members_removed": removed })).await
}

/// Those of the accounts that the actor sees. Whom one does not see, there is not.
async fn visible(tx: &mut Tx, model: &RoleModel, actor: &Actor, ids: &[AccountId]) -> Result<BTreeSet<AccountId>, GroupError> {
    let seen = places::<ReadAccounts>(actor, model).or_else(|_| places::<UpdateGroups>(actor, model))?;
    Ok(db::people::list_visible(tx, model.tenant, &seen, ids).await?)
}

/// The group, locked, where the actor may change this group.
async fn lock(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &Occasion,
    id: GroupId,
    precondition: Precondition,
) -> Result<LocalGroup, GroupError> {
    let group = db::local_group::lock_local_group(tx, model.tenant, id).await?.ok_or(GroupError::NotFound)?;
    let own_groups = match occasion.actor.account_id() {
        Some(own) => db::group::list_group_ids(&mut *tx, model.tenant, own).await?,
        None => BTreeSet::new(),
    };
    manages_group(model, &occasion.actor, group.organization, id, &own_groups)?;
    precondition.check(group.version)?;
    Ok(group)
}

async fn note(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    action: &'static str,
    id: GroupId,
    detail: serde_json::Value,
) -> Result<(), GroupError> {
    let mut record = Record::default();
    record.note(action, "group", &id, detail);
    Ok(record.write(tx, model.tenant, occasion).await?)
}
