//! What people do at the gateway, as types: `Grant<RotateCertificates>` is not `Grant<ReadAccounts>`.
//!
//! One type for each `Capability`; the list is exhaustive by a `match`, so a new capability does not compile without its action.

use crate::domain::capability::Capability;

/// Something that a `Grant` can be for.
pub trait Action {
    const CAPABILITY: Capability;
}

/// A macro, because a function cannot make types.
macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $capability:ident, $name:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub struct $action;
            impl Action for $action {
                const CAPABILITY: Capability = Capability::$capability;
            }
        )*

        /// Every capability, the owners' own first.
        pub const CAPABILITIES: &[Capability] = &[$(Capability::$capability),*];

        /// The name in presets, messages and audit rows, such as `certificates.rotate`.
        #[must_use]
        pub const fn name(capability: Capability) -> &'static str {
            match capability {
                $(Capability::$capability => $name,)*
            }
        }
    };
}

actions! {
    /// Adding, retiring and replacing the certificates that decide whose sign-ins are believed.
    RotateCertificates = CertificatesRotate, "certificates.rotate";
    /// Making and retiring the gateway's own keys.
    ManageKeys = KeysManage, "keys.manage";
    /// Replacing an identity provider's metadata.
    UpdateMetadata = MetadataUpdate, "metadata.update";
    /// Making and revoking the bearers of a connection.
    ManageScimTokens = ScimTokensManage, "scim_tokens.manage";
    /// Making and revoking the reading tokens of applications.
    ManageAppTokens = AppTokensManage, "app_tokens.manage";
    /// Publishing rules and the default mapping.
    PublishMapping = MappingPublish, "mapping.publish";
    /// Switching sign-in through a connection on or off.
    ConfigureSignIn = SignInConfigure, "sign_in.configure";
    /// Granting or revoking an owner-class role.
    GrantOwners = OwnersGrant, "owners.grant";
    /// Network allow-list, session length, second factor.
    UpdateSecuritySettings = SecuritySettingsUpdate, "security_settings.update";
    /// Entering the console.
    SignInToConsole = ConsoleSignIn, "console.sign_in";
    /// Seeing organizations.
    ReadOrganizations = OrganizationsRead, "organizations.read";
    /// Making organizations.
    CreateOrganizations = OrganizationsCreate, "organizations.create";
    /// Renaming and moving organizations.
    UpdateOrganizations = OrganizationsUpdate, "organizations.update";
    /// Deleting organizations.
    DeleteOrganizations = OrganizationsDelete, "organizations.delete";
    /// Enabling an existing connection for an organization.
    EnableConnections = OrganizationsEnableConnection, "organizations.enable_connection";
    /// Changing the settings of an organization.
    UpdateOrganizationSettings = OrganizationSettingsUpdate, "organization_settings.update";
    /// Seeing contexts and resources.
    ReadScopes = ScopesRead, "scopes.read";
    /// Making, changing and deleting contexts and resources.
    ManageScopes = ScopesManage, "scopes.manage";
    /// Seeing roles.
    ReadRoles = RolesRead, "roles.read";
    /// Making and cloning roles.
    CreateRoles = RolesCreate, "roles.create";
    /// Editing roles.
    UpdateRoles = RolesUpdate, "roles.update";
    /// Deleting roles.
    DeleteRoles = RolesDelete, "roles.delete";
    /// Seeing who holds which role, and why.
    ReadAssignments = AssignmentsRead, "assignments.read";
    /// Granting roles.
    GrantAssignments = AssignmentsGrant, "assignments.grant";
    /// Revoking roles.
    RevokeAssignments = AssignmentsRevoke, "assignments.revoke";
    /// Seeing accounts.
    ReadAccounts = AccountsRead, "accounts.read";
    /// Making accounts.
    CreateAccounts = AccountsCreate, "accounts.create";
    /// Editing accounts.
    UpdateAccounts = AccountsUpdate, "accounts.update";
    /// Changing login names, e-mail addresses and external ids.
    ChangeIdentifiers = AccountsIdentifiers, "accounts.identifiers";
    /// Blocking accounts and letting them in again.
    DisableAccounts = AccountsDisable, "accounts.disable";
    /// Deleting accounts.
    DeleteAccounts = AccountsDelete, "accounts.delete";
    /// Marking accounts as verified.
    VerifyAccounts = AccountsVerify, "accounts.verify";
    /// Taking account data out.
    ExportAccounts = AccountsExport, "accounts.export";
    /// Ending sessions.
    RevokeSessions = SessionsRevoke, "sessions.revoke";
    /// Seeing the tokens of an account.
    ReadTokens = TokensRead, "tokens.read";
    /// Revoking the tokens of an account.
    RevokeTokens = TokensRevoke, "tokens.revoke";
    /// Inviting people.
    ManageInvitations = InvitationsManage, "invitations.manage";
    /// Seeing groups and their members.
    ReadGroups = GroupsRead, "groups.read";
    /// Making and changing local groups.
    UpdateGroups = GroupsUpdate, "groups.update";
    /// Seeing the attribute schema.
    ReadAttributeSchema = AttributeSchemaRead, "attribute_schema.read";
    /// Changing the attribute schema.
    UpdateAttributeSchema = AttributeSchemaUpdate, "attribute_schema.update";
    /// Seeing connections.
    ReadConnections = ConnectionsRead, "connections.read";
    /// Making connections.
    CreateConnections = ConnectionsCreate, "connections.create";
    /// Editing connections.
    UpdateConnections = ConnectionsUpdate, "connections.update";
    /// Deleting connections.
    DeleteConnections = ConnectionsDelete, "connections.delete";
    /// Seeing certificates and when they expire.
    ReadCertificates = CertificatesRead, "certificates.read";
    /// Seeing rules and the default mapping.
    ReadMapping = MappingRead, "mapping.read";
    /// Seeing protocol logs.
    ReadLogs = LogsRead, "logs.read";
    /// Seeing the audit trail.
    ReadAudit = AuditRead, "audit.read";
    /// Taking the audit trail out.
    ExportAudit = AuditExport, "audit.export";
    /// Seeing reports.
    ReadReports = ReportsRead, "reports.read";
    /// Having reports made by the clock.
    ScheduleReports = ReportsSchedule, "reports.schedule";
    /// Importing accounts and groups in bulk.
    RunImports = ImportsRun, "imports.run";
    /// Editing the texts of invitations and alerts.
    UpdateTemplates = TemplatesUpdate, "templates.update";
    /// Making and changing webhooks.
    ManageWebhooks = WebhooksManage, "webhooks.manage";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named_as_presets_write_them() {
        for capability in CAPABILITIES {
            assert_eq!(serde_json::to_value(capability).unwrap(), name(*capability));
        }
    }

    #[test]
    fn an_action_is_for_its_capability() {
        assert_eq!(RotateCertificates::CAPABILITY, Capability::CertificatesRotate);
        assert!(CAPABILITIES[..9].iter().all(|capability| capability.is_owner_only()));
        assert!(!CAPABILITIES[9..].iter().any(|capability| capability.is_owner_only()));
    }
}
