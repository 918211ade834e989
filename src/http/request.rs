//! What surrounds every request: a task of its own, an id, one line in the log.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument as _;

use super::error::Problem;
use crate::app::App;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request in logs, in audit rows and towards the client.
#[derive(Debug, Clone)]
pub struct RequestId(String);

impl RequestId {
    /// The caller's own, when it has the form of an id: 1 to 64 letters, digits, `-`, `_`, `.`; else a new one.
    fn choose(headers: &HeaderMap, app: &App) -> Self {
        let sane = |text: &&str| {
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let sent = headers.get(HEADER).and_then(|value| value.to_str().ok()).filter(sane);
        Self(sent.map_or_else(|| format!("{:032x}", u128::from_be_bytes(app.random.bytes())), str::to_owned))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The outermost layer. A client that hangs up makes the server drop the request's future, and sqlx 0.9.0 can put a connection back
/// into its pool inside an open transaction when `begin` is dropped half way; a task of its own always comes to its end.
/// A panic ends that task alone.
pub async fn run_to_completion(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = app.now();
    let id = RequestId::choose(request.headers(), &app);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", request.id = id.as_str());
    let under_way = app.under_way.enter();
    let work = async move {
        let response = next.run(request).await;
        drop(under_way);
        response
    };
    let mut response = match tokio::spawn(work.instrument(span.clone())).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(parent: &span, panicked = error.is_panic(), "a request's task ended before its answer");
            Problem::crashed(&id).into()
        }
    };
    let duration_ms = app.now().millis() - began.millis();
    tracing::info!(parent: &span, http.method = %method, http.route = route, http.status = response.status().as_u16(), duration_ms, "request");
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}
