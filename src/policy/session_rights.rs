//! What a session could do when it began, kept with it: where changes of roles wait for the next sign-in, a session's rights are those
//! of then that are still there now. What is taken away is gone at once.
//!
//! Refuses to know where it is kept.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::{
    assignment::{Assignment, Holding, Origin, OriginRow, Reach},
    catalogue::Permission,
    id::{AccountId, AssignmentId, OrganizationId, RoleId, ScopeId},
    model::RoleModel,
    role::{ManagedGroups, ManagedRoles, Role},
    time::Timestamp,
};

/// What a role gives whoever holds it; its name and all else may change without anybody's rights being others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleVersion {
    pub role: RoleId,
    owner_class: bool,
    permissions: Vec<Permission>,
    managed_roles: ManagedRoles,
    /// Left out where it is empty, as versions from before have it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    owner_named: BTreeSet<String>,
    managed_groups: ManagedGroups,
}

impl RoleVersion {
    #[must_use]
    pub fn of(role: &Role) -> Self {
        Self {
            role: role.id,
            owner_class: role.owner_class,
            permissions: role.permissions.iter().cloned().collect(),
            managed_roles: role.managed_roles.clone(),
            owner_named: role.owner_named.clone(),
            managed_groups: role.managed_groups.clone(),
        }
    }

    /// The role of today, giving what it gave then.
    fn restore(&self, today: &Role) -> Role {
        Role {
            owner_class: self.owner_class,
            permissions: self.permissions.iter().cloned().collect(),
            managed_roles: self.managed_roles.clone(),
            owner_named: self.owner_named.clone(),
            managed_groups: self.managed_groups.clone(),
            ..today.clone()
        }
    }
}

/// One assignment as it was held; `version` is the hash of its role's [`RoleVersion`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    assignment: AssignmentId,
    role: RoleId,
    organization: OrganizationId,
    resource_scope: Option<ScopeId>,
    reach: Reach,
    may_delegate: bool,
    pub version: String,
}

impl Held {
    #[must_use]
    pub fn of(assignment: &Assignment, version: String) -> Self {
        let Holding { role, organization, resource_scope, reach } = assignment.holding;
        let may_delegate = assignment.origins.iter().any(|row| row.may_delegate);
        Self { assignment: assignment.id, role, organization, resource_scope, reach, may_delegate, version }
    }

    fn holding(&self) -> Holding {
        Holding { role: self.role, organization: self.organization, resource_scope: self.resource_scope, reach: self.reach }
    }

    /// As an assignment of the account again. Why it was there is not kept: decisions ask only whether it could be passed on.
    #[must_use]
    pub fn assignment(&self, account: AccountId) -> Assignment {
        let (origin, since) = (Origin::Manual { by: None }, Timestamp::from_millis(0));
        let origin = OriginRow { origin, since, may_delegate: self.may_delegate, dormant: false };
        Assignment { id: self.assignment, account, holding: self.holding(), origins: vec![origin] }
    }
}

/// Whether everything that is held now was held then, through roles that gave as much: then looking back changes no decision.
#[must_use]
pub fn nothing_gained(now: &[Assignment], model: &RoleModel, then: &[Held], versions: &[RoleVersion]) -> bool {
    let unchanged = |role: RoleId| {
        let today = model.role(role).map(RoleVersion::of);
        versions.iter().find(|version| version.role == role) == today.as_ref()
    };
    now.iter().all(|assignment| {
        let may_delegate = assignment.origins.iter().any(|row| row.may_delegate);
        let held = then.iter().find(|held| held.holding() == assignment.holding);
        held.is_some_and(|held| held.may_delegate == may_delegate) && unchanged(assignment.holding.role)
    })
}

