//! Effective permission: what live assignments allow, where. The answer to `/api/v1/check` and the ground of `access`.
//!
//! An assignment acts at its organization and, with reach `subtree`, below it; one in a resource scope acts only there.
//! There is no deny: what no held role names is refused.

use std::collections::BTreeSet;

use crate::domain::{
    assignment::{Assignment, Holding, Reach},
    catalogue::Permission,
    id::{OrganizationId, ScopeId},
    model::RoleModel,
    role::Role,
};

/// Whether one role, held by one assignment, allows one pair; and if not, which lever is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    NotNamed,
    /// Named, but inert: the role lacks the gate's minimum permission.
    Gated,
    /// Named, but the tenant keeps the pair for owners.
    OwnerOnly,
    /// Named, but it is held on one resource, never at an organization.
    SelfService,
    /// Named, but the assignment is not at the root.
    RootOnly,
    Allowed,
}

/// Whether the assignment acts at the organization, or in the scope of it.
#[must_use]
pub fn acts_at(model: &RoleModel, assignment: &Assignment, at: OrganizationId, scope: Option<ScopeId>) -> bool {
    reaches(model, &assignment.holding, at, scope)
}

/// Whether what is held so acts at the organization, or in the scope of it.
pub(super) fn reaches(model: &RoleModel, held: &Holding, at: OrganizationId, scope: Option<ScopeId>) -> bool {
    if held.resource_scope.is_some() {
        return held.organization == at && held.resource_scope == scope;
    }
    match held.reach {
        Reach::Organization => held.organization == at && model.organizations.find(at).is_some(),
        Reach::Subtree => model.organizations.is_within(at, held.organization),
    }
}

pub(super) fn names(model: &RoleModel, role: &Role, entity: &str, action: &str) -> bool {
    role.permissions.iter().any(|permission| model.catalogue.covers(permission, entity, action))
}

pub(super) fn is_listed(model: &RoleModel, list: &[Permission], entity: &str, action: &str) -> bool {
    list.iter().any(|permission| model.catalogue.covers(permission, entity, action))
}

/// Whether the pair belongs to the self-service axis: held on one resource by whom it was given to, whatever else their roles name.
fn is_self_service(model: &RoleModel, entity: &str) -> bool {
    model.catalogue.find(entity).is_some_and(|entity| entity.scope_kind == "resource")
}

/// Whether the gate leaves the role's permissions on this entity alive.
pub(super) fn passes_gate(model: &RoleModel, role: &Role, entity: &str) -> bool {
    let Some(gate) = &model.settings.gate else { return true };
    if !gate.guards.iter().any(|guarded| guarded == entity) {
        return true;
    }
    // A requirement that the catalogue does not know is one that nobody meets.
    let mut required = model.catalogue.resolve(&gate.requires).peekable();
    required.peek().is_some() && required.all(|(needed, action)| names(model, role, &needed.key, action))
}

pub(super) fn judge(model: &RoleModel, assignment: &Assignment, entity: &str, action: &str) -> Verdict {
    model.role(assignment.holding.role).map_or(Verdict::NotNamed, |role| judge_role(model, role, &assignment.holding, entity, action))
}

/// As [`judge`], for a role as it was, or as it would be.
pub(super) fn judge_role(model: &RoleModel, role: &Role, held: &Holding, entity: &str, action: &str) -> Verdict {
    if !names(model, role, entity, action) {
        Verdict::NotNamed
    } else if !passes_gate(model, role, entity) {
        Verdict::Gated
    } else if !role.owner_class && is_listed(model, &model.settings.owner_only, entity, action) {
        Verdict::OwnerOnly
    } else if held.resource_scope.is_none() && is_self_service(model, entity) {
        Verdict::SelfService
    } else if held.organization != model.organizations.root() && is_listed(model, &model.settings.root_only_actions, entity, action) {
        Verdict::RootOnly
    } else {
        Verdict::Allowed
    }
}

/// The assignment because of which the pair is allowed at the organization (in the scope, if one is named); `None` is no.
///
/// What is held at contexts and resources (`scope_kind`) is a question about one of them: without a scope the answer is no.
///
/// Refuses to know whether the question makes sense and whether the account is live: that is `check`.
#[must_use]
pub fn holds<'a>(
    model: &RoleModel,
    assignments: &'a [Assignment],
    entity: &str,
    action: &str,
    at: OrganizationId,
    scope: Option<ScopeId>,
) -> Option<&'a Assignment> {
    let known = model.catalogue.find(entity)?;
    if scope.is_none() && known.scope_kind != "organization" {
        return None;
    }
    let mut acting = assignments.iter().filter(|assignment| assignment.is_live() && acts_at(model, assignment, at, scope));
    acting.find(|assignment| judge(model, assignment, entity, action) == Verdict::Allowed)
}

/// Every pair that the assignments allow at the organization itself, in order.
#[must_use]
pub fn permissions(model: &RoleModel, assignments: &[Assignment], at: OrganizationId) -> BTreeSet<Permission> {
    let everything = Permission { entity: None, action: None };
    model
        .catalogue
        .resolve(&everything)
        .filter(|(entity, action)| holds(model, assignments, &entity.key, action, at, None).is_some())
        .map(|(entity, action)| Permission { entity: Some(entity.key.clone()), action: Some(action.to_owned()) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::model::Gate,
        policy::fixture::{custom_role, tenant},
    };

    #[test]
    fn a_gate_that_requires_nothing_of_the_catalogue_lets_nobody_pass() {
        let mut model = tenant("owner-member", vec![]);
        let entity = model.catalogue.iter().next().unwrap().key.clone();
        let role = custom_role(900, "All", &["*:*"]);
        let mut gated_by = |requires: &str| {
            model.settings.gate = Some(Gate { requires: Permission::parse(requires).unwrap(), guards: vec![entity.clone()] });
            passes_gate(&model, &role, &entity)
        };
        assert!(gated_by("*:read"));
        assert!(!gated_by("gone:read"));
    }
}
