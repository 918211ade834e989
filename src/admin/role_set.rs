//! Sets of roles under a name: who may make roles makes them, and giving one is giving each of its roles.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        audit::Entry,
        role_set::RoleSetRow,
    },
    domain::{
        actor::Occasion,
        id::{RoleId, RoleSetId, TenantId},
        model::RoleModel,
        name::Title,
    },
    policy::{
        access::Grant,
        action::{CreateRoles, DeleteRoles},
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
    Db(#[from] DbError),
}

pub async fn create(
    _grant: &Grant<CreateRoles>,
    db: &Db,
    occasion: &mut Occasion,
    model: &RoleModel,
    name: Title,
    roles: BTreeSet<RoleId>,
) -> Result<RoleSetRow, RoleSetError> {
    if roles.is_empty() || roles.len() > MOST {
        return Err(RoleSetError::Size);
    }
    let mut tx = acting::begin(db, model.tenant, occasion, Writes::Model).await?;
    // Of two that make the last one the second waits; and no role of it goes meanwhile.
    db::tenant::raise_model_version(&mut tx, model.tenant).await?;
    let known: BTreeSet<RoleId> = db::role::list_roles(&mut tx, model.tenant).await?.into_iter().map(|row| row.role.id).collect();
    if let Some(unknown) = roles.iter().find(|role| !known.contains(role)) {
        return Err(RoleSetError::UnknownRole(*unknown));
    }
    if db::role_set::list_role_sets(&mut tx, model.tenant).await?.len() >= MOST {
        return Err(RoleSetError::TooMany);
    }
    let row = RoleSetRow { id: occasion.ids.make(), name, roles };
    if !db::role_set::insert_role_set(&mut tx, model.tenant, &row, occasion.now).await? {
        return Err(RoleSetError::NameTaken(row.name.to_string()));
    }
    tell(tx, model.tenant, occasion, "role_set.created", &row).await?;
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
    Ok(tell(tx, tenant, occasion, "role_set.deleted", &row).await?)
}

async fn tell(mut tx: Tx, tenant: TenantId, occasion: &mut Occasion, action: &'static str, row: &RoleSetRow) -> Result<(), DbError> {
    let detail = json!({ "name": row.name, "roles": row.roles });
    let entry = Entry { action, target_kind: "role_set", target_id: row.id.to_string(), detail };
    db::audit::tell(&mut tx, tenant, occasion, &[entry]).await?;
    tx.commit().await
}
