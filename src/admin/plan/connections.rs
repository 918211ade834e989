//! The part of a plan that concerns connections: what they are, whom they trust, and what their rules say.

use serde_json::{Value, json};

use super::{Change, PlanError, Planner, differences, mapping, organizations::find_organization};
use crate::{
    admin::tenant_file::ConnectionEntry,
    db::connection::ConnectionRow,
    domain::{
        connection::{Connection, SamlSettings},
        organization::OrganizationTree,
    },
    saml::IdpMetadata,
};

impl Planner<'_> {
    pub(super) fn connections(&mut self, tree: &OrganizationTree) -> Result<(), PlanError> {
        for entry in &self.file.connections {
            let known = self.current.and_then(|current| current.connections.iter().find(|row| row.connection.slug == entry.slug.value));
            if known.is_some_and(|row| !row.from_file) {
                return Err(entry.slug.place.refuse("there is a connection of this slug that no file made: take another slug").into());
            }
            let connection = self.connection(entry, known)?;
            match known {
                None => self.changes.push(Change::CreateConnection { connection: connection.clone() }),
                Some(row) => {
                    let what = differences(&self.connection_document(&row.connection), &self.connection_document(&connection));
                    if !what.is_empty() {
                        self.changes.push(Change::UpdateConnection { connection: connection.clone(), what });
                    }
                }
            }
            self.certificates(entry, &connection);
            self.mapping(entry, &connection, known, tree)?;
        }
        Ok(())
    }

    fn connection(&mut self, entry: &ConnectionEntry, known: Option<&ConnectionRow>) -> Result<Connection, PlanError> {
        let told = match (self.metadata.get(&entry.slug.value), known) {
            (Some(metadata), _) => told(metadata),
            // A file without metadata leaves what an earlier one brought.
            (None, Some(row)) => row.connection.saml.clone(),
            (None, None) => entry.saml.clone(),
        };
        let saml = SamlSettings {
            idp_entity_id: told.idp_entity_id,
            sso_url: told.sso_url,
            sso_post_url: told.sso_post_url,
            slo_redirect_url: told.slo_redirect_url,
            slo_post_url: told.slo_post_url,
            idp_wants_signed_requests: told.idp_wants_signed_requests,
            ..entry.saml.clone()
        };
        Ok(Connection {
            id: known.map_or_else(|| self.ids.make(), |row| row.connection.id),
            tenant: self.tenant,
            organization: find_organization(&self.organizations, &entry.organization)?,
            slug: entry.slug.value.clone(),
            audience: entry.audience,
            authority: entry.authority,
            enabled: entry.enabled,
            allow_owner_grants: entry.allow_owner_grants,
            scim: entry.scim.clone(),
            saml,
            attributes: entry.attributes.clone(),
            version: known.map_or(1, |row| row.connection.version),
        })
    }

    fn connection_document(&self, connection: &Connection) -> Value {
        let organization = self.organizations.iter().find(|known| known.id == connection.organization);
        json!({
            "organization": organization.map(|known| known.slug.as_str()),
            "audience": connection.audience,
            "authority": connection.authority,
            "enabled": connection.enabled,
            "allow_owner_grants": connection.allow_owner_grants,
            "scim": connection.scim,
            "saml": connection.saml,
            "attributes": connection.attributes,
        })
    }

    /// Certificates that the metadata has and the connection does not know. A file only ever adds: which one goes, and when, an owner
    /// decides, who sees which one is still signed with; and what an owner retired stays retired, until somebody adds it who means it.
    fn certificates(&mut self, entry: &ConnectionEntry, connection: &Connection) {
        let named = self.metadata.get(&entry.slug.value).map(|metadata| &metadata.certificates[..]).unwrap_or_default();
        let rows = self.current.into_iter().flat_map(|current| &current.certificates);
        let known: Vec<_> = rows.filter(|row| row.connection == connection.id).map(|row| row.fingerprint.as_str()).collect();
        for certificate in named.iter().filter(|certificate| !known.contains(&certificate.fingerprint())) {
            let (connection, slug) = (connection.id, connection.slug.clone());
            self.changes.push(Change::AddCertificate { connection, slug, certificate: certificate.clone() });
        }
    }

    fn mapping(
        &mut self,
        entry: &ConnectionEntry,
        connection: &Connection,
        known: Option<&ConnectionRow>,
        tree: &OrganizationTree,
    ) -> Result<(), PlanError> {
        let before = self.current.and_then(|current| current.mappings.get(&connection.id));
        let version = known.map_or(0, |row| row.mapping_version);
        let names = mapping::Names { tree, roles: &self.roles, reach: self.file.tenant.settings.default_reach };
        let mut mapping = mapping::build(entry, connection, &names, before, self.ids)?;
        mapping.version = version;
        let what = match before {
            Some(before) if *before == mapping => match known.map(|row| &row.connection) {
                Some(was) if evaluates_otherwise(was, connection) => vec!["evaluated again, because the connection changed".to_owned()],
                _ => return Ok(()),
            },
            Some(before) => mapping::differences(before, &mapping, &names),
            None => vec![mapping::summary(&mapping)],
        };
        mapping.version += 1;
        self.changes.push(Change::PublishMapping { connection: connection.id, slug: connection.slug.clone(), mapping, what });
        Ok(())
    }
}

/// What metadata says of an identity provider, and nothing else.
fn told(metadata: &IdpMetadata) -> SamlSettings {
    SamlSettings {
        idp_entity_id: metadata.entity_id.clone(),
        sso_url: metadata.sso_redirect_url.clone(),
        sso_post_url: metadata.sso_post_url.clone(),
        slo_redirect_url: metadata.slo_redirect_url.clone(),
        slo_post_url: metadata.slo_post_url.clone(),
        idp_wants_signed_requests: metadata.want_authn_requests_signed,
        ..SamlSettings::default()
    }
}

/// Whether the same rules mean something else for people who are known already.
fn evaluates_otherwise(before: &Connection, after: &Connection) -> bool {
    before.organization != after.organization
        || before.authority != after.authority
        || before.allow_owner_grants != after.allow_owner_grants
        || before.scim.enabled != after.scim.enabled
        || before.enabled != after.enabled
}
