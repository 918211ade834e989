//! Roles with their permissions, and the entities of the permission catalogue.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    column,
    engine::{DbError, SET_LIMIT, Target, Tx},
};
use crate::domain::{
    catalogue::{Entity, Permission},
    id::{RoleId, TenantId},
    name::Title,
    role::Role,
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    pub role: Role,
    /// Made by `apply`, and withdrawn when it vanishes from the file.
    pub from_file: bool,
    /// Raised by every change.
    pub version: i64,
}

#[derive(sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "the columns of the table")]
struct Row {
    id: String,
    preset_key: Option<String>,
    name: String,
    description: String,
    system: bool,
    owner_class: bool,
    root_only: bool,
    machine_only: bool,
    locked_fields: String,
    exclusive_family: Option<String>,
    rank: i64,
    managed_roles: String,
    owner_named: String,
    managed_groups: String,
    auto_assign_on_join: bool,
    auto_assign_first_user: bool,
    scope_kind: Option<String>,
    from_file: bool,
    version: i64,
}

impl Row {
    fn read(self, permissions: &mut BTreeMap<String, BTreeSet<Permission>>) -> Result<RoleRow, DbError> {
        let permissions = permissions.remove(&self.id).ok_or_else(|| DbError::corrupt("a role", "it has no permission"))?;
        let role = Role {
            id: column::id("a role's id", &self.id)?,
            key: self.preset_key,
            name: Title::stored("name", &self.name).map_err(|error| DbError::corrupt("a role's name", &error))?,
            description: self.description,
            permissions,
            system: self.system,
            owner_class: self.owner_class,
            root_only: self.root_only,
            machine_only: self.machine_only,
            locked_fields: column::document("a role's locked fields", &self.locked_fields)?,
            exclusive_family: self.exclusive_family,
            rank: self.rank,
            managed_roles: column::document("a role's managed roles", &self.managed_roles)?,
            owner_named: column::document("a role's managed roles that an owner named", &self.owner_named)?,
            managed_groups: column::document("a role's managed groups", &self.managed_groups)?,
            auto_assign_on_join: self.auto_assign_on_join,
            auto_assign_first_user: self.auto_assign_first_user,
            scope_kind: self.scope_kind,
        };
        Ok(RoleRow { role, from_file: self.from_file, version: self.version })
    }
}

/// All of them, in the order of their making.
pub async fn list_roles(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<RoleRow>, DbError> {
    let mut source = source.into();
    let sql = "select id, preset_key, name, description, system, owner_class, root_only, machine_only, locked_fields, exclusive_family,
            rank, managed_roles, owner_named, managed_groups, auto_assign_on_join, auto_assign_first_user, scope_kind, from_file, version
        from role where tenant = $1 order by id";
    let rows: Vec<Row> = source.query(sql).bind(tenant.to_string()).all().await?;
    let sql = "select role, permission from role_permission where tenant = $1 order by role, permission";
    let pairs: Vec<(String, String)> = source.query(sql).bind(tenant.to_string()).all().await?;
    let mut permissions = BTreeMap::<String, BTreeSet<Permission>>::new();
    for (role, text) in pairs {
        let permission = Permission::parse(&text).map_err(|error| DbError::corrupt("a role's permission", &error))?;
        permissions.entry(role).or_default().insert(permission);
    }
    rows.into_iter().map(|row| row.read(&mut permissions)).collect()
}

/// Twenty-one columns of them stay below SQLite's number of placeholders.
const ROLE_CHUNK: usize = 1_000;

/// False when an id or a name (folded) is taken, and then the transaction is to be dropped.
pub async fn insert_roles(tx: &mut Tx, tenant: TenantId, roles: &[Role], from_file: bool, now: Timestamp) -> Result<bool, DbError> {
    let sql = "insert into role (tenant, id, preset_key, name, name_key, description, system, owner_class, root_only, machine_only,
            locked_fields, exclusive_family, rank, managed_roles, managed_groups, auto_assign_on_join, auto_assign_first_user, scope_kind,
            from_file, created_at_ms, owner_named)
        values {($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)}
        on conflict do nothing";
    let mut written = 0;
    for chunk in roles.chunks(ROLE_CHUNK) {
        let mut query = tx.query_set(sql, chunk.len());
        for role in chunk {
            query = query
                .bind(tenant.to_string())
                .bind(role.id.to_string())
                .bind(role.key.as_deref())
                .bind(role.name.as_str())
                .bind(role.name.key())
                .bind(role.description.as_str())
                .bind(role.system)
                .bind(role.owner_class)
                .bind(role.root_only)
                .bind(role.machine_only)
                .bind(column::to_document(&role.locked_fields))
                .bind(role.exclusive_family.as_deref())
                .bind(role.rank)
                .bind(column::to_document(&role.managed_roles))
                .bind(column::to_document(&role.managed_groups))
                .bind(role.auto_assign_on_join)
                .bind(role.auto_assign_first_user)
                .bind(role.scope_kind.as_deref())
                .bind(from_file)
                .bind(now.millis())
                .bind(column::to_document(&role.owner_named));
        }
        written += query.run().await?;
    }
    if written != roles.len() as u64 {
        return Ok(false);
    }
    insert_permissions(tx, tenant, roles).await?;
    Ok(true)
}

