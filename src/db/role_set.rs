//! Roles that are given together, under a name of the tenant's. What was given does not follow the set.

use std::collections::BTreeSet;

use super::{DbError, SET_LIMIT, Tx, column, engine::Target};
use crate::domain::{
    id::{RoleId, RoleSetId, TenantId},
    name::Title,
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSetRow {
    pub id: RoleSetId,
    pub name: Title,
    /// A role that is deleted leaves its sets.
    pub roles: BTreeSet<RoleId>,
}

/// False when another set has the name.
pub async fn insert_role_set(tx: &mut Tx, tenant: TenantId, row: &RoleSetRow, now: Timestamp) -> Result<bool, DbError> {
    let sql = "insert into role_set (tenant, id, name, name_key, created_at_ms) values ($1, $2, $3, $4, $5) on conflict do nothing";
    let query = tx.query(sql).bind(tenant.to_string()).bind(row.id.to_string()).bind(row.name.as_str()).bind(row.name.key());
    if query.bind(now.millis()).run().await? != 1 {
        return Ok(false);
    }
    let roles: Vec<RoleId> = row.roles.iter().copied().collect();
    for chunk in roles.chunks(SET_LIMIT) {
        let mut query = tx.query_set("insert into role_set_role (tenant, role_set, role) values {($1, $2, $3)}", chunk.len());
        for role in chunk {
            query = query.bind(tenant.to_string()).bind(row.id.to_string()).bind(role.to_string());
        }
        query.run().await?;
    }
    Ok(true)
}

/// In the order of their names.
pub async fn list_role_sets(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<RoleSetRow>, DbError> {
    let sql = "select s.id, s.name, r.role from role_set s left join role_set_role r on r.tenant = s.tenant and r.role_set = s.id
        where s.tenant = $1 order by s.name_key, r.role";
    let rows: Vec<(String, String, Option<String>)> = source.into().query(sql).bind(tenant.to_string()).all().await?;
    let mut found: Vec<RoleSetRow> = Vec::new();
    for (id, name, role) in rows {
        let id = column::id("a role set's id", &id)?;
        if found.last().is_none_or(|last| last.id != id) {
            let name = Title::stored("name", &name).map_err(|error| DbError::corrupt("a role set's name", &error))?;
            found.push(RoleSetRow { id, name, roles: BTreeSet::new() });
        }
        if let (Some(last), Some(role)) = (found.last_mut(), role) {
            last.roles.insert(column::id("a role of a set", &role)?);
        }
    }
    Ok(found)
}

/// Whether a set names the role.
pub async fn is_in_a_set(source: impl Into<Target<'_>>, tenant: TenantId, role: RoleId) -> Result<bool, DbError> {
    let sql = "select role from role_set_role where tenant = $1 and role = $2 limit 1";
    let row: Option<(String,)> = source.into().query(sql).bind(tenant.to_string()).bind(role.to_string()).optional().await?;
    Ok(row.is_some())
}

/// False when it is not there.
pub async fn delete_role_set(tx: &mut Tx, tenant: TenantId, id: RoleSetId) -> Result<bool, DbError> {
    let sql = "delete from role_set where tenant = $1 and id = $2";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).run().await? == 1)
}
