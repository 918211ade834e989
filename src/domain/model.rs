//! The role model of one tenant as decisions need it: settings, organizations, catalogue and roles, loaded once per version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    assignment::Reach,
    catalogue::{Catalogue, Permission},
    id::{RoleId, TenantId},
    name::fold,
    organization::OrganizationTree,
    role::Role,
};

/// When an edited role takes effect on those signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleChangeEffect {
    Immediate,
    NextLogin,
}

/// Permissions on `guards` are inert unless the same role holds `requires`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    pub requires: Permission,
    pub guards: Vec<String>,
}

/// A kind of context or resource, such as a Sign-In Context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeKind {
    pub key: String,
    /// `context` or `resource`.
    pub kind: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
}

/// What a preset sets for a tenant, and the tenant may set otherwise.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the published systems")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub custom_roles: bool,
    /// Usable owners that a person's action must leave.
    pub min_owners: i64,
    pub role_change_effect: RoleChangeEffect,
    pub default_reach: Reach,
    pub scim_inbound: bool,
    pub delegation: bool,
    pub gate: Option<Gate>,
    pub owner_only: Vec<Permission>,
    pub root_only_actions: Vec<Permission>,
    pub self_service_org_registration: bool,
    pub clone_suffix: String,
    pub default_mapping_apply: String,
    /// Origin kinds that people may not edit.
    #[serde(default)]
    pub externally_managed: Vec<String>,
    /// Accepted in files and without effect: an owner answers for every token of an application, in every tenant.
    #[serde(default = "yes")]
    pub service_accounts: bool,
    /// The kinds of contexts and resources that a role can be held in.
    #[serde(default)]
    pub scope_kinds: Vec<ScopeKind>,
    /// How long a session lasts at most, whatever the connection and the identity provider say.
    #[serde(default = "default_session_ttl_secs")]
    pub session_ttl_secs: i64,
    /// After how long without a request a session ends; 0: never for that reason.
    #[serde(default = "default_session_idle_secs")]
    pub session_idle_secs: i64,
    /// Sessions that one account may have at once; a sign-in beyond them ends the oldest.
    #[serde(default = "default_max_sessions")]
    pub max_sessions: i64,
}

/// No session lasts longer, whatever a tenant sets.
pub const MAX_SESSION_TTL_SECS: i64 = 30 * 86_400;
/// A shorter one would end between two clicks: uses of a session are written at most once a minute.
const MIN_SESSION_SECS: i64 = 300;
/// Lists show at most so many sessions of an account.
const SESSIONS_LISTED: i64 = 1000;

fn yes() -> bool {
    true
}

fn default_session_ttl_secs() -> i64 {
    12 * 3600
}

fn default_session_idle_secs() -> i64 {
    2 * 3600
}

fn default_max_sessions() -> i64 {
    20
}

impl Settings {
    /// # Errors
    /// In words, when sessions would last too long, or not long enough to be used, or when there could be none or too many.
    pub fn check_sessions(&self) -> Result<(), String> {
        if !(MIN_SESSION_SECS..=MAX_SESSION_TTL_SECS).contains(&self.session_ttl_secs) {
            return Err(format!("session_ttl_secs must be {MIN_SESSION_SECS} to {MAX_SESSION_TTL_SECS}"));
        }
        if self.session_idle_secs != 0 && !(MIN_SESSION_SECS..=MAX_SESSION_TTL_SECS).contains(&self.session_idle_secs) {
            return Err(format!("session_idle_secs must be 0 (never) or {MIN_SESSION_SECS} to {MAX_SESSION_TTL_SECS}"));
        }
        if !(1..=SESSIONS_LISTED).contains(&self.max_sessions) {
            return Err(format!("max_sessions must be 1 to {SESSIONS_LISTED}"));
        }
        Ok(())
    }

    /// `context` or `resource` for a kind of scope; the word itself where the tenant has no such kind.
    #[must_use]
    pub fn class_of_scope<'a>(&'a self, kind: &'a str) -> &'a str {
        self.scope_kinds.iter().find(|known| known.key == kind).map_or(kind, |known| &known.kind)
    }
}

/// One tenant's model at one version.
#[derive(Debug, Clone)]
pub struct RoleModel {
    pub tenant: TenantId,
    pub version: i64,
    pub settings: Settings,
    pub organizations: OrganizationTree,
    pub catalogue: Catalogue,
    roles: BTreeMap<RoleId, Role>,
    role_keys: BTreeMap<String, RoleId>,
}

impl RoleModel {
    #[must_use]
    pub fn new(
        tenant: TenantId,
        version: i64,
        settings: Settings,
        organizations: OrganizationTree,
        catalogue: Catalogue,
        roles: Vec<Role>,
    ) -> Self {
        let role_keys = roles.iter().map(|role| (role.name.key(), role.id)).collect();
        let roles = roles.into_iter().map(|role| (role.id, role)).collect();
        Self { tenant, version, settings, organizations, catalogue, roles, role_keys }
    }

    #[must_use]
    pub fn role(&self, id: RoleId) -> Option<&Role> {
        self.roles.get(&id)
    }

    /// By name, NFKC and case folded.
    #[must_use]
    pub fn role_named(&self, name: &str) -> Option<&Role> {
        self.roles.get(self.role_keys.get(&fold(name))?)
    }

    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }
}
