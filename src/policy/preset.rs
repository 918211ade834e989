//! The role systems that come with the product, as data: `presets/*.json`.
//!
//! A preset makes a catalogue, roles and settings; nothing in the code asks which preset a tenant was made from.
//! Everything that would make a preset lie is refused when it is read, and the tests read all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Deserialize;

use crate::domain::{
    catalogue::{Catalogue, Entity, Permission},
    id::RoleId,
    model::{ScopeKind, Settings},
    name::{NameError, Title},
    role::{ManagedGroups, ManagedRoles, NONE, OWN, Role},
};

use super::mapping::Apply;

/// A role system, read and checked.
#[derive(Debug, Clone)]
pub struct Preset {
    pub key: String,
    /// Raised when its data changes; tenants made from an older one are upgraded.
    pub version: i64,
    pub description: String,
    pub settings: Settings,
    pub catalogue: Catalogue,
    pub roles: Vec<PresetRole>,
}

/// A role as the preset writes it: other roles are named by key, there are no ids yet.
#[expect(clippy::struct_excessive_bools, reason = "the properties of a role, as in `domain::role::Role`")]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetRole {
    pub key: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub permissions: BTreeSet<Permission>,
    pub system: bool,
    pub owner_class: bool,
    pub root_only: bool,
    pub machine_only: bool,
    #[serde(default)]
    pub locked_fields: Vec<String>,
    #[serde(default)]
    pub exclusive_family: Option<String>,
    #[serde(default)]
    pub rank: i64,
    managed_roles: Managed,
    managed_groups: Managed,
    #[serde(default)]
    pub auto_assign_on_join: bool,
    #[serde(default)]
    pub auto_assign_first_user: bool,
    #[serde(default)]
    pub scope_kind: Option<String>,
    /// The one kind of context or resource it is held in.
    #[serde(default)]
    pub scope: Option<String>,
}

/// `"all"`, `"own"` (groups only), or a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Managed {
    Word(String),
    Only(Vec<String>),
}

/// Why a preset is not what it says; each names the place.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    #[error("preset {preset} is not JSON of the expected form")]
    Form { preset: String, source: serde_json::Error },
    #[error("preset {preset}: {place} is named twice")]
    Twice { preset: String, place: String },
    #[error("preset {preset}: {place} names {name}, which does not exist")]
    Unknown { preset: String, place: String, name: String },
    #[error("preset {preset}: {place} has no permission; a role needs at least one")]
    NoPermission { preset: String, place: String },
    #[error("preset {preset}: {pair} opens what is an owner's alone; list the pair in settings.owner_only")]
    OpensOwnerOnly { preset: String, pair: String },
    #[error("preset {preset}: role {role} names {pair}, which is an owner's alone")]
    NamesOwnerOnly { preset: String, role: String, pair: String },
    #[error("preset {preset}: no role is of the owner class; nobody could administer")]
    NoOwner { preset: String },
    #[error("preset {preset}: the name of {place} is unusable")]
    Name { preset: String, place: String, source: NameError },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    preset: String,
    version: i64,
    #[serde(default)]
    description: String,
    settings: Settings,
    /// How actions are shown, for entities that say nothing else.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    scope_kinds: Vec<ScopeKind>,
    entities: Vec<Entity>,
    roles: Vec<PresetRole>,
}

static ALL: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    [
        include_str!("../../presets/owner-member.json"),
        include_str!("../../presets/org-admin.json"),
        include_str!("../../presets/dashboard.json"),
        include_str!("../../presets/delegated-user-management.json"),
        include_str!("../../presets/idaas.json"),
    ]
    .into_iter()
    .map(|text| Preset::parse(text).expect("the presets are part of the program, and a test reads each"))
    .collect()
});

/// Kinds of origins that a machine keeps, and that a preset may close to people.
const SYNCED: [&str; 4] = ["directory_sync", "scim_rule", "saml_rule", "default"];

