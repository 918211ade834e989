//! Organizations and the scopes below them.

use std::collections::BTreeSet;

use super::{
    column,
    engine::{DbError, SET_LIMIT, Target, Tx},
};
use crate::domain::{
    id::{OrganizationId, ScopeId, TenantId},
    name::{Slug, Title},
    organization::{Organization, ResourceScope},
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationRow {
    pub organization: Organization,
    /// Made by `apply`, and withdrawn when it vanishes from the file.
    pub from_file: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    parent: Option<String>,
    slug: String,
    name: String,
    from_file: bool,
}

impl Row {
    fn read(self) -> Result<OrganizationRow, DbError> {
        let organization = Organization {
            id: column::id("an organization's id", &self.id)?,
            parent: column::optional_id("an organization's parent", self.parent.as_deref())?,
            slug: Slug::parse(&self.slug).map_err(|error| DbError::corrupt("an organization's slug", &error))?,
            name: title("an organization's name", &self.name)?,
        };
        Ok(OrganizationRow { organization, from_file: self.from_file })
    }
}

fn title(what: &'static str, text: &str) -> Result<Title, DbError> {
    Title::stored("name", text).map_err(|error| DbError::corrupt(what, &error))
}

/// All of them, in the order of their making.
pub async fn list_organizations(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<OrganizationRow>, DbError> {
    let sql = "select id, parent, slug, name, from_file from organization where tenant = $1 order by id";
    source.into().query(sql).bind(tenant.to_string()).all().await?.into_iter().map(Row::read).collect()
}

/// Parents before their children; false when an id or a slug is taken, and then the transaction is to be dropped.
pub async fn insert_organizations(
    tx: &mut Tx,
    tenant: TenantId,
    organizations: &[Organization],
    from_file: bool,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "insert into organization (tenant, id, parent, slug, name, from_file, created_at_ms)
        values {($1, $2, $3, $4, $5, $6, $7)}
        on conflict do nothing";
    let mut written = 0;
    for chunk in organizations.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for organization in chunk {
            query = query
                .bind(tenant.to_string())
                .bind(organization.id.to_string())
                .bind(organization.parent.map(|parent| parent.to_string()))
                .bind(organization.slug.as_str())
                .bind(organization.name.as_str())
                .bind(from_file)
                .bind(now.millis());
        }
        written += query.run().await?;
    }
    Ok(written == organizations.len() as u64)
}

pub async fn insert_organization(
    tx: &mut Tx,
    tenant: TenantId,
    organization: &Organization,
    from_file: bool,
    now: Timestamp,
) -> Result<bool, DbError> {
    insert_organizations(tx, tenant, std::slice::from_ref(organization), from_file, now).await
}

/// Writes parent, slug and name. False when it is not there, or another one has the slug.
/// That the tree stays a tree is for the caller to see to, with the tree's organizations locked.
pub async fn update_organization(tx: &mut Tx, tenant: TenantId, organization: &Organization) -> Result<bool, DbError> {
    let sql = "update organization set parent = $3, slug = $4, name = $5, version = version + 1
        where tenant = $1 and id = $2
            and not exists (select 1 from organization other where other.tenant = $1 and other.slug = $4 and other.id <> $2)";
    let written = tx
        .query(sql)
        .bind(tenant.to_string())
        .bind(organization.id.to_string())
        .bind(organization.parent.map(|parent| parent.to_string()))
        .bind(organization.slug.as_str())
        .bind(organization.name.as_str())
        .run()
        .await?;
    Ok(written == 1)
}

/// The first lock in the order of locks: held by who moves, adds or removes organizations.
pub async fn lock_tree(tx: &mut Tx, tenant: TenantId) -> Result<(), DbError> {
    let row: Option<(String,)> =
        tx.lock("select tenant from organization_tree where tenant = $1").bind(tenant.to_string()).optional().await?;
    row.map(drop).ok_or_else(|| DbError::corrupt("a tenant's tree", "it is not there"))
}

/// The version for conditional requests, with the row locked against whoever would put something into the organization; `None` when it
/// is not there.
pub async fn lock_organization(tx: &mut Tx, tenant: TenantId, id: OrganizationId) -> Result<Option<i64>, DbError> {
    let sql = "select version from organization where tenant = $1 and id = $2";
    let row: Option<(i64,)> = tx.lock(sql).bind(tenant.to_string()).bind(id.to_string()).optional().await?;
    Ok(row.map(|(version,)| version))
}

/// Locks these of the tenant's organizations, in the order of their ids.
pub async fn lock_organizations(tx: &mut Tx, tenant: TenantId, ids: &BTreeSet<OrganizationId>) -> Result<(), DbError> {
    let ids: Vec<OrganizationId> = ids.iter().copied().collect();
    for chunk in ids.chunks(SET_LIMIT) {
        let sql = "select id from organization where tenant = $1 and id in ({$2}) order by id";
        let query = tx.lock_set(sql, chunk.len()).bind(tenant.to_string());
        chunk.iter().fold(query, |query, id| query.bind(id.to_string())).all::<(String,)>().await?;
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct VersionedRow {
    id: String,
    parent: Option<String>,
    slug: String,
    name: String,
    from_file: bool,
    version: i64,
    created_at_ms: i64,
}

/// An organization with its version for conditional requests and the time of its making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedOrganization {
    pub row: OrganizationRow,
    pub version: i64,
    pub created_at: Timestamp,
}

pub async fn find_organization(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    id: OrganizationId,
) -> Result<Option<VersionedOrganization>, DbError> {
    let sql = "select id, parent, slug, name, from_file, version, created_at_ms from organization where tenant = $1 and id = $2";
    let found: Option<VersionedRow> = source.into().query(sql).bind(tenant.to_string()).bind(id.to_string()).optional().await?;
    let Some(VersionedRow { id, parent, slug, name, from_file, version, created_at_ms }) = found else { return Ok(None) };
    let row = Row { id, parent, slug, name, from_file }.read()?;
    Ok(Some(VersionedOrganization { row, version, created_at: Timestamp::from_millis(created_at_ms) }))
}

/// For what changes beside the row itself, such as settings, contexts and the connections in use. The new version.
pub async fn raise_organization_version(tx: &mut Tx, tenant: TenantId, id: OrganizationId) -> Result<i64, DbError> {
    let sql = "update organization set version = version + 1 where tenant = $1 and id = $2 returning version";
    let row: Option<(i64,)> = tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).optional().await?;
    row.map(|(version,)| version).ok_or_else(|| DbError::corrupt("an organization", "it is not there"))
}

/// What keeps an organization from being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Contents {
    pub children: i64,
    pub accounts: i64,
    pub members: i64,
    pub assignments: i64,
    pub connections: i64,
    pub used_connections: i64,
    pub scopes: i64,
    pub domains: i64,
    pub groups: i64,
    /// That count now.
    pub app_tokens: i64,
}

