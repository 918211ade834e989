//! Inheritance from the organizations above, and how a move changes it.
//!
//! A move grants roles and withdraws roles. It needs the rights that the same grants and withdrawals need by hand.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    actor::Actor,
    assignment::{Assignment, Holding, Reach},
    capability::Capability,
    id::{AccountId, GroupId, OrganizationId, RoleId},
    model::RoleModel,
    organization::OrganizationTree,
};

use super::{
    access::{Denied, Target, permit, permit_below},
    assigning::{Assignee, authorize_grant, authorize_revoke},
    mapping::Mapping,
    rule::{Effect, Place, Rule},
};

/// A role that an account holds at an organization and at all organizations below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reaching {
    pub account: AccountId,
    pub role: RoleId,
    /// The organization of the assignment.
    pub organization: OrganizationId,
    pub may_delegate: bool,
}

/// One organization, in the tree before and after a move.
#[derive(Debug, Clone, Copy)]
pub struct Relocation<'t> {
    pub organization: OrganizationId,
    pub before: &'t OrganizationTree,
    pub after: &'t OrganizationTree,
}

/// Roles that accounts gain and lose at the moved organization and at all organizations below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shift {
    pub gained: Vec<Reaching>,
    pub lost: Vec<Reaching>,
}

/// Everything that a move changes for the moved organization.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    pub shift: Shift,
    /// The security settings in force are different.
    pub settings: bool,
    /// An application token of an organization above reads the moved organization only before or only after the move.
    pub app_tokens: bool,
    /// A rule of a connection above can name the moved organization only before or only after the move.
    pub rules: bool,
}

/// The facts about an account that the right to grant it a role depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Affected {
    pub home: Option<OrganizationId>,
    pub assignments: Vec<Assignment>,
    pub groups: BTreeSet<GroupId>,
}

impl Relocation<'_> {
    /// Returns the organizations that are above the moved organization only before or only after the move.
    #[must_use]
    pub fn exchanged(&self) -> BTreeSet<OrganizationId> {
        &self.line(self.before) ^ &self.line(self.after)
    }

    /// Returns the moved organization and the organizations that stay above it.
    #[must_use]
    pub fn kept(&self) -> BTreeSet<OrganizationId> {
        &self.line(self.before) & &self.line(self.after)
    }

    /// Returns the old and the new parent.
    #[must_use]
    pub fn ends(&self) -> BTreeSet<OrganizationId> {
        [self.before, self.after].into_iter().filter_map(|tree| tree.find(self.organization)?.parent).collect()
    }

    /// Returns whether accounts at home in the moved organization have other security settings after the move.
    #[must_use]
    pub fn changes_settings(&self) -> bool {
        self.before.in_force(Some(self.organization)) != self.after.in_force(Some(self.organization))
    }

    /// Returns which of these roles start to reach the moved organization, and which stop.
    ///
    /// `held` has the roles held at [`Self::exchanged`], and the same roles of the same accounts held at [`Self::kept`].
    #[must_use]
    pub fn shift(&self, held: &[Reaching]) -> Shift {
        let (before, after) = (self.line(self.before), self.line(self.after));
        Shift { gained: missing(held, &after, &before), lost: missing(held, &before, &after) }
    }

    /// Returns whether a rule of the connection's mapping can name the moved organization, or one below it, only before or only after the move.
    #[must_use]
    pub fn changes_rules(&self, anchor: OrganizationId, mapping: &Mapping) -> bool {
        self.exchanged().contains(&anchor) && mapping.rules.iter().any(|rule| self.can_be_named_by(rule))
    }

    fn can_be_named_by(&self, rule: &Rule) -> bool {
        let inside = |place: &Place| match place {
            Place::Fixed(organization) => self.before.is_within(*organization, self.organization),
            Place::Template(_) => true,
        };
        // Rules published at the root name every organization, wherever it is.
        !rule.root_published
            && rule.effects.iter().any(|effect| match effect {
                Effect::Grant { organization, .. } | Effect::Exclude { organization, .. } => inside(organization),
                Effect::SetHomeOrganization { .. } => true,
                Effect::DenySignIn { .. } | Effect::SetKind(_) => false,
            })
    }

    fn line(&self, tree: &OrganizationTree) -> BTreeSet<OrganizationId> {
        tree.line(self.organization).collect()
    }
}

