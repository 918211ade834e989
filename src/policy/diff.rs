//! From what is held and what is wanted to a plan: the origins to add and the origins to take away.
//!
//! Only origins of the one connection are ever touched; what people, invitations, other connections or the bootstrap gave is
//! not even looked at. An assignment whose last origin goes is gone; that follows, and is not written here.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    assignment::{Assignment, Holding, Origin},
    id::{AccountId, AssignmentId, ConnectionId},
};

use super::{
    mapping::{Apply, Desired, Mapping},
    rule::{Mode, OnDelete, Rule},
};

/// What to change. Empty: nothing is written and no version is raised.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub add: Vec<(Holding, Origin)>,
    pub remove: Vec<(AssignmentId, Holding, Origin)>,
}

impl Plan {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// The assignments that lose their last origin, in the order of ids.
    #[must_use]
    pub fn ended(&self, current: &[Assignment]) -> BTreeSet<AssignmentId> {
        let next: BTreeSet<Holding> = apply(self, current).into_iter().map(|(holding, _)| holding).collect();
        current.iter().filter(|assignment| !next.contains(&assignment.holding)).map(|assignment| assignment.id).collect()
    }

    /// The holdings that are new to the account.
    #[must_use]
    pub fn begun(&self, current: &[Assignment]) -> BTreeSet<Holding> {
        let held: BTreeSet<Holding> = current.iter().map(|assignment| assignment.holding).collect();
        self.add.iter().map(|(holding, _)| *holding).filter(|holding| !held.contains(holding)).collect()
    }
}

/// What the account holds, and why.
#[must_use]
pub fn origins(current: &[Assignment]) -> BTreeSet<(Holding, Origin)> {
    current.iter().flat_map(|assignment| assignment.origins.iter().map(|row| (assignment.holding, row.origin))).collect()
}

/// What the account holds after the plan, and why.
#[must_use]
pub fn apply(plan: &Plan, current: &[Assignment]) -> BTreeSet<(Holding, Origin)> {
    let mut next = origins(current);
    for (_, holding, origin) in &plan.remove {
        next.remove(&(*holding, *origin));
    }
    next.extend(plan.add.iter().copied());
    next
}

/// What makes the connection's origins those that are wanted.
///
/// Never withdrawn by a sync: origins of rules in `grant_only` and `first_login_only` mode, and of a default that applies
/// `on_create`. Everything else that is present and not wanted goes, also when nothing is wanted at all.
#[must_use]
pub fn diff(current: &[Assignment], desired: &Desired, mapping: &Mapping, connection: ConnectionId) -> Plan {
    let modes: BTreeMap<_, _> = mapping.rules.iter().map(|rule| (rule.id, rule.mode)).collect();
    let stays = |origin: &Origin| match origin {
        Origin::ScimRule { rule, .. } | Origin::SamlRule { rule, .. } => match modes.get(rule) {
            Some(Mode::GrantOnly | Mode::FirstLoginOnly) => true,
            // A rule that is no more has no say in what stays.
            Some(Mode::Sync) | None => false,
        },
        Origin::Default { .. } => mapping.default.apply == Apply::OnCreate,
        Origin::Manual { .. }
        | Origin::AutoJoin
        | Origin::FirstUser
        | Origin::Invitation { .. }
        | Origin::DirectorySync { .. }
        | Origin::Bootstrap
        | Origin::Retention => true,
    };
    let present = origins(current);
    let add = desired.wanted.iter().filter(|(_, origin)| origin.connection() == Some(connection));
    let add = add.filter(|wanted| !present.contains(wanted)).copied().collect();
    let remove = removal(current, |holding, origin| {
        origin.connection() == Some(connection) && !stays(origin) && !desired.wanted.contains(&(*holding, *origin))
    });
    Plan { add, remove }
}

/// Drops every origin of the connection: its identity was deleted.
#[must_use]
pub fn withdraw_all(current: &[Assignment], connection: ConnectionId) -> Plan {
    Plan { add: Vec::new(), remove: removal(current, |_, origin| origin.connection() == Some(connection)) }
}

