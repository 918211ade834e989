//! What organizations say for themselves and for all below them, as documents.

use std::collections::BTreeMap;

use super::{
    column,
    engine::{DbError, Target, Tx},
};
use crate::domain::{
    id::{OrganizationId, TenantId},
    organization_settings::OrganizationSettings,
};

/// Of those that said something.
pub async fn list_settings(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
) -> Result<BTreeMap<OrganizationId, OrganizationSettings>, DbError> {
    let sql = "select organization, document from organization_settings where tenant = $1";
    let rows: Vec<(String, String)> = source.into().query(sql).bind(tenant.to_string()).all().await?;
    let read = |(id, text): (String, String)| {
        Ok((column::id("an organization's id", &id)?, column::document("an organization's settings", &text)?))
    };
    rows.into_iter().map(read).collect()
}

/// What stands there now; the defaults where nothing was said.
pub async fn find_settings(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    organization: OrganizationId,
) -> Result<OrganizationSettings, DbError> {
    let sql = "select document from organization_settings where tenant = $1 and organization = $2";
    let row: Option<(String,)> = source.into().query(sql).bind(tenant.to_string()).bind(organization.to_string()).optional().await?;
    row.map_or_else(|| Ok(OrganizationSettings::default()), |(text,)| column::document("an organization's settings", &text))
}

/// To be followed by the raising of the model's version.
pub async fn put_settings(
    tx: &mut Tx,
    tenant: TenantId,
    organization: OrganizationId,
    settings: &OrganizationSettings,
) -> Result<(), DbError> {
    let sql = "insert into organization_settings (tenant, organization, document) values ($1, $2, $3)
        on conflict (tenant, organization) do update set document = excluded.document";
    let query = tx.query(sql).bind(tenant.to_string()).bind(organization.to_string());
    query.bind(column::to_document(settings)).run().await?;
    Ok(())
}
