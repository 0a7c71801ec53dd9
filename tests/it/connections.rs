//! Connections: their limit and their timeouts.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::node::{Node, PROGRAM, exchange, until};

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

/// Connects from another address of this machine; each is a client of its own.
fn connect_from(host: u16, node: &Node) -> std::io::Result<TcpStream> {
    let [high, low] = host.to_be_bytes();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 1, high, low], 0)).into())?;
    socket.connect(&node.public.parse::<SocketAddr>().unwrap().into())?;
    Ok(socket.into())
}

#[test]
fn when_all_places_are_taken_those_who_keep_waiting_make_room() {
    let directory = TempDir::new().unwrap();
    // An hour each: no timeout closes a connection.
    let timeouts = "header_timeout = \"1h\"\nbody_timeout = \"1h\"\nidle_timeout = \"1h\"\n";
    let node = node_of(directory.path(), &format!("connections = 64\n{timeouts}"));
    let slow: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = connect_from(number, &node).unwrap();
            let _ = stream.write_all(STALLED[usize::from(number) % STALLED.len()]);
            stream
        })
        .collect();
    for number in 1..=20 {
        assert_eq!(node.hit("/a").figure("today"), number);
    }
    drop(slow);
    node.stop();
}

/// Every stalled state: silent, half a head, half a body, an answer that is not taken, a rest between requests.
const STALLED: [&[u8]; 5] = [
    b"",
    b"GET / HTTP/1.1\r\nHost: loc",
    b"POST /v1/hit HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
    b"GET /thongke.js HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// A reader's hit on a connection of its own, sent after a pause; true if it is answered as counted.
fn is_counted(node: &Node, pause: Duration) -> bool {
    let body = r#"{"site":"demo","url":"http://localhost/a"}"#;
    let hit = format!(
        "POST /v1/hit?figures=0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect(node);
    let mut said = Vec::new();
    std::thread::sleep(pause);
    let _ = stream.write_all(hit.as_bytes());
    let _ = stream.read_to_end(&mut said);
    said.starts_with(b"HTTP/1.1 204")
}

#[test]
fn clients_that_take_every_place_again_at_once_keep_no_reader_out() {
    // With few places each is wanted again sooner.
    for (places, attackers) in [(896, 1_000), (64, 200)] {
        readers_pass(places, attackers);
    }
}

fn readers_pass(places: u32, attackers: u16) {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), &format!("connections = {places}\n"));
    let public: SocketAddr = node.public.parse().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let attack = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tasks = tokio::task::LocalSet::new();
        for number in 0..attackers {
            tasks.spawn_local(async move {
                let [high, low] = number.to_be_bytes();
                loop {
                    let socket = tokio::net::TcpSocket::new_v4().unwrap();
                    socket.bind(SocketAddr::from(([127, 2, high, low], 0))).unwrap();
                    if let Ok(mut stream) = socket.connect(public).await {
                        let _ = stream.write_all(STALLED[usize::from(number) % STALLED.len()]).await;
                        // Until it is evicted.
                        while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {}
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        let mut stopped = stopped;
        runtime.block_on(tasks.run_until(async move { drop(stopped.wait_for(|stopped| *stopped).await) }));
    });
    until("all places are taken", TIMEOUT, || {
        let metrics = node.admin_get("/metrics").body;
        let open = metrics.lines().find_map(|line| line.strip_prefix("process_open_fds "));
        open.is_some_and(|open| open.parse::<f64>().unwrap() > 0.9 * f64::from(places))
    });
    // Readers' lines are slow, and so are their computers.
    const PAUSE: Duration = Duration::from_millis(100);
    let (readers, hits) = (10, 30);
    let counted: u32 = std::thread::scope(|scope| {
        let read = || (0..hits).map(|_| u32::from(is_counted(&node, PAUSE))).sum::<u32>();
        let threads: Vec<_> = (0..readers).map(|_| scope.spawn(read)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let sent = readers * hits;
    stop.send(true).unwrap();
    attack.join().unwrap();
    assert!(counted * 100 >= sent * 99, "{counted} of {sent} with {places} places");
    node.stop();
}

#[test]
fn with_few_descriptors_the_node_warns_and_its_probes_are_answered_whatever_the_public_does() {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", PROGRAM]);
    let node = Node::start_as(command, directory.path());
    let log = node.log();
    assert!(log.contains("only 64 files may be open at once") && log.contains("LimitNOFILE="), "{log}");
    let held: Vec<_> = (0..200).filter_map(|host| connect_from(host, &node).ok()).collect();
    for _ in 0..50 {
        assert_eq!(node.admin_get("/readyz").status, 200);
    }
    // Connections to the admin listener take nothing from it for long either.
    let idle: Vec<_> = (0..50).filter_map(|_| TcpStream::connect(&node.admin).ok()).collect();
    for _ in 0..5 {
        assert_eq!(node.admin_get("/readyz").status, 200);
        assert!(is_counted(&node, Duration::ZERO));
    }
    assert!(!node.log().contains("failed to accept"), "{}", node.log());
    drop((held, idle));
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
