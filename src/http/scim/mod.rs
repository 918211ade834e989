//! SCIM below `/connections/{slug}/scim/v2`. Whatever stands here, every address of it asks for the token first.

mod discovery;

use axum::{Router, routing::get};

use super::{
    caller::ScimCaller,
    error::{Kind, ScimFailure},
};
use crate::app::App;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/ServiceProviderConfig", get(discovery::config))
        .route("/ResourceTypes", get(discovery::resource_types))
        .route("/ResourceTypes/{id}", get(discovery::resource_type))
        .route("/Schemas", get(discovery::schemas))
        .route("/Schemas/{id}", get(discovery::schema))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
}

async fn unknown(_caller: ScimCaller) -> ScimFailure {
    ScimFailure::new(Kind::NotFound, "There is no such endpoint.")
}

async fn wrong_method(_caller: ScimCaller) -> ScimFailure {
    ScimFailure::new(Kind::MethodNotAllowed, "This endpoint has no such method.")
}
