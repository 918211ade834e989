//! The ceiling: people give only what they may use at that place themselves.
//!
//! It applies to grants, to sets of roles, to roles that come by joining, and to edits of a role that somebody holds. Each asks whether the
//! role gives something there that the actor could not use. Three cases are exempt: an owner acts, an owner named the role in the
//! `managed_roles` of the actor's role, or `may_delegate` passes it on. A new role that nobody holds may name anything.

use std::collections::BTreeSet;

use crate::domain::{
    actor::{AccountActor, Actor},
    assignment::{Holding, Reach},
    capability::Capability,
    catalogue::Permission,
    id::RoleId,
    model::RoleModel,
    role::{ManagedGroups, ManagedRoles, Role},
};

use super::{
    access::{Denied, now_and_at_sign_in, role_opens, within_session},
    invariant,
    permission::{Verdict, judge_role, passes_gate, reaches},
};

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

/// A role and the holding in which somebody has it or would get it.
#[derive(Debug, Clone, Copy)]
pub struct Gift<'a> {
    pub role: &'a Role,
    pub holding: &'a Holding,
}

/// Returns the holding of a role that may come to anybody anywhere: the root with everything below it.
#[must_use]
pub fn everywhere(model: &RoleModel, role: RoleId) -> Holding {
    Holding { role, organization: model.organizations.root(), resource_scope: None, reach: Reach::Subtree }
}

/// Whether an owner of the tenant acts. A token of an owner acts as one only if it was made for `owners.grant`.
#[must_use]
pub fn is_owner_of_tenant(actor: &Actor, model: &RoleModel) -> bool {
    let capability = Capability::OwnersGrant;
    let decide = |actor: &Actor, model: &RoleModel| match actor {
        Actor::HostOperator => Ok(()),
        Actor::Account(account) if invariant::is_owner(model, &account.assignments) => within_session(account, capability),
        Actor::Account(_) | Actor::Application { .. } | Actor::Scim { .. } | Actor::Saml { .. } | Actor::System => {
            Err(Denied::OwnerOnly { capability })
        }
    };
    now_and_at_sign_in(actor, model, capability, decide).is_ok()
}

/// Whether the account may use all that the gift gives. `then` is the model that its rights are read from, `model` today's.
///
/// # Errors
/// [`Denied::BeyondOwnRights`] with what is missing.
pub(super) fn check_own(
    account: &AccountActor,
    then: &RoleModel,
    model: &RoleModel,
    capability: Capability,
    gift: Gift<'_>,
) -> Result<(), Denied> {
    let parts = Part::of_account(account, then);
    check(model, &parts, capability, gift)
}

/// Whether the actor may put the role into a set, from which it is granted anywhere.
///
/// # Errors
/// [`Denied::BeyondOwnRights`] with what is missing.
pub fn check_set(actor: &Actor, model: &RoleModel, role: &Role) -> Result<(), Denied> {
    let (capability, holding) = (Capability::RolesCreate, everywhere(model, role.id));
    let gift = Gift { role, holding: &holding };
    by_account(actor, model, capability, |account, then| {
        let parts = Part::of_account(account, then);
        if parts.iter().any(|part| part.grants_by_name(model, gift.holding, role)) {
            Ok(())
        } else {
            check(model, &parts, capability, gift)
        }
    })
}

/// Whether the actor may make `after` of a role that is held at these places: what it gives more there, the actor may use there.
///
/// # Errors
/// [`Denied::BeyondOwnRights`] with what is missing at the first place.
pub fn check_widening(actor: &Actor, model: &RoleModel, before: &Role, after: &Role, places: &BTreeSet<Holding>) -> Result<(), Denied> {
    let capability = Capability::RolesUpdate;
    by_account(actor, model, capability, |account, then| {
        let own = Part::of_account(account, then);
        places.iter().try_for_each(|holding| {
            let held_before = Part { role: before, holding, only: None };
            let parts: Vec<Part<'_>> = own.iter().copied().chain([held_before]).collect();
            check_parts(model, &own, &parts, capability, Gift { role: after, holding })
        })
    })
}

