//! First affiliation: somebody becomes a member of an organization, and gets the roles that its members, or its first one, get.

use std::collections::BTreeMap;

use super::{reconcile::Effects, record::Record};
use crate::{
    db::{self, DbError, Tx, first_user::First},
    domain::{
        account::{Account, AccountKind},
        actor::Occasion,
        assignment::{Holding, Origin},
        id::{AccountId, OrganizationId},
        model::RoleModel,
        role::Role,
    },
    policy::{diff::Plan, invariant},
};

/// One account that comes to an organization.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joining {
    account: AccountId,
    home: Option<OrganizationId>,
    kind: AccountKind,
    organization: OrganizationId,
    /// The account was made in this transaction: it is no member anywhere.
    is_new: bool,
}

impl Joining {
    pub(crate) fn of(account: &Account, organization: OrganizationId) -> Self {
        Self { account: account.id, home: account.home_organization, kind: account.kind, organization, is_new: false }
    }

    /// As [`Self::of`], of an account that this transaction made.
    pub(crate) fn new(account: &Account, organization: OrganizationId) -> Self {
        Self { is_new: true, ..Self::of(account, organization) }
    }

    /// What the role comes to here; `None` where the account cannot hold it, or nobody gets it by joining.
    fn holding(&self, model: &RoleModel, role: &Role) -> Option<Holding> {
        let holding = Holding { role: role.id, organization: self.organization, resource_scope: None, reach: model.settings.default_reach };
        let eligible = invariant::eligible(model, &holding, self.home, self.kind).is_ok();
        (eligible && !role.owner_class).then_some(holding)
    }
}

/// Makes members, and gives new ones what comes with it. Asked last: what a sync gives at the same time has been written.
pub(crate) async fn join(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    joining: &[Joining],
    record: &mut Record,
) -> Result<(), DbError> {
    let pairs = |is_new| joining.iter().filter(move |one| one.is_new == is_new).map(|one| (one.account, one.organization)).collect();
    let (new, known): (Vec<_>, Vec<_>) = (pairs(true), pairs(false));
    let mut joined = db::account::join(tx, model.tenant, &known, occasion.now).await?;
    db::account::make_members(tx, model.tenant, &new, occasion.now).await?;
    joined.extend(new);
    if joined.is_empty() || !model.roles().any(|role| role.auto_assign_on_join || role.auto_assign_first_user) {
        return Ok(());
    }
    let new: Vec<&Joining> = joining.iter().filter(|one| joined.contains(&(one.account, one.organization))).collect();
    let mut gained: BTreeMap<AccountId, Vec<(Holding, Origin)>> = BTreeMap::new();
    for role in model.roles().filter(|role| role.auto_assign_on_join) {
        for one in &new {
            gained.entry(one.account).or_default().extend(one.holding(model, role).map(|holding| (holding, Origin::AutoJoin)));
        }
    }
    for (first, holding) in claim(tx, model, occasion, &new, &joined).await? {
        gained.entry(first).or_default().push((holding, Origin::FirstUser));
    }
    gained.retain(|_, plan| !plan.is_empty());
    let accounts: Vec<AccountId> = gained.keys().copied().collect();
    let mut held = db::assignment::held(tx, model.tenant, &accounts).await?;
    let mut effects = Effects::on_new(joining.iter().filter(|one| one.is_new).map(|one| one.account));
    for (account, add) in gained {
        let current = held.remove(&account).unwrap_or_default();
        effects.add(occasion, account, &current, Plan { add, remove: Vec::new() });
    }
    effects.write(tx, model.tenant, occasion, model, None, record).await
}

/// Of those who come to an organization where nobody was, the one who is first.
async fn claim(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &Occasion,
    new: &[&Joining],
    joined: &[(AccountId, OrganizationId)],
) -> Result<Vec<(AccountId, Holding)>, DbError> {
    let roles: Vec<&Role> = model.roles().filter(|role| role.auto_assign_first_user).collect();
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    let settled = db::first_user::list_settled(tx, model.tenant, joined).await?;
    let mut claims: BTreeMap<First, Holding> = BTreeMap::new();
    for one in new.iter().filter(|one| !settled.contains(&one.organization)) {
        let claim =
            |role: &&Role| Some((First { organization: one.organization, role: role.id, account: one.account }, one.holding(model, role)?));
        claims.extend(roles.iter().filter_map(claim));
    }
    let asked: Vec<First> = claims.keys().copied().collect();
    let won = db::first_user::claim(tx, model.tenant, &asked, occasion.now).await?;
    Ok(won.into_iter().filter_map(|first| claims.get(&first).map(|holding| (first.account, *holding))).collect())
}
