//! From an identity to what it should hold: rules and the default mapping of one connection, evaluated.
//!
//! Rules have no order: grants unite, an exclude beats grants, a refusal of sign-in beats all, an exclusive family keeps its
//! highest rank. Nothing is looked up: the same values in give the same values out, so effects can be previewed and replayed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    domain::{
        account::AccountKind,
        assignment::{Holding, Origin},
        connection::Connection,
        id::{OrganizationId, RoleId, RuleId},
        identity::{Identity, Protocol},
        model::RoleModel,
        role::Role,
        time::Timestamp,
    },
    scim::schema,
};

use super::rule::{Effect, Mode, Place, Rule, SettableKind};

/// A published version of a connection's rules and default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    pub version: i64,
    #[serde(default)]
    pub default: DefaultMapping,
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// Roles at the connection's organization, with the tenant's default reach, whatever the identity says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DefaultMapping {
    pub roles: Vec<RoleId>,
    pub apply: Apply,
    pub unmatched: Unmatched,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Apply {
    /// When the identity is first seen; from then on it is the account's own, neither added again nor withdrawn by a sync.
    #[default]
    OnCreate,
    /// While no enabled granting rule matches.
    WhenUnmatched,
    Always,
}

impl Apply {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "on_create" => Some(Self::OnCreate),
            "when_unmatched" => Some(Self::WhenUnmatched),
            "always" => Some(Self::Always),
            _ => None,
        }
    }
}

/// What becomes of the sign-in of somebody whom no granting rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmatched {
    #[default]
    Allow,
    DenySignIn,
}

/// What evaluation may see beside the identity.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    pub model: &'a RoleModel,
    pub connection: &'a Connection,
    pub now: Timestamp,
    /// This identity has never been mapped.
    pub first_sight: bool,
    /// The account's home organization as it stands.
    pub home: Option<OrganizationId>,
    /// The account's kind as it stands.
    pub kind: AccountKind,
}

