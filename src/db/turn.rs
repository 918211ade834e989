//! Who looks for a person by a name and then makes or renames one, one after the other for each name: what both protocols find somebody
//! by is under no unique index, because two connections, and a connection whose settings change, may know a name twice.

use std::collections::BTreeSet;

use super::engine::{DbError, SET_LIMIT, Tx};
use crate::domain::id::{ConnectionId, TenantId};

/// Names share so many turns, so that none of them has to be kept.
const SLOTS: u64 = 4096;

/// Waits until nobody else is busy with one of these names, and keeps others waiting until the commit. What is read after it has seen
/// what those before did.
pub async fn take(tx: &mut Tx, tenant: TenantId, connection: ConnectionId, names: &[String]) -> Result<(), DbError> {
    if tx.is_alone() {
        return Ok(());
    }
    let slots: BTreeSet<i64> = names.iter().map(|name| slot(name)).collect();
    let slots: Vec<i64> = slots.into_iter().collect();
    let sql = "insert into turn (tenant, connection, slot) values {($1, $2, $3)}
        on conflict (tenant, connection, slot) do update set slot = excluded.slot";
    for chunk in slots.chunks(SET_LIMIT) {
        let query = tx.query_set(sql, chunk.len());
        let bound = chunk.iter().fold(query, |query, slot| query.bind(tenant.to_string()).bind(connection.to_string()).bind(*slot));
        bound.run().await?;
    }
    Ok(())
}

/// FNV-1a: the same on every node and in every release.
fn slot(name: &str) -> i64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash % SLOTS).cast_signed()
}
