//! Administration as JSON below `/api/v1`: a session's cookie, and the header `X-CSRF-Token` with every change.

mod certificates;

use axum::http::Method;

use super::routes::{Entry, Routes};

pub fn routes() -> Routes {
    Routes::new()
        .add(Method::GET, "/api/v1/connections/{slug}/certificates", Entry::Session, certificates::list)
        .add(Method::POST, "/api/v1/connections/{slug}/certificates", Entry::Session, certificates::add)
        .add(Method::POST, "/api/v1/connections/{slug}/certificates/{id}/retire", Entry::Session, certificates::retire)
}
