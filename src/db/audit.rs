//! Audit rows and outgoing events, written in the transaction of the change they tell of. Numbers and seals come after the commit.

use serde_json::Value;

use super::{
    column,
    engine::{DbError, SET_LIMIT, Target, Tx},
};
use crate::domain::{
    actor::Occasion,
    id::{EventId, TenantId, kind},
    time::Timestamp,
};

/// What happened to what.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub action: &'static str,
    pub target_kind: &'static str,
    pub target_id: String,
    pub detail: Value,
}

/// What applications behind the role store are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub kind: &'static str,
    pub subject_kind: &'static str,
    pub subject_id: String,
    pub payload: Value,
}

pub async fn append(tx: &mut Tx, tenant: TenantId, occasion: &mut Occasion, entries: &[Entry]) -> Result<(), DbError> {
    append_rows(tx, occasion, &entries.iter().map(|entry| (tenant, entry)).collect::<Vec<_>>()).await
}

/// The same words for the auditor and for those who listen.
pub async fn tell(tx: &mut Tx, tenant: TenantId, occasion: &mut Occasion, entries: &[Entry]) -> Result<(), DbError> {
    append(tx, tenant, occasion, entries).await?;
    let event = |entry: &Entry| Event {
        kind: entry.action,
        subject_kind: entry.target_kind,
        subject_id: entry.target_id.clone(),
        payload: entry.detail.clone(),
    };
    publish(tx, tenant, occasion, &entries.iter().map(event).collect::<Vec<_>>()).await
}

/// The same entry in the log of every one of these tenants: what befell the installation.
pub async fn append_to_each(tx: &mut Tx, tenants: &[TenantId], occasion: &mut Occasion, entry: &Entry) -> Result<(), DbError> {
    append_rows(tx, occasion, &tenants.iter().map(|tenant| (*tenant, entry)).collect::<Vec<_>>()).await
}

async fn append_rows(tx: &mut Tx, occasion: &mut Occasion, rows: &[(TenantId, &Entry)]) -> Result<(), DbError> {
    let sql = "insert into audit (tenant, id, at_ms, actor_kind, actor_id, action, target_kind, target_id, correlation, detail)
        values {($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)}";
    for chunk in rows.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for (tenant, entry) in chunk {
            query = query
                .bind(tenant.to_string())
                .bind(occasion.ids.make::<kind::Event>().to_string())
                .bind(occasion.now.millis())
                .bind(occasion.actor.kind())
                .bind(occasion.actor.id())
                .bind(entry.action)
                .bind(entry.target_kind)
                .bind(entry.target_id.as_str())
                .bind(occasion.correlation.as_str())
                .bind(detail(occasion, entry));
        }
        query.later().await?;
    }
    Ok(())
}

/// The entry's detail as a document, with the id that the client gave its request.
fn detail(occasion: &Occasion, entry: &Entry) -> String {
    match (&occasion.client_request_id, &entry.detail) {
        (Some(id), Value::Object(members)) => {
            let mut members = members.clone();
            members.insert("client_request_id".to_owned(), id.as_str().into());
            column::to_document(&Value::Object(members))
        }
        (_, detail) => column::to_document(detail),
    }
}

pub async fn publish(tx: &mut Tx, tenant: TenantId, occasion: &mut Occasion, events: &[Event]) -> Result<(), DbError> {
    let sql = "insert into outbox (tenant, id, at_ms, kind, subject_kind, subject_id, payload) values {($1, $2, $3, $4, $5, $6, $7)}";
    for chunk in events.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for event in chunk {
            query = query
                .bind(tenant.to_string())
                .bind(occasion.ids.make::<kind::Event>().to_string())
                .bind(occasion.now.millis())
                .bind(event.kind)
                .bind(event.subject_kind)
                .bind(event.subject_id.as_str())
                .bind(column::to_document(&event.payload));
        }
        query.later().await?;
    }
    Ok(())
}

/// A row that has its number.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    pub number: i64,
    pub id: EventId,
    pub at: Timestamp,
    pub actor_kind: String,
    pub actor_id: Option<String>,
    pub action: String,
    pub target_kind: String,
    pub target_id: String,
    pub correlation: String,
    pub detail: Value,
    pub seal: String,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    number: i64,
    id: String,
    at_ms: i64,
    actor_kind: String,
    actor_id: Option<String>,
    action: String,
    target_kind: String,
    target_id: String,
    correlation: String,
    detail: String,
    seal: String,
}

impl Row {
    pub(super) fn read(self) -> Result<AuditRow, DbError> {
        Ok(AuditRow {
            number: self.number,
            id: column::id("an audit row's id", &self.id)?,
            at: Timestamp::from_millis(self.at_ms),
            actor_kind: self.actor_kind,
            actor_id: self.actor_id,
            action: self.action,
            target_kind: self.target_kind,
            target_id: self.target_id,
            correlation: self.correlation,
            detail: column::document("an audit row's detail", &self.detail)?,
            seal: self.seal,
        })
    }
}

/// Sealed rows whose number is higher than `after`, in order, at most `limit`.
pub async fn list_audit(source: impl Into<Target<'_>>, tenant: TenantId, after: i64, limit: i64) -> Result<Vec<AuditRow>, DbError> {
    let sql = "select number, id, at_ms, actor_kind, actor_id, action, target_kind, target_id, correlation, detail, seal
        from audit where tenant = $1 and number > $2 and seal is not null order by number limit $3";
    source.into().query(sql).bind(tenant.to_string()).bind(after).bind(limit).all().await?.into_iter().map(Row::read).collect()
}

/// An event that has its number; the feed and the webhooks read nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    pub number: i64,
    pub id: EventId,
    pub at: Timestamp,
    pub kind: String,
    pub subject_kind: String,
    pub subject_id: String,
    pub payload: Value,
}

#[derive(sqlx::FromRow)]
struct OutboxRow {
    number: i64,
    id: String,
    at_ms: i64,
    kind: String,
    subject_kind: String,
    subject_id: String,
    payload: String,
}

impl OutboxRow {
    fn read(self) -> Result<EventRow, DbError> {
        Ok(EventRow {
            number: self.number,
            id: column::id("an event's id", &self.id)?,
            at: Timestamp::from_millis(self.at_ms),
            kind: self.kind,
            subject_kind: self.subject_kind,
            subject_id: self.subject_id,
            payload: column::document("an event's payload", &self.payload)?,
        })
    }
}

/// Events whose number is higher than `after`, in order, at most `limit`.
pub async fn list_events(source: impl Into<Target<'_>>, tenant: TenantId, after: i64, limit: i64) -> Result<Vec<EventRow>, DbError> {
    let sql = "select number, id, at_ms, kind, subject_kind, subject_id, payload
        from outbox where tenant = $1 and number > $2 order by number limit $3";
    source.into().query(sql).bind(tenant.to_string()).bind(after).bind(limit).all().await?.into_iter().map(OutboxRow::read).collect()
}
