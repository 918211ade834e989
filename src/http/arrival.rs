//! Bodies arrive whole before a request is judged: the rights that count are those of the moment in which all of it is there, and nobody
//! keeps a place by sending slowly. Who sends much or slowly is asked who they are before more is taken in, so that strangers fill no memory.
//!
//! Refuses to know what arrives at SAML's addresses: its intake has bounds of its own.

use std::{future::poll_fn, pin::Pin, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequestParts as _, MatchedPath, Request, State},
    http::request::Parts,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::{
    BODY_LIMIT,
    caller::{self, api::Caller},
    error::{Kind, Problem, ScimFailure},
};
use crate::{app::App, scim::bulk};

/// What is taken in from anybody.
const FROM_ANYBODY: usize = 64 << 10;

/// How long bodies may take to arrive.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// With anybody.
    pub anybody: Duration,
    pub scim: Duration,
    pub others: Duration,
}

pub const PATIENCE: Patience = Patience { anybody: Duration::from_secs(1), scim: Duration::from_mins(1), others: Duration::from_secs(30) };

/// Whose words the answer is in, and who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Scim,
    Api,
    /// Forms, which carry their own proof in the body.
    Page,
}

impl Protocol {
    /// `None`: the body is left alone.
    fn of(path: &str) -> Option<Self> {
        if path.starts_with("/api/") {
            return Some(Self::Api);
        }
        let below = path.strip_prefix("/connections/").and_then(|rest| rest.split_once('/')).map(|(_, below)| below);
        match below {
            Some(below) if below.starts_with("saml/") => None,
            Some(below) if below.starts_with("scim/") => Some(Self::Scim),
            _ => Some(Self::Page),
        }
    }

    async fn judge(self, parts: &mut Parts, app: &App) -> Result<(), Response> {
        match self {
            Self::Scim => caller::is_known(parts, app).await.map_err(ScimFailure::into_response),
            Self::Api => Caller::from_request_parts(parts, app).await.map(drop).map_err(Problem::into_response),
            Self::Page => Ok(()),
        }
    }

    fn too_slow(self, patience: Patience) -> Response {
        let said = |time: Duration| format!("The body did not arrive within {} seconds.", time.as_secs());
        match self {
            Self::Scim => ScimFailure::new(Kind::TooSlow, said(patience.scim)).into_response(),
            Self::Api | Self::Page => Problem::new(Kind::TooSlow, "too_slow", said(patience.others)).into_response(),
        }
    }
}

