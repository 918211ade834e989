//! What somebody should look at: a retained last owner, a renamed group, a subject that points elsewhere.

use serde_json::Value;

use super::{
    column,
    engine::{DbError, Target, Tx},
};
use crate::domain::{
    actor::Occasion,
    id::{AccountId, ConnectionId, EventId, TenantId, kind},
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    pub id: EventId,
    pub at: Timestamp,
    pub kind: String,
    pub connection: Option<ConnectionId>,
    pub account: Option<AccountId>,
    pub detail: Value,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    at_ms: i64,
    kind: String,
    connection: Option<String>,
    account: Option<String>,
    detail: String,
}

impl Row {
    fn read(self) -> Result<Attention, DbError> {
        Ok(Attention {
            id: column::id("an attention's id", &self.id)?,
            at: Timestamp::from_millis(self.at_ms),
            kind: self.kind,
            connection: column::optional_id("an attention's connection", self.connection.as_deref())?,
            account: column::optional_id("an attention's account", self.account.as_deref())?,
            detail: column::document("an attention's detail", &self.detail)?,
        })
    }
}

/// Nothing while the same is open already: what happens at every request is told once.
pub async fn raise(
    tx: &mut Tx,
    tenant: TenantId,
    occasion: &mut Occasion,
    kind: &'static str,
    connection: Option<ConnectionId>,
    account: Option<AccountId>,
    detail: &Value,
) -> Result<(), DbError> {
    let sql = "insert into attention (tenant, id, at_ms, kind, connection, account, detail)
        select $1, $2, $3, $4, $5, $6, $7
        where not exists (select 1 from attention
            where tenant = $1 and kind = $4 and connection is not distinct from $5 and account is not distinct from $6 and detail = $7
                and resolved_at_ms is null)";
    tx.query(sql)
        .bind(tenant.to_string())
        .bind(occasion.ids.make::<kind::Event>().to_string())
        .bind(occasion.now.millis())
        .bind(kind)
        .bind(connection.map(|connection| connection.to_string()))
        .bind(account.map(|account| account.to_string()))
        .bind(column::to_document(detail))
        .run()
        .await?;
    Ok(())
}

/// Those that nobody resolved, behind `after`, the oldest first.
pub async fn list_open(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    after: Option<EventId>,
    limit: i64,
) -> Result<Vec<Attention>, DbError> {
    let sql = "select id, at_ms, kind, connection, account, detail
        from attention where tenant = $1 and resolved_at_ms is null and id > $2 order by id limit $3";
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(after.map_or_else(String::new, |id| id.to_string())).bind(limit);
    query.all().await?.into_iter().map(Row::read).collect()
}

/// False when it is not there, or resolved already.
pub async fn resolve(tx: &mut Tx, tenant: TenantId, id: EventId, now: Timestamp) -> Result<bool, DbError> {
    let sql = "update attention set resolved_at_ms = $3 where tenant = $1 and id = $2 and resolved_at_ms is null";
    Ok(tx.query(sql).bind(tenant.to_string()).bind(id.to_string()).bind(now.millis()).run().await? == 1)
}

/// Resolves whatever is open of one kind at one connection; how many it were.
pub async fn resolve_kind(
    tx: &mut Tx,
    tenant: TenantId,
    kind: &'static str,
    connection: ConnectionId,
    now: Timestamp,
) -> Result<u64, DbError> {
    let sql = "update attention set resolved_at_ms = $4 where tenant = $1 and kind = $2 and connection = $3 and resolved_at_ms is null";
    tx.query(sql).bind(tenant.to_string()).bind(kind).bind(connection.to_string()).bind(now.millis()).run().await
}
