//! Generated requests: both HTTP paths answer them alike, and a request is answered alike whether it arrives by itself
//! or in its predecessor's segment.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use tempfile::TempDir;

use crate::node::Node;

const SEED: u64 = 20_240_617;
const PAIRS: usize = 2_000;

/// Only hyper answers it, and all that follows on its connection.
const TO_HYPER: &str = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
const HIT: &str = r#"{"site":"demo","url":"http://localhost/a"}"#;

/// SplitMix64: the same requests in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// True in one of `of` cases.
    fn once_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// A whole request that can be answered, unusual at times. Bots send it, so no figure changes.
fn request(random: &mut Random) -> String {
    let (method, path) = match random.below(8) {
        0 | 1 => ("POST", random.of(&["/v1/hit", "/v1/hit?figures=0", "/v1/hit?figures=tomorrow", "/v1/hit?x=1"])),
        2 => ("GET", random.of(&["/v1/hit.gif?site=demo&url=http://localhost/a", "/v1/hit.gif", "/v1/hit.gif?site=x"])),
        3 => {
            let queries = ["", "?x=1&y=2", "?figures=today&language=en", "?figures=no", "?url=/a", "?"];
            (random.of(&["GET", "HEAD"]), ["/v1/sites/demo/figures", random.of(&queries)].concat().leak() as &str)
        }
        4 => {
            ("GET", random.of(&["/v1/sites/nobody/figures", "/v1/sites//figures", "/v1/sites/demo/history?last=2&x=1"]))
        }
        5 => (random.of(&["GET", "HEAD"]), random.of(&["/thongke.js", "/thongke.js?v=1", "/demo.css"])),
        6 => ("OPTIONS", random.of(&["/v1/hit", "/v1/sites/demo/figures", "*"])),
        _ => (random.of(&["PUT", "GET", "DELETE", "post", "POST"]), random.of(&["/v1/hit", "/nothing", "/thongke.js"])),
    };
    let mut lines = vec![
        format!("{method} {path} HTTP/1.1"),
        random.of(&["Host: a", "host: a:80", "HOST: [::1]"]).to_owned(),
        // Either is enough, should the other be spoilt.
        "User-Agent: Googlebot/2.1 (+http://www.google.com/bot.html)".to_owned(),
        "Sec-Purpose: prefetch".to_owned(),
    ];
    let fields = [
        "Origin: http://localhost",
        "Origin: https://elsewhere.example",
        "Connection: keep-alive",
        "Connection: close",
        "If-None-Match: *",
        "If-None-Match: W/\"1\"",
        "DNT: 1",
        "X-Forwarded-For: 192.0.2.1",
        "Referer: http://localhost/a",
        "Accept-Encoding: gzip, br",
        "Trailer: none",
        "X: 1",
    ];
    for _ in 0..random.below(4) {
        lines.push(random.of(&fields).to_owned());
    }
    let body = match (method, random.below(10)) {
        ("POST" | "PUT", 0) => "",
        ("POST" | "PUT", 1) => "{",
        ("POST", 2) => "site=demo&url=http%3A%2F%2Flocalhost%2Fa",
        ("POST" | "PUT", _) => HIT,
        (_, 0) => "abc",
        _ => "",
    };
    if !body.is_empty() || method == "POST" {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    lines.join("\r\n") + "\r\n\r\n" + body
}

/// A request that may be spoilt, or lack its end.
fn anything(random: &mut Random) -> Vec<u8> {
    let mut bytes = request(random).into_bytes();
    match random.below(6) {
        0 => {
            let at = random.below(bytes.len());
            bytes[at] = [0, b' ', b'\r', b'\n', b':', 0xff, b'a'][random.below(7)];
        }
        1 => bytes.truncate(random.below(bytes.len())),
        2 => {
            let at = random.below(bytes.len());
            let more = random.of(&[" ", "\r\n", "\0", "Content-Length: 1\r\n", "Host: b\r\n", "x: y\r\n", "%"]);
            bytes.splice(at..at, more.bytes());
        }
        3 => {
            return random
                .of(&["nonsense\r\n\r\n", "\r\n\r\n", "GET / HTTP/3\r\n\r\n", "{}\n\n", "GET\r\n\r\n"])
                .into();
        }
        _ => {}
    }
    bytes
}

/// Answers without what differs each time, the fields of each in one order.
fn answers(bytes: &[u8]) -> Vec<String> {
    static START: LazyLock<Regex> = LazyLock::new(|| Regex::new("HTTP/1\\.1 [0-9]{3} ").unwrap());
    static TIMES: LazyLock<Regex> = LazyLock::new(|| Regex::new("\"as_of\":\"[^\"]*\"").unwrap());
    let text = String::from_utf8_lossy(bytes);
    let starts: Vec<_> = START.find_iter(&text).map(|found| found.start()).chain([text.len()]).collect();
    assert_eq!(starts[0], 0, "{text}");
    let normal = |answer: &str| {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, "(no end)"));
        let mut lines: Vec<_> =
            head.lines().filter(|line| !line.starts_with("date: ") && !line.starts_with("x-request-id: ")).collect();
        lines.sort_unstable();
        format!("{}\n\n{}", lines.join("\n"), TIMES.replace_all(body, ""))
    };
    starts.windows(2).map(|pair| normal(&text[pair[0]..pair[1]])).collect()
}

fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(&node.public).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The rest of what the node says, after these last bytes.
fn converse(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    // The node may have closed.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    said
}

/// Both requests, the second sent when the first is answered.
fn one_by_one(node: &Node, first: &str, second: &[u8]) -> Vec<String> {
    let mut stream = connect(node);
    stream.write_all(first.as_bytes()).unwrap();
    let mut said = Vec::new();
    while !is_whole(&said, first.starts_with("HEAD")) {
        let mut room = [0; 16_384];
        let read = stream.read(&mut room).unwrap();
        assert!(read > 0, "{first}: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&room[..read]);
    }
    said.extend(converse(stream, second));
    answers(&said)
}

fn is_whole(answer: &[u8], is_to_head: bool) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(head)) = parsed.parse(answer) else { return false };
    let length = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(0, |field| std::str::from_utf8(field.value).unwrap().parse().unwrap());
    let has_body = !is_to_head && !matches!(parsed.code, Some(204 | 304));
    answer.len() >= head + if has_body { length } else { 0 }
}

#[test]
fn a_request_is_answered_alike_on_both_paths_and_behind_any_other() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let mut random = Random(SEED);
    for number in 0..PAIRS {
        let first = request(&mut random);
        let second = if random.once_in(3) { anything(&mut random) } else { request(&mut random).into_bytes() };
        let both = [first.as_bytes(), &second].concat();
        let together = answers(&converse(connect(&node), &both));
        let shown = || format!("pair {number}: {:?}", String::from_utf8_lossy(&both));
        assert_eq!(together, one_by_one(&node, &first, &second), "one by one; {}", shown());
        let by_hyper = answers(&converse(connect(&node), &[TO_HYPER.as_bytes(), &both].concat()));
        assert_eq!(together, by_hyper[1..], "through hyper; {}", shown());
        for answer in &together {
            let is_error = answer.contains("HTTP/1.1 4");
            let is_ours = answer.contains("\"status\":4") || answer.contains("image/gif") || answer.ends_with("\n\n");
            assert!(!is_error || (is_ours && !answer.contains("content-length: 0")), "{answer}; {}", shown());
        }
    }
    assert_eq!(node.figures().figure("today"), 0, "bots don't count");
    node.stop();
}

#[test]
fn an_answer_that_leaves_a_body_unread_says_that_it_is_the_last() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    for (line, status) in [
        ("POST /nothing", 404),
        ("POST /v1/sites/demo/figures", 405),
        ("GET /v1/sites/demo/figures", 200),
        ("GET /thongke.js", 200),
        ("OPTIONS /v1/hit", 204),
    ] {
        // The whole body; a part of it; and a request behind it.
        for body in ["abc", "a", "abcGET /thongke.js HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let request = format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{body}");
            let said = answers(&converse(connect(&node), request.as_bytes()));
            assert_eq!(said.len(), 1, "{request}: {said:?}");
            assert!(said[0].contains(&format!("HTTP/1.1 {status} ")), "{request}: {said:?}");
            assert!(said[0].contains("connection: close"), "{request}: {said:?}");
        }
    }
    node.stop();
}

/// Nobody holds back what follows chunks, since only hyper knows where they end.
#[test]
fn a_body_in_chunks_is_its_connections_last_whatever_the_answer() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let elsewhere = HIT.replace("localhost", "elsewhere.example");
    for (line, body, status) in [
        ("POST /v1/hit", HIT, 200),
        ("POST /v1/hit", "{", 400),
        ("POST /v1/hit", &elsewhere, 403),
        ("POST /v1/hit", &HIT.replace("demo", "nobody"), 404),
        ("POST /nothing", HIT, 404),
        ("GET /v1/sites/nobody/figures", HIT, 404),
    ] {
        for behind in ["", "nonsense\r\n\r\n", "GET /thongke.js HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let head =
                format!("{line} HTTP/1.1\r\nHost: a\r\nUser-Agent: Googlebot/2.1\r\nTransfer-Encoding: chunked\r\n");
            let request = format!("{head}\r\n{:x}\r\n{body}\r\n0\r\n\r\n{behind}", body.len());
            let said = answers(&converse(connect(&node), request.as_bytes()));
            assert_eq!(said.len(), 1, "{request}: {said:?}");
            assert!(said[0].contains(&format!("HTTP/1.1 {status} ")), "{request}: {said:?}");
            assert!(said[0].contains("connection: close"), "{request}: {said:?}");
        }
    }
    node.stop();
}
