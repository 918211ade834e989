//! Where a sign-in begins: the request is remembered, tied to this browser, and the person sent to the identity provider.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Addresses, browser, find_enabled};
use crate::{
    admin::own_keys::OwnKeys,
    app::App,
    db::{self, DbError, sign_in::AuthnRequestRow},
    domain::{
        connection::{Connection, RequestBinding},
        rate::Rate,
        secret::Secret,
    },
    http::{caller::session, error::Problem, local_path::LocalPath, pace::too_fast, page, work},
    keys,
    saml::{AuthnRequest, request::request_id},
};

/// Each leaves a row until it is answered or too old, and strangers begin them.
const BEGINNINGS: Rate = Rate { per_second: 500, burst: 5000 };

#[derive(Deserialize)]
pub struct LoginQuery {
    /// A path on this host; anything else is as good as nothing.
    return_to: Option<String>,
}

pub async fn get(State(app): State<App>, Path(slug): Path<String>, Query(query): Query<LoginQuery>, headers: HeaderMap) -> Response {
    let connection = match find_enabled(&app, &slug).await {
        Ok(Some(connection)) => connection,
        Ok(None) => return page::not_found(),
        Err(error) => return page::failed(error.into()),
    };
    let Some((binding, destination)) = destination(&connection) else {
        let lines = ["This sign-in begins at your identity provider: open the application from its portal."];
        return page::say(StatusCode::CONFLICT, "Sign-in cannot begin here", &lines);
    };
    let return_to = query.return_to.as_deref().and_then(LocalPath::parse);
    match begin(&app, &connection, binding, destination, return_to.as_ref(), &headers).await {
        Ok(response) => response,
        Err(problem) => page::failed(problem),
    }
}

/// Where requests go, and how: as the connection wants it, else as the identity provider takes them.
pub(super) fn destination(connection: &Connection) -> Option<(RequestBinding, String)> {
    let redirect = connection.saml.sso_url.clone().map(|url| (RequestBinding::Redirect, url));
    let post = connection.saml.sso_post_url.clone().map(|url| (RequestBinding::Post, url));
    match connection.saml.request_binding {
        RequestBinding::Redirect => redirect.or(post),
        RequestBinding::Post => post.or(redirect),
    }
}

async fn begin(
    app: &App,
    connection: &Connection,
    binding: RequestBinding,
    destination: String,
    return_to: Option<&LocalPath>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let too_many = |secs| too_fast(secs, "Too many sign-ins begin at this connection: try again in a moment.");
    app.beginnings.take(connection.id, BEGINNINGS, app.now()).map_err(too_many)?;
    let (request, secret) = (request(app, connection, destination), keys::secret(app.random.bytes()));
    let Some(own) = keys_of(app, connection).await? else { return Ok(no_key()) };
    let waiting =
        AuthnRequestRow { return_to: return_to.map(|path| path.as_str().to_owned()), former_session: session::cookie_hash(app, headers) };
    remember(app, connection, &request.id, &secret, &waiting).await?;
    let id = request.id.clone();
    let mut response = send(app, binding, request, own).await?;
    for cookie in browser::begin(app, headers, &id, &secret) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A fresh request, as the connection wants it.
pub(super) fn request(app: &App, connection: &Connection, destination: String) -> AuthnRequest {
    let addresses = Addresses::of(&app.config.public_url, &connection.slug);
    AuthnRequest {
        id: request_id(app.random.bytes()),
        destination,
        issuer: addresses.entity_id,
        acs_url: addresses.acs_url,
        name_id_format: connection.saml.name_id_format.clone(),
        force_authn: connection.saml.force_authn,
        authn_context: connection.saml.authn_context.clone(),
        issue_instant: app.now(),
    }
}

/// What requests of the connection are signed with. `None`: they are to be signed, and there is no key.
pub(super) async fn keys_of(app: &App, connection: &Connection) -> Result<Option<Arc<OwnKeys>>, Problem> {
    if !connection.saml.signs_requests() {
        return Ok(Some(Arc::default()));
    }
    let own = app.own_keys.read(&app.db, &app.keys, connection).await?;
    if own.signing.is_none() {
        tracing::error!(
            connection.id = %connection.id,
            "a sign-in cannot begin: the connection signs its requests and has no key; make one with `rolegate keys create`"
        );
        return Ok(None);
    }
    Ok(Some(own))
}

pub(super) fn no_key() -> Response {
    let lines = ["This sign-in is not set up yet: its requests are to be signed, and there is no key. Please tell your administrator."];
    page::say(StatusCode::CONFLICT, "Sign-in cannot begin here", &lines)
}

/// The request on its way through the browser, signed where there is a key.
pub(super) async fn send(app: &App, binding: RequestBinding, request: AuthnRequest, own: Arc<OwnKeys>) -> Result<Response, Problem> {
    let signs = own.signing.is_some();
    let destination = request.destination.clone();
    let encode = move || match binding {
        RequestBinding::Redirect => request.redirect_url(None, own.signing.as_ref()),
        RequestBinding::Post => request.post_value(own.signing.as_ref()),
    };
    let value = if signs { work::run(app, encode).await? } else { encode() };
    let value = value.map_err(|error| Problem::internal(&error))?;
    if binding == RequestBinding::Post {
        return Ok(page::send_on("Signing in", &destination, &[("SAMLRequest", &value)]));
    }
    let location = HeaderValue::from_str(&value);
    let location = location
        .map_err(|_| Problem::conflict("sso_url", "The identity provider's sign-in address holds characters that no address has."))?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

async fn remember(app: &App, connection: &Connection, id: &str, secret: &Secret<String>, row: &AuthnRequestRow) -> Result<(), DbError> {
    let mut tx = app.db.begin().await?;
    let (browser, until) = (keys::hash(secret.expose()), app.now().plus_secs(browser::TTL_SECS));
    db::sign_in::insert_authn_request(&mut tx, connection.tenant, connection.id, id, &browser, row, until).await?;
    tx.commit().await
}
