//! The frame of every change of a tenant's role model: one writer at a time, who sees what the one before it committed.

use serde_json::Value;

use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        audit::Entry,
    },
    domain::{actor::Occasion, id::TenantId, model::RoleModel},
};

/// A transaction in which the model's version is raised already, which makes every other writer wait, and the model as it is in it.
/// Dropped, it leaves nothing.
#[derive(Debug)]
pub struct ModelChange {
    pub tx: Tx,
    pub model: RoleModel,
    entries: Vec<Entry>,
}

impl ModelChange {
    pub async fn begin(db: &Db, tenant: TenantId, occasion: &Occasion) -> Result<Self, DbError> {
        let mut tx = acting::begin(db, tenant, occasion, Writes::Model).await?;
        db::tenant::raise_model_version(&mut tx, tenant).await?;
        let model = db::model::load_model(&mut tx, tenant).await?;
        Ok(Self { tx, model, entries: Vec::new() })
    }

    /// For the auditor and for listeners, in the same words.
    pub fn note(&mut self, action: &'static str, target_kind: &'static str, target_id: &impl ToString, detail: Value) {
        self.entries.push(Entry { action, target_kind, target_id: target_id.to_string(), detail });
    }

    pub async fn commit(mut self, occasion: &mut Occasion) -> Result<(), DbError> {
        let tenant = self.model.tenant;
        db::audit::tell(&mut self.tx, tenant, occasion, &self.entries).await?;
        self.tx.commit().await
    }
}
