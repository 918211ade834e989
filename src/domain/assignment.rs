//! Assignments of roles, and their origins: why each is there.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    id::{AccountId, AssignmentId, ConnectionId, OrganizationId, RoleId, RuleId, ScopeId},
    time::Timestamp,
};

/// How far an assignment acts from its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    Organization,
    Subtree,
}

impl Reach {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Subtree => "subtree",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "organization" => Some(Self::Organization),
            "subtree" => Some(Self::Subtree),
            _ => None,
        }
    }
}

/// What one account can hold once: a role at a place, with a reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holding {
    pub role: RoleId,
    pub organization: OrganizationId,
    pub resource_scope: Option<ScopeId>,
    pub reach: Reach,
}

/// Why an assignment is there. A sync only ever adds or removes origins of its own connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Granted by a person; `None` is the operator of the host, on the command line.
    Manual {
        by: Option<AccountId>,
    },
    ScimRule {
        connection: ConnectionId,
        rule: RuleId,
    },
    SamlRule {
        connection: ConnectionId,
        rule: RuleId,
    },
    /// The default mapping of a connection.
    Default {
        connection: ConnectionId,
    },
    AutoJoin,
    FirstUser,
    Invitation {
        by: Option<AccountId>,
    },
    DirectorySync {
        connection: ConnectionId,
    },
    /// Written by `apply` or `demo` for the tenant's first owners.
    Bootstrap,
    /// Holds the last owner assignment that a sync would have removed (invariant 4).
    Retention,
}

impl Origin {
    /// The word in the database, in JSON and in audit rows.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Manual { .. } => "manual",
            Self::ScimRule { .. } => "scim_rule",
            Self::SamlRule { .. } => "saml_rule",
            Self::Default { .. } => "default",
            Self::AutoJoin => "auto_join",
            Self::FirstUser => "first_user",
            Self::Invitation { .. } => "invitation",
            Self::DirectorySync { .. } => "directory_sync",
            Self::Bootstrap => "bootstrap",
            Self::Retention => "retention",
        }
    }

    /// The connection whose sync it belongs to, if any.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::ScimRule { connection, .. }
            | Self::SamlRule { connection, .. }
            | Self::Default { connection }
            | Self::DirectorySync { connection } => Some(*connection),
            Self::Manual { .. } | Self::AutoJoin | Self::FirstUser | Self::Invitation { .. } | Self::Bootstrap | Self::Retention => None,
        }
    }

    /// The person who gave it, where one did.
    #[must_use]
    pub fn granted_by(&self) -> Option<AccountId> {
        match self {
            Self::Manual { by } | Self::Invitation { by } => *by,
            Self::ScimRule { .. }
            | Self::SamlRule { .. }
            | Self::Default { .. }
            | Self::AutoJoin
            | Self::FirstUser
            | Self::DirectorySync { .. }
            | Self::Bootstrap
            | Self::Retention => None,
        }
    }

    #[must_use]
    pub fn rule(&self) -> Option<RuleId> {
        match self {
            Self::ScimRule { rule, .. } | Self::SamlRule { rule, .. } => Some(*rule),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// An origin with the time it was written; `may_delegate` is the grantor's, so it leaves with the grant that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginRow {
    pub origin: Origin,
    pub since: Timestamp,
    pub may_delegate: bool,
    /// The identity that the origin comes from is blocked: the origin gives nothing until the identity may sign in again.
    pub dormant: bool,
}

/// An assignment with its origins, at least one (invariant 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub id: AssignmentId,
    pub account: AccountId,
    pub holding: Holding,
    pub origins: Vec<OriginRow>,
}

impl Assignment {
    /// Whether the assignment gives its role: at least one origin is not dormant.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.origins.iter().any(|row| !row.dormant)
    }
}

/// What an account can use of its assignments: those with a live origin, by their live origins alone.
#[must_use]
pub fn live(held: Vec<Assignment>) -> Vec<Assignment> {
    let awake = |mut assignment: Assignment| {
        assignment.origins.retain(|row| !row.dormant);
        (!assignment.origins.is_empty()).then_some(assignment)
    };
    held.into_iter().filter_map(awake).collect()
}
