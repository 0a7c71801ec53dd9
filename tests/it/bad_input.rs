//! Requests that the public listener refuses. Each refusal names its reason, counts nothing, and leaves the
//! node running.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Node, ask, exchange};

fn node() -> (TempDir, Node) {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    (directory, node)
}

/// Asserts that nothing was counted, a good hit still counts, and the program ends well.
fn has_counted(node: Node, hits: i64) {
    assert_eq!(node.figures().figure("today"), hits);
    assert_eq!(node.hit("/still-alive").figure("today"), hits + 1);
    node.stop();
}

#[test]
fn bodies_that_are_no_hit_are_refused_with_what_would_be_right() {
    let (_directory, node) = node();
    for (body, says) in [
        ("", "empty"),
        (" \n", "empty"),
        ("{", "not JSON"),
        (r#"{"site":"demo","url":"http://localhost/"} more"#, "not JSON"),
        (r#"{"site":"demo","url":"http://localhost/",}"#, "not JSON"),
        ("[]", "neither a JSON object nor a form"),
        (r#""demo""#, "neither a JSON object nor a form"),
        ("null", "neither a JSON object nor a form"),
        ("site demo", "neither a JSON object nor a form"),
        ("{}", "`site` is missing"),
        (r#"{"site":"demo"}"#, "`url` is missing"),
        (r#"{"url":"http://localhost/"}"#, "`site` is missing"),
        (r#"{"site":"","url":"http://localhost/"}"#, "`site` is empty"),
        (r#"{"site":"demo","url":""}"#, "`url` is empty"),
        (r#"{"site":1,"url":"http://localhost/"}"#, "`site` is a number; expected a string"),
        (r#"{"site":"demo","url":null}"#, "`url` is null; expected a string"),
        (r#"{"site":"demo","url":true}"#, "`url` is a boolean"),
        (r#"{"site":["demo"],"url":"http://localhost/"}"#, "`site` is an array"),
        (r#"{"site":"demo","url":{"href":"http://localhost/"}}"#, "`url` is an object"),
        ("site=demo", "`url` is missing"),
        ("site=demo&site=demo&url=http://localhost/", "`site` is given more than once"),
        ("site=demo&url=http://localhost/%ff", "`url` is not well percent-encoded"),
    ] {
        let detail = node.hit_with(&[], body).problem(400);
        assert!(detail.contains(says), "{body}: {detail}");
    }
    let not_utf8 = b"{\"site\":\"demo\",\"url\":\"http://localhost/\xff\"}";
    assert!(node.hit_with(&[], not_utf8).problem(400).contains("UTF-8 (first wrong byte at 39)"));
    has_counted(node, 0);
}

#[test]
fn a_title_that_is_none_costs_the_title_and_not_the_hit() {
    let (_directory, node) = node();
    let json = |title: &str| format!(r#"{{"site":"demo","url":"http://localhost/a","title":{title}}}"#);
    let forms = ["site=demo&url=http://localhost/a&title=%ff%fe", "site=demo&url=http://localhost/a&title=a&title=b"];
    let bodies = [r#""\ud83d""#, r#""Tin \ud83d""#, "1", "null", "{}", "[1]", "true", r#""a","title":"b""#].map(json);
    let mut bodies: Vec<_> = bodies.into_iter().chain(forms.map(str::to_owned)).map(String::into_bytes).collect();
    bodies.push(b"site=demo&url=http://localhost/a&title=Tin \xff".to_vec());
    for body in &bodies {
        let answer = node.hit_with(&[], body);
        assert_eq!((answer.status, answer.header("thongke-hit")), (200, Some("counted")), "{body:?}: {}", answer.body);
    }
    assert_eq!(node.get("/v1/hit.gif?site=demo&url=http://localhost/a&title=%ff").status, 200);
    has_counted(node, i64::try_from(bodies.len()).unwrap() + 1);
}

#[test]
fn addresses_that_are_not_the_sites_are_refused() {
    let (_directory, node) = node();
    for (url, status, says) in [
        ("/tin-tuc/bai-1", 400, "not an address"),
        ("http://", 400, "not an address"),
        ("http://local host/", 400, "not an address"),
        ("ftp://localhost/", 400, "not an http or https"),
        ("javascript:alert(1)", 400, "not an http or https"),
        ("data:text/html,x", 400, "not an http or https"),
        ("file:///etc/passwd", 400, "not an http or https"),
        ("http://u:p@localhost/", 400, "password"),
        ("http://u@localhost/", 400, "user name"),
        ("https://evil.example/", 403, "add it to `origins`"),
        ("http://localhost.evil.example/", 403, "is not allowed for site `demo`"),
        ("http://evil.example/?http://localhost/", 403, "is not allowed for site `demo`"),
        (r"http://evil.example\\@localhost/", 403, "is not allowed for site `demo`"),
    ] {
        let detail = node.hit_with(&[], format!(r#"{{"site":"demo","url":"{url}"}}"#)).problem(status);
        assert!(detail.contains(says), "{url}: {detail}");
    }
    has_counted(node, 0);
}

#[test]
fn an_unknown_site_is_refused_and_a_misspelt_one_is_suggested() {
    let (_directory, node) = node();
    let refused = |site: &str| {
        let by_hit = node.hit_with(&[], format!(r#"{{"site":"{site}","url":"http://localhost/"}}"#)).problem(404);
        assert_eq!(node.get(&format!("/v1/sites/{site}/figures")).problem(404), by_hit);
        by_hit
    };
    assert!(refused("nowhere").contains("there is no site `nowhere`"));
    assert!(refused("Demo").contains("did you mean `demo`?"));
    assert!(refused(&"a".repeat(3_000)).len() < 200, "a stranger's text is not repeated at length");
    has_counted(node, 0);
}

#[test]
fn wrong_methods_get_the_allowed_ones() {
    let (_directory, node) = node();
    for (path, allow) in [
        ("/v1/hit", "POST, OPTIONS"),
        ("/v1/hit.gif?site=demo&url=http://localhost/", "GET, OPTIONS"),
        ("/v1/sites/demo/figures", "GET, HEAD, OPTIONS"),
        ("/thongke.js", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "BREW"] {
            let answer = ask(&node.public, method, path, &[], "");
            if allow.split(", ").any(|allowed| allowed == method) {
                assert_ne!(answer.status, 405, "{method} {path}");
            } else {
                assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
                // An answer to HEAD has no body.
                assert!(method == "HEAD" || answer.problem(405).contains(allow), "{}", answer.body);
            }
        }
    }
    assert!(node.get("/nothing/here").problem(404).contains("nothing at this path"));
    // One GET of the pixel is among them.
    has_counted(node, 1);
}

#[test]
fn a_body_of_4096_bytes_is_taken_and_one_byte_more_is_not() {
    let (_directory, node) = node();
    let of_length = |length: usize| {
        let hit = r#"{"site":"demo","url":"http://localhost/","pad":""#;
        format!("{hit}{:x>1$}\"}}", "", length - hit.len() - 2)
    };
    assert_eq!(of_length(4096).len(), 4096);
    assert_eq!(node.hit_with(&[], of_length(4096)).status, 200);
    let refused = node.hit_with(&[], of_length(4097));
    assert!(refused.problem(413).contains("4096 bytes"), "{}", refused.body);
    // Chunked: no header field announces the length.
    let body = of_length(4097);
    let chunks: String = body
        .as_bytes()
        .chunks(1_000)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)))
        .collect();
    let head = "POST /v1/hit HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    exchange(&node.public, format!("{head}{chunks}0\r\n\r\n").as_bytes()).problem(413);
    // The node refuses an announced body without waiting for it.
    let announced = "POST /v1/hit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n";
    exchange(&node.public, announced.as_bytes()).problem(413);
    has_counted(node, 1);
}

#[test]
fn addresses_and_heads_that_are_too_long_are_refused_as_what_they_are() {
    let (_directory, node) = node();
    for length in [6_200, 9_000, 70_000, 100_000] {
        let refused = node.get(&format!("/{}", "a".repeat(length)));
        assert!(refused.problem(414).contains("longer than 6144 bytes"), "{length}: {}", refused.body);
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    }
    let fields = format!("X-Pad: {}", "a".repeat(20_000));
    assert!(ask(&node.public, "GET", "/thongke.js", &[&fields], "").problem(431).contains("8192 bytes"));
    let many: Vec<_> = (0..80).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert!(ask(&node.public, "GET", "/thongke.js", &many, "").problem(431).contains("header fields"));
    for nonsense in [
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
        "GET /\u{1f} HTTP/1.1\r\n\r\n",
    ] {
        assert!(exchange(&node.public, nonsense.as_bytes()).problem(400).contains("not an HTTP/1.1 request"));
    }
    let metrics = node.admin_get("/metrics").body;
    assert!(metrics.contains("thongke_refusals_total{reason=\"size\"} 6\n"), "{metrics}");
    has_counted(node, 0);
}

/// A kept connection's limit applies to each request's own line, not to the first one's.
#[test]
fn a_later_request_on_a_connection_is_refused_like_a_first_one() {
    let (_directory, node) = node();
    let mut client = TcpStream::connect(&node.public).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let first = "GET /v1/sites/demo/figures HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write_all(first.as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    assert!(client.read(&mut buffer).unwrap() > 0);
    client.write_all(format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(20_000)).as_bytes()).unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 414") && rest.contains("application/problem+json"), "{rest}");
    has_counted(node, 0);
}

#[test]
fn a_client_that_is_too_slow_gets_a_reply() {
    let (_directory, node) = node();
    for beginning in [
        "GET /thongke.js HTTP/1.1\r\nHost: loc",
        "POST /v1/hit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{",
    ] {
        exchange(&node.public, beginning.as_bytes()).problem(408);
    }
    has_counted(node, 0);
}

#[test]
fn invalid_utf8_and_percent_escapes_reach_no_count() {
    let (_directory, node) = node();
    for url in ["http://localhost/%FF%C3", "http://localhost/%C3%28"] {
        let pixel = node.get(&format!("/v1/hit.gif?site=demo&url={url}"));
        assert_eq!((pixel.status, pixel.header("content-type")), (400, Some("image/gif")), "{url}");
        assert_eq!(pixel.header("thongke-hit"), Some("malformed"));
    }
    assert_eq!(node.get("/v1/sites/%ff/figures").status, 404);
    assert_eq!(node.get("/%zz").status, 404);
    // In JSON the address is the page's own. Bytes that are not text stay escaped; a `%` that escapes nothing
    // stays a `%`.
    let kept = node.hit_with(&[], r#"{"site":"demo","url":"http://localhost/%ff%zz/%2"}"#);
    assert_eq!(kept.status, 200, "{}", kept.body);
    let export = ask(&node.admin, "GET", "/sites/demo/export", &[&format!("Host: {}", node.admin)], "").body;
    assert!(export.contains("/%FF%25zz/%252,1\n"), "{export}");
    has_counted(node, 1);
}

#[test]
fn ambiguous_requests_and_foreign_origins_count_nothing() {
    let (_directory, node) = node();
    let body = r#"{"site":"demo","url":"http://localhost/a"}"#;
    let length = body.len();
    let answered = |head: &str, body: &str, status: u16| {
        let request = format!("POST /v1/hit HTTP/1.1\r\n{head}Connection: close\r\n\r\n{body}");
        let answer = exchange(&node.public, request.as_bytes());
        assert_eq!(answer.status, status, "{head}: {}", answer.body);
    };
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    answered(&format!("Content-Length: {length}\r\n"), body, 400);
    answered(&format!("Host: a\r\nHost: b\r\nContent-Length: {length}\r\n"), body, 400);
    answered(&format!("Host: a\r\nContent-Length: +{length}\r\n"), body, 400);
    answered(&format!("Host: a\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), &chunked, 400);
    answered("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &chunked, 400);
    let with_origins = |origins: &str| format!("Host: a\r\n{origins}Content-Length: {length}\r\n");
    answered(&with_origins("Origin: null\r\n"), body, 403);
    answered(&with_origins("Origin: http://localhost\r\nOrigin: https://evil.example\r\n"), body, 403);
    let pixel = node.get("/v1/hit.gif?site=demo&url=http://localhost/%FF%C3");
    assert!(pixel.status == 400 && pixel.head.contains("image/gif"), "{}", pixel.head);
    assert_eq!(node.figures().figure("today"), 0);
    answered("Host: a\r\nTransfer-Encoding: chunked\r\n", &chunked, 200);
    assert_eq!(node.get("/v1/hit.gif?site=demo&url=http://localhost/a").status, 200);
    assert_eq!(node.figures().figure("today"), 2);
    node.stop();
}
