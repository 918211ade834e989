use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::http::Uri;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

use super::*;

/// No test waits longer.
const LONG: Duration = Duration::from_secs(20);
const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const ASK_ONCE: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const ASK_SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

struct Server {
    address: SocketAddr,
    /// Requests of `/slow` wait for a permit.
    permits: Arc<Semaphore>,
    /// Requests of `/slow` that have begun.
    begun: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl Server {
    async fn start(bounds: Bounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (permits, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let answer = {
            let (permits, begun) = (permits.clone(), begun.clone());
            async move |ConnectInfo(peer): ConnectInfo<SocketAddr>, uri: Uri| {
                if uri.path() != "/slow" {
                    return peer.ip().to_string();
                }
                begun.fetch_add(1, Ordering::SeqCst);
                permits.acquire().await.unwrap().forget();
                "slow".to_owned()
            }
        };
        let router = Router::new().fallback(answer);
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(serve(listener, router, bounds, stopped));
        Self { address, permits, begun, stop, served }
    }

    /// A connection from 127.0.0.`from`.
    async fn connect(&self, from: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::from(Ipv4Addr::new(127, 0, 0, from)), 0).into()).unwrap();
        timeout(LONG, socket.connect(self.address)).await.unwrap().unwrap()
    }

    /// A connection from there with a request whose answer waits.
    async fn busy(&self, from: u8) -> TcpStream {
        let before = self.begun.load(Ordering::SeqCst);
        let mut socket = self.connect(from).await;
        socket.write_all(ASK_SLOW).await.unwrap();
        let begun = async {
            while self.begun.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, begun).await.expect("the request begins");
        socket
    }

    async fn end(self) {
        self.permits.add_permits(1000);
        self.stop.send_replace(true);
        timeout(LONG, self.served).await.expect("the server ends").unwrap();
    }
}

fn bounds(in_all: usize, of_client: usize) -> Bounds {
    let limits = Limits { in_all, of_client, exempt: vec!["127.0.0.99/32".parse().unwrap()] };
    Bounds { first_head_time: LONG, head_time: HEAD_TIME, limits }
}

/// Reads what the server sends until it closes the connection.
async fn read_all(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match timeout(LONG, socket.read_to_end(&mut bytes)).await.expect("the server closes the connection") {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8(bytes).unwrap()
}

/// Asks on a connection that stays open.
async fn ask(socket: &mut TcpStream) -> String {
    socket.write_all(ASK).await.unwrap();
    let (mut said, mut bytes) = (String::new(), [0; 512]);
    while !said.contains("\r\n\r\n127.") {
        let length = timeout(LONG, socket.read(&mut bytes)).await.expect("there is an answer").unwrap();
        assert!(length > 0, "the connection was closed: {said}");
        said.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    said
}

async fn is_open(socket: &mut TcpStream) -> bool {
    // Whatever the server does to this connection, it has done before it serves another one.
    timeout(Duration::from_millis(50), socket.read(&mut [0])).await.is_err()
}

#[tokio::test]
async fn who_takes_too_long_for_the_head_of_a_request_is_cut_and_others_are_served() {
    let brief = Duration::from_millis(300);
    for (first_head_time, head_time) in [(brief, HEAD_TIME), (LONG, brief)] {
        let server = Server::start(Bounds { first_head_time, head_time, ..bounds(100, 100) }).await;
        let mut slow = server.connect(1).await;
        slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        let mut silent = server.connect(1).await;
        let mut good = server.connect(2).await;
        good.write_all(ASK_ONCE).await.unwrap();
        let answer = read_all(&mut good).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n127.0.0.2"), "{answer}");
        // Each byte more does not win time.
        let cut = async {
            while slow.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, cut).await.expect("the slow client is cut");
        read_all(&mut silent).await;
        server.end().await;
    }
}

#[tokio::test]
async fn after_its_first_request_a_connection_has_the_long_time() {
    let server = Server::start(Bounds { first_head_time: Duration::from_millis(200), ..bounds(100, 100) }).await;
    let mut silent = server.connect(1).await;
    let mut known = server.connect(1).await;
    ask(&mut known).await;
    // The connection that never sent a request is closed after the other one was accepted.
    read_all(&mut silent).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    ask(&mut known).await;
    server.end().await;
}

#[tokio::test]
async fn half_open_connections_of_one_address_keep_nobody_out() {
    let server = Server::start(bounds(50, 10)).await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(server.connect(1).await);
    }
    for from in 2..12 {
        let mut other = server.connect(from).await;
        other.write_all(ASK_ONCE).await.unwrap();
        assert!(read_all(&mut other).await.ends_with(&format!("127.0.0.{from}")));
    }
    // The same address, too: its oldest connections gave way.
    let mut own = server.connect(1).await;
    own.write_all(ASK_ONCE).await.unwrap();
    assert!(read_all(&mut own).await.ends_with("127.0.0.1"));
    for old in &mut flood[..190] {
        assert_eq!(read_all(old).await, "");
    }
    let mut open = 0;
    for new in &mut flood[190..] {
        open += usize::from(is_open(new).await);
    }
    assert!((9..=10).contains(&open), "{open} of the last ten are open");
    server.end().await;
}

#[tokio::test]
async fn half_open_connections_of_many_addresses_keep_nobody_out() {
    let server = Server::start(bounds(20, 10)).await;
    let mut idle = server.connect(200).await;
    ask(&mut idle).await;
    let mut flood = Vec::new();
    for from in 1..=60 {
        flood.push(server.connect(from).await);
    }
    let mut other = server.connect(201).await;
    other.write_all(ASK_ONCE).await.unwrap();
    assert!(read_all(&mut other).await.ends_with("127.0.0.201"));
    // A client that sent a request before keeps its connection.
    ask(&mut idle).await;
    server.end().await;
}

#[tokio::test]
async fn a_request_in_progress_keeps_its_place_and_newcomers_wait() {
    let server = Server::start(bounds(2, 2)).await;
    let (mut first, mut second) = (server.busy(1).await, server.busy(2).await);
    let mut third = server.connect(3).await;
    third.write_all(ASK_ONCE).await.unwrap();
    assert!(is_open(&mut third).await, "it waits");
    server.permits.add_permits(1);
    assert!(read_all(&mut third).await.ends_with("127.0.0.3"));
    server.permits.add_permits(1);
    for socket in [&mut first, &mut second] {
        assert!(read_all(socket).await.ends_with("slow"));
    }
    server.end().await;
}

#[tokio::test]
async fn a_client_whose_places_all_have_a_request_gets_no_more() {
    let server = Server::start(bounds(50, 2)).await;
    let mut busy = [server.busy(1).await, server.busy(1).await];
    let mut third = server.connect(1).await;
    assert_eq!(read_all(&mut third).await, "");
    let mut other = server.connect(2).await;
    ask(&mut other).await;
    server.permits.add_permits(2);
    for socket in &mut busy {
        assert!(read_all(socket).await.ends_with("slow"));
    }
    // The limit of a client does not apply to a proxy.
    let proxied = [server.busy(99).await, server.busy(99).await, server.busy(99).await];
    server.permits.add_permits(3);
    for mut socket in proxied {
        assert!(read_all(&mut socket).await.ends_with("slow"));
    }
    server.end().await;
}
