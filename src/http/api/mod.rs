//! Administration as JSON below `/api/v1`: a session's cookie, and the header `X-CSRF-Token` with every change.

mod attribute_schema;
mod body;
mod certificates;
mod events;
mod keys;
mod metadata;
mod oauth_clients;
mod provisioning_log;
mod sessions;
mod sign_in_log;
pub(super) mod test_sign_ins;

use axum::http::Method;

use super::routes::{Entry, Routes};

pub fn routes() -> Routes {
    Routes::new()
        .add(Method::GET, "/api/v1/connections/{slug}/certificates", Entry::Session, certificates::list)
        .add(Method::POST, "/api/v1/connections/{slug}/certificates", Entry::Session, certificates::add)
        .add(Method::POST, "/api/v1/connections/{slug}/certificates/{id}/retire", Entry::Session, certificates::retire)
        .add(Method::GET, "/api/v1/connections/{slug}/metadata", Entry::Session, metadata::get)
        .add(Method::PUT, "/api/v1/connections/{slug}/metadata", Entry::Session, metadata::put)
        .add(Method::POST, "/api/v1/connections/{slug}/metadata/refresh", Entry::Session, metadata::refresh)
        .add(Method::POST, "/api/v1/connections/{slug}/metadata/proposals/{id}/accept", Entry::Session, metadata::accept)
        .add(Method::POST, "/api/v1/connections/{slug}/metadata/proposals/{id}/decline", Entry::Session, metadata::decline)
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
        .add(Method::GET, "/api/v1/connections/{slug}/sign-in-log", Entry::Session, sign_in_log::list)
        .add(Method::GET, "/api/v1/connections/{slug}/sign-in-log/{id}", Entry::Session, sign_in_log::get)
        .add(Method::POST, "/api/v1/connections/{slug}/test-sign-ins", Entry::Session, test_sign_ins::start)
        .add(Method::GET, "/api/v1/connections/{slug}/test-sign-ins/{id}", Entry::Session, test_sign_ins::get)
        .add(Method::GET, "/api/v1/events", Entry::Session, events::list)
        .add(Method::GET, "/api/v1/sessions", Entry::Session, sessions::list)
        .add(Method::DELETE, "/api/v1/sessions/{id}", Entry::Session, sessions::revoke)
        .add(Method::GET, "/api/v1/accounts/{id}/sessions", Entry::Session, sessions::list_of)
        .add(Method::DELETE, "/api/v1/accounts/{id}/sessions", Entry::Session, sessions::revoke_all_of)
        .add(Method::DELETE, "/api/v1/accounts/{id}/sessions/{session}", Entry::Session, sessions::revoke_of)
        .add(Method::GET, "/api/v1/attribute-schema", Entry::Session, attribute_schema::get)
        .add(Method::PUT, "/api/v1/attribute-schema", Entry::Session, attribute_schema::put)
        .add(Method::DELETE, "/api/v1/attribute-schema", Entry::Session, attribute_schema::delete)
}
