//! A collection of resources: pages of it, found by the database as far as its columns go, and the rest by a look at the documents.

use serde_json::Value;

use super::respond::Rendered;
use crate::{
    db::{
        DbError, counter,
        directory::{Directory, Span, count_groups, count_users, list_groups, list_users},
        filter::{Condition, Resources},
        group::{GroupRow, MemberRow, direct_groups, list_members},
        identity::UserRow,
    },
    domain::id::{AccountId, GroupId},
    http::{caller::ScimCaller, error::ScimFailure},
    provision,
    scim::{
        filter::Filter,
        group::{Group, Member},
        list::{ListQuery, list_response},
        project::Projection,
        resource::{Envelope, User, UserGroup},
        schema::{Schema, Schemas},
    },
};

/// The two collections; they differ in their rows and in how these are shown.
pub trait Collection: Sync {
    type Row: Send + Sync;
    type Id: Copy + Send;

    const RESOURCES: Resources;
    /// Attributes that are not in the row and cost a query more.
    const APART: &'static str;
    /// How many documents are looked at a time when the database cannot decide.
    fn scan_page(&self, filter: &Filter) -> i64;

    fn schema(&self) -> &'static Schema;
    fn id(&self, row: &Self::Row) -> Self::Id;
    fn version(&self, row: &Self::Row) -> i64;
    fn location(&self, row: &Self::Row) -> String;
    fn page(&self, condition: &Condition, span: Span<Self::Id>) -> impl Future<Output = Result<Vec<Self::Row>, DbError>> + Send;
    fn count(&self, condition: &Condition) -> impl Future<Output = Result<i64, DbError>> + Send;
    /// The number of all, from a counter.
    fn total(&self) -> impl Future<Output = Result<i64, DbError>> + Send;
    /// The rows as documents; `apart` says whether [`Self::APART`] is needed.
    fn show(&self, rows: &[Self::Row], apart: bool, projection: &Projection) -> impl Future<Output = Result<Vec<Value>, DbError>> + Send;
}

pub async fn render_one<C: Collection>(collection: &C, row: C::Row, projection: &Projection) -> Result<Rendered, ScimFailure> {
    let shown = collection.show(std::slice::from_ref(&row), projection.wants(C::APART), projection).await?;
    let body = shown.into_iter().next().unwrap_or_default();
    Ok(Rendered { body, version: collection.version(&row), location: collection.location(&row) })
}

/// RFC 7644 section 3.4.2. Without a filter and for filters over columns the database pages and counts; other filters walk the rows
/// that may match, page by page, and keep those that are asked for.
pub async fn list_collection<C: Collection>(collection: &C, query: &ListQuery) -> Result<Value, ScimFailure> {
    let condition = query.filter.as_ref().map_or_else(Condition::all, |filter| Condition::of(filter, C::RESOURCES));
    let (total, rows) = match &query.filter {
        _ if condition.is_none() => (0, Vec::new()),
        Some(filter) if !condition.is_exact() => scan(collection, &condition, filter, query).await?,
        _ => look_up(collection, &condition, query).await?,
    };
    let shown = collection.show(&rows, query.projection.wants(C::APART), &query.projection).await?;
    Ok(list_response(total, query.start_index, shown))
}

async fn look_up<C: Collection>(collection: &C, condition: &Condition, query: &ListQuery) -> Result<(usize, Vec<C::Row>), DbError> {
    let (offset, limit) = (number(query.start_index - 1), number(query.count));
    let span = Span { after: None, offset, limit };
    let rows = if limit == 0 { Vec::new() } else { collection.page(condition, span).await? };
    let read = number(rows.len());
    let total = if condition.is_all() {
        collection.total().await?
    } else if read < limit && (read > 0 || offset == 0) {
        // The page has the end of the list: nothing needs counting.
        offset + read
    } else {
        collection.count(condition).await?
    };
    // A counter may have been read before a commit that the page has seen.
    Ok((usize::try_from(total.max(if read > 0 { offset + read } else { 0 })).unwrap_or(0), rows))
}

async fn scan<C: Collection>(
    collection: &C,
    condition: &Condition,
    filter: &Filter,
    query: &ListQuery,
) -> Result<(usize, Vec<C::Row>), DbError> {
    let apart = filter.attributes().any(|path| path.name.eq_ignore_ascii_case(C::APART));
    let limit = collection.scan_page(filter);
    let (mut matches, mut kept) = (0, Vec::new());
    let mut after = None;
    loop {
        let rows = collection.page(condition, Span { after, offset: 0, limit }).await?;
        let Some(last) = rows.last() else { break };
        after = Some(collection.id(last));
        let is_last = number(rows.len()) < limit;
        let documents = collection.show(&rows, apart, &Projection::default()).await?;
        for (row, document) in rows.into_iter().zip(documents) {
            if !document.as_object().is_some_and(|document| filter.matches(document, collection.schema())) {
                continue;
            }
            matches += 1;
            if matches >= query.start_index && kept.len() < query.count {
                kept.push(row);
            }
        }
        if is_last {
            break;
        }
    }
    Ok((matches, kept))
}

