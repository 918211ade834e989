//! The rules and the default of a connection's file entry as a mapping: names become ids, and rules keep theirs.

use serde_json::{Value, json};

use super::{FileError, organizations::unknown_organization};
use crate::{
    admin::{
        change,
        tenant_file::{At, ConnectionEntry, RuleEntry, TargetEntry, WhereEntry},
    },
    domain::{
        assignment::Reach,
        connection::Connection,
        id::{IdSource, OrganizationId, RoleId},
        name::fold,
        organization::OrganizationTree,
        role::Role,
    },
    policy::{
        mapping::{DefaultMapping, Mapping},
        rule::{Effect, Place, Rule},
    },
};

/// What names mean, in the tenant as it will be.
pub(super) struct Names<'a> {
    pub tree: &'a OrganizationTree,
    pub roles: &'a [Role],
    pub reach: Reach,
}

/// More of them are no help in a message.
const ROLES_SHOWN: usize = 20;

impl Names<'_> {
    fn role(&self, name: &At<String>) -> Result<&Role, FileError> {
        let key = fold(&name.value);
        let role = self.roles.iter().find(|role| role.name.key() == key);
        let role = role.ok_or_else(|| name.place.refuse(format!("there is no role {:?}{}", name.value, self.instead(&name.value))))?;
        match &role.scope_kind {
            Some(kind) => Err(name.place.refuse(format!("the role {:?} is held in a {kind}, not at an organization", name.value))),
            None => Ok(role),
        }
    }

    /// What can be written instead: the nearest, and all where they can be overlooked.
    fn instead(&self, name: &str) -> String {
        let nearness = |role: &&&Role| strsim::jaro_winkler(&role.name.key(), &fold(name));
        let held_here: Vec<_> = self.roles.iter().filter(|role| role.scope_kind.is_none()).collect();
        let Some(nearest) = held_here.iter().max_by(|a, b| nearness(a).total_cmp(&nearness(b))) else { return String::new() };
        let nearest = format!("; the nearest is {:?}", nearest.name.as_str());
        if held_here.len() > ROLES_SHOWN {
            return nearest;
        }
        let all: Vec<_> = held_here.iter().map(|role| role.name.as_str()).collect();
        format!("{nearest}; there are {}", all.join(", "))
    }

    fn place(&self, place: &Place) -> String {
        match place {
            Place::Fixed(id) => {
                self.tree.find(*id).map_or_else(|| "an organization that is gone".to_owned(), |known| known.slug.to_string())
            }
            Place::Template(template) => template.to_string(),
        }
    }

    fn role_name(&self, id: RoleId) -> &str {
        self.roles.iter().find(|role| role.id == id).map_or("a role that is gone", |role| role.name.as_str())
    }
}

/// The mapping, with version 0. A rule of a name that `before` has keeps its id.
pub(super) fn build(
    entry: &ConnectionEntry,
    connection: &Connection,
    names: &Names<'_>,
    before: Option<&Mapping>,
    ids: &mut IdSource,
) -> Result<Mapping, FileError> {
    let mut default_roles = Vec::new();
    for name in &entry.default_roles {
        let role = names.role(name)?;
        if role.owner_class && !entry.allow_owner_grants {
            return Err(owners_only(name));
        }
        if !default_roles.contains(&role.id) {
            default_roles.push(role.id);
        }
    }
    let default = DefaultMapping { roles: default_roles, apply: entry.default_apply, unmatched: entry.unmatched };
    let mut rules = Vec::new();
    for entry_rule in &entry.rules {
        let key = fold(&entry_rule.name.value);
        let known = before.and_then(|before| before.rules.iter().find(|rule| fold(&rule.name) == key));
        let id = known.map_or_else(|| ids.make(), |rule| rule.id);
        let mut effects = Vec::new();
        for target in &entry_rule.grants {
            effects.push(grant(target, entry, entry_rule, connection, names)?);
        }
        for target in &entry_rule.excludes {
            let role = names.role(&target.role)?.id;
            effects.push(Effect::Exclude { role, organization: place(target, entry_rule, connection, names)? });
        }
        if let Some(message) = &entry_rule.deny_sign_in {
            effects.push(Effect::DenySignIn { message: message.clone() });
        }
        if let Some(template) = &entry_rule.set_home_organization {
            effects.push(Effect::SetHomeOrganization { template: template.clone() });
        }
        effects.extend(entry_rule.set_kind.map(Effect::SetKind));
        let rule = Rule {
            id,
            name: entry_rule.name.value.clone(),
            enabled: entry_rule.enabled,
            note: entry_rule.note.clone(),
            published_by: None,
            valid_from: entry_rule.valid_from,
            valid_until: entry_rule.valid_until,
            applies_to: entry_rule.applies_to,
            when: entry_rule.when.clone(),
            effects,
            mode: entry_rule.mode,
            on_delete: entry_rule.on_delete,
            root_published: entry_rule.root_published,
        };
        let makes_owner = |target: &&TargetEntry| names.role(&target.role).is_ok_and(|role| role.owner_class);
        if let Some(target) = entry_rule.grants.iter().find(makes_owner).filter(|_| !rule.matches_pinned_groups()) {
            let why = "a rule that makes owners must name its groups by groups.value eq \"…\", and may look at nothing else but active, source and authn, without not and ne: what people change of themselves makes no owners";
            return Err(target.role.place.refuse(why));
        }
        rules.push(rule);
    }
    Ok(Mapping { version: 0, default, rules })
}

