//! SCIM below `/connections/{slug}/scim/v2`. Whatever stands here, every address of it asks for the token first.

mod body;
mod changes;
mod collection;
mod conditional;
mod discovery;
mod groups;
mod parameters;
mod respond;
mod users;

use axum::http::Method;

use super::{
    caller::ScimCaller,
    error::{Kind, ScimFailure},
    routes::{Entry, Routes},
};

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
        .add(post, "/Groups", token, groups::create)
        .add(get.clone(), "/Groups/{id}", token, groups::read)
        .add(put, "/Groups/{id}", token, groups::replace)
        .add(patch, "/Groups/{id}", token, groups::patch)
        .add(delete, "/Groups/{id}", token, groups::delete)
        .add(get.clone(), "/ServiceProviderConfig", token, discovery::config)
        .add(get.clone(), "/ResourceTypes", token, discovery::resource_types)
        .add(get.clone(), "/ResourceTypes/{id}", token, discovery::resource_type)
        .add(get.clone(), "/Schemas", token, discovery::schemas)
        .add(get, "/Schemas/{id}", token, discovery::schema)
        .add_any("/Me", token, not_implemented)
        .add_any("/Bulk", token, not_implemented)
        .add_any("/.search", token, not_implemented)
        .add_any("/Users/.search", token, not_implemented)
        .add_any("/Groups/.search", token, not_implemented);
    Routes::new().nest("/connections/{slug}/scim/v2", inner, unknown, wrong_method)
}

async fn unknown(_caller: ScimCaller) -> ScimFailure {
    ScimFailure::new(Kind::NotFound, "There is no such endpoint.")
}

async fn wrong_method(_caller: ScimCaller) -> ScimFailure {
    ScimFailure::new(Kind::MethodNotAllowed, "This endpoint has no such method.")
}

/// RFC 7644 section 3.12: what the protocol knows and this server does not do.
async fn not_implemented(_caller: ScimCaller) -> ScimFailure {
    ScimFailure::new(Kind::NotImplemented, "This server does not do that; /ServiceProviderConfig says what it does.")
}
