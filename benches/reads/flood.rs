//! A flood of reads, each with other words than the last.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections of a flood, each with a read in flight.
const CONNECTIONS: usize = 4;

pub struct Flood {
    stop: Arc<AtomicBool>,
    next: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Asks for the paths of the numbers from `first` on, at a rate or as fast as they are answered.
    pub fn start(address: SocketAddr, path: fn(u64) -> String, rate: Option<f64>, first: u64) -> Self {
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(first)));
        let started = Instant::now();
        let threads = (0..CONNECTIONS).map(|_| {
            let (stop, next) = (Arc::clone(&stop), Arc::clone(&next));
            std::thread::spawn(move || {
                let stream = TcpStream::connect(address).expect("the server listens");
                stream.set_nodelay(true).expect("a socket need not delay");
                let mut reader = BufReader::with_capacity(1 << 16, stream);
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if let Some(rate) = rate {
                        let due = Duration::from_secs_f64((number - first) as f64 / rate);
                        std::thread::sleep(due.saturating_sub(started.elapsed()));
                    }
                    read(&mut reader, &path(number));
                }
            })
        });
        Self { threads: threads.collect(), stop, next }
    }

    /// Ends the flood; returns the number after the last path.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("reads are answered"));
        self.next.load(Ordering::Relaxed)
    }
}

fn read(reader: &mut BufReader<TcpStream>, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    reader.get_mut().write_all(request.as_bytes()).expect("the server takes requests");
    let (mut length, mut line) = (0, String::new());
    let mut status = None;
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).expect("the server answers") > 0, "the server closed the connection");
        status.get_or_insert_with(|| line.clone());
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the whole answer");
    let status = status.unwrap_or_default();
    assert!(status.starts_with("HTTP/1.1 200"), "{path}: {status}{}", String::from_utf8_lossy(&body));
}
