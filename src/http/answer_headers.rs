//! The headers of every answer, whatever it is: a page, a document, a refusal or a redirect.

use axum::{
    http::{HeaderValue, header},
    response::Response,
};

/// Forbids caches to store the answer and browsers to guess its type. A handler may set another `Cache-Control`.
pub async fn protect(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}
