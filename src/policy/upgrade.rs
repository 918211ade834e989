//! A tenant and a newer version of its preset: what follows the preset, what stays, and what stands in the way.
//!
//! The catalogue, the system roles and what ties settings to the catalogue follow; roles that people may edit and everything else that
//! a tenant may set stay as they are, and so does what the tenant's file says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::domain::{
    catalogue::{Catalogue, Entity, Permission},
    id::RoleId,
    model::{RoleModel, Settings},
    role::Role,
};

use super::{
    invariant::{self, RoleFault},
    preset::Preset,
    role_change,
};

/// What an upgrade comes to.
#[derive(Debug, Clone)]
pub struct Upgrade {
    pub settings: Settings,
    /// New ones, and those that differ.
    pub entities: Vec<Entity>,
    pub removed_entities: Vec<String>,
    pub new_roles: Vec<Role>,
    pub changed_roles: Vec<Role>,
    pub steps: Vec<Step>,
    /// Roles that could not stand under the new catalogue: nothing is applied while there is one.
    pub refusals: Vec<Refusal>,
}

/// One difference, in words that people and programs read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `entity`, `role` or `settings`.
    pub kind: &'static str,
    /// `added`, `changed` or `removed`.
    pub change: &'static str,
    pub name: String,
    pub what: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub role: Role,
    pub fault: RoleFault,
}

/// Compares a tenant with its preset; `said` are the settings that its file names, `holders` are accounts by the role that they hold, new
/// ids are the caller's.
#[must_use]
pub fn compare(
    model: &RoleModel,
    preset: &Preset,
    said: &BTreeSet<String>,
    holders: &BTreeMap<RoleId, i64>,
    mut new_id: impl FnMut() -> RoleId,
) -> Upgrade {
    let of_preset = |key: &str| model.roles().find(|role| role.key.as_deref() == Some(key)).map(|role| role.id);
    let ids: Vec<RoleId> = preset.roles.iter().map(|role| of_preset(&role.key).unwrap_or_else(&mut new_id)).collect();
    let mut next = ids.into_iter();
    let instance = preset.instantiate(|| next.next().expect("an id was found or made for every role of the preset"));
    let mut upgrade = Upgrade {
        settings: settings(&model.settings, preset, said),
        entities: Vec::new(),
        removed_entities: Vec::new(),
        new_roles: Vec::new(),
        changed_roles: Vec::new(),
        steps: Vec::new(),
        refusals: Vec::new(),
    };
    upgrade.compare_settings(&model.settings);
    upgrade.compare_entities(&model.catalogue, &instance.catalogue);
    for role in instance.roles {
        upgrade.compare_role(model, holders, role);
    }
    upgrade.check_others(model, &instance.catalogue);
    upgrade
}

/// The settings that would stay or follow the preset by whether the tenant's file names them: while it is not known what the file says, an
/// upgrade could lose them.
#[must_use]
pub fn decided_by_file(tenants: &Settings, preset: &Preset) -> Vec<&'static str> {
    let all = FOLLOWING.iter().map(|(field, _)| (*field).to_owned()).collect();
    differing(&settings(tenants, preset, &BTreeSet::new()), &settings(tenants, preset, &all)).collect()
}

type Same = fn(&Settings, &Settings) -> bool;

/// What depends on the catalogue.
const FOLLOWING: [(&str, Same); 5] = [
    ("gate", |a, b| a.gate == b.gate),
    ("owner_only", |a, b| BTreeSet::from_iter(&a.owner_only) == BTreeSet::from_iter(&b.owner_only)),
    ("root_only_actions", |a, b| BTreeSet::from_iter(&a.root_only_actions) == BTreeSet::from_iter(&b.root_only_actions)),
    ("externally_managed", |a, b| a.externally_managed == b.externally_managed),
    ("scope_kinds", |a, b| a.scope_kinds == b.scope_kinds),
];

fn differing(before: &Settings, after: &Settings) -> impl Iterator<Item = &'static str> {
    FOLLOWING.iter().filter(|(_, same)| !same(before, after)).map(|(field, _)| *field)
}

