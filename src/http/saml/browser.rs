//! Which browser began a sign-in: one short-lived cookie for each request that waits for its response. Several may wait at once.
//!
//! The response comes with a POST from the identity provider's page, so that the cookie must go along from another site.

use axum::http::{HeaderMap, HeaderValue};

use crate::{
    app::App,
    domain::secret::Secret,
    http::cookie::{self, SameSite},
};

/// How long a person may take at the identity provider.
pub const TTL_SECS: i64 = 10 * 60;
/// Requests that one browser may have outstanding; older ones are forgotten, so that the header does not grow without bound.
const OUTSTANDING: usize = 8;

fn prefix(app: &App) -> &'static str {
    if app.config.public_url.is_https() { "__Host-rolegate_request" } else { "rolegate_request" }
}

/// Browsers take `SameSite=None` only with `Secure`, and `Secure` only over https: on plain loopback both sites are the same one.
fn same_site(app: &App) -> SameSite {
    if app.config.public_url.is_https() { SameSite::None } else { SameSite::Lax }
}

/// The cookie for a request, and those which forget the oldest that still wait.
pub fn begin(app: &App, headers: &HeaderMap, request_id: &str, secret: &Secret<String>) -> Vec<HeaderValue> {
    let (prefix, secure) = (prefix(app), app.config.public_url.is_https());
    let waiting: Vec<_> = cookie::pairs(headers).map(|(name, _)| name).filter(|name| name.starts_with(prefix) && is_ours(name)).collect();
    let surplus = (waiting.len() + 1).saturating_sub(OUTSTANDING);
    let forgotten = waiting[..surplus].iter().map(|name| cookie::forget(name, same_site(app), secure));
    let name = format!("{prefix}{request_id}");
    std::iter::once(cookie::keep(&name, secret.expose(), TTL_SECS, same_site(app), secure)).chain(forgotten).collect()
}

/// The secret that this browser got with the request.
pub fn find(app: &App, headers: &HeaderMap, request_id: &str) -> Option<Secret<String>> {
    cookie::find(headers, &format!("{}{request_id}", prefix(app))).map(|value| Secret::new(value.to_owned()))
}

/// The request has its answer.
pub fn end(app: &App, request_id: &str) -> Option<HeaderValue> {
    is_ours(request_id).then(|| cookie::forget(&format!("{}{request_id}", prefix(app)), same_site(app), app.config.public_url.is_https()))
}

/// One test sign-in at a time is in a browser: a cookie with the request's ID and the secret.
fn test_name(app: &App) -> &'static str {
    if app.config.public_url.is_https() { "__Host-rolegate_test" } else { "rolegate_test" }
}

pub fn begin_test(app: &App, request_id: &str, secret: &Secret<String>) -> HeaderValue {
    let value = format!("{request_id}.{}", secret.expose());
    cookie::keep(test_name(app), &value, TTL_SECS, same_site(app), app.config.public_url.is_https())
}

/// The request of the test that this browser began, and its secret.
pub fn find_test(app: &App, headers: &HeaderMap) -> Option<(String, Secret<String>)> {
    let (request, secret) = cookie::find(headers, test_name(app))?.split_once('.')?;
    Some((request.to_owned(), Secret::new(secret.to_owned())))
}

pub fn end_test(app: &App) -> HeaderValue {
    cookie::forget(test_name(app), same_site(app), app.config.public_url.is_https())
}

/// Made of what our names are made of: anything else must not get into a header.
fn is_ours(name: &str) -> bool {
    name.len() <= 128 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
