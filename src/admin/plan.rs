//! What has to change for a tenant to become what its file says. Pure: the tenant as it is and the file in, the steps out, in the
//! order in which they can be done.
//!
//! Only what files made is changed or withdrawn. What people made stays as it is; a file that names it is refused, unless it says
//! what is there anyway.

mod attribute_schema;
mod mapping;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    change::{Change, differences},
    current::Current,
    tenant_file::{At, ConnectionEntry, FileError, OwnerEntry, Place, RoleEntry, TenantFile},
};
use crate::{
    db::{certificate::CertificateState, connection::ConnectionRow, tenant::Tenant},
    domain::{
        catalogue::Catalogue,
        connection::Connection,
        id::{ConnectionId, IdSource, OrganizationId, RoleId, TenantId},
        name::Slug,
        organization::{Organization, OrganizationTree},
        role::{ManagedGroups, ManagedRoles, Role},
    },
    policy::{invariant, preset::Preset},
    saml::IdpMetadata,
};

/// What identity providers' metadata says, by the slug of the connection.
pub type Metadata = BTreeMap<Slug, IdpMetadata>;

#[derive(Debug, Clone)]
pub struct Plan {
    pub tenant: TenantId,
    pub changes: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    File(#[from] FileError),
    /// Something vanished from the file that cannot go.
    #[error("{0}")]
    Stays(String),
}

/// The steps from `current` (`None`: there is no such tenant) to the file.
pub fn plan(file: &TenantFile, metadata: &Metadata, current: Option<&Current>, ids: &mut IdSource) -> Result<Plan, PlanError> {
    let tenant = current.map_or_else(|| ids.make(), |current| current.tenant.id);
    let mut planner = Planner {
        file,
        metadata,
        current,
        ids,
        tenant,
        changes: Vec::new(),
        withdrawals: Vec::new(),
        organizations: Vec::new(),
        roles: Vec::new(),
    };
    planner.tenant()?;
    planner.vanished()?;
    planner.roles()?;
    let tree = planner.organizations()?;
    planner.attribute_schema()?;
    planner.connections(&tree)?;
    planner.owners();
    let Planner { mut changes, withdrawals, .. } = planner;
    changes.extend(withdrawals);
    Ok(Plan { tenant, changes })
}

struct Planner<'a> {
    file: &'a TenantFile,
    metadata: &'a Metadata,
    current: Option<&'a Current>,
    ids: &'a mut IdSource,
    tenant: TenantId,
    changes: Vec<Change>,
    /// Done last: new owners come before old ones go.
    withdrawals: Vec<Change>,
    /// As they will be.
    organizations: Vec<Organization>,
    roles: Vec<Role>,
}

