//! Organizations and the scopes below them.

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
    Title::parse("name", text).map_err(|error| DbError::corrupt(what, &error))
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
    let sql = "update organization set parent = $3, slug = $4, name = $5
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

/// The first lock in the order of locks: who moves, adds or removes organizations holds all of them.
pub async fn lock_organizations(tx: &mut Tx, tenant: TenantId) -> Result<(), DbError> {
    let sql = "select id from organization where tenant = $1 order by id";
    let _: Vec<(String,)> = tx.lock(sql).bind(tenant.to_string()).all().await?;
    Ok(())
}

/// False when it is not there or something still hangs on it: a child, an account, a member, a connection, a scope, an assignment.
pub async fn delete_organization(tx: &mut Tx, tenant: TenantId, id: OrganizationId) -> Result<bool, DbError> {
    let sql = "delete from organization
        where tenant = $1 and id = $2
            and not exists (select 1 from organization child where child.tenant = $1 and child.parent = $2)
            and not exists (select 1 from account where tenant = $1 and home_organization = $2)
            and not exists (select 1 from membership where tenant = $1 and organization = $2)
            and not exists (select 1 from connection where tenant = $1 and organization = $2)
            and not exists (select 1 from resource_scope where tenant = $1 and organization = $2)
            and not exists (select 1 from assignment where tenant = $1 and organization = $2)";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).run().await? == 1)
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
