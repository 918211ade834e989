//! An identity against the rules and the default mapping of one connection: what it should hold, and why.
//!
//! Rules have no order: grants unite, an exclude beats grants, a refusal of sign-in beats all, an exclusive family keeps its
//! highest rank. Nothing is looked up: the same values in give the same values out, so effects can be previewed and replayed.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashSet},
};

use serde_json::{Map, Value, json};

use super::{Apply, DefaultMapping, Mapping, Unmatched};
use crate::{
    domain::{
        account::AccountKind,
        assignment::{Holding, Origin},
        connection::Connection,
        id::{OrganizationId, RoleId, RuleId},
        identity::{Identity, Protocol},
        model::RoleModel,
        time::Timestamp,
    },
    policy::{
        desired::{Denial, Desired, Note, Outcome, outrank},
        invariant::eligible,
        rule::{Effect, Mode, Place, Rule, SettableKind},
    },
    scim::schema,
};

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
    let view = View::new(identity, sight);
    let mut desired = Desired::default();
    for rule in &mapping.rules {
        desired.trace.insert(rule.id, view.outcome(rule));
    }
    let matched: Vec<&Rule> = mapping.rules.iter().filter(|rule| desired.trace[&rule.id] == Outcome::Matched).collect();
    desired.matched = matched.iter().any(|rule| rule.grants());

    let mut evaluation = Evaluation { sight, view: &view, notes: BTreeSet::new() };
    desired.denied = denial(mapping, &matched, desired.matched);
    desired.kind = kind(&matched);
    desired.home_organization = evaluation.home(&matched);
    // What a rule says of the person counts at once for the roles that depend on it.
    let person = Person { kind: desired.kind.unwrap_or(sight.kind), home: desired.home_organization.or(sight.home) };
    let vetoes = evaluation.vetoes(&matched);
    let mut wanted = evaluation.granted(&matched, &vetoes, person);
    wanted.extend(evaluation.defaults(&mapping.default, desired.matched, person));
    desired.notes = evaluation.notes;
    desired.notes.extend(outrank(&mut wanted, mapping, sight.model));
    desired.wanted = wanted;
    desired
}

/// What rules look at.
struct View<'a> {
    identity: &'a Identity,
    sight: &'a Sight<'a>,
    /// The values of the groups; `None` where nothing was said of them. Most rules name a group, most people are in few of those, and some
    /// are in thousands: none of them is walked through for each rule.
    groups: Option<HashSet<&'a str>>,
    /// Made when it is first needed.
    document: OnceCell<Map<String, Value>>,
}

impl<'a> View<'a> {
    fn new(identity: &'a Identity, sight: &'a Sight<'a>) -> Self {
        let groups = identity.groups.as_ref().map(|groups| groups.iter().map(|group| group.value.as_str()).collect());
        Self { identity, sight, groups, document: OnceCell::new() }
    }

    fn document(&self) -> &Map<String, Value> {
        self.document.get_or_init(|| document(self.identity, self.sight.connection))
    }

    fn outcome(&self, rule: &Rule) -> Outcome {
        if !rule.enabled {
            Outcome::Disabled
        } else if !rule.is_valid_at(self.sight.now) {
            Outcome::OutsideValidity
        } else if !rule.applies_to.includes(self.identity.source) {
            Outcome::OtherProtocol
        } else if self.satisfies(rule) {
            Outcome::Matched
        } else {
            Outcome::NotMatched
        }
    }

    fn satisfies(&self, rule: &Rule) -> bool {
        let Some((groups, membership)) = self.groups.as_ref().zip(rule.membership()) else { return self.matches(rule) };
        // A value that is empty is none.
        let is_member = membership.groups.iter().any(|value| !value.is_empty() && groups.contains(value));
        is_member && (membership.suffices || self.matches(rule))
    }

    fn matches(&self, rule: &Rule) -> bool {
        rule.when.matches(self.document(), schema::identity())
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

fn kind(matched: &[&Rule]) -> Option<AccountKind> {
    let sets = |effect: &Effect| matches!(effect, Effect::SetKind(SettableKind::Machine));
    matched.iter().flat_map(|rule| &rule.effects).any(sets).then_some(AccountKind::Machine)
}

#[derive(Clone, Copy)]
struct Person {
    kind: AccountKind,
    home: Option<OrganizationId>,
}

type Vetoes = BTreeMap<(RoleId, OrganizationId), RuleId>;

struct Evaluation<'a> {
    sight: &'a Sight<'a>,
    view: &'a View<'a>,
    notes: BTreeSet<Note>,
}

impl Evaluation<'_> {
    fn home(&mut self, matched: &[&Rule]) -> Option<OrganizationId> {
        let mut homes = BTreeSet::new();
        // The home decides which settings hold for an account and who manages it: a rule of this connection takes no account from elsewhere.
        let anchor = self.sight.connection.organization;
        let is_within = self.sight.home.is_some_and(|home| self.sight.model.organizations.is_within(home, anchor));
        for rule in matched {
            for effect in &rule.effects {
                let Effect::SetHomeOrganization { template } = effect else { continue };
                let home = self.place(rule, &Place::Template(template.clone()));
                if home.is_some() && home != self.sight.home && !is_within && !rule.root_published {
                    self.notes.insert(Note::HomeOutsideAnchor { rule: rule.id });
                    continue;
                }
                homes.extend(home);
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
                    let origin = match self.view.identity.source {
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
                let found = template.resolve(self.view.document()).and_then(|slug| Some(model.organizations.find_slug(&slug)?.id));
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
        let (by, named) = (rule.map(|rule| rule.id), holding.role);
        let owner_class = model.role(named).is_some_and(|role| role.owner_class);
        let refused = match (eligible(model, holding, person.home, person.kind), rule) {
            (Err(why), _) => Note::Ineligible { rule: by, role: named, why },
            (Ok(()), _) if owner_class && !connection.allow_owner_grants => Note::OwnerGrantNotAllowed { rule: by, role: named },
            (Ok(()), Some(rule)) if owner_class && !rule.matches_pinned_groups() => Note::OwnerGrantUnpinned { rule: rule.id, role: named },
            (Ok(()), _) => return true,
        };
        self.notes.insert(refused);
        false
    }
}

#[cfg(test)]
mod tests;
