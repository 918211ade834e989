//! `/.search` (RFC 7644 section 3.4.3): a query whose parameters come in a body, for one collection or, at the root, for users and groups.

use std::collections::HashMap;

use axum::response::Response;
use serde_json::Value;

use super::{
    body::Body,
    collection::{Groups, Users},
    cursors::Cursors,
    listing::{Asked, Placed, list_collection},
    respond::document,
    roles::list_roles,
};
use crate::{
    domain::id::{AccountId, GroupId},
    http::{caller::ScimCaller, error::ScimFailure},
    scim::{
        cursor::{Cursor, Position},
        error::ScimError,
        list::{ListQuery, cursor_response, list_response},
        path::AttrPath,
        role,
        schema::Schema,
        sort::{Key, compare},
        unique,
    },
};

/// Reads the body of a search.
fn read(caller: &ScimCaller, body: &[u8], schema: &Schema) -> Result<ListQuery, ScimError> {
    let query = ListQuery::parse_search(body, schema)?;
    unique::check(body, caller.settings.dialect)?;
    Ok(query)
}

pub async fn users(caller: ScimCaller, Body(body): Body) -> Result<Response, ScimFailure> {
    let query = read(&caller, &body, &caller.schemas.user)?;
    Ok(document(list_collection(&Users(&caller), &caller, &query).await?))
}

pub async fn groups(caller: ScimCaller, Body(body): Body) -> Result<Response, ScimFailure> {
    let query = read(&caller, &body, &caller.schemas.group)?;
    Ok(document(list_collection(&Groups(&caller), &caller, &query).await?))
}

pub async fn roles(caller: ScimCaller, Body(body): Body) -> Result<Response, ScimFailure> {
    let query = read(&caller, &body, role::schema())?;
    Ok(document(list_roles(&caller, &query).await?))
}

/// First the users, then the groups, each in the order of ids: an order that stays while pages are read; or all together by `sortBy`.
/// RFC 7644 section 3.4.2.1: attributes that a type does not have are "considered to be […] not present".
pub async fn root(caller: ScimCaller, Body(body): Body) -> Result<Response, ScimFailure> {
    let users_query = read(&caller, &body, &caller.schemas.user)?;
    let groups_query = read(&caller, &body, &caller.schemas.group)?;
    let (users, groups) = (Users(&caller), Groups(&caller));
    let (users, groups) = (Asked::new(&users, &users_query), Asked::new(&groups, &groups_query));
    let cursors = Cursors::new(&caller, "", &users_query);
    let body = match &users_query.sort_by {
        Some(path) => sorted(&cursors, &users, &groups, path).await?,
        None if users_query.cursor.is_some() => by_cursor(&cursors, &users, &groups).await?,
        None => by_index(&users, &groups).await?,
    };
    Ok(document(body))
}

/// A user or a group in a list of both.
enum Either {
    User(AccountId),
    Group(GroupId),
}

/// Both by one attribute; who does not have it counts as without a value (RFC 7644 section 3.4.2.3).
async fn sorted(
    cursors: &Cursors<'_>,
    users: &Asked<'_, Users<'_>>,
    groups: &Asked<'_, Groups<'_>>,
    path: &AttrPath,
) -> Result<Value, ScimFailure> {
    let ListQuery { sort_order, count, start_index, cursor, .. } = users.query;
    let mut all: Vec<Placed<Either>> = Vec::new();
    all.extend(users.sorted(path).await?.into_iter().map(|one| one.map(Either::User)));
    all.extend(groups.sorted(path).await?.into_iter().map(|one| one.map(Either::Group)));
    all.sort_unstable_by(|a, b| compare((&a.key, &a.text), (&b.key, &b.text), *sort_order));
    let from = match cursors.open()? {
        Some(Cursor { position: Position { id, key }, .. }) => {
            let key = key.unwrap_or(Key::Missing);
            all.partition_point(|one| compare((&one.key, &one.text), (&key, &id), *sort_order).is_le())
        }
        None => (start_index - 1).min(all.len()),
    };
    let to = from.saturating_add(*count).min(all.len());
    let page = &all[from..to];
    let shown = show_either(users, groups, page).await?;
    if cursor.is_none() {
        return Ok(list_response(all.len(), *start_index, shown));
    }
    let last = page.last().filter(|_| to < all.len());
    let next = last.map(|last| cursors.seal(Position { id: last.text.clone(), key: Some(last.key.clone()) }, None));
    Ok(cursor_response(Some(all.len()), next.as_deref(), shown))
}

