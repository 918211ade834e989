//! A tenant's own extension of User, as it was declared.

use super::engine::{DbError, Target, Tx};
use crate::{
    domain::{id::TenantId, time::Timestamp},
    scim::{custom, schema::Definition},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomSchema {
    pub definition: Definition,
    /// What was written, as `/Schemas` shows it.
    pub document: String,
    pub version: i64,
    pub changed_at: Timestamp,
    /// Declared by the tenant's file, which may change and withdraw it.
    pub from_file: bool,
}

pub async fn find_custom_schema(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Option<CustomSchema>, DbError> {
    let sql = "select document, version, changed_at_ms, from_file from custom_schema where tenant = $1";
    let row: Option<(String, i64, i64, bool)> = source.into().query(sql).bind(tenant.to_string()).optional().await?;
    let read = |(document, version, changed_at_ms, from_file): (String, i64, i64, bool)| {
        let definition = custom::parse(&document).map_err(|error| DbError::corrupt("a tenant's schema", &error))?;
        Ok(CustomSchema { definition, document, version, changed_at: Timestamp::from_millis(changed_at_ms), from_file })
    };
    row.map(read).transpose()
}

/// Writes what [`custom::parse`] has read; the new version, which no earlier schema of the tenant had, not even one that was deleted.
/// Whoever declared it first, a file or a person, stays the one who did.
pub async fn put_custom_schema(tx: &mut Tx, tenant: TenantId, document: &str, from_file: bool, now: Timestamp) -> Result<i64, DbError> {
    let sql = "insert into custom_schema (tenant, document, version, changed_at_ms, from_file) values ($1, $2, $3, $3, $4)
        on conflict (tenant) do update set document = excluded.document, changed_at_ms = excluded.changed_at_ms,
            version = case when custom_schema.version >= excluded.version then custom_schema.version + 1 else excluded.version end
        returning version";
    let row: Option<(i64,)> =
        tx.query(sql).bind(tenant.to_string()).bind(document.to_owned()).bind(now.millis()).bind(from_file).optional().await?;
    row.map(|(version,)| version).ok_or_else(|| DbError::corrupt("a tenant's schema", "it vanished while it was written"))
}

/// Stays locked until the end of the transaction; `None` when there is no schema.
pub async fn lock_version(tx: &mut Tx, tenant: TenantId) -> Result<Option<i64>, DbError> {
    let sql = "select version from custom_schema where tenant = $1";
    let row: Option<(i64,)> = tx.lock(sql).bind(tenant.to_string()).optional().await?;
    Ok(row.map(|(version,)| version))
}

/// False when there was none. Values that identities have under it stay in their documents, unseen.
pub async fn delete_custom_schema(tx: &mut Tx, tenant: TenantId) -> Result<bool, DbError> {
    Ok(tx.query("delete from custom_schema where tenant = $1").bind(tenant.to_string()).run().await? == 1)
}
