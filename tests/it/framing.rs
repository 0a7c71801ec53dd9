//! HTTP/1.1 by RFC 9112, and bytes that two parsers could split differently. Each case is one connection,
//! followed by a check of its counts.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use tempfile::TempDir;

use crate::http::versioned_script;
use crate::node::Node;

const BODY: &str = r#"{"site":"demo","url":"http://localhost/a"}"#;
/// A smuggled request: it would count if a parser accepted it.
const SMUGGLED: &str = "GET /v1/hit.gif?site=demo&url=http://localhost/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// A hit with these head lines.
fn hit(lines: &str, body: &str) -> String {
    format!("POST /v1/hit?figures=0 HTTP/1.1\r\n{lines}\r\n{body}")
}

/// A good hit with these further lines.
fn good_with(lines: &str) -> String {
    hit(&format!("Host: localhost\r\n{lines}Content-Length: {}\r\n", BODY.len()), BODY)
}

fn chunked(chunks: &str) -> String {
    hit("Host: a\r\nTransfer-Encoding: chunked\r\n", chunks)
}

fn one_chunk(end: &str) -> String {
    format!("{:x}\r\n{BODY}\r\n{end}", BODY.len())
}

/// Sends the bytes, half-closes, and returns the statuses of all answers.
fn converse(node: &Node, bytes: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(&node.public).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The node may close while the client still sends.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    statuses(&answers)
}

fn statuses(mut answers: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !answers.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(head)) = answer.parse(answers) else {
            panic!("not an answer: {}", String::from_utf8_lossy(answers));
        };
        statuses.push(answer.code.unwrap());
        let length = answer.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.map_or(0, |field| std::str::from_utf8(field.value).unwrap().parse().unwrap());
        answers = &answers[head + length..];
    }
    statuses
}

fn node() -> (TempDir, Node) {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    (directory, node)
}

/// A case: name, bytes, statuses, and counted hits.
type Case = (&'static str, String, &'static [u16], i64);

/// Bytes of all cases.
pub fn everything_sent() -> impl Iterator<Item = String> {
    let cases = [allowed(), lengths(), bodies(), hosts(), heads(), kinds()];
    cases.into_iter().flatten().map(|(_, sent, ..)| sent)
}

fn run(cases: &[Case]) {
    let (_directory, node) = node();
    let mut total = 0;
    for (name, bytes, answers, hits) in cases {
        assert_eq!(converse(&node, bytes.as_bytes()), *answers, "{name}: {bytes}");
        total += hits;
        assert_eq!(node.figures().figure("today"), total, "{name}: {bytes}");
    }
    node.stop();
}

/// An answer's status, headers and body, without those that differ each time.
fn reply(node: &Node, request: &str) -> (Vec<String>, String) {
    let mut stream = TcpStream::connect(&node.public).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if let Some((name, value)) = line.split_once(':') {
            *line = format!("{}:{value}", name.to_ascii_lowercase());
        }
    }
    assert!(lines.iter().any(|line| line.starts_with("date: ")), "{head}");
    lines.retain(|line| !line.starts_with("date: ") && !line.starts_with("x-request-id: "));
    lines.sort();
    (lines, body.to_owned())
}

/// Sends a request by the fast path, and again with a header that only hyper handles. The request ends with
/// its head.
fn same_reply(node: &Node, request: &str) -> (Vec<String>, String) {
    let around = request.replacen("\r\n\r\n", "\r\nTrailer: none\r\n\r\n", 1);
    for _ in 0..5 {
        let (fast, hyper) = (reply(node, request), reply(node, &around));
        // A second or a day may have passed between the two.
        if fast == hyper {
            return fast;
        }
        assert_eq!(fast.0.len(), hyper.0.len(), "{request}: {fast:?} {hyper:?}");
    }
    panic!("{request} is answered otherwise through hyper: {:?} {:?}", reply(node, request), reply(node, &around));
}

