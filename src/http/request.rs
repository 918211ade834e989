//! Surrounds every request with a task, an id and one line in the log.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument as _, Span};

use super::{
    client,
    error::{Problem, RefusalCode},
    health::PROBES,
};
use crate::{
    app::App,
    domain::actor::{Actor, Correlation},
};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Carries the client's own id back to it.
const CLIENT_HEADER: HeaderName = HeaderName::from_static("x-client-request-id");

/// Names a request in logs, in audit rows and towards the client.
#[derive(Debug, Clone)]
pub struct RequestId {
    /// Always made by the gateway: a client that chose it could make its changes look like those of another request.
    ours: String,
    client: Option<String>,
}

impl RequestId {
    /// Makes an id, and keeps the client's beside it if that has the form of an id: 1 to 64 letters, digits, `-`, `_`, `.`.
    fn new(headers: &HeaderMap, app: &App) -> Self {
        let is_id = |text: &&str| {
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let client = headers.get(HEADER).and_then(|value| value.to_str().ok()).filter(is_id).map(str::to_owned);
        Self { ours: format!("{:032x}", u128::from_be_bytes(app.random.bytes())), client }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.ours
    }

    /// The id that the client gave its request.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }
}

impl From<&RequestId> for Correlation {
    fn from(id: &RequestId) -> Self {
        Self { id: id.ours.clone(), client_request_id: id.client.clone() }
    }
}

/// The actor of a request, once it is known; for the log.
#[derive(Debug, Clone, Default)]
pub struct Requester(Arc<OnceLock<(&'static str, Option<String>)>>);

impl Requester {
    pub fn identify(&self, actor: &Actor) {
        let _ = self.0.set((actor.kind(), actor.id()));
    }
}

/// The outermost layer. A client that hangs up makes the server drop the request's future, and sqlx 0.9.0 can put a connection back
/// into its pool inside an open transaction when `begin` is dropped half way; a task of its own always comes to its end.
/// A panic ends that task alone.
pub async fn run_to_completion(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = app.now();
    let id = RequestId::new(request.headers(), &app);
    let method = request.method().clone();
    let address = client::nearest(request.extensions(), request.headers(), &app.config.trusted_proxies);
    let requester = Requester::default();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(requester.clone());
    let span = tracing::info_span!("request", request.id = id.as_str(), request.client_id = id.client());
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
    if response.status().is_client_error() {
        log_refusal(&span, (&method, &route), &response, (&requester, address), duration_ms);
    } else {
        log(&span, &method, &route, response.status(), duration_ms);
    }
    for (name, id) in [(HEADER, Some(id.as_str())), (CLIENT_HEADER, id.client())] {
        if let Some(Ok(value)) = id.map(HeaderValue::from_str) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A refusal is logged with who asked and from where.
fn log_refusal(
    span: &Span,
    (method, route): (&Method, &str),
    response: &Response,
    (requester, address): (&Requester, Option<IpAddr>),
    duration_ms: i64,
) {
    let (actor_kind, actor_id) = requester.0.get().map(|(kind, id)| (*kind, id.as_deref())).unzip();
    tracing::info!(
        parent: span,
        http.method = %method,
        http.route = route,
        http.status = response.status().as_u16(),
        duration_ms,
        actor.kind = actor_kind,
        actor.id = actor_id.flatten(),
        client.address = address.map(tracing::field::display),
        refusal.code = response.extensions().get::<RefusalCode>().map(|code| code.0),
        "request refused"
    );
}

fn log(span: &Span, method: &Method, route: &str, status: StatusCode, duration_ms: i64) {
    let status_code = status.as_u16();
    if is_news(route, status) {
        tracing::info!(parent: span, http.method = %method, http.route = route, http.status = status_code, duration_ms, "request");
    } else {
        tracing::debug!(parent: span, http.method = %method, http.route = route, http.status = status_code, duration_ms, "request");
    }
}

/// Orchestrators ask every few seconds: that all is still well would hide everything else.
fn is_news(route: &str, status: StatusCode) -> bool {
    !(PROBES.contains(&route) && status.is_success())
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::{Body, to_bytes},
        middleware,
    };
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        app::{Clock, Migrations, Random},
        config::Config,
        domain::time::Timestamp,
        http::routes::{Entry, Routes},
    };

    #[test]
    fn a_probe_is_news_when_it_fails() {
        assert!(!is_news("/health/live", StatusCode::OK) && !is_news("/health/ready", StatusCode::OK));
        assert!(is_news("/health/ready", StatusCode::SERVICE_UNAVAILABLE));
        assert!(is_news("/me", StatusCode::OK) && is_news("none", StatusCode::NOT_FOUND));
    }

    async fn boom() -> &'static str {
        panic!("a mistake in a handler")
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_with_the_requests_id_and_the_next_request_is_served() {
        let folder = tempfile::TempDir::new().unwrap();
        let variables = [("ROLEGATE_DATA_DIR".to_owned(), folder.path().to_str().unwrap().to_owned())];
        let config = Config::resolve(None, variables, &|_| unreachable!("no password file")).unwrap();
        let clock = Clock::fixed(Timestamp::from_millis(1_772_500_000_000));
        let app = App::open_with(config, Migrations::Run, clock, Random::seeded(1)).await.unwrap();
        let layer = middleware::from_fn_with_state(app.clone(), run_to_completion);
        let listed = Routes::new().add(Method::GET, "/boom", Entry::Open, boom).add(Method::GET, "/fine", Entry::Open, async || "fine");
        let router: Router = listed.into_router().layer(layer).with_state(app.clone());
        let call = async |path: &str| {
            let request = Request::builder().uri(path).header("x-request-id", "r-1").body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            (status, String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap())
        };
        let (status, body) = call("/boom").await;
        assert_eq!(status, 500);
        assert!(body.contains("\"code\":\"internal\"") && !body.contains("r-1") && !body.contains("mistake"), "{body}");
        let (_, id) = body.split_once("as request ").unwrap();
        assert!(id.bytes().take(32).all(|byte| byte.is_ascii_hexdigit()), "{body}");
        assert_eq!(call("/fine").await, (200, "fine".to_owned()));
        app.under_way.ended().await;
    }
}