pub async fn count_contents(tx: &mut Tx, tenant: TenantId, id: OrganizationId, now: Timestamp) -> Result<Contents, DbError> {
    let sql = "select
            (select count(*) from organization where tenant = $1 and parent = $2) as children,
            (select count(*) from account where tenant = $1 and home_organization = $2) as accounts,
            (select count(*) from membership where tenant = $1 and organization = $2) as members,
            (select count(*) from assignment where tenant = $1 and organization = $2) as assignments,
            (select count(*) from connection where tenant = $1 and organization = $2) as connections,
            (select count(*) from connection_use where tenant = $1 and organization = $2) as used_connections,
            (select count(*) from resource_scope where tenant = $1 and organization = $2) as scopes,
            (select count(*) from organization_domain where tenant = $1 and organization = $2) as domains,
            (select count(*) from local_group where tenant = $1 and organization = $2) as groups,
            (select count(*) from app_token where tenant = $1 and organization = $2 and revoked_at_ms is null and expires_at_ms > $3)
                as app_tokens";
    let query = tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).bind(now.millis());
    let row: Option<Contents> = query.optional().await?;
    row.ok_or_else(|| DbError::corrupt("the contents of an organization", "they were not counted"))
}

/// False when it is not there or something still hangs on it: a child, an account, a member, a connection, a scope, an assignment, a
/// domain, an application's token that counts. Tokens that were revoked or have expired go with it.
pub async fn delete_organization(tx: &mut Tx, tenant: TenantId, id: OrganizationId, now: Timestamp) -> Result<bool, DbError> {
    let sql = "delete from organization
        where tenant = $1 and id = $2
            and not exists (select 1 from organization child where child.tenant = $1 and child.parent = $2)
            and not exists (select 1 from account where tenant = $1 and home_organization = $2)
            and not exists (select 1 from membership where tenant = $1 and organization = $2)
            and not exists (select 1 from connection where tenant = $1 and organization = $2)
            and not exists (select 1 from local_group where tenant = $1 and organization = $2)
            and not exists (select 1 from connection_use where tenant = $1 and organization = $2)
            and not exists (select 1 from organization_domain where tenant = $1 and organization = $2)
            and not exists (select 1 from resource_scope where tenant = $1 and organization = $2)
            and not exists (select 1 from assignment where tenant = $1 and organization = $2)
            and not exists (select 1 from app_token
                where tenant = $1 and organization = $2 and revoked_at_ms is null and expires_at_ms > $3)";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).bind(now.millis()).run().await? == 1)
}

