//! What the tests of this folder stand on: a small tenant made from a preset, and short names for its parts.
//!
//! ```text
//! acme (1) ─┬─ acme-eu (2) ── acme-eu-west (4)
//!           └─ acme-us (3)
//! ```

use uuid::Uuid;

use super::{mapping::Sight, preset::Preset};
use crate::domain::{
    account::AccountKind,
    actor::{AccountActor, Actor, RightsSeen},
    assignment::{Assignment, Holding, Origin, OriginRow, Reach},
    connection::{Audience, Authority, Connection, SamlSettings, ScimSettings},
    id::{AccountId, AssignmentId, ConnectionId, Id, OrganizationId, RoleId, RuleId, ScopeId, SessionId, TenantId},
    identity::{GroupRef, Identity, Protocol},
    model::RoleModel,
    name::{Slug, Title},
    organization::{Organization, OrganizationTree, ResourceScope},
    role::Role,
    time::Timestamp,
};

pub const ROOT: u128 = 1;
pub const EU: u128 = 2;
pub const US: u128 = 3;
pub const EU_WEST: u128 = 4;
/// The connection of the tests; others are any other number.
pub const OKTA: u128 = 70;
pub const NOW: i64 = 1_767_225_600_000;

pub fn id<Kind>(value: u128) -> Id<Kind> {
    Id::new(Uuid::from_u128(value))
}

pub fn organization(value: u128) -> OrganizationId {
    id(value)
}

pub fn rule(value: u128) -> RuleId {
    id(value)
}

pub fn connection_id(value: u128) -> ConnectionId {
    id(value)
}

/// A tenant made from a preset, with what a test adds to its roles.
pub fn tenant(preset: &str, more: Vec<Role>) -> RoleModel {
    let mut next = 100;
    let made = Preset::find(preset).unwrap().instantiate(|| {
        next += 1;
        id(next)
    });
    let place = |value: u128, parent: Option<u128>, slug: &str| Organization {
        id: id(value),
        parent: parent.map(id),
        slug: Slug::parse(slug).unwrap(),
        name: Title::parse("name", slug).unwrap(),
    };
    let organizations = OrganizationTree::new(vec![
        place(ROOT, None, "acme"),
        place(EU, Some(ROOT), "acme-eu"),
        place(US, Some(ROOT), "acme-us"),
        place(EU_WEST, Some(EU), "acme-eu-west"),
    ]);
    let shop = ResourceScope { id: id(600), organization: id(EU), kind: "context".into(), name: Title::parse("name", "Shop").unwrap() };
    let organizations = organizations.unwrap().with_scopes(vec![shop]);
    let tenant: TenantId = id(9);
    RoleModel::new(tenant, 1, made.settings, organizations, made.catalogue, made.roles.into_iter().chain(more).collect())
}

/// A role that people made: those of `permissions`, and nothing special.
pub fn custom_role(value: u128, name: &str, permissions: &[&str]) -> Role {
    Role {
        id: id(value),
        key: None,
        name: Title::parse("role", name).unwrap(),
        description: String::new(),
        permissions: permissions.iter().map(|text| crate::domain::catalogue::Permission::parse(text).unwrap()).collect(),
        system: false,
        owner_class: false,
        root_only: false,
        machine_only: false,
        locked_fields: Vec::new(),
        exclusive_family: None,
        rank: 0,
        managed_roles: crate::domain::role::ManagedRoles::All,
        owner_named: std::collections::BTreeSet::new(),
        managed_groups: crate::domain::role::ManagedGroups::All,
        auto_assign_on_join: false,
        auto_assign_first_user: false,
        scope_kind: None,
    }
}

pub fn role_id(model: &RoleModel, name: &str) -> RoleId {
    model.role_named(name).unwrap_or_else(|| panic!("no role is named {name}")).id
}

pub fn holding(role: RoleId, at: u128) -> Holding {
    Holding { role, organization: id(at), resource_scope: None, reach: Reach::Subtree }
}

pub fn in_scope(role: RoleId, at: u128, scope: u128) -> Holding {
    let scope: ScopeId = id(scope);
    Holding { resource_scope: Some(scope), reach: Reach::Organization, ..holding(role, at) }
}

/// Assignments as stored, one per holding, from pairs of holding and cause.
pub fn stored(pairs: impl IntoIterator<Item = (Holding, Origin)>) -> Vec<Assignment> {
    let mut current: Vec<Assignment> = Vec::new();
    for (holding, origin) in pairs {
        let row = OriginRow { origin, since: Timestamp::from_millis(NOW), may_delegate: false, dormant: false };
        if let Some(known) = current.iter_mut().find(|assignment| assignment.holding == holding) {
            known.origins.push(row);
        } else {
            let number: AssignmentId = id(500 + current.len() as u128);
            current.push(Assignment { id: number, account: id(40), holding, origins: vec![row] });
        }
    }
    current
}

pub const BY_HAND: Origin = Origin::Manual { by: None };

pub fn by_hand(holdings: impl IntoIterator<Item = Holding>) -> Vec<Assignment> {
    stored(holdings.into_iter().map(|holding| (holding, BY_HAND)))
}

pub fn person(assignments: Vec<Assignment>) -> Actor {
    let (account, session): (AccountId, SessionId) = (id(40), id(41));
    Actor::Account(AccountActor {
        account,
        kind: AccountKind::Human,
        session,
        surface: Audience::Admin,
        assignments,
        only: None,
        at_sign_in: None,
        seen: RightsSeen::default(),
    })
}

pub fn connection(at: u128) -> Connection {
    Connection {
        id: id(OKTA),
        tenant: id(9),
        organization: id(at),
        slug: Slug::parse("acme-okta").unwrap(),
        audience: Audience::Admin,
        authority: Authority::default(),
        enabled: true,
        allow_owner_grants: false,
        scim: ScimSettings::default(),
        saml: SamlSettings::default(),
        attributes: std::collections::BTreeMap::new(),
        version: 1,
    }
}

pub fn sight<'a>(model: &'a RoleModel, connection: &'a Connection) -> Sight<'a> {
    Sight {
        model,
        connection,
        now: Timestamp::from_millis(NOW),
        first_sight: false,
        home: Some(connection.organization),
        kind: AccountKind::Human,
    }
}

pub fn identity(attributes: serde_json::Value, groups: &[&str]) -> Identity {
    let serde_json::Value::Object(attributes) = attributes else { panic!("attributes are an object") };
    let group = |value: &&str| GroupRef { value: (*value).to_owned(), display: Some(format!("The {value}")) };
    Identity { source: Protocol::Scim, attributes, groups: Some(groups.iter().map(group).collect()), active: true, authn_context: None }
}
