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

/// What the gateway itself lets people do; a closed list. Each preset says in data which pairs of its catalogue open which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Capability {
    #[serde(rename = "certificates.rotate")]
    CertificatesRotate,
    #[serde(rename = "keys.manage")]
    KeysManage,
    #[serde(rename = "metadata.update")]
    MetadataUpdate,
    #[serde(rename = "scim_tokens.manage")]
    ScimTokensManage,
    #[serde(rename = "app_tokens.manage")]
    AppTokensManage,
    #[serde(rename = "mapping.publish")]
    MappingPublish,
    #[serde(rename = "sign_in.configure")]
    SignInConfigure,
    #[serde(rename = "owners.grant")]
    OwnersGrant,
    #[serde(rename = "security_settings.update")]
    SecuritySettingsUpdate,
    #[serde(rename = "console.sign_in")]
    ConsoleSignIn,
    #[serde(rename = "organizations.read")]
    OrganizationsRead,
    #[serde(rename = "organizations.create")]
    OrganizationsCreate,
    #[serde(rename = "organizations.update")]
    OrganizationsUpdate,
    #[serde(rename = "organizations.delete")]
    OrganizationsDelete,
    #[serde(rename = "organizations.enable_connection")]
    OrganizationsEnableConnection,
    #[serde(rename = "organization_settings.update")]
    OrganizationSettingsUpdate,
    #[serde(rename = "scopes.read")]
    ScopesRead,
    #[serde(rename = "scopes.manage")]
    ScopesManage,
    #[serde(rename = "roles.read")]
    RolesRead,
    #[serde(rename = "roles.create")]
    RolesCreate,
    #[serde(rename = "roles.update")]
    RolesUpdate,
    #[serde(rename = "roles.delete")]
    RolesDelete,
    #[serde(rename = "assignments.read")]
    AssignmentsRead,
    #[serde(rename = "assignments.grant")]
    AssignmentsGrant,
    #[serde(rename = "assignments.revoke")]
    AssignmentsRevoke,
    #[serde(rename = "accounts.read")]
    AccountsRead,
    #[serde(rename = "accounts.create")]
    AccountsCreate,
    #[serde(rename = "accounts.update")]
    AccountsUpdate,
    #[serde(rename = "accounts.identifiers")]
    AccountsIdentifiers,
    #[serde(rename = "accounts.disable")]
    AccountsDisable,
    #[serde(rename = "accounts.delete")]
    AccountsDelete,
    #[serde(rename = "accounts.verify")]
    AccountsVerify,
    #[serde(rename = "accounts.export")]
    AccountsExport,
    #[serde(rename = "sessions.revoke")]
    SessionsRevoke,
    #[serde(rename = "tokens.read")]
    TokensRead,
    #[serde(rename = "tokens.revoke")]
    TokensRevoke,
    #[serde(rename = "invitations.manage")]
    InvitationsManage,
    #[serde(rename = "groups.read")]
    GroupsRead,
    #[serde(rename = "groups.update")]
    GroupsUpdate,
    #[serde(rename = "attribute_schema.read")]
    AttributeSchemaRead,
    #[serde(rename = "attribute_schema.update")]
    AttributeSchemaUpdate,
    #[serde(rename = "connections.read")]
    ConnectionsRead,
    #[serde(rename = "connections.create")]
    ConnectionsCreate,
    #[serde(rename = "connections.update")]
    ConnectionsUpdate,
    #[serde(rename = "connections.delete")]
    ConnectionsDelete,
    #[serde(rename = "certificates.read")]
    CertificatesRead,
    #[serde(rename = "mapping.read")]
    MappingRead,
    #[serde(rename = "logs.read")]
    LogsRead,
    #[serde(rename = "audit.read")]
    AuditRead,
    #[serde(rename = "audit.export")]
    AuditExport,
    #[serde(rename = "reports.read")]
    ReportsRead,
    #[serde(rename = "reports.schedule")]
    ReportsSchedule,
    #[serde(rename = "imports.run")]
    ImportsRun,
    #[serde(rename = "templates.update")]
    TemplatesUpdate,
    #[serde(rename = "webhooks.manage")]
    WebhooksManage,
}

impl Capability {
    /// An owner's alone in every preset, whatever a custom role says.
    #[must_use]
    pub fn is_owner_only(self) -> bool {
        matches!(
            self,
            Self::CertificatesRotate
                | Self::KeysManage
                | Self::MetadataUpdate
                | Self::ScimTokensManage
                | Self::AppTokensManage
                | Self::MappingPublish
                | Self::SignInConfigure
                | Self::OwnersGrant
                | Self::SecuritySettingsUpdate
        )
    }
}

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