#[derive(sqlx::FromRow)]
struct ScopeRow {
    id: String,
    organization: String,
    kind: String,
    name: String,
}

impl ScopeRow {
    fn read(self) -> Result<ResourceScope, DbError> {
        Ok(ResourceScope {
            id: column::id("a scope's id", &self.id)?,
            organization: column::id("a scope's organization", &self.organization)?,
            kind: self.kind,
            name: title("a scope's name", &self.name)?,
        })
    }
}

pub async fn find_scope(source: impl Into<Target<'_>>, tenant: TenantId, id: ScopeId) -> Result<Option<ResourceScope>, DbError> {
    let sql = "select id, organization, kind, name from resource_scope where tenant = $1 and id = $2";
    source.into().query(sql).bind(tenant.to_string()).bind(id.to_string()).optional().await?.map(ScopeRow::read).transpose()
}

/// All of a tenant, in the order of their making.
pub async fn list_scopes(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<ResourceScope>, DbError> {
    let sql = "select id, organization, kind, name from resource_scope where tenant = $1 order by id";
    source.into().query(sql).bind(tenant.to_string()).all().await?.into_iter().map(ScopeRow::read).collect()
}

/// Of one organization, in the order of their making.
pub async fn list_scopes_of(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    organization: OrganizationId,
) -> Result<Vec<ResourceScope>, DbError> {
    let sql = "select id, organization, kind, name from resource_scope where tenant = $1 and organization = $2 order by id";
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(organization.to_string());
    query.all().await?.into_iter().map(ScopeRow::read).collect()
}

/// False when the id is taken.
pub async fn insert_scope(tx: &mut Tx, tenant: TenantId, scope: &ResourceScope, now: Timestamp) -> Result<bool, DbError> {
    let sql = "insert into resource_scope (tenant, id, organization, kind, name, created_at_ms)
        values ($1, $2, $3, $4, $5, $6)
        on conflict do nothing";
    let written = tx
        .query(sql)
        .bind(tenant.to_string())
        .bind(scope.id.to_string())
        .bind(scope.organization.to_string())
        .bind(scope.kind.as_str())
        .bind(scope.name.as_str())
        .bind(now.millis())
        .run()
        .await?;
    Ok(written == 1)
}

/// Writes the name; false when it is not there.
pub async fn rename_scope(tx: &mut Tx, tenant: TenantId, id: ScopeId, name: &Title) -> Result<bool, DbError> {
    let sql = "update resource_scope set name = $3 where tenant = $1 and id = $2";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).bind(name.as_str()).run().await? == 1)
}

/// How many assignments are held in it.
pub async fn count_held_in_scope(tx: &mut Tx, tenant: TenantId, id: ScopeId) -> Result<i64, DbError> {
    let sql = "select count(*) from assignment where tenant = $1 and resource_scope = $2 and resource_scope <> ''";
    let row: Option<(i64,)> = tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).optional().await?;
    Ok(row.map_or(0, |(count,)| count))
}

/// False when it is not there.
pub async fn delete_scope(tx: &mut Tx, tenant: TenantId, id: ScopeId) -> Result<bool, DbError> {
    let sql = "delete from resource_scope where tenant = $1 and id = $2";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).run().await? == 1)
}
