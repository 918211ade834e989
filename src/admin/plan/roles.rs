//! The part of a plan that concerns roles: the preset's, those of the file, and those that vanished from it.

use serde_json::{Value, json};

use super::{Change, PlanError, Planner, differences, mapping};
use crate::{
    admin::{current::Current, preset_upgrade, tenant_file::RoleEntry},
    domain::{
        catalogue::Catalogue,
        id::RoleId,
        role::{ManagedGroups, ManagedRoles, Role},
    },
    policy::{
        invariant,
        preset::Preset,
        upgrade::{self, Upgrade},
    },
};

impl Planner<'_> {
    /// A newer version of the preset, as an owner would take it over; what this file says of its own roles is looked at by itself.
    pub(super) fn upgrade(&mut self, preset: &Preset, current: &Current) -> Result<(), PlanError> {
        let Upgrade { entities, removed_entities, new_roles, changed_roles, refusals, .. } =
            upgrade::compare(&current.model, preset, &self.file.tenant.said, &current.held, || self.ids.make());
        let of_files = |role: &Role| current.roles.iter().any(|row| row.from_file && row.role.id == role.id);
        let refusals: Vec<_> = refusals.into_iter().filter(|refusal| !of_files(&refusal.role)).collect();
        if !refusals.is_empty() {
            return Err(PlanError::Stays(format!("the preset has a newer version, but {}", preset_upgrade::refused(&refusals))));
        }
        if !entities.is_empty() || !removed_entities.is_empty() {
            self.changes.push(Change::WriteCatalogue { entities, removed: removed_entities });
        }
        for role in new_roles {
            self.roles.push(role.clone());
            self.changes.push(Change::CreateRole { role, from_file: false });
        }
        for role in changed_roles.into_iter().filter(|role| !of_files(role)) {
            if let Some(known) = self.roles.iter_mut().find(|known| known.id == role.id) {
                let what = differences(&role_document(known), &role_document(&role));
                known.clone_from(&role);
                self.changes.push(Change::UpdateRole { role, what });
            }
        }
        Ok(())
    }

    fn catalogue(&self) -> Catalogue {
        self.file.tenant.preset.catalogue.clone()
    }

    pub(super) fn roles(&mut self) -> Result<(), PlanError> {
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
                owner_named: std::collections::BTreeSet::new(),
                managed_groups: ManagedGroups::All,
                auto_assign_on_join: false,
                auto_assign_first_user: false,
                scope_kind: None,
            },
        })
    }

    pub(super) fn delete_role(&mut self, current: &Current, role: &Role) -> Result<(), PlanError> {
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
}

fn role_document(role: &Role) -> Value {
    json!({ "name": role.name, "description": role.description, "permissions": role.permissions })
}
