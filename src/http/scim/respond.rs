//! SCIM answers.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::conditional::etag;

/// A resource as it is sent, with what goes into headers.
pub struct Rendered {
    pub body: Value,
    pub version: i64,
    pub location: String,
}

pub fn document(body: Value) -> Response {
    ([(header::CONTENT_TYPE, "application/scim+json")], Json(body)).into_response()
}

/// 200, with the version in `ETag`.
pub fn found(resource: Rendered) -> Response {
    let headers = headers(resource.version, &resource.location);
    (headers, document(resource.body)).into_response()
}

/// RFC 7644 section 3.3: 201, the address in `Location`.
pub fn created(resource: Rendered) -> Response {
    (StatusCode::CREATED, found(resource)).into_response()
}

/// 204, for changes whose answer nobody reads.
pub fn changed(version: i64) -> Response {
    (StatusCode::NO_CONTENT, [(header::ETAG, etag(version))]).into_response()
}

pub fn not_modified(version: i64) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, etag(version))]).into_response()
}

fn headers(version: i64, location: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [(header::ETAG, etag(version).as_str()), (header::LOCATION, location)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    headers
}
