//! Reads of history: beside hits, and of what another node changes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::{Node, ask, until};
use crate::redis::Redis;

/// Time within which another node's correction shows: values of years that are over are kept for less.
const LIMIT: Duration = Duration::from_secs(60);
const READERS: usize = 32;
const TIME: Duration = Duration::from_secs(3);

fn import(node: &Node, csv: &str) {
    let path = "/sites/demo/import?source=old";
    let answer = ask(&node.admin, "POST", path, &["Content-Type: text/csv"], csv);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// A day's hits, by a question that differs from the last.
fn hits_of_day(node: &Node, asked: &mut u32) -> i64 {
    *asked += 1;
    let answer = node.get(&format!("/v1/sites/demo/history?to=2019-03-05&last={}", 1 + *asked % 1_000)).json();
    let history = answer["history"].as_array().unwrap();
    history.last().unwrap()["value"].as_i64().unwrap()
}

#[test]
fn a_correction_on_another_node_shows_in_a_year_that_is_over() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| Node::start(directory.path(), &["--redis", &redis.url()]));
    let mut asked = 0;
    for hits in [100, 70, 85] {
        import(&nodes[0], &format!("period,hits\n2019-03-05,{hits}\n"));
        until("the node that imports shows it", LIMIT, || hits_of_day(&nodes[0], &mut asked) == hits);
        until("the other node shows it", LIMIT, || hits_of_day(&nodes[1], &mut asked) == hits);
    }
    for node in nodes {
        node.stop();
    }
}

/// A request's time until its whole answer.
fn time_of(stream: &mut BufReader<TcpStream>, request: &str) -> Duration {
    let started = Instant::now();
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let begin = head.len();
        assert!(stream.read_line(&mut head).unwrap() > 0, "the connection ended: {head}");
        if let Some(value) = head[begin..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    assert!(head.starts_with("HTTP/1.1 2"), "{head}");
    stream.read_exact(&mut vec![0; length]).unwrap();
    started.elapsed()
}

fn connect(node: &Node) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(&node.public).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    BufReader::with_capacity(1 << 17, stream)
}

/// The time that so much of a hundred stay below.
fn percentile(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

#[test]
fn a_hit_does_not_wait_behind_all_reads_of_a_flood() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("thongke.toml");
    let limits = "[limits]\nenabled = false\nconnections_per_address = 1000\n";
    std::fs::write(&config, format!("{limits}[sites.demo]\norigins = [\"http://localhost:*\"]\nbots = false\n"))
        .unwrap();
    let node = Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()]);
    let days: String = (2000..2010)
        .flat_map(|year| (1..=12).map(move |month| (year, month)))
        .flat_map(|(year, month)| (1..=28).map(move |day| format!("{year}-{month:02}-{day:02},851\n")))
        .collect();
    import(&node, &format!("period,hits\n{days}"));
    let (stop, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    let (reads, hits) = std::thread::scope(|scope| {
        let flood: Vec<_> = (0..READERS)
            .map(|_| {
                scope.spawn(|| {
                    let (mut stream, mut times) = (connect(&node), Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        let number = asked.fetch_add(1, Ordering::Relaxed);
                        let (last, day, month) = (1_100 - number / 300 % 300, 1 + number % 28, 1 + number / 28 % 12);
                        let path = format!("/v1/sites/demo/history?last={last}&to=2009-{month:02}-{day:02}");
                        times.push(time_of(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")));
                    }
                    times
                })
            })
            .collect();
        let (mut stream, mut times, started) = (connect(&node), Vec::new(), Instant::now());
        let body = r#"{"site":"demo","url":"http://localhost/a"}"#;
        let length = body.len();
        let hit =
            format!("POST /v1/hit?figures=0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
        while started.elapsed() < TIME {
            times.push(time_of(&mut stream, &hit));
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        let reads: Vec<_> = flood.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
        (reads, times)
    });
    let (read, hit) = (percentile(reads, 50), percentile(hits, 90));
    // Each worker has sixteen reads or so in its turns, and a hit waits for a few of them at most.
    assert!(2 * hit < read, "a hit took {hit:?}, a read {read:?}");
    node.stop();
}