/// Today's model with these roles as they were. Roles that are gone stay gone.
#[must_use]
pub fn model_then(model: &RoleModel, versions: &[RoleVersion]) -> RoleModel {
    let roles =
        model.roles().map(|role| versions.iter().find(|version| version.role == role.id).map_or_else(|| role.clone(), |v| v.restore(role)));
    RoleModel::new(
        model.tenant,
        model.version,
        model.settings.clone(),
        model.organizations.clone(),
        model.catalogue.clone(),
        roles.collect(),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::actor::{Actor, AtSignIn},
        policy::{
            access::{authorize, usable_permissions},
            action::{ReadAccounts, RotateCertificates, UpdateConnections},
            fixture::{EU, ROOT, US, by_hand, custom_role, holding, id, person, role_id, tenant},
        },
    };

    const DESK: u128 = 900;

    fn model(permissions: &[&str]) -> RoleModel {
        tenant("idaas", vec![custom_role(DESK, "Desk", permissions)])
    }

    fn versions(model: &RoleModel) -> Vec<RoleVersion> {
        model.roles().map(RoleVersion::of).collect()
    }

    fn held(assignments: &[Assignment]) -> Vec<Held> {
        assignments.iter().map(|assignment| Held::of(assignment, String::new())).collect()
    }

    /// Somebody who holds `now`, with a session that began when they held `then` and roles were as in `before`.
    fn session(now: Vec<Assignment>, before: &RoleModel, then: &[Assignment], today: &RoleModel) -> Actor {
        let Actor::Account(mut actor) = person(now) else { unreachable!("a person") };
        let assignments = held(then).iter().map(|held| held.assignment(actor.account)).collect();
        actor.at_sign_in = Some(AtSignIn { assignments, model: Arc::new(model_then(today, &versions(before))) });
        Actor::Account(actor)
    }

    #[test]
    fn what_was_given_waits_and_what_was_taken_is_gone() {
        let reading = model(&["user_management:read"]);
        let editing = model(&["user_management:read", "identity_provider_management:update"]);
        let nothing_much = model(&["identity_provider_management:update"]);
        let desk = by_hand([holding(id(DESK), ROOT)]);
        let at = id(EU);
        let widened = session(desk.clone(), &reading, &desk, &editing);
        assert!(authorize::<ReadAccounts>(&widened, &editing, at).is_ok());
        assert!(authorize::<UpdateConnections>(&person(desk.clone()), &editing, at).is_ok());
        assert_eq!(authorize::<UpdateConnections>(&widened, &editing, at).unwrap_err().code(), "sign_in_again");
        let narrowed = session(desk.clone(), &editing, &desk, &nothing_much);
        assert_eq!(authorize::<ReadAccounts>(&narrowed, &nothing_much, at).unwrap_err().code(), "not_permitted");
        let Actor::Account(account) = &widened else { unreachable!() };
        let usable: Vec<_> = usable_permissions(account, &editing, at).iter().map(ToString::to_string).collect();
        assert_eq!(usable, ["user_management:read"]);
    }

    #[test]
    fn an_assignment_that_came_later_waits_too_also_an_owners() {
        let model = model(&["user_management:read"]);
        let then = by_hand([holding(id(DESK), EU)]);
        let owner = role_id(&model, "Super Administrator");
        let now = by_hand([holding(id(DESK), EU), holding(owner, ROOT), holding(id(DESK), US)]);
        let actor = session(now, &model, &then, &model);
        assert_eq!(authorize::<RotateCertificates>(&actor, &model, id(ROOT)).unwrap_err().code(), "sign_in_again");
        assert!(authorize::<ReadAccounts>(&actor, &model, id(EU)).is_ok());
        assert_eq!(authorize::<ReadAccounts>(&actor, &model, id(US)).unwrap_err().code(), "sign_in_again");
    }

    #[test]
    fn rights_of_two_roles_meet_whichever_role_gives_them() {
        let model = tenant("idaas", vec![custom_role(901, "A", &["user_management:read"]), custom_role(902, "B", &["user_management:*"])]);
        let (then, now) = (by_hand([holding(id(901), ROOT)]), by_hand([holding(id(902), EU)]));
        let actor = session(now, &model, &then, &model);
        assert!(authorize::<ReadAccounts>(&actor, &model, id(EU)).is_ok(), "by A then, by B now");
        assert!(authorize::<ReadAccounts>(&actor, &model, id(US)).is_err());
    }

    #[test]
    fn looking_back_is_left_out_only_where_it_changes_nothing() {
        let before = model(&["user_management:read"]);
        let after = model(&["user_management:*"]);
        let (desk, more) = (by_hand([holding(id(DESK), EU)]), by_hand([holding(id(DESK), EU), holding(id(DESK), US)]));
        assert!(nothing_gained(&desk, &before, &held(&desk), &versions(&before)));
        assert!(nothing_gained(&desk, &before, &held(&more), &versions(&before)), "what was taken is no matter");
        assert!(!nothing_gained(&more, &before, &held(&desk), &versions(&before)));
        assert!(!nothing_gained(&desk, &after, &held(&desk), &versions(&before)));
        let mut delegable = desk.clone();
        delegable[0].origins[0].may_delegate = true;
        assert!(!nothing_gained(&delegable, &before, &held(&desk), &versions(&before)));
    }

    #[test]
    fn a_version_is_read_as_it_was_written() {
        for version in versions(&model(&["*:read"])) {
            let text = serde_json::to_string(&version).unwrap();
            assert_eq!(serde_json::from_str::<RoleVersion>(&text).unwrap(), version);
        }
    }
}