fn number(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

pub struct Users<'a>(pub &'a ScimCaller);

impl Collection for Users<'_> {
    type Row = UserRow;
    type Id = AccountId;

    const RESOURCES: Resources = Resources::Users;
    const APART: &'static str = "groups";

    fn scan_page(&self, _: &Filter) -> i64 {
        500
    }

    fn schema(&self) -> &'static Schema {
        &Schemas::standard().user
    }

    fn id(&self, row: &UserRow) -> AccountId {
        row.id
    }

    fn version(&self, row: &UserRow) -> i64 {
        row.scim.version
    }

    fn location(&self, row: &UserRow) -> String {
        format!("{}/Users/{}", self.0.base, row.id)
    }

    async fn page(&self, condition: &Condition, span: Span<AccountId>) -> Result<Vec<UserRow>, DbError> {
        list_users(&self.0.app.db, directory(self.0), condition, span).await
    }

    async fn count(&self, condition: &Condition) -> Result<i64, DbError> {
        count_users(&self.0.app.db, directory(self.0), condition).await
    }

    async fn total(&self) -> Result<i64, DbError> {
        counter::total(&self.0.app.db, self.0.tenant, self.0.connection, provision::user::USERS).await
    }

    async fn show(&self, rows: &[UserRow], apart: bool, projection: &Projection) -> Result<Vec<Value>, DbError> {
        let ids: Vec<AccountId> = rows.iter().map(|row| row.id).collect();
        let mut groups = if apart && !ids.is_empty() {
            direct_groups(&self.0.app.db, self.0.tenant, self.0.connection, &ids).await?
        } else {
            std::collections::BTreeMap::new()
        };
        let shown = rows.iter().map(|row| {
            let groups: Vec<UserGroup> = groups
                .remove(&row.id)
                .unwrap_or_default()
                .into_iter()
                .map(|group| UserGroup { id: group.id.to_string(), display: Some(group.display_name), direct: true })
                .collect();
            let (id, location) = (row.id.to_string(), self.location(row));
            let envelope = Envelope {
                id: &id,
                created: row.scim.created_at,
                modified: row.scim.changed_at,
                version: u64::try_from(row.scim.version).unwrap_or(0),
                location: &location,
                groups: Some(&groups),
            };
            User { attributes: row.scim.document.clone() }.render(&envelope, projection)
        });
        Ok(shown.collect())
    }
}

pub struct Groups<'a>(pub &'a ScimCaller);

impl Collection for Groups<'_> {
    type Row = GroupRow;
    type Id = GroupId;

    const RESOURCES: Resources = Resources::Groups;
    const APART: &'static str = "members";

    /// A group may have very many members: few of them are held at a time when the filter looks at them.
    fn scan_page(&self, filter: &Filter) -> i64 {
        if filter.attributes().any(|path| path.name.eq_ignore_ascii_case(Self::APART)) { 10 } else { 500 }
    }

    fn schema(&self) -> &'static Schema {
        &Schemas::standard().group
    }

    fn id(&self, row: &GroupRow) -> GroupId {
        row.id
    }

    fn version(&self, row: &GroupRow) -> i64 {
        row.version
    }

    fn location(&self, row: &GroupRow) -> String {
        format!("{}/Groups/{}", self.0.base, row.id)
    }

    async fn page(&self, condition: &Condition, span: Span<GroupId>) -> Result<Vec<GroupRow>, DbError> {
        list_groups(&self.0.app.db, directory(self.0), condition, span).await
    }

    async fn count(&self, condition: &Condition) -> Result<i64, DbError> {
        count_groups(&self.0.app.db, directory(self.0), condition).await
    }

    async fn total(&self) -> Result<i64, DbError> {
        counter::total(&self.0.app.db, self.0.tenant, self.0.connection, provision::group::GROUPS).await
    }

    async fn show(&self, rows: &[GroupRow], apart: bool, projection: &Projection) -> Result<Vec<Value>, DbError> {
        let ids: Vec<GroupId> = rows.iter().map(|row| row.id).collect();
        let mut members = if apart && !ids.is_empty() {
            list_members(&self.0.app.db, self.0.tenant, &ids).await?
        } else {
            std::collections::BTreeMap::new()
        };
        let shown = rows.iter().map(|row| {
            let members: Vec<Member> = members.remove(&row.id).unwrap_or_default().into_iter().map(member).collect();
            let (id, location) = (row.id.to_string(), self.location(row));
            let envelope = Envelope {
                id: &id,
                created: row.created_at,
                modified: row.changed_at,
                version: u64::try_from(row.version).unwrap_or(0),
                location: &location,
                groups: None,
            };
            Group::render(&row.display_name, row.external_id.as_deref(), Some(&members), &envelope, projection)
        });
        Ok(shown.collect())
    }
}

fn directory(caller: &ScimCaller) -> Directory {
    Directory { tenant: caller.tenant, connection: caller.connection }
}

fn member(row: MemberRow) -> Member {
    Member { value: row.member, kind: Some(row.kind), display: row.display }
}
