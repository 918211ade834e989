//! Roles as people make, edit and clone them: what may be written, and what is refused whoever asks.

use std::collections::BTreeSet;

use crate::domain::{
    actor::Actor,
    catalogue::{Catalogue, Permission},
    id::{GroupId, RoleId},
    model::{RoleModel, Settings},
    name::{NameError, Title},
    role::{ManagedGroups, ManagedRoles, NONE, OWN, Role},
};

use super::invariant::{self, RoleFault};

/// Characters of a description.
const DESCRIPTION: usize = 2000;

/// What somebody wants of a role. In an edit, what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    pub name: Option<String>,
    pub description: Option<String>,
    /// Pairs and selectors as text.
    pub permissions: Option<Vec<String>>,
    pub managed_roles: Option<ManagedRoles>,
    pub managed_groups: Option<ManagedGroups>,
    pub auto_assign_on_join: Option<bool>,
    pub auto_assign_first_user: Option<bool>,
    /// For new roles only: who holds a role was asked when it was granted.
    pub root_only: Option<bool>,
    /// For new roles only.
    pub scope_kind: Option<String>,
}

/// Why a role cannot be made, edited or deleted so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleRefusal {
    #[error("a role needs a name")]
    NameRequired,
    #[error("{0}")]
    Name(NameError),
    #[error("there is a role named {0:?} already; names that look alike count as one. Choose another name")]
    NameTaken(String),
    #[error("the description is longer than {DESCRIPTION} characters")]
    DescriptionTooLong,
    #[error("{0:?} is not a permission: entity:action, entity:*, *:read or *:* of the catalogue was expected, in lower case")]
    Permission(String),
    #[error("{0}. GET /api/v1/catalogue has what there is")]
    Fault(#[from] RoleFault),
    #[error("{0:?} is a role of the preset and nobody changes it; clone it and change the clone")]
    System(String),
    #[error("{field} of the role {role:?} is locked by the preset; clone the role and change the clone")]
    Locked { role: String, field: &'static str },
    #[error(
        "this tenant has the roles of its preset only; settings = {{ custom_roles = true }} under [tenant] in its file switches others on"
    )]
    CustomRolesOff,
    #[error("managed_roles names {0:?}, which is no role of this tenant; the id of a role or \"@none\" was expected")]
    UnknownManagedRole(String),
    #[error("managed_groups names {0:?}, which is not the id of a group, \"@own\" or \"@none\"")]
    UnknownManagedGroup(String),
    #[error("{field} is said when a role is made and cannot be changed later; make another role")]
    Fixed { field: &'static str },
    #[error("roles are held at organizations, in a \"context\" or in a \"resource\", not in {0:?}")]
    UnknownScopeKind(String),
    #[error(
        "a role that is held in a {0} cannot be assigned by joining an organization: switch off auto_assign_on_join and auto_assign_first_user"
    )]
    NotByJoining(String),
    #[error("nobody widens a role that they hold themselves; ask an owner, or somebody who does not hold it")]
    OwnRole,
}

impl RoleRefusal {
    /// The stable code of problem documents.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NameRequired => "name_required",
            Self::Name(_) => "name",
            Self::NameTaken(_) => "role_name_taken",
            Self::DescriptionTooLong => "description",
            Self::Permission(_) => "permission",
            Self::Fault(fault) => match fault {
                RoleFault::NoPermission => "role_needs_permission",
                RoleFault::UnknownPermission(_) => "unknown_permission",
                RoleFault::OwnerOnly(_) => "owner_only",
                RoleFault::WrongScopeKind(_) => "wrong_scope_kind",
                RoleFault::Held(_) => "role_in_use",
            },
            Self::System(_) => "system_role",
            Self::Locked { .. } => "locked_field",
            Self::CustomRolesOff => "custom_roles_off",
            Self::UnknownManagedRole(_) => "unknown_managed_role",
            Self::UnknownManagedGroup(_) => "unknown_managed_group",
            Self::Fixed { .. } => "fixed_field",
            Self::UnknownScopeKind(_) => "scope_kind",
            Self::NotByJoining(_) => "auto_assign",
            Self::OwnRole => "own_role",
        }
    }

    /// The field of the request that is at fault.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::NameRequired | Self::Name(_) | Self::NameTaken(_) => Some("name"),
            Self::DescriptionTooLong => Some("description"),
            Self::Permission(_) | Self::Fault(_) => Some("permissions"),
            Self::Locked { field, .. } | Self::Fixed { field } => Some(field),
            Self::UnknownManagedRole(_) => Some("managed_roles"),
            Self::UnknownManagedGroup(_) => Some("managed_groups"),
            Self::UnknownScopeKind(_) => Some("scope_kind"),
            Self::NotByJoining(_) => Some("auto_assign_on_join"),
            Self::System(_) | Self::CustomRolesOff | Self::OwnRole => None,
        }
    }
}

