//! `/Groups`

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use super::{
    body::Body,
    changes::{ChangeGroup, CreateGroup, DeleteGroup, ReplaceGroup},
    collection::{Groups, render_one},
    conditional::{IfMatch, IfNoneMatch},
    listing::list_collection,
    parameters::{Parameters, ResourceId},
    respond::{changed, created, document, found, not_modified},
    unanswered,
};
use crate::{
    db::group::find_group,
    domain::id::kind::Group as GroupKind,
    http::{caller::ScimCaller, error::ScimFailure},
    scim::{group::Group, patch::Patch},
};

pub async fn create(caller: ScimCaller, query: Parameters, Body(body): Body) -> Result<Response, ScimFailure> {
    let projection = query.projection(&caller.schemas.group)?;
    let group = Group::parse(&body, caller.settings.dialect)?;
    let row = match unanswered::find_group(&caller, &group).await? {
        Some(earlier) => earlier,
        None => caller.commit(&CreateGroup(group)).await?,
    };
    Ok(created(render_one(&Groups(&caller), row, &projection).await.map_err(ScimFailure::after_commit)?))
}

pub async fn read(
    caller: ScimCaller,
    ResourceId(id): ResourceId<GroupKind>,
    query: Parameters,
    if_none_match: IfNoneMatch,
) -> Result<Response, ScimFailure> {
    let projection = query.projection(&caller.schemas.group)?;
    let row = find_group(&caller.app.db, caller.tenant, caller.connection, id).await?.ok_or_else(ScimFailure::not_found)?;
    if if_none_match.has(row.version) {
        return Ok(not_modified(row.version));
    }
    Ok(found(render_one(&Groups(&caller), row, &projection).await?))
}

pub async fn list(caller: ScimCaller, query: Parameters) -> Result<Response, ScimFailure> {
    let query = query.list(&caller.schemas.group)?;
    Ok(document(list_collection(&Groups(&caller), &caller, &query).await?))
}

pub async fn replace(
    caller: ScimCaller,
    ResourceId(id): ResourceId<GroupKind>,
    IfMatch(precondition): IfMatch,
    query: Parameters,
    Body(body): Body,
) -> Result<Response, ScimFailure> {
    let projection = query.projection(&caller.schemas.group)?;
    let group = Group::parse(&body, caller.settings.dialect)?;
    let row = caller.commit(&ReplaceGroup { id, precondition, group }).await?;
    Ok(found(render_one(&Groups(&caller), row, &projection).await.map_err(ScimFailure::after_commit)?))
}

/// A group may have very many members: the answer is empty unless attributes are asked for.
pub async fn patch(
    caller: ScimCaller,
    ResourceId(id): ResourceId<GroupKind>,
    IfMatch(precondition): IfMatch,
    query: Parameters,
    Body(body): Body,
) -> Result<Response, ScimFailure> {
    let projection = query.projection(&caller.schemas.group)?;
    let change = Patch::parse(&body, caller.settings.dialect)?.group_change(caller.settings.dialect)?;
    let row = caller.commit(&ChangeGroup { id, precondition, change }).await?;
    if projection.is_asked() {
        Ok(found(render_one(&Groups(&caller), row, &projection).await.map_err(ScimFailure::after_commit)?))
    } else {
        Ok(changed(row.version))
    }
}

pub async fn delete(
    caller: ScimCaller,
    ResourceId(id): ResourceId<GroupKind>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, ScimFailure> {
    caller.commit(&DeleteGroup { id, precondition }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
