//! Who may give or take a role: an owner any, others by a pair that opens it, or by delegation exactly the role they hold.
//!
//! Nobody changes their own roles, except to resign one. Whether the account may hold the role at all is asked of
//! `invariant::eligible`, and whether enough owners stay of `invariant::person_may_leave`.

use std::collections::BTreeSet;

use crate::domain::{
    actor::{AccountActor, Actor},
    assignment::{Assignment, Holding, Reach},
    capability::Capability,
    id::{AccountId, GroupId, OrganizationId},
    model::RoleModel,
    role::{ManagedRoles, Role},
};

use super::{
    access::{Denied, Grant, Target, now_and_at_sign_in, opens, permit, within_session},
    action::{Action, GrantAssignments, RevokeAssignments},
    ceiling::{self, Gift},
    managed::{Extent, manages},
    permission::{Verdict, acts_at},
    places::places,
};

/// The account whose roles change, as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Assignee<'a> {
    /// `None`: whoever comes.
    pub account: Option<AccountId>,
    pub home: Option<OrganizationId>,
    pub target: Target<'a>,
}

/// Whether the actor may give this to the account. `own_groups` are the actor's.
///
/// # Errors
/// With the reason, and what would help.
pub fn authorize_grant(
    actor: &Actor,
    model: &RoleModel,
    holding: &Holding,
    to: &Assignee,
    own_groups: &BTreeSet<GroupId>,
) -> Result<Grant<GrantAssignments>, Denied> {
    let role = model.role(holding.role);
    now_and_at_sign_in(actor, model, GrantAssignments::CAPABILITY, |actor, then| {
        let bound = may_change_by::<GrantAssignments>(actor, then, holding, to, own_groups)?;
        match (role, actor) {
            (Some(role), Actor::Account(account)) => bound.check(account, then, model, Gift { role, holding }),
            // Nobody can hold a role that does not exist; the operator of the host is not bound.
            _ => Ok(()),
        }
    })?;
    Ok(Grant::new(actor, holding.organization))
}

/// Whether the actor may take this from the account; one's own may always be resigned.
///
/// # Errors
/// With the reason, and what would help.
pub fn authorize_revoke(
    actor: &Actor,
    model: &RoleModel,
    holding: &Holding,
    from: &Assignee,
    own_groups: &BTreeSet<GroupId>,
) -> Result<Grant<RevokeAssignments>, Denied> {
    if from.account.is_some() && actor.account_id() == from.account {
        if let Actor::Account(account) = actor {
            within_session(account, RevokeAssignments::CAPABILITY)?;
        }
        return Ok(Grant::new(actor, holding.organization));
    }
    now_and_at_sign_in(actor, model, RevokeAssignments::CAPABILITY, |actor, model| {
        may_change_by::<RevokeAssignments>(actor, model, holding, from, own_groups).map(drop)
    })?;
    Ok(Grant::new(actor, holding.organization))
}

/// What a role comes to that everybody gets who joins an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// It comes from now on: as a grant of all of it.
    Anew,
    /// It came before. What it gives more is for `ceiling::check_widening`.
    AsBefore,
}

/// Whether the actor may let the role come by itself, to people who are not here yet: who may grant it anywhere to somebody who holds
/// nothing.
///
/// # Errors
/// With the reason, and what would help.
pub fn authorize_auto_assign(actor: &Actor, model: &RoleModel, role: &Role, coming: Coming) -> Result<Grant<GrantAssignments>, Denied> {
    let nobodys = BTreeSet::new();
    let newcomer = Assignee { account: None, home: None, target: Target { assignments: &[], groups: &nobodys } };
    let holding = ceiling::everywhere(model, role.id);
    now_and_at_sign_in(actor, model, GrantAssignments::CAPABILITY, |actor, then| {
        let bound = may_change_by::<GrantAssignments>(actor, then, &holding, &newcomer, &nobodys)?;
        match (coming, actor) {
            (Coming::Anew, Actor::Account(account)) => bound.check(account, then, model, Gift { role, holding: &holding }),
            _ => Ok(()),
        }
    })?;
    Ok(Grant::new(actor, holding.organization))
}

