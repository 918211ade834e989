//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a POST that a client sends again under the same key is done once and
//! answered twice. Keys are those of one session or token, for one route, for a day: an answer is repeated to whom it was given, if they
//! still have the right to the request.
//!
//! The key is taken before the work begins and never done under it again: when the process ends between the work and the keeping of its
//! answer, who asks again is told that nobody knows how it ended. Only successes are kept: a refusal of the client's (4xx) changed nothing,
//! so its key is free, and so is that of what broke (5xx) before anything was written; of what broke later, nobody knows either.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::again::NothingWritten;
use crate::{
    app::App,
    db::{
        attempt,
        idempotency::{self, Slot},
    },
    domain::{capability::Capability, time::Timestamp},
    http::{
        BODY_LIMIT,
        caller::api::{By, Caller, ChangingCaller},
        error::{Kind, Problem},
        routes::Routes,
    },
    keys,
    policy::access::permit_below,
};

pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Headers that are answered again.
const KEPT: [HeaderName; 4] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG, header::CACHE_CONTROL];
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// So long a request can be under way; statements of the database end before.
const UNDER_WAY_SECS: i64 = 60;
const LONGEST_KEY: usize = 255;
/// How often it is tried to give a key back, each time after twice as long: for about two minutes.
const RELEASES: u32 = 10;

/// What the layer works with.
#[derive(Debug, Clone)]
pub struct Once {
    app: App,
    /// Routes that take a key, with the right that each asks for.
    routes: Arc<HashMap<String, Option<Capability>>>,
}

/// A request that is to be made once.
struct Asked {
    route: String,
    capability: Option<Capability>,
    key: HeaderValue,
}

impl Once {
    pub fn new(app: App, routes: &Routes) -> Self {
        let documented = routes.table().iter().filter_map(|listed| listed.documented.as_ref());
        let taking = documented.filter(|documented| documented.operation.takes_idempotency_key());
        let routes = taking.map(|documented| (documented.operation.path.to_owned(), documented.operation.capability)).collect();
        Self { app, routes: Arc::new(routes) }
    }

    fn asked(&self, request: &Request) -> Option<Asked> {
        let path = request.extensions().get::<MatchedPath>()?.as_str();
        let key = request.headers().get(HEADER)?.clone();
        let capability = *self.routes.get(path).filter(|_| request.method() == Method::POST)?;
        Some(Asked { route: format!("POST {path}"), capability, key })
    }
}

/// An answer as it is kept, sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Around all routes; it stands aside unless a key was sent to a route that takes one.
pub async fn once(State(once): State<Once>, request: Request, next: Next) -> Response {
    let Some(asked) = once.asked(&request) else { return next.run(request).await };
    match work(&once.app, asked, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into(),
    }
}

async fn work(app: &App, asked: Asked, request: Request, next: Next) -> Result<Response, Problem> {
    let Asked { route, capability, key } = asked;
    let key = read_key(&key)?;
    let (mut parts, body) = request.into_parts();
    let ChangingCaller(caller) = ChangingCaller::from_request_parts(&mut parts, app).await?;
    let body = to_bytes(body, BODY_LIMIT).await;
    let body =
        body.map_err(|_| Problem::new(Kind::TooLarge, "too_large", "The body is larger than 1 MiB, or ended before it was complete."))?;
    let slot = Slot { tenant: caller.tenant, caller: bearer(&caller)?, route, key };
    let (digest, now) = (digest(&parts, &body), app.now());
    let is_new = idempotency::take(&app.db, &slot, &digest, now, now.plus_secs(-idempotency::TTL_SECS)).await?;
    let request = Request::from_parts(parts, Body::from(body));
    if !is_new {
        let kept = find_kept(app, &slot, &digest, now).await?;
        return Ok(refusal_of_now(&caller, capability, request, next).await.unwrap_or_else(|| replay(kept)));
    }
    let response = next.run(request).await;
    Ok(settle(app, &slot, now, response).await)
}

/// The session or the token.
fn bearer(caller: &Caller) -> Result<String, Problem> {
    match &caller.by {
        By::Session(session) => Ok(format!("session {}", session.id)),
        By::ApiToken(id) => Ok(format!("token {id}")),
        By::AppToken => Err(Problem::forbidden("An application's token looks and changes nothing.")),
    }
}

fn read_key(sent: &HeaderValue) -> Result<String, Problem> {
    let key = sent.to_str().unwrap_or_default().trim().trim_matches('"');
    if (1..=LONGEST_KEY).contains(&key.len()) {
        return Ok(key.to_owned());
    }
    let detail = format!("Idempotency-Key has 1 to {LONGEST_KEY} visible characters; a new UUID for each request is a good one.");
    Err(Problem::invalid("idempotency_key", detail).at("Idempotency-Key"))
}

/// What was asked: the address with its parameters, and the body.
fn digest(parts: &Parts, body: &Bytes) -> String {
    let address = parts.uri.path_and_query().map_or("", |address| address.as_str());
    keys::hash(&format!("{}\n{}", keys::hash(address), keys::hash_bytes(body)))
}

