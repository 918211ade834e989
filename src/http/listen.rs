//! The listener: it accepts connections, bounds them for each client and in all, and closes those whose client takes too long.

pub mod places;

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
    http::{Request, Response},
};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::Instant,
};
use tower::ServiceExt as _;

use self::places::{InProgress, Limits, Place, Places, Taken};
use crate::config::Network;

/// How long a new connection may take for the head of its first request.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a client may take for the head of a later request, from the end of the one before. Longer than identity providers keep a
/// connection without using it.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// Connections that are open at once.
const IN_ALL: usize = 4096;
/// Connections that one client may have open at once. Many browsers may share the address of a network.
const OF_CLIENT: usize = 256;
/// The pause after an error of `accept` that is not the fault of one connection: too many open files, mostly.
const PAUSE: Duration = Duration::from_millis(500);
/// How often the log says that connections were closed to make room.
const REPORT_EVERY: Duration = Duration::from_mins(1);

/// Limits of time and number for connections.
#[derive(Debug, Clone)]
pub struct Bounds {
    pub first_head_time: Duration,
    pub head_time: Duration,
    pub limits: Limits,
}

impl Bounds {
    /// The limits of production. Trusted proxies and this machine carry the connections of many clients: their number is not limited.
    #[must_use]
    pub fn new(trusted_proxies: &[Network]) -> Self {
        let loopback = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().expect("a network of this machine"));
        let exempt = trusted_proxies.iter().copied().chain(loopback).collect();
        Self { first_head_time: FIRST_HEAD_TIME, head_time: HEAD_TIME, limits: Limits { in_all: IN_ALL, of_client: OF_CLIENT, exempt } }
    }
}

/// Serves until `stop` turns true, and then until the requests that clients were sending are answered.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, mut stop: watch::Receiver<bool>) {
    let bounds = Arc::new(bounds);
    let (mut connections, places, mut closed) = (JoinSet::new(), Places::default(), Closed::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stop) => break,
        };
        match accepted {
            Ok((socket, peer)) => match find_place(&places, peer, &bounds.limits, &mut closed, &mut stop).await {
                Some(place) => {
                    connections.spawn(connection(socket, peer, Arc::new(place), router.clone(), bounds.clone(), stop.clone()));
                }
                None => drop(socket),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
        // Those that have ended are let go.
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A place for a new connection. Waits for one while all places have a request in progress. `None`: the client has too many requests in
/// progress, or the server stops.
async fn find_place(
    places: &Places,
    peer: SocketAddr,
    limits: &Limits,
    closed: &mut Closed,
    stop: &mut watch::Receiver<bool>,
) -> Option<Place> {
    loop {
        match places.take(peer.ip(), limits) {
            Ok((place, has_evicted)) => {
                closed.add(u64::from(has_evicted), 0);
                return Some(place);
            }
            Err(Taken::OfClient) => {
                closed.add(0, 1);
                return None;
            }
            Err(Taken::InAll) => {}
        }
        tokio::select! {
            () = places.freed() => {}
            () = told(stop) => return None,
        }
    }
}

/// Counts connections that were closed to make room, for the log.
#[derive(Debug, Default)]
struct Closed {
    waiting: u64,
    refused: u64,
    reported_at: Option<Instant>,
}

impl Closed {
    fn add(&mut self, waiting: u64, refused: u64) {
        (self.waiting, self.refused) = (self.waiting + waiting, self.refused + refused);
        let is_due = self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_EVERY);
        if is_due && self.waiting + self.refused > 0 {
            let (idle, new) = (self.waiting, self.refused);
            tracing::warn!(idle, new, "connections were closed because too many were open, of one client or in all");
            *self = Self { reported_at: Some(Instant::now()), ..Self::default() };
        }
    }
}

async fn connection(
    socket: TcpStream,
    peer: SocketAddr,
    place: Arc<Place>,
    router: Router,
    bounds: Arc<Bounds>,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are small and complete: they wait for nothing.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a socket keeps its delay");
    }
    let service = {
        let place = place.clone();
        tower::service_fn(move |request| answer(request, peer, place.clone(), router.clone()))
    };
    // Else the time before the first byte, which would tell the version, has no limit.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(bounds.head_time);
    let served = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
    let mut served = std::pin::pin!(served);
    let mut first_head = std::pin::pin!(tokio::time::sleep(bounds.first_head_time));
    let mut is_young = true;
    let outcome = loop {
        tokio::select! {
            outcome = served.as_mut() => break outcome,
            () = place.lost() => return,
            () = first_head.as_mut(), if is_young => {
                if place.is_half_open() {
                    return;
                }
                is_young = false;
            }
            () = told(&mut stop) => {
                served.as_mut().graceful_shutdown();
                break served.await;
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error, "a connection ended before its time");
    }
}

async fn answer(
    mut request: Request<Incoming>,
    peer: SocketAddr,
    place: Arc<Place>,
    router: Router,
) -> Result<Response<Answer>, Infallible> {
    let Some(in_progress) = place.begin_request() else {
        // The connection is being closed: this is dropped with it.
        return std::future::pending().await;
    };
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| Answer { body, _in_progress: in_progress }))
}

/// The body of an answer. The request is in progress until the server drops it.
struct Answer {
    body: Body,
    _in_progress: InProgress,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn told(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone is an end too.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests;
