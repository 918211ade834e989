//! The listener: connections are accepted, told to end, and cut where a client takes too long to say what it wants.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::Layer as _;

/// How long a client may take for the head of a request, from the end of the one before: a connection that says nothing for so long is
/// closed. Longer than identity providers keep a connection without using it.
pub const HEAD_TIME: Duration = Duration::from_secs(75);

/// Connections that are open at once; who comes then waits until another one ends.
pub const MOST: usize = 4096;

/// After an error of `accept` that is not one connection's own: too many open files, mostly.
const BREATH: Duration = Duration::from_millis(500);

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub head_time: Duration,
    pub most: usize,
}

pub const BOUNDS: Bounds = Bounds { head_time: HEAD_TIME, most: MOST };

/// Serves until `stop` turns true, and then until the requests that clients were sending are answered.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        if connections.len() >= bounds.most {
            tokio::select! {
                _ = connections.join_next() => continue,
                () = told(&mut stop) => break,
            }
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stop) => break,
        };
        match accepted {
            Ok((socket, peer)) => {
                connections.spawn(connection(socket, peer, router.clone(), bounds.head_time, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
        // Those that have ended are let go.
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(socket: TcpStream, peer: SocketAddr, router: Router, head_time: Duration, mut stop: watch::Receiver<bool>) {
    // Answers are small and complete: they wait for nothing.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a socket keeps its delay");
    }
    let service = TowerToHyperService::new(axum::Extension(ConnectInfo(peer)).layer(router.into_service()));
    // Else the time before the first byte, which would tell the version, has no limit.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_time);
    let served = builder.serve_connection(TokioIo::new(socket), service);
    let mut served = std::pin::pin!(served);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = told(&mut stop) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error, "a connection ended before its time");
    }
}

async fn told(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone is an end too.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What the server says until it hangs up.
    async fn said(socket: &mut TcpStream) -> String {
        let mut text = String::new();
        socket.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn who_takes_too_long_for_the_head_of_a_request_is_cut_and_others_are_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let router = Router::new().fallback(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string());
        let bounds = Bounds { head_time: Duration::from_millis(300), most: 100 };
        let served = tokio::spawn(serve(listener, router, bounds, stopped));
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut good = TcpStream::connect(address).await.unwrap();
        good.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let answer = said(&mut good).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
        // Each byte more does not win time.
        let cut = async {
            loop {
                if slow.write_all(b"a").await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), cut).await.expect("the slow client is cut");
        tokio::time::timeout(Duration::from_secs(20), said(&mut idle)).await.expect("so is the silent one");
        stop.send_replace(true);
        served.await.unwrap();
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_waits_for_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let router = Router::new().fallback(async || "served");
        let served = tokio::spawn(serve(listener, router, Bounds { head_time: HEAD_TIME, most: 1 }, stopped));
        let ask = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(ask).await.unwrap();
        let mut byte = [0];
        let waits = tokio::time::timeout(Duration::from_millis(100), second.read(&mut byte)).await;
        assert!(waits.is_err(), "the second has no place yet");
        drop(first);
        let answer = tokio::time::timeout(Duration::from_secs(20), said(&mut second)).await.expect("the first has left");
        assert!(answer.ends_with("served"), "{answer}");
        let _silent = TcpStream::connect(address).await.unwrap();
        stop.send_replace(true);
        served.await.unwrap();
    }
}
