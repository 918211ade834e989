//! Connections, and the version that every change of one raises.

use super::{
    column,
    engine::{DbError, Target, Tx},
};
use crate::domain::{
    connection::Connection,
    id::{ConnectionId, TenantId},
    name::Slug,
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow {
    pub connection: Connection,
    /// Of the published mapping; 0 while there is none.
    pub mapping_version: i64,
    /// Made by `apply`, and withdrawn when it vanishes from the file.
    pub from_file: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant: String,
    id: String,
    slug: String,
    organization: String,
    audience: String,
    authority: String,
    enabled: bool,
    allow_owner_grants: bool,
    scim: String,
    saml: String,
    attributes: String,
    version: i64,
    mapping_version: i64,
    from_file: bool,
}

impl Row {
    fn read(self) -> Result<ConnectionRow, DbError> {
        let connection = Connection {
            id: column::id("a connection's id", &self.id)?,
            tenant: column::id("a connection's tenant", &self.tenant)?,
            organization: column::id("a connection's organization", &self.organization)?,
            slug: Slug::parse(&self.slug).map_err(|error| DbError::corrupt("a connection's slug", &error))?,
            audience: column::word("a connection's audience", &self.audience)?,
            authority: column::word("a connection's authority", &self.authority)?,
            enabled: self.enabled,
            allow_owner_grants: self.allow_owner_grants,
            scim: column::document("a connection's SCIM settings", &self.scim)?,
            saml: column::document("a connection's SAML settings", &self.saml)?,
            attributes: column::document("a connection's attributes", &self.attributes)?,
            version: self.version,
        };
        Ok(ConnectionRow { connection, mapping_version: self.mapping_version, from_file: self.from_file })
    }
}

/// The one look-up without a tenant: the slug stands in addresses and is unique in the installation.
pub async fn find_connection_by_slug(source: impl Into<Target<'_>>, slug: &str) -> Result<Option<ConnectionRow>, DbError> {
    let sql = "select tenant, id, slug, organization, audience, authority, enabled, allow_owner_grants, scim, saml, attributes, version,
            mapping_version, from_file
        from connection where slug = $1";
    source.into().query(sql).bind(slug.to_owned()).optional().await?.map(Row::read).transpose()
}

pub async fn find_connection(source: impl Into<Target<'_>>, tenant: TenantId, id: ConnectionId) -> Result<Option<ConnectionRow>, DbError> {
    let sql = "select tenant, id, slug, organization, audience, authority, enabled, allow_owner_grants, scim, saml, attributes, version,
            mapping_version, from_file
        from connection where tenant = $1 and id = $2";
    source.into().query(sql).bind(tenant.to_string()).bind(id.to_string()).optional().await?.map(Row::read).transpose()
}

/// All of a tenant, in the order of their making.
pub async fn list_connections(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<ConnectionRow>, DbError> {
    let sql = "select tenant, id, slug, organization, audience, authority, enabled, allow_owner_grants, scim, saml, attributes, version,
            mapping_version, from_file
        from connection where tenant = $1 order by id";
    source.into().query(sql).bind(tenant.to_string()).all().await?.into_iter().map(Row::read).collect()
}

/// Begins with the version that `connection` carries and no mapping; false when its slug or id is taken.
pub async fn insert_connection(tx: &mut Tx, connection: &Connection, from_file: bool, now: Timestamp) -> Result<bool, DbError> {
    let sql = "insert into connection (tenant, id, slug, organization, audience, authority, enabled, allow_owner_grants, scim, saml,
            attributes, version, mapping_version, from_file, created_at_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13, $14)
        on conflict do nothing";
    let written = tx
        .query(sql)
        .bind(connection.tenant.to_string())
        .bind(connection.id.to_string())
        .bind(connection.slug.as_str())
        .bind(connection.organization.to_string())
        .bind(column::to_word(connection.audience))
        .bind(column::to_word(connection.authority))
        .bind(connection.enabled)
        .bind(connection.allow_owner_grants)
        .bind(column::to_document(&connection.scim))
        .bind(column::to_document(&connection.saml))
        .bind(column::to_document(&connection.attributes))
        .bind(connection.version)
        .bind(from_file)
        .bind(now.millis())
        .run()
        .await?;
    Ok(written == 1)
}

/// Writes everything but the slug, which stands in addresses, and raises the version. `None` when it is not there or has another
/// version than the one `connection` was read with; else the new version. A version in which nobody can sign in is remembered, and since
/// when: sessions that were judged by an older one count for nothing from then on.
pub async fn update_connection(tx: &mut Tx, connection: &Connection, now: Timestamp) -> Result<Option<i64>, DbError> {
    let sql = "update connection set organization = $4, audience = $5, authority = $6, enabled = $7, allow_owner_grants = $8, scim = $9,
            saml = $10, attributes = $11, version = version + 1,
            closed_version = case when $12 then closed_version else version + 1 end,
            closed_at_ms = case when $12 then closed_at_ms else $13 end
        where tenant = $1 and id = $2 and version = $3
        returning version";
    let row: Option<(i64,)> = tx
        .query(sql)
        .bind(connection.tenant.to_string())
        .bind(connection.id.to_string())
        .bind(connection.version)
        .bind(connection.organization.to_string())
        .bind(column::to_word(connection.audience))
        .bind(column::to_word(connection.authority))
        .bind(connection.enabled)
        .bind(connection.allow_owner_grants)
        .bind(column::to_document(&connection.scim))
        .bind(column::to_document(&connection.saml))
        .bind(column::to_document(&connection.attributes))
        .bind(connection.signs_in())
        .bind(now.millis())
        .optional()
        .await?;
    Ok(row.map(|(version,)| version))
}

/// For changes that stand in other tables, such as certificates. `None` when there is no such connection.
pub async fn raise_connection_version(tx: &mut Tx, tenant: TenantId, id: ConnectionId) -> Result<Option<i64>, DbError> {
    let sql = "update connection set version = version + 1 where tenant = $1 and id = $2 returning version";
    let row: Option<(i64,)> = tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).optional().await?;
    Ok(row.map(|(version,)| version))
}
