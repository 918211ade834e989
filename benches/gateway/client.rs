//! One kept-alive connection that writes a request and reads the answer, and does no more than that: the client must not be what is measured.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Client {
    pub async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    pub async fn send(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let mut head = None;
        loop {
            if head.is_none() {
                head = self.buffer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
            }
            if let Some(start) = head {
                let text = std::str::from_utf8(&self.buffer[..start]).unwrap();
                let status = text[9..12].parse().unwrap();
                let length = text
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse::<usize>().unwrap()));
                let length = length.unwrap_or(0);
                if self.buffer.len() >= start + length {
                    return Answer { status, body: self.buffer[start..start + length].to_vec() };
                }
            }
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the server hung up");
        }
    }
}

/// A request as bytes; `token` is a SCIM bearer.
pub fn request(method: &str, path: &str, token: Option<&str>, content_type: &str, body: &str) -> Vec<u8> {
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{bearer}Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}
