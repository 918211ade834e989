//! What binds even an owner: a tenant keeps its owners, and a role keeps its permissions.
//!
//! An *owner assignment* is an owner-class role at the root. An owner is *usable* while the account may also sign in.
//! People are refused; a sync never is: it withdraws the sign-in at once, but the last owner assignment of a tenant stays on
//! a `retention` origin until another owner is there.

use crate::domain::{
    assignment::{Assignment, Holding, Origin},
    catalogue::{Catalogue, Permission},
    model::{RoleModel, Settings},
    role::Role,
};

use super::diff::{Plan, apply, origins};

/// What must be known of the tenant's other accounts; read under the owner-floor lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerFacts {
    /// Other accounts with an owner assignment, whether they may sign in or not.
    pub other_owners: i64,
    /// Other usable owners.
    pub other_usable: i64,
    /// Whether this account may sign in, before and after the change.
    pub usable_before: bool,
    pub usable_after: bool,
}

/// Somebody must look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    #[error(
        "the last owner assignment of the tenant was kept although its cause is gone; make another owner, or use `rolegate owner recover`"
    )]
    LastOwnerRetained { holding: Holding },
    #[error("the tenant has {usable} usable owners and should have {min_owners}; make another owner")]
    BelowFloor { usable: i64, min_owners: i64 },
}

/// A plan that leaves the tenant its last owner, with what to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    pub plan: Plan,
    pub alarms: Vec<Alarm>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this would leave {after} usable owners, and at least {floor} must stay: make another owner first")]
pub struct OwnerFloor {
    pub after: i64,
    pub floor: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleFault {
    #[error("a role needs at least one permission")]
    NoPermission,
    #[error("{0} names nothing in the catalogue")]
    UnknownPermission(Permission),
    #[error("{0} is an owner's alone and cannot be put into a role")]
    OwnerOnly(Permission),
    #[error("{0} is held in a context or resource, and this role is held at organizations")]
    WrongScopeKind(Permission),
}

/// Whether holding this makes an owner of the tenant.
#[must_use]
pub fn is_owner_assignment(model: &RoleModel, holding: &Holding) -> bool {
    holding.resource_scope.is_none()
        && holding.organization == model.organizations.root()
        && model.role(holding.role).is_some_and(|role| role.owner_class)
}

/// Whether the account holds an owner assignment.
#[must_use]
pub fn is_owner(model: &RoleModel, current: &[Assignment]) -> bool {
    current.iter().any(|assignment| is_owner_assignment(model, &assignment.holding))
}

/// Whether the plan gives or takes an owner assignment: only then is the owner floor locked and read.
#[must_use]
pub fn touches_owners(model: &RoleModel, plan: &Plan) -> bool {
    let added = plan.add.iter().map(|(holding, _)| holding);
    added.chain(plan.remove.iter().map(|(_, holding, _)| holding)).any(|holding| is_owner_assignment(model, holding))
}

/// Whether after the plan the account is an owner for a reason of its own, not only by retention.
#[must_use]
pub fn brings_owner(model: &RoleModel, plan: &Plan, current: &[Assignment]) -> bool {
    apply(plan, current).iter().any(|(holding, origin)| is_owner_assignment(model, holding) && *origin != Origin::Retention)
}

/// Keeps the last owner assignment of the tenant from being withdrawn by a sync, and says what somebody must know.
///
/// The withdrawn cause goes all the same: what stays, stays on a `retention` origin.
#[must_use]
pub fn retain_last_owner(plan: Plan, current: &[Assignment], facts: OwnerFacts, model: &RoleModel) -> Retained {
    let owner = |holding: &Holding| is_owner_assignment(model, holding);
    let was_owner = origins(current).iter().any(|(holding, _)| owner(holding));
    let mut plan = plan;
    let mut alarms = Vec::new();
    if brings_owner(model, &plan, current) || facts.other_owners > 0 {
        plan.remove.extend(release_retention(current).remove);
        plan.remove.sort_unstable();
        plan.remove.dedup();
    } else if was_owner && !apply(&plan, current).iter().any(|(holding, _)| owner(holding)) {
        // Of several, the one that reaches furthest.
        let withdrawn = plan.remove.iter().map(|(_, holding, _)| *holding).filter(owner);
        if let Some(holding) = withdrawn.max_by_key(|holding| (holding.reach, std::cmp::Reverse(holding.role))) {
            plan.add.push((holding, Origin::Retention));
            alarms.push(Alarm::LastOwnerRetained { holding });
        }
    }
    let owner_after = apply(&plan, current).iter().any(|(holding, _)| owner(holding));
    let before = facts.other_usable + i64::from(was_owner && facts.usable_before);
    let usable = facts.other_usable + i64::from(owner_after && facts.usable_after);
    let min_owners = model.settings.min_owners.max(1);
    if usable < before && usable < min_owners {
        alarms.push(Alarm::BelowFloor { usable, min_owners });
    }
    Retained { plan, alarms }
}

/// What ends retention: the transaction that brings another owner applies it to the account that was retained.
#[must_use]
pub fn release_retention(retained: &[Assignment]) -> Plan {
    let rows = retained.iter().flat_map(|assignment| assignment.origins.iter().map(move |row| (assignment, row.origin)));
    let remove = rows.filter(|(_, origin)| *origin == Origin::Retention).map(|(held, origin)| (held.id, held.holding, origin)).collect();
    Plan { add: Vec::new(), remove }
}

/// Whether a person's action may leave this many usable owners, of as many as there were before.
///
/// It may not go below `min_owners`; while a tenant has fewer than that, it may not lose any.
///
/// # Errors
/// When too few would be left.
pub fn person_may_leave(owners_after: i64, min_owners: i64, owners_before: i64) -> Result<(), OwnerFloor> {
    let floor = min_owners.max(1);
    if owners_after < owners_before && owners_after < floor { Err(OwnerFloor { after: owners_after, floor }) } else { Ok(()) }
}

/// Whether a role that a person makes or edits may stand; also asked of every role before the catalogue shrinks.
///
/// # Errors
/// With the permission at fault.
pub fn check_role(role: &Role, catalogue: &Catalogue, settings: &Settings) -> Result<(), RoleFault> {
    if !role.permissions.iter().any(|permission| catalogue.resolve(permission).next().is_some()) {
        return Err(match role.permissions.first() {
            Some(permission) => RoleFault::UnknownPermission(permission.clone()),
            None => RoleFault::NoPermission,
        });
    }
    for permission in &role.permissions {
        // A selector over all entities simply does not reach what is an owner's; naming it is refused.
        let named = permission.entity.is_some();
        for (entity, action) in catalogue.resolve(permission).filter(|_| named) {
            let owners = settings.owner_only.iter().any(|pair| catalogue.covers(pair, &entity.key, action));
            if owners && !role.owner_class {
                return Err(RoleFault::OwnerOnly(permission.clone()));
            }
            if entity.scope_kind != "organization" && role.scope_kind.is_none() {
                return Err(RoleFault::WrongScopeKind(permission.clone()));
            }
        }
    }
    Ok(())
}
