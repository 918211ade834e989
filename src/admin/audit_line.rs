//! An audit row as a line of JSON: in exports and in archives, which are the same. It has every column that is sealed.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    db::audit::AuditRow,
    domain::{
        id::EventId,
        time::{TimeError, Timestamp},
    },
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AuditRow)]
pub struct AuditLine {
    /// Gapless within the tenant.
    pub number: i64,
    #[schema(value_type = String, format = "uuid")]
    pub id: EventId,
    /// The slug.
    pub tenant: String,
    #[schema(format = DateTime)]
    pub at: String,
    pub actor: Party,
    /// What was done, such as `role.created`.
    pub action: String,
    pub target: Party,
    /// The request's id.
    pub correlation: String,
    #[schema(value_type = Object)]
    pub detail: Value,
    /// HMAC-SHA256 over the seal before it and everything above.
    pub seal: String,
}

/// Who did it, or what it was done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AuditParty)]
pub struct Party {
    /// `account`, `host_operator`, `role`, ….
    pub kind: String,
    pub id: Option<String>,
}

impl AuditLine {
    #[must_use]
    pub fn new(tenant: &str, row: AuditRow) -> Self {
        Self {
            number: row.number,
            id: row.id,
            tenant: tenant.to_owned(),
            at: row.at.to_string(),
            actor: Party { kind: row.actor_kind, id: row.actor_id },
            action: row.action,
            target: Party { kind: row.target_kind, id: Some(row.target_id) },
            correlation: row.correlation,
            detail: row.detail,
            seal: row.seal,
        }
    }

    /// The row that it was.
    pub fn into_row(self) -> Result<AuditRow, TimeError> {
        Ok(AuditRow {
            number: self.number,
            id: self.id,
            at: Timestamp::parse(&self.at)?,
            actor_kind: self.actor.kind,
            actor_id: self.actor.id,
            action: self.action,
            target_kind: self.target.kind,
            target_id: self.target.id.unwrap_or_default(),
            correlation: self.correlation,
            detail: self.detail,
            seal: self.seal,
        })
    }
}
