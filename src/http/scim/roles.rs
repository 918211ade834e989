//! `/Roles`: the tenant's role catalogue, to be read (Okta's entitlement discovery). Roles are made and changed by people.

use axum::{extract::Path, response::Response};
use serde_json::{Map, Value};

use super::{cursors::Cursors, parameters::Parameters, respond::document};
use crate::{
    db::tenant::find_model_version,
    domain::{model::RoleModel, role::Role},
    http::{caller::ScimCaller, error::ScimFailure},
    scim::{
        cursor::Position,
        list::{ListQuery, cursor_response, list_response},
        role::{RoleFacts, schema},
        sort::{Key, Sorter, compare},
    },
};

pub async fn list(caller: ScimCaller, query: Parameters) -> Result<Response, ScimFailure> {
    let query = query.list(schema())?;
    Ok(document(list_roles(&caller, &query).await?))
}

pub async fn read(caller: ScimCaller, Path((_, id)): Path<(String, String)>, query: Parameters) -> Result<Response, ScimFailure> {
    let projection = query.projection(schema())?;
    let model = model(&caller).await?;
    let role = model.roles().find(|role| role.id.to_string() == id).ok_or_else(ScimFailure::not_found)?;
    Ok(document(with_facts(role, |facts| facts.render(&caller.base, &projection))))
}

async fn model(caller: &ScimCaller) -> Result<std::sync::Arc<RoleModel>, ScimFailure> {
    let version = find_model_version(&caller.app.db, caller.tenant).await?.ok_or_else(ScimFailure::unauthenticated)?;
    Ok(caller.app.published.model(&caller.app.db, caller.tenant, version).await?)
}

fn with_facts<T>(role: &Role, show: impl FnOnce(RoleFacts<'_>) -> T) -> T {
    show(RoleFacts { id: &role.id.to_string(), name: role.name.as_str(), description: &role.description, system: role.system })
}

/// The catalogue is small and in memory: it is filtered and sorted there.
pub async fn list_roles(caller: &ScimCaller, query: &ListQuery) -> Result<Value, ScimFailure> {
    let model = model(caller).await?;
    let sorter = query.sort_by.as_ref().map(|path| Sorter::new(path, schema())).transpose()?;
    let mut found: Vec<(Key, String, Map<String, Value>)> = model
        .roles()
        .map(|role| (role.id.to_string(), with_facts(role, |facts| facts.document(&caller.base))))
        .filter(|(_, document)| query.filter.as_ref().is_none_or(|filter| filter.matches(document, schema())))
        .map(|(id, document)| (sorter.map_or(Key::Missing, |sorter| sorter.key(&document)), id, document))
        .collect();
    found.sort_by(|a, b| compare((&a.0, &a.1), (&b.0, &b.1), query.sort_order));
    let total = found.len();
    let page = |from: usize| found.iter().skip(from).take(query.count);
    let show = |from: usize| page(from).map(|(_, _, document)| query.projection.apply(document.clone())).collect::<Vec<_>>();
    if query.cursor.is_none() {
        return Ok(list_response(total, query.start_index, show(query.start_index - 1)));
    }
    let cursors = Cursors::new(caller, "Roles", query);
    let from = cursors.open()?.map_or(0, |cursor| {
        let Position { id, key } = cursor.position;
        let key = key.unwrap_or(Key::Missing);
        found.partition_point(|one| compare((&one.0, &one.1), (&key, &id), query.sort_order).is_le())
    });
    let last = page(from).next_back().filter(|_| from + query.count < total);
    let next = last.map(|(key, id, _)| cursors.seal(Position { id: id.clone(), key: Some(key.clone()) }, None));
    Ok(cursor_response(Some(total), next.as_deref(), show(from)))
}
