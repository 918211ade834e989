//! Members of an organization, and whose home it is: by hand, by people with the right over the account.

use std::{collections::BTreeSet, sync::Arc};

use super::organization::Store;
use crate::{
    db::{
        self, DbError, Tx,
        acting::{self, Writes},
        membership::MemberRow,
    },
    domain::{
        actor::{Actor, Occasion},
        assignment::Assignment,
        id::{AccountId, GroupId, OrganizationId},
        model::RoleModel,
    },
    policy::{
        access::{Denied, Grant, Target, authorize_over, authorize_over_account},
        action::{ReadAccounts, UpdateAccounts},
        inheritance::authorize_home_settings,
        invariant,
        places::places,
    },
    provision::{
        Precondition, ProvisionError, current_model,
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
    #[error("nobody but an owner changes the home of their own account: ask another administrator")]
    OwnHome,
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

/// Makes somebody a member, or changes what they are there. With the account's version after it.
pub async fn put(
    store: Store<'_>,
    occasion: &mut Occasion,
    organization: OrganizationId,
    account: AccountId,
    precondition: &Precondition,
    standing: Standing,
) -> Result<(MemberRow, i64), MemberError> {
    let Opened { mut tx, model, person } = begin(store, occasion, organization, account, precondition).await?;
    let home = match standing.home {
        Some(true) => Some(organization),
        Some(false) if person.home == Some(organization) => None,
        Some(false) | None => person.home,
    };
    if home != person.home {
        person.may_move(&model, &occasion.actor, home)?;
    }
    let row = membership::settle(&mut tx, &model, occasion, account, organization, standing).await?;
    let version = db::account::find_version(&mut tx, store.tenant, account).await?.ok_or(MemberError::NotFound)?;
    tx.commit().await?;
    Ok((row, version))
}

/// The account's version after it.
pub async fn remove(
    store: Store<'_>,
    occasion: &mut Occasion,
    organization: OrganizationId,
    account: AccountId,
    precondition: &Precondition,
) -> Result<i64, MemberError> {
    let Opened { mut tx, model, .. } = begin(store, occasion, organization, account, precondition).await?;
    let member = db::membership::find_member(&mut tx, store.tenant, organization, account).await?.ok_or(MemberError::NotFound)?;
    if member.home {
        return Err(MemberError::IsHome);
    }
    membership::leave(&mut tx, &model, occasion, account, organization).await?;
    let version = db::account::find_version(&mut tx, store.tenant, account).await?.ok_or(MemberError::NotFound)?;
    tx.commit().await?;
    Ok(version)
}

/// An account that may be changed at the organization, in a transaction.
struct Opened {
    tx: Tx,
    model: Arc<RoleModel>,
    person: Person,
}

/// An account under its lock, with what the right to change it depends on.
struct Person {
    id: AccountId,
    home: Option<OrganizationId>,
    assignments: Vec<Assignment>,
    groups: BTreeSet<GroupId>,
    /// The actor's.
    own_groups: BTreeSet<GroupId>,
}

impl Person {
    fn target(&self) -> Target<'_> {
        Target { assignments: &self.assignments, groups: &self.groups }
    }

    /// Whose home an account is at has it: whoever moves one takes it from there, and gives it to others. The right is asked at both
    /// ends, over all that it holds. Other security settings at the other home need the right to change them.
    fn may_move(&self, model: &RoleModel, actor: &Actor, to: Option<OrganizationId>) -> Result<(), MemberError> {
        if invariant::is_own_matter(model, actor, &[self.id]) {
            return Err(MemberError::OwnHome);
        }
        for home in [self.home, to] {
            authorize_over_account::<UpdateAccounts>(actor, model, home, &self.target(), &self.own_groups)?;
        }
        Ok(authorize_home_settings(actor, model, self.home, to)?)
    }
}

/// With the account locked, by somebody who sees it and has the right over it at the organization.
async fn begin(
    store: Store<'_>,
    occasion: &Occasion,
    organization: OrganizationId,
    account: AccountId,
    precondition: &Precondition,
) -> Result<Opened, MemberError> {
    let (tenant, actor) = (store.tenant, &occasion.actor);
    let mut tx = acting::begin(store.db, tenant, occasion, Writes::Accounts(&[account])).await?;
    let row = db::account::lock_accounts(&mut tx, tenant, &[account]).await?.remove(&account).ok_or(MemberError::NotFound)?;
    let model = current_model(&mut tx, store.published, tenant).await?;
    let seen = places::<ReadAccounts>(actor, &model).map_err(|_| MemberError::NotFound)?;
    let memberships = db::membership::list_organizations(&mut tx, tenant, account).await?;
    let home = row.account.home_organization;
    if !seen.reaches(home) && !memberships.iter().any(|at| seen.contains(*at)) {
        return Err(MemberError::NotFound);
    }
    let assignments = db::assignment::held(&mut tx, tenant, &[account]).await?.remove(&account).unwrap_or_default();
    let own = actor.account_id();
    let asked: Vec<AccountId> = [account].into_iter().chain(own).collect();
    let mut groups = db::group::memberships(&mut tx, tenant, &asked).await?;
    let own_groups = own.and_then(|own| groups.get(&own).cloned()).unwrap_or_default();
    let person = Person { id: account, home, assignments, groups: groups.remove(&account).unwrap_or_default(), own_groups };
    authorize_over::<UpdateAccounts>(actor, &model, organization, &person.target(), &person.own_groups)?;
    let version = db::account::find_version(&mut tx, tenant, account).await?.ok_or(MemberError::NotFound)?;
    precondition.check(version)?;
    Ok(Opened { tx, model, person })
}
