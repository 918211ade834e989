//! Enabling a connection that is there for one more organization: a matter of the organization. The connection itself stays as it is.

use serde_json::json;

use super::organization::{Store, tell};
use crate::{
    db::{self, DbError, connection_use::UsedConnection},
    domain::{actor::Occasion, connection::Connection, id::OrganizationId},
    policy::{
        access::Grant,
        action::{EnableConnections, ReadOrganizations},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum UseError {
    #[error("the organization does not use this connection")]
    NotFound,
    #[error("the connection is the organization's own: it needs no enabling")]
    Own,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Its own and those that were enabled for it.
pub async fn list(grant: &Grant<ReadOrganizations>, store: Store<'_>) -> Result<Vec<UsedConnection>, UseError> {
    Ok(db::connection_use::list_used(store.db, store.tenant, grant.at()).await?)
}

/// As [`list`], for who enables.
pub async fn list_enabled(grant: &Grant<EnableConnections>, store: Store<'_>) -> Result<Vec<UsedConnection>, UseError> {
    Ok(db::connection_use::list_used(store.db, store.tenant, grant.at()).await?)
}

/// Whether it is enabled only now.
pub async fn enable(
    grant: &Grant<EnableConnections>,
    store: Store<'_>,
    occasion: &mut Occasion,
    connection: &Connection,
) -> Result<bool, UseError> {
    if connection.tenant != store.tenant {
        return Err(UseError::NotFound);
    }
    if connection.organization == grant.at() {
        return Err(UseError::Own);
    }
    let mut tx = store.db.begin().await?;
    db::organization::lock_organization(&mut tx, store.tenant, grant.at()).await?.ok_or(UseError::NotFound)?;
    let by = occasion.actor.account_id();
    if !db::connection_use::insert_use(&mut tx, store.tenant, grant.at(), connection.id, by, occasion.now).await? {
        return Ok(false);
    }
    record(tx, store, occasion, grant.at(), "organization.connection_enabled", connection).await?;
    Ok(true)
}

pub async fn disable(
    grant: &Grant<EnableConnections>,
    store: Store<'_>,
    occasion: &mut Occasion,
    connection: &Connection,
) -> Result<(), UseError> {
    if connection.organization == grant.at() {
        return Err(UseError::Own);
    }
    let mut tx = store.db.begin().await?;
    if !db::connection_use::delete_use(&mut tx, store.tenant, grant.at(), connection.id).await? {
        return Err(UseError::NotFound);
    }
    Ok(record(tx, store, occasion, grant.at(), "organization.connection_disabled", connection).await?)
}

async fn record(
    mut tx: db::Tx,
    store: Store<'_>,
    occasion: &mut Occasion,
    at: OrganizationId,
    action: &'static str,
    connection: &Connection,
) -> Result<(), DbError> {
    let detail = json!({ "connection": { "id": connection.id, "slug": connection.slug } });
    tell(&mut tx, store.tenant, occasion, action, at, detail).await?;
    tx.commit().await
}
