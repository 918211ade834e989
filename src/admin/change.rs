//! What `apply` does to a tenant, one step a value: written by `plan`, printed for people, executed by `apply`.

use std::fmt;

use serde_json::Value;

use crate::{
    db::{account::AccountRow, tenant::Tenant},
    domain::{
        catalogue::Entity,
        connection::Connection,
        id::{AccountId, ConnectionId, OrganizationId, RoleId},
        name::{Email, Slug, Title},
        organization::Organization,
        role::Role,
    },
    policy::mapping::Mapping,
    saml::Certificate,
    scim::schema::Definition,
};

/// One step. `what` says in words what differs.
#[derive(Debug, Clone)]
pub enum Change {
    CreateTenant {
        tenant: Tenant,
        root: Organization,
        roles: Vec<Role>,
        entities: Vec<Entity>,
    },
    UpdateTenant {
        tenant: Tenant,
        what: Vec<String>,
    },
    WriteCatalogue {
        entities: Vec<Entity>,
        /// Their keys.
        removed: Vec<String>,
    },
    CreateRole {
        role: Role,
        from_file: bool,
    },
    UpdateRole {
        role: Role,
        what: Vec<String>,
    },
    CreateOrganization {
        organization: Organization,
    },
    UpdateOrganization {
        organization: Organization,
        what: Vec<String>,
    },
    CreateConnection {
        connection: Connection,
    },
    UpdateConnection {
        connection: Connection,
        what: Vec<String>,
    },
    AddCertificate {
        connection: ConnectionId,
        slug: Slug,
        certificate: Certificate,
    },
    PublishMapping {
        connection: ConnectionId,
        slug: Slug,
        mapping: Mapping,
        what: Vec<String>,
    },
    /// Disables the connection and takes back what its rules and its default gave.
    WithdrawConnection {
        connection: Connection,
    },
    /// Declares the tenant's own extension of User, or another one in its place.
    PutAttributeSchema {
        definition: Definition,
        document: String,
        /// Empty where there was none.
        what: Vec<String>,
    },
    DeleteAttributeSchema,
    CreateOwner {
        account: AccountId,
        email: Email,
        name: Title,
    },
    UpdateOwner {
        account: AccountRow,
        what: Vec<String>,
    },
    /// Makes somebody an owner again whom an earlier file had named.
    RestoreOwner {
        account: AccountRow,
    },
    WithdrawOwner {
        account: AccountRow,
    },
    DeleteRole {
        role: RoleId,
        name: Title,
    },
    DeleteOrganization {
        organization: OrganizationId,
        slug: Slug,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTenant { tenant, roles, entities, .. } => write!(
                f,
                "+ tenant {} ({}) from the preset {}: {} roles, {} entities",
                tenant.slug,
                tenant.name,
                tenant.preset,
                roles.len(),
                entities.len()
            ),
            Self::UpdateTenant { tenant, what } => write!(f, "~ tenant {}: {}", tenant.slug, what.join("; ")),
            Self::WriteCatalogue { entities, removed } => {
                write!(f, "~ permission catalogue: {} entities are new or other ones, {} are gone", entities.len(), removed.len())
            }
            Self::CreateRole { role, .. } => write!(f, "+ role {:?}: {}", role.name.as_str(), permissions(role)),
            Self::UpdateRole { role, what } => write!(f, "~ role {:?}: {}", role.name.as_str(), what.join("; ")),
            Self::CreateOrganization { organization } => write!(f, "+ organization {} ({})", organization.slug, organization.name),
            Self::UpdateOrganization { organization, what } => write!(f, "~ organization {}: {}", organization.slug, what.join("; ")),
            Self::CreateConnection { connection } => write!(f, "+ connection {}{}", connection.slug, protocols(connection)),
            Self::UpdateConnection { connection, what } => write!(f, "~ connection {}: {}", connection.slug, what.join("; ")),
            Self::AddCertificate { slug, certificate, .. } => {
                write!(
                    f,
                    "+ certificate of {slug}: {} (SHA-256 {}…, until {})",
                    certificate.subject(),
                    &certificate.fingerprint()[..16],
                    certificate.not_after()
                )
            }
            Self::PublishMapping { slug, mapping, what, .. } => {
                write!(f, "~ mapping of {slug}, version {}: {}", mapping.version, what.join("; "))
            }
            Self::WithdrawConnection { connection } => {
                write!(f, "- connection {}: disabled, and what its rules and its default gave is withdrawn", connection.slug)
            }
            Self::PutAttributeSchema { definition, what, .. } if what.is_empty() => {
                let names: Vec<_> = definition.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
                write!(f, "+ attribute schema {}: {}", definition.urn, names.join(", "))
            }
            Self::PutAttributeSchema { what, .. } => write!(f, "~ attribute schema: {}", what.join("; ")),
            Self::DeleteAttributeSchema => write!(f, "- attribute schema"),
            Self::CreateOwner { email, .. } => write!(f, "+ owner {}", email.as_str()),
            Self::UpdateOwner { account, what } => write!(f, "~ owner {}: {}", account.account.user_name, what.join("; ")),
            Self::RestoreOwner { account } => write!(f, "+ owner {} (known from before)", account.account.user_name),
            Self::WithdrawOwner { account } => write!(f, "- owner {}", account.account.user_name),
            Self::DeleteRole { name, .. } => write!(f, "- role {:?}", name.as_str()),
            Self::DeleteOrganization { slug, .. } => write!(f, "- organization {slug}"),
        }
    }
}

fn permissions(role: &Role) -> String {
    role.permissions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn protocols(connection: &Connection) -> &'static str {
    match (connection.scim.enabled, connection.saml.enabled) {
        (true, true) => " (SCIM and SAML)",
        (true, false) => " (SCIM)",
        (false, true) => " (SAML)",
        (false, false) => " (no protocol enabled)",
    }
}

/// What differs between two documents, as `key: before → after`; tables are looked into, lists are compared whole.
#[must_use]
pub fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect("", before, after, &mut found);
    found
}

fn collect(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
        for key in keys {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            collect(&path, old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null), found);
        }
    } else if before != after {
        found.push(format!("{path}: {} → {}", shown(before), shown(after)));
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_name_the_key_and_both_values() {
        let before = json!({"saml": {"enabled": true, "jit": null}, "gone": 1, "same": [1, 2]});
        let after = json!({"saml": {"enabled": true, "jit": "create"}, "same": [1, 2], "new": ["a"]});
        assert_eq!(differences(&before, &after), ["saml.jit: nothing → create", "gone: 1 → nothing", r#"new: nothing → ["a"]"#]);
        assert!(differences(&after, &after).is_empty());
    }
}
