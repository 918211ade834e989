//! Accounts: the people and machines of a tenant.

use serde::{Deserialize, Serialize};

use super::id::{AccountId, OrganizationId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    Human,
    Machine,
}

/// Whether somebody may sign in. Derived from identities and credentials; stored so that a look is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInStatus {
    Active,
    /// Made by `create_pending`: known, but not let in until a person with the right says so.
    Pending,
    /// No live identity and no local credential is left, or an administrator blocked it.
    Blocked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub user_name: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub kind: AccountKind,
    pub home_organization: Option<OrganizationId>,
    pub status: SignInStatus,
}

impl SignInStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Blocked => "blocked",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "active" => Some(Self::Active),
            "pending" => Some(Self::Pending),
            "blocked" => Some(Self::Blocked),
            _ => None,
        }
    }
}

impl AccountKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Machine => "machine",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "human" => Some(Self::Human),
            "machine" => Some(Self::Machine),
            _ => None,
        }
    }
}
