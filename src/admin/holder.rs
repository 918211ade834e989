//! The holder of sessions or API tokens that somebody else wants to see or end.

use std::collections::BTreeSet;

use crate::{
    db::{self, DbError, Target, account::AccountRow},
    domain::{
        actor::Actor,
        assignment::Assignment,
        id::{AccountId, GroupId},
        model::RoleModel,
    },
    policy::{
        access::{self, Denied, Grant, authorize, authorize_over_account},
        action::Action,
    },
};

#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// Only told to an actor who has the right at the root.
    #[error("there is no such account")]
    NotFound,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// An account as far as it decides who may end its sessions and tokens.
#[derive(Debug, Clone)]
pub struct Holder {
    pub row: AccountRow,
    assignments: Vec<Assignment>,
    groups: BTreeSet<GroupId>,
}

/// `None` if the tenant has no such account.
async fn find(mut source: Target<'_>, model: &RoleModel, account: AccountId) -> Result<Option<Holder>, DbError> {
    let tenant = model.tenant;
    let Some(row) = db::account::find_account(source.again(), tenant, account).await? else { return Ok(None) };
    let assignments = db::assignment::list_held(source.again(), tenant, account).await?;
    let groups = db::group::list_group_ids(source, tenant, account).await?;
    Ok(Some(Holder { row, assignments, groups }))
}

/// The right to do `A` to the account: at its home organization, by a role that manages everything the account holds.
pub async fn authorize_over<A: Action>(
    source: impl Into<Target<'_>>,
    actor: &Actor,
    model: &RoleModel,
    account: AccountId,
) -> Result<(Holder, Grant<A>), HolderError> {
    let mut source = source.into();
    let Some(holder) = find(source.again(), model, account).await? else {
        authorize::<A>(actor, model, model.organizations.root())?;
        return Err(HolderError::NotFound);
    };
    let own_groups = match actor.account_id() {
        Some(own) => db::group::list_group_ids(source, model.tenant, own).await?,
        None => BTreeSet::new(),
    };
    let target = access::Target { assignments: &holder.assignments, groups: &holder.groups };
    let grant = authorize_over_account(actor, model, holder.row.account.home_organization, &target, &own_groups)?;
    Ok((holder, grant))
}
