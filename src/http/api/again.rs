//! Changes that others were in the way of are made again from the start, a few times, before whoever asked is told to try again.
//!
//! It runs the whole request again: who asks is known anew, and what is decided is decided by what is there then. Whatever may have written
//! something is never run again.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::Request,
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;

use crate::db::attempt::attempt;

/// How often a change is tried.
const ATTEMPTS: u32 = 4;
/// What took so long waited for a lock in vain: there is no use in waiting as long again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Beside an answer that something broke (5xx): it did before anything was written.
#[derive(Debug, Clone, Copy)]
pub struct NothingWritten;

/// Around all routes; it stands aside unless the API is asked for a change.
pub async fn again(request: Request, next: Next) -> Response {
    let changes = request.uri().path().starts_with("/api/v1/") && request.method() != Method::GET;
    // What did not arrive whole cannot be handed on twice; the handler refuses it.
    let whole = request.body().size_hint().exact().is_some();
    if !changes || !whole {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let began = Instant::now();
    let mut number = 1;
    loop {
        let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        let (mut response, written) = attempt(next.clone().run(request)).await;
        if written || !response.status().is_server_error() {
            return response;
        }
        let in_the_way = response.status() == StatusCode::SERVICE_UNAVAILABLE;
        if !in_the_way || number == ATTEMPTS || began.elapsed() >= PATIENCE {
            response.extensions_mut().insert(NothingWritten);
            return response;
        }
        tokio::time::sleep(Duration::from_millis(5 << number)).await;
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use axum::{Router, http::header, middleware, response::IntoResponse as _};
    use futures_util::stream;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        db::{Db, PoolSize},
        http::error::Problem,
    };

    /// What a handler does when it is called.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Does {
        /// Is in the way of somebody so often, then answers.
        Fails(u32),
        Breaks,
        /// And finds somebody in the way behind the commit.
        Commits,
    }

    /// How often the handler was called, and what came of it.
    async fn calls(does: Does, method: Method, path: &str, body: Body) -> (u32, Response) {
        let folder = tempfile::TempDir::new().unwrap();
        let db = Db::open(&format!("sqlite://{}", folder.path().join("x.db").display()), PoolSize(1)).await.unwrap();
        let counted = Arc::new(AtomicU32::new(0));
        let count = counted.clone();
        let handler = move |body: Bytes| async move {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            match does {
                Does::Fails(times) if number <= times => Problem::unavailable("somebody is in the way").into_response(),
                Does::Fails(_) => body.into_response(),
                Does::Breaks => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                Does::Commits => {
                    let mut tx = db.begin().await.unwrap();
                    tx.query("create table done (at_ms bigint not null)").run().await.unwrap();
                    tx.commit().await.unwrap();
                    Problem::unavailable("somebody is in the way").into_response()
                }
            }
        };
        let router: Router = Router::new().fallback(handler).layer(middleware::from_fn(again));
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "text/plain").body(body).unwrap();
        let response = router.oneshot(request).await.unwrap();
        (counted.load(Ordering::Relaxed), response)
    }

    fn nothing_written(response: &Response) -> bool {
        response.extensions().get::<NothingWritten>().is_some()
    }

    #[tokio::test]
    async fn a_change_is_tried_four_times_with_all_that_was_sent() {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let (number, response) = calls(Does::Fails(3), method, "/api/v1/things", Body::from("sent")).await;
            assert_eq!((number, response.status()), (4, StatusCode::OK));
            assert_eq!(to_bytes(response.into_body(), 10).await.unwrap(), "sent");
        }
        let (number, response) = calls(Does::Fails(9), Method::POST, "/api/v1/things", Body::empty()).await;
        assert_eq!((number, response.status(), nothing_written(&response)), (4, StatusCode::SERVICE_UNAVAILABLE, true));
    }

    #[tokio::test]
    async fn what_may_have_written_something_is_not_run_again() {
        let (number, response) = calls(Does::Commits, Method::POST, "/api/v1/things", Body::empty()).await;
        assert_eq!((number, response.status(), nothing_written(&response)), (1, StatusCode::SERVICE_UNAVAILABLE, false));
        let (number, response) = calls(Does::Breaks, Method::POST, "/api/v1/things", Body::empty()).await;
        assert_eq!((number, nothing_written(&response)), (1, true), "what broke would break again");
    }

    #[tokio::test]
    async fn questions_other_protocols_and_bodies_that_come_in_pieces_are_left_alone() {
        assert_eq!(calls(Does::Fails(1), Method::GET, "/api/v1/things", Body::empty()).await.0, 1);
        assert_eq!(calls(Does::Fails(1), Method::POST, "/connections/okta/scim/v2/Users", Body::empty()).await.0, 1);
        let pieces = Body::from_stream(stream::iter([Ok::<_, std::convert::Infallible>("a"), Ok("b")]));
        assert_eq!(calls(Does::Fails(1), Method::POST, "/api/v1/things", pieces).await.0, 1);
    }
}
