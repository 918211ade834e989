//! The role model of a tenant, loaded whole, and the versions by which a cached one is known to be current.

use super::{
    engine::{Ahead, DbError, Target, Tx},
    organization, organization_settings, role, tenant,
};
use crate::domain::{
    catalogue::Catalogue,
    id::{ConnectionId, TenantId},
    model::RoleModel,
    organization::OrganizationTree,
};

/// Loads settings, organizations with their scopes and settings, catalogue and roles of one version. Each statement may see a later commit than the one before it
/// (READ COMMITTED), so the version is read first and last, and all is read again while a change came between.
pub async fn load_model(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<RoleModel, DbError> {
    let mut source = source.into();
    loop {
        let row = tenant::find_tenant(source.again(), tenant).await?.ok_or_else(|| DbError::corrupt("a tenant", "it is not there"))?;
        let organizations = organization::list_organizations(source.again(), tenant).await?;
        let scopes = organization::list_scopes(source.again(), tenant).await?;
        let settings = organization_settings::list_settings(source.again(), tenant).await?;
        let entities = role::list_entities(source.again(), tenant).await?;
        let roles = role::list_roles(source.again(), tenant).await;
        let sql = "select model_version from tenant where id = $1";
        let last: Option<(i64,)> = source.query(sql).bind(tenant.to_string()).optional().await?;
        if last != Some((row.model_version,)) {
            continue;
        }
        let organizations = organizations.into_iter().map(|row| row.organization).collect();
        let tree =
            OrganizationTree::new(organizations).map_err(|error| DbError::corrupt("a tenant's organizations", &error))?.with_scopes(scopes);
        let tree = tree.with_settings(settings);
        let roles = roles?.into_iter().map(|row| row.role).collect();
        return Ok(RoleModel::new(tenant, row.model_version, row.settings, tree, Catalogue::new(entities), roles));
    }
}

/// What a decision was made with; read after the account's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub connection: i64,
    pub mapping: i64,
    pub model: i64,
}

const VERSIONS: &str = "select connection.version, connection.mapping_version, tenant.model_version
    from connection join tenant on tenant.id = connection.tenant
    where connection.tenant = $1 and connection.id = $2";

type Row = (i64, i64, i64);

impl Versions {
    fn of((connection, mapping, model): Row) -> Self {
        Self { connection, mapping, model }
    }
}

/// `None` when there is no such connection.
pub async fn read_versions(source: impl Into<Target<'_>>, tenant: TenantId, connection: ConnectionId) -> Result<Option<Versions>, DbError> {
    let row = source.into().query(VERSIONS).bind(tenant.to_string()).bind(connection.to_string()).optional().await?;
    Ok(row.map(Versions::of))
}

/// Versions that are asked for before they are needed.
pub struct VersionsAhead(Ahead<Row>);

impl VersionsAhead {
    pub async fn fetch(self, tx: &mut Tx) -> Result<Option<Versions>, DbError> {
        Ok(self.0.fetch(tx).await?.pop().map(Versions::of))
    }
}

/// As [`read_versions`], for whoever has something else to do before they look.
pub async fn ask_versions(tx: &mut Tx, tenant: TenantId, connection: ConnectionId) -> Result<VersionsAhead, DbError> {
    Ok(VersionsAhead(tx.query(VERSIONS).bind(tenant.to_string()).bind(connection.to_string()).ahead().await?))
}
