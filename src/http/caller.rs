//! Who calls, together with what they may reach: a handler gets the database only from here, so that one which forgets to
//! authenticate has none.

pub mod api;
pub mod session;

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Path, path::ErrorKind, rejection::PathRejection},
    http::{HeaderMap, header, request::Parts},
};

use super::{
    error::{Kind, ScimFailure},
    meter::Meter,
    request::{RequestId, Requester},
};
use crate::{
    app::App,
    db::{DbError, oauth, token},
    domain::{
        actor::Actor,
        connection::ScimSettings,
        id::{ConnectionId, TenantId},
        time::Timestamp,
    },
    keys,
    scim::schema::Schemas,
};

/// Longer ones are none of ours.
const TOKEN_LIMIT: usize = 512;

/// A SCIM client with a token of the connection that the address names.
#[derive(Debug, Clone)]
pub struct ScimCaller {
    pub app: App,
    pub tenant: TenantId,
    pub connection: ConnectionId,
    pub settings: ScimSettings,
    pub actor: Actor,
    pub request_id: RequestId,
    /// The address below which the connection's resources stand.
    pub base: String,
    /// The standard ones, with the tenant's own extension where it has one.
    pub schemas: Arc<Schemas>,
    pub(super) meter: Meter,
}

impl FromRequestParts<App> for ScimCaller {
    type Rejection = ScimFailure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ScimFailure> {
        let now = app.now();
        let (bearer, short_lived) = find_bearer(parts, app, now).await?;
        let meter = parts.extensions.get::<Meter>().cloned().unwrap_or_default();
        meter.identify(bearer.tenant, bearer.connection);
        app.pace.take(bearer.connection, bearer.scim.rate(), now).map_err(|retry_after_secs| {
            ScimFailure::new(Kind::TooFast { retry_after_secs }, format!("Too many requests; go on in {retry_after_secs} seconds."))
        })?;
        if !short_lived {
            mark_used(app, &bearer, now).await;
        }
        let schemas = app.schemas.read(&app.db, bearer.tenant, bearer.schema_version).await?;
        Ok(Self {
            tenant: bearer.tenant,
            connection: bearer.connection,
            settings: bearer.scim,
            actor: Actor::Scim { connection: bearer.connection, token: bearer.token },
            request_id: request_id(parts),
            base: app.config.public_url.join(&format!("/connections/{}/scim/v2", bearer.slug)),
            schemas,
            meter,
            app: app.clone(),
        })
    }
}

/// Whether somebody calls whom the connection of the address knows; what they ask for is judged later.
pub(super) async fn is_known(parts: &mut Parts, app: &App) -> Result<(), ScimFailure> {
    find_bearer(parts, app, app.now()).await.map(drop)
}

/// The bearer that the request came with, if it is one of the connection that the address names. Whether it is short-lived is said with it.
async fn find_bearer(parts: &mut Parts, app: &App, now: Timestamp) -> Result<(token::Bearer, bool), ScimFailure> {
    let slug = parameter(parts, app, "slug").await?.ok_or_else(ScimFailure::unauthenticated)?;
    let secret = bearer_token(&parts.headers).ok_or_else(ScimFailure::unauthenticated)?;
    let short_lived = secret.starts_with(keys::ACCESS_TOKEN_PREFIX);
    let hash = keys::hash(secret);
    let bearer = if short_lived { oauth::find_access_bearer(&app.db, &hash).await? } else { token::find_bearer(&app.db, &hash).await? };
    let Some(bearer) = bearer else {
        tracing::info!(connection.asked = ?slug, "a SCIM request is refused: its token is unknown");
        return Err(ScimFailure::unauthenticated());
    };
    identify(parts, &Actor::Scim { connection: bearer.connection, token: bearer.token });
    if let Some(why) = bearer.refused_at(&slug, now) {
        tracing::warn!(connection.name = %bearer.slug, connection.asked = ?slug, token.id = %bearer.token, "a SCIM request is refused: {why}");
        return Err(ScimFailure::unauthenticated());
    }
    Ok((bearer, short_lived))
}

/// RFC 6750 section 2.1; the scheme's name is compared without case (RFC 7235 section 2.1).
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && (1..=TOKEN_LIMIT).contains(&secret.len())).then_some(secret)
}

/// Outside of the request's transaction and at most once a minute, so that a token in constant use is no hot row.
async fn mark_used(app: &App, bearer: &token::Bearer, now: Timestamp) {
    if bearer.last_used_at.is_some_and(|last| now < last.plus_secs(60)) {
        return;
    }
    report_unmarked(token::mark_token_used(&app.db, bearer.tenant, bearer.connection, bearer.token, now).await);
}

/// Logs that the last use of a token or session could not be written. The request goes on without it.
pub(super) fn report_unmarked<T>(marked: Result<T, DbError>) {
    if let Err(error) = marked {
        tracing::warn!(%error, "the last use of a token or session was not written");
    }
}

/// A parameter of the route. Where another one is no text, the address names nothing, whoever asks.
pub(super) async fn parameter(parts: &mut Parts, app: &App, name: &str) -> Result<Option<String>, ScimFailure> {
    match Path::<Vec<(String, String)>>::from_request_parts(parts, app).await {
        Ok(Path(parameters)) => Ok(parameters.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)),
        Err(PathRejection::FailedToDeserializePathParams(why)) => match why.kind() {
            ErrorKind::InvalidUtf8InPathParam { key } if key != name => Err(ScimFailure::not_found()),
            _ => Ok(None),
        },
        Err(_) => Ok(None),
    }
}

/// Notes who makes the request, for the log.
pub(super) fn identify(parts: &Parts, actor: &Actor) {
    if let Some(requester) = parts.extensions.get::<Requester>() {
        requester.identify(actor);
    }
}

/// The outermost layer gave every request one.
pub(super) fn request_id(parts: &Parts) -> RequestId {
    parts.extensions.get::<RequestId>().cloned().expect("the outermost layer names every request")
}