/// Asks for the right again by a rehearsal of the request, which commits nothing. Returns the answer if it is a refusal.
///
/// What the first request deleted is not found again. Whoever has the right in the whole tenant sees everything, so that nothing is hidden
/// from them as "not found".
async fn refusal_of_now(caller: &Caller, capability: Option<Capability>, request: Request, next: Next) -> Option<Response> {
    let answer = attempt::rehearse(next.run(request)).await;
    let root = caller.model.organizations.root();
    let sees_all = || capability.is_some_and(|capability| permit_below(&caller.actor, &caller.model, capability, root).is_ok());
    let is_refusal = match answer.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => true,
        StatusCode::NOT_FOUND => !sees_all(),
        _ => false,
    };
    is_refusal.then_some(answer)
}

/// The answer that is kept of a request whose key was seen before.
async fn find_kept(app: &App, slot: &Slot, digest: &str, now: Timestamp) -> Result<Kept, Problem> {
    let in_progress =
        || Problem::conflict("idempotency_in_progress", "A request with this Idempotency-Key is under way; ask again in a moment.");
    let Some(earlier) = idempotency::find(&app.db, slot).await? else { return Err(in_progress()) };
    if earlier.digest != digest {
        let detail = "This Idempotency-Key was used for another request within the last day; make a new one.";
        return Err(Problem::unprocessable("idempotency_key_reused", detail).at("Idempotency-Key"));
    }
    let kept = earlier.answer.and_then(|sealed| app.keys.unseal(&purpose(slot), &sealed));
    match kept.and_then(|plain| serde_json::from_slice::<Kept>(&plain).ok()) {
        Some(kept) => Ok(kept),
        None if now < Timestamp::from_millis(earlier.created_at_ms).plus_secs(UNDER_WAY_SECS) => Err(in_progress()),
        None => {
            let detail =
                "Nobody knows how the first request with this Idempotency-Key ended: look whether it was done, then use a new key.";
            Err(Problem::conflict("idempotency_unknown", detail))
        }
    }
}

fn replay(kept: Kept) -> Response {
    let mut response = (StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK), kept.body).into_response();
    // A body that is a text was given a type.
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Done,
    Nothing,
    /// It broke, and nobody knows before or after it was done: the commit itself may be what was not answered.
    Unknown,
}

fn ending(status: StatusCode, nothing_written: bool) -> Ending {
    match status {
        status if status.is_success() => Ending::Done,
        status if status.is_server_error() && !nothing_written => Ending::Unknown,
        _ => Ending::Nothing,
    }
}

/// Keeps the answer of what was done; gives the key back when nothing was.
async fn settle(app: &App, slot: &Slot, taken_at: Timestamp, response: Response) -> Response {
    match ending(response.status(), response.extensions().get::<NothingWritten>().is_some()) {
        Ending::Done => {}
        Ending::Unknown => return response,
        Ending::Nothing => {
            release(app, slot, taken_at).await;
            return response;
        }
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let kept =
        Kept { status: parts.status.as_u16(), headers: kept_headers(&parts.headers), body: String::from_utf8_lossy(&body).into_owned() };
    let plain = serde_json::to_vec(&kept).expect("texts can be written as JSON");
    let sealed = app.keys.seal(&purpose(slot), app.random.bytes(), &plain);
    if let Err(error) = idempotency::keep(&app.db, slot, &sealed).await {
        // It was done: the answer stands, only its repetition is lost.
        tracing::warn!(%error, "the answer to a request with an Idempotency-Key was not kept");
    }
    Response::from_parts(parts, Body::from(body))
}

/// What keeps a request from being done may keep its key from being given back: then that is tried for a while after the answer.
async fn release(app: &App, slot: &Slot, taken_at: Timestamp) {
    if idempotency::release(&app.db, slot, taken_at).await.is_ok() {
        return;
    }
    let (db, slot) = (app.db.clone(), slot.clone());
    tokio::spawn(async move {
        for number in 0..RELEASES {
            tokio::time::sleep(Duration::from_millis(100 << number)).await;
            match idempotency::release(&db, &slot, taken_at).await {
                Ok(()) => return,
                Err(error) if number + 1 == RELEASES => tracing::warn!(%error, "an Idempotency-Key that is free was not given back"),
                Err(_) => {}
            }
        }
    });
}

fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = KEPT.iter().filter_map(|name| Some((name.as_str().to_owned(), headers.get(name)?.to_str().ok()?.to_owned())));
    kept.collect()
}

/// A sealed answer opens in its own slot only.
fn purpose(slot: &Slot) -> String {
    format!("idempotent answer {} {} {} {}", slot.tenant, slot.caller, slot.route, slot.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_free_again_only_where_nothing_can_have_been_done() {
        for (status, nothing_written, expected) in [
            (StatusCode::CREATED, false, Ending::Done),
            (StatusCode::CONFLICT, false, Ending::Nothing),
            (StatusCode::FORBIDDEN, false, Ending::Nothing),
            (StatusCode::INTERNAL_SERVER_ERROR, false, Ending::Unknown),
            (StatusCode::INTERNAL_SERVER_ERROR, true, Ending::Nothing),
            (StatusCode::SERVICE_UNAVAILABLE, false, Ending::Unknown),
            (StatusCode::SERVICE_UNAVAILABLE, true, Ending::Nothing),
        ] {
            assert_eq!(ending(status, nothing_written), expected, "{status} {nothing_written}");
        }
    }
}
