//! What the service provider can do, as it says itself: what is announced works, what does not work is not announced.

use axum::{extract::Path, response::Response};

use super::respond::document;
use crate::{
    http::{caller::ScimCaller, error::ScimFailure},
    scim::{
        discovery::{self, Capabilities},
        schema::Schemas,
    },
};

const CAPABILITIES: Capabilities = Capabilities { bulk: None, sort: false, etag: true, cursor: false, oauth: false };

pub async fn config(caller: ScimCaller) -> Response {
    document(discovery::service_provider_config(&caller.base, CAPABILITIES))
}

pub async fn resource_types(caller: ScimCaller) -> Response {
    document(discovery::resource_types(&caller.base, Schemas::standard()))
}

pub async fn resource_type(caller: ScimCaller, Path((_, id)): Path<(String, String)>) -> Result<Response, ScimFailure> {
    discovery::resource_type(&caller.base, Schemas::standard(), &id).map(document).ok_or_else(ScimFailure::not_found)
}

pub async fn schemas(caller: ScimCaller) -> Response {
    document(discovery::schemas(&caller.base, Schemas::standard()))
}

pub async fn schema(caller: ScimCaller, Path((_, id)): Path<(String, String)>) -> Result<Response, ScimFailure> {
    discovery::schema(&caller.base, Schemas::standard(), &id).map(document).ok_or_else(ScimFailure::not_found)
}
