//! Grants that people (and the files of the host's operator) make and take back. Invariant 4 binds them: they are refused where a
//! sync would be served and alarmed.

use serde_json::json;

use super::{
    ProvisionError,
    owner_floor::stays_above,
    reconcile::{Effects, Owners, release_others},
    record::Record,
};
use crate::{
    db::{self, Tx},
    domain::{
        actor::Occasion,
        assignment::{Holding, Origin},
        id::AccountId,
        model::RoleModel,
    },
    policy::{
        diff::{self, Plan},
        invariant,
    },
};

/// Adds one origin to what an account holds; nothing happens where it is there already. Whether something was written.
/// Who may grant what is decided by `policy::access` before; what the account may hold at all is decided here.
pub async fn grant(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    account: AccountId,
    holding: Holding,
    origin: Origin,
    may_delegate: bool,
) -> Result<bool, ProvisionError> {
    let accounts = db::account::lock_accounts(tx, model.tenant, &[account]).await?;
    let row = accounts.get(&account).ok_or(ProvisionError::NotFound)?;
    invariant::eligible(model, &holding, row.account.home_organization, row.account.kind)?;
    let current = db::assignment::held(tx, model.tenant, &[account]).await?.remove(&account).unwrap_or_default();
    let kind = origin.kind();
    if current.iter().any(|held| {
        held.holding == holding
            && held.origins.iter().any(|row| row.origin.kind() == kind && row.origin.connection() == origin.connection())
    }) {
        return Ok(false);
    }
    let mut plan = Plan { add: vec![(holding, origin)], remove: Vec::new() };
    let mut effects = Effects::default();
    let mut current = current;
    if invariant::touches_owners(model, &plan) {
        let mut owners = Owners::Unread;
        let rows = owners.read(tx, model).await?;
        // Under the floor's lock: another transaction may have released what was retained here.
        current = db::assignment::held(tx, model.tenant, &[account]).await?.remove(&account).unwrap_or_default();
        plan.remove = invariant::release_retention(&current).remove;
        rows.retain(|owner| owner.account != account);
        rows.extend(db::account::as_owners(tx, model.tenant, &[account]).await?.into_values());
        release_others(tx, model, account, rows, &mut effects).await?;
    }
    effects.add_delegable(occasion, account, &current, plan, may_delegate);
    let mut record = Record::default();
    effects.write(tx, model.tenant, occasion, model, None, &mut record).await?;
    record.write(tx, model.tenant, occasion).await?;
    Ok(true)
}

/// Takes back the origins of one holding for which `whose` says so. Refused when too few usable owners would be left.
pub async fn revoke(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    account: AccountId,
    holding: Holding,
    whose: impl Fn(&Origin) -> bool,
) -> Result<bool, ProvisionError> {
    let accounts = db::account::lock_accounts(tx, model.tenant, &[account]).await?;
    if !accounts.contains_key(&account) {
        return Err(ProvisionError::NotFound);
    }
    let current = db::assignment::held(tx, model.tenant, &[account]).await?.remove(&account).unwrap_or_default();
    let remove: Vec<_> = current
        .iter()
        .filter(|held| held.holding == holding)
        .flat_map(|held| held.origins.iter().filter(|row| whose(&row.origin)).map(move |row| (held.id, held.holding, row.origin)))
        .collect();
    let plan = Plan { add: Vec::new(), remove };
    if plan.is_empty() {
        return Ok(false);
    }
    if invariant::touches_owners(model, &plan) {
        let mut owners = Owners::Unread;
        let rows = owners.read(tx, model).await?;
        if db::assignment::held(tx, model.tenant, &[account]).await?.remove(&account).unwrap_or_default() != current {
            return Err(ProvisionError::Again);
        }
        let stays = diff::apply(&plan, &current).iter().any(|(holding, _)| invariant::is_owner_assignment(model, holding));
        if !stays {
            stays_above(rows, account, model.settings.min_owners)?;
        }
    }
    let mut effects = Effects::default();
    effects.add(occasion, account, &current, plan);
    let mut record = Record::default();
    record.note("assignment.revoked", "account", &account, json!({ "role": holding.role, "organization": holding.organization }));
    effects.write(tx, model.tenant, occasion, model, None, &mut record).await?;
    record.write(tx, model.tenant, occasion).await?;
    Ok(true)
}
