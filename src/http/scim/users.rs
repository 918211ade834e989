//! `/Users`

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use super::{
    body::Body,
    changes::{CreateUser, DeleteUser, PatchUser, ReplaceUser},
    collection::{Users, render_new, render_one},
    conditional::{IfMatch, IfNoneMatch},
    listing::list_collection,
    parameters::{Parameters, ResourceId},
    respond::{created, document, found, not_modified},
    unanswered,
};
use crate::{
    db::identity::find_user,
    domain::id::kind::Account,
    http::{caller::ScimCaller, error::ScimFailure},
    provision::ProvisionError,
    scim::{patch::Patch, resource::User},
};

pub async fn create(caller: ScimCaller, query: Parameters, Body(body): Body) -> Result<Response, ScimFailure> {
    let projection = query.projection(&caller.schemas.user)?;
    let user = User::parse(&body, &caller.schemas, caller.settings.dialect)?.created()?;
    let users = Users(&caller);
    let rendered = match caller.commit(&CreateUser(user.clone())).await {
        Ok(made) if made.is_new => render_new(&users, made.user, &projection).await,
        Ok(made) => render_one(&users, made.user, &projection).await,
        Err(refused @ ProvisionError::Taken(_)) => {
            let earlier = unanswered::find_user(&caller, &user).await?.ok_or(refused)?;
            render_one(&users, earlier, &projection).await
        }
        Err(error) => return Err(error.into()),
    };
    Ok(created(rendered.map_err(ScimFailure::after_commit)?))
}

pub async fn read(
    caller: ScimCaller,
    ResourceId(id): ResourceId<Account>,
    query: Parameters,
    if_none_match: IfNoneMatch,
) -> Result<Response, ScimFailure> {
    let projection = query.projection(&caller.schemas.user)?;
    let row = find_user(&caller.app.db, caller.tenant, caller.connection, id).await?.ok_or_else(ScimFailure::not_found)?;
    if if_none_match.has(row.scim.version) {
        return Ok(not_modified(row.scim.version));
    }
    Ok(found(render_one(&Users(&caller), row, &projection).await?))
}

pub async fn list(caller: ScimCaller, query: Parameters) -> Result<Response, ScimFailure> {
    let query = query.list(&caller.schemas.user)?;
    Ok(document(list_collection(&Users(&caller), &caller, &query).await?))
}

pub async fn replace(
    caller: ScimCaller,
    ResourceId(id): ResourceId<Account>,
    IfMatch(precondition): IfMatch,
    query: Parameters,
    Body(body): Body,
) -> Result<Response, ScimFailure> {
    let projection = query.projection(&caller.schemas.user)?;
    let user = User::parse(&body, &caller.schemas, caller.settings.dialect)?;
    let row = caller.commit(&ReplaceUser { id, precondition, user }).await?;
    Ok(found(render_one(&Users(&caller), row, &projection).await.map_err(ScimFailure::after_commit)?))
}

pub async fn patch(
    caller: ScimCaller,
    ResourceId(id): ResourceId<Account>,
    IfMatch(precondition): IfMatch,
    query: Parameters,
    Body(body): Body,
) -> Result<Response, ScimFailure> {
    let (projection, dialect) = (query.projection(&caller.schemas.user)?, caller.settings.dialect);
    let patch = Patch::parse(&body, dialect)?;
    let row = caller.commit(&PatchUser { id, precondition, patch, dialect, schemas: caller.schemas.clone() }).await?;
    Ok(found(render_one(&Users(&caller), row, &projection).await.map_err(ScimFailure::after_commit)?))
}

pub async fn delete(
    caller: ScimCaller,
    ResourceId(id): ResourceId<Account>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, ScimFailure> {
    caller.commit(&DeleteUser { id, precondition }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