/// Decides for accounts; the operator of the host may do anything, machines nothing.
fn by_account(
    actor: &Actor,
    model: &RoleModel,
    capability: Capability,
    decide: impl Fn(&AccountActor, &RoleModel) -> Result<(), Denied>,
) -> Result<(), Denied> {
    if is_owner_of_tenant(actor, model) {
        return Ok(());
    }
    now_and_at_sign_in(actor, model, capability, |actor, then| match actor {
        Actor::HostOperator => Ok(()),
        Actor::Account(account) => decide(account, then),
        Actor::Application { .. } | Actor::Scim { .. } | Actor::Saml { .. } | Actor::System => {
            Err(Denied::NotAPerson { capability, actor: actor.kind() })
        }
    })
}

fn check(model: &RoleModel, own: &[Part<'_>], capability: Capability, gift: Gift<'_>) -> Result<(), Denied> {
    check_parts(model, own, own, capability, gift)
}

/// `own` decides whether an owner of the place acts. `parts` is everything that is not new there.
fn check_parts(model: &RoleModel, own: &[Part<'_>], parts: &[Part<'_>], capability: Capability, gift: Gift<'_>) -> Result<(), Denied> {
    if own.iter().any(|part| part.owns(model, gift.holding)) {
        return Ok(());
    }
    let missing = missing(model, parts, gift);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Denied::BeyondOwnRights { capability, role: gift.role.name.to_string(), missing: missing.into_iter().collect() })
}

/// Returns what the gift gives and none of the parts has, in order. A role also gives the roles that its holders may grant by name.
fn missing(model: &RoleModel, parts: &[Part<'_>], gift: Gift<'_>) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    let mut seen = BTreeSet::from([gift.role.id]);
    let mut open = vec![gift.role];
    while let Some(role) = open.pop() {
        let given = Part { role, holding: gift.holding, only: None };
        missing.extend(role.permissions.iter().filter_map(|permission| given.lacking(model, parts, permission)));
        let named = given.named(model).filter(|named| seen.insert(named.id));
        open.extend(named.filter(|named| !parts.iter().any(|part| part.grants_by_name(model, gift.holding, named))));
    }
    missing
}

/// One role at one place with which something can be done.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    role: &'a Role,
    holding: &'a Holding,
    /// The capabilities that the token was made for. `None`: all of them.
    only: Option<&'a BTreeSet<Capability>>,
}

impl<'a> Part<'a> {
    fn of_account(account: &'a AccountActor, model: &'a RoleModel) -> Vec<Self> {
        let part = |held: &'a Holding| Some(Self { role: model.role(held.role)?, holding: held, only: account.only.as_ref() });
        account.assignments.iter().filter_map(|held| part(&held.holding)).collect()
    }

    /// Whether it acts wherever something that is held so acts.
    fn spans(&self, model: &RoleModel, other: &Holding) -> bool {
        reaches(model, self.holding, other.organization, other.resource_scope)
            && (other.resource_scope.is_some() || self.holding.reach >= other.reach)
    }

    /// Whether an owner of that whole place acts by it.
    fn owns(&self, model: &RoleModel, other: &Holding) -> bool {
        self.role.owner_class && self.carries(Capability::OwnersGrant) && self.spans(model, other)
    }

    fn carries(&self, capability: Capability) -> bool {
        self.only.is_none_or(|only| only.contains(&capability))
    }

    /// Whether the pair can be used by it.
    fn allows(&self, model: &RoleModel, entity: &str, action: &str) -> bool {
        let opened = model.catalogue.find(entity).and_then(|entity| entity.opens.get(action));
        let works = match judge_role(model, self.role, self.holding, entity, action) {
            Verdict::Allowed => true,
            // The place stands for any context or resource, in which alone such a role is held.
            Verdict::SelfService => self.role.scope_kind.is_some(),
            Verdict::NotNamed | Verdict::Gated | Verdict::OwnerOnly | Verdict::RootOnly => false,
        };
        works && opened.into_iter().flatten().all(|capability| self.carries(*capability))
    }

