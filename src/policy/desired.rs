//! What follows from an identity: the holdings a connection wants, with their causes, and what was not done and why.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::domain::{
    account::AccountKind,
    assignment::{Holding, Origin},
    id::{OrganizationId, RoleId, RuleId},
    model::RoleModel,
};

use super::{
    invariant::Ineligible,
    mapping::{Apply, Mapping},
    rule::Mode,
};

/// What follows from an identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// Every holding that the connection wants, with its cause.
    pub wanted: BTreeSet<(Holding, Origin)>,
    /// Sign-in is refused. What is wanted stays wanted: what is held of it stays, dormant; what is not waits for a sign-in that is accepted.
    pub denied: Option<Denial>,
    /// Whether an enabled granting rule matched.
    pub matched: bool,
    /// `None`: nothing was said, the home stays.
    pub home_organization: Option<OrganizationId>,
    /// `None`: nothing was said, the kind stays.
    pub kind: Option<AccountKind>,
    /// Each rule with what came of it, in the order of ids.
    pub trace: BTreeMap<RuleId, Outcome>,
    /// What was not done, and why.
    pub notes: BTreeSet<Note>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// `None`: the mapping refuses whom no rule matches.
    pub rule: Option<RuleId>,
    pub message: String,
}

/// What came of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Disabled,
    /// Before `valid_from`, or at `valid_until` or later.
    OutsideValidity,
    OtherProtocol,
    NotMatched,
    Matched,
}

/// An effect that was held back. `rule: None` is the default mapping.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    Vetoed {
        rule: RuleId,
        by: RuleId,
        holding: Holding,
    },
    /// The template gave nothing, or no slug of an organization that exists.
    UnresolvedOrganization {
        rule: RuleId,
    },
    /// The organization lies outside the connection's subtree, and no owner at the root published the rule.
    OutsideAnchor {
        rule: RuleId,
        organization: OrganizationId,
    },
    UnknownOrganization {
        rule: RuleId,
        organization: OrganizationId,
    },
    /// The account is at home outside the connection's subtree, and no owner at the root published the rule that sets another home.
    HomeOutsideAnchor {
        rule: RuleId,
    },
    /// An owner-class role, and the connection does not allow owner grants.
    OwnerGrantNotAllowed {
        rule: Option<RuleId>,
        role: RoleId,
    },
    /// An owner-class role by a condition that looks at more than pinned groups.
    OwnerGrantUnpinned {
        rule: RuleId,
        role: RoleId,
    },
    /// The person cannot hold the role there, whoever gives it.
    Ineligible {
        rule: Option<RuleId>,
        role: RoleId,
        why: Ineligible,
    },
    /// Another role of the same exclusive family ranks higher there.
    Outranked {
        holding: Holding,
        by: RoleId,
    },
    /// Rules name different home organizations; the home stays as it is.
    ConflictingHomes {
        organizations: BTreeSet<OrganizationId>,
    },
}

impl Desired {
    /// What two identities of one account want together (`authority = union`). A rule that refuses either refuses both; that no
    /// rule matches counts only of both. The home stays unless they agree or one alone speaks.
    #[must_use]
    pub fn union(mut self, other: Self, mapping: &Mapping, model: &RoleModel) -> Self {
        self.wanted.extend(other.wanted);
        self.notes.extend(outrank(&mut self.wanted, mapping, model));
        let (first, second) = (self.denied.take(), other.denied);
        let by_rule = [&first, &second].into_iter().flatten().filter(|denial| denial.rule.is_some()).min_by_key(|denial| denial.rule);
        self.denied = by_rule.cloned().or(first.and(second));
        self.matched |= other.matched;
        self.home_organization = match (self.home_organization, other.home_organization) {
            (Some(one), Some(another)) if one != another => {
                self.notes.insert(Note::ConflictingHomes { organizations: BTreeSet::from([one, another]) });
                None
            }
            (one, another) => one.or(another),
        };
        self.kind = self.kind.or(other.kind);
        self.notes.extend(other.notes);
        for (rule, outcome) in other.trace {
            let known = self.trace.entry(rule).or_insert(outcome);
            if outcome == Outcome::Matched {
                *known = outcome;
            }
        }
        self
    }
}

/// Of an exclusive family, the highest rank per organization stays; equal ranks: the lowest role id.
///
/// What is given once (an `on_create` default, a `first_login_only` rule) yields to what is given as long as it holds:
/// the next evaluation does not see it any more, and must not come to another end.
pub(super) fn outrank(wanted: &mut BTreeSet<(Holding, Origin)>, mapping: &Mapping, model: &RoleModel) -> Vec<Note> {
    let family = |holding: &Holding| {
        let role = model.role(holding.role)?;
        Some(((role.exclusive_family.as_deref()?, holding.organization), role))
    };
    let lasts = |origin: &Origin| match origin.rule() {
        Some(rule) => mapping.find(rule).is_none_or(|rule| rule.mode != Mode::FirstLoginOnly),
        None => mapping.default.apply != Apply::OnCreate,
    };
    let mut highest: BTreeMap<(&str, OrganizationId), (bool, i64, Reverse<RoleId>)> = BTreeMap::new();
    for (holding, origin) in wanted.iter() {
        if let Some((place, role)) = family(holding) {
            let claim = (lasts(origin), role.rank, Reverse(role.id));
            let best = highest.entry(place).or_insert(claim);
            *best = claim.max(*best);
        }
    }
    let mut notes = Vec::new();
    wanted.retain(|(holding, _)| {
        let Some((place, role)) = family(holding) else { return true };
        let Reverse(best) = highest[&place].2;
        if best != role.id {
            notes.push(Note::Outranked { holding: *holding, by: best });
        }
        best == role.id
    });
    notes
}