/// In the order of the page; who vanished meanwhile is left out.
async fn show_either(
    users: &Asked<'_, Users<'_>>,
    groups: &Asked<'_, Groups<'_>>,
    page: &[Placed<Either>],
) -> Result<Vec<Value>, ScimFailure> {
    let (mut user_ids, mut group_ids) = (Vec::new(), Vec::new());
    for one in page {
        match one.id {
            Either::User(id) => user_ids.push(id),
            Either::Group(id) => group_ids.push(id),
        }
    }
    let shown = [users.show(&users.read(&user_ids).await?).await?, groups.show(&groups.read(&group_ids).await?).await?];
    let by_id = shown.into_iter().flatten().filter_map(|document| Some((document.get("id")?.as_str()?.to_owned(), document)));
    let mut by_id: HashMap<String, Value> = by_id.collect();
    Ok(page.iter().filter_map(|one| by_id.remove(&one.text)).collect())
}

async fn by_index(users: &Asked<'_, Users<'_>>, groups: &Asked<'_, Groups<'_>>) -> Result<Value, ScimFailure> {
    let (start, count) = (users.query.start_index, users.query.count);
    let (total_users, found_users) = users.page(start, count).await?;
    let left = count - found_users.len();
    let (total_groups, found_groups) = groups.page(start.saturating_sub(total_users).max(1), left).await?;
    let mut shown = users.show(&found_users).await?;
    shown.extend(groups.show(&found_groups).await?);
    Ok(list_response(total_users + total_groups, start, shown))
}

const OF_USERS: &str = "Users/";
const OF_GROUPS: &str = "Groups/";

async fn by_cursor(cursors: &Cursors<'_>, users: &Asked<'_, Users<'_>>, groups: &Asked<'_, Groups<'_>>) -> Result<Value, ScimFailure> {
    let count = users.query.count;
    let opened = cursors.open()?;
    let position = opened.as_ref().map(|cursor| cursor.position.id.as_str());
    let after_group = position.and_then(|id| id.strip_prefix(OF_GROUPS)).and_then(|id| groups.collection_id(id));
    let (mut shown, mut next) = (Vec::new(), None);
    if after_group.is_none() {
        let after = position.and_then(|id| id.strip_prefix(OF_USERS)).and_then(|id| users.collection_id(id));
        let (rows, more) = users.take(after, count).await?;
        next = rows.last().filter(|_| more).map(|last| format!("{OF_USERS}{}", last.id));
        shown = users.show(&rows).await?;
    }
    if next.is_none() {
        let left = count - shown.len();
        // With a full page of users it is enough to know whether there is a group.
        let (rows, more) = groups.take(after_group, left.max(1)).await?;
        if left > 0 {
            next = rows.last().filter(|_| more).map(|last| format!("{OF_GROUPS}{}", last.id));
            shown.extend(groups.show(&rows).await?);
        } else if !rows.is_empty() && count > 0 {
            next = position_of_last(&shown);
        }
    }
    let next = next.map(|id| cursors.seal(Position { id, key: None }, None));
    Ok(cursor_response(None, next.as_deref(), shown))
}

fn position_of_last(shown: &[Value]) -> Option<String> {
    let id = shown.last()?.get("id")?.as_str()?;
    Some(format!("{OF_USERS}{id}"))
}