/// What depends on the catalogue goes with it, but for what the file says: of that stays what the new catalogue knows. A pair that the
/// file lists as an owner's alone stays one also where the preset lists it no more: the file would say so again when it is applied.
fn settings(tenants: &Settings, preset: &Preset, said: &BTreeSet<String>) -> Settings {
    let presets = &preset.settings;
    let says = |field: &str| said.contains(field);
    let known = |pairs: &[Permission]| -> Vec<Permission> {
        pairs.iter().filter(|pair| preset.catalogue.resolve(pair).next().is_some()).cloned().collect()
    };
    let with_gate = Settings { gate: tenants.gate.clone(), ..presets.clone() };
    // One that names what is gone would close for good what it guards.
    let gate = if says("gate") && preset.check_settings(&with_gate).is_ok() { &tenants.gate } else { &presets.gate };
    // A file adds to what is an owner's alone and takes nothing away.
    let mut owner_only = if says("owner_only") { known(&tenants.owner_only) } else { Vec::new() };
    let missing: Vec<_> = presets.owner_only.iter().filter(|pair| !owner_only.contains(pair)).cloned().collect();
    owner_only.extend(missing);
    let root_only_actions = if says("root_only_actions") { known(&tenants.root_only_actions) } else { presets.root_only_actions.clone() };
    let either = |field: &str| if says(field) { tenants } else { presets };
    Settings {
        gate: gate.clone(),
        owner_only,
        root_only_actions,
        externally_managed: either("externally_managed").externally_managed.clone(),
        scope_kinds: either("scope_kinds").scope_kinds.clone(),
        ..tenants.clone()
    }
}

impl Upgrade {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn step(&mut self, kind: &'static str, change: &'static str, name: impl Into<String>, what: Vec<String>) {
        self.steps.push(Step { kind, change, name: name.into(), what });
    }

    fn compare_settings(&mut self, before: &Settings) {
        let after = self.settings.clone();
        for field in differing(before, &after) {
            let what = match field {
                "owner_only" => pair_differences(&before.owner_only, &after.owner_only),
                "root_only_actions" => pair_differences(&before.root_only_actions, &after.root_only_actions),
                _ => Vec::new(),
            };
            self.step("settings", "changed", field, what);
        }
    }

    fn compare_entities(&mut self, before: &Catalogue, after: &Catalogue) {
        for entity in after.iter() {
            let what = match before.find(&entity.key) {
                None => None,
                Some(known) if known == entity => continue,
                Some(known) => Some(entity_differences(known, entity)),
            };
            let change = if what.is_none() { "added" } else { "changed" };
            self.step("entity", change, &entity.key, what.unwrap_or_default());
            self.entities.push(entity.clone());
        }
        for gone in before.iter().filter(|entity| after.find(&entity.key).is_none()) {
            self.step("entity", "removed", &gone.key, Vec::new());
            self.removed_entities.push(gone.key.clone());
        }
    }

    fn compare_role(&mut self, model: &RoleModel, holders: &BTreeMap<RoleId, i64>, role: Role) {
        let known = model.role(role.id);
        let taken = model.role_named(role.name.as_str()).is_some_and(|other| other.id != role.id);
        // A name that is in use meanwhile: the preset's role comes under one that is free.
        let name = if taken { role_change::free_name(model, &role.name, " (preset)").unwrap_or(role.name) } else { role.name };
        let role = Role { name, ..role };
        match known {
            None => {
                let what = taken.then(|| "its name was taken by a role of this tenant".to_owned());
                self.step("role", "added", role.name.as_str(), what.into_iter().collect());
                self.new_roles.push(role);
            }
            Some(known) if role.system && *known != role => {
                let held = holders.get(&role.id).copied().unwrap_or_default();
                if held > 0 && for_whom(known) != for_whom(&role) {
                    self.refusals.push(Refusal { role: known.clone(), fault: RoleFault::Held(held) });
                }
                self.step("role", "changed", role.name.as_str(), role_differences(known, &role));
                self.changed_roles.push(role);
            }
            Some(_) => {}
        }
    }

    /// Roles that stay: what they name may be gone.
    fn check_others(&mut self, model: &RoleModel, catalogue: &Catalogue) {
        let followed: BTreeSet<RoleId> = self.changed_roles.iter().map(|role| role.id).collect();
        for role in model.roles().filter(|role| !followed.contains(&role.id)) {
            let gone = |pair: &&crate::domain::catalogue::Permission| catalogue.resolve(pair).next().is_none();
            let lost: Vec<_> = role.permissions.iter().filter(gone).cloned().collect();
            let kept = Role { permissions: role.permissions.iter().filter(|pair| !gone(pair)).cloned().collect(), ..role.clone() };
            if let Err(fault) = invariant::check_role(&kept, catalogue, &self.settings) {
                self.refusals.push(Refusal { role: role.clone(), fault });
            } else if !lost.is_empty() {
                let what = lost.iter().map(|pair| format!("{pair} is gone from the catalogue")).collect();
                self.step("role", "changed", role.name.as_str(), what);
                self.changed_roles.push(kept);
            }
        }
    }
}

/// What was asked of its holders when they were given the role, and whether it makes them owners.
fn for_whom(role: &Role) -> (bool, bool, bool, Option<&str>) {
    (role.owner_class, role.root_only, role.machine_only, role.scope_kind.as_deref())
}