/// What follows from an identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// Every holding that the connection wants, with its cause.
    pub wanted: BTreeSet<(Holding, Origin)>,
    /// Sign-in is refused. What is wanted stays wanted: a refused account is dormant, not stripped.
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
    UnknownRole {
        rule: Option<RuleId>,
        role: RoleId,
    },
    /// An owner-class role, and the connection does not allow owner grants.
    OwnerGrantNotAllowed {
        rule: Option<RuleId>,
        role: RoleId,
    },
    /// An owner-class role by a condition on group names that people see.
    OwnerGrantByDisplay {
        rule: RuleId,
        role: RoleId,
    },
    /// The role needs an account at home in the root organization.
    RootOnly {
        rule: Option<RuleId>,
        role: RoleId,
    },
    /// The role is for machines.
    MachineOnly {
        rule: Option<RuleId>,
        role: RoleId,
    },
    /// The role is held in contexts or resources and none was named, or the other way round.
    WrongScopeKind {
        rule: Option<RuleId>,
        role: RoleId,
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

impl Mapping {
    #[must_use]
    pub fn find(&self, rule: RuleId) -> Option<&Rule> {
        self.rules.iter().find(|candidate| candidate.id == rule)
    }
}

impl Desired {
    /// What two identities of one account want together (`authority = union`). Sign-in is refused only if both refuse,
    /// the home stays unless they agree or one alone speaks.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.wanted.extend(other.wanted);
        self.denied = self.denied.and(other.denied);
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

/// The identity as rules see it: SCIM names at the top, `groups`, `custom`, `source` and `authn` beside them.
#[must_use]
pub fn document(identity: &Identity, connection: &Connection) -> Map<String, Value> {
    let mut document = identity.attributes.clone();
    document.insert("active".to_owned(), json!(identity.active));
    document.insert("source".to_owned(), json!({ "kind": identity.source.as_str(), "connection": connection.slug.as_str() }));
    if let Some(groups) = &identity.groups {
        document.insert("groups".to_owned(), json!(groups));
    }
    if let Some(context) = &identity.authn_context {
        document.insert("authn".to_owned(), json!({ "context": context }));
    }
    document
}

/// What the identity should hold by the mapping.
#[must_use]
pub fn evaluate(mapping: &Mapping, identity: &Identity, sight: &Sight) -> Desired {
    let document = document(identity, sight.connection);
    let mut desired = Desired::default();
    for rule in &mapping.rules {
        desired.trace.insert(rule.id, outcome(rule, identity.source, &document, sight.now));
    }
    let matched: Vec<&Rule> = mapping.rules.iter().filter(|rule| desired.trace[&rule.id] == Outcome::Matched).collect();
    desired.matched = matched.iter().any(|rule| rule.grants());

    let mut evaluation = Evaluation { sight, document: &document, source: identity.source, notes: BTreeSet::new() };
    desired.denied = denial(mapping, &matched, desired.matched);
    desired.kind = evaluation.kind(&matched);
    desired.home_organization = evaluation.home(&matched);
    // What a rule says of the person counts at once for the roles that depend on it.
    let person = Person { kind: desired.kind.unwrap_or(sight.kind), home: desired.home_organization.or(sight.home) };
    let vetoes = evaluation.vetoes(&matched);
    let mut wanted = evaluation.granted(&matched, &vetoes, person);
    wanted.extend(evaluation.defaults(&mapping.default, desired.matched, person));
    desired.wanted = evaluation.outrank(wanted);
    desired.notes = evaluation.notes;
    desired
}

fn outcome(rule: &Rule, source: Protocol, document: &Map<String, Value>, now: Timestamp) -> Outcome {
    if !rule.enabled {
        Outcome::Disabled
    } else if !rule.is_valid_at(now) {
        Outcome::OutsideValidity
    } else if !rule.applies_to.includes(source) {
        Outcome::OtherProtocol
    } else if rule.when.matches(document, schema::identity()) {
        Outcome::Matched
    } else {
        Outcome::NotMatched
    }
}

/// Of several refusals, the one of the lowest rule id speaks.
fn denial(mapping: &Mapping, matched: &[&Rule], granted: bool) -> Option<Denial> {
    let refusals = matched.iter().flat_map(|rule| {
        rule.effects.iter().filter_map(|effect| match effect {
            Effect::DenySignIn { message } => Some(Denial { rule: Some(rule.id), message: message.clone() }),
            Effect::Grant { .. } | Effect::Exclude { .. } | Effect::SetHomeOrganization { .. } | Effect::SetKind(_) => None,
        })
    });
    let unmatched = || Denial { rule: None, message: "No rule of this connection lets you in.".to_owned() };
    let refuses_unmatched = !granted && mapping.default.unmatched == Unmatched::DenySignIn;
    refusals.min_by(|a, b| (a.rule, &a.message).cmp(&(b.rule, &b.message))).or_else(|| refuses_unmatched.then(unmatched))
}

#[derive(Clone, Copy)]
struct Person {
    kind: AccountKind,
    home: Option<OrganizationId>,
}

type Vetoes = BTreeMap<(RoleId, OrganizationId), RuleId>;

struct Evaluation<'a> {
    sight: &'a Sight<'a>,
    document: &'a Map<String, Value>,
    source: Protocol,
    notes: BTreeSet<Note>,
}

impl Evaluation<'_> {
    fn kind(&self, matched: &[&Rule]) -> Option<AccountKind> {
        let sets = |effect: &Effect| matches!(effect, Effect::SetKind(SettableKind::Machine));
        matched.iter().flat_map(|rule| &rule.effects).any(sets).then_some(AccountKind::Machine)
    }

    fn home(&mut self, matched: &[&Rule]) -> Option<OrganizationId> {
        let mut homes = BTreeSet::new();
        for rule in matched {
            for effect in &rule.effects {
                if let Effect::SetHomeOrganization { template } = effect {
                    homes.extend(self.place(rule, &Place::Template(template.clone())));
                }
            }
        }
        if homes.len() > 1 {
            self.notes.insert(Note::ConflictingHomes { organizations: homes });
            return None;
        }
        homes.first().copied()
    }

    fn vetoes(&mut self, matched: &[&Rule]) -> Vetoes {
        let mut vetoes = Vetoes::new();
        for rule in matched {
            for effect in &rule.effects {
                if let Effect::Exclude { role, organization } = effect
                    && let Some(organization) = self.place(rule, organization)
                {
                    let by = vetoes.entry((*role, organization)).or_insert(rule.id);
                    *by = (*by).min(rule.id);
                }
            }
        }
        vetoes
    }

    fn granted(&mut self, matched: &[&Rule], vetoes: &Vetoes, person: Person) -> BTreeSet<(Holding, Origin)> {
        let connection = self.sight.connection.id;
        let mut wanted = BTreeSet::new();
        for rule in matched.iter().filter(|rule| rule.mode != Mode::FirstLoginOnly || self.sight.first_sight) {
            for effect in &rule.effects {
                let Effect::Grant { role, organization, reach, resource_scope } = effect else { continue };
                let Some(organization) = self.place(rule, organization) else { continue };
                let holding = Holding { role: *role, organization, resource_scope: *resource_scope, reach: *reach };
                if let Some(by) = vetoes.get(&(*role, organization)) {
                    self.notes.insert(Note::Vetoed { rule: rule.id, by: *by, holding });
                } else if self.may_hold(Some(rule), &holding, person) {
                    let origin = match self.source {
                        Protocol::Scim => Origin::ScimRule { connection, rule: rule.id },
                        Protocol::Saml => Origin::SamlRule { connection, rule: rule.id },
                    };
                    wanted.insert((holding, origin));
                }
            }
        }
        wanted
    }

    fn defaults(&mut self, default: &DefaultMapping, matched: bool, person: Person) -> BTreeSet<(Holding, Origin)> {
        let applies = match default.apply {
            Apply::OnCreate => self.sight.first_sight,
            Apply::WhenUnmatched => !matched,
            Apply::Always => true,
        };
        let Sight { connection, model, .. } = *self.sight;
        let origin = Origin::Default { connection: connection.id };
        let holdings = default.roles.iter().filter(|_| applies).map(|role| Holding {
            role: *role,
            organization: connection.organization,
            resource_scope: None,
            reach: model.settings.default_reach,
        });
        holdings.filter(|holding| self.may_hold(None, holding, person)).map(|holding| (holding, origin)).collect()
    }

    /// The organization that an effect names, if it exists and the rule may name it.
    fn place(&mut self, rule: &Rule, place: &Place) -> Option<OrganizationId> {
        let Sight { model, connection, .. } = *self.sight;
        let organization = match place {
            Place::Fixed(organization) if model.organizations.find(*organization).is_none() => {
                self.notes.insert(Note::UnknownOrganization { rule: rule.id, organization: *organization });
                return None;
            }
            Place::Fixed(organization) => *organization,
            Place::Template(template) => {
                let found = template.resolve(self.document).and_then(|slug| Some(model.organizations.find_slug(&slug)?.id));
                let Some(organization) = found else {
                    self.notes.insert(Note::UnresolvedOrganization { rule: rule.id });
                    return None;
                };
                organization
            }
        };
        if rule.root_published || model.organizations.is_within(organization, connection.organization) {
            return Some(organization);
        }
        self.notes.insert(match place {
            Place::Fixed(_) => Note::OutsideAnchor { rule: rule.id, organization },
            // To a template, what lies outside does not exist.
            Place::Template(_) => Note::UnresolvedOrganization { rule: rule.id },
        });
        None
    }

    /// Whether a machine may give this person this role here; if not, notes why.
    fn may_hold(&mut self, rule: Option<&Rule>, holding: &Holding, person: Person) -> bool {
        let Sight { model, connection, .. } = *self.sight;
        let (id, role) = (rule.map(|rule| rule.id), holding.role);
        let refused = match (model.role(role), rule) {
            (None, _) => Note::UnknownRole { rule: id, role },
            (Some(known), _) if known.owner_class && !connection.allow_owner_grants => Note::OwnerGrantNotAllowed { rule: id, role },
            (Some(known), Some(rule)) if known.owner_class && rule.matches_by_display() => {
                Note::OwnerGrantByDisplay { rule: rule.id, role }
            }
            (Some(known), _) if known.root_only && person.home != Some(model.organizations.root()) => Note::RootOnly { rule: id, role },
            (Some(known), _) if known.machine_only && person.kind != AccountKind::Machine => Note::MachineOnly { rule: id, role },
            (Some(known), _) if known.scope_kind.is_some() != holding.resource_scope.is_some() => Note::WrongScopeKind { rule: id, role },
            (Some(_), _) => return true,
        };
        self.notes.insert(refused);
        false
    }

    /// Of an exclusive family, the highest rank per organization stays; equal ranks: the lowest role id.
    fn outrank(&mut self, wanted: BTreeSet<(Holding, Origin)>) -> BTreeSet<(Holding, Origin)> {
        let model = self.sight.model;
        let family = |holding: &Holding| {
            let role = model.role(holding.role)?;
            Some(((role.exclusive_family.as_deref()?, holding.organization), role))
        };
        let mut highest: BTreeMap<(&str, OrganizationId), &Role> = BTreeMap::new();
        for (place, role) in wanted.iter().filter_map(|(holding, _)| family(holding)) {
            let best = highest.entry(place).or_insert(role);
            if (role.rank, std::cmp::Reverse(role.id)) > (best.rank, std::cmp::Reverse(best.id)) {
                *best = role;
            }
        }
        let mut kept = wanted;
        kept.retain(|(holding, _)| {
            let Some((place, role)) = family(holding) else { return true };
            let best = highest[&place].id;
            if best != role.id {
                self.notes.insert(Note::Outranked { holding: *holding, by: best });
            }
            best == role.id
        });
        kept
    }
}