/// Around the routes, inside of what names and counts requests.
pub async fn whole(State((app, patience)): State<(App, Patience)>, request: Request, next: Next) -> Response {
    // What is at no address is answered without its body.
    let has_body = !request.body().is_end_stream() && request.extensions().get::<MatchedPath>().is_some();
    let Some(protocol) = Protocol::of(request.uri().path()).filter(|_| has_body) else {
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    let most = match protocol {
        Protocol::Scim if parts.uri.path().ends_with("/Bulk") => bulk::BODY,
        Protocol::Scim | Protocol::Api => BODY_LIMIT,
        // Nobody is asked who they are: strangers send no more than a form.
        Protocol::Page => FROM_ANYBODY,
    };
    match take_in(protocol, &app, patience, most, &mut parts, body).await {
        Ok(body) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => refusal,
    }
}

/// The body as it is handed on. One that is too long or was cut off is so still: the handler has the words for it.
async fn take_in(protocol: Protocol, app: &App, patience: Patience, most: usize, parts: &mut Parts, body: Body) -> Result<Body, Response> {
    let began = Instant::now();
    let mut arriving = Arriving { body, bytes: Vec::new() };
    let mut end = timeout_at(began + patience.anybody, arriving.read(FROM_ANYBODY)).await.unwrap_or(End::NotYet);
    if end == End::NotYet {
        protocol.judge(parts, app).await?;
        let time = if protocol == Protocol::Scim { patience.scim } else { patience.others };
        end = timeout_at(began + time, arriving.read(most)).await.map_err(|_| protocol.too_slow(patience))?;
    }
    match end {
        End::NotYet if protocol == Protocol::Page => {
            let said = format!("The body is longer than {most} bytes.");
            Err(Problem::new(Kind::TooLarge, "too_large", said).into_response())
        }
        End::Reached | End::NotYet => Ok(Body::from(arriving.bytes)),
        End::Cut => Ok(Body::from_stream(stream::once(async { Err::<Vec<u8>, _>("the body was cut off") }))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Reached,
    /// There is more of it.
    NotYet,
    Cut,
}

struct Arriving {
    body: Body,
    bytes: Vec<u8>,
}

impl Arriving {
    /// Until the end, or until more than `most` bytes are there.
    async fn read(&mut self, most: usize) -> End {
        while self.bytes.len() <= most {
            match poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await {
                None => return End::Reached,
                Some(Err(_)) => return End::Cut,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.bytes.extend_from_slice(&data);
                    }
                }
            }
        }
        End::NotYet
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::{
        Router,
        body::to_bytes,
        http::{Method, header},
        middleware,
    };
    use futures_util::StreamExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        app::{Clock, Migrations, Random},
        config::Config,
        domain::time::Timestamp,
        http::{
            request::run_to_completion,
            routes::{Entry, Routes},
        },
    };

    const BRIEF: Patience =
        Patience { anybody: Duration::from_millis(20), scim: Duration::from_millis(60), others: Duration::from_millis(60) };

    /// These bytes, and then silence.
    fn slow(said: &'static str) -> Body {
        let said = stream::once(async move { Ok::<_, Infallible>(said) });
        Body::from_stream(said.chain(stream::pending()))
    }

    async fn ask(path: &'static str, body: Body) -> (u16, String) {
        let folder = tempfile::TempDir::new().unwrap();
        let variables = [("ROLEGATE_DATA_DIR".to_owned(), folder.path().to_str().unwrap().to_owned())];
        let config = Config::resolve(None, variables, &|_| unreachable!("no password file")).unwrap();
        let clock = Clock::fixed(Timestamp::from_millis(1_772_500_000_000));
        let app = App::open_with(config, Migrations::Run, clock, Random::seeded(1)).await.unwrap();
        let echo = async |body: axum::body::Bytes| format!("{} bytes", body.len());
        let listed = Routes::new()
            .add(Method::POST, "/login", Entry::Open, echo)
            .add(Method::POST, "/sign-in/link", Entry::Open, echo)
            .add(Method::POST, "/connections/{slug}/oauth/token", Entry::Open, echo)
            .add(Method::POST, "/connections/{slug}/scim/v2/Users", Entry::Open, echo)
            .add(Method::POST, "/connections/{slug}/saml/acs", Entry::Open, async || "left alone")
            .add(Method::POST, "/api/things", Entry::Open, echo);
        let router: Router = listed
            .into_router()
            .layer(middleware::from_fn_with_state((app.clone(), BRIEF), whole))
            .layer(middleware::from_fn_with_state(app.clone(), run_to_completion))
            .with_state(app);
        let request = Request::builder().method("POST").uri(path).header(header::AUTHORIZATION, "Bearer rg_api_x").body(body).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        (status, String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_waited_for_no_longer() {
        let (status, body) = ask("/login", slow("csrf_token=")).await;
        assert!(status == 408 && body.contains("\"code\":\"too_slow\""), "{status} {body}");
        assert_eq!(ask("/sign-in/link", slow("token=")).await.0, 408);
        assert_eq!(ask("/connections/okta/oauth/token", slow("grant_type=")).await.0, 408);
        assert_eq!(ask("/login", Body::from("csrf_token=x")).await, (200, "12 bytes".to_owned()));
        assert_eq!(ask("/connections/okta/saml/acs", slow("SAMLResponse=")).await, (200, "left alone".to_owned()));
        let long = Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(vec![b' '; 4096])).take(100));
        assert_eq!(ask("/login", long).await.0, 413, "longer than any form");
        assert_eq!(ask("/nowhere", slow("x")).await.0, 404, "no address waits for a body");
        let cut = Body::from_stream(stream::iter([Ok("csrf"), Err("the client hung up")]));
        assert_eq!(ask("/login", cut).await.0, 400);
    }

    #[tokio::test]
    async fn of_strangers_little_is_taken_in() {
        for path in ["/api/things", "/connections/okta/scim/v2/Users"] {
            assert_eq!(ask(path, slow("{")).await.0, 401, "slow, {path}");
            let long = Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(vec![b' '; 4096])));
            assert_eq!(ask(path, long).await.0, 401, "without end, {path}");
            assert_eq!(ask(path, Body::from("{}")).await, (200, "2 bytes".to_owned()), "whoever it is, the handler asks, {path}");
        }
    }
}
