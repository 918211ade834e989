//! A published version of a connection's rules and default mapping; [`evaluate()`] says what an identity should hold by it.

use serde::{Deserialize, Serialize};

use super::{
    ceiling,
    rule::{Effect, Place, Rule},
};
use crate::domain::{
    assignment::Holding,
    id::{OrganizationId, RoleId, RuleId},
    model::RoleModel,
    time::Timestamp,
};

mod evaluate;

pub use super::desired::{Denial, Desired, Note, Outcome};
pub use evaluate::{Sight, document, evaluate};

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

impl Mapping {
    #[must_use]
    pub fn find(&self, rule: RuleId) -> Option<&Rule> {
        self.rules.iter().find(|candidate| candidate.id == rule)
    }

    /// Whether it can refuse anybody's sign-in.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.default.unmatched == Unmatched::DenySignIn || self.rules.iter().any(|rule| rule.enabled && rule.refuses())
    }

    /// Returns what the role comes to where the default mapping or a rule gives it, disabled ones too. `at` is the connection's
    /// organization. A template can name any organization.
    #[must_use]
    pub fn holdings_of(&self, model: &RoleModel, role: RoleId, at: OrganizationId) -> Vec<Holding> {
        let by_default = self.default.roles.iter().filter(|named| **named == role);
        let of_default = Holding { role, organization: at, resource_scope: None, reach: model.settings.default_reach };
        let by_rule = self.rules.iter().flat_map(|rule| &rule.effects).filter_map(|effect| match effect {
            Effect::Grant { role: named, organization, reach, resource_scope } if *named == role => Some(match organization {
                Place::Fixed(organization) => Holding { role, organization: *organization, resource_scope: *resource_scope, reach: *reach },
                Place::Template(_) => ceiling::everywhere(model, role),
            }),
            Effect::Grant { .. }
            | Effect::Exclude { .. }
            | Effect::DenySignIn { .. }
            | Effect::SetHomeOrganization { .. }
            | Effect::SetKind(_) => None,
        });
        by_default.map(|_| of_default).chain(by_rule).collect()
    }

    /// When a rule begins or ends next: until then the same identity gives the same result.
    #[must_use]
    pub fn next_boundary(&self, now: Timestamp) -> Option<Timestamp> {
        let boundaries = self.rules.iter().filter(|rule| rule.enabled).flat_map(|rule| [rule.valid_from, rule.valid_until]);
        boundaries.flatten().filter(|at| *at > now).min()
    }
}