/// A new role; the id is the caller's.
///
/// # Errors
/// With the first thing that is wrong.
pub fn create(model: &RoleModel, draft: &Draft, id: RoleId) -> Result<Role, RoleRefusal> {
    if !model.settings.custom_roles {
        return Err(RoleRefusal::CustomRolesOff);
    }
    let blank = Role {
        id,
        key: None,
        name: title(model, id, draft.name.as_deref().unwrap_or_default())?,
        description: String::new(),
        permissions: BTreeSet::new(),
        system: false,
        owner_class: false,
        root_only: draft.root_only.unwrap_or(false),
        machine_only: false,
        locked_fields: Vec::new(),
        exclusive_family: None,
        rank: 0,
        managed_roles: ManagedRoles::All,
        owner_named: BTreeSet::new(),
        managed_groups: ManagedGroups::All,
        auto_assign_on_join: false,
        auto_assign_first_user: false,
        scope_kind: draft.scope_kind.clone(),
    };
    match draft.scope_kind.as_deref() {
        None | Some("context" | "resource") => write(model, blank, draft),
        Some(other) => Err(RoleRefusal::UnknownScopeKind(other.chars().take(40).collect())),
    }
}

/// The role as the draft wants it.
///
/// # Errors
/// With the first thing that is wrong; roles of the preset are never edited.
pub fn edit(model: &RoleModel, role: &Role, draft: &Draft) -> Result<Role, RoleRefusal> {
    may_edit(role)?;
    if draft.root_only.is_some_and(|asked| asked != role.root_only) {
        return Err(RoleRefusal::Fixed { field: "root_only" });
    }
    if draft.scope_kind.is_some() && draft.scope_kind != role.scope_kind {
        return Err(RoleRefusal::Fixed { field: "scope_kind" });
    }
    let mut edited = role.clone();
    if let Some(name) = &draft.name {
        edited.name = title(model, role.id, name)?;
    }
    let edited = write(model, edited, draft)?;
    match changed(role, &edited).into_iter().find(|field| role.locked_fields.iter().any(|locked| locked == field)) {
        Some(field) => Err(RoleRefusal::Locked { role: role.name.to_string(), field }),
        None => Ok(edited),
    }
}

/// # Errors
/// When the role came with the preset as a system role.
pub fn may_edit(role: &Role) -> Result<(), RoleRefusal> {
    if role.system { Err(RoleRefusal::System(role.name.to_string())) } else { Ok(()) }
}

/// Whoever is no owner does not widen what they hold: it would be a grant to oneself.
///
/// # Errors
/// When the actor holds the role, and it would name or manage more.
pub fn may_widen(actor: &Actor, model: &RoleModel, before: &Role, after: &Role) -> Result<(), RoleRefusal> {
    let Actor::Account(account) = actor else { return Ok(()) };
    // A role is the tenant's: who owns a part of it and holds the role elsewhere would widen that too.
    let is_owner = invariant::is_owner(model, &account.assignments);
    let same_whom = before.managed_roles == after.managed_roles && before.managed_groups == after.managed_groups;
    let widened = !same_whom || !after.permissions.iter().all(|permission| includes(model, before, permission));
    let holds_it = account.assignments.iter().any(|held| held.holding.role == before.id);
    if !is_owner && widened && holds_it { Err(RoleRefusal::OwnRole) } else { Ok(()) }
}

/// Whether the role names all that the permission names, now and when the catalogue grows.
fn includes(model: &RoleModel, role: &Role, permission: &Permission) -> bool {
    let grows_alike = role.permissions.iter().any(|held| {
        (held.entity.is_none() || held.entity == permission.entity) && (held.action.is_none() || held.action == permission.action)
    });
    grows_alike && model.catalogue.resolve(permission).all(|(entity, action)| names(model, role, &entity.key, action))
}

