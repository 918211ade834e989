//! What the service provider can do, as it says itself: what is announced works, what does not work is not announced.

use axum::{extract::Path, response::Response};

use super::{parameters::Unfiltered, respond::document};
use crate::{
    http::{caller::ScimCaller, error::ScimFailure},
    scim::{
        bulk,
        discovery::{self, Capabilities},
    },
};

const CAPABILITIES: Capabilities =
    Capabilities { bulk: Some((bulk::OPERATIONS, bulk::BODY)), sort: true, etag: true, cursor: true, oauth: true };

pub async fn config(caller: ScimCaller, _: Unfiltered) -> Response {
    document(discovery::service_provider_config(&caller.base, CAPABILITIES))
}

pub async fn resource_types(caller: ScimCaller, _: Unfiltered) -> Response {
    document(discovery::resource_types(&caller.base, &caller.schemas, caller.settings.announce_roles))
}

pub async fn resource_type(caller: ScimCaller, Path((_, id)): Path<(String, String)>) -> Result<Response, ScimFailure> {
    discovery::resource_type(&caller.base, &caller.schemas, &id).map(document).ok_or_else(ScimFailure::not_found)
}

pub async fn schemas(caller: ScimCaller, _: Unfiltered) -> Response {
    document(discovery::schemas(&caller.base, &caller.schemas, caller.settings.announce_roles))
}

pub async fn schema(caller: ScimCaller, Path((_, id)): Path<(String, String)>) -> Result<Response, ScimFailure> {
    discovery::schema(&caller.base, &caller.schemas, &id).map(document).ok_or_else(ScimFailure::not_found)
}
