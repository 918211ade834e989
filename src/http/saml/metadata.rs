//! What the identity provider's administrator needs to know of this connection.

use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};

use super::{Addresses, find_enabled};
use crate::{
    app::App,
    http::page,
    saml::{ServiceProvider, sp_metadata},
};

pub async fn get(State(app): State<App>, Path(slug): Path<String>) -> Response {
    let connection = match find_enabled(&app, &slug).await {
        Ok(Some(connection)) => connection,
        Ok(None) => return page::not_found(),
        Err(error) => return page::failed(error.into()),
    };
    let addresses = Addresses::of(&app.config.public_url, &connection.slug);
    let xml = sp_metadata(&ServiceProvider {
        entity_id: &addresses.entity_id,
        acs_url: &addresses.acs_url,
        name_id_format: connection.saml.name_id_format.as_deref(),
    });
    ([(header::CONTENT_TYPE, "application/samlmetadata+xml"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], xml).into_response()
}