/// What the removal of a rule does to one account: its origins go, or become grants by the person who removed it.
#[must_use]
pub fn remove_rule(current: &[Assignment], connection: ConnectionId, rule: &Rule, by: Option<AccountId>) -> Plan {
    let remove = removal(current, |_, origin| origin.connection() == Some(connection) && origin.rule() == Some(rule.id));
    let add = match rule.on_delete {
        OnDelete::Withdraw => Vec::new(),
        OnDelete::KeepAsManual => {
            let present = origins(current);
            let kept: BTreeSet<_> = remove.iter().map(|(_, holding, _)| (*holding, Origin::Manual { by })).collect();
            kept.difference(&present).copied().collect()
        }
    };
    Plan { add, remove }
}

fn removal(current: &[Assignment], goes: impl Fn(&Holding, &Origin) -> bool) -> Vec<(AssignmentId, Holding, Origin)> {
    let mut remove: Vec<_> = current
        .iter()
        .flat_map(|assignment| assignment.origins.iter().map(move |row| (assignment.id, assignment.holding, row.origin)))
        .filter(|(_, holding, origin)| goes(holding, origin))
        .collect();
    remove.sort_unstable();
    remove
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        fixture::{BY_HAND, EU, OKTA, ROOT, US, connection_id, holding, id, rule as rule_id, stored},
        mapping::DefaultMapping,
        rule::AppliesTo,
    };

    fn rule(number: u128, mode: Mode, on_delete: OnDelete) -> Rule {
        Rule {
            id: rule_id(number),
            name: format!("rule {number}"),
            enabled: true,
            note: String::new(),
            published_by: None,
            valid_from: None,
            valid_until: None,
            applies_to: AppliesTo::Both,
            when: "active eq true".parse().unwrap(),
            effects: Vec::new(),
            mode,
            on_delete,
            root_published: false,
        }
    }

    /// Rule 1 syncs, rule 2 only grants, rule 3 is for the first login; the default is what the test says.
    fn mapping(apply: Apply) -> Mapping {
        let modes = [(1, Mode::Sync), (2, Mode::GrantOnly), (3, Mode::FirstLoginOnly)];
        let rules = modes.map(|(number, mode)| rule(number, mode, OnDelete::Withdraw)).to_vec();
        Mapping { version: 1, default: DefaultMapping { apply, ..DefaultMapping::default() }, rules }
    }

    fn by(rule: u128) -> Origin {
        Origin::ScimRule { connection: id(OKTA), rule: rule_id(rule) }
    }

    fn by_default() -> Origin {
        Origin::Default { connection: id(OKTA) }
    }

    fn nothing() -> Desired {
        Desired::default()
    }

    fn wanting(pairs: &[(Holding, Origin)]) -> Desired {
        Desired { wanted: pairs.iter().copied().collect(), ..Desired::default() }
    }

    fn removed(plan: &Plan) -> Vec<Origin> {
        plan.remove.iter().map(|(_, _, origin)| *origin).collect()
    }

    #[test]
    fn what_is_wanted_and_not_there_is_added_and_the_other_way_round_removed() {
        let (here, there) = (holding(id(103), EU), holding(id(103), US));
        let current = stored([(here, by(1))]);
        let plan = diff(&current, &wanting(&[(there, by(1))]), &mapping(Apply::OnCreate), id(OKTA));
        assert_eq!(plan.add, [(there, by(1))]);
        assert_eq!(plan.remove, [(current[0].id, here, by(1))]);
        assert_eq!(plan.ended(&current), BTreeSet::from([current[0].id]));
        assert_eq!(plan.begun(&current), BTreeSet::from([there]));
    }

    #[test]
    fn the_last_role_goes_too_when_nothing_is_wanted() {
        let current = stored([(holding(id(103), EU), by(1))]);
        let plan = diff(&current, &nothing(), &mapping(Apply::OnCreate), id(OKTA));
        assert!(apply(&plan, &current).is_empty());
    }

    #[test]
    fn what_is_there_as_wanted_leaves_an_empty_plan() {
        let pair = (holding(id(103), EU), by(1));
        assert!(diff(&stored([pair]), &wanting(&[pair]), &mapping(Apply::OnCreate), id(OKTA)).is_empty());
    }

    #[test]
    fn a_grant_by_hand_survives_beside_the_rule_and_after_it() {
        let held = holding(id(103), EU);
        let current = stored([(held, by(1)), (held, BY_HAND)]);
        let plan = diff(&current, &nothing(), &mapping(Apply::OnCreate), id(OKTA));
        assert_eq!(apply(&plan, &current), BTreeSet::from([(held, BY_HAND)]));
        assert!(plan.ended(&current).is_empty(), "two origins, each leaves alone");
    }

    #[test]
    fn origins_of_others_are_not_touched() {
        let held = holding(id(103), EU);
        let foreign = connection_id(71);
        let others = [
            BY_HAND,
            Origin::AutoJoin,
            Origin::FirstUser,
            Origin::Invitation { by: None },
            Origin::Bootstrap,
            Origin::Retention,
            Origin::DirectorySync { connection: id(OKTA) },
            Origin::ScimRule { connection: foreign, rule: rule_id(1) },
            Origin::SamlRule { connection: foreign, rule: rule_id(1) },
            Origin::Default { connection: foreign },
        ];
        let current = stored(others.map(|origin| (held, origin)));
        assert!(diff(&current, &nothing(), &mapping(Apply::Always), id(OKTA)).is_empty());
        let not_ours = wanting(&[(holding(id(102), EU), Origin::Default { connection: foreign })]);
        assert!(diff(&[], &not_ours, &mapping(Apply::Always), id(OKTA)).is_empty());
    }

    #[test]
    fn rules_that_only_grant_are_not_withdrawn_by_a_sync_unless_the_rule_is_gone() {
        let held = holding(id(103), EU);
        let current = stored([(held, by(1)), (held, by(2)), (held, by(3)), (held, by(4))]);
        let plan = diff(&current, &nothing(), &mapping(Apply::OnCreate), id(OKTA));
        assert_eq!(removed(&plan), [by(1), by(4)]);
    }

    #[test]
    fn a_default_of_creation_is_neither_withdrawn_nor_added_again() {
        let held = holding(id(103), EU);
        let current = stored([(held, by_default())]);
        assert!(diff(&current, &nothing(), &mapping(Apply::OnCreate), id(OKTA)).is_empty());
        for apply in [Apply::WhenUnmatched, Apply::Always] {
            assert_eq!(removed(&diff(&current, &nothing(), &mapping(apply), id(OKTA))), [by_default()]);
        }
    }

    #[test]
    fn facts_that_come_by_the_other_protocol_replace_the_origin_and_keep_the_holding() {
        let held = holding(id(103), EU);
        let by_saml = Origin::SamlRule { connection: id(OKTA), rule: rule_id(1) };
        let current = stored([(held, by_saml)]);
        let plan = diff(&current, &wanting(&[(held, by(1))]), &mapping(Apply::OnCreate), id(OKTA));
        assert_eq!(apply(&plan, &current), BTreeSet::from([(held, by(1))]));
        assert!(plan.ended(&current).is_empty() && plan.begun(&current).is_empty());
    }

    #[test]
    fn a_deleted_identity_loses_every_origin_of_its_connection_and_no_other() {
        let held = holding(id(103), EU);
        let foreign = Origin::Default { connection: connection_id(71) };
        let directory = Origin::DirectorySync { connection: id(OKTA) };
        let current = stored([(held, by(2)), (held, by_default()), (held, directory), (held, BY_HAND), (held, foreign)]);
        let plan = withdraw_all(&current, id(OKTA));
        assert_eq!(apply(&plan, &current), BTreeSet::from([(held, BY_HAND), (held, foreign)]));
    }

    #[test]
    fn removing_a_rule_takes_exactly_its_own_origins() {
        let (here, there) = (holding(id(103), EU), holding(id(102), ROOT));
        let foreign = Origin::ScimRule { connection: connection_id(71), rule: rule_id(2) };
        let current = stored([(here, by(1)), (here, by(2)), (there, by(2)), (there, foreign)]);
        let plan = remove_rule(&current, id(OKTA), &rule(2, Mode::GrantOnly, OnDelete::Withdraw), None);
        assert_eq!(apply(&plan, &current), BTreeSet::from([(here, by(1)), (there, foreign)]));
    }

    #[test]
    fn a_removed_rule_can_leave_its_grants_to_the_person_who_removed_it() {
        let (here, there) = (holding(id(103), EU), holding(id(102), ROOT));
        let mine = Origin::Manual { by: Some(id(40)) };
        let current = stored([(here, by(2)), (there, by(2)), (there, mine)]);
        let plan = remove_rule(&current, id(OKTA), &rule(2, Mode::Sync, OnDelete::KeepAsManual), Some(id(40)));
        assert_eq!(apply(&plan, &current), BTreeSet::from([(here, mine), (there, mine)]));
        assert_eq!(plan.add, [(here, mine)], "what is there already is not added");
    }
}
