//! How fast somebody may ask, on this node: each connection's requests, and those of everybody who has not said who they are.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};

use super::{
    client::Stranger,
    error::{Kind, Problem},
    health::PROBES,
    page,
    routes::{Entry, Routes},
};
use crate::{
    app::App,
    domain::{
        rate::{Bucket, Rate},
        time::Timestamp,
    },
};

/// Above so many, buckets that are full again are forgotten.
const KEPT: usize = 10_000;
/// Seconds of the steady rate that a stranger may ask for at once: people who share an address begin their day together.
const STRANGERS_BURST_SECS: u32 = 20;

/// One bucket for each that has spoken.
#[derive(Debug)]
pub struct Pace<Key>(Arc<Mutex<HashMap<Key, Bucket>>>);

impl<Key> Clone for Pace<Key> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Key> Default for Pace<Key> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<Key: Hash + Eq> Pace<Key> {
    /// # Errors
    /// When it is too fast: after how many seconds it may go on.
    pub fn take(&self, key: Key, rate: Rate, now: Timestamp) -> Result<(), u32> {
        if rate.per_second == 0 {
            return Ok(());
        }
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > KEPT {
            buckets.retain(|_, bucket| !bucket.is_full_at(rate, now));
        }
        buckets.entry(key).or_insert_with(|| Bucket::full(rate, now)).take(rate, now)
    }
}

/// What the layer works with.
#[derive(Debug, Clone)]
pub struct Strangers {
    app: App,
    open: Arc<HashSet<String>>,
}

impl Strangers {
    /// Every route that asks nothing of its caller, but for the probes, which ask from one address, and steadily.
    pub fn new(app: App, routes: &Routes) -> Self {
        let open = routes.table().iter().filter(|listed| listed.entry == Entry::Open && !PROBES.contains(&listed.path.as_str()));
        Self { app, open: Arc::new(open.map(|listed| listed.path.clone()).collect()) }
    }
}

/// Around all routes; it stands aside where a caller has to say who they are.
pub async fn strangers(State(strangers): State<Strangers>, request: Request, next: Next) -> Response {
    let is_open = request.extensions().get::<MatchedPath>().is_some_and(|path| strangers.open.contains(path.as_str()));
    if !is_open {
        return next.run(request).await;
    }
    let (app, (parts, body)) = (&strangers.app, request.into_parts());
    let per_second = app.config.open_requests_per_second;
    let rate = Rate { per_second, burst: per_second.saturating_mul(STRANGERS_BURST_SECS) };
    let taken = Stranger::of(&parts, &app.config.trusted_proxies).map_or(Ok(()), |stranger| app.strangers.take(stranger, rate, app.now()));
    match taken {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(retry_after_secs) => {
            let problem = too_fast(retry_after_secs, "Too many requests come from your address: try again in a moment.");
            if page::prefers_json(&parts.headers) { problem.into() } else { page::failed(problem) }
        }
    }
}

pub fn too_fast(retry_after_secs: u32, detail: &'static str) -> Problem {
    Problem::new(Kind::TooFast { retry_after_secs }, "too_many_requests", detail)
}