/// What a new tenant starts with.
#[derive(Debug, Clone)]
pub struct Instance {
    pub settings: Settings,
    pub catalogue: Catalogue,
    pub roles: Vec<Role>,
}

impl Preset {
    /// Those that come with the product.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &ALL
    }

    #[must_use]
    pub fn find(key: &str) -> Option<&'static Self> {
        ALL.iter().find(|preset| preset.key == key)
    }

    /// Reads a preset and checks that it means something.
    ///
    /// # Errors
    /// When it is not of the expected form, or contradicts itself or the rules that hold in every preset.
    pub fn parse(text: &str) -> Result<Self, PresetError> {
        let file: File = serde_json::from_str(text).map_err(|source| PresetError::Form { preset: "(unread)".to_owned(), source })?;
        let entity_keys: Vec<_> = file.entities.iter().map(|entity| entity.key.clone()).collect();
        let entities = file.entities.into_iter().map(|mut entity| {
            for (action, label) in &file.labels {
                if action == "*" || entity.actions.contains(action) {
                    entity.labels.entry(action.clone()).or_insert_with(|| label.clone());
                }
            }
            entity
        });
        let preset = Self {
            catalogue: Catalogue::new(entities.collect()),
            key: file.preset,
            version: file.version,
            description: file.description,
            settings: Settings { scope_kinds: file.scope_kinds, ..file.settings },
            roles: file.roles,
        };
        preset.unique("entity", entity_keys.iter())?;
        preset.unique("role", preset.roles.iter().map(|role| &role.key))?;
        preset.unique("scope kind", preset.settings.scope_kinds.iter().map(|kind| &kind.key))?;
        preset.check_settings(&preset.settings)?;
        preset.check_entities()?;
        for role in &preset.roles {
            preset.check_role(role)?;
        }
        if preset.roles.iter().any(|role| role.owner_class) { Ok(preset) } else { Err(PresetError::NoOwner { preset: preset.key }) }
    }

    /// The settings, the catalogue and the roles of a new tenant; ids are the caller's.
    pub fn instantiate(&self, mut new_id: impl FnMut() -> RoleId) -> Instance {
        let ids: BTreeMap<&str, RoleId> = self.roles.iter().map(|role| (role.key.as_str(), new_id())).collect();
        let roles = self.roles.iter().map(|role| role.instantiate(&ids)).collect();
        Instance { settings: self.settings.clone(), catalogue: self.catalogue.clone(), roles }
    }

    fn unique<'a>(&self, what: &str, keys: impl Iterator<Item = &'a String>) -> Result<(), PresetError> {
        let mut seen = BTreeSet::new();
        for key in keys {
            if !seen.insert(key) {
                return Err(PresetError::Twice { preset: self.key.clone(), place: format!("{what} {key}") });
            }
        }
        Ok(())
    }

    fn unknown(&self, place: impl Into<String>, name: impl Into<String>) -> PresetError {
        PresetError::Unknown { preset: self.key.clone(), place: place.into(), name: name.into() }
    }

    /// Whether settings for this preset name what its catalogue has.
    ///
    /// # Errors
    /// The first name that means nothing.
    pub fn check_settings(&self, settings: &Settings) -> Result<(), PresetError> {
        let gate = settings.gate.iter().map(|gate| ("gate.requires", &gate.requires));
        let owner_only = settings.owner_only.iter().map(|pair| ("owner_only", pair));
        let root_only = settings.root_only_actions.iter().map(|pair| ("root_only_actions", pair));
        for (place, pair) in gate.chain(owner_only).chain(root_only) {
            if self.catalogue.resolve(pair).next().is_none() {
                return Err(self.unknown(format!("settings.{place}"), pair.to_string()));
            }
        }
        if let Some(guard) = settings.gate.iter().flat_map(|gate| &gate.guards).find(|guard| self.catalogue.find(guard).is_none()) {
            return Err(self.unknown("settings.gate.guards", guard));
        }
        if Apply::parse(&settings.default_mapping_apply).is_none() {
            return Err(self.unknown("settings.default_mapping_apply", &settings.default_mapping_apply));
        }
        match settings.externally_managed.iter().find(|kind| !SYNCED.contains(&kind.as_str())) {
            Some(kind) => Err(self.unknown("settings.externally_managed", kind)),
            None => Ok(()),
        }
    }

    fn check_entities(&self) -> Result<(), PresetError> {
        for entity in self.catalogue.iter() {
            let place = || format!("entity {}", entity.key);
            if !["organization", "context", "resource"].contains(&entity.scope_kind.as_str()) {
                return Err(self.unknown(place(), &entity.scope_kind));
            }
            let labelled = entity.labels.keys().filter(|action| *action != "*");
            if let Some(action) = entity.opens.keys().chain(labelled).find(|action| !entity.actions.contains(action)) {
                return Err(self.unknown(place(), format!("{}:{action}", entity.key)));
            }
            for (action, capabilities) in &entity.opens {
                let owners = self.settings.owner_only.iter().any(|pair| self.catalogue.covers(pair, &entity.key, action));
                if !owners && capabilities.iter().any(|capability| capability.is_owner_only()) {
                    let pair = format!("{}:{action}", entity.key);
                    return Err(PresetError::OpensOwnerOnly { preset: self.key.clone(), pair });
                }
            }
        }
        Ok(())
    }

    fn check_role(&self, role: &PresetRole) -> Result<(), PresetError> {
        let place = || format!("role {}", role.key);
        Title::parse("role", &role.name).map_err(|source| PresetError::Name { preset: self.key.clone(), place: place(), source })?;
        if role.permissions.is_empty() {
            return Err(PresetError::NoPermission { preset: self.key.clone(), place: place() });
        }
        for permission in &role.permissions {
            if self.catalogue.resolve(permission).next().is_none() {
                return Err(self.unknown(place(), permission.to_string()));
            }
            let owners =
                |entity: &str, action: &str| self.settings.owner_only.iter().any(|pair| self.catalogue.covers(pair, entity, action));
            let named = permission.entity.is_some() && !role.owner_class;
            if named && self.catalogue.resolve(permission).any(|(entity, action)| owners(&entity.key, action)) {
                return Err(PresetError::NamesOwnerOnly { preset: self.key.clone(), role: role.key.clone(), pair: permission.to_string() });
            }
        }
        let key = role.name_key();
        if self.roles.iter().any(|other| other.key != role.key && other.name_key() == key) {
            return Err(PresetError::Twice { preset: self.key.clone(), place: format!("the role name {}", role.name) });
        }
        match &role.managed_roles {
            Managed::Word(word) if word != "all" => return Err(self.unknown(format!("{}: managed_roles", place()), word)),
            Managed::Only(keys) => {
                let known = |key: &String| key == NONE || self.roles.iter().any(|other| other.key == *key);
                if let Some(key) = keys.iter().find(|key| !known(key)) {
                    return Err(self.unknown(format!("{}: managed_roles", place()), key));
                }
            }
            Managed::Word(_) => {}
        }
        match &role.managed_groups {
            Managed::Word(word) if word != "all" && word != "own" => {
                return Err(self.unknown(format!("{}: managed_groups", place()), word));
            }
            Managed::Only(keys) => {
                // A preset knows no group of the tenant.
                if let Some(key) = keys.iter().find(|key| ![NONE, OWN].contains(&key.as_str())) {
                    return Err(self.unknown(format!("{}: managed_groups", place()), key));
                }
            }
            Managed::Word(_) => {}
        }
        match (&role.scope_kind, &role.scope) {
            (None, None) => Ok(()),
            (Some(kind), Some(scope)) if self.settings.scope_kinds.iter().any(|known| known.key == *scope && known.kind == *kind) => Ok(()),
            (kind, scope) => Err(self.unknown(place(), format!("scope {scope:?} of kind {kind:?}"))),
        }
    }
}

