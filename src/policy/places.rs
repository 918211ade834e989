//! Where an actor may do something: what lists show them, and what concerns the whole tenant.

use std::collections::BTreeSet;

use crate::domain::{
    actor::Actor,
    assignment::{Assignment, Reach},
    capability::Capability,
    id::OrganizationId,
    model::RoleModel,
};

use super::{
    access::{Denied, Grant, authorize, opening, opens, permit, within_session},
    action::Action,
    permission::{Verdict, acts_at, is_listed},
};

/// Organizations in which something is permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places {
    /// The whole tenant, and what belongs to no organization.
    Everywhere,
    Only(BTreeSet<OrganizationId>),
}

impl Places {
    #[must_use]
    pub fn contains(&self, at: OrganizationId) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Only(places) => places.contains(&at),
        }
    }

    /// Whether it reaches somebody at home there; whoever has no home is the whole tenant's.
    #[must_use]
    pub fn reaches(&self, home: Option<OrganizationId>) -> bool {
        match (self, home) {
            (Self::Everywhere, _) => true,
            (Self::Only(places), Some(home)) => places.contains(&home),
            (Self::Only(_), None) => false,
        }
    }

    fn is_nowhere(&self) -> bool {
        matches!(self, Self::Only(places) if places.is_empty())
    }

    /// Those of both.
    #[must_use]
    fn within(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everywhere, places) | (places, Self::Everywhere) => places,
            (Self::Only(left), Self::Only(right)) => Self::Only(&left & &right),
        }
    }
}

/// The organizations in which the actor may do `A`: where [`permit`] says yes, found without asking it of each.
///
/// # Errors
/// When it is nowhere: with the reason at the root.
pub fn places<A: Action>(actor: &Actor, model: &RoleModel) -> Result<Places, Denied> {
    let refused = || permit(actor, model, A::CAPABILITY, model.organizations.root()).err();
    let found = match actor {
        Actor::Account(account) => {
            within_session(account, A::CAPABILITY)?;
            let now = places_of(&account.assignments, model, A::CAPABILITY);
            match &account.at_sign_in {
                Some(then) if !now.is_nowhere() => {
                    let both = now.within(places_of(&then.assignments, &then.model, A::CAPABILITY));
                    if both.is_nowhere() {
                        return Err(Denied::SinceSignIn { capability: A::CAPABILITY });
                    }
                    both
                }
                Some(_) | None => now,
            }
        }
        Actor::Application { organization, .. } if A::CAPABILITY.is_for_applications() => below(model, *organization),
        Actor::HostOperator => Places::Everywhere,
        Actor::Application { .. } | Actor::Scim { .. } | Actor::Saml { .. } | Actor::System => Places::Only(BTreeSet::new()),
    };
    if found.is_nowhere() {
        return Err(refused().unwrap_or(Denied::RootOnly { capability: A::CAPABILITY }));
    }
    Ok(found)
}

/// As [`places`]; nowhere is no refusal.
#[must_use]
pub fn places_or_nowhere<A: Action>(actor: &Actor, model: &RoleModel) -> Places {
    places::<A>(actor, model).unwrap_or_else(|_| Places::Only(BTreeSet::new()))
}

/// By these assignments and this model alone.
fn places_of(assignments: &[Assignment], model: &RoleModel, capability: Capability) -> Places {
    let at_organizations = assignments.iter().filter(|held| held.holding.resource_scope.is_none());
    let opening: Vec<_> = at_organizations.filter(|held| opens(model, held, capability) == Verdict::Allowed).collect();
    let root = model.organizations.root();
    if opening.iter().any(|held| held.holding.organization == root && held.holding.reach == Reach::Subtree) {
        return Places::Everywhere;
    }
    let all = model.organizations.iter().map(|organization| organization.id);
    Places::Only(all.filter(|at| opening.iter().any(|held| acts_at(model, held, *at, None))).collect())
}

fn below(model: &RoleModel, top: OrganizationId) -> Places {
    if top == model.organizations.root() {
        return Places::Everywhere;
    }
    let all = model.organizations.iter().map(|organization| organization.id);
    Places::Only(all.filter(|at| model.organizations.is_within(*at, top)).collect())
}

/// The right to do what concerns the whole tenant, such as changing a role: it is an authority at the root alone.
///
/// # Errors
/// With the reason; who holds the right below the root, or none there where the tenant does such things at the root only, is told so.
pub fn authorize_for_tenant<A: Action>(actor: &Actor, model: &RoleModel) -> Result<Grant<A>, Denied> {
    let root = model.organizations.root();
    let refused = match authorize::<A>(actor, model, root) {
        Ok(grant) => return Ok(grant),
        Err(refused) => refused,
    };
    let Actor::Account(account) = actor else { return Err(refused) };
    let below = account.assignments.iter().filter(|held| held.holding.organization != root && held.holding.resource_scope.is_none());
    let named_below = below.clone().any(|held| matches!(opens(model, held, A::CAPABILITY), Verdict::Allowed | Verdict::RootOnly));
    if named_below || (below.count() == account.assignments.len() && is_done_at_the_root(model, A::CAPABILITY)) {
        return Err(Denied::RootOnly { capability: A::CAPABILITY });
    }
    Err(refused)
}

