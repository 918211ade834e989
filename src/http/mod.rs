//! The shell: HTTP in, HTTP out. Routes are listed here, on one screen; a handler extracts, calls, maps and responds.
//!
//! Refuses to know SQL and to decide anything: what is decided stands in `provision`, `policy`, `scim` and `saml`.

pub mod caller;
mod change;
pub mod error;
mod health;
mod request;
mod scim;

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};

use crate::app::App;

/// Bytes of a body, unless a route says otherwise: what SCIM takes, and more than any form or certificate needs.
const BODY_LIMIT: usize = 1 << 20;

/// Every route of the gateway. The outermost layer runs each request in a task of its own.
pub fn router(app: App) -> Router {
    Router::new()
        .nest("/connections/{slug}/scim/v2", scim::routes())
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(error::no_such_page)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(app.clone(), request::run_to_completion))
        .with_state(app)
}