/// Returns the entries of `managed_roles` that an owner wrote: all of them where an owner writes the list now, else those that an owner
/// wrote before and that are still in it.
#[must_use]
pub fn owner_named(before: &BTreeSet<String>, after: &Role, draft: &Draft, by_owner: bool) -> BTreeSet<String> {
    let entries = after.managed_roles.entries();
    if by_owner && draft.managed_roles.is_some() { entries } else { &entries & before }
}

/// The names of the fields that differ.
#[must_use]
pub fn changed(before: &Role, after: &Role) -> Vec<&'static str> {
    let fields = [
        ("name", before.name != after.name),
        ("description", before.description != after.description),
        ("permissions", before.permissions != after.permissions),
        ("managed_roles", before.managed_roles != after.managed_roles || before.owner_named != after.owner_named),
        ("managed_groups", before.managed_groups != after.managed_groups),
        ("auto_assign_on_join", before.auto_assign_on_join != after.auto_assign_on_join),
        ("auto_assign_first_user", before.auto_assign_first_user != after.auto_assign_first_user),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
}

/// A clone and what it does not take over, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clone {
    pub role: Role,
    pub dropped: Vec<String>,
}

/// A role of one's own that does what another one does: without being the preset's, without what is an owner's alone, and not for machines.
///
/// # Errors
/// When the tenant has no custom roles, the name cannot be, or nothing would be left.
pub fn clone(model: &RoleModel, role: &Role, name: Option<&str>, id: RoleId) -> Result<Clone, RoleRefusal> {
    if !model.settings.custom_roles {
        return Err(RoleRefusal::CustomRolesOff);
    }
    let name = match name {
        Some(name) => title(model, id, name)?,
        None => copy_name(model, role)?,
    };
    let mut dropped = Vec::new();
    let mut drop = |is: bool, what: &str| {
        if is {
            dropped.push(what.to_owned());
        }
    };
    drop(role.system, "system: the clone is yours to edit");
    drop(role.owner_class, "owner_class: the clone makes nobody an owner");
    drop(role.machine_only, "machine_only: people can hold the clone");
    drop(!role.locked_fields.is_empty(), "locked_fields: every field of the clone can be edited");
    drop(role.auto_assign_on_join, "auto_assign_on_join: the clone is assigned by hand");
    drop(role.auto_assign_first_user, "auto_assign_first_user: the clone is assigned by hand");
    let permissions = without_owners(&role.permissions, &model.catalogue, &model.settings);
    dropped.extend(
        role.permissions.difference(&permissions).map(|permission| format!("{permission}: it is, or holds, what is an owner's alone")),
    );
    let cloned = Role {
        id,
        key: None,
        name,
        description: role.description.clone(),
        permissions,
        system: false,
        owner_class: false,
        root_only: role.root_only,
        machine_only: false,
        locked_fields: Vec::new(),
        exclusive_family: None,
        rank: 0,
        managed_roles: role.managed_roles.clone(),
        owner_named: BTreeSet::new(),
        managed_groups: role.managed_groups.clone(),
        auto_assign_on_join: false,
        auto_assign_first_user: false,
        scope_kind: role.scope_kind.clone(),
    };
    invariant::check_role(&cloned, &model.catalogue, &model.settings)?;
    Ok(Clone { role: cloned, dropped })
}

/// What a role does not do although it names it, in words: for whoever edits it.
#[must_use]
pub fn notices(model: &RoleModel, role: &Role) -> Vec<String> {
    let Some(gate) = &model.settings.gate else { return Vec::new() };
    let passes = model.catalogue.resolve(&gate.requires).all(|(entity, action)| names(model, role, &entity.key, action));
    let guarded = |entity: &str| gate.guards.iter().any(|guard| guard == entity);
    let inert: BTreeSet<&str> = role
        .permissions
        .iter()
        .flat_map(|permission| model.catalogue.resolve(permission))
        .filter(|(entity, _)| !passes && guarded(&entity.key))
        .map(|(entity, _)| entity.key.as_str())
        .collect();
    if inert.is_empty() {
        return Vec::new();
    }
    let inert: Vec<&str> = inert.into_iter().collect();
    vec![format!("without {} the permissions on {} are inert", gate.requires, inert.join(", "))]
}

fn names(model: &RoleModel, role: &Role, entity: &str, action: &str) -> bool {
    role.permissions.iter().any(|permission| model.catalogue.covers(permission, entity, action))
}