async fn insert_permissions(tx: &mut Tx, tenant: TenantId, roles: &[Role]) -> Result<(), DbError> {
    let sql = "insert into role_permission (tenant, role, permission) values {($1, $2, $3)} on conflict do nothing";
    let pairs: Vec<_> = roles.iter().flat_map(|role| role.permissions.iter().map(|permission| (role.id, permission))).collect();
    for chunk in pairs.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for (role, permission) in chunk {
            query = query.bind(tenant.to_string()).bind(role.to_string()).bind(permission.to_string());
        }
        query.run().await?;
    }
    Ok(())
}

/// Writes everything but `key`, `system` and where the role came from. False when it is not there, or another one has the name.
pub async fn update_role(tx: &mut Tx, tenant: TenantId, role: &Role) -> Result<bool, DbError> {
    let sql = "update role set name = $3, name_key = $4, description = $5, owner_class = $6, root_only = $7, machine_only = $8,
            locked_fields = $9, exclusive_family = $10, rank = $11, managed_roles = $12, managed_groups = $13, auto_assign_on_join = $14,
            auto_assign_first_user = $15, scope_kind = $16, owner_named = $17, version = version + 1
        where tenant = $1 and id = $2
            and not exists (select 1 from role other where other.tenant = $1 and other.name_key = $4 and other.id <> $2)";
    let written = tx
        .query(sql)
        .bind(tenant.to_string())
        .bind(role.id.to_string())
        .bind(role.name.as_str())
        .bind(role.name.key())
        .bind(role.description.as_str())
        .bind(role.owner_class)
        .bind(role.root_only)
        .bind(role.machine_only)
        .bind(column::to_document(&role.locked_fields))
        .bind(role.exclusive_family.as_deref())
        .bind(role.rank)
        .bind(column::to_document(&role.managed_roles))
        .bind(column::to_document(&role.managed_groups))
        .bind(role.auto_assign_on_join)
        .bind(role.auto_assign_first_user)
        .bind(role.scope_kind.as_deref())
        .bind(column::to_document(&role.owner_named))
        .run()
        .await?;
    if written == 0 {
        return Ok(false);
    }
    let sql = "delete from role_permission where tenant = $1 and role = $2";
    tx.query(sql).bind(tenant.to_string()).bind(role.id.to_string()).run().await?;
    insert_permissions(tx, tenant, std::slice::from_ref(role)).await?;
    Ok(true)
}

/// Against a grant of the role while it is changed or deleted; false when it is not there.
pub async fn lock_role(tx: &mut Tx, tenant: TenantId, id: RoleId) -> Result<bool, DbError> {
    let sql = "select id from role where tenant = $1 and id = $2";
    let row: Option<(String,)> = tx.lock(sql).bind(tenant.to_string()).bind(id.to_string()).optional().await?;
    Ok(row.is_some())
}

/// False when it is not there, or somebody holds it.
pub async fn delete_role(tx: &mut Tx, tenant: TenantId, id: RoleId) -> Result<bool, DbError> {
    let sql = "delete from role
        where tenant = $1 and id = $2 and not exists (select 1 from assignment where tenant = $1 and role = $2)";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).run().await? == 1)
}

/// Writes entities, over those of the same key.
pub async fn insert_entities(tx: &mut Tx, tenant: TenantId, entities: &[Entity]) -> Result<(), DbError> {
    let sql = "insert into entity (tenant, key, document) values {($1, $2, $3)}
        on conflict (tenant, key) do update set document = excluded.document";
    for chunk in entities.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for entity in chunk {
            query = query.bind(tenant.to_string()).bind(entity.key.as_str()).bind(column::to_document(entity));
        }
        query.run().await?;
    }
    Ok(())
}

/// Those of these keys are gone from the catalogue.
pub async fn delete_entities(tx: &mut Tx, tenant: TenantId, keys: &[String]) -> Result<(), DbError> {
    for chunk in keys.chunks(SET_LIMIT) {
        let query = tx.query_set("delete from entity where tenant = $1 and key in ({$2})", chunk.len()).bind(tenant.to_string());
        chunk.iter().fold(query, |query, key| query.bind(key.clone())).run().await?;
    }
    Ok(())
}

pub async fn list_entities(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<Entity>, DbError> {
    let sql = "select document from entity where tenant = $1 order by key";
    let rows: Vec<(String,)> = source.into().query(sql).bind(tenant.to_string()).all().await?;
    rows.iter().map(|(text,)| column::document("an entity", text)).collect()
}
