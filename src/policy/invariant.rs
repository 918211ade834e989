//! What binds even an owner: a tenant keeps its owners, and a role keeps its permissions.
//!
//! An *owner assignment* is an owner-class role at the root. An owner is *usable* while the account may also sign in.
//! People are refused; a sync never is: it withdraws the sign-in at once, but the last owner assignment of a tenant stays on
//! a `retention` origin until another owner is there.

use crate::domain::{
    account::AccountKind,
    actor::Actor,
    assignment::{Assignment, Holding, Origin},
    catalogue::{Catalogue, Permission},
    id::{AccountId, ConnectionId, OrganizationId},
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

/// Invariant 5: somebody can always come in when no identity provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is the last owner who can sign in without an identity provider: make another one first")]
pub struct LastLocalOwner;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleFault {
    #[error("a role needs at least one permission")]
    NoPermission,
    #[error("{0} names nothing in the catalogue")]
    UnknownPermission(Permission),
    #[error("{0} is an owner's alone and cannot be put into a role")]
    OwnerOnly(Permission),
    #[error("{0} is held on a resource, and this role is held at organizations")]
    WrongScopeKind(Permission),
    /// Of a newer version of the preset.
    #[error("{0} accounts hold it, and it would be a role for others, for other places or another one about owners")]
    Held(i64),
}

/// Why an account cannot hold a role at a place, whoever gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Ineligible {
    #[error("the role does not exist")]
    UnknownRole,
    #[error("the organization does not exist")]
    UnknownOrganization,
    #[error("the role needs an account at home in the root organization")]
    RootOnly,
    #[error("the role is for machines")]
    MachineOnly,
    #[error("the role is held in a context or resource: name one")]
    NeedsScope,
    #[error("the organization has no such context or resource")]
    UnknownScope,
    #[error("the role is held at organizations, not in a context or resource")]
    NeedsNoScope,
}

