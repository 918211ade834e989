//! Lists of SCIM resources: pages in the order of their ids, and how many there are.

use std::fmt::Write as _;

use super::{
    Db, DbError,
    filter::Condition,
    group::{GroupColumns, GroupRow},
    identity::{UserColumns, UserRow},
};
use crate::domain::id::{AccountId, ConnectionId, GroupId, TenantId};

/// Whose directory is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directory {
    pub tenant: TenantId,
    pub connection: ConnectionId,
}

/// A part of a list in the order of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<Id> {
    /// Only what comes after it.
    pub after: Option<Id>,
    /// Passed over, by a walk along an index: for those who count from the beginning. Who goes on from a known id asks `after`.
    pub offset: i64,
    pub limit: i64,
}

const USERS: &str = "identity r where r.tenant = $1 and r.connection = $2 and r.scim_state = 'live'";
const GROUPS: &str = "directory_group r where r.tenant = $1 and r.connection = $2";

pub async fn list_users(db: &Db, directory: Directory, condition: &Condition, span: Span<AccountId>) -> Result<Vec<UserRow>, DbError> {
    let columns = "r.account, r.scim_document, r.scim_version, r.scim_created_at_ms, r.scim_changed_at_ms";
    let after = span.after.map(|id| id.to_string());
    let rows: Vec<UserColumns> = page(db, directory, condition, [columns, USERS, "r.account"], after, span.offset, span.limit).await?;
    rows.into_iter().map(UserRow::try_from).collect()
}

pub async fn list_groups(db: &Db, directory: Directory, condition: &Condition, span: Span<GroupId>) -> Result<Vec<GroupRow>, DbError> {
    let columns = "r.id, r.connection, r.external_id, r.display_name, r.pinned_value, r.pinned_display, r.version, r.created_at_ms,
        r.changed_at_ms";
    let after = span.after.map(|id| id.to_string());
    let rows: Vec<GroupColumns> = page(db, directory, condition, [columns, GROUPS, "r.id"], after, span.offset, span.limit).await?;
    rows.into_iter().map(GroupRow::try_from).collect()
}

async fn page<R: super::engine::Record>(
    db: &Db,
    directory: Directory,
    condition: &Condition,
    [columns, from, id]: [&str; 3],
    after: Option<String>,
    offset: i64,
    limit: i64,
) -> Result<Vec<R>, DbError> {
    let (condition_sql, mut next) = condition.sql(3);
    let mut sql = format!("select {columns} from {from} and {condition_sql}");
    let mut placeholder = |text: &str| {
        write!(sql, "{text} ${next}").expect("writing to a text does not fail");
        next += 1;
    };
    if after.is_some() {
        placeholder(&format!(" and {id} >"));
    }
    placeholder(&format!(" order by {id} limit"));
    placeholder(" offset");
    let mut query = condition.bind(db.query_built(sql).bind(directory.tenant.to_string()).bind(directory.connection.to_string()));
    if let Some(after) = after {
        query = query.bind(after);
    }
    query.bind(limit).bind(offset).all().await
}

/// Counted one by one: for filters. The number of all is kept by a counter.
pub async fn count_users(db: &Db, directory: Directory, condition: &Condition) -> Result<i64, DbError> {
    count(db, directory, condition, USERS).await
}

/// As [`count_users`].
pub async fn count_groups(db: &Db, directory: Directory, condition: &Condition) -> Result<i64, DbError> {
    count(db, directory, condition, GROUPS).await
}

async fn count(db: &Db, directory: Directory, condition: &Condition, from: &str) -> Result<i64, DbError> {
    let sql = format!("select count(*) from {from} and {}", condition.sql(3).0);
    let query = db.query_built(sql).bind(directory.tenant.to_string()).bind(directory.connection.to_string());
    let row: Option<(i64,)> = condition.bind(query).optional().await?;
    Ok(row.map_or(0, |(count,)| count))
}
