//! Tenants: who they are, their settings, and the version of their role model.

use std::collections::BTreeSet;

use super::{
    column,
    engine::{DbError, Target, Tx},
};
use crate::domain::{
    id::TenantId,
    model::Settings,
    name::{Slug, Title},
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    pub slug: Slug,
    pub name: Title,
    pub preset: String,
    pub preset_version: i64,
    pub settings: Settings,
    /// The names of those that the tenant's file says; the others are the preset's, or people's. `None` where a version applied the file
    /// that did not keep them.
    pub file_settings: Option<BTreeSet<String>>,
    /// Raised by every change of settings, organizations, catalogue or roles.
    pub model_version: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    slug: String,
    name: String,
    preset: String,
    preset_version: i64,
    settings: String,
    settings_of_file: Option<String>,
    model_version: i64,
}

impl Row {
    fn read(self) -> Result<Tenant, DbError> {
        Ok(Tenant {
            id: column::id("a tenant's id", &self.id)?,
            slug: Slug::parse(&self.slug).map_err(|error| DbError::corrupt("a tenant's slug", &error))?,
            name: Title::stored("name", &self.name).map_err(|error| DbError::corrupt("a tenant's name", &error))?,
            preset: self.preset,
            preset_version: self.preset_version,
            settings: column::document("a tenant's settings", &self.settings)?,
            file_settings: self.settings_of_file.map(|text| column::document("the settings of a tenant's file", &text)).transpose()?,
            model_version: self.model_version,
        })
    }
}

pub async fn find_tenant(source: impl Into<Target<'_>>, id: TenantId) -> Result<Option<Tenant>, DbError> {
    let sql = "select id, slug, name, preset, preset_version, settings, settings_of_file, model_version from tenant where id = $1";
    source.into().query(sql).bind(id.to_string()).optional().await?.map(Row::read).transpose()
}

pub async fn find_tenant_by_slug(source: impl Into<Target<'_>>, slug: &str) -> Result<Option<Tenant>, DbError> {
    let sql = "select id, slug, name, preset, preset_version, settings, settings_of_file, model_version from tenant where slug = $1";
    source.into().query(sql).bind(slug.to_owned()).optional().await?.map(Row::read).transpose()
}

pub async fn list_tenants(source: impl Into<Target<'_>>) -> Result<Vec<Tenant>, DbError> {
    let sql = "select id, slug, name, preset, preset_version, settings, settings_of_file, model_version from tenant order by slug";
    source.into().query(sql).all().await?.into_iter().map(Row::read).collect()
}

/// Writes the tenant and the rows that are the locks of its owner floor and of its tree; false when its slug or its id is taken.
pub async fn insert_tenant(tx: &mut Tx, tenant: &Tenant, now: Timestamp) -> Result<bool, DbError> {
    let sql = "insert into tenant (id, slug, name, preset, preset_version, settings, settings_of_file, model_version, created_at_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict do nothing";
    let written = tx
        .query(sql)
        .bind(tenant.id.to_string())
        .bind(tenant.slug.as_str())
        .bind(tenant.name.as_str())
        .bind(tenant.preset.as_str())
        .bind(tenant.preset_version)
        .bind(column::to_document(&tenant.settings))
        .bind(tenant.file_settings.as_ref().map(column::to_document))
        .bind(tenant.model_version)
        .bind(now.millis())
        .run()
        .await?;
    if written == 1 {
        tx.query("insert into owner_floor (tenant) values ($1)").bind(tenant.id.to_string()).run().await?;
        tx.query("insert into organization_tree (tenant) values ($1)").bind(tenant.id.to_string()).run().await?;
    }
    Ok(written == 1)
}

/// Writes name, preset and settings, and raises the model's version; false when there is no such tenant.
pub async fn update_tenant(tx: &mut Tx, tenant: &Tenant) -> Result<bool, DbError> {
    let sql = "update tenant set name = $2, preset = $3, preset_version = $4, settings = $5, settings_of_file = $6,
            model_version = model_version + 1
        where id = $1";
    let written = tx
        .query(sql)
        .bind(tenant.id.to_string())
        .bind(tenant.name.as_str())
        .bind(tenant.preset.as_str())
        .bind(tenant.preset_version)
        .bind(column::to_document(&tenant.settings))
        .bind(tenant.file_settings.as_ref().map(column::to_document))
        .run()
        .await?;
    Ok(written == 1)
}

/// To be called by whoever wrote organizations, entities or roles, in the same transaction: caches compare this version.
pub async fn raise_model_version(tx: &mut Tx, tenant: TenantId) -> Result<i64, DbError> {
    let sql = "update tenant set model_version = model_version + 1 where id = $1 returning model_version";
    let row: Option<(i64,)> = tx.query(sql).bind(tenant.to_string()).optional().await?;
    row.map(|(version,)| version).ok_or_else(|| DbError::corrupt("a tenant", "it is not there"))
}

/// By which a cached model is known to be current; `None` when there is no such tenant.
pub async fn find_model_version(source: impl Into<Target<'_>>, id: TenantId) -> Result<Option<i64>, DbError> {
    let row: Option<(i64,)> = source.into().query("select model_version from tenant where id = $1").bind(id.to_string()).optional().await?;
    Ok(row.map(|(version,)| version))
}

/// The last lock in the order of locks, and only taken by what touches an owner.
pub async fn lock_owner_floor(tx: &mut Tx, tenant: TenantId) -> Result<(), DbError> {
    let row: Option<(String,)> = tx.lock("select tenant from owner_floor where tenant = $1").bind(tenant.to_string()).optional().await?;
    row.map(drop).ok_or_else(|| DbError::corrupt("a tenant's owner floor", "it is not there"))
}
