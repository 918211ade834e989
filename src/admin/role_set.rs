//! Sets of roles under a name: who may make roles makes them, and giving one is giving each of its roles.

use std::collections::BTreeSet;

use serde_json::json;

use super::model_change::ModelChange;
use crate::{
    db::{
        self, Db, DbError,
        acting::{self, Writes},
        audit::Entry,
        role_set::RoleSetRow,
    },
    domain::{
        actor::Occasion,
        id::{RoleId, RoleSetId, TenantId},
        name::Title,
    },
    policy::{
        access::{Denied, Grant},
        action::{CreateRoles, DeleteRoles},
        ceiling,
    },
};

/// Sets of one tenant, and roles of one set.
pub const MOST: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum RoleSetError {
    #[error("there is no such set of roles")]
    NotFound,
    #[error("a set names 1 to {MOST} roles")]
    Size,
    #[error("{0} is no role of this tenant")]
    UnknownRole(RoleId),
    #[error("there is a set named {0:?} already; names that look alike count as one")]
    NameTaken(String),
    #[error("the tenant has {MOST} sets of roles already: delete one that it does not need")]
    TooMany,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Db(#[from] DbError),
}

pub async fn create(
    grant: &Grant<CreateRoles>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    name: Title,
    roles: BTreeSet<RoleId>,
) -> Result<RoleSetRow, RoleSetError> {
    if roles.is_empty() || roles.len() > MOST {
        return Err(RoleSetError::Size);
    }
    // Of two that make the last one the second waits, and no role of it goes or changes meanwhile.
    let mut change = ModelChange::begin(db, tenant, occasion).await?;
    for id in &roles {
        let role = change.model.role(*id).ok_or(RoleSetError::UnknownRole(*id))?;
        ceiling::check_set(grant.actor(), &change.model, role)?;
    }
    if db::role_set::list_role_sets(&mut change.tx, tenant).await?.len() >= MOST {
        return Err(RoleSetError::TooMany);
    }
    let row = RoleSetRow { id: occasion.ids.make(), name, roles };
    if !db::role_set::insert_role_set(&mut change.tx, tenant, &row, occasion.now).await? {
        return Err(RoleSetError::NameTaken(row.name.to_string()));
    }
    change.note("role_set.created", "role_set", &row.id, json!({ "name": row.name, "roles": row.roles }));
    change.commit(occasion).await?;
    Ok(row)
}

pub async fn find(db: &Db, tenant: TenantId, id: RoleSetId) -> Result<RoleSetRow, RoleSetError> {
    db::role_set::list_role_sets(db, tenant).await?.into_iter().find(|row| row.id == id).ok_or(RoleSetError::NotFound)
}

/// What was given by it stays.
pub async fn delete(
    _grant: &Grant<DeleteRoles>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    id: RoleSetId,
) -> Result<(), RoleSetError> {
    let row = find(db, tenant, id).await?;
    let mut tx = acting::begin(db, tenant, occasion, Writes::Accounts(&[])).await?;
    if !db::role_set::delete_role_set(&mut tx, tenant, id).await? {
        return Err(RoleSetError::NotFound);
    }
    let detail = json!({ "name": row.name, "roles": row.roles });
    let entry = Entry { action: "role_set.deleted", target_kind: "role_set", target_id: row.id.to_string(), detail };
    db::audit::tell(&mut tx, tenant, occasion, &[entry]).await?;
    Ok(tx.commit().await?)
}