fn title(model: &RoleModel, id: RoleId, name: &str) -> Result<Title, RoleRefusal> {
    let title = Title::parse("the name", name.trim()).map_err(|error| match error {
        NameError::Empty { .. } => RoleRefusal::NameRequired,
        other => RoleRefusal::Name(other),
    })?;
    match model.role_named(title.as_str()) {
        Some(other) if other.id != id => Err(RoleRefusal::NameTaken(other.name.to_string())),
        Some(_) | None => Ok(title),
    }
}

/// "X Copy", then "X Copy 2", and so on.
fn copy_name(model: &RoleModel, role: &Role) -> Result<Title, RoleRefusal> {
    free_name(model, &role.name, &model.settings.clone_suffix).map_err(RoleRefusal::Name)
}

/// The name with the suffix, and a number where that is taken.
pub(super) fn free_name(model: &RoleModel, name: &Title, suffix: &str) -> Result<Title, NameError> {
    // One more than there are roles: some number is free.
    let numbers = (1..=model.roles().count() + 1).map(|n| if n == 1 { String::new() } else { format!(" {n}") });
    let mut names = numbers.map(|number| format!("{name}{suffix}{number}"));
    let free = names.find(|name| model.role_named(name).is_none());
    Title::parse("the name", &free.unwrap_or_default())
}

fn write(model: &RoleModel, mut role: Role, draft: &Draft) -> Result<Role, RoleRefusal> {
    if let Some(description) = &draft.description {
        if description.chars().count() > DESCRIPTION {
            return Err(RoleRefusal::DescriptionTooLong);
        }
        role.description.clone_from(description);
    }
    if let Some(permissions) = &draft.permissions {
        role.permissions = permissions.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
    }
    if let Some(managed) = &draft.managed_roles {
        check_managed_roles(model, &role, managed)?;
        role.managed_roles = managed.clone();
    }
    if let Some(managed) = &draft.managed_groups {
        check_managed_groups(managed)?;
        role.managed_groups = managed.clone();
    }
    role.auto_assign_on_join = draft.auto_assign_on_join.unwrap_or(role.auto_assign_on_join);
    role.auto_assign_first_user = draft.auto_assign_first_user.unwrap_or(role.auto_assign_first_user);
    if let Some(kind) = role.scope_kind.as_ref().filter(|_| role.auto_assign_on_join || role.auto_assign_first_user) {
        return Err(RoleRefusal::NotByJoining(kind.clone()));
    }
    // What names nothing of the catalogue is more likely a slip than a wish.
    if let Some(nothing) = role.permissions.iter().find(|permission| model.catalogue.resolve(permission).next().is_none()) {
        return Err(RoleFault::UnknownPermission(nothing.clone()).into());
    }
    invariant::check_role(&role, &model.catalogue, &model.settings)?;
    Ok(role)
}

fn parse(text: &str) -> Result<Permission, RoleRefusal> {
    Permission::parse(text).map_err(|_| RoleRefusal::Permission(text.chars().take(120).collect()))
}

fn check_managed_roles(model: &RoleModel, role: &Role, managed: &ManagedRoles) -> Result<(), RoleRefusal> {
    let ManagedRoles::Only(keys) = managed else { return Ok(()) };
    let is_known = |key: &&String| *key == NONE || RoleId::parse(key).is_ok_and(|id| id == role.id || model.role(id).is_some());
    match keys.iter().find(|key| !is_known(key)) {
        Some(key) => Err(RoleRefusal::UnknownManagedRole(key.chars().take(80).collect())),
        None => Ok(()),
    }
}

fn check_managed_groups(managed: &ManagedGroups) -> Result<(), RoleRefusal> {
    let ManagedGroups::Only(groups) = managed else { return Ok(()) };
    let is_known = |key: &&String| [NONE, OWN].contains(&key.as_str()) || GroupId::parse(key).is_ok();
    match groups.iter().find(|key| !is_known(key)) {
        Some(id) => Err(RoleRefusal::UnknownManagedGroup(id.chars().take(80).collect())),
        None => Ok(()),
    }
}

