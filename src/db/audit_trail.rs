//! The audit trail as it is looked through: the newest first, narrowed by time, actor, subject and kind; and what an account's assignments were.

use super::{
    audit::{AuditRow, Row},
    engine::{Db, DbError},
};
use crate::domain::{
    id::{AccountId, TenantId},
    time::Timestamp,
};

/// Empty texts ask for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// From this time on.
    pub from: Timestamp,
    /// Before this time.
    pub until: Timestamp,
    /// The id of who did it.
    pub actor: String,
    /// What it was done to: `account`, `role`, ….
    pub subject_kind: String,
    pub subject: String,
    /// `role.created`.
    pub kind: String,
    /// What the kind begins with: `role.`.
    pub kind_begins: String,
    pub correlation: String,
}

impl Default for AuditQuery {
    fn default() -> Self {
        Self {
            from: Timestamp::from_millis(i64::MIN),
            until: Timestamp::from_millis(i64::MAX),
            actor: String::new(),
            subject_kind: String::new(),
            subject: String::new(),
            kind: String::new(),
            kind_begins: String::new(),
            correlation: String::new(),
        }
    }
}

/// A macro, because the text of a statement is one literal. What comes first decides which index is walked.
macro_rules! page {
    ($first:literal) => {
        concat!(
            "select number, id, at_ms, actor_kind, actor_id, action, target_kind, target_id, correlation, detail, seal
            from audit where tenant = $1 and ",
            $first,
            " and number < $2 and seal is not null and at_ms >= $3 and at_ms < $4
            and ($5 = '' or actor_id = $5) and ($6 = '' or target_kind = $6) and ($7 = '' or target_id = $7)
            and ($8 = '' or action = $8) and substr(action, 1, length($9)) = $9 and ($10 = '' or correlation = $10)
            order by number desc limit $11"
        )
    };
}

/// Sealed rows with a number below `before`, the newest first.
pub async fn list_trail(db: &Db, tenant: TenantId, query: &AuditQuery, before: i64, limit: i64) -> Result<Vec<AuditRow>, DbError> {
    let by_subject = !query.subject.is_empty() && !query.subject_kind.is_empty();
    let sql = if by_subject { page!("target_kind = $6 and target_id = $7") } else { page!("number > 0") };
    let rows = db
        .query(sql)
        .bind(tenant.to_string())
        .bind(before)
        .bind(query.from.millis())
        .bind(query.until.millis())
        .bind(query.actor.as_str())
        .bind(query.subject_kind.as_str())
        .bind(query.subject.as_str())
        .bind(query.kind.as_str())
        .bind(query.kind_begins.as_str())
        .bind(query.correlation.as_str())
        .bind(limit);
    rows.all::<Row>().await?.into_iter().map(Row::read).collect()
}

/// What was added to and taken from an account's assignments; rows that wait for their seal too, behind the others.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct AssignmentEvent {
    pub at_ms: i64,
    pub actor_kind: String,
    pub actor_id: Option<String>,
    pub action: String,
    /// JSON.
    pub detail: String,
}

/// In the order of the trail: clocks of several nodes may differ by more than lies between two changes.
pub async fn list_assignment_events(db: &Db, tenant: TenantId, account: AccountId) -> Result<Vec<AssignmentEvent>, DbError> {
    let sql = "select at_ms, actor_kind, actor_id, action, detail from audit
        where tenant = $1 and target_kind = 'account' and target_id = $2
        and action in ('assignment.origin_added', 'assignment.origin_removed')
        order by coalesce(number, 9223372036854775807), id";
    db.query(sql).bind(tenant.to_string()).bind(account.to_string()).all().await
}

/// A role by its id, and the detail of what was done to it, which has its name.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RoleEvent {
    pub at_ms: i64,
    pub role: String,
    /// JSON.
    pub detail: String,
}

/// Every making, change and deletion of a role, in the order of the trail.
pub async fn list_role_events(db: &Db, tenant: TenantId) -> Result<Vec<RoleEvent>, DbError> {
    let sql = "select at_ms, target_id as role, detail from audit
        where tenant = $1 and target_kind = 'role' and action in ('role.created', 'role.changed', 'role.deleted')
        order by coalesce(number, 9223372036854775807), id";
    db.query(sql).bind(tenant.to_string()).all().await
}

/// From when on the trail is in the database; `None` where nothing was archived.
pub async fn begins_at(db: &Db, tenant: TenantId) -> Result<Option<Timestamp>, DbError> {
    let sql = "select coalesce(audit.at_ms, anchor.pruned_at_ms) from audit_anchor anchor
        left join audit on audit.tenant = anchor.tenant and audit.number = anchor.number + 1 where anchor.tenant = $1";
    let row: Option<(i64,)> = db.query(sql).bind(tenant.to_string()).optional().await?;
    Ok(row.map(|(at_ms,)| Timestamp::from_millis(at_ms)))
}

/// The last number before which every row is older than `before`; `None` when there is none.
pub async fn last_before(db: &Db, tenant: TenantId, before: Timestamp) -> Result<Option<i64>, DbError> {
    let sql = "select max(number) from audit where tenant = $1 and seal is not null
        and number < coalesce((select min(number) from audit where tenant = $1 and seal is not null and at_ms >= $2), 9223372036854775807)";
    let row: Option<(Option<i64>,)> = db.query(sql).bind(tenant.to_string()).bind(before.millis()).optional().await?;
    Ok(row.and_then(|(number,)| number))
}