fn grant(
    target: &TargetEntry,
    entry: &ConnectionEntry,
    rule_entry: &RuleEntry,
    connection: &Connection,
    names: &Names<'_>,
) -> Result<Effect, FileError> {
    let role = names.role(&target.role)?;
    if role.owner_class && !entry.allow_owner_grants {
        return Err(owners_only(&target.role));
    }
    Ok(Effect::Grant {
        role: role.id,
        organization: place(target, rule_entry, connection, names)?,
        reach: target.reach.unwrap_or(names.reach),
        resource_scope: None,
    })
}

fn owners_only(name: &At<String>) -> FileError {
    name.place.refuse(format!("{:?} makes owners: set allow_owner_grants = true on the connection if that is meant", name.value))
}

fn place(target: &TargetEntry, rule: &RuleEntry, connection: &Connection, names: &Names<'_>) -> Result<Place, FileError> {
    let Some(organization) = &target.organization else { return Ok(Place::Fixed(connection.organization)) };
    match &organization.value {
        WhereEntry::Template(template) => Ok(Place::Template(template.clone())),
        WhereEntry::Slug(slug) => {
            let found = names.tree.find_slug(slug.as_str()).ok_or_else(|| unknown_organization(&organization.place, slug.as_str()))?;
            if rule.root_published || names.tree.is_within(found.id, connection.organization) {
                Ok(Place::Fixed(found.id))
            } else {
                let why = "it lies outside the connection's organization: set root_published = true on the rule if that is meant";
                Err(organization.place.refuse(format!("{slug}: {why}")))
            }
        }
    }
}

pub(super) fn names_role(mapping: &Mapping, role: RoleId) -> bool {
    let named = |effect: &Effect| match effect {
        Effect::Grant { role: named, .. } | Effect::Exclude { role: named, .. } => *named == role,
        Effect::DenySignIn { .. } | Effect::SetHomeOrganization { .. } | Effect::SetKind(_) => false,
    };
    mapping.default.roles.contains(&role) || mapping.rules.iter().any(|rule| rule.effects.iter().any(named))
}

pub(super) fn summary(mapping: &Mapping) -> String {
    format!("{} rules, {} default roles", mapping.rules.len(), mapping.default.roles.len())
}

/// Which rules came, went or changed, and what the default becomes.
pub(super) fn differences(before: &Mapping, after: &Mapping, names: &Names<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let default = change::differences(&default_document(&before.default, names), &default_document(&after.default, names));
    if !default.is_empty() {
        found.push(format!("~ default: {}", default.join(", ")));
    }
    for rule in &after.rules {
        match before.rules.iter().find(|known| known.id == rule.id) {
            None if rule.refuses() => found.push(format!("+ rule {:?}, which refuses sign-in", rule.name)),
            None => found.push(format!("+ rule {:?}", rule.name)),
            Some(known) if known != rule => {
                let what = change::differences(&rule_document(known, names), &rule_document(rule, names));
                found.push(format!("~ rule {:?}: {}", rule.name, what.join(", ")));
            }
            Some(_) => {}
        }
    }
    let gone = before.rules.iter().filter(|rule| !after.rules.iter().any(|kept| kept.id == rule.id));
    found.extend(gone.map(|rule| format!("- rule {:?}", rule.name)));
    if found.is_empty() {
        found.push("the rules stand in another order".to_owned());
    }
    found
}

fn default_document(default: &DefaultMapping, names: &Names<'_>) -> Value {
    let roles: Vec<_> = default.roles.iter().map(|id| names.role_name(*id)).collect();
    json!({ "roles": roles, "apply": default.apply, "unmatched": default.unmatched })
}

/// As the file says it; what is not said is nothing.
fn rule_document(rule: &Rule, names: &Names<'_>) -> Value {
    let mut document = json!({
        "name": rule.name,
        "enabled": rule.enabled,
        "note": rule.note,
        "valid_from": rule.valid_from.map(|at| at.to_string()),
        "valid_until": rule.valid_until.map(|at| at.to_string()),
        "applies_to": rule.applies_to,
        "when": rule.when.to_string(),
        "mode": rule.mode,
        "on_delete": rule.on_delete,
        "root_published": rule.root_published,
    });
    let (mut grants, mut excludes) = (Vec::new(), Vec::new());
    for effect in &rule.effects {
        match effect {
            Effect::Grant { role, organization, reach, .. } => {
                let reach = if *reach == Reach::Subtree { "" } else { ", there alone" };
                grants.push(format!("{} at {}{reach}", names.role_name(*role), names.place(organization)));
            }
            Effect::Exclude { role, organization } => excludes.push(format!("{} at {}", names.role_name(*role), names.place(organization))),
            Effect::DenySignIn { message } => document["deny_sign_in"] = json!(message),
            Effect::SetHomeOrganization { template } => document["set_home_organization"] = json!(template),
            Effect::SetKind(kind) => document["set"] = json!({ "kind": kind }),
        }
    }
    document["grant"] = json!(grants);
    document["exclude"] = json!(excludes);
    document
}

/// Whether an organization is named by a rule of the mapping.
#[must_use]
pub(super) fn names_organization(mapping: &Mapping, organization: OrganizationId) -> bool {
    let named = |effect: &Effect| match effect {
        Effect::Grant { organization: place, .. } | Effect::Exclude { organization: place, .. } => *place == Place::Fixed(organization),
        Effect::DenySignIn { .. } | Effect::SetHomeOrganization { .. } | Effect::SetKind(_) => false,
    };
    mapping.rules.iter().any(|rule| rule.effects.iter().any(named))
}
