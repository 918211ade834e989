//! Where archived and pruned audit rows ended. Whoever has not the key of the chain cannot write one.

use super::{
    engine::{DbError, Target, Tx},
    seal::{ChainKey, Head},
};
use crate::domain::{id::TenantId, time::Timestamp};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The last row that was pruned.
    pub head: Head,
    /// Whether it was written with the key.
    pub genuine: bool,
}

fn tag(key: &ChainKey, tenant: TenantId, head: &Head) -> String {
    key.tag(&["rolegate audit anchor 1", &tenant.to_string(), &head.number.to_string(), &head.seal])
}

/// `None` while nothing was pruned.
pub async fn find_anchor(source: impl Into<Target<'_>>, tenant: TenantId, key: &ChainKey) -> Result<Option<Anchor>, DbError> {
    let sql = "select number, seal, tag from audit_anchor where tenant = $1";
    let row: Option<(i64, String, String)> = source.into().query(sql).bind(tenant.to_string()).optional().await?;
    Ok(row.map(|(number, seal, written)| {
        let head = Head { number, seal };
        Anchor { genuine: written == tag(key, tenant, &head), head }
    }))
}

/// Removes the rows up to `head`; how many they were. An anchor only moves on.
pub async fn prune(tx: &mut Tx, tenant: TenantId, key: &ChainKey, head: &Head, now: Timestamp) -> Result<u64, DbError> {
    let sql = "insert into audit_anchor (tenant, number, seal, tag, pruned_at_ms) values ($1, $2, $3, $4, $5)
        on conflict (tenant) do update
        set number = excluded.number, seal = excluded.seal, tag = excluded.tag, pruned_at_ms = excluded.pruned_at_ms
        where audit_anchor.number < excluded.number";
    let query = tx.query(sql).bind(tenant.to_string()).bind(head.number).bind(head.seal.clone());
    if query.bind(tag(key, tenant, head)).bind(now.millis()).run().await? == 0 {
        return Ok(0);
    }
    let sql = "delete from audit where tenant = $1 and number <= $2";
    tx.query(sql).bind(tenant.to_string()).bind(head.number).run().await
}
