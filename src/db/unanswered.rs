//! Resources that a SCIM client does not know it made: the provisioning log has the request that made them with status 503.

use super::{
    engine::{Db, DbError},
    group::{GroupColumns, GroupRow},
    identity::{UserColumns, UserRow},
};
use crate::domain::{
    id::{ConnectionId, TenantId},
    name::fold,
    time::Timestamp,
};

/// How long before a resource is written its request can have begun.
const LONGEST_REQUEST_SECS: i64 = 120;
/// In the log, in the place of why a request failed.
const ANSWERED: &str = "The change was written. A later request for the same was answered with it.";

/// The live user with that userName that was made since then and not changed after that.
pub async fn find_new_user(
    db: &Db,
    tenant: TenantId,
    connection: ConnectionId,
    user_name: &str,
    since: Timestamp,
) -> Result<Option<UserRow>, DbError> {
    let sql = "select account, scim_document, scim_version, scim_created_at_ms, scim_changed_at_ms
        from identity where tenant = $1 and connection = $2 and scim_user_name_key = $3 and scim_state = 'live'
            and scim_created_at_ms >= $4 and scim_changed_at_ms = scim_created_at_ms";
    let query = db.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(fold(user_name)).bind(since.millis());
    query.optional::<UserColumns>().await?.map(UserRow::try_from).transpose()
}

/// The groups with that displayName that were made since then and not changed after that, at most ten.
pub async fn list_new_groups(
    db: &Db,
    tenant: TenantId,
    connection: ConnectionId,
    display_name: &str,
    since: Timestamp,
) -> Result<Vec<GroupRow>, DbError> {
    let sql = "select id, connection, external_id, display_name, pinned_value, pinned_display, version, created_at_ms, changed_at_ms
        from directory_group where tenant = $1 and connection = $2 and display_name_key = $3 and version = 1 and created_at_ms >= $4
        order by id limit 10";
    let query = db.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(fold(display_name)).bind(since.millis());
    query.all::<GroupColumns>().await?.into_iter().map(GroupRow::try_from).collect()
}

/// True if the POST that made the resource was answered 503, and no other request was answered with the resource since. The log says
/// from then on that one was. `kind` and `id` are as in the audit log.
pub async fn take(
    db: &Db,
    tenant: TenantId,
    connection: ConnectionId,
    (kind, id): (&str, String),
    made_at: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update provisioning_log set detail = $7
        where tenant = $1 and connection = $2 and id >= $3 and id < $4 and method = 'POST' and status = 503 and coalesce(detail, '') <> $7
            and correlation in (select correlation from audit where tenant = $1 and target_kind = $5 and target_id = $6)";
    let query = db.query(sql).bind(tenant.to_string()).bind(connection.to_string());
    let query = query.bind(first_id_at(made_at.plus_secs(-LONGEST_REQUEST_SECS))).bind(first_id_at(made_at.plus_secs(1)));
    Ok(query.bind(kind).bind(id).bind(ANSWERED).run().await? > 0)
}

/// Identifiers are UUIDv7, which begin with their time: no lower one was made at that time or later.
fn first_id_at(at: Timestamp) -> String {
    let ms = at.millis().max(0);
    format!("{:08x}-{:04x}", ms >> 16, ms & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{EventId, IdSource};

    #[test]
    fn the_first_identifier_of_a_time_lies_between_those_before_and_those_after() {
        let at = Timestamp::from_millis(1_772_500_000_000);
        let made = |at| IdSource::new(at, [7; 16]).make::<crate::domain::id::kind::Event>();
        let (before, then): (EventId, EventId) = (made(at.plus_secs(-1)), made(at));
        assert!(before.to_string() < first_id_at(at) && first_id_at(at) <= then.to_string());
    }
}
