//! Whom a role manages: permissions say what may be done, `managed_roles` and `managed_groups` to whom.
//!
//! They bind people, never a sync: SCIM deactivates a leaver whatever roles he holds.

use std::collections::BTreeSet;

use crate::domain::{
    actor::Actor,
    assignment::Assignment,
    id::{GroupId, OrganizationId},
    model::RoleModel,
    role::{ManagedGroups, ManagedRoles, NONE, OWN, Role},
};

use super::{
    access::{Denied, authorize, now_and_at_sign_in, opens},
    action::{Action, UpdateGroups},
    permission::{Verdict, acts_at},
};

/// The account that somebody wants to change, as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Live and dormant: a blocked administrator is still one.
    pub assignments: &'a [Assignment],
    pub groups: &'a BTreeSet<GroupId>,
}

/// How much of an account a change concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What it is at one organization.
    At(OrganizationId),
    /// All of it: who is blocked at home is blocked wherever they hold something.
    Whole,
}

/// Whether the holder of this manages the account, as far as the change goes. `own_groups` are the holder's, read now: who leaves
/// a group no longer manages it.
pub(super) fn manages(model: &RoleModel, held: &Assignment, extent: Extent, target: &Target, own_groups: &BTreeSet<GroupId>) -> bool {
    let Some(role) = model.role(held.holding.role) else { return false };
    if extent == Extent::Whole && !reaches_owner(model, held, role, target) {
        return false;
    }
    if role.owner_class {
        return true;
    }
    let concerned = target.assignments.iter().filter(|assignment| match extent {
        Extent::At(at) => acts_at(model, assignment, at, assignment.holding.resource_scope),
        Extent::Whole => true,
    });
    let held: BTreeSet<String> = concerned.map(|assignment| assignment.holding.role.to_string()).collect();
    let roles = match &role.managed_roles {
        ManagedRoles::All => true,
        ManagedRoles::Only(managed) if held.is_empty() => managed.iter().any(|key| key == NONE),
        ManagedRoles::Only(managed) => held.iter().all(|role| managed.contains(role)),
    };
    roles && reaches_groups(&role.managed_groups, target.groups, own_groups)
}

/// Who shuts an owner out takes an owner's role from a place: that is for an owner there, whatever else a role manages.
fn reaches_owner(model: &RoleModel, held: &Assignment, role: &Role, target: &Target) -> bool {
    let is_owners = |other: &&Assignment| model.role(other.holding.role).is_some_and(|role| role.owner_class);
    let mut owners = target.assignments.iter().filter(is_owners).map(|other| &other.holding);
    owners.all(|other| role.owner_class && acts_at(model, held, other.organization, other.resource_scope))
}

/// Whether the actor may change the group itself, at its organization: who is in it decides whom others manage.
///
/// # Errors
/// With the reason, and what would help.
pub fn manages_group(
    model: &RoleModel,
    actor: &Actor,
    at: OrganizationId,
    group: GroupId,
    own_groups: &BTreeSet<GroupId>,
) -> Result<(), Denied> {
    authorize::<UpdateGroups>(actor, model, at)?;
    let capability = UpdateGroups::CAPABILITY;
    now_and_at_sign_in(actor, model, capability, |actor, model| {
        let Actor::Account(account) = actor else { return Ok(()) };
        let acting = account.assignments.iter().filter(|assignment| acts_at(model, assignment, at, None));
        let mut opening = acting.filter(|assignment| opens(model, assignment, capability) == Verdict::Allowed);
        let reaches = opening.any(|assignment| {
            let role = model.role(assignment.holding.role);
            role.is_some_and(|role| role.owner_class || reaches_group(&role.managed_groups, group, own_groups))
        });
        if reaches { Ok(()) } else { Err(Denied::OutOfReach { capability }) }
    })
}

fn reaches_groups(managed: &ManagedGroups, groups: &BTreeSet<GroupId>, own_groups: &BTreeSet<GroupId>) -> bool {
    match managed {
        ManagedGroups::All => true,
        ManagedGroups::Own if groups.is_empty() => false,
        ManagedGroups::Only(managed) if groups.is_empty() => managed.iter().any(|key| key == NONE),
        ManagedGroups::Own | ManagedGroups::Only(_) => groups.iter().all(|group| reaches_group(managed, *group, own_groups)),
    }
}

