//! What the gateway itself lets people do: the closed list that presets open in data.

use serde::{Deserialize, Serialize};

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
    /// What applications may look at: who there is, what they hold, and what happens.
    #[must_use]
    pub fn is_for_applications(self) -> bool {
        matches!(
            self,
            Self::OrganizationsRead
                | Self::ScopesRead
                | Self::RolesRead
                | Self::AssignmentsRead
                | Self::AccountsRead
                | Self::GroupsRead
                | Self::AuditRead
        )
    }

    /// Whether `managed_roles` and `managed_groups` limit to whom it is done.
    #[must_use]
    pub fn is_done_to_accounts(self) -> bool {
        matches!(
            self,
            Self::AssignmentsGrant
                | Self::AssignmentsRevoke
                | Self::AccountsUpdate
                | Self::AccountsIdentifiers
                | Self::AccountsDisable
                | Self::AccountsDelete
                | Self::AccountsVerify
                | Self::AccountsExport
                | Self::SessionsRevoke
                | Self::TokensRead
                | Self::TokensRevoke
                | Self::InvitationsManage
                | Self::GroupsUpdate
        )
    }

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