/// Whether the actor may give anything to anybody at all: by a pair that opens it somewhere, or by a role that they hold to pass on.
/// What exactly and to whom, [`authorize_grant`] says of each.
///
/// # Errors
/// With the reason at the root.
pub fn may_grant_something(actor: &Actor, model: &RoleModel) -> Result<(), Denied> {
    let Err(denied) = places::<GrantAssignments>(actor, model) else { return Ok(()) };
    let Actor::Account(account) = actor else { return Err(denied) };
    within_session(account, GrantAssignments::CAPABILITY)?;
    let mut origins = account.assignments.iter().flat_map(|held| &held.origins);
    if model.settings.delegation && origins.any(|row| row.may_delegate) { Ok(()) } else { Err(denied) }
}

/// Whether what somebody gives is compared with what they may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// An owner acts, an owner named the role for this, or it is passed on.
    Exempt,
    OwnRights,
}

impl Bound {
    fn check(self, account: &AccountActor, then: &RoleModel, model: &RoleModel, gift: Gift<'_>) -> Result<(), Denied> {
        match self {
            Self::Exempt => Ok(()),
            Self::OwnRights => ceiling::check_own(account, then, model, GrantAssignments::CAPABILITY, gift),
        }
    }
}

fn may_change_by<A: Action>(
    actor: &Actor,
    model: &RoleModel,
    holding: &Holding,
    other: &Assignee,
    own_groups: &BTreeSet<GroupId>,
) -> Result<Bound, Denied> {
    let at = holding.organization;
    let account = match actor {
        Actor::HostOperator => return Ok(Bound::Exempt),
        Actor::Scim { .. } | Actor::Application { .. } | Actor::Saml { .. } | Actor::System => {
            return Err(Denied::NotAPerson { capability: A::CAPABILITY, actor: actor.kind() });
        }
        Actor::Account(account) => account,
    };
    within_session(account, A::CAPABILITY)?;
    if Some(account.account) == other.account {
        return Err(Denied::SelfAssignment { capability: A::CAPABILITY });
    }
    if model.role(holding.role).is_some_and(|role| role.owner_class) {
        within_session(account, Capability::OwnersGrant)?;
    }
    let within_reach = |held: &&Assignment| acts_at(model, held, at, None) && held.holding.reach >= holding.reach;
    let owner_class = |held: &Assignment| model.role(held.holding.role).is_some_and(|role| role.owner_class);
    if account.assignments.iter().filter(within_reach).any(owner_class) {
        let as_owner = within_session(account, Capability::OwnersGrant).is_ok();
        return Ok(if as_owner { Bound::Exempt } else { Bound::OwnRights });
    }
    if model.role(holding.role).is_some_and(|role| role.owner_class) {
        return Err(Denied::OwnerOnly { capability: Capability::OwnersGrant });
    }
    let permits = |held: &&Assignment| {
        opens(model, held, A::CAPABILITY) == Verdict::Allowed
            && manages(model, held, Extent::At(at), &other.target, own_groups)
            && manages_role(model, held, holding)
    };
    let permitting: Vec<_> = account.assignments.iter().filter(within_reach).filter(permits).collect();
    if permitting.iter().any(|held| is_named(model, held, holding)) || delegates(model, account, holding, other, own_groups) {
        return Ok(Bound::Exempt);
    }
    if !permitting.is_empty() {
        return Ok(Bound::OwnRights);
    }
    permit(actor, model, A::CAPABILITY, at)?;
    Err(Denied::OutOfReach { capability: A::CAPABILITY })
}

/// Whoever manages some roles only gives and takes no others.
fn manages_role(model: &RoleModel, held: &Assignment, holding: &Holding) -> bool {
    model.role(held.holding.role).is_some_and(|role| match &role.managed_roles {
        ManagedRoles::All => true,
        ManagedRoles::Only(managed) => managed.contains(&holding.role.to_string()),
    })
}

/// Whether an owner named the role for those who hold this.
fn is_named(model: &RoleModel, held: &Assignment, holding: &Holding) -> bool {
    model.role(held.holding.role).is_some_and(|role| role.owner_named.contains(&holding.role.to_string()))
}