/// Whether every pair that opens the capability is one of the tenant's root-only actions.
fn is_done_at_the_root(model: &RoleModel, capability: Capability) -> bool {
    let mut pairs = opening(model, capability).peekable();
    pairs.peek().is_some() && pairs.all(|(entity, action)| is_listed(model, &model.settings.root_only_actions, entity, action))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            actor::{AccountActor, AtSignIn},
            assignment::{Holding, Reach},
        },
        policy::{
            action::{CreateRoles, ReadAccounts, ReadAudit, ReadRoles, RotateCertificates, UpdateRoles},
            fixture::{EU, EU_WEST, ROOT, US, by_hand, custom_role, holding, id, in_scope, person, role_id, tenant},
        },
    };

    fn set(places: &[u128]) -> Places {
        Places::Only(places.iter().map(|place| id(*place)).collect())
    }

    #[test]
    fn places_are_those_that_some_role_reaches() {
        let model = tenant("dashboard", vec![]);
        let editor = role_id(&model, "Editor - Users");
        let of = |held: Vec<Holding>| places::<ReadAccounts>(&person(by_hand(held)), &model);
        assert_eq!(of(vec![holding(editor, ROOT)]).unwrap(), Places::Everywhere);
        assert_eq!(of(vec![holding(editor, EU)]).unwrap(), set(&[EU, EU_WEST]));
        let here = |at| Holding { reach: Reach::Organization, ..holding(editor, at) };
        assert_eq!(of(vec![here(ROOT), here(US)]).unwrap(), set(&[ROOT, US]));
        assert_eq!(of(vec![holding(role_id(&model, "Editor - Connections"), ROOT)]).unwrap_err().code(), "not_permitted");
        assert!(of(vec![in_scope(editor, EU, 600)]).is_err());
        assert_eq!(places::<RotateCertificates>(&Actor::HostOperator, &model).unwrap(), Places::Everywhere);
        assert!(places::<ReadAccounts>(&Actor::System, &model).is_err());
        assert!(set(&[EU]).reaches(Some(id(EU))) && !set(&[EU]).reaches(None) && Places::Everywhere.reaches(None));
    }

    #[test]
    fn places_are_within_the_token_and_within_what_the_session_began_with() {
        let model = tenant("dashboard", vec![]);
        let editor = role_id(&model, "Editor - Users");
        let held = |places: &[u128]| by_hand(places.iter().map(|at| holding(editor, *at)));
        let with = |now: &[u128], then: Option<&[u128]>, only: Option<&[Capability]>| {
            let Actor::Account(account) = person(held(now)) else { panic!("a person was expected") };
            let at_sign_in = then.map(|then| AtSignIn { assignments: held(then), model: std::sync::Arc::new(model.clone()) });
            let actor = Actor::Account(AccountActor { only: only.map(|only| only.iter().copied().collect()), at_sign_in, ..account });
            let found = places::<ReadAccounts>(&actor, &model);
            for at in [ROOT, EU, US, EU_WEST] {
                let here = found.as_ref().is_ok_and(|places| places.contains(id(at)));
                assert_eq!(here, permit(&actor, &model, Capability::AccountsRead, id(at)).is_ok(), "{now:?} {then:?} {only:?} at {at}");
            }
            found.map_err(|denied| denied.code())
        };
        assert_eq!(with(&[ROOT], None, Some(&[Capability::CertificatesRead])), Err("not_in_token"));
        assert_eq!(with(&[ROOT], None, Some(&[Capability::AccountsRead])), Ok(Places::Everywhere));
        assert_eq!(with(&[ROOT], Some(&[EU]), None), Ok(set(&[EU, EU_WEST])));
        assert_eq!(with(&[EU], Some(&[ROOT]), None), Ok(set(&[EU, EU_WEST])));
        assert_eq!(with(&[ROOT], Some(&[ROOT]), None), Ok(Places::Everywhere));
        assert_eq!(with(&[ROOT], Some(&[]), None), Err("sign_in_again"));
        assert_eq!(with(&[US], Some(&[EU]), None), Err("sign_in_again"));
    }

    #[test]
    fn an_application_sees_its_part_of_the_tenant() {
        let model = tenant("dashboard", vec![]);
        let at = |place| Actor::Application { token: id(1), organization: id(place) };
        assert_eq!(places::<ReadAccounts>(&at(ROOT), &model).unwrap(), Places::Everywhere);
        assert_eq!(places::<ReadAccounts>(&at(EU), &model).unwrap(), set(&[EU, EU_WEST]));
        assert_eq!(places::<RotateCertificates>(&at(EU), &model).unwrap_err().code(), "read_only");
        assert_eq!(places::<ReadAudit>(&at(99), &model).unwrap_err().code(), "beyond_token", "its organization is gone");
    }

    #[test]
    fn what_concerns_the_whole_tenant_is_done_at_the_root() {
        let roles =
            vec![custom_role(900, "Partner admin", &["users:*", "administrator_roles:*"]), custom_role(901, "Partner", &["users:*"])];
        let model = tenant("delegated-user-management", roles);
        let may = |role: u128, at| authorize_for_tenant::<CreateRoles>(&person(by_hand([holding(id(role), at)])), &model);
        assert!(may(900, ROOT).is_ok());
        assert_eq!(may(900, EU).unwrap_err().code(), "root_only");
        assert_eq!(may(901, EU).unwrap_err().code(), "root_only");
        assert_eq!(may(901, ROOT).unwrap_err().code(), "not_permitted");
        let model = tenant(
            "idaas",
            vec![custom_role(900, "Role desk", &["roles_management:*"]), custom_role(901, "Users", &["user_management:*"])],
        );
        let may =
            |role: u128, at| authorize_for_tenant::<UpdateRoles>(&person(by_hand([holding(id(role), at)])), &model).map(|grant| grant.at());
        assert_eq!(may(900, EU).unwrap_err().code(), "root_only", "a role belongs to the tenant");
        assert_eq!(may(901, EU).unwrap_err().code(), "not_permitted");
        assert_eq!(may(900, ROOT).unwrap(), id(ROOT));
        assert!(
            places::<ReadRoles>(&person(by_hand([holding(id(900), EU)])), &model).is_ok(),
            "to look at roles it is enough to hold it anywhere"
        );
    }
}
