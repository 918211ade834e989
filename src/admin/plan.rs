//! What has to change for a tenant to become what its file says. Pure: the tenant as it is and the file in, the steps out, in the
//! order in which they can be done.
//!
//! Only what files made is changed or withdrawn. What people made stays as it is; a file that names it is refused, unless it says
//! what is there anyway.

mod attribute_schema;
mod connections;
mod mapping;
mod organizations;
mod roles;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    change::{Change, differences},
    current::Current,
    tenant_file::{FileError, OwnerEntry, TenantFile},
};
use crate::{
    db::tenant::Tenant,
    domain::{
        id::{ConnectionId, IdSource, TenantId},
        name::Slug,
        organization::{Organization, OrganizationTree},
        role::Role,
    },
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
            file_settings: Some(entry.said.clone()),
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
            return Err(entry.preset_place.refuse(why).into());
        }
        let mut tenant = tenant;
        // Else the switch stays as people set it.
        if !entry.said.contains("self_service_org_registration") {
            tenant.settings.self_service_org_registration = current.tenant.settings.self_service_org_registration;
        }
        let what = [
            differences(&json!({ "name": current.tenant.name }), &json!({ "name": tenant.name })),
            differences(&json!({ "preset_version": current.tenant.preset_version }), &json!({ "preset_version": tenant.preset_version })),
            differences(&document(&current.tenant.settings), &document(&tenant.settings)),
            differences(&json!({ "named here": current.tenant.file_settings }), &json!({ "named here": tenant.file_settings })),
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
            self.upgrade(preset, current)?;
        }
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
}

fn document(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("values of the domain have text keys and no failing parts")
}

impl Plan {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether organizations that are there are renamed or moved.
    #[must_use]
    pub fn updates_organizations(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::UpdateOrganization { .. }))
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
    use crate::policy::preset::Preset;

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
