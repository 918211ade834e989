//! Lists of SCIM resources: pages in the order of their ids, and how many there are.

use super::{
    Db, DbError, column,
    counter::{GROUPS as GROUPS_COUNTER, TOTAL, USERS as USERS_COUNTER},
    engine::Record,
    filter::{Condition, Resources},
    group::{GroupColumns, GroupRow},
    identity::{UserColumns, UserRow},
};
use crate::domain::id::{AccountId, ConnectionId, GroupId, Id, TenantId};

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
    pub limit: i64,
}

/// A part of a list by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Passed over.
    pub offset: i64,
    pub limit: i64,
}

/// What is read, of whom, by which column it is ordered, and which counter tells how many there are.
struct Source {
    columns: &'static str,
    from: &'static str,
    id: &'static str,
    counter: &'static str,
}

const USERS: Source = Source {
    columns: "r.account, r.scim_document, r.scim_version, r.scim_created_at_ms, r.scim_changed_at_ms",
    from: "identity r where r.tenant = $1 and r.connection = $2 and r.scim_state = 'live'",
    id: "r.account",
    counter: USERS_COUNTER,
};

const GROUPS: Source = Source {
    columns: "r.id, r.connection, r.external_id, r.display_name, r.pinned_value, r.pinned_display, r.version, r.created_at_ms,
        r.changed_at_ms",
    from: "directory_group r where r.tenant = $1 and r.connection = $2",
    id: "r.id",
    counter: GROUPS_COUNTER,
};

fn source(resources: Resources) -> &'static Source {
    match resources {
        Resources::Users => &USERS,
        Resources::Groups => &GROUPS,
        Resources::Accounts => unreachable!("accounts are in no connection's directory: `people` lists them"),
    }
}

pub async fn list_users(db: &Db, directory: Directory, condition: &Condition, span: Span<AccountId>) -> Result<Vec<UserRow>, DbError> {
    let rows: Vec<UserColumns> = page(db, directory, condition, Resources::Users, span).await?;
    rows.into_iter().map(UserRow::try_from).collect()
}

pub async fn list_groups(db: &Db, directory: Directory, condition: &Condition, span: Span<GroupId>) -> Result<Vec<GroupRow>, DbError> {
    let rows: Vec<GroupColumns> = page(db, directory, condition, Resources::Groups, span).await?;
    rows.into_iter().map(GroupRow::try_from).collect()
}

async fn page<R: Record, Kind>(
    db: &Db,
    directory: Directory,
    condition: &Condition,
    resources: Resources,
    span: Span<Id<Kind>>,
) -> Result<Vec<R>, DbError> {
    let sql = page_sql(condition, resources, span.after.is_some());
    let mut query = condition.bind(db.query_built(sql).bind(directory.tenant.to_string()).bind(directory.connection.to_string()));
    if let Some(after) = span.after {
        query = query.bind(after.to_string());
    }
    query.bind(span.limit).all().await
}

/// The statement behind a page. Its values: tenant, connection, those of the condition, the id to go on from, limit.
#[must_use]
pub fn page_sql(condition: &Condition, resources: Resources, after: bool) -> String {
    let Source { columns, from, id, .. } = source(resources);
    let (condition, next) = condition.sql(3);
    let (after, next) = if after { (format!(" and {id} > ${next}"), next + 1) } else { (String::new(), next) };
    format!("select {columns} from {from} and {condition}{after} order by {id} limit ${next}")
}

/// The ids at these places of the list, for those who count from its beginning: a walk along an index that reads no row, as long as what
/// is passed over.
pub async fn list_ids<Kind>(
    db: &Db,
    directory: Directory,
    condition: &Condition,
    resources: Resources,
    places: Places,
) -> Result<Vec<Id<Kind>>, DbError> {
    let sql = ids_sql(condition, resources);
    let query = condition.bind(db.query_built(sql).bind(directory.tenant.to_string()).bind(directory.connection.to_string()));
    read_ids(query.bind(places.limit).bind(places.offset).all().await?)
}

/// As [`list_ids`] of the whole directory, walked from the end of the list: as long as what comes behind the places. `None` when there
/// are not `total` any more, as the same statement tells: counted from the end, a page would begin at another place.
pub async fn list_ids_from_end<Kind>(
    db: &Db,
    directory: Directory,
    resources: Resources,
    total: i64,
    places: Places,
) -> Result<Option<Vec<Id<Kind>>>, DbError> {
    let limit = places.limit.min(total - places.offset);
    if limit <= 0 {
        return Ok(Some(Vec::new()));
    }
    let query = db.query_built(ids_from_end_sql(resources)).bind(directory.tenant.to_string()).bind(directory.connection.to_string());
    let query = query.bind(source(resources).counter).bind(limit).bind(total - places.offset - limit);
    let mut rows: Vec<(String, i64)> = query.all().await?;
    if rows.first().is_none_or(|(_, counted)| *counted != total) {
        return Ok(None);
    }
    rows.reverse();
    read_ids(rows.into_iter().map(|(id, _)| (id,)).collect()).map(Some)
}

fn read_ids<Kind>(rows: Vec<(String,)>) -> Result<Vec<Id<Kind>>, DbError> {
    rows.into_iter().map(|(id,)| column::id("the id of a resource", &id)).collect()
}

/// Its values: tenant, connection, those of the condition, limit, offset.
#[must_use]
pub fn ids_sql(condition: &Condition, resources: Resources) -> String {
    let Source { from, id, .. } = source(resources);
    let (condition, next) = condition.sql(3);
    format!("select {id} from {from} and {condition} order by {id} limit ${next} offset ${}", next + 1)
}

/// Its values: tenant, connection, the counter's name, limit, offset from the end.
#[must_use]
pub fn ids_from_end_sql(resources: Resources) -> String {
    let Source { from, id, .. } = source(resources);
    format!("select {id}, ({TOTAL}) as counted from {from} order by {id} desc limit $4 offset $5")
}

/// Counted one by one: for filters. The number of all is kept by a counter.
pub async fn count(db: &Db, directory: Directory, condition: &Condition, resources: Resources) -> Result<i64, DbError> {
    let sql = format!("select count(*) from {} and {}", source(resources).from, condition.sql(3).0);
    let query = db.query_built(sql).bind(directory.tenant.to_string()).bind(directory.connection.to_string());
    let row: Option<(i64,)> = condition.bind(query).optional().await?;
    Ok(row.map_or(0, |(count,)| count))
}
