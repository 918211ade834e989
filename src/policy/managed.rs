//! Whom a role manages: permissions say what may be done, `managed_roles` and `managed_groups` to whom.
//!
//! They bind people, never a sync: SCIM deactivates a leaver whatever roles he holds.

use std::collections::BTreeSet;

use crate::domain::{
    assignment::Assignment,
    id::{GroupId, OrganizationId, RoleId},
    model::RoleModel,
    role::{ManagedGroups, ManagedRoles},
};

use super::permission::acts_at;

/// Stands for an account without any role.
const NONE: &str = "@none";

/// The account that somebody wants to change, as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Live and dormant: a blocked administrator is still one.
    pub assignments: &'a [Assignment],
    pub groups: &'a BTreeSet<GroupId>,
}

/// Whether a holder of the role manages the account at the organization. `own_groups` are the holder's, read now: who leaves
/// a group no longer manages it.
pub(super) fn manages(model: &RoleModel, role: RoleId, at: OrganizationId, target: &Target, own_groups: &BTreeSet<GroupId>) -> bool {
    let Some(role) = model.role(role) else { return false };
    if role.owner_class {
        return true;
    }
    let acting = target.assignments.iter().filter(|assignment| acts_at(model, assignment, at, assignment.holding.resource_scope));
    let held: BTreeSet<String> = acting.map(|assignment| assignment.holding.role.to_string()).collect();
    let roles = match &role.managed_roles {
        ManagedRoles::All => true,
        ManagedRoles::Only(managed) if held.is_empty() => managed.iter().any(|key| key == NONE),
        ManagedRoles::Only(managed) => held.iter().all(|role| managed.contains(role)),
    };
    let groups = match &role.managed_groups {
        ManagedGroups::All => true,
        ManagedGroups::Own => target.groups.is_subset(own_groups),
        ManagedGroups::Only(managed) => target.groups.iter().all(|group| managed.contains(&group.to_string())),
    };
    roles && groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{actor::Actor, role::Role},
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
        let one =
            Role { managed_groups: ManagedGroups::Only(vec![group(1).to_string()]), ..custom_role(902, "Desk", &["user_management:*"]) };
        tenant("idaas", vec![curator, own, one])
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
        assert_eq!(disables(&model, "Group admin", &[], &[], &[]), Ok(()));
        assert_eq!(disables(&model, "Desk", &[], &[1], &[]), Ok(()));
        assert_eq!(disables(&model, "Desk", &[], &[1, 2], &[1, 2]), Err("out_of_reach"));
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
