//! A tenant with one organization, one connection and one account, to write other things beside.

use std::collections::{BTreeMap, BTreeSet};

use rolegate::{
    db::{
        connection::insert_connection,
        organization::insert_organization,
        tenant::{Tenant, insert_tenant},
    },
    domain::{
        assignment::Reach,
        catalogue::Permission,
        connection::{Audience, Authority, Connection, SamlSettings, ScimSettings},
        id::{AccountId, ConnectionId, IdSource, OrganizationId, RoleId, TenantId},
        model::{RoleChangeEffect, Settings},
        name::{Slug, Title},
        organization::Organization,
        role::{ManagedGroups, ManagedRoles, Role},
    },
};

use crate::common::{
    NOW,
    engines::{Engine, Fresh},
    ids,
};

pub struct World {
    pub db: Fresh,
    pub tenant: TenantId,
    pub root: OrganizationId,
    pub connection: ConnectionId,
    pub account: AccountId,
}

pub async fn world(engine: Engine) -> World {
    let db = engine.fresh().await;
    settle(db, "acme", 1).await
}

/// Adds a tenant to the database; `seed` tells its identifiers from those of others.
pub async fn settle(db: Fresh, slug: &str, seed: u8) -> World {
    let mut ids = ids(seed);
    let tenant = tenant(&mut ids, slug);
    let root = organization(&mut ids, None, slug);
    let connection = connection(&mut ids, tenant.id, root.id, &format!("{slug}-okta"));
    let account: AccountId = ids.make();
    let mut tx = db.begin().await.unwrap();
    assert!(insert_tenant(&mut tx, &tenant, NOW).await.unwrap());
    assert!(insert_organization(&mut tx, tenant.id, &root, true, NOW).await.unwrap());
    assert!(insert_connection(&mut tx, &connection, true, NOW).await.unwrap());
    tx.query(
        "insert into account (tenant, id, user_name, user_name_key, kind, status, has_local_credential, from_file, created_at_ms,
            changed_at_ms)
        values ($1, $2, 'ada', 'ada', 'human', 'active', $3, $3, 0, 0)",
    )
    .bind(tenant.id.to_string())
    .bind(account.to_string())
    .bind(false)
    .run()
    .await
    .unwrap();
    tx.commit().await.unwrap();
    World { db, tenant: tenant.id, root: root.id, connection: connection.id, account }
}

pub fn tenant(ids: &mut IdSource, slug: &str) -> Tenant {
    Tenant {
        id: ids.make(),
        slug: Slug::parse(slug).unwrap(),
        name: Title::parse("name", "Acme, Ünïted").unwrap(),
        preset: "owner-member".into(),
        preset_version: 3,
        settings: Settings {
            scope_kinds: Vec::new(),
            session_ttl_secs: 43_200,
            session_idle_secs: 7_200,
            max_sessions: 20,
            custom_roles: true,
            min_owners: 2,
            role_change_effect: RoleChangeEffect::NextLogin,
            default_reach: Reach::Subtree,
            service_accounts: true,
            scim_inbound: true,
            delegation: false,
            gate: None,
            owner_only: vec![Permission::parse("settings:*").unwrap()],
            root_only_actions: vec![],
            self_service_org_registration: false,
            clone_suffix: " Copy".into(),
            default_mapping_apply: "on_create".into(),
            externally_managed: vec!["scim_rule".into()],
        },
        file_settings: Some(["externally_managed".to_owned()].into()),
        model_version: 1,
    }
}

pub fn organization(ids: &mut IdSource, parent: Option<OrganizationId>, slug: &str) -> Organization {
    Organization { id: ids.make(), parent, slug: Slug::parse(slug).unwrap(), name: Title::parse("name", slug).unwrap() }
}

pub fn connection(ids: &mut IdSource, tenant: TenantId, organization: OrganizationId, slug: &str) -> Connection {
    Connection {
        id: ids.make(),
        tenant,
        organization,
        slug: Slug::parse(slug).unwrap(),
        audience: Audience::SelfService,
        authority: Authority::Union,
        enabled: true,
        allow_owner_grants: false,
        scim: ScimSettings { enabled: true, ..ScimSettings::default() },
        saml: SamlSettings { idp_entity_id: "http://idp.example/entity".into(), ..SamlSettings::default() },
        attributes: BTreeMap::from([("email".to_owned(), "mail".to_owned())]),
        version: 1,
    }
}

pub fn role(ids: &mut IdSource, name: &str, permissions: &[&str]) -> Role {
    Role {
        id: ids.make::<rolegate::domain::id::kind::Role>() as RoleId,
        key: Some(name.to_lowercase()),
        name: Title::parse("name", name).unwrap(),
        description: "what it is for".into(),
        permissions: permissions.iter().map(|text| Permission::parse(text).unwrap()).collect::<BTreeSet<_>>(),
        system: true,
        owner_class: true,
        root_only: false,
        machine_only: false,
        locked_fields: vec!["name".into()],
        exclusive_family: Some("family".into()),
        rank: 7,
        managed_roles: ManagedRoles::Only(vec!["@none".into()]),
        owner_named: ["@none".into()].into(),
        managed_groups: ManagedGroups::Own,
        auto_assign_on_join: false,
        auto_assign_first_user: true,
        scope_kind: Some("context".into()),
    }
}
