//! When a connection last spoke SCIM, and whether its silence was noticed.

use super::{
    column,
    engine::{Db, DbError, SET_LIMIT, Tx},
};
use crate::domain::{
    connection::ScimSettings,
    id::{ConnectionId, TenantId},
    time::Timestamp,
};

/// A connection that has spoken at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    pub scim: ScimSettings,
    pub last_request_at: Timestamp,
}

/// Times that are older than the known ones change nothing; a connection that speaks again is silent no more.
pub async fn note_activity(tx: &mut Tx, spoke: &[(TenantId, ConnectionId, Timestamp)]) -> Result<(), DbError> {
    let sql = "with spoke (tenant, connection, at_ms) as (values {($1, $2, cast($3 as bigint))})
        insert into connection_activity (tenant, connection, last_request_at_ms)
        select spoke.tenant, spoke.connection, spoke.at_ms
        from spoke
        join connection on connection.tenant = spoke.tenant and connection.id = spoke.connection
        where true
        on conflict (tenant, connection) do update
        set last_request_at_ms = excluded.last_request_at_ms, silence_alarmed_at_ms = null
        where connection_activity.last_request_at_ms <= excluded.last_request_at_ms - 60000
            or (connection_activity.silence_alarmed_at_ms is not null
                and connection_activity.silence_alarmed_at_ms <= excluded.last_request_at_ms)";
    for chunk in spoke.chunks(SET_LIMIT) {
        let mut query = tx.query_set(sql, chunk.len());
        for (tenant, connection, at) in chunk {
            query = query.bind(tenant.to_string()).bind(connection.to_string()).bind(at.millis());
        }
        query.run().await?;
    }
    Ok(())
}

/// Enabled connections that have not spoken since `since` and were not reported, at most a thousand, behind `after` in the order of
/// tenant and id. How long each may be silent stands in its settings: whoever asks looks at them.
pub async fn list_quiet(db: &Db, since: Timestamp, after: Option<(TenantId, ConnectionId)>) -> Result<Vec<Activity>, DbError> {
    let sql = "select activity.tenant, activity.connection, connection.scim, activity.last_request_at_ms
        from connection_activity activity
        join connection on connection.tenant = activity.tenant and connection.id = activity.connection
        where connection.enabled and activity.silence_alarmed_at_ms is null and activity.last_request_at_ms <= $1
            and (activity.tenant > $2 or (activity.tenant = $2 and activity.connection > $3))
        order by activity.tenant, activity.connection limit 1000";
    let (tenant, connection) = after.map_or_else(Default::default, |(tenant, connection)| (tenant.to_string(), connection.to_string()));
    let rows: Vec<(String, String, String, i64)> = db.query(sql).bind(since.millis()).bind(tenant).bind(connection).all().await?;
    let read = |(tenant, connection, scim, last_ms): (String, String, String, i64)| {
        Ok(Activity {
            tenant: column::id("an activity's tenant", &tenant)?,
            connection: column::id("an activity's connection", &connection)?,
            scim: column::document("a connection's SCIM settings", &scim)?,
            last_request_at: Timestamp::from_millis(last_ms),
        })
    };
    rows.into_iter().map(read).collect()
}

/// False when another node reported it, or when it has spoken since.
pub async fn report_silence(tx: &mut Tx, activity: &Activity, now: Timestamp) -> Result<bool, DbError> {
    let sql = "update connection_activity set silence_alarmed_at_ms = $4
        where tenant = $1 and connection = $2 and last_request_at_ms = $3 and silence_alarmed_at_ms is null";
    let query = tx.query(sql).bind(activity.tenant.to_string()).bind(activity.connection.to_string());
    Ok(query.bind(activity.last_request_at.millis()).bind(now.millis()).run().await? == 1)
}