/// The role is held with the right to pass it on, at an organization from which it reaches the place and the account's home.
fn delegates(model: &RoleModel, account: &AccountActor, holding: &Holding, other: &Assignee, own_groups: &BTreeSet<GroupId>) -> bool {
    let passes_on = |held: &&Assignment| {
        held.holding.role == holding.role
            && held.origins.iter().any(|row| row.may_delegate)
            && acts_at(model, held, holding.organization, None)
            && (held.holding.reach == Reach::Subtree || holding.reach == Reach::Organization)
            && other.home.is_some_and(|home| acts_at(model, held, home, None))
    };
    model.settings.delegation
        && account.assignments.iter().filter(passes_on).any(|held| {
            manages(model, held, Extent::At(holding.organization), &other.target, own_groups) && manages_role(model, held, holding)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::role::Role,
        policy::fixture::{EU, EU_WEST, ROOT, US, by_hand, custom_role, holding, id, in_scope, person, role_id, tenant},
    };

    const SOMEBODY: u128 = 50;

    fn partners() -> RoleModel {
        let roles = vec![custom_role(900, "Partner admin", &["users:*"]), custom_role(901, "Viewer", &["users:read"])];
        tenant("delegated-user-management", roles)
    }

    /// A partner administrator of the EU, who may pass the role on or not.
    fn partner(may_delegate: bool) -> Actor {
        let mut held = by_hand([holding(id(900), EU)]);
        held[0].origins[0].may_delegate = may_delegate;
        person(held)
    }

    fn grants(model: &RoleModel, actor: &Actor, held: &Holding, to: u128, home: Option<u128>) -> Result<(), &'static str> {
        let target = Target { assignments: &[], groups: &BTreeSet::new() };
        let to = Assignee { account: Some(id(to)), home: home.map(id), target };
        authorize_grant(actor, model, held, &to, &BTreeSet::new()).map(|_| ()).map_err(|denied| denied.code())
    }

    #[test]
    fn delegation_passes_on_exactly_the_role_held_within_its_reach() {
        let model = partners();
        let grant = |actor: &Actor, role: u128, at: u128, home| grants(&model, actor, &holding(id(role), at), SOMEBODY, home);
        assert_eq!(grant(&partner(true), 900, EU_WEST, Some(EU_WEST)), Ok(()));
        assert_eq!(grant(&partner(true), 900, EU, Some(EU)), Ok(()));
        assert_eq!(grant(&partner(true), 901, EU_WEST, Some(EU_WEST)), Err("not_permitted"), "a role one does not hold");
        assert_eq!(grant(&partner(false), 900, EU_WEST, Some(EU_WEST)), Err("not_permitted"), "without the right to pass it on");
        assert_eq!(grant(&partner(true), 900, US, Some(EU)), Err("not_permitted"), "outside the subtree");
        assert_eq!(grant(&partner(true), 900, EU, Some(US)), Err("not_permitted"), "to an account of another subtree");
        assert_eq!(grant(&partner(true), 900, EU, None), Err("not_permitted"), "to an account of no organization");
        assert_eq!(grants(&model, &partner(true), &holding(id(900), EU), 40, Some(EU)), Err("self_assignment"));
        assert_eq!(grant(&partner(true), 101, EU, Some(EU)), Err("owner_only"));
    }

    #[test]
    fn delegation_gives_no_wider_reach_than_it_has_and_only_where_the_preset_has_it() {
        let model = partners();
        let mut narrow = by_hand([Holding { reach: Reach::Organization, ..holding(id(900), EU) }]);
        narrow[0].origins[0].may_delegate = true;
        let narrow = person(narrow);
        assert_eq!(grants(&model, &narrow, &holding(id(900), EU), SOMEBODY, Some(EU)), Err("not_permitted"));
        let same = Holding { reach: Reach::Organization, ..holding(id(900), EU) };
        assert_eq!(grants(&model, &narrow, &same, SOMEBODY, Some(EU)), Ok(()));
        let undelegated = tenant("dashboard", vec![custom_role(900, "Partner admin", &["users:*"])]);
        assert_eq!(grants(&undelegated, &partner(true), &holding(id(900), EU), SOMEBODY, Some(EU)), Err("not_permitted"));
    }

    #[test]
    fn who_passes_on_a_role_may_give_something_and_who_holds_it_only_does_not() {
        let model = partners();
        let may = |model: &RoleModel, actor: &Actor| may_grant_something(actor, model).map_err(|denied| denied.code());
        assert_eq!(may(&model, &partner(true)), Ok(()));
        assert_eq!(may(&model, &partner(false)), Err("not_permitted"));
        assert_eq!(may(&model, &person(by_hand([holding(id(101), EU)]))), Ok(()), "an owner of some place");
        let undelegated = tenant("dashboard", vec![custom_role(900, "Partner admin", &["users:*"])]);
        assert_eq!(may(&undelegated, &partner(true)), Err("not_permitted"), "where the preset has no delegation");
        let Actor::Account(account) = partner(true) else { panic!("a person was expected") };
        let token = Actor::Account(AccountActor { only: Some([Capability::AccountsRead].into()), ..account });
        assert_eq!(may(&model, &token), Err("not_in_token"));
    }

    #[test]
    fn an_owner_gives_any_role_to_any_other_account() {
        let model = partners();
        let owner = person(by_hand([holding(id(101), ROOT)]));
        for (role, at, home) in [(101, ROOT, Some(ROOT)), (900, US, None), (901, EU_WEST, Some(US))] {
            assert_eq!(grants(&model, &owner, &holding(id(role), at), SOMEBODY, home), Ok(()));
        }
        assert_eq!(grants(&model, &owner, &holding(id(101), ROOT), 40, Some(ROOT)), Err("self_assignment"));
        let owner_of_eu = person(by_hand([holding(id(101), EU)]));
        assert!(grants(&model, &owner_of_eu, &holding(id(101), ROOT), SOMEBODY, Some(EU)).is_err());
    }

    #[test]
    fn a_pair_that_names_it_opens_granting_but_never_owners_nor_unmanaged_roles() {
        let auditor = role_id(&tenant("idaas", vec![]), "Auditor");
        let managed = ManagedRoles::Only(vec![auditor.to_string(), "@none".into()]);
        let curator = Role { owner_named: managed.entries(), managed_roles: managed.clone(), ..grantor(900, "Super Auditor") };
        let unnamed = Role { managed_roles: managed, ..grantor(902, "Named by no owner") };
        let desk = custom_role(901, "Role desk", &["user_role_management:*", "user_management:*", "groups_management:read"]);
        let model = tenant("idaas", vec![curator, desk, unnamed, grantor(903, "Grants alone")]);
        let actor = |role: u128| person(by_hand([holding(id(role), EU)]));
        let help_desk = role_id(&model, "Help Desk Administrator");
        assert_eq!(grants(&model, &actor(901), &holding(help_desk, EU_WEST), SOMEBODY, None), Ok(()), "of no organization is fine here");
        assert_eq!(grants(&model, &actor(901), &holding(help_desk, US), SOMEBODY, None), Err("not_permitted"));
        assert_eq!(grants(&model, &actor(901), &holding(role_id(&model, "Super Administrator"), EU), SOMEBODY, None), Err("owner_only"));
        assert_eq!(grants(&model, &actor(900), &holding(auditor, EU), SOMEBODY, None), Ok(()));
        assert_eq!(grants(&model, &actor(900), &holding(help_desk, EU), SOMEBODY, None), Err("out_of_reach"));
        assert_eq!(grants(&model, &actor(902), &holding(auditor, EU), SOMEBODY, None), Err("beyond_own_rights"));
        assert_eq!(grants(&model, &actor(903), &holding(help_desk, EU), SOMEBODY, None), Err("beyond_own_rights"));
    }

    fn grantor(value: u128, name: &str) -> Role {
        custom_role(value, name, &["user_role_management:*"])
    }

    #[test]
    fn one_resigns_a_role_and_takes_others_only_with_the_right_to() {
        let model = partners();
        let revokes = |actor: &Actor, from: u128, held: &Holding| {
            let target = Target { assignments: &[], groups: &BTreeSet::new() };
            authorize_revoke(actor, &model, held, &Assignee { account: Some(id(from)), home: Some(id(EU)), target }, &BTreeSet::new())
                .is_ok()
        };
        let held = holding(id(900), EU);
        assert!(revokes(&partner(false), 40, &held), "one's own");
        assert!(revokes(&partner(true), SOMEBODY, &held) && !revokes(&partner(false), SOMEBODY, &held));
        assert!(revokes(&Actor::HostOperator, SOMEBODY, &held) && !revokes(&Actor::System, SOMEBODY, &held));
    }

    #[test]
    fn a_role_in_a_context_gives_nobody_anything() {
        let model = tenant("owner-member", vec![]);
        let actor = person(by_hand([in_scope(id(106), EU, 600)]));
        assert_eq!(grants(&model, &actor, &in_scope(id(106), EU, 600), SOMEBODY, Some(EU)), Err("not_permitted"));
    }
}
