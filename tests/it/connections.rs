//! Connections: their limit and their timeouts.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::{Node, exchange, until};

const TIMEOUT: Duration = Duration::from_secs(60);

fn node_of(directory: &Path, limits: &str) -> Node {
    let file = directory.join("thongke.toml");
    std::fs::write(
        &file,
        format!("[sites.demo]\norigins = [\"http://localhost:*\"]\nbots = false\n[limits]\n{limits}"),
    )
    .unwrap();
    Node::start(&directory.join("data"), &["--config", file.to_str().unwrap()])
}

fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(&node.public).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// Bytes that the node sends before it closes the connection.
fn last_words(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_client_with_too_many_connections_is_refused_another_until_it_closes_one() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "connections_per_address = 8\n");
    let mut open: Vec<_> = (0..8)
        .map(|_| {
            // An answered connection is a counted one.
            let mut stream = connect(&node);
            stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            stream
        })
        .collect();
    let mut refused = connect(&node);
    let said = last_words(&mut refused);
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("application/problem+json"), "{said}");
    assert!(said.contains("too many connections"), "{said}");
    open.truncate(7);
    until("a connection is free again", TIMEOUT, || {
        let answer = std::panic::catch_unwind(|| node.hit("/a"));
        answer.is_ok_and(|answer| answer.status == 200)
    });
    let metrics = node.admin_get("/metrics").body;
    assert!(metrics.contains("thongke_refusals_total{reason=\"connections\"}"), "{metrics}");
    node.stop();
}

#[test]
fn when_all_places_are_taken_those_who_keep_waiting_make_room() {
    let directory = TempDir::new().unwrap();
    // An hour each: no timeout closes a connection.
    let timeouts = "header_timeout = \"1h\"\nbody_timeout = \"1h\"\nidle_timeout = \"1h\"\n";
    let node = node_of(directory.path(), &format!("connections = 64\n{timeouts}"));
    // Every stalled state: silent, half a head, half a body.
    let beginnings =
        ["", "GET / HTTP/1.1\r\nHost: loc", "POST /v1/hit HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"];
    let slow: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = connect(&node);
            let _ = stream.write_all(beginnings[number % beginnings.len()].as_bytes());
            stream
        })
        .collect();
    for number in 1..=20 {
        assert_eq!(node.hit("/a").figure("today"), number);
    }
    drop(slow);
    node.stop();
}

#[test]
fn each_phase_has_its_time() {
    let directory = TempDir::new().unwrap();
    let limits = "header_timeout = \"1s\"\nbody_timeout = \"1s\"\nwrite_timeout = \"1s\"\nidle_timeout = \"1s\"\n";
    let node = node_of(directory.path(), limits);
    let answered = "GET /v1/sites/demo/figures HTTP/1.1\r\nHost: a\r\n\r\n";
    for (beginning, end) in [
        // A connection without a request gets no answer.
        ("", ""),
        ("GET / HTTP/1.1\r\nHost: loc", "HTTP/1.1 408"),
        ("POST /v1/hit HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{", "HTTP/1.1 408"),
        ("POST /v1/hit HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "HTTP/1.1 408"),
        (answered, "HTTP/1.1 200"),
    ] {
        let mut stream = connect(&node);
        stream.write_all(beginning.as_bytes()).unwrap();
        let said = last_words(&mut stream);
        assert!(said.starts_with(end) && (!end.is_empty() || said.is_empty()), "{beginning:?}: {said}");
    }
    // A head in its predecessor's segment has its own time, whichever path answers.
    for first in ["GET /nothing", "GET /v1/sites/demo/figures"] {
        let mut stream = connect(&node);
        stream.write_all(format!("{first} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: l").as_bytes()).unwrap();
        let said = last_words(&mut stream);
        assert!(said.matches("HTTP/1.1 ").count() == 2 && said.contains("HTTP/1.1 408"), "{first}: {said}");
    }
    // A byte now and then is no progress.
    for drip in ["GET / HTTP/1.1\r\nX: ", "POST /v1/hit HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n"] {
        let mut stream = connect(&node);
        let started = Instant::now();
        let mut sent = stream.write_all(drip.as_bytes());
        while sent.is_ok() {
            assert!(started.elapsed() < TIMEOUT, "{drip:?} goes on for ever");
            std::thread::sleep(Duration::from_millis(100));
            sent = stream.write_all(b"a");
        }
    }
    node.stop();
}

/// A client that keeps sending requests and reads its answers a byte at a time.
#[test]
fn a_client_that_takes_its_answers_too_slowly_is_cut_off() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "write_timeout = \"1s\"\nidle_timeout = \"1h\"\n");
    let mut stream = connect(&node);
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let ask = "GET /thongke.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let started = Instant::now();
    let mut byte = [0];
    // A write fails once the node has closed; until then it blocks, since nobody reads.
    loop {
        match stream.write_all(ask.as_bytes()) {
            Err(error) if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                break;
            }
            _ => assert!(started.elapsed() < TIMEOUT, "it goes on for ever"),
        }
        let _ = stream.read(&mut byte);
    }
    exchange(&node.public, b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").problem(404);
    node.stop();
}