fn entity_differences(before: &Entity, after: &Entity) -> Vec<String> {
    let gone = before.actions.iter().filter(|action| !after.actions.contains(action)).map(|action| format!("-{action}"));
    let new = after.actions.iter().filter(|action| !before.actions.contains(action)).map(|action| format!("+{action}"));
    let opens = (before.opens != after.opens).then(|| "what it opens".to_owned());
    gone.chain(new).chain(opens).collect()
}

fn role_differences(before: &Role, after: &Role) -> Vec<String> {
    let fields = role_change::changed(before, after).into_iter().filter(|field| *field != "permissions").map(str::to_owned);
    pair_differences(&before.permissions, &after.permissions).into_iter().chain(fields).collect()
}

fn pair_differences<'a>(before: impl IntoIterator<Item = &'a Permission>, after: impl IntoIterator<Item = &'a Permission>) -> Vec<String> {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (before.into_iter().collect(), after.into_iter().collect());
    let gone = before.difference(&after).map(|pair| format!("-{pair}"));
    let new = after.difference(&before).map(|pair| format!("+{pair}"));
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        domain::model::Gate,
        policy::fixture::{custom_role, id, tenant},
    };

    fn newer(change: impl FnOnce(&mut Value)) -> Preset {
        let text = std::fs::read_to_string(format!("{}/presets/idaas.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut file: Value = serde_json::from_str(&text).unwrap();
        file["version"] = json!(2);
        change(&mut file);
        Preset::parse(&file.to_string()).unwrap()
    }

    fn upgraded(preset: &Preset, roles: Vec<Role>) -> Upgrade {
        let mut next = 800;
        compare(&tenant("idaas", roles), preset, &BTreeSet::new(), &BTreeMap::new(), || {
            next += 1;
            id(next)
        })
    }

    fn remove_entity(file: &mut Value, key: &str) {
        file["entities"].as_array_mut().unwrap().retain(|entity| entity["key"] != key);
    }

    #[test]
    fn the_same_preset_is_no_upgrade() {
        assert!(upgraded(&newer(|_| {}), vec![]).is_empty());
    }

    #[test]
    fn system_roles_and_the_catalogue_follow_and_what_people_made_stays() {
        let preset = newer(|file| {
            let auditor = file["roles"].as_array_mut().unwrap().iter_mut().find(|role| role["key"] == "auditor").unwrap();
            auditor["permissions"] = json!(["user_management:read"]);
            let users = file["entities"].as_array_mut().unwrap().iter_mut().find(|entity| entity["key"] == "user_management").unwrap();
            users["actions"].as_array_mut().unwrap().push(json!("merge"));
            let copy = json!({"key": "new_things", "name": "New things", "category": "General", "description": "x", "actions": ["read"], "scope_kind": "organization"});
            file["entities"].as_array_mut().unwrap().push(copy);
        });
        let own = custom_role(900, "Own", &["user_management:*"]);
        let upgrade = upgraded(&preset, vec![own]);
        let steps: Vec<_> = upgrade.steps.iter().map(|step| format!("{} {} {}", step.kind, step.change, step.name)).collect();
        assert_eq!(steps, ["entity added new_things", "entity changed user_management", "role changed Auditor"]);
        assert_eq!(upgrade.steps[1].what, ["+merge"]);
        assert_eq!(upgrade.steps[2].what, ["-*:read", "+user_management:read"]);
        assert_eq!(upgrade.changed_roles.len(), 1);
        assert!(upgrade.refusals.is_empty());
    }

    #[test]
    fn what_the_file_says_stays_as_far_as_the_catalogue_knows_it() {
        let pair = |text: &str| Permission::parse(text).unwrap();
        let mut model = tenant("idaas", vec![]);
        let old = model.settings.clone();
        let gone = pair("webhooks_management:read");
        let mine = pair("user_management:delete");
        model.settings.root_only_actions = vec![gone.clone(), mine.clone()];
        model.settings.owner_only = [&old.owner_only[..], &[gone.clone(), mine.clone()]].concat();
        model.settings.externally_managed = vec!["scim_rule".to_owned()];
        model.settings.gate = Some(Gate { requires: gone, guards: vec![] });
        let preset = newer(|file| remove_entity(file, "webhooks_management"));
        let after = |said: &[&str]| {
            let said = said.iter().map(|field| (*field).to_owned()).collect();
            compare(&model, &preset, &said, &BTreeMap::new(), || id(800)).settings
        };
        assert_eq!(after(&[]), Settings { min_owners: old.min_owners, ..preset.settings.clone() }, "unsaid, they are the preset's");
        let said = after(&["root_only_actions", "owner_only", "externally_managed", "gate"]);
        assert_eq!(said.root_only_actions, std::slice::from_ref(&mine));
        assert_eq!(
            said.owner_only,
            [&preset.settings.owner_only[..], std::slice::from_ref(&mine)].concat(),
            "the preset's own and the file's"
        );
        assert_eq!(said.externally_managed, ["scim_rule"]);
        assert_eq!(said.gate, preset.settings.gate, "one that no role could open any more");
        model.settings.gate = Some(Gate { requires: mine, guards: vec![] });
        let kept = compare(&model, &preset, &["gate".to_owned()].into(), &BTreeMap::new(), || id(800)).settings;
        assert_eq!(kept.gate, model.settings.gate);
        assert_eq!(kept.root_only_actions, preset.settings.root_only_actions);
    }

    #[test]
    fn what_the_file_lists_as_an_owners_alone_stays_where_the_preset_lists_it_no_more() {
        let pair = |text: &str| Permission::parse(text).unwrap();
        let mut model = tenant("idaas", vec![]);
        let (dropped, new) = (pair("user_management:delete"), pair("webhooks_management:delete"));
        model.settings.owner_only = vec![dropped.clone()];
        let preset = newer(|file| file["settings"]["owner_only"] = json!(["webhooks_management:delete"]));
        let after = |said: &[&str]| {
            let said = said.iter().map(|field| (*field).to_owned()).collect();
            compare(&model, &preset, &said, &BTreeMap::new(), || id(800))
        };
        let (said, unsaid) = (after(&["owner_only"]), after(&[]));
        assert_eq!(said.settings.owner_only, [dropped, new.clone()]);
        assert_eq!(said.steps[0].what, ["+webhooks_management:delete"]);
        assert_eq!(unsaid.settings.owner_only, [new]);
        assert_eq!(unsaid.steps[0].what, ["-user_management:delete", "+webhooks_management:delete"]);
        assert_eq!(decided_by_file(&model.settings, &preset), ["owner_only"], "so it takes to know which");
        model.settings.owner_only.clear();
        assert!(decided_by_file(&model.settings, &preset).is_empty(), "what the preset adds comes in either case");
    }

    #[test]
    fn a_role_that_would_lose_its_last_permission_stands_in_the_way() {
        let preset = newer(|file| remove_entity(file, "webhooks_management"));
        let last = custom_role(900, "Hooks", &["webhooks_management:*"]);
        let some = custom_role(901, "Mixed", &["webhooks_management:read", "user_management:read"]);
        let upgrade = upgraded(&preset, vec![last, some]);
        assert_eq!(upgrade.refusals.iter().map(|refusal| refusal.role.name.as_str()).collect::<Vec<_>>(), ["Hooks"]);
        assert_eq!(upgrade.refusals[0].fault, RoleFault::NoPermission);
        let mixed = upgrade.changed_roles.iter().find(|role| role.name.as_str() == "Mixed").unwrap();
        assert_eq!(mixed.permissions.len(), 1);
        assert_eq!(upgrade.removed_entities, ["webhooks_management"]);
    }

    #[test]
    fn a_role_that_is_held_stays_one_that_its_holders_may_hold() {
        let model = tenant("idaas", vec![]);
        for field in ["owner_class", "root_only", "machine_only"] {
            let preset = newer(|file| {
                let roles = file["roles"].as_array_mut().unwrap();
                let role = roles.iter_mut().find(|role| role["key"] == "auditor").unwrap();
                role[field] = json!(true);
            });
            let auditor = crate::policy::fixture::role_id(&model, "Auditor");
            let with = |holders| compare(&model, &preset, &BTreeSet::new(), &BTreeMap::from([(auditor, holders)]), || id(800)).refusals;
            let refusals = with(3);
            assert_eq!((refusals.len(), &refusals[0].fault), (1, &RoleFault::Held(3)), "{field}");
            assert!(with(0).is_empty());
        }
    }

    #[test]
    fn a_new_role_of_the_preset_takes_no_name_from_people() {
        let preset = newer(|file| {
            let mut role = file["roles"][1].clone();
            role["key"] = json!("marketing");
            role["name"] = json!("Marketing");
            file["roles"].as_array_mut().unwrap().push(role);
        });
        assert_eq!(upgraded(&preset, vec![]).new_roles[0].name.as_str(), "Marketing");
        let taken = upgraded(&preset, vec![custom_role(900, "MARKETING", &["user_management:read"])]);
        assert_eq!(taken.new_roles[0].name.as_str(), "Marketing (preset)");
        let both = ["MARKETING", "Marketing (Preset)"].map(|name| custom_role(name.len() as u128, name, &["user_management:read"]));
        assert_eq!(upgraded(&preset, both.to_vec()).new_roles[0].name.as_str(), "Marketing (preset) 2");
    }
}
