//! One rule of a mapping: a condition on an identity, and what follows. Stored as JSON in the mapping version.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        assignment::Reach,
        id::{AccountId, OrganizationId, RoleId, RuleId, ScopeId},
        identity::Protocol,
        time::Timestamp,
    },
    scim::{
        filter::{Filter, Literal, Operator},
        path::AttrPath,
    },
};

use super::template::Template;

/// Rules have no order: what several say together does not depend on which stands first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub id: RuleId,
    pub name: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub published_by: Option<AccountId>,
    /// Inclusive.
    #[serde(default)]
    pub valid_from: Option<Timestamp>,
    /// Exclusive.
    #[serde(default)]
    pub valid_until: Option<Timestamp>,
    #[serde(default)]
    pub applies_to: AppliesTo,
    /// Stored as the text that people write.
    pub when: Filter,
    pub effects: Vec<Effect>,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub on_delete: OnDelete,
    /// An owner at the root published it: its targets may lie outside the subtree of the connection's organization.
    #[serde(default)]
    pub root_published: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppliesTo {
    Scim,
    Saml,
    #[default]
    Both,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    Grant {
        role: RoleId,
        organization: Place,
        reach: Reach,
        #[serde(default)]
        resource_scope: Option<ScopeId>,
    },
    /// A veto of what rules grant, never of what people, invitations or the default mapping gave.
    Exclude {
        role: RoleId,
        organization: Place,
    },
    DenySignIn {
        message: String,
    },
    SetHomeOrganization {
        template: Template,
    },
    SetKind(SettableKind),
}

/// A rule can mark a machine; nothing un-marks one but a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettableKind {
    Machine,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    Fixed(OrganizationId),
    /// Resolves to the slug of an organization that exists, or to nothing.
    Template(Template),
}

/// What a later sync does with what the rule granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Grants while the condition holds, withdraws when it no longer does.
    #[default]
    Sync,
    /// Grants while it holds and never withdraws.
    GrantOnly,
    /// Grants when the identity is first seen and never again; never withdraws.
    FirstLoginOnly,
}

/// What becomes of its grants when the rule is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    #[default]
    Withdraw,
    KeepAsManual,
}

impl AppliesTo {
    #[must_use]
    pub fn includes(self, protocol: Protocol) -> bool {
        match self {
            Self::Both => true,
            Self::Scim => protocol == Protocol::Scim,
            Self::Saml => protocol == Protocol::Saml,
        }
    }
}

impl Rule {
    /// The groups that its condition names, as the identity provider calls them.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        let mut named = Vec::new();
        let mut open = vec![(&self.when, false)];
        while let Some((filter, in_groups)) = open.pop() {
            match filter {
                Filter::And(left, right) | Filter::Or(left, right) => open.extend([(&**right, in_groups), (&**left, in_groups)]),
                Filter::Not(inner) => open.push((inner, in_groups)),
                Filter::Element { path, filter } => open.push((filter, path.name.eq_ignore_ascii_case("groups"))),
                Filter::Compare { path, value: Literal::Text(text), .. } if in_groups || path.name.eq_ignore_ascii_case("groups") => {
                    named.push(text.clone());
                }
                Filter::Compare { .. } | Filter::Present(_) => {}
            }
        }
        named
    }

    /// Whether it grants anything; only such rules make an identity *matched*.
    #[must_use]
    pub fn grants(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Grant { .. }))
    }

    /// Whether it keeps people from signing in.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::DenySignIn { .. }))
    }

    /// Whether one of its effects names the organization itself; what a template yields is another matter.
    #[must_use]
    pub fn names_organization(&self, id: OrganizationId) -> bool {
        self.effects.iter().any(|effect| match effect {
            Effect::Grant { organization, .. } | Effect::Exclude { organization, .. } => *organization == Place::Fixed(id),
            Effect::DenySignIn { .. } | Effect::SetHomeOrganization { .. } | Effect::SetKind(_) => false,
        })
    }

    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= now) && self.valid_until.is_none_or(|until| now < until)
    }

    /// Whether only members of named groups match, by what stays outside their own reach: the pinned `value` of groups, and what
    /// the gateway itself knows. Whoever may rename a group chooses its display, and people edit attributes of their own.
    #[must_use]
    pub fn matches_pinned_groups(&self) -> bool {
        sees_only_pinned(&self.when) && demands_a_group(&self.when)
    }

    /// Groups, by `value`, without one of which nobody matches; `None` where somebody may match without any that the rule names so.
    #[must_use]
    pub fn needed_groups(&self) -> Option<Vec<&str>> {
        needed(&self.when, is_groups)
    }
}

/// The texts to one of which an `eq` compares what `is_value` says is the value, wherever the filter holds.
fn needed(when: &Filter, is_value: fn(&AttrPath) -> bool) -> Option<Vec<&str>> {
    match when {
        Filter::And(left, right) => needed(left, is_value).or_else(|| needed(right, is_value)),
        Filter::Or(left, right) => {
            let mut either = needed(left, is_value)?;
            either.extend(needed(right, is_value)?);
            Some(either)
        }
        Filter::Compare { path, op: Operator::Eq, value: Literal::Text(text) } if is_value(path) => Some(vec![text]),
        Filter::Element { path, filter } if is_value(path) && path.sub.is_none() => needed(filter, is_own_value),
        Filter::Not(_) | Filter::Compare { .. } | Filter::Present(_) | Filter::Element { .. } => None,
    }
}

/// Inside `groups[…]`.
fn is_own_value(path: &AttrPath) -> bool {
    path.schema.is_none() && path.sub.is_none() && is(&path.name, "value")
}

fn is(name: &str, wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted)
}

fn is_groups(path: &AttrPath) -> bool {
    path.schema.is_none() && is(&path.name, "groups") && path.sub.as_deref().is_none_or(|sub| is(sub, "value"))
}

/// Negations count as seeing something else: what an identity provider leaves out would grant.
fn sees_only_pinned(when: &Filter) -> bool {
    match when {
        Filter::And(left, right) | Filter::Or(left, right) => sees_only_pinned(left) && sees_only_pinned(right),
        Filter::Not(_) | Filter::Compare { op: Operator::Ne, .. } => false,
        Filter::Compare { path, .. } | Filter::Present(path) => {
            let known_here = path.schema.is_none() && ["active", "source", "authn"].iter().any(|name| is(&path.name, name));
            known_here || is_groups(path)
        }
        Filter::Element { path, filter } => is_groups(path) && compares_values(filter),
    }
}

/// Whether nobody matches without a group that is named whole.
fn demands_a_group(when: &Filter) -> bool {
    match when {
        Filter::And(left, right) => demands_a_group(left) || demands_a_group(right),
        Filter::Or(left, right) => demands_a_group(left) && demands_a_group(right),
        Filter::Compare { path, op: Operator::Eq, value: Literal::Text(_) } | Filter::Element { path, .. } => is_groups(path),
        Filter::Not(_) | Filter::Compare { .. } | Filter::Present(_) => false,
    }
}

/// Inside `groups[…]`: `value eq "…"`, also several.
fn compares_values(filter: &Filter) -> bool {
    match filter {
        Filter::And(left, right) | Filter::Or(left, right) => compares_values(left) && compares_values(right),
        Filter::Compare { path, op: Operator::Eq, value: Literal::Text(_) } => is_own_value(path),
        Filter::Not(_) | Filter::Compare { .. } | Filter::Present(_) | Filter::Element { .. } => false,
    }
}
