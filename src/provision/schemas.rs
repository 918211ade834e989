//! The schemas of a tenant's resources: the standard ones, and with them its own extension of User where it has declared one.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use crate::{
    db::{Db, DbError, custom_schema::find_custom_schema},
    domain::id::TenantId,
    scim::schema::Schemas,
};

static STANDARD: LazyLock<Arc<Schemas>> = LazyLock::new(|| Arc::new(Schemas::standard().clone()));

/// Keeps what was read, by the version that every request learns with its token.
#[derive(Debug, Clone, Default)]
pub struct SchemaCache(Arc<RwLock<HashMap<TenantId, Kept>>>);

/// With the version of the tenant's extension.
type Kept = (i64, Arc<Schemas>);

impl SchemaCache {
    /// Those of `version`, or of a newer one; 0 is the version of a tenant without an extension.
    pub async fn read(&self, db: &Db, tenant: TenantId, version: i64) -> Result<Arc<Schemas>, DbError> {
        if version == 0 {
            return Ok(STANDARD.clone());
        }
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned();
        if let Some((kept, schemas)) = kept
            && kept == version
        {
            return Ok(schemas);
        }
        let Some(found) = find_custom_schema(db, tenant).await? else { return Ok(STANDARD.clone()) };
        let schemas = Arc::new(Schemas::with_extension(Some(found.definition)));
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, (found.version, schemas.clone()));
        Ok(schemas)
    }
}