#[test]
fn all_but_hits_is_answered_alike_on_the_fast_path_and_by_hyper() {
    let (_directory, node) = node();
    node.hit("/a");
    let figures = "/v1/sites/demo/figures";
    let own = "Origin: http://localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0\r\n";
    for connection in ["", "Connection: close\r\n", "Connection: keep-alive\r\n"] {
        let ask = |path: &str, fields: &str| {
            let (lines, body) =
                same_reply(&node, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}{connection}\r\n"));
            let status: u16 =
                lines.iter().find_map(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)).unwrap().parse().unwrap();
            assert_eq!(lines.iter().any(|line| line == "connection: close"), connection.contains("close"), "{path}");
            (status, body)
        };
        // The pixel has changed the figures since.
        let tag = node.get(figures).header("etag").unwrap().to_owned();
        for known in [tag.clone(), format!("\"a\"\r\nIf-None-Match: b , {tag}"), "*".to_owned()] {
            assert_eq!(ask(figures, &format!("If-None-Match: {known}\r\n")), (304, String::new()), "{known}");
        }
        assert_eq!(ask(&format!("{figures}?figures=today&language=en"), "If-None-Match: *\r\n").0, 304);
        for (query, status) in [
            ("", 200),
            ("?", 200),
            ("?figures=total,today&language=en&label_style=relative", 200),
            ("?figures=today%2Cweek&x=/?:@", 200),
            ("?figures=0", 400),
            ("?figures=tomorrow", 400),
            ("?figures=online", 400),
            ("?language=en&language=vi", 400),
        ] {
            assert_eq!(ask(&format!("{figures}{query}"), own).0, status, "{query}");
            assert_eq!(ask(&format!("{figures}{query}"), "If-None-Match: \"\u{e9}\", *\r\n").0, status, "{query}");
        }
        for path in ["/thongke.js", "/thongke.js?v=1", &versioned_script()] {
            for encodings in ["", "gzip, br", "br\r\nAccept-Encoding: gzip", "gzip, \u{e9}"] {
                assert_eq!(ask(path, &format!("{own}Accept-Encoding: {encodings}\r\n")).0, 200, "{path}");
            }
        }
        for (path, status) in
            [("/v1/sites/nobody/figures", 404), ("/v1/sites/Demo/figures", 404), ("/v1/sites/d%65mo/figures", 404)]
        {
            assert_eq!(ask(path, own).0, status, "{path}");
        }
        for (query, fields, status) in [
            ("?site=demo&url=http%3A%2F%2Flocalhost%2Fa", own, 200),
            ("?site=demo&url=http://localhost/?id=1&title=Tin+t%E1%BB%A9c", own, 200),
            ("?site=demo&url=http://localhost/", "", 200),
            ("?site=demo&url=http://localhost/", "User-Agent: Googlebot/2.1\r\n", 200),
            ("?site=demo&url=http://localhost/", "Sec-Fetch-Mode: navigate\r\n", 200),
            ("?site=demo", "Referer: http://localhost/a\r\n", 200),
            ("?site=demo", "Referer: http://localhost/\u{e9}\r\n", 400),
            ("?site=demo&url=http://localhost/", "Origin: http://b.vn\r\n", 403),
            ("?site=demo&url=http://b.vn/", own, 403),
            ("?site=nobody&url=http://localhost/", own, 404),
            ("?site=demo&site=demo&url=http://localhost/", own, 400),
            ("?site=demo&url=%ff", own, 400),
            ("?", own, 400),
            ("", own, 400),
        ] {
            let (answered, body) = ask(&format!("/v1/hit.gif{query}"), fields);
            assert_eq!((answered, body.starts_with("GIF89a")), (status, true), "{query} {fields}");
        }
    }
    node.stop();
}

/// A kept connection answers every request in order; hyper takes over where it must.
#[test]
fn requests_of_all_kinds_may_follow_one_another_at_once() {
    run(&kinds());
}

