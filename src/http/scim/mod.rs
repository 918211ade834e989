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

use axum::{
    Router,
    routing::{any, get},
};

use super::{
    caller::ScimCaller,
    error::{Kind, ScimFailure},
};
use crate::app::App;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/Users", get(users::list).post(users::create))
        .route("/Users/{id}", get(users::read).put(users::replace).patch(users::patch).delete(users::delete))
        .route("/Groups", get(groups::list).post(groups::create))
        .route("/Groups/{id}", get(groups::read).put(groups::replace).patch(groups::patch).delete(groups::delete))
        .route("/ServiceProviderConfig", get(discovery::config))
        .route("/ResourceTypes", get(discovery::resource_types))
        .route("/ResourceTypes/{id}", get(discovery::resource_type))
        .route("/Schemas", get(discovery::schemas))
        .route("/Schemas/{id}", get(discovery::schema))
        .route("/Me", any(not_implemented))
        .route("/Bulk", any(not_implemented))
        .route("/.search", any(not_implemented))
        .route("/Users/.search", any(not_implemented))
        .route("/Groups/.search", any(not_implemented))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
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