fn reaches_group(managed: &ManagedGroups, group: GroupId, own_groups: &BTreeSet<GroupId>) -> bool {
    match managed {
        ManagedGroups::All => true,
        ManagedGroups::Own => own_groups.contains(&group),
        ManagedGroups::Only(managed) => {
            let is_named = |key: &String| *key == group.to_string() || (key == OWN && own_groups.contains(&group));
            managed.iter().any(is_named)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::actor::Actor,
        policy::{
            access::authorize_over,
            action::{DisableAccounts, ReadAccounts, RevokeAssignments},
            fixture::{EU, ROOT, US, by_hand, custom_role, holding, id, person, role_id, tenant},
        },
    };

    fn model() -> RoleModel {
        let auditor = role_id(&tenant("idaas", vec![]), "Auditor").to_string();
        let curator = Role {
            managed_roles: ManagedRoles::Only(vec![auditor]),
            ..custom_role(900, "Super Auditor", &["user_management:read", "user_role_management:*"])
        };
        let own = Role { managed_groups: ManagedGroups::Own, ..custom_role(901, "Group admin", &["user_management:*"]) };
        let only = |value: u128, name: &str, groups: &[&str]| Role {
            managed_groups: ManagedGroups::Only(groups.iter().map(ToString::to_string).collect()),
            ..custom_role(value, name, &["user_management:*"])
        };
        let one = group(1).to_string();
        let desks = [only(902, "Desk", &[&one]), only(903, "Wider desk", &[&one, "@none"]), only(904, "Own desk", &["@own", "@none"])];
        tenant("idaas", [curator, own].into_iter().chain(desks).collect())
    }

    fn group(value: u128) -> GroupId {
        id(value)
    }

    fn holder(model: &RoleModel, role: &str) -> Actor {
        person(by_hand([holding(role_id(model, role), ROOT)]))
    }

    fn disables(model: &RoleModel, actor: &str, roles: &[&str], groups: &[u128], own_groups: &[u128]) -> Result<(), &'static str> {
        let set = |groups: &[u128]| groups.iter().map(|value| group(*value)).collect::<BTreeSet<_>>();
        let assignments = by_hand(roles.iter().map(|role| holding(role_id(model, role), EU)));
        let target = Target { assignments: &assignments, groups: &set(groups) };
        let granted = authorize_over::<DisableAccounts>(&holder(model, actor), model, id(EU), &target, &set(own_groups));
        granted.map(|_| ()).map_err(|denied| denied.code())
    }

    #[test]
    fn help_desk_manages_end_users_auditors_and_help_desk_only() {
        let model = model();
        for within in [&[][..], &["Auditor"], &["Help Desk Administrator"], &["Auditor", "Help Desk Administrator"]] {
            assert_eq!(disables(&model, "Help Desk Administrator", within, &[], &[]), Ok(()), "{within:?}");
        }
        for beyond in [&["Super Administrator"][..], &["Super Auditor"], &["Auditor", "Super Auditor"], &["SIEM Add-on"]] {
            assert_eq!(disables(&model, "Help Desk Administrator", beyond, &[], &[]), Err("out_of_reach"), "{beyond:?}");
        }
        assert_eq!(disables(&model, "Super Administrator", &["Super Administrator"], &[], &[]), Ok(()));
    }

    #[test]
    fn what_limits_whom_does_not_widen_what() {
        let model = model();
        assert_eq!(disables(&model, "Auditor", &[], &[], &[]), Err("not_permitted"), "manages all, but only looks");
        // Nor does a second role that manages all lend its reach to the first.
        let both = ["Help Desk Administrator", "Auditor"].map(|role| holding(role_id(&model, role), ROOT));
        let assignments = by_hand([holding(role_id(&model, "Super Administrator"), EU)]);
        let target = Target { assignments: &assignments, groups: &BTreeSet::new() };
        let actor = person(by_hand(both));
        assert!(authorize_over::<DisableAccounts>(&actor, &model, id(EU), &target, &BTreeSet::new()).is_err());
        assert!(authorize_over::<ReadAccounts>(&actor, &model, id(EU), &target, &BTreeSet::new()).is_ok());
    }

    #[test]
    fn a_super_auditor_manages_auditors_and_nobody_without_a_role() {
        let model = model();
        let revokes = |roles: &[&str], at: u128| {
            let assignments = by_hand(roles.iter().map(|role| holding(role_id(&model, role), at)));
            let target = Target { assignments: &assignments, groups: &BTreeSet::new() };
            authorize_over::<RevokeAssignments>(&holder(&model, "Super Auditor"), &model, id(EU), &target, &BTreeSet::new()).is_ok()
        };
        assert!(revokes(&["Auditor"], EU) && revokes(&["Auditor"], ROOT));
        assert!(!revokes(&[], EU) && !revokes(&["Auditor", "Help Desk Administrator"], EU));
        assert!(!revokes(&["Auditor"], US), "elsewhere an auditor, here nobody");
    }

    #[test]
    fn an_admin_of_own_groups_loses_a_group_on_leaving_it() {
        let model = model();
        assert_eq!(disables(&model, "Group admin", &[], &[1], &[1, 2]), Ok(()));
        assert_eq!(disables(&model, "Group admin", &[], &[1], &[2]), Err("out_of_reach"));
        assert_eq!(disables(&model, "Desk", &[], &[1], &[]), Ok(()));
        assert_eq!(disables(&model, "Desk", &[], &[1, 2], &[1, 2]), Err("out_of_reach"));
    }

    #[test]
    fn an_account_without_a_group_is_managed_where_the_role_says_none() {
        let model = model();
        assert_eq!(disables(&model, "Desk", &[], &[], &[]), Err("out_of_reach"));
        assert_eq!(disables(&model, "Wider desk", &[], &[], &[]), Ok(()));
        assert_eq!(disables(&model, "Wider desk", &[], &[1], &[]), Ok(()));
        assert_eq!(disables(&model, "Wider desk", &[], &[2], &[]), Err("out_of_reach"));
        assert_eq!(disables(&model, "Group admin", &[], &[], &[1]), Err("out_of_reach"));
        assert_eq!(disables(&model, "Own desk", &[], &[], &[1]), Ok(()));
        assert_eq!(disables(&model, "Own desk", &[], &[1], &[1]), Ok(()));
        assert_eq!(disables(&model, "Own desk", &[], &[1], &[2]), Err("out_of_reach"));
    }

    #[test]
    fn the_host_operator_manages_everybody() {
        let model = model();
        let assignments = by_hand([holding(role_id(&model, "Super Administrator"), ROOT)]);
        let target = Target { assignments: &assignments, groups: &BTreeSet::new() };
        assert!(authorize_over::<DisableAccounts>(&Actor::HostOperator, &model, id(ROOT), &target, &BTreeSet::new()).is_ok());
        assert!(authorize_over::<DisableAccounts>(&Actor::System, &model, id(ROOT), &target, &BTreeSet::new()).is_err());
    }
}