/// Returns the roles held at `there` that the same account does not hold at `here`, or cannot delegate there.
fn missing(held: &[Reaching], there: &BTreeSet<OrganizationId>, here: &BTreeSet<OrganizationId>) -> Vec<Reaching> {
    let mut known: BTreeMap<(AccountId, RoleId), bool> = BTreeMap::new();
    for one in held.iter().filter(|one| here.contains(&one.organization)) {
        *known.entry((one.account, one.role)).or_default() |= one.may_delegate;
    }
    let is_new = |one: &&Reaching| known.get(&(one.account, one.role)).is_none_or(|delegable| one.may_delegate && !delegable);
    held.iter().filter(|one| there.contains(&one.organization)).filter(is_new).copied().collect()
}

impl Effects {
    /// Returns what only an owner changes, and the move changes too.
    fn of_owners(&self, model: &RoleModel) -> impl Iterator<Item = Capability> {
        let is_owners = |one: &Reaching| model.role(one.role).is_some_and(|role| role.owner_class);
        let owners = self.shift.gained.iter().chain(&self.shift.lost).any(is_owners);
        [
            (owners, Capability::OwnersGrant),
            (self.settings, Capability::SecuritySettingsUpdate),
            (self.app_tokens, Capability::AppTokensManage),
            (self.rules, Capability::MappingPublish),
        ]
        .into_iter()
        .filter_map(|(differs, capability)| differs.then_some(capability))
    }

    /// Names what differs beside roles.
    pub fn also_different(&self) -> impl Iterator<Item = &'static str> {
        let named = [(self.settings, "security_settings"), (self.app_tokens, "app_tokens"), (self.rules, "rules")];
        named.into_iter().filter_map(|(differs, name)| differs.then_some(name))
    }

    /// Returns the accounts that gain or lose a role.
    #[must_use]
    pub fn accounts(&self) -> BTreeSet<AccountId> {
        self.shift.gained.iter().chain(&self.shift.lost).map(|one| one.account).collect()
    }
}

/// Returns whether the actor is an owner of the moved organization and of both of its parents: then every effect of the move is theirs to make.
#[must_use]
pub fn owns_both_ends(actor: &Actor, model: &RoleModel, moved: &Relocation) -> bool {
    let mut places = moved.ends().into_iter().chain([moved.organization]);
    places.all(|at| {
        let of_owners =
            [Capability::OwnersGrant, Capability::SecuritySettingsUpdate, Capability::AppTokensManage, Capability::MappingPublish];
        of_owners.into_iter().all(|capability| permit_below(actor, model, capability, at).is_ok())
    })
}

/// Checks that the actor may make the effects of a move: what is an owner's at both ends, and each role as a grant or a withdrawal by hand.
///
/// `model` has the tree before the move. `people` has every account of [`Effects::accounts`]. `own_groups` are the actor's.
///
/// # Errors
/// The first right that is missing.
pub fn authorize_relocation(
    actor: &Actor,
    model: &RoleModel,
    moved: &Relocation,
    effects: &Effects,
    people: &BTreeMap<AccountId, Affected>,
    own_groups: &BTreeSet<GroupId>,
) -> Result<(), Denied> {
    if owns_both_ends(actor, model, moved) {
        return Ok(());
    }
    for capability in effects.of_owners(model) {
        for end in moved.ends() {
            permit_below(actor, model, capability, end)?;
        }
    }
    let nobody = Affected::default();
    let at = |one: &Reaching| Holding { role: one.role, organization: moved.organization, resource_scope: None, reach: Reach::Subtree };
    let to = |one: &Reaching| {
        let person = people.get(&one.account).unwrap_or(&nobody);
        let target = Target { assignments: &person.assignments, groups: &person.groups };
        Assignee { account: Some(one.account), home: person.home, target }
    };
    for one in &effects.shift.gained {
        authorize_grant(actor, model, &at(one), &to(one), own_groups)?;
    }
    for one in &effects.shift.lost {
        authorize_revoke(actor, model, &at(one), &to(one), own_groups)?;
    }
    Ok(())
}

/// Checks that the actor may give an account another home, as far as security settings depend on the home.
///
/// # Errors
/// When the settings in force differ and the actor may not change them at both homes.
pub fn authorize_home_settings(
    actor: &Actor,
    model: &RoleModel,
    from: Option<OrganizationId>,
    to: Option<OrganizationId>,
) -> Result<(), Denied> {
    let tree = &model.organizations;
    if tree.in_force(from) == tree.in_force(to) {
        return Ok(());
    }
    for home in [from, to] {
        permit(actor, model, Capability::SecuritySettingsUpdate, home.unwrap_or_else(|| tree.root()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
