//! Where a sign-in begins: the request is remembered, tied to this browser, and the person sent to the identity provider.

use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Addresses, browser, find_enabled};
use crate::{
    app::App,
    db::{self, DbError},
    domain::{connection::Connection, secret::Secret},
    http::{error::Problem, local_path::LocalPath, page},
    keys,
    saml::{AuthnRequest, request::request_id},
};

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
    let Some(destination) = connection.saml.sso_url.clone() else {
        let lines = ["This sign-in begins at your identity provider: open the application from its portal."];
        return page::say(StatusCode::CONFLICT, "Sign-in cannot begin here", &lines);
    };
    let return_to = query.return_to.as_deref().and_then(LocalPath::parse);
    match begin(&app, &connection, destination, return_to.as_ref(), &headers).await {
        Ok(response) => response,
        Err(error) => page::failed(error.into()),
    }
}

async fn begin(
    app: &App,
    connection: &Connection,
    destination: String,
    return_to: Option<&LocalPath>,
    headers: &HeaderMap,
) -> Result<Response, DbError> {
    let (now, secret) = (app.now(), keys::secret(app.random.bytes()));
    let addresses = Addresses::of(&app.config.public_url, &connection.slug);
    let request = AuthnRequest {
        id: request_id(app.random.bytes()),
        destination,
        issuer: addresses.entity_id,
        acs_url: addresses.acs_url,
        name_id_format: connection.saml.name_id_format.clone(),
        force_authn: false,
        issue_instant: now,
    };
    remember(app, connection, &request.id, &secret, return_to).await?;
    let Ok(location) = HeaderValue::from_str(&request.redirect_url(None)) else {
        return Ok(
            Problem::conflict("sso_url", "The identity provider's sign-in address holds characters that no address has.").into_response()
        );
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in browser::begin(app, headers, &request.id, &secret) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn remember(
    app: &App,
    connection: &Connection,
    id: &str,
    secret: &Secret<String>,
    return_to: Option<&LocalPath>,
) -> Result<(), DbError> {
    let mut tx = app.db.begin().await?;
    let (browser, until) = (keys::hash(secret.expose()), app.now().plus_secs(browser::TTL_SECS));
    let return_to = return_to.map(LocalPath::as_str);
    db::sign_in::insert_authn_request(&mut tx, connection.tenant, connection.id, id, &browser, return_to, until).await?;
    tx.commit().await
}