impl Planner<'_> {
    fn tenant(&mut self) -> Result<(), PlanError> {
        let entry = &self.file.tenant;
        let preset = entry.preset;
        let tenant = Tenant {
            id: self.tenant,
            slug: entry.slug.value.clone(),
            name: entry.name.clone(),
            preset: preset.key.clone(),
            preset_version: preset.version,
            settings: entry.settings.clone(),
            model_version: self.current.map_or(1, |current| current.tenant.model_version),
        };
        let Some(current) = self.current else {
            let root = Organization { id: self.ids.make(), parent: None, slug: tenant.slug.clone(), name: tenant.name.clone() };
            let instance = preset.instantiate(|| self.ids.make());
            self.organizations.push(root.clone());
            self.roles.clone_from(&instance.roles);
            let entities = instance.catalogue.iter().cloned().collect();
            self.changes.push(Change::CreateTenant { tenant, root, roles: instance.roles, entities });
            return Ok(());
        };
        if current.tenant.preset != tenant.preset {
            let why = format!("the tenant was made from the preset {}, which cannot be changed", current.tenant.preset);
            return Err(entry.slug.place.refuse(why).into());
        }
        let mut tenant = tenant;
        if !entry.says_registration {
            tenant.settings.self_service_org_registration = current.tenant.settings.self_service_org_registration;
        }
        let what = [
            differences(&json!({ "name": current.tenant.name }), &json!({ "name": tenant.name })),
            differences(&json!({ "preset_version": current.tenant.preset_version }), &json!({ "preset_version": tenant.preset_version })),
            differences(&document(&current.tenant.settings), &document(&tenant.settings)),
        ]
        .concat();
        self.organizations = current.organizations.iter().map(|row| row.organization.clone()).collect();
        self.roles = current.roles.iter().map(|row| row.role.clone()).collect();
        let renamed = current.tenant.name != tenant.name;
        if !what.is_empty() {
            self.changes.push(Change::UpdateTenant { tenant, what });
        }
        if renamed && let Some(root) = self.organizations.iter_mut().find(|organization| organization.parent.is_none()) {
            let what = differences(&json!({ "name": root.name }), &json!({ "name": entry.name }));
            if !what.is_empty() {
                root.name.clone_from(&entry.name);
                self.changes.push(Change::UpdateOrganization { organization: root.clone(), what });
            }
        }
        if current.tenant.preset_version < preset.version {
            self.upgrade(preset);
        }
        Ok(())
    }

    /// A newer version of the preset: its catalogue, its system roles and its new roles. Roles that people may edit stay as they are.
    fn upgrade(&mut self, preset: &Preset) {
        let known: Vec<Option<RoleId>> = preset
            .roles
            .iter()
            .map(|role| self.roles.iter().find(|known| known.key.as_deref() == Some(role.key.as_str())).map(|known| known.id))
            .collect();
        let mut next = known.iter();
        let instance = preset.instantiate(|| next.next().copied().flatten().unwrap_or_else(|| self.ids.make()));
        self.changes.push(Change::WriteCatalogue { entities: instance.catalogue.iter().cloned().collect() });
        for role in instance.roles {
            match self.roles.iter_mut().find(|known| known.id == role.id) {
                None => {
                    self.roles.push(role.clone());
                    self.changes.push(Change::CreateRole { role, from_file: false });
                }
                Some(known) if role.system && *known != role => {
                    let what = differences(&role_document(known), &role_document(&role));
                    known.clone_from(&role);
                    self.changes.push(Change::UpdateRole { role, what });
                }
                Some(_) => {}
            }
        }
    }

    fn catalogue(&self) -> Catalogue {
        self.file.tenant.preset.catalogue.clone()
    }

    fn roles(&mut self) -> Result<(), PlanError> {
        let catalogue = self.catalogue();
        for entry in &self.file.roles {
            let known = self.roles.iter().position(|role| role.name.key() == entry.name.value.key());
            let role = self.role(entry, known.map(|at| &self.roles[at]).map(|role| role.id))?;
            invariant::check_role(&role, &catalogue, &self.file.tenant.settings).map_err(|fault| entry.name.place.refuse(fault))?;
            match known {
                None => {
                    self.roles.push(role.clone());
                    self.changes.push(Change::CreateRole { role, from_file: true });
                }
                Some(at) => {
                    let what = differences(&role_document(&self.roles[at]), &role_document(&role));
                    if what.is_empty() {
                        continue;
                    }
                    let from_file =
                        self.current.is_some_and(|current| current.roles.iter().any(|row| row.role.id == role.id && row.from_file));
                    if !from_file {
                        return Err(entry.name.place.refuse("there is a role of this name that no file made: take another name").into());
                    }
                    self.roles[at] = role.clone();
                    self.changes.push(Change::UpdateRole { role, what });
                }
            }
        }
        Ok(())
    }

    /// The role of the file; of a known one it keeps what files cannot say.
    fn role(&mut self, entry: &RoleEntry, known: Option<RoleId>) -> Result<Role, PlanError> {
        let known = known.and_then(|id| self.roles.iter().find(|role| role.id == id));
        if known.is_some_and(|role| role.key.is_some()) {
            return Err(entry.name.place.refuse("this is a role of the preset, which files do not change").into());
        }
        let (name, permissions) = (entry.name.value.clone(), entry.permissions.clone());
        Ok(match known {
            Some(known) => Role { name, description: entry.description.clone(), permissions, ..known.clone() },
            None => Role {
                id: self.ids.make(),
                key: None,
                name,
                description: entry.description.clone(),
                permissions,
                system: false,
                owner_class: false,
                root_only: false,
                machine_only: false,
                locked_fields: Vec::new(),
                exclusive_family: None,
                rank: 0,
                managed_roles: ManagedRoles::All,
                managed_groups: ManagedGroups::All,
                auto_assign_on_join: false,
                auto_assign_first_user: false,
                scope_kind: None,
            },
        })
    }

    /// Parents before children, in whatever order the file has them.
    fn organizations(&mut self) -> Result<OrganizationTree, PlanError> {
        let mut waiting: Vec<_> = self.file.organizations.iter().collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut still = Vec::new();
            for entry in waiting {
                let later = self.file.organizations.iter().any(|other| other.slug.value == entry.parent.value)
                    && !self.organizations.iter().any(|known| known.slug == entry.parent.value);
                if later { still.push(entry) } else { self.organization(entry)? }
            }
            waiting = still;
            if waiting.len() == before {
                return Err(waiting[0].parent.place.refuse("the organizations hang below one another in a circle").into());
            }
        }
        let tree = OrganizationTree::new(self.organizations.clone());
        tree.map_err(|error| self.file.tenant.slug.place.refuse(error).into())
    }

    fn organization(&mut self, entry: &super::tenant_file::OrganizationEntry) -> Result<(), PlanError> {
        let parent = find_organization(&self.organizations, &entry.parent)?;
        match self.organizations.iter_mut().find(|known| known.slug == entry.slug.value) {
            None => {
                let organization =
                    Organization { id: self.ids.make(), parent: Some(parent), slug: entry.slug.value.clone(), name: entry.name.clone() };
                self.organizations.push(organization.clone());
                self.changes.push(Change::CreateOrganization { organization });
            }
            Some(known) => {
                let slug_of = |id: Option<OrganizationId>| {
                    let rows = self.current.map(|current| &current.organizations[..]).unwrap_or_default();
                    rows.iter().find(|row| Some(row.organization.id) == id).map(|row| row.organization.slug.to_string())
                };
                let before = json!({ "name": known.name, "parent": slug_of(known.parent) });
                let after = json!({ "name": entry.name, "parent": entry.parent.value });
                let what = if known.parent == Some(parent) && known.name == entry.name { Vec::new() } else { differences(&before, &after) };
                if what.is_empty() {
                    return Ok(());
                }
                let made_here = self
                    .current
                    .is_some_and(|current| current.organizations.iter().any(|row| row.organization.id == known.id && row.from_file));
                if !made_here {
                    return Err(entry
                        .slug
                        .place
                        .refuse("there is an organization of this slug that no file made: take another slug")
                        .into());
                }
                known.parent = Some(parent);
                known.name.clone_from(&entry.name);
                self.changes.push(Change::UpdateOrganization { organization: known.clone(), what });
            }
        }
        Ok(())
    }

    fn connections(&mut self, tree: &OrganizationTree) -> Result<(), PlanError> {
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
        let mut saml = entry.saml.clone();
        match (self.metadata.get(&entry.slug.value), known) {
            (Some(metadata), _) => {
                saml.idp_entity_id.clone_from(&metadata.entity_id);
                saml.sso_url.clone_from(&metadata.sso_redirect_url);
                saml.slo_redirect_url.clone_from(&metadata.slo_redirect_url);
                saml.slo_post_url.clone_from(&metadata.slo_post_url);
                saml.sso_post_url.clone_from(&metadata.sso_post_url);
                saml.idp_wants_signed_requests = metadata.want_authn_requests_signed;
            }
            // A file without metadata leaves what an earlier one brought.
            (None, Some(row)) => {
                saml.idp_entity_id.clone_from(&row.connection.saml.idp_entity_id);
                saml.sso_url.clone_from(&row.connection.saml.sso_url);
                saml.slo_redirect_url.clone_from(&row.connection.saml.slo_redirect_url);
                saml.slo_post_url.clone_from(&row.connection.saml.slo_post_url);
                saml.sso_post_url.clone_from(&row.connection.saml.sso_post_url);
                saml.idp_wants_signed_requests = row.connection.saml.idp_wants_signed_requests;
            }
            (None, None) => {}
        }
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

    /// Certificates that the metadata has and the connection does not trust. A file only ever adds: which one goes, and when, an owner
    /// decides, who sees which one is still signed with.
    fn certificates(&mut self, entry: &ConnectionEntry, connection: &Connection) {
        let named = self.metadata.get(&entry.slug.value).map(|metadata| &metadata.certificates[..]).unwrap_or_default();
        let known: Vec<_> =
            self.current.into_iter().flat_map(|current| &current.certificates).filter(|row| row.connection == connection.id).collect();
        for certificate in named {
            let (id, slug) = (connection.id, connection.slug.clone());
            match known.iter().find(|row| row.fingerprint == certificate.fingerprint()) {
                None => self.changes.push(Change::AddCertificate { connection: id, slug, certificate: certificate.clone() }),
                Some(row) if row.state == CertificateState::Retired => {
                    let (certificate, fingerprint) = (row.id, row.fingerprint.clone());
                    self.changes.push(Change::TrustCertificate { connection: id, slug, certificate, fingerprint });
                }
                Some(_) => {}
            }
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

    fn owners(&mut self) {
        let known = self.current.map(|current| &current.file_accounts[..]).unwrap_or_default();
        for OwnerEntry { email, name } in &self.file.owners {
            let row = known.iter().find(|row| row.account.email.as_deref().map(crate::domain::name::fold) == Some(email.key()));
            let Some(row) = row else {
                let account = self.ids.make();
                self.changes.push(Change::CreateOwner { account, email: email.clone(), name: name.clone() });
                continue;
            };
            let mut account = row.clone();
            account.account.display_name = Some(name.as_str().to_owned());
            let what = differences(&json!({ "name": row.account.display_name }), &json!({ "name": name }));
            if !self.current.is_some_and(|current| current.file_owners.contains(&row.account.id)) {
                self.changes.push(Change::RestoreOwner { account });
            } else if !what.is_empty() {
                self.changes.push(Change::UpdateOwner { account, what });
            }
        }
    }

    /// What files made and this one no longer names: from here on it is not there.
    fn vanished(&mut self) -> Result<(), PlanError> {
        let Some(current) = self.current else { return Ok(()) };
        let file = self.file;
        for row in current.connections.iter().filter(|row| row.from_file && row.connection.enabled) {
            if !file.connections.iter().any(|entry| entry.slug.value == row.connection.slug) {
                self.withdrawals.push(Change::WithdrawConnection { connection: row.connection.clone() });
            }
        }
        for row in current.file_accounts.iter().filter(|row| current.file_owners.contains(&row.account.id)) {
            let key = row.account.email.as_deref().map(crate::domain::name::fold);
            if !file.owners.iter().any(|entry| Some(entry.email.key()) == key) {
                self.withdrawals.push(Change::WithdrawOwner { account: row.clone() });
            }
        }
        let kept: BTreeSet<_> = file.roles.iter().map(|entry| entry.name.value.key()).collect();
        for row in current.roles.iter().filter(|row| row.from_file && !kept.contains(&row.role.name.key())) {
            self.delete_role(current, &row.role)?;
        }
        let kept: BTreeSet<_> = file.organizations.iter().map(|entry| &entry.slug.value).collect();
        let is_gone = |organization: &Organization| organization.parent.is_some() && !kept.contains(&organization.slug);
        let mut gone: Vec<_> = current.organizations.iter().filter(|row| row.from_file && is_gone(&row.organization)).collect();
        // The deepest first: an organization goes after those below it.
        let tree = OrganizationTree::new(current.organizations.iter().map(|row| row.organization.clone()).collect());
        gone.sort_by_key(|row| std::cmp::Reverse(tree.as_ref().map_or(0, |tree| tree.line(row.organization.id).count())));
        let ids: BTreeSet<_> = gone.iter().map(|row| row.organization.id).collect();
        for row in gone {
            self.delete_organization(current, &row.organization, &ids)?;
        }
        self.organizations.retain(|organization| !ids.contains(&organization.id));
        Ok(())
    }

    fn delete_role(&mut self, current: &Current, role: &Role) -> Result<(), PlanError> {
        let stays = |why: String| Err(PlanError::Stays(format!("role {:?} vanished from the file, but {why}", role.name.as_str())));
        if let Some(holders) = current.holders.get(&role.id) {
            let named = holders.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
            let more = if holders.len() > 10 { format!(" and {} more", holders.len() - 10) } else { String::new() };
            return stays(format!("these accounts hold it: {named}{more}; give them another role first"));
        }
        let by_hand = current.connections.iter().filter(|row| !row.from_file);
        for row in by_hand {
            if current.mappings.get(&row.connection.id).is_some_and(|mapping| mapping::names_role(mapping, role.id)) {
                return stays(format!("the mapping of the connection {} names it", row.connection.slug));
            }
        }
        self.roles.retain(|known| known.id != role.id);
        self.withdrawals.push(Change::DeleteRole { role: role.id, name: role.name.clone() });
        Ok(())
    }

    fn delete_organization(
        &mut self,
        current: &Current,
        organization: &Organization,
        gone: &BTreeSet<OrganizationId>,
    ) -> Result<(), PlanError> {
        let id = organization.id;
        let stays = |why: &str| Err(PlanError::Stays(format!("organization {} vanished from the file, but {why}", organization.slug)));
        // Where the file lists a child, the file says where it hangs.
        let hangs_here = |child: &Organization| {
            let listed = self.file.organizations.iter().find(|entry| entry.slug.value == child.slug);
            listed.map_or(child.parent == Some(id), |entry| entry.parent.value == organization.slug)
        };
        if self.organizations.iter().any(|child| hangs_here(child) && !gone.contains(&child.id)) {
            return stays("others hang below it; move or remove those first");
        }
        if current.peopled.contains(&id) {
            return stays("accounts are at home, members or hold roles there; move them first");
        }
        if current.connections.iter().any(|row| row.connection.organization == id) {
            return stays("a connection belongs to it; move that to another organization first");
        }
        let by_hand = current.connections.iter().filter(|row| !row.from_file);
        for row in by_hand {
            if current.mappings.get(&row.connection.id).is_some_and(|mapping| mapping::names_organization(mapping, id)) {
                return stays(&format!("the mapping of the connection {} names it", row.connection.slug));
            }
        }
        self.withdrawals.push(Change::DeleteOrganization { organization: id, slug: organization.slug.clone() });
        Ok(())
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

fn find_organization(organizations: &[Organization], slug: &At<Slug>) -> Result<OrganizationId, FileError> {
    let found = organizations.iter().find(|organization| organization.slug == slug.value);
    found.map(|organization| organization.id).ok_or_else(|| unknown_organization(&slug.place, slug.value.as_str()))
}

fn unknown_organization(place: &Place, slug: &str) -> FileError {
    place.refuse(format!("there is no organization {slug:?}; list it under [[organizations]]"))
}

fn document(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("values of the domain have text keys and no failing parts")
}

fn role_document(role: &Role) -> Value {
    json!({ "name": role.name, "description": role.description, "permissions": role.permissions })
}

impl Plan {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Connections whose people are to be evaluated again.
    #[must_use]
    pub fn remapped(&self) -> Vec<ConnectionId> {
        let ids = self.changes.iter().filter_map(|change| match change {
            Change::PublishMapping { connection, .. } => Some(*connection),
            _ => None,
        });
        ids.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::domain::time::Timestamp;

    fn planned(text: &str) -> Result<Vec<String>, String> {
        let file = TenantFile::parse(Path::new("acme.toml"), text).map_err(|error| error.to_string())?;
        let mut ids = IdSource::new(Timestamp::from_millis(1_772_500_000_000), [7; 16]);
        let plan = plan(&file, &Metadata::new(), None, &mut ids).map_err(|error| error.to_string())?;
        Ok(plan.changes.iter().map(|change| format!("{change:?}")).collect())
    }

    #[test]
    fn the_same_file_gives_the_same_plan_and_every_preset_makes_a_tenant() {
        for preset in Preset::all() {
            let text =
                format!("[tenant]\nslug = 'acme'\nname = 'Acme'\npreset = '{}'\n[[owners]]\nemail = 'a@b'\nname = 'A'\n", preset.key);
            assert_eq!(planned(&text), planned(&text));
            assert_eq!(planned(&text).unwrap().len(), 2, "{}: the tenant and its owner", preset.key);
        }
    }

    #[test]
    fn names_that_mean_nothing_are_refused_where_they_stand() {
        let base = "[tenant]\nslug = 'acme'\nname = 'Acme'\npreset = 'owner-member'\n[[organizations]]\nslug = 'eu'\nname = 'EU'\nparent = 'acme'\n";
        let connection = |rest: &str| format!("{base}[[connections]]\nslug = 'okta'\norganization = 'eu'\n{rest}");
        let rule = |rest: &str| connection(&format!("[[connections.rules]]\nname = 'r'\nwhen = 'groups[display eq \"x\"]'\n{rest}"));
        let cases = [
            (base.replace("parent = 'acme'", "parent = 'us'"), "line 8: organizations.parent: there is no organization \"us\""),
            (base.replace("parent = 'acme'", "parent = 'eu'"), "in a circle"),
            (base.to_owned() + "[[connections]]\nslug = 'okta'\norganization = 'us'\n", "line 11: connections.organization: there is no"),
            (connection("[connections.default_mapping]\nroles = ['Organisation Member']\n"), "the nearest is \"Organization Member\""),
            (
                connection("[connections.default_mapping]\nroles = ['Boss']\n"),
                "; there are Organization Owner, Organization Context Manager, Organization Member",
            ),
            (connection("[connections.default_mapping]\nroles = ['Organization Owner']\n"), "allow_owner_grants"),
            (
                rule("grant = [{ role = 'Organization Owner' }]\n"),
                "line 15: connections.rules.grant.role: \"Organization Owner\" makes owners",
            ),
            (rule("grant = [{ role = 'Organization Member', organization = 'acme' }]\n"), "root_published"),
            (rule("grant = [{ role = 'Sign-In administrator' }]\n"), "is held in a context"),
            (
                rule("grant = [{ role = 'Organization Owner' }]\n").replace("organization = 'eu'", "allow_owner_grants = true"),
                "groups.value",
            ),
        ];
        for (text, expected) in cases {
            let refused = planned(&text).unwrap_err();
            assert!(refused.contains(expected), "{refused}\n  should say\n{expected}");
        }
    }

    #[test]
    fn no_role_of_a_file_holds_what_is_an_owners_alone() {
        let file = |settings: &str, permission: &str| {
            format!(
                "[tenant]\nslug = 'acme'\nname = 'Acme'\npreset = 'owner-member'\nsettings = {{ custom_roles = true{settings} }}\n[[roles]]\nname = 'x'\npermissions = ['{permission}']\n"
            )
        };
        for permission in ["idp_certificates:*", "owner_role:*", "administrators:create"] {
            let refused = planned(&file("", permission)).unwrap_err();
            assert!(refused.contains("is an owner's alone"), "{refused}");
            let refused = planned(&file(", owner_only = []", permission)).unwrap_err();
            assert!(refused.contains("line 5: tenant.settings: owner_only"), "{refused}");
        }
        assert!(planned(&file("", "*:read")).is_ok());
    }
}
