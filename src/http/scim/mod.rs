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
mod users;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{any, get, post},
};

use super::{
    caller::ScimCaller,
    error::{Kind, ScimFailure},
};
use crate::{app::App, scim::bulk::BODY};

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
        .route("/Roles", get(roles::list))
        .route("/Roles/{id}", get(roles::read))
        .route("/.search", post(search::root))
        .route("/Users/.search", post(search::users))
        .route("/Groups/.search", post(search::groups))
        .route("/Roles/.search", post(search::roles))
        .route("/Bulk", post(bulk::run).layer(DefaultBodyLimit::max(BODY)))
        .route("/Me", any(no_self))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
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
