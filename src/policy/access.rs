//! Who may act: an actor, an action and an organization give a `Grant` or say which lever is missing.
//!
//! A use case takes the grant as an argument, so a forgotten check does not compile. Tokens of SCIM, responses of identity
//! providers and jobs pass nothing here: they act through `provision`, bounded by their connection.

use std::{fmt, marker::PhantomData};

use crate::domain::{
    actor::Actor,
    assignment::Assignment,
    id::OrganizationId,
    model::{Capability, RoleModel},
};

use super::{
    action::{self, Action},
    permission::{Verdict, acts_at, is_listed, judge},
};

pub use super::permission::{holds, permissions};

/// The right of one actor to do one thing at one organization. Only `authorize` makes one.
pub struct Grant<A> {
    actor: Actor,
    at: OrganizationId,
    action: PhantomData<fn() -> A>,
}

impl<A> Grant<A> {
    /// Who acts: for the audit row.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Where the right was asked for. It holds there, not below.
    #[must_use]
    pub fn at(&self) -> OrganizationId {
        self.at
    }
}

impl<A: Action> fmt::Debug for Grant<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({} at {})", action::name(A::CAPABILITY), self.at)
    }
}

/// Why not, and what would help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// `opened_by`: the pairs of the tenant's catalogue that would open it.
    #[error("{} is not permitted at organization {at}{}", action::name(*.capability), lever(.opened_by))]
    NotPermitted { capability: Capability, at: OrganizationId, opened_by: Vec<String> },
    #[error("{} is an owner's alone: ask an owner whose role reaches this organization", action::name(*.capability))]
    OwnerOnly { capability: Capability },
    #[error("{} is done at the root only: it needs a role that is assigned at the root organization", action::name(*.capability))]
    RootOnly { capability: Capability },
    #[error("{} is inert: the role that names it also needs {requires}", action::name(*.capability))]
    Gated { capability: Capability, requires: String },
    #[error("{} is for people: a {actor} cannot administer; sign in to an account that holds the right", action::name(*.capability))]
    NotAPerson { capability: Capability, actor: &'static str },
}

impl Denied {
    #[must_use]
    pub fn capability(&self) -> Capability {
        match self {
            Self::NotPermitted { capability, .. }
            | Self::OwnerOnly { capability }
            | Self::RootOnly { capability }
            | Self::Gated { capability, .. }
            | Self::NotAPerson { capability, .. } => *capability,
        }
    }

    /// The stable code of problem documents.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotPermitted { .. } => "not_permitted",
            Self::OwnerOnly { .. } => "owner_only",
            Self::RootOnly { .. } => "root_only",
            Self::Gated { .. } => "gate",
            Self::NotAPerson { .. } => "not_a_person",
        }
    }
}

fn lever(opened_by: &[String]) -> String {
    if opened_by.is_empty() {
        ": only an owner's role opens it in this tenant".to_owned()
    } else {
        format!(": it takes a role with {}, assigned there or above it with reach subtree", opened_by.join(" or "))
    }
}

/// Whether the actor may do `A` at the organization.
///
/// # Errors
/// With the reason, and what would help.
pub fn authorize<A: Action>(actor: &Actor, model: &RoleModel, at: OrganizationId) -> Result<Grant<A>, Denied> {
    permit(actor, model, A::CAPABILITY, at)?;
    Ok(Grant { actor: actor.clone(), at, action: PhantomData })
}

/// Whether the actor may do `A` anywhere: at the root, else at some organization where it holds a role.
/// For what has no place of its own, such as entering the console.
///
/// # Errors
/// With the reason at the root.
pub fn authorize_anywhere<A: Action>(actor: &Actor, model: &RoleModel) -> Result<Grant<A>, Denied> {
    let refused = match authorize(actor, model, model.organizations.root()) {
        Ok(grant) => return Ok(grant),
        Err(refused) => refused,
    };
    let held: &[Assignment] = match actor {
        Actor::Account(account) => &account.assignments,
        Actor::Scim { .. } | Actor::Saml { .. } | Actor::HostOperator | Actor::System => &[],
    };
    let mut places = held.iter().filter(|assignment| assignment.holding.resource_scope.is_none()).map(|a| a.holding.organization);
    places.find_map(|at| authorize(actor, model, at).ok()).ok_or(refused)
}

/// The same decision for a capability that is known only at run time, as in tables and previews.
///
/// # Errors
/// With the reason, and what would help.
pub fn permit(actor: &Actor, model: &RoleModel, capability: Capability, at: OrganizationId) -> Result<(), Denied> {
    match actor {
        Actor::HostOperator => Ok(()),
        Actor::Scim { .. } | Actor::Saml { .. } | Actor::System => Err(Denied::NotAPerson { capability, actor: actor.kind() }),
        Actor::Account(account) => {
            let acting = account.assignments.iter().filter(|assignment| acts_at(model, assignment, at, None));
            let best = acting.map(|assignment| opens(model, assignment, capability)).max().unwrap_or(Verdict::NotNamed);
            match best {
                Verdict::Allowed => Ok(()),
                Verdict::RootOnly => Err(Denied::RootOnly { capability }),
                Verdict::Gated => {
                    let requires = model.settings.gate.as_ref().map_or_else(String::new, |gate| gate.requires.to_string());
                    Err(Denied::Gated { capability, requires })
                }
                Verdict::OwnerOnly => Err(Denied::OwnerOnly { capability }),
                Verdict::NotNamed if capability.is_owner_only() => Err(Denied::OwnerOnly { capability }),
                Verdict::NotNamed => {
                    let opened_by = opening(model, capability).map(|(entity, action)| format!("{entity}:{action}")).collect();
                    Err(Denied::NotPermitted { capability, at, opened_by })
                }
            }
        }
    }
}

/// The pairs that open the capability in this tenant.
fn opening(model: &RoleModel, capability: Capability) -> impl Iterator<Item = (&str, &str)> {
    model.catalogue.iter().flat_map(move |entity| {
        let opens = entity.opens.iter().filter(move |(_, capabilities)| capabilities.contains(&capability));
        opens.map(|(action, _)| (entity.key.as_str(), action.as_str()))
    })
}

/// Whether what the assignment holds opens the capability; that it acts at the place has been asked before.
fn opens(model: &RoleModel, assignment: &Assignment, capability: Capability) -> Verdict {
    let Some(role) = model.role(assignment.holding.role) else { return Verdict::NotNamed };
    if role.owner_class {
        // An owner-class role opens every capability within its reach; what is done at the root only, even an owner does there.
        let at_root = assignment.holding.organization == model.organizations.root();
        let mut pairs = opening(model, capability).peekable();
        let root_only = |(entity, action): (&str, &str)| is_listed(model, &model.settings.root_only_actions, entity, action);
        return if !at_root && pairs.peek().is_some() && pairs.all(root_only) { Verdict::RootOnly } else { Verdict::Allowed };
    }
    if capability.is_owner_only() {
        return Verdict::OwnerOnly;
    }
    opening(model, capability).map(|(entity, action)| judge(model, assignment, entity, action)).max().unwrap_or(Verdict::NotNamed)
}