/// Permissions that name what is an owner's become the pairs of them that are not; selectors over all entities do not reach it anyway.
fn without_owners(permissions: &BTreeSet<Permission>, catalogue: &Catalogue, settings: &Settings) -> BTreeSet<Permission> {
    let owners = |entity: &str, action: &str| settings.owner_only.iter().any(|pair| catalogue.covers(pair, entity, action));
    permissions
        .iter()
        .flat_map(|permission| {
            let pairs: Vec<_> = catalogue.resolve(permission).collect();
            let touches = permission.entity.is_some() && pairs.iter().any(|(entity, action)| owners(&entity.key, action));
            if !touches {
                return vec![permission.clone()];
            }
            let others = pairs.into_iter().filter(|(entity, action)| !owners(&entity.key, action));
            others.map(|(entity, action)| Permission { entity: Some(entity.key.clone()), action: Some(action.to_owned()) }).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::policy::fixture::{EU, ROOT, by_hand, custom_role, holding, id, person, role_id, tenant};

    fn draft(name: &str, permissions: &[&str]) -> Draft {
        let permissions = Some(permissions.iter().map(|&text| text.to_owned()).collect());
        Draft { name: Some(name.to_owned()), permissions, ..Draft::default() }
    }

    fn refusal(preset: &str, draft: &Draft) -> &'static str {
        create(&tenant(preset, vec![]), draft, id(900)).map_or_else(|refusal| refusal.code(), |_| "made")
    }

    #[rstest]
    #[case::nameless("idaas", draft("  ", &["reports:read"]), "name_required")]
    #[case::taken("idaas", draft("AUDITOR", &["user_management:read"]), "role_name_taken")]
    #[case::alike("idaas", draft(" ａｕｄｉｔｏｒ", &["user_management:read"]), "role_name_taken")]
    #[case::empty("idaas", draft("X", &[]), "role_needs_permission")]
    #[case::unknown("idaas", draft("X", &["user_management:read", "gone:read"]), "unknown_permission")]
    #[case::no_pair("idaas", draft("X", &["User Management"]), "permission")]
    #[case::fixed_catalogue("owner-member", draft("X", &["organization_structure:read"]), "custom_roles_off")]
    #[case::control("idaas", draft("a\u{7}b", &["user_management:read"]), "name")]
    #[case::made("idaas", draft("Marketing", &["user_management:*"]), "made")]
    #[case::everything_that_reads("idaas", draft("Reader", &["*:read"]), "made")]
    fn what_a_new_role_needs(#[case] preset: &str, #[case] draft: Draft, #[case] expected: &str) {
        assert_eq!(refusal(preset, &draft), expected);
    }

    #[test]
    fn what_is_an_owners_alone_and_what_is_held_elsewhere_cannot_be_put_into_a_role() {
        let mut model = tenant("owner-member", vec![]);
        model.settings.custom_roles = true;
        let made = |pair: &str| create(&model, &draft("X", &[pair]), id(900)).map_err(|refusal| refusal.code());
        assert_eq!(made("self_service_portal_authentication:*").unwrap_err(), "owner_only");
        assert_eq!(made("access_policy:manage").unwrap_err(), "wrong_scope_kind");
        let in_context = Draft { scope_kind: Some("context".into()), ..draft("X", &["context_administration:administer"]) };
        assert!(create(&model, &in_context, id(900)).is_ok());
        let joining = Draft { auto_assign_on_join: Some(true), ..in_context.clone() };
        assert_eq!(create(&model, &joining, id(900)).unwrap_err().code(), "auto_assign");
        let elsewhere = Draft { scope_kind: Some("galaxy".into()), ..in_context };
        assert_eq!(create(&model, &elsewhere, id(900)).unwrap_err().code(), "scope_kind");
    }

    #[test]
    fn an_edit_changes_what_it_names_and_nothing_of_the_presets() {
        let role = Role { locked_fields: vec!["managed_roles".into()], ..custom_role(900, "Desk", &["user_management:read"]) };
        let model = tenant("idaas", vec![role.clone()]);
        let renamed = edit(&model, &role, &Draft { name: Some("DESK".into()), ..Draft::default() }).unwrap();
        assert_eq!((renamed.name.as_str(), &renamed.permissions), ("DESK", &role.permissions), "its own name in another case is free");
        let managed = |managed: ManagedRoles| edit(&model, &role, &Draft { managed_roles: Some(managed), ..Draft::default() });
        assert_eq!(managed(ManagedRoles::Only(vec![NONE.into()])).unwrap_err().code(), "locked_field");
        assert_eq!(managed(ManagedRoles::All).unwrap(), role, "to say what is so anyway is no change");
        assert_eq!(managed(ManagedRoles::Only(vec!["Auditor".into()])).unwrap_err().code(), "unknown_managed_role");
        let groups = Draft { managed_groups: Some(ManagedGroups::Only(vec!["staff".into()])), ..Draft::default() };
        assert_eq!(edit(&model, &role, &groups).unwrap_err().code(), "unknown_managed_group");
        let ungrouped = ManagedGroups::Only(vec![id::<()>(1).to_string(), OWN.into(), NONE.into()]);
        let draft = Draft { managed_groups: Some(ungrouped.clone()), ..Draft::default() };
        assert_eq!(edit(&model, &role, &draft).unwrap().managed_groups, ungrouped);
        assert_eq!(edit(&model, &role, &Draft { root_only: Some(true), ..Draft::default() }).unwrap_err().code(), "fixed_field");
        let auditor = model.role_named("Auditor").unwrap();
        assert_eq!(edit(&model, auditor, &Draft::default()).unwrap_err().code(), "system_role");
    }

    #[test]
    fn a_clone_is_named_copy_and_counts_on_and_says_what_it_drops() {
        let model = tenant("idaas", vec![]);
        let help_desk = model.role_named("Help Desk Administrator").unwrap();
        let first = clone(&model, help_desk, None, id(900)).unwrap();
        assert_eq!(first.role.name.as_str(), "Help Desk Administrator Copy");
        assert_eq!((&first.role.managed_roles, &first.role.permissions), (&help_desk.managed_roles, &help_desk.permissions));
        assert!(!first.role.system && first.role.locked_fields.is_empty() && first.role.key.is_none());
        assert!(first.dropped.iter().any(|text| text.starts_with("system")) && first.dropped.len() == 2, "{:?}", first.dropped);
        let model = tenant("idaas", vec![first.role, custom_role(901, "help desk administrator copy 2", &["user_management:read"])]);
        assert_eq!(clone(&model, help_desk, None, id(902)).unwrap().role.name.as_str(), "Help Desk Administrator Copy 3");
        assert_eq!(clone(&model, help_desk, Some("Auditor"), id(902)).unwrap_err().code(), "role_name_taken");
        let machine = clone(&model, model.role_named("SCIM Provisioning").unwrap(), Some("Sync"), id(902)).unwrap();
        assert!(!machine.role.machine_only && machine.dropped.iter().any(|text| text.starts_with("machine_only")));
    }

    #[test]
    fn a_clone_of_an_owner_keeps_what_others_may_hold() {
        let role = custom_role(900, "Everything named", &["self_service_portal_authentication:*", "organization_structure:read"]);
        let mut model = tenant("owner-member", vec![role.clone()]);
        model.settings.custom_roles = true;
        let cloned = clone(&model, &role, None, id(901)).unwrap();
        assert_eq!(cloned.role.permissions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["organization_structure:read"]);
        assert_eq!(cloned.dropped.len(), 1);
        let owner = clone(&model, model.role_named("Organization Owner").unwrap(), None, id(901)).unwrap();
        assert!(!owner.role.owner_class && owner.dropped.iter().any(|text| text.starts_with("owner_class")));
    }

    #[test]
    fn a_role_that_the_gate_keeps_asleep_says_so() {
        let asleep = custom_role(900, "Verifier", &["account_verification:write"]);
        let awake = custom_role(901, "Both", &["account_verification:write", "account_management:read"]);
        let model = tenant("org-admin", vec![]);
        assert_eq!(notices(&model, &asleep).len(), 1);
        assert!(notices(&model, &asleep)[0].contains("account_management:read"), "{:?}", notices(&model, &asleep));
        assert!(notices(&model, &awake).is_empty());
    }

    #[test]
    fn nobody_but_an_owner_widens_what_they_hold() {
        let role = custom_role(900, "Role desk", &["roles_management:*"]);
        let model = tenant("idaas", vec![role.clone()]);
        let wider = Role { permissions: custom_role(900, "Role desk", &["*:*"]).permissions, ..role.clone() };
        let holder = person(by_hand([holding(id(900), ROOT)]));
        assert_eq!(may_widen(&holder, &model, &role, &wider).unwrap_err().code(), "own_role");
        assert!(may_widen(&holder, &model, &wider, &role).is_ok(), "less is fine");
        let renamed = Role { name: Title::parse("name", "Desk").unwrap(), ..role.clone() };
        assert!(may_widen(&holder, &model, &role, &renamed).is_ok());
        let other = person(by_hand([holding(role_id(&model, "Auditor"), EU)]));
        let owner = person(by_hand([holding(role_id(&model, "Super Administrator"), ROOT), holding(id(900), ROOT)]));
        assert!(may_widen(&other, &model, &role, &wider).is_ok() && may_widen(&owner, &model, &role, &wider).is_ok());
    }
}