fn kinds() -> Vec<Case> {
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let figures = get("/v1/sites/demo/figures", "");
    let known = get("/v1/sites/demo/figures", "If-None-Match: *\r\n");
    let pixel = get("/v1/hit.gif?site=demo&url=http://localhost/a", "");
    let lost = get("/v1/hit.gif?site=demo", "");
    let unknown = get("/v1/sites/nobody/figures", "");
    let kept = good_with("");
    let counted = [&*figures, &kept, &known, &pixel, &lost, &unknown, &figures].concat();
    let answers = &[200, 204, 304, 200, 400, 404, 200];
    let with_body = |request: &str| request.replacen("\r\n\r\n", "\r\nContent-Length: 4\r\n\r\n{\"a\"", 1);
    vec![
        ("all kinds", counted.clone(), answers, 2),
        ("and half a request", counted.clone() + &pixel[..pixel.len() - 2], answers, 2),
        ("hyper's among them", [&*pixel, &get("/nothing", ""), &pixel, &kept].concat(), &[200, 404, 200, 204], 3),
        ("one with a body, which is no request", [&*with_body(&pixel), &figures].concat(), &[200], 1),
        ("one without a Host", [&*pixel, &figures.replacen("Host: a\r\n", "", 1), &pixel].concat(), &[200, 400], 1),
        (
            "nothing behind the last",
            [&*pixel, &get("/v1/hit.gif?site=demo&url=http://localhost/a", "Connection: close\r\n"), &pixel].concat(),
            &[200, 200],
            2,
        ),
    ]
}

