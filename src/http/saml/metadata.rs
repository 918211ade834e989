//! What the identity provider's administrator needs to know of this connection, and its software reads again from time to time. It is
//! there before the connection is switched on: the other side is set up by it.

use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};

use super::{Addresses, find};
use crate::{
    app::App,
    domain::connection::Connection,
    http::{error::Problem, page, work},
    saml::{ServiceProvider, signed_sp_metadata, sp_metadata},
};

pub async fn get(State(app): State<App>, Path(slug): Path<String>) -> Response {
    let connection = match find(&app, &slug).await {
        Ok(Some(connection)) => connection,
        Ok(None) => return page::not_found(),
        Err(error) => return page::failed(error.into()),
    };
    match write(&app, connection).await {
        Ok(xml) => ([(header::CONTENT_TYPE, "application/samlmetadata+xml")], xml).into_response(),
        Err(problem) => page::failed(problem),
    }
}

async fn write(app: &App, connection: Connection) -> Result<String, Problem> {
    let own = app.own_keys.read(&app.db, &app.keys, &connection).await?;
    let addresses = Addresses::of(&app.config.public_url, &connection.slug);
    let signs = connection.saml.sign_metadata && own.signing.is_some();
    let render = move || {
        let sp = ServiceProvider {
            entity_id: &addresses.entity_id,
            acs_url: &addresses.acs_url,
            logout_url: &addresses.logout_url,
            name_id_format: connection.saml.name_id_format.as_deref(),
            certificates: &own.published,
            signs_requests: connection.saml.signs_requests(),
            allow_cbc: connection.saml.allow_cbc,
        };
        match own.signing.as_ref().filter(|_| signs) {
            Some(key) => signed_sp_metadata(&sp, key),
            None => Ok(sp_metadata(&sp)),
        }
    };
    let xml = if signs { work::run(app, render).await? } else { render() };
    xml.map_err(|error| Problem::internal(&error))
}