    /// How the permission is shown when it gives something that none of the parts has.
    fn lacking(&self, model: &RoleModel, parts: &[Part<'_>], permission: &Permission) -> Option<String> {
        if let (Some(entity), Some(action)) = (&permission.entity, &permission.action)
            && !self.allows(model, entity, action)
        {
            return None;
        }
        let having: Vec<_> = parts.iter().filter(|part| part.spans(model, self.holding) && part.has(model, self, permission)).collect();
        if !having.is_empty() && !is_done_to_accounts(model, permission) || having.iter().any(|part| manages_as_much(part.role, self.role))
        {
            None
        } else if having.is_empty() {
            Some(permission.to_string())
        } else {
            Some(format!("{permission} (over roles or groups that your role does not manage)"))
        }
    }

    /// Whether it has the permission as `other` has it, now and when the catalogue grows.
    fn has(&self, model: &RoleModel, other: &Part<'_>, permission: &Permission) -> bool {
        match (&permission.entity, &permission.action) {
            (Some(entity), Some(action)) => self.allows(model, entity, action),
            // A selector can name more later. A token that was made for a list does not carry that.
            _ => self.only.is_none() && self.has_selector(permission) && self.is_as_awake(model, other, permission),
        }
    }

    fn has_selector(&self, permission: &Permission) -> bool {
        self.role.permissions.iter().any(|held| {
            (held.entity.is_none() || held.entity == permission.entity) && (held.action.is_none() || held.action == permission.action)
        })
    }

    /// Whether everything that the gate and the kind of place leave usable there is usable here.
    fn is_as_awake(&self, model: &RoleModel, other: &Part<'_>, permission: &Permission) -> bool {
        let guards = model.settings.gate.iter().flat_map(|gate| &gate.guards);
        let mut concerned = guards.filter(|guard| permission.entity.as_ref().is_none_or(|entity| entity == *guard));
        let in_resource = |part: &Part<'_>| part.holding.resource_scope.is_some() || part.role.scope_kind.is_some();
        let names_resources =
            permission.entity.as_ref().is_none_or(|key| model.catalogue.find(key).is_some_and(|e| e.scope_kind == "resource"));
        concerned.all(|guard| passes_gate(model, self.role, guard) || !passes_gate(model, other.role, guard))
            && (!names_resources || !in_resource(other) || in_resource(self))
    }

    /// The roles that its holder may grant because an owner named them.
    fn named<'m>(&self, model: &'m RoleModel) -> impl Iterator<Item = &'m Role> + use<'m, 'a> {
        let opens = role_opens(model, self.role, self.holding, Capability::AssignmentsGrant) == Verdict::Allowed;
        let keys = self.role.owner_named.iter().filter(move |_| opens);
        // Owner-class roles are granted by owners alone.
        keys.filter_map(|key| model.role(RoleId::parse(key).ok()?)).filter(|named| !named.owner_class)
    }

    /// Whether its holder may grant the role at the place because an owner named it.
    fn grants_by_name(&self, model: &RoleModel, at: &Holding, role: &Role) -> bool {
        self.carries(Capability::AssignmentsGrant) && self.spans(model, at) && self.named(model).any(|named| named.id == role.id)
    }
}

fn is_done_to_accounts(model: &RoleModel, permission: &Permission) -> bool {
    let mut pairs = model.catalogue.resolve(permission);
    permission.entity.is_none()
        || pairs.any(|(entity, action)| entity.opens.get(action).into_iter().flatten().any(|capability| capability.is_done_to_accounts()))
}

/// Whether a holder of the first role manages everybody that a holder of the second role manages.
fn manages_as_much(own: &Role, other: &Role) -> bool {
    let roles = match (&own.managed_roles, &other.managed_roles) {
        (ManagedRoles::All, _) => true,
        (ManagedRoles::Only(_), ManagedRoles::All) => false,
        (ManagedRoles::Only(own), ManagedRoles::Only(other)) => other.iter().all(|key| own.contains(key)),
    };
    let groups = match (&own.managed_groups, &other.managed_groups) {
        (ManagedGroups::All, _) => true,
        (_, ManagedGroups::All) => false,
        (own, other) => other.entries().is_subset(&own.entries()),
    };
    own.owner_class || roles && groups
}
