//! Lists of SCIM resources: pages in the order of their ids, and how many there are.

use super::{
    Db, DbError,
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
    /// Passed over, by a walk along an index: for those who count from the beginning. Who goes on from a known id asks `after`.
    pub offset: i64,
    pub limit: i64,
}

/// What is read, of whom, and by which column it is ordered.
struct Source {
    columns: &'static str,
    from: &'static str,
    id: &'static str,
}

const USERS: Source = Source {
    columns: "r.account, r.scim_document, r.scim_version, r.scim_created_at_ms, r.scim_changed_at_ms",
    from: "identity r where r.tenant = $1 and r.connection = $2 and r.scim_state = 'live'",
    id: "r.account",
};

const GROUPS: Source = Source {
    columns: "r.id, r.connection, r.external_id, r.display_name, r.pinned_value, r.pinned_display, r.version, r.created_at_ms,
        r.changed_at_ms",
    from: "directory_group r where r.tenant = $1 and r.connection = $2",
    id: "r.id",
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
    let sql = page_sql(condition, resources, span.after.is_some(), span.offset > 0);
    let mut query = condition.bind(db.query_built(sql).bind(directory.tenant.to_string()).bind(directory.connection.to_string()));
    if let Some(after) = span.after {
        query = query.bind(after.to_string());
    }
    let query = query.bind(span.limit);
    if span.offset > 0 { query.bind(span.offset).all().await } else { query.all().await }
}

/// The statement behind a page. Its values: tenant, connection, those of the condition, the id to go on from, limit, offset.
///
/// What is passed over is passed in an index alone: rows are read for the page only.
#[must_use]
pub fn page_sql(condition: &Condition, resources: Resources, after: bool, offset: bool) -> String {
    let Source { columns, from, id } = source(resources);
    let (condition, next) = condition.sql(3);
    let (after, next) = if after { (format!(" and {id} > ${next}"), next + 1) } else { (String::new(), next) };
    let span = format!("from {from} and {condition}{after} order by {id} limit ${next}");
    if !offset {
        return format!("select {columns} {span}");
    }
    format!("select {columns} from {from} and {id} in (select {id} {span} offset ${}) order by {id}", next + 1)
}

/// Counted one by one: for filters. The number of all is kept by a counter.
pub async fn count(db: &Db, directory: Directory, condition: &Condition, resources: Resources) -> Result<i64, DbError> {
    let sql = format!("select count(*) from {} and {}", source(resources).from, condition.sql(3).0);
    let query = db.query_built(sql).bind(directory.tenant.to_string()).bind(directory.connection.to_string());
    let row: Option<(i64,)> = condition.bind(query).optional().await?;
    Ok(row.map_or(0, |(count,)| count))
}
