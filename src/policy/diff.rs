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

    /// The withdrawals alone: for a sign-in that was refused, which commits what the facts take away and gives nothing.
    #[must_use]
    pub fn withdrawals(self) -> Self {
        Self { add: Vec::new(), ..self }
    }

    /// The additions alone: what goes on while withdrawals are held.
    #[must_use]
    pub fn additions(self) -> Self {
        Self { remove: Vec::new(), ..self }
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