impl PresetRole {
    fn name_key(&self) -> String {
        crate::domain::name::fold(&self.name)
    }

    fn instantiate(&self, ids: &BTreeMap<&str, RoleId>) -> Role {
        let id_of = |key: &str| ids.get(key).copied();
        let managed_roles = match &self.managed_roles {
            Managed::Word(_) => ManagedRoles::All,
            Managed::Only(keys) => {
                ManagedRoles::Only(keys.iter().map(|key| id_of(key).map_or_else(|| key.clone(), |id| id.to_string())).collect())
            }
        };
        Role {
            id: id_of(&self.key).expect("every role of the preset has been given an id"),
            key: Some(self.key.clone()),
            name: Title::parse("role", &self.name).expect("checked when the preset was read"),
            description: self.description.clone(),
            permissions: self.permissions.clone(),
            system: self.system,
            owner_class: self.owner_class,
            root_only: self.root_only,
            machine_only: self.machine_only,
            locked_fields: self.locked_fields.clone(),
            exclusive_family: self.exclusive_family.clone(),
            rank: self.rank,
            // A preset says what an owner would say.
            owner_named: managed_roles.entries(),
            managed_roles,
            managed_groups: match &self.managed_groups {
                Managed::Word(word) if word == "own" => ManagedGroups::Own,
                Managed::Word(_) => ManagedGroups::All,
                Managed::Only(groups) => ManagedGroups::Only(groups.clone()),
            },
            auto_assign_on_join: self.auto_assign_on_join,
            auto_assign_first_user: self.auto_assign_first_user,
            scope_kind: self.scope_kind.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use serde_json::{Value, json};

    use super::*;
    use crate::policy::{
        access, action,
        fixture::{ROOT, by_hand, holding, id, person, tenant},
    };

    /// The preset with one value changed: `path` is a JSON pointer.
    fn spoiled(key: &str, path: &str, value: Value) -> PresetError {
        let text = std::fs::read_to_string(format!("{}/presets/{key}.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut file: Value = serde_json::from_str(&text).unwrap();
        *file.pointer_mut(path).unwrap() = value;
        Preset::parse(&file.to_string()).unwrap_err()
    }

    #[test]
    fn all_five_load_and_say_what_each_thing_is_for() {
        let keys: Vec<_> = Preset::all().iter().map(|preset| preset.key.as_str()).collect();
        assert_eq!(keys, ["owner-member", "org-admin", "dashboard", "delegated-user-management", "idaas"]);
        for preset in Preset::all() {
            assert!(!preset.description.is_empty(), "{}", preset.key);
            assert!(preset.catalogue.iter().all(|entity| !entity.description.is_empty()), "{}", preset.key);
            assert!(preset.roles.iter().all(|role| !role.description.is_empty()), "{}", preset.key);
        }
        assert!(Preset::find("idaas").is_some() && Preset::find("nothing").is_none());
        assert_eq!(Preset::find("idaas").unwrap().catalogue.iter().count(), 61);
    }

    #[test]
    fn roles_name_one_another_by_id_once_they_have_ids() {
        let model = tenant("idaas", vec![]);
        let managed = &model.role_named("Help Desk Administrator").unwrap().managed_roles;
        let id_of = |name: &str| model.role_named(name).unwrap().id.to_string();
        assert_eq!(managed, &ManagedRoles::Only(vec![id_of("Auditor"), id_of("Help Desk Administrator"), "@none".to_owned()]));
    }

    #[test]
    fn labels_of_the_preset_are_those_of_the_actions_an_entity_has() {
        let catalogue = &Preset::find("org-admin").unwrap().catalogue;
        assert_eq!(catalogue.find("account_verification").unwrap().labels, BTreeMap::from([("write".into(), "WRITE".into())]));
        assert_eq!(Preset::find("idaas").unwrap().catalogue.find("verify_user").unwrap().labels["*"], "All");
    }

    #[test]
    fn a_preset_that_contradicts_itself_is_refused_with_the_place() {
        let cases = [
            (spoiled("dashboard", "/roles/1/permissions/0", json!("organisations:*")), "role editor_organizations names organisations:*"),
            (spoiled("dashboard", "/roles/1/permissions", json!([])), "role editor_organizations has no permission"),
            (spoiled("dashboard", "/roles/1/key", json!("editor_users")), "role editor_users is named twice"),
            (spoiled("dashboard", "/roles/1/name", json!("EDITOR - users")), "is named twice"),
            (spoiled("dashboard", "/roles/0/owner_class", json!(false)), "nobody could administer"),
            (spoiled("dashboard", "/roles/1/managed_roles", json!(["nobody"])), "managed_roles names nobody"),
            (spoiled("dashboard", "/roles/1/managed_groups", json!("some")), "managed_groups names some"),
            (spoiled("dashboard", "/roles/1/managed_groups", json!(["@none", "staff"])), "managed_groups names staff"),
            (spoiled("dashboard", "/entities/0/key", json!("users")), "entity users is named twice"),
            (spoiled("dashboard", "/entities/0/scope_kind", json!("planet")), "entity organizations names planet"),
            (spoiled("dashboard", "/entities/0/opens/read", json!(["mapping.publish"])), "organizations:read opens what is an owner's"),
            (spoiled("dashboard", "/entities/0/opens", json!({"fly": ["logs.read"]})), "organizations:fly"),
            (spoiled("dashboard", "/settings/default_mapping_apply", json!("sometimes")), "default_mapping_apply names sometimes"),
            (spoiled("dashboard", "/settings/owner_only", json!(["moon:read"])), "settings.owner_only names moon:read"),
            (spoiled("org-admin", "/settings/gate/guards/0", json!("moon")), "settings.gate.guards names moon"),
            (spoiled("owner-member", "/roles/1/permissions", json!(["idp_certificates:rotate"])), "which is an owner's alone"),
            (spoiled("owner-member", "/roles/3/scope", json!("moon")), "role sign_in_administrator"),
        ];
        for (error, expected) in cases {
            assert!(error.to_string().contains(expected), "{error} does not say {expected:?}");
        }
        let unreadable =
            [spoiled("dashboard", "/entities/0/opens/read", json!(["moon.read"])), spoiled("dashboard", "/version", json!("x"))];
        assert!(unreadable.iter().all(|error| matches!(error, PresetError::Form { .. })));
    }

    /// The whole table: who may do what with each role of each preset, held at the root. Review every change of it.
    #[test]
    fn every_role_opens_exactly_these_capabilities() {
        let mut table = String::new();
        for preset in Preset::all() {
            let model = tenant(&preset.key, vec![]);
            let roles: Vec<_> = preset.roles.iter().map(|role| model.role_named(&role.name).unwrap()).collect();
            writeln!(table, "{}", preset.key).unwrap();
            for (number, role) in roles.iter().enumerate() {
                writeln!(table, "  {} {}", char::from(b'a' + u8::try_from(number).unwrap()), role.name).unwrap();
            }
            let header: String = (b'a'..).take(roles.len()).flat_map(|letter| [' ', char::from(letter)]).collect();
            writeln!(table, "  {:32}{header}", "").unwrap();
            for &capability in action::CAPABILITIES {
                let cells: String = roles
                    .iter()
                    .map(|role| {
                        let mut held = holding(role.id, ROOT);
                        held.resource_scope = role.scope_kind.as_ref().map(|_| id(600));
                        let actor = person(by_hand([held]));
                        if access::permit(&actor, &model, capability, id(ROOT)).is_ok() { " x" } else { " ·" }
                    })
                    .collect();
                writeln!(table, "  {:32}{cells}", action::name(capability)).unwrap();
            }
            table.push('\n');
        }
        insta::assert_snapshot!(table);
    }
}