/// Whether an account of this home and kind may hold this at all: asked of grants by hand, by invitation and by rules alike.
/// An account without a home, or at home elsewhere, may hold anything that is not `root_only`.
///
/// # Errors
/// With the reason.
pub fn eligible(model: &RoleModel, holding: &Holding, home: Option<OrganizationId>, kind: AccountKind) -> Result<(), Ineligible> {
    let role = model.role(holding.role).ok_or(Ineligible::UnknownRole)?;
    if model.organizations.find(holding.organization).is_none() {
        Err(Ineligible::UnknownOrganization)
    } else if role.root_only && home != Some(model.organizations.root()) {
        Err(Ineligible::RootOnly)
    } else if role.machine_only && kind != AccountKind::Machine {
        Err(Ineligible::MachineOnly)
    } else {
        let is_here = |scope| model.organizations.find_scope(scope).is_some_and(|scope| scope.organization == holding.organization);
        match (&role.scope_kind, holding.resource_scope) {
            (None, None) => Ok(()),
            (Some(_), Some(scope)) if is_here(scope) => Ok(()),
            (Some(_), Some(_)) => Err(Ineligible::UnknownScope),
            (Some(_), None) => Err(Ineligible::NeedsScope),
            (None, Some(_)) => Err(Ineligible::NeedsNoScope),
        }
    }
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

/// Whether the account can act as an owner: an owner assignment of it is live.
#[must_use]
pub fn is_acting_owner(model: &RoleModel, current: &[Assignment]) -> bool {
    current.iter().any(|assignment| assignment.is_live() && is_owner_assignment(model, &assignment.holding))
}

/// Whether the account holds what this connection did not give it: grants of people, the right to pass a role on, roles of another connection.
/// A connection that gives the account another name must not hand these to another person.
#[must_use]
pub fn holds_beyond(connection: ConnectionId, current: &[Assignment]) -> bool {
    // Every member of the organization gets what comes by joining it.
    let elsewhere = |origin: &Origin| *origin != Origin::AutoJoin && origin.connection() != Some(connection);
    current.iter().flat_map(|held| &held.origins).any(|row| row.may_delegate || elsewhere(&row.origin))
}

/// Whether the actor is one of the accounts and no owner: what others decide of whom somebody is, nobody decides of themselves.
#[must_use]
pub fn is_own_matter(model: &RoleModel, actor: &Actor, accounts: &[AccountId]) -> bool {
    let Actor::Account(account) = actor else { return false };
    accounts.contains(&account.account) && !is_owner(model, &account.assignments)
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
            // What is done in contexts, a role held at an organization does in all of them; what is done to a resource is its holder's.
            if entity.scope_kind == "resource" && role.scope_kind.is_none() {
                return Err(RoleFault::WrongScopeKind(permission.clone()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;
    use crate::{
        domain::assignment::Reach,
        policy::{
            diff::withdraw_all,
            fixture::{BY_HAND, EU, EU_WEST, OKTA, ROOT, by_hand, custom_role, holding, id, in_scope, rule, stored, tenant},
        },
    };

    const OWNER: u128 = 101;
    const MEMBER: u128 = 103;
    const ALONE: OwnerFacts = OwnerFacts { other_owners: 0, other_usable: 0, usable_before: true, usable_after: true };

    fn model() -> RoleModel {
        tenant("owner-member", vec![])
    }

    fn synced() -> Origin {
        Origin::ScimRule { connection: id(OKTA), rule: rule(1) }
    }

    #[test]
    fn an_owner_assignment_is_an_owner_class_role_at_the_root() {
        let model = model();
        assert!(is_owner_assignment(&model, &holding(id(OWNER), ROOT)));
        assert!(!is_owner_assignment(&model, &holding(id(OWNER), EU)));
        assert!(!is_owner_assignment(&model, &holding(id(MEMBER), ROOT)));
        assert!(!is_owner_assignment(&model, &Holding { resource_scope: Some(id(600)), ..holding(id(OWNER), ROOT) }));
        assert!(is_owner(&model, &by_hand([holding(id(OWNER), ROOT)])) && !is_owner(&model, &by_hand([holding(id(OWNER), EU)])));
    }

    #[test]
    fn the_last_owner_assignment_stays_by_retention_and_somebody_hears_of_it() {
        let held = holding(id(OWNER), ROOT);
        let member = holding(id(MEMBER), ROOT);
        let current = stored([(held, synced()), (member, synced())]);
        let facts = OwnerFacts { usable_after: false, ..ALONE };
        let kept = retain_last_owner(withdraw_all(&current, id(OKTA)), &current, facts, &model());
        assert_eq!(apply(&kept.plan, &current), BTreeSet::from([(held, Origin::Retention)]));
        assert_eq!(kept.alarms, [Alarm::LastOwnerRetained { holding: held }, Alarm::BelowFloor { usable: 0, min_owners: 2 }]);
    }

    #[test]
    fn of_two_owner_assignments_the_one_that_reaches_further_stays() {
        let wide = holding(id(OWNER), ROOT);
        let narrow = Holding { reach: Reach::Organization, ..wide };
        let current = stored([(narrow, synced()), (wide, synced())]);
        let kept = retain_last_owner(withdraw_all(&current, id(OKTA)), &current, ALONE, &model());
        assert_eq!(apply(&kept.plan, &current), BTreeSet::from([(wide, Origin::Retention)]));
    }

    #[test]
    fn with_another_owner_or_another_cause_nothing_is_retained() {
        let held = holding(id(OWNER), ROOT);
        let current = stored([(held, synced())]);
        let facts = OwnerFacts { other_owners: 1, other_usable: 2, ..ALONE };
        let plain = retain_last_owner(withdraw_all(&current, id(OKTA)), &current, facts, &model());
        assert!(apply(&plain.plan, &current).is_empty() && plain.alarms.is_empty());
        let current = stored([(held, synced()), (held, BY_HAND)]);
        let plain = retain_last_owner(withdraw_all(&current, id(OKTA)), &current, ALONE, &model());
        assert_eq!(apply(&plain.plan, &current), BTreeSet::from([(held, BY_HAND)]));
    }

    #[test]
    fn a_sync_that_goes_below_the_floor_is_done_and_alarms() {
        let current = stored([(holding(id(OWNER), ROOT), synced())]);
        let facts = OwnerFacts { other_owners: 1, other_usable: 1, ..ALONE };
        let done = retain_last_owner(withdraw_all(&current, id(OKTA)), &current, facts, &model());
        assert!(apply(&done.plan, &current).is_empty());
        assert_eq!(done.alarms, [Alarm::BelowFloor { usable: 1, min_owners: 2 }]);
        // A blocked sign-in alone is enough to alarm; being below the floor as before is not.
        let blocked = retain_last_owner(Plan::default(), &current, OwnerFacts { usable_after: false, ..facts }, &model());
        assert_eq!(blocked.alarms, [Alarm::BelowFloor { usable: 1, min_owners: 2 }]);
        assert!(retain_last_owner(Plan::default(), &current, ALONE, &model()).alarms.is_empty());
    }

    #[test]
    fn retention_ends_when_another_owner_or_another_cause_is_there() {
        let held = holding(id(OWNER), ROOT);
        let retained = stored([(held, Origin::Retention)]);
        let again = retain_last_owner(Plan::default(), &retained, ALONE, &model());
        assert!(again.plan.is_empty() && again.alarms.is_empty());
        let other = OwnerFacts { other_owners: 1, other_usable: 1, ..ALONE };
        assert!(apply(&retain_last_owner(Plan::default(), &retained, other, &model()).plan, &retained).is_empty());
        let back = Plan { add: vec![(held, synced())], remove: vec![] };
        assert!(brings_owner(&model(), &back, &retained) && !brings_owner(&model(), &Plan::default(), &retained));
        let back = retain_last_owner(back, &retained, ALONE, &model());
        assert_eq!(apply(&back.plan, &retained), BTreeSet::from([(held, synced())]));
        let released = release_retention(&stored([(held, Origin::Retention), (held, BY_HAND)]));
        assert_eq!(released.remove.len(), 1);
    }

    #[test]
    fn only_plans_that_give_or_take_an_owner_touch_the_floor() {
        let model = model();
        let owner = stored([(holding(id(OWNER), ROOT), synced())]);
        let member = stored([(holding(id(MEMBER), ROOT), synced()), (holding(id(OWNER), EU), synced())]);
        assert!(touches_owners(&model, &withdraw_all(&owner, id(OKTA))));
        assert!(!touches_owners(&model, &withdraw_all(&member, id(OKTA))));
        assert!(touches_owners(&model, &Plan { add: vec![(holding(id(OWNER), ROOT), BY_HAND)], remove: vec![] }));
    }

    #[rstest]
    #[case::above_the_floor(3, 2, 2, true)]
    #[case::below_the_floor(2, 1, 2, false)]
    #[case::far_below(3, 1, 2, false)]
    #[case::the_last_one(1, 0, 2, false)]
    #[case::the_last_one_whatever_is_set(1, 0, 0, false)]
    #[case::one_is_enough_where_set(2, 1, 1, true)]
    #[case::nothing_lost_while_below(1, 1, 2, true)]
    #[case::gaining_while_below(0, 1, 2, true)]
    #[case::none_yet(0, 0, 2, true)]
    fn people_may_not_go_below_the_owner_floor(#[case] before: i64, #[case] after: i64, #[case] min_owners: i64, #[case] expected: bool) {
        assert_eq!(person_may_leave(after, min_owners, before).is_ok(), expected);
    }

    #[test]
    fn super_administrators_are_at_home_at_the_root_and_others_anywhere() {
        let partner = custom_role(900, "Partner admin", &["users:*"]);
        let model = tenant("delegated-user-management", vec![partner]);
        let at_home = |role, home: Option<u128>| eligible(&model, &holding(id(role), EU), home.map(id), AccountKind::Human);
        assert_eq!(at_home(101, Some(ROOT)), Ok(()));
        assert_eq!(at_home(101, Some(EU)), Err(Ineligible::RootOnly));
        assert_eq!(at_home(101, None), Err(Ineligible::RootOnly));
        assert_eq!(at_home(900, Some(ROOT)), Ok(()));
        assert_eq!(at_home(900, None), Ok(()), "an account without a home is accepted");
    }

    #[test]
    fn machines_and_contexts_have_roles_of_their_own() {
        let idaas = tenant("idaas", vec![]);
        let provisioning = holding(idaas.role_named("SCIM Provisioning").unwrap().id, ROOT);
        assert_eq!(eligible(&idaas, &provisioning, None, AccountKind::Human), Err(Ineligible::MachineOnly));
        assert_eq!(eligible(&idaas, &provisioning, None, AccountKind::Machine), Ok(()));
        let model = model();
        let human = |held: &Holding| eligible(&model, held, None, AccountKind::Human);
        assert_eq!(human(&holding(id(106), EU)), Err(Ineligible::NeedsScope));
        assert_eq!(human(&in_scope(id(106), EU, 600)), Ok(()));
        assert_eq!(human(&in_scope(id(106), EU, 601)), Err(Ineligible::UnknownScope));
        assert_eq!(human(&in_scope(id(106), EU_WEST, 600)), Err(Ineligible::UnknownScope), "it is another organization's");
        assert_eq!(human(&in_scope(id(MEMBER), EU, 600)), Err(Ineligible::NeedsNoScope));
        assert_eq!(human(&holding(id(MEMBER), 99)), Err(Ineligible::UnknownOrganization));
        assert_eq!(human(&holding(id(999), EU)), Err(Ineligible::UnknownRole));
    }

    #[test]
    fn a_role_needs_a_permission_that_names_something_it_may_hold() {
        let model = model();
        let check = |permissions: &[&str]| check_role(&custom_role(900, "X", permissions), &model.catalogue, &model.settings);
        assert!(check(&["administrators:read"]).is_ok() && check(&["*:*"]).is_ok());
        assert!(check(&["administrators:read", "moon:read"]).is_ok(), "one that is left is enough when the catalogue shrinks");
        assert_eq!(check(&[]), Err(RoleFault::NoPermission));
        assert!(matches!(check(&["moon:read"]), Err(RoleFault::UnknownPermission(_))));
        assert!(matches!(check(&["idp_certificates:rotate"]), Err(RoleFault::OwnerOnly(_))));
        assert!(matches!(check(&["administrators:*"]), Err(RoleFault::OwnerOnly(_))), "an entity's star names its owner's pairs too");
        assert!(matches!(check(&["access_policy:manage"]), Err(RoleFault::WrongScopeKind(_))));
        for role in model.roles() {
            assert_eq!(check_role(role, &model.catalogue, &model.settings), Ok(()), "{}", role.name);
        }
    }
}
