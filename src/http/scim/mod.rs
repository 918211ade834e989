//! SCIM below `/connections/{slug}/scim/v2`. Whatever stands here, every address of it asks for the token first.

mod body;
mod bulk;
mod changes;
mod collection;
mod conditional;
mod cursors;
mod discovery;
mod groups;
mod listing;
mod parameters;
mod respond;
mod roles;
mod search;
mod unanswered;
mod users;

use axum::{extract::DefaultBodyLimit, handler::Handler as _, http::Method};

use super::{
    caller::ScimCaller,
    error::{Kind, ScimFailure},
    routes::{Entry, Routes},
};
use crate::scim::bulk::BODY;

/// Every address of them asks for the bearer of its connection.
pub fn routes() -> Routes {
    let (get, post, put, patch, delete) = (Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    let token = Entry::ScimToken;
    let inner = Routes::new()
        .add(get.clone(), "/Users", token, users::list)
        .add(post.clone(), "/Users", token, users::create)
        .add(get.clone(), "/Users/{id}", token, users::read)
        .add(put.clone(), "/Users/{id}", token, users::replace)
        .add(patch.clone(), "/Users/{id}", token, users::patch)
        .add(delete.clone(), "/Users/{id}", token, users::delete)
        .add(get.clone(), "/Groups", token, groups::list)
        .add(post.clone(), "/Groups", token, groups::create)
        .add(get.clone(), "/Groups/{id}", token, groups::read)
        .add(put, "/Groups/{id}", token, groups::replace)
        .add(patch, "/Groups/{id}", token, groups::patch)
        .add(delete, "/Groups/{id}", token, groups::delete)
        .add(get.clone(), "/ServiceProviderConfig", token, discovery::config)
        .add(get.clone(), "/ResourceTypes", token, discovery::resource_types)
        .add(get.clone(), "/ResourceTypes/{id}", token, discovery::resource_type)
        .add(get.clone(), "/Schemas", token, discovery::schemas)
        .add(get.clone(), "/Schemas/{id}", token, discovery::schema)
        .add(get.clone(), "/Roles", token, roles::list)
        .add(get, "/Roles/{id}", token, roles::read)
        .add(post.clone(), "/.search", token, search::root)
        .add(post.clone(), "/Users/.search", token, search::users)
        .add(post.clone(), "/Groups/.search", token, search::groups)
        .add(post.clone(), "/Roles/.search", token, search::roles)
        .add(post, "/Bulk", token, bulk::run.layer(DefaultBodyLimit::max(BODY)))
        .add_any("/Me", token, no_self);
    Routes::new().nest("/connections/{slug}/scim/v2", inner, unknown, wrong_method)
}

async fn unknown(_caller: ScimCaller) -> ScimFailure {
    ScimFailure::new(Kind::NotFound, "There is no such endpoint.")
}

async fn wrong_method(_caller: ScimCaller) -> ScimFailure {
    ScimFailure::new(Kind::MethodNotAllowed, "This endpoint has no such method.")
}

/// RFC 7644 section 3.11: a server without this "SHALL respond with HTTP status code 501".
async fn no_self(_caller: ScimCaller) -> ScimFailure {
    ScimFailure::new(Kind::NotImplemented, "A token speaks for its connection and is no user: there is no /Me.")
}