#[test]
fn a_hit_is_answered_alike_on_the_fast_path_and_by_hyper() {
    let (_directory, node) = node();
    let post = |query: &str, origin: &str, body: &str, more: &str| {
        let lines = format!("Host: a\r\n{origin}{more}Content-Length: {}\r\n", body.len());
        hit(&lines, body).replacen("?figures=0", query, 1)
    };
    let (none, own, foreign) = ("", "Origin: http://localhost\r\n", "Origin: http://b.vn\r\n");
    let searching = "Origin: http://localhost\r\nUser-Agent: Googlebot/2.1\r\n";
    for (query, origin, body) in [
        ("?figures=0", none, BODY),
        ("?figures=0", searching, BODY),
        ("?figures=tomorrow", searching, BODY),
        ("?figures=0", own, BODY),
        ("", own, BODY),
        ("?figures=today,total&language=en", own, BODY),
        ("?figures=tomorrow", own, BODY),
        ("?figures=online", own, BODY),
        ("", foreign, BODY),
        ("", own, r#"{"site":"nobody","url":"http://localhost/a"}"#),
        ("", own, r#"{"site":"demo"}"#),
        ("?figures=0", own, r#"{"site":"demo","url":"http://localhost/a","title":"Tin \ud83d"}"#),
        ("?figures=0", own, r#"{"site":"demo","url":"http://localhost/a","title":1}"#),
        ("?figures=0", own, "site=demo&url=http://localhost/a&title=%ff"),
        ("", own, "{"),
        ("", own, ""),
    ] {
        for connection in ["", "Connection: close\r\n", "Connection: keep-alive\r\n"] {
            let (fast, _) = reply(&node, &post(query, origin, body, connection));
            // A header that only hyper handles.
            let (hyper, _) = reply(&node, &post(query, origin, body, &format!("{connection}Trailer: none\r\n")));
            assert_eq!(fast, hyper, "{query} {origin} {body} {connection}");
        }
    }
    node.stop();
}

#[test]
fn what_the_standard_allows_is_understood() {
    run(&allowed());
}

fn allowed() -> Vec<Case> {
    let length = BODY.len();
    let kept = good_with("");
    vec![
        ("a plain hit", kept.clone(), &[204], 1),
        ("three at once", [&*kept, &kept, &kept].concat(), &[204, 204, 204], 3),
        ("empty lines before a request", format!("\r\n\r\n{kept}"), &[204], 1),
        ("the name of a field in any case", hit(&format!("hOsT: a\r\ncontent-length: {length}\r\n"), BODY), &[204], 1),
        ("spaces around a value", hit(&format!("Host:  a \t\r\nContent-Length: \t{length}  \r\n"), BODY), &[204], 1),
        ("one length said twice alike", good_with(&format!("Content-Length: {length}\r\n")), &[204], 1),
        ("chunks", chunked(&one_chunk("0\r\n\r\n")), &[204], 1),
        ("chunks in any case", hit("Host: a\r\nTransfer-Encoding: Chunked\r\n", &one_chunk("0\r\n\r\n")), &[204], 1),
        (
            "a chunk's extension",
            chunked(&one_chunk("0;last\r\n\r\n").replacen("\r\n", ";a=b;c=\"d\"\r\n", 1)),
            &[204],
            1,
        ),
        ("trailers", chunked(&one_chunk("0\r\nX-Trailer: a\r\n\r\n")), &[204], 1),
        ("the whole address", kept.replacen("/v1", "http://localhost/v1", 1), &[204], 1),
        ("the whole address, of another host than Host", kept.replacen("/v1", "http://other.example/v1", 1), &[204], 1),
        ("a wait for permission", good_with("Expect: 100-continue\r\n"), &[100, 204], 1),
        ("HTTP/1.0", kept.replacen("HTTP/1.1", "HTTP/1.0", 1), &[204], 1),
        ("an upgrade that is not wanted", good_with("Connection: Upgrade\r\nUpgrade: h2c\r\n"), &[204], 1),
        ("lines that end with LF alone", kept.replacen("\r\n", "\n", 9), &[204], 1),
        ("Host with a port", hit(&format!("Host: [::1]:8080\r\nContent-Length: {length}\r\n"), BODY), &[204], 1),
        ("the end announced", [&*good_with("Connection: close\r\n"), &kept].concat(), &[204], 1),
    ]
}

#[test]
fn a_length_that_two_readers_could_read_differently_is_refused_and_nothing_behind_it_is_read() {
    run(&lengths());
}

fn lengths() -> Vec<Case> {
    let length = BODY.len();
    let with_length = |value: &str| hit(&format!("Host: a\r\nContent-Length: {value}\r\n"), BODY) + SMUGGLED;
    let with_encoding = |lines: &str| hit(&format!("Host: a\r\n{lines}"), &one_chunk("0\r\n\r\n")) + SMUGGLED;
    let encoding = "Transfer-Encoding: chunked\r\n";
    let both = [
        format!("Content-Length: {length}\r\n{encoding}"),
        format!("{encoding}Content-Length: {length}\r\n"),
        format!("Content-Length: 0\r\n{encoding}"),
        format!("{encoding}content-length: 5\r\n"),
    ];
    let mut cases: Vec<Case> = Vec::new();
    for value in
        ["+42", "-1", "0x2a", "42 42", "42, 42", "42,42", "", "42.0", "4_2", "٤٢", "18446744073709551616", "1e2"]
    {
        cases.push(("a length that is no number", with_length(value), &[400], 0));
    }
    let differing = hit(&format!("Host: a\r\nContent-Length: {length}\r\nContent-Length: 5\r\n"), BODY);
    cases.push(("two lengths", differing + SMUGGLED, &[400], 0));
    for lines in &both {
        cases.push(("both ways to say a length", with_encoding(lines), &[400], 0));
    }
    for lines in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
    ] {
        cases.push(("an encoding in disguise", with_encoding(lines), &[400], 0));
    }
    let old = with_encoding(encoding).replacen("HTTP/1.1", "HTTP/1.0", 1);
    cases.push(("chunks before there were any", old, &[400], 0));
    let kept = good_with("");
    cases.push(("chunks on a kept connection", kept + &with_encoding(encoding), &[204, 411], 1));
    cases
}

#[test]
fn a_body_that_is_not_what_was_announced_is_not_counted() {
    run(&bodies());
}

fn bodies() -> Vec<Case> {
    let short = hit(&format!("Host: a\r\nContent-Length: {}\r\n", BODY.len() + 1), BODY);
    let mut cases: Vec<Case> = vec![
        ("a body that breaks off", short, &[400], 0),
        ("chunks that break off", chunked(&one_chunk("")), &[400], 0),
        ("chunks without their end", chunked(&one_chunk("0\r\n")), &[400], 0),
        ("a body without a length", hit("Host: a\r\n", BODY), &[400, 400], 0),
        // The rest is parsed as a request of its own, and is none.
        ("a body that is longer", good_with("") + "more\r\n\r\n", &[204, 400], 1),
    ];
    let size = format!("{:x}", BODY.len());
    for wrong in ["+2a", "-1", "0x2a", "2a 2a", "g", "", "ffffffffffffffff", "10000000000000000000000"] {
        let chunks = format!("{wrong}\r\n{BODY}\r\n0\r\n\r\n{SMUGGLED}");
        cases.push(("a chunk's size that is none", chunked(&chunks), &[400], 0));
    }
    for chunks in [
        // The size too small and too large, and wrong line ends.
        format!("29\r\n{BODY}\r\n0\r\n\r\n"),
        format!("2b\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{size}\n{BODY}\r\n0\r\n\r\n"),
        format!("{size}\r\n{BODY}\n0\r\n\r\n"),
        format!("{size}\r\n{BODY}0\r\n\r\n"),
        format!("{size};a\nb\r\n{BODY}\r\n0\r\n\r\n"),
    ] {
        cases.push(("chunks out of step", chunked(&(chunks + SMUGGLED)), &[400], 0));
    }
    cases
}

#[test]
fn a_host_is_required_single_and_valid() {
    run(&hosts());
}

fn hosts() -> Vec<Case> {
    let length = BODY.len();
    let with_host = |lines: &str| hit(&format!("{lines}Content-Length: {length}\r\n"), BODY) + SMUGGLED;
    let mut cases: Vec<Case> = Vec::new();
    for lines in [
        "",
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a b\r\n",
        "Host: a,b\r\n ",
        "Host: a/b\r\n",
        "Host: user@a\r\n",
        "Host: a:port\r\n",
        "Host: a:99999\r\n",
        "Host: [::1\r\n",
        "Host: http://a\r\n",
        "Host: ../../etc\r\n",
        "Host: a\"onload=\"alert(1)\r\n",
        "Host: \u{e9}\r\n",
        "Host: a\r\n b\r\n",
    ] {
        cases.push(("a Host that is none", with_host(lines), &[400], 0));
    }
    cases
}

#[test]
fn heads_that_are_none_are_refused() {
    run(&heads());
}

fn heads() -> Vec<Case> {
    let kept = good_with("");
    let many: String = (0..80).map(|number| format!("X-{number}: 1\r\n")).collect();
    let mut cases: Vec<Case> = vec![
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[400], 0),
        ("HTTP/0.9", "GET /v1/hit.gif?site=demo&url=http://localhost/a\r\n\r\n".to_owned(), &[400], 0),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".to_owned(), &[400], 0),
        ("a method in lower case", kept.replacen("POST", "post", 1), &[405], 0),
        ("a tunnel", "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n".to_owned(), &[404], 0),
        ("a trace", kept.replacen("POST", "TRACE", 1), &[405], 0),
        ("more than 64 fields", good_with(&many), &[431], 0),
        ("more than 8 KiB", good_with(&format!("X: {}\r\n", "a".repeat(8_200))), &[431], 0),
        ("a longer address than 6 KiB", kept.replacen("figures", &"a".repeat(6_200), 1), &[414], 0),
        ("a space in the address", kept.replacen("hit?", "hi t?", 1), &[400], 0),
        ("a control character in the address", kept.replacen("hit?", "hi\u{1}t?", 1), &[400], 0),
        ("no version", kept.replacen(" HTTP/1.1", "", 1), &[400], 0),
        ("a future version", kept.replacen("HTTP/1.1", "HTTP/1.2", 1), &[400], 0),
    ];
    for lines in [
        "X: a\r\n folded\r\n",
        "X: a\r\n\tfolded\r\n",
        "X: a\u{0}b\r\n",
        "X: a\rb\r\n",
        "X : a\r\n",
        "X\r\n",
        ": a\r\n",
        "X Y: a\r\n",
        "X(Y): a\r\n",
        "X\u{0}: a\r\n",
    ] {
        cases.push(("a field that is none", good_with(lines) + SMUGGLED, &[400], 0));
    }
    cases
}
