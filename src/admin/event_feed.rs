//! The events of a tenant, for programs that follow what happens.

use crate::{
    db::{
        Db, DbError,
        audit::{EventRow, list_events},
    },
    domain::model::RoleModel,
    policy::{access::Grant, action::ReadAudit},
};

/// Numbered events behind `after`, in order. The grant must hold for the whole tenant.
pub async fn list(grant: &Grant<ReadAudit>, db: &Db, model: &RoleModel, after: i64, limit: i64) -> Result<Vec<EventRow>, DbError> {
    if grant.at() != model.organizations.root() {
        return Ok(Vec::new());
    }
    list_events(db, model.tenant, after, limit).await
}
