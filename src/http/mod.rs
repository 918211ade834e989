//! The shell: HTTP in, HTTP out. Routes are listed here, on one screen; a handler extracts, calls, maps and responds.
//!
//! Refuses to know SQL and to decide anything: what is decided stands in `provision`, `policy`, `scim` and `saml`.

mod answer_headers;
mod api;
mod arrival;
pub mod caller;
mod change;
pub mod client;
mod cookie;
mod database_error;
mod docs;
pub mod error;
mod etag;
mod health;
mod link;
pub mod listen;
mod local_path;
mod login;
mod me;
mod meter;
mod oauth;
mod openapi;
pub mod operation;
pub mod pace;
pub mod page;
pub mod queue;
mod request;
pub mod routes;
pub mod saml;
mod scim;
mod work;

use axum::{Router, extract::DefaultBodyLimit, http::Method, middleware};

use self::{
    api::{
        again,
        idempotency::{self, Once},
    },
    pace::Strangers,
    routes::{Entry, Routes},
};
use crate::app::App;

/// Bytes of a body, unless a route says otherwise: what SCIM takes, and more than any form or certificate needs.
const BODY_LIMIT: usize = 1 << 20;

/// Every route of the gateway.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .merge(scim::routes())
        .merge(saml::routes())
        .merge(api::routes())
        .add(Method::POST, "/connections/{slug}/oauth/token", Entry::Open, oauth::token)
        .add(Method::GET, "/api/openapi.json", Entry::Open, openapi::get)
        .add(Method::GET, "/api/docs", Entry::Open, docs::get)
        .add(Method::GET, "/", Entry::Open, me::home)
        .add(Method::GET, "/me", Entry::Session, me::get)
        .add(Method::GET, "/login", Entry::Open, login::get)
        .add(Method::POST, "/login", Entry::Open, login::post)
        .add(Method::POST, "/logout", Entry::Session, me::log_out)
        .add(Method::GET, "/sign-in/link", Entry::Open, link::get)
        .add(Method::POST, "/sign-in/link", Entry::Open, link::post)
        .add(Method::GET, "/health/live", Entry::Open, health::live)
        .add(Method::GET, "/health/ready", Entry::Open, health::ready)
}

/// The routes, served. Below the layer of the common headers, the outermost layer runs each request in a task of its own.
pub fn router(app: App) -> Router {
    let routes = routes();
    let once = Once::new(app.clone(), &routes);
    let strangers = Strangers::new(app.clone(), &routes);
    routes
        .into_router()
        .fallback(error::no_such_page)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(middleware::from_fn(again::again))
        .layer(middleware::from_fn_with_state(once, idempotency::once))
        .layer(middleware::from_fn_with_state((app.clone(), arrival::PATIENCE), arrival::whole))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(strangers, pace::strangers))
        .layer(middleware::from_fn_with_state(app.clone(), meter::record))
        .layer(middleware::from_fn_with_state(app.clone(), request::run_to_completion))
        .layer(middleware::map_response(answer_headers::protect))
        .with_state(app)
}
