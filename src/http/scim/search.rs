//! `/.search` (RFC 7644 section 3.4.3): a query whose parameters come in a body, for one collection or, at the root, for users and groups.

use axum::response::Response;
use serde_json::Value;

use super::{
    body::Body,
    collection::{Groups, Users},
    cursors::Cursors,
    listing::{Asked, list_collection},
    respond::document,
    roles::list_roles,
};
use crate::{
    http::{
        caller::ScimCaller,
        error::{Kind, ScimFailure},
    },
    scim::{
        cursor::Position,
        list::{ListQuery, cursor_response, list_response},
        role,
    },
};

pub async fn users(caller: ScimCaller, Body(body): Body) -> Result<Response, ScimFailure> {
    let query = ListQuery::parse_search(&body, &caller.schemas.user)?;
    Ok(document(list_collection(&Users(&caller), &caller, &query).await?))
}

pub async fn groups(caller: ScimCaller, Body(body): Body) -> Result<Response, ScimFailure> {
    let query = ListQuery::parse_search(&body, &caller.schemas.group)?;
    Ok(document(list_collection(&Groups(&caller), &caller, &query).await?))
}

pub async fn roles(caller: ScimCaller, Body(body): Body) -> Result<Response, ScimFailure> {
    let query = ListQuery::parse_search(&body, role::schema())?;
    Ok(document(list_roles(&caller, &query).await?))
}

/// First the users, then the groups, each in the order of ids: an order that stays while pages are read.
/// RFC 7644 section 3.4.2.1: attributes that a type does not have are "considered to be […] not present".
pub async fn root(caller: ScimCaller, Body(body): Body) -> Result<Response, ScimFailure> {
    let users_query = ListQuery::parse_search(&body, &caller.schemas.user)?;
    let groups_query = ListQuery::parse_search(&body, &caller.schemas.group)?;
    if users_query.sort_by.is_some() {
        // Table 3 of section 3.12 has no word for it; users and groups share no order but that of their ids.
        return Err(ScimFailure::new(Kind::NotImplemented, "At the root nothing is sorted; search /Users or /Groups with sortBy."));
    }
    let (users, groups) = (Users(&caller), Groups(&caller));
    let (users, groups) = (Asked::new(&users, &users_query), Asked::new(&groups, &groups_query));
    let body = if users_query.cursor.is_some() {
        by_cursor(&Cursors::new(&caller, "", &users_query), &users, &groups).await?
    } else {
        by_index(&users, &groups).await?
    };
    Ok(document(body))
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
