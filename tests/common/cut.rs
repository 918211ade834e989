//! A proxy in front of PostgreSQL that cuts a connection at a commit, as a failing network does.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use url::Url;

/// The place where the next commit is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    Nowhere = 0,
    /// The server does not get the commit.
    Before = 1,
    /// The server has answered the commit, and the client does not get the answer.
    After = 2,
}

pub struct Proxy {
    /// The address of the database, through the proxy.
    pub address: String,
    next: Arc<AtomicU8>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Stands in front of the server of this address.
    pub async fn start(address: &str) -> Self {
        let mut url = Url::parse(address).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let next = Arc::new(AtomicU8::new(Cut::Nowhere as u8));
        let asked = next.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(forward(client, server, asked.clone()));
            }
        });
        Self { address: url.to_string(), next, accepting }
    }

    /// Cuts the next commit, and only that one.
    pub fn cut_next(&self, cut: Cut) {
        self.next.store(cut as u8, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(client: TcpStream, server: TcpStream, next: Arc<AtomicU8>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (cutting, cut) = watch::channel(false);
    let there = async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
            // The driver sends a commit as a separate message.
            if bytes[..length].ends_with(b"COMMIT\0") {
                match next.swap(Cut::Nowhere as u8, Ordering::SeqCst) {
                    found if found == Cut::Before as u8 => return,
                    found if found == Cut::After as u8 => {
                        cutting.send_replace(true);
                    }
                    _ => {}
                }
            }
            if to_server.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    let back = async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            if *cut.borrow() || to_client.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    // Whichever ends takes the other one's halves along.
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}
