//! Administration as JSON below `/api/v1`: a session's cookie, and the header `X-CSRF-Token` with every change.

mod attribute_schema;
mod body;
mod certificates;
mod events;
mod keys;
mod oauth_clients;
mod provisioning_log;

use axum::http::Method;

use super::routes::{Entry, Routes};

pub fn routes() -> Routes {
    Routes::new()
        .add(Method::GET, "/api/v1/connections/{slug}/certificates", Entry::Session, certificates::list)
        .add(Method::POST, "/api/v1/connections/{slug}/certificates", Entry::Session, certificates::add)
        .add(Method::POST, "/api/v1/connections/{slug}/certificates/{id}/retire", Entry::Session, certificates::retire)
        .add(Method::GET, "/api/v1/connections/{slug}/keys", Entry::Session, keys::list)
        .add(Method::POST, "/api/v1/connections/{slug}/keys", Entry::Session, keys::add)
        .add(Method::POST, "/api/v1/connections/{slug}/keys/{id}/activate", Entry::Session, keys::activate)
        .add(Method::POST, "/api/v1/connections/{slug}/keys/{id}/retire", Entry::Session, keys::retire)
        .add(Method::POST, "/api/v1/connections/{slug}/keys/{id}/remove", Entry::Session, keys::remove)
        .add(Method::GET, "/api/v1/connections/{slug}/provisioning-log", Entry::Session, provisioning_log::list)
        .add(Method::GET, "/api/v1/connections/{slug}/oauth-clients", Entry::Session, oauth_clients::list)
        .add(Method::POST, "/api/v1/connections/{slug}/oauth-clients", Entry::Session, oauth_clients::create)
        .add(Method::POST, "/api/v1/connections/{slug}/oauth-clients/{id}/revoke", Entry::Session, oauth_clients::revoke)
        .add(Method::POST, "/api/v1/connections/{slug}/oauth-clients/{id}/secrets", Entry::Session, oauth_clients::add_secret)
        .add(
            Method::POST,
            "/api/v1/connections/{slug}/oauth-clients/{id}/secrets/{secret}/revoke",
            Entry::Session,
            oauth_clients::revoke_secret,
        )
        .add(Method::GET, "/api/v1/events", Entry::Session, events::list)
        .add(Method::GET, "/api/v1/attribute-schema", Entry::Session, attribute_schema::get)
        .add(Method::PUT, "/api/v1/attribute-schema", Entry::Session, attribute_schema::put)
        .add(Method::DELETE, "/api/v1/attribute-schema", Entry::Session, attribute_schema::delete)
}
