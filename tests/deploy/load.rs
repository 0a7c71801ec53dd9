use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::node::USER_AGENT;

/// A client's use of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// A new connection for each request.
    New,
    /// One connection for all requests, until the server marks an answer as its last.
    Kept,
}

/// Clients that hit a page until they are stopped. Any outcome but a counted hit is a failure.
pub struct Load {
    stop: Arc<AtomicBool>,
    counted: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub fn start(address: &str, path: &str, clients: usize, connections: Connections) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counted = Arc::new(AtomicU64::new(0));
        let clients = (0..clients)
            .map(|_| {
                let (address, path) = (address.to_owned(), path.to_owned());
                let (stop, counted) = (Arc::clone(&stop), Arc::clone(&counted));
                std::thread::spawn(move || {
                    let mut failures = Vec::new();
                    let mut kept = None;
                    while !stop.load(Ordering::Relaxed) {
                        match hit(&address, &path, connections, &mut kept) {
                            Ok(()) => drop(counted.fetch_add(1, Ordering::Relaxed)),
                            Err(failure) => {
                                kept = None;
                                failures.push(failure);
                                // A pause: failures of a stopped server must not fill the memory.
                                std::thread::sleep(Duration::from_millis(10));
                            }
                        }
                    }
                    failures
                })
            })
            .collect();
        Self { stop, counted, clients }
    }

    pub fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    /// Waits until so many more hits have been counted.
    pub fn go_on_for(&self, more: u64) {
        let goal = self.counted() + more;
        super::node::until("the load goes on", Duration::from_secs(60), || self.counted() >= goal);
    }

    /// The number of counted hits; fails if one was not counted.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let failures: Vec<_> = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        assert!(
            failures.is_empty(),
            "{} of the requests failed: {:?}",
            failures.len(),
            &failures[..failures.len().min(5)]
        );
        self.counted.load(Ordering::Relaxed)
    }
}

fn hit(address: &str, path: &str, connections: Connections, kept: &mut Option<TcpStream>) -> Result<(), String> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => connect(address).map_err(|error| format!("connecting: {error}"))?,
    };
    let close = if connections == Connections::New { "Connection: close\r\n" } else { "" };
    let body = r#"{"site":"demo","url":"http://localhost/tin-tuc/bai-1"}"#;
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {USER_AGENT}\r\nContent-Length: {length}\r\n{close}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).map_err(|error| format!("writing: {error}"))?;
    let (head, _body) = answer(&mut stream).map_err(|error| format!("reading: {error}"))?;
    if !head.starts_with("http/1.1 200") && !head.starts_with("http/1.1 204") {
        return Err(head);
    }
    if !head.contains("thongke-hit: counted") {
        return Err(format!("not counted: {head}"));
    }
    if connections == Connections::Kept && !head.contains("connection: close") {
        *kept = Some(stream);
    }
    Ok(())
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One answer's head, in lower case, and body.
fn answer(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Ok((head, bytes[end + 4..].to_vec()));
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::Error::other(format!("the connection ended after {} bytes", bytes.len()))),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}
