//! Enabling a connection that is there for one more organization: a matter of the organization. The connection itself stays as it is.

use serde_json::json;

use super::organization::{Store, tell};
use crate::{
    db::{
        self, DbError,
        acting::{self, Writes},
        connection_use::UsedConnection,
    },
    domain::{actor::Occasion, connection::Connection, id::OrganizationId},
    policy::{
        access::Grant,
        action::{EnableConnections, ReadOrganizations},
    },
    provision::Precondition,
};

#[derive(Debug, thiserror::Error)]
pub enum UseError {
    #[error("the organization does not use this connection")]
    NotFound,
    #[error("the connection is the organization's own: it needs no enabling")]
    Own,
    #[error("the organization has another version than the one named")]
    Stale,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What an organization uses.
#[derive(Debug)]
pub struct Used {
    /// Its own and those that were enabled for it.
    pub connections: Vec<UsedConnection>,
    /// The organization's: never a newer one than that of what is listed.
    pub version: i64,
}

pub async fn list(grant: &Grant<ReadOrganizations>, store: Store<'_>) -> Result<Used, UseError> {
    read(store, grant.at()).await
}

async fn read(store: Store<'_>, at: OrganizationId) -> Result<Used, UseError> {
    let found = db::organization::find_organization(store.db, store.tenant, at).await?.ok_or(UseError::NotFound)?;
    Ok(Used { connections: db::connection_use::list_used(store.db, store.tenant, at).await?, version: found.version })
}

/// What the organization uses then.
pub async fn enable(
    grant: &Grant<EnableConnections>,
    store: Store<'_>,
    occasion: &mut Occasion,
    precondition: &Precondition,
    connection: &Connection,
) -> Result<Used, UseError> {
    if connection.tenant != store.tenant {
        return Err(UseError::NotFound);
    }
    if connection.organization == grant.at() {
        return Err(UseError::Own);
    }
    let mut tx = begin(store, occasion, grant.at(), precondition).await?;
    let by = occasion.actor.account_id();
    if db::connection_use::insert_use(&mut tx, store.tenant, grant.at(), connection.id, by, occasion.now).await? {
        record(tx, store, occasion, grant.at(), "organization.connection_enabled", connection).await?;
    } else {
        drop(tx);
    }
    read(store, grant.at()).await
}

/// The organization's version after it.
pub async fn disable(
    grant: &Grant<EnableConnections>,
    store: Store<'_>,
    occasion: &mut Occasion,
    precondition: &Precondition,
    connection: &Connection,
) -> Result<i64, UseError> {
    if connection.organization == grant.at() {
        return Err(UseError::Own);
    }
    let mut tx = begin(store, occasion, grant.at(), precondition).await?;
    if !db::connection_use::delete_use(&mut tx, store.tenant, grant.at(), connection.id).await? {
        return Err(UseError::NotFound);
    }
    Ok(record(tx, store, occasion, grant.at(), "organization.connection_disabled", connection).await?)
}

/// With the organization locked.
async fn begin(store: Store<'_>, occasion: &Occasion, at: OrganizationId, precondition: &Precondition) -> Result<db::Tx, UseError> {
    let mut tx = acting::begin(store.db, store.tenant, occasion, Writes::Accounts(&[])).await?;
    let version = db::organization::lock_organization(&mut tx, store.tenant, at).await?.ok_or(UseError::NotFound)?;
    if precondition.admits(version) { Ok(tx) } else { Err(UseError::Stale) }
}

/// Tells of it and commits. The organization's new version.
async fn record(
    mut tx: db::Tx,
    store: Store<'_>,
    occasion: &mut Occasion,
    at: OrganizationId,
    action: &'static str,
    connection: &Connection,
) -> Result<i64, DbError> {
    let detail = json!({ "connection": { "id": connection.id, "slug": connection.slug } });
    tell(&mut tx, store.tenant, occasion, action, at, detail).await?;
    let version = db::organization::raise_organization_version(&mut tx, store.tenant, at).await?;
    tx.commit().await?;
    Ok(version)
}
