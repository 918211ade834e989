//! What decisions about one connection need: the connection, its published mapping and the tenant's role model, at one version.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::ProvisionError;
use crate::{
    db::{
        self, DbError, Target, Tx,
        mapping::Publication,
        model::{Versions, VersionsAhead},
    },
    domain::{
        connection::Connection,
        id::{AccountId, ConnectionId, TenantId},
        model::RoleModel,
        time::Timestamp,
    },
    policy::mapping::{DefaultMapping, Mapping},
};

/// Rules begin and end for those who are there already so much later: whoever was evaluated at a time before has committed by then.
pub const SETTLED_SECS: i64 = 5;

/// Makes the mapping the published one; false when somebody else published meanwhile. Who was evaluated with an older one waits for the job.
pub async fn publish(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    mapping: &Mapping,
    by: Option<AccountId>,
    now: Timestamp,
) -> Result<bool, DbError> {
    // A clock of another node may be behind: who is evaluated there need not have seen what began a moment ago.
    let due = mapping.next_boundary(now.plus_secs(-SETTLED_SECS));
    let publication = Publication { version: mapping.version, mapping, by, at: now, due };
    db::mapping::publish_mapping(tx, tenant, connection, &publication).await
}

#[derive(Debug)]
pub struct Published {
    pub connection: Connection,
    pub mapping: Mapping,
    pub model: Arc<RoleModel>,
}

impl Published {
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.connection.tenant
    }

    /// Asked once the accounts are locked: the job that follows a publication has then either been here before, and nothing may be
    /// decided by what it replaced, or it waits for the locks.
    ///
    /// # Errors
    /// [`ProvisionError::Again`] when something newer was published since this was read.
    pub(super) async fn check_current(&self, tx: &mut Tx) -> Result<(), ProvisionError> {
        if tx.is_alone() {
            // It was read in this transaction.
            return Ok(());
        }
        let mine = Versions { connection: self.connection.version, mapping: self.mapping.version, model: self.model.version };
        let now = db::model::read_versions(&mut *tx, self.tenant(), self.connection.id).await?;
        if now == Some(mine) { Ok(()) } else { Err(ProvisionError::Again) }
    }
}

/// Keeps what was loaded, and asks the database in every transaction whether it is still the newest: versions are read, not locked,
/// so that the writers of one tenant do not queue.
#[derive(Debug, Clone, Default)]
pub struct PublishedCache {
    connections: Arc<RwLock<Kept>>,
    models: Arc<RwLock<HashMap<TenantId, Arc<RoleModel>>>>,
}

#[derive(Debug, Default)]
struct Kept {
    connections: HashMap<ConnectionId, Arc<Published>>,
    /// A connection keeps its slug.
    slugs: HashMap<String, ConnectionId>,
}

impl Kept {
    fn insert(&mut self, published: Arc<Published>) {
        let connection = &published.connection;
        self.slugs.insert(connection.slug.to_string(), connection.id);
        self.connections.insert(connection.id, published);
    }
}

impl PublishedCache {
    /// What was last read of the connection of this slug: no more than a guess, which whoever follows it has to check.
    #[must_use]
    pub fn recall(&self, slug: &str) -> Option<Arc<Published>> {
        let kept = self.connections.read().unwrap_or_else(PoisonError::into_inner);
        kept.connections.get(kept.slugs.get(slug)?).cloned()
    }

    /// The guess was wrong: the next one who asks reads.
    pub fn forget(&self, slug: &str) {
        self.connections.write().unwrap_or_else(PoisonError::into_inner).slugs.remove(slug);
    }

    /// `None` when the connection does not exist. Not for a transaction that has published something itself: what it reads is kept
    /// for others, also when it is rolled back.
    pub async fn read(&self, tx: &mut Tx, tenant: TenantId, connection: ConnectionId) -> Result<Option<Arc<Published>>, DbError> {
        let versions = db::model::ask_versions(tx, tenant, connection).await?;
        self.receive(tx, tenant, connection, versions).await
    }

    /// As [`Self::read`], by versions that were asked for in this transaction.
    pub async fn receive(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        connection: ConnectionId,
        versions: VersionsAhead,
    ) -> Result<Option<Arc<Published>>, DbError> {
        let Some(versions) = versions.fetch(tx).await? else { return Ok(None) };
        let kept = self.connections.read().unwrap_or_else(PoisonError::into_inner).connections.get(&connection).cloned();
        if let Some(kept) = kept
            && kept.connection.version == versions.connection
            && kept.mapping.version == versions.mapping
            && kept.model.version == versions.model
        {
            return Ok(Some(kept));
        }
        let model = self.model(&mut *tx, tenant, versions.model).await?;
        let Some(row) = db::connection::find_connection(&mut *tx, tenant, connection).await? else { return Ok(None) };
        let mapping = db::mapping::find_mapping(&mut *tx, tenant, connection, versions.mapping).await?;
        let nothing = || Mapping { version: versions.mapping, default: DefaultMapping::default(), rules: Vec::new() };
        // The row's version is the one that counts, whatever the document says of itself.
        let mapping = Mapping { version: versions.mapping, ..mapping.unwrap_or_else(nothing) };
        let published = Arc::new(Published { connection: row.connection, mapping, model });
        self.connections.write().unwrap_or_else(PoisonError::into_inner).insert(published.clone());
        Ok(Some(published))
    }

    /// The tenant's role model at this version or a newer one.
    pub async fn model(&self, source: impl Into<Target<'_>>, tenant: TenantId, version: i64) -> Result<Arc<RoleModel>, DbError> {
        let kept = self.models.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned();
        if let Some(kept) = kept
            && kept.version == version
        {
            return Ok(kept);
        }
        let model = Arc::new(db::model::load_model(source, tenant).await?);
        self.models.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, model.clone());
        Ok(model)
    }
}
