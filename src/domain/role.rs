//! A role: permissions under a name, and what holding it lets one manage.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{catalogue::Permission, id::RoleId, name::Title};

#[expect(clippy::struct_excessive_bools, reason = "each is a published property of a role, none excludes another")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub id: RoleId,
    /// The preset's key; `None` for roles that people made.
    pub key: Option<String>,
    pub name: Title,
    pub description: String,
    /// At least one, always (invariant 1).
    pub permissions: BTreeSet<Permission>,
    /// Made and upgraded with the preset; immutable for people.
    pub system: bool,
    pub owner_class: bool,
    /// Needs an account at home in the root organization.
    pub root_only: bool,
    pub machine_only: bool,
    pub locked_fields: Vec<String>,
    /// Of the roles of one family a person holds only the highest `rank` per organization by mapping.
    pub exclusive_family: Option<String>,
    pub rank: i64,
    pub managed_roles: ManagedRoles,
    /// The entries of `managed_roles` that an owner wrote. A holder may grant these roles also where they give more than the holder has.
    pub owner_named: BTreeSet<String>,
    pub managed_groups: ManagedGroups,
    pub auto_assign_on_join: bool,
    pub auto_assign_first_user: bool,
    /// The kind of scope it is held in (`context`, `resource`); `None` at organizations.
    pub scope_kind: Option<String>,
}

/// Which roles an account may have for a holder of this role to manage it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManagedRoles {
    All,
    /// Role ids; `@none` stands for an account without any role.
    Only(Vec<String>),
}

impl ManagedRoles {
    /// Returns the entries of a list; none where all are managed.
    #[must_use]
    pub fn entries(&self) -> BTreeSet<String> {
        match self {
            Self::All => BTreeSet::new(),
            Self::Only(entries) => entries.iter().cloned().collect(),
        }
    }
}

/// In `managed_roles`: an account without a role. In `managed_groups`: an account without a group.
pub const NONE: &str = "@none";
/// In `managed_groups`: the groups of the holder.
pub const OWN: &str = "@own";

/// Which groups an account may be in for a holder of this role to manage it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManagedGroups {
    All,
    /// The groups of the holder. An account without a group is not managed.
    Own,
    /// Group ids; `@own` stands for the groups of the holder and `@none` for an account without a group.
    Only(Vec<String>),
}

impl ManagedGroups {
    /// Returns the entries of a list; none where all are managed.
    #[must_use]
    pub fn entries(&self) -> BTreeSet<String> {
        match self {
            Self::All => BTreeSet::new(),
            Self::Own => BTreeSet::from([OWN.to_owned()]),
            Self::Only(entries) => entries.iter().cloned().collect(),
        }
    }
}
