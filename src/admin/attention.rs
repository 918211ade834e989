//! What somebody should look at: raised where it happens, once while it is open, and kept until somebody resolves it or its cause is gone.

use serde_json::json;

use crate::{
    db::{
        self, Db, DbError,
        acting::{self, Writes},
        attention::Attention,
        audit::Entry,
    },
    domain::{
        actor::Occasion,
        id::{EventId, TenantId},
        model::RoleModel,
    },
    policy::{access::Grant, action::ReadAudit},
};

#[derive(Debug, thiserror::Error)]
pub enum AttentionError {
    #[error("nothing open has the id {0}: `rolegate attention` lists what is open")]
    NotFound(EventId),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What is open behind `after`, the oldest first. The grant must hold for the whole tenant.
pub async fn list(
    grant: &Grant<ReadAudit>,
    db: &Db,
    model: &RoleModel,
    after: Option<EventId>,
    limit: i64,
) -> Result<Vec<Attention>, DbError> {
    if grant.at() != model.organizations.root() {
        return Ok(Vec::new());
    }
    db::attention::list_open(db, model.tenant, after, limit).await
}

/// Says, as the operator of the host, that it was looked at. What happens again is raised again.
pub async fn resolve(db: &Db, tenant: TenantId, occasion: &mut Occasion, id: EventId) -> Result<(), AttentionError> {
    let mut tx = acting::begin(db, tenant, occasion, Writes::Accounts(&[])).await?;
    if !db::attention::resolve(&mut tx, tenant, id, occasion.now).await? {
        return Err(AttentionError::NotFound(id));
    }
    let entry = Entry { action: "attention.resolved", target_kind: "attention", target_id: id.to_string(), detail: json!({}) };
    db::audit::append(&mut tx, tenant, occasion, &[entry]).await?;
    tx.commit().await?;
    Ok(())
}
