//! The two collections of resources that clients change: how their rows are read and shown.

use serde_json::Value;

use super::respond::Rendered;
use crate::{
    db::{
        DbError, counter,
        directory::{Directory, Places, Span, count, list_groups, list_ids, list_ids_from_end, list_users},
        filter::{Condition, Resources},
        group::{GroupRow, MemberRow, direct_groups, list_members},
        identity::UserRow,
        pick::{pick_groups, pick_users},
    },
    domain::id::{AccountId, GroupId},
    http::{caller::ScimCaller, error::ScimFailure},
    scim::{
        group::{Group, Member},
        project::Projection,
        resource::{Envelope, User, UserGroup},
        schema::Schema,
    },
};

/// The two collections; they differ in their rows and in how these are shown.
pub trait Collection: Sync {
    type Row: Send + Sync;
    type Id: Copy + Send + Sync + std::fmt::Display;

    const RESOURCES: Resources;
    /// Attributes that are not in the row and cost a query more.
    const APART: &'static str;
    /// How many documents are looked at a time when the database cannot decide.
    fn scan_page(&self, apart: bool) -> i64;

    /// As addresses have it.
    fn name(&self) -> &'static str;
    fn schema(&self) -> &Schema;
    fn id(&self, row: &Self::Row) -> Self::Id;
    fn version(&self, row: &Self::Row) -> i64;
    fn location(&self, row: &Self::Row) -> String;
    fn page(&self, condition: &Condition, span: Span<Self::Id>) -> impl Future<Output = Result<Vec<Self::Row>, DbError>> + Send;
    /// Which are at these places of the list.
    fn ids(&self, condition: &Condition, places: Places) -> impl Future<Output = Result<Vec<Self::Id>, DbError>> + Send;
    /// The same of the whole collection, sought from its end; `None` when there are not `total` any more.
    fn ids_from_end(&self, total: i64, places: Places) -> impl Future<Output = Result<Option<Vec<Self::Id>>, DbError>> + Send;
    fn count(&self, condition: &Condition) -> impl Future<Output = Result<i64, DbError>> + Send;
    /// Those of these ids that are there, in no order; no more than a page.
    fn picked(&self, ids: &[Self::Id]) -> impl Future<Output = Result<Vec<Self::Row>, DbError>> + Send;
    fn parse_id(&self, text: &str) -> Option<Self::Id>;
    /// The number of all, from a counter.
    fn total(&self) -> impl Future<Output = Result<i64, DbError>> + Send;
    /// The rows as documents; `apart` says whether [`Self::APART`] is needed.
    fn show(&self, rows: &[Self::Row], apart: bool, projection: &Projection) -> impl Future<Output = Result<Vec<Value>, DbError>> + Send;
}

pub async fn render_one<C: Collection>(collection: &C, row: C::Row, projection: &Projection) -> Result<Rendered, ScimFailure> {
    render(collection, row, projection.wants(C::APART), projection).await
}

/// As [`render_one`], of a row that was made in this request: there can be nothing yet of what is not in it.
pub async fn render_new<C: Collection>(collection: &C, row: C::Row, projection: &Projection) -> Result<Rendered, ScimFailure> {
    render(collection, row, false, projection).await
}

async fn render<C: Collection>(collection: &C, row: C::Row, apart: bool, projection: &Projection) -> Result<Rendered, ScimFailure> {
    let shown = collection.show(std::slice::from_ref(&row), apart, projection).await?;
    let body = shown.into_iter().next().unwrap_or_default();
    Ok(Rendered { body, version: collection.version(&row), location: collection.location(&row) })
}

pub struct Users<'a>(pub &'a ScimCaller);

impl Collection for Users<'_> {
    type Row = UserRow;
    type Id = AccountId;

    const RESOURCES: Resources = Resources::Users;
    const APART: &'static str = "groups";

    fn scan_page(&self, _: bool) -> i64 {
        500
    }

    fn name(&self) -> &'static str {
        "Users"
    }

    fn schema(&self) -> &Schema {
        &self.0.schemas.user
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

    async fn ids(&self, condition: &Condition, places: Places) -> Result<Vec<AccountId>, DbError> {
        list_ids(&self.0.app.db, directory(self.0), condition, Self::RESOURCES, places).await
    }

    async fn ids_from_end(&self, total: i64, places: Places) -> Result<Option<Vec<AccountId>>, DbError> {
        list_ids_from_end(&self.0.app.db, directory(self.0), Self::RESOURCES, total, places).await
    }

    async fn count(&self, condition: &Condition) -> Result<i64, DbError> {
        count(&self.0.app.db, directory(self.0), condition, Self::RESOURCES).await
    }

    async fn picked(&self, ids: &[AccountId]) -> Result<Vec<UserRow>, DbError> {
        pick_users(&self.0.app.db, directory(self.0), ids).await
    }

    fn parse_id(&self, text: &str) -> Option<AccountId> {
        AccountId::parse(text).ok()
    }

    async fn total(&self) -> Result<i64, DbError> {
        counter::total(&self.0.app.db, self.0.tenant, self.0.connection, counter::USERS).await
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
    fn scan_page(&self, apart: bool) -> i64 {
        if apart { 10 } else { 500 }
    }

    fn name(&self) -> &'static str {
        "Groups"
    }

    fn schema(&self) -> &Schema {
        &self.0.schemas.group
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

    async fn ids(&self, condition: &Condition, places: Places) -> Result<Vec<GroupId>, DbError> {
        list_ids(&self.0.app.db, directory(self.0), condition, Self::RESOURCES, places).await
    }

    async fn ids_from_end(&self, total: i64, places: Places) -> Result<Option<Vec<GroupId>>, DbError> {
        list_ids_from_end(&self.0.app.db, directory(self.0), Self::RESOURCES, total, places).await
    }

    async fn count(&self, condition: &Condition) -> Result<i64, DbError> {
        count(&self.0.app.db, directory(self.0), condition, Self::RESOURCES).await
    }

    async fn picked(&self, ids: &[GroupId]) -> Result<Vec<GroupRow>, DbError> {
        pick_groups(&self.0.app.db, directory(self.0), ids).await
    }

    fn parse_id(&self, text: &str) -> Option<GroupId> {
        GroupId::parse(text).ok()
    }

    async fn total(&self) -> Result<i64, DbError> {
        counter::total(&self.0.app.db, self.0.tenant, self.0.connection, counter::GROUPS).await
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
