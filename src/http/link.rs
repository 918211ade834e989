//! One-time sign-in links. Looking at one shows a button, so that programs which follow links in messages do not use it up; the button
//! does.

use askama::Template;
use axum::{
    extract::{Form, Query, State, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    caller::session::{cookie_hash, keep_cookie, same_origin},
    page,
    request::RequestId,
};
use crate::{
    admin,
    app::App,
    domain::{actor::Actor, secret::Secret},
    http::error::Problem,
    keys,
};

#[derive(Deserialize)]
pub struct Token {
    token: Option<String>,
}

#[derive(Template)]
#[template(path = "link.html")]
struct Page<'a> {
    action: &'a str,
    token: &'a str,
}

pub async fn get(State(app): State<App>, Query(query): Query<Token>) -> Response {
    let Some(token) = query.token.filter(|token| !token.is_empty()) else { return refuse() };
    let action = format!("{}/sign-in/link", app.config.public_url.prefix());
    page::respond(StatusCode::OK, &Page { action: &action, token: &token })
}

pub async fn post(
    State(app): State<App>,
    Query(query): Query<Token>,
    request_id: axum::Extension<RequestId>,
    headers: HeaderMap,
    form: Result<Form<Token>, FormRejection>,
) -> Response {
    // Somebody else's page must not sign a browser in to an account of its choosing.
    if let Err(problem) = same_origin(&headers, &app.config.public_url) {
        return problem.into();
    }
    if let Err(off) = app.check_clock() {
        return page::failed(Problem::unavailable(off.to_string()));
    }
    let Some(token) = form.ok().and_then(|form| form.0.token).or(query.token).map(Secret::new) else { return refuse() };
    let mut occasion = app.occasion(Actor::System, &request_id.0);
    let secret = keys::secret(app.random.bytes());
    match admin::session::sign_in_by_link(&app.db, &mut occasion, &token, &secret, cookie_hash(&app, &headers)).await {
        Ok(Some(expires_at)) => {
            app.committed.notify_one();
            let mut response = StatusCode::SEE_OTHER.into_response();
            let home = format!("{}/me", app.config.public_url.prefix());
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_str(&home).expect("an address's path is visible ASCII"));
            let max_age_secs = (expires_at.millis() - occasion.now.millis()) / 1000;
            response.headers_mut().insert(header::SET_COOKIE, keep_cookie(&app, &secret, max_age_secs));
            response
        }
        Ok(None) => refuse(),
        Err(error) => page::failed(error.into()),
    }
}

/// The same whether it was used, is too old, or never was one.
fn refuse() -> Response {
    let lines = [
        "The link was used already, is too old, or was never one. Ask the operator of the gateway for a new one: `rolegate owner recover`.",
    ];
    page::say(StatusCode::FORBIDDEN, "This link signs nobody in", &lines)
}
