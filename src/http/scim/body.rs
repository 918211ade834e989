//! The body of a SCIM request: its size and its kind are looked at before its content.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};

use crate::{
    app::App,
    http::error::{Kind, ScimFailure},
};

/// At most 1 MiB of JSON, not parsed yet.
pub struct Body(pub Bytes);

impl FromRequest<App> for Body {
    type Rejection = ScimFailure;

    async fn from_request(request: Request, app: &App) -> Result<Self, ScimFailure> {
        Ok(Self(read(request, app, "The body is larger than 1 MiB.").await?))
    }
}

/// At most 10 MiB of JSON: the route lets so much through.
pub struct BulkBody(pub Bytes);

impl FromRequest<App> for BulkBody {
    type Rejection = ScimFailure;

    async fn from_request(request: Request, app: &App) -> Result<Self, ScimFailure> {
        Ok(Self(read(request, app, "The body is larger than 10 MiB.").await?))
    }
}

async fn read(request: Request, app: &App, too_large: &str) -> Result<Bytes, ScimFailure> {
    check_content_type(request.headers())?;
    Bytes::from_request(request, app).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ScimFailure::new(Kind::TooLarge, too_large)
        } else {
            ScimFailure::new(Kind::Invalid, "The body ended before it was complete.")
        }
    })
}

/// RFC 7644 section 3.1: `application/scim+json`, and `application/json` too. None at all is taken for it (hand-written clients).
fn check_content_type(headers: &HeaderMap) -> Result<(), ScimFailure> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let taken = ["application/scim+json", "application/json"].iter().any(|taken| kind.eq_ignore_ascii_case(taken));
    if taken {
        return Ok(());
    }
    Err(ScimFailure::new(Kind::UnsupportedMediaType, "The body must be application/scim+json or application/json."))
}
