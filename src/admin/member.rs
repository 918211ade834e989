//! Members of an organization, and whose home it is: by hand, by people with the right over the account.

use std::collections::BTreeSet;

use super::organization::Store;
use crate::{
    db::{self, Db, DbError, Tx, membership::MemberRow},
    domain::{
        actor::{Actor, Occasion},
        id::{AccountId, OrganizationId},
        model::RoleModel,
    },
    policy::{
        access::{Denied, Grant, Target, authorize_over},
        action::{ReadAccounts, UpdateAccounts},
        places::places,
    },
    provision::{
        ProvisionError,
        membership::{self, Standing},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// Also of an account that the actor may not see.
    #[error("there is no such account here")]
    NotFound,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the organization is the account's home: give it another home first")]
    IsHome,
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

impl From<DbError> for MemberError {
    fn from(error: DbError) -> Self {
        Self::Provision(error.into())
    }
}

/// In the order of their accounts' making, behind `after`.
pub async fn list(
    grant: &Grant<ReadAccounts>,
    store: Store<'_>,
    after: Option<AccountId>,
    limit: i64,
) -> Result<Vec<MemberRow>, MemberError> {
    Ok(db::membership::list_members(store.db, store.tenant, grant.at(), after, limit).await?)
}

/// Makes somebody a member, or changes what they are there. Whether anything was written is said beside the row.
pub async fn put(
    model: &RoleModel,
    db: &Db,
    occasion: &mut Occasion,
    organization: OrganizationId,
    account: AccountId,
    standing: Standing,
) -> Result<(MemberRow, bool), MemberError> {
    let mut tx = begin(model, db, &occasion.actor, organization, account).await?;
    let (row, changed) = membership::settle(&mut tx, model, occasion, account, organization, standing).await?;
    tx.commit().await?;
    Ok((row, changed))
}

pub async fn remove(
    model: &RoleModel,
    db: &Db,
    occasion: &mut Occasion,
    organization: OrganizationId,
    account: AccountId,
) -> Result<(), MemberError> {
    let mut tx = begin(model, db, &occasion.actor, organization, account).await?;
    let member = db::membership::find_member(&mut tx, model.tenant, organization, account).await?.ok_or(MemberError::NotFound)?;
    if member.home {
        return Err(MemberError::IsHome);
    }
    membership::leave(&mut tx, model, occasion, account, organization).await?;
    Ok(tx.commit().await?)
}

/// With the account locked, by somebody who sees it and has the right over it at the organization.
async fn begin(model: &RoleModel, db: &Db, actor: &Actor, organization: OrganizationId, account: AccountId) -> Result<Tx, MemberError> {
    let tenant = model.tenant;
    let mut tx = db.begin().await?;
    let row = db::account::lock_accounts(&mut tx, tenant, &[account]).await?.remove(&account).ok_or(MemberError::NotFound)?;
    let seen = places::<ReadAccounts>(actor, model).map_err(|_| MemberError::NotFound)?;
    let memberships = db::membership::list_organizations(&mut tx, tenant, account).await?;
    if !seen.reaches(row.account.home_organization) && !memberships.iter().any(|at| seen.contains(*at)) {
        return Err(MemberError::NotFound);
    }
    let assignments = db::assignment::held(&mut tx, tenant, &[account]).await?.remove(&account).unwrap_or_default();
    let own = actor.account_id();
    let asked: Vec<AccountId> = [account].into_iter().chain(own).collect();
    let mut groups = db::group::memberships(&mut tx, tenant, &asked).await?;
    let own_groups = own.and_then(|own| groups.get(&own).cloned()).unwrap_or_default();
    let target_groups: BTreeSet<_> = groups.remove(&account).unwrap_or_default();
    let target = Target { assignments: &assignments, groups: &target_groups };
    authorize_over::<UpdateAccounts>(actor, model, organization, &target, &own_groups)?;
    Ok(tx)
}
