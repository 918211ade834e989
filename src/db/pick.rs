//! SCIM resources by their ids, many at once.

use super::{
    Db, DbError,
    directory::Directory,
    group::{GroupColumns, GroupRow},
    identity::{UserColumns, UserRow},
};
use crate::domain::id::{AccountId, GroupId};

/// Those that are live, in no order.
pub async fn pick_users(db: &Db, directory: Directory, ids: &[AccountId]) -> Result<Vec<UserRow>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "select account, scim_document, scim_version, scim_created_at_ms, scim_changed_at_ms
        from identity where tenant = $1 and connection = $2 and scim_state = 'live' and account in ({$3})";
    let mut query = db.query_set(sql, ids.len()).bind(directory.tenant.to_string()).bind(directory.connection.to_string());
    for id in ids {
        query = query.bind(id.to_string());
    }
    query.all::<UserColumns>().await?.into_iter().map(UserRow::try_from).collect()
}

/// Those that are there, in no order.
pub async fn pick_groups(db: &Db, directory: Directory, ids: &[GroupId]) -> Result<Vec<GroupRow>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "select id, connection, external_id, display_name, pinned_value, pinned_display, version, created_at_ms, changed_at_ms
        from directory_group where tenant = $1 and connection = $2 and id in ({$3})";
    let mut query = db.query_set(sql, ids.len()).bind(directory.tenant.to_string()).bind(directory.connection.to_string());
    for id in ids {
        query = query.bind(id.to_string());
    }
    query.all::<GroupColumns>().await?.into_iter().map(GroupRow::try_from).collect()
}
