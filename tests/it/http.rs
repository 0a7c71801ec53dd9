//! Answers of the public listener besides counting: caching, CORS, assets, the prefix.

use std::path::Path;

use tempfile::TempDir;

use crate::node::{Answer, Node, ask};

const HIT: &str = r#"{"site":"demo","url":"http://localhost/bai-1"}"#;
const FIGURES: &str = "/v1/sites/demo/figures";
const GIF: &str = "image/gif";

fn node() -> (TempDir, Node) {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    (directory, node)
}

fn node_of(directory: &Path, config: &str) -> Node {
    let file = directory.join("thongke.toml");
    std::fs::write(&file, config).unwrap();
    Node::start(&directory.join("data"), &["--config", file.to_str().unwrap()])
}

#[test]
fn a_hit_is_json_or_a_form_whatever_the_content_type_and_unknown_fields_are_a_newer_scripts() {
    let (_directory, node) = node();
    let newer = r#"{"v":2,"url":"http://localhost/bai-1","site":"demo","width":{"of":["screen",1]}}"#;
    let mut counted = 0;
    for body in [HIT, newer, "site=demo&url=http%3A%2F%2Flocalhost%2Fbai-1", "url=http://localhost/bai-1&x&site=demo"] {
        for kind in ["application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "nonsense"] {
            let answer = node.hit_with(&[&format!("Content-Type: {kind}")], body);
            counted += 1;
            assert_eq!((answer.status, answer.figure("today")), (200, counted), "{kind} {body}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(
                (answer.header("thongke-hit"), answer.header("cache-control")),
                (Some("counted"), Some("no-store"))
            );
        }
    }
    node.stop();
}

#[test]
fn figures_are_not_sent_again_while_they_are_the_same() {
    let (_directory, node) = node();
    let first = node.get(FIGURES);
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\"") && tag.ends_with('"'), "{tag}");
    assert_eq!(first.header("cache-control"), Some("public, max-age=1"));
    let with_tag = |tag: &str| ask(&node.public, "GET", FIGURES, &[&format!("If-None-Match: {tag}")], "");
    for same in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
        let answer = with_tag(&same);
        assert_eq!(
            (answer.status, answer.body.as_str(), answer.header("etag")),
            (304, "", Some(tag.as_str())),
            "{same}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=1"));
    }
    // `as_of` moves on; the tag covers the figures only.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let later = node.get(FIGURES);
    assert_ne!(later.json()["as_of"], first.json()["as_of"]);
    assert_eq!(with_tag(&tag).status, 304);
    assert_eq!(node.hit_with(&[], HIT).status, 200);
    let changed = with_tag(&tag);
    assert_eq!((changed.status, changed.figure("today")), (200, 1));
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    node.stop();
}

#[test]
fn head_is_get_without_the_body() {
    let (_directory, node) = node();
    for path in [FIGURES, "/thongke.js", "/", "/nothing"] {
        let (head, get) = (ask(&node.public, "HEAD", path, &[], ""), node.get(path));
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    node.stop();
}

#[test]
fn a_browser_may_ask_before_it_sends_a_hit() {
    let (_directory, node) = node();
    let preflight = [
        "Origin: http://localhost",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type",
    ];
    for (path, methods) in [("/v1/hit", "POST, OPTIONS"), (FIGURES, "GET, HEAD, OPTIONS")] {
        let answer = ask(&node.public, "OPTIONS", path, &preflight, "");
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert_eq!(answer.header("access-control-allow-methods"), Some(methods));
        assert_eq!(answer.header("access-control-allow-headers"), Some("content-type"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    assert_eq!(node.figures().figure("today"), 0);
    node.stop();
}

#[test]
fn the_page_may_read_its_hits_answer_and_any_page_figures_and_errors() {
    let (_directory, node) = node();
    let origin = "Origin: http://localhost:5000";
    for path in ["/v1/hit", "/v1/hit?figures=0"] {
        let counted = ask(&node.public, "POST", path, &[origin], HIT);
        assert_eq!(counted.header("access-control-allow-origin"), Some("http://localhost:5000"), "{path}");
        assert_eq!(counted.header("vary").map(str::to_ascii_lowercase).as_deref(), Some("origin"));
        assert_eq!(counted.header("access-control-expose-headers"), Some("Thongke-Hit, Thongke-Hit-Kind"));
    }
    assert_eq!(node.get(FIGURES).header("access-control-allow-origin"), Some("*"));
    let refused: [(&str, &str, &[&str], &str, u16); 6] = [
        ("POST", "/v1/hit", &["Origin: https://evil.example"], HIT, 403),
        ("POST", "/v1/hit", &["Origin: null"], HIT, 403),
        ("POST", "/v1/hit", &[origin], "{", 400),
        ("PUT", "/v1/hit", &[origin], "", 405),
        ("GET", "/v1/sites/nowhere/figures", &[origin], "", 404),
        ("GET", "/nothing", &[origin], "", 404),
    ];
    for (method, path, fields, body, status) in refused {
        let answer = ask(&node.public, method, path, fields, body);
        answer.problem(status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {path}");
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
        assert_eq!(exposed, "Thongke-Hit, Thongke-Hit-Kind, X-Request-Id, Retry-After", "{method} {path}");
        assert!(answer.header("x-request-id").is_some(), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert_eq!(node.figures().figure("today"), 2);
    node.stop();
}

#[test]
fn the_pixel_is_always_the_picture_and_says_what_became_of_the_hit() {
    let (_directory, node) = node();
    let is_picture = |answer: &Answer| {
        assert_eq!((answer.header("content-type"), answer.header("content-length")), (Some(GIF), Some("43")));
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("no-store")));
        assert!(answer.body.starts_with("GIF89a"));
    };
    for (query, fields, status, outcome) in [
        ("?site=demo&url=http%3A%2F%2Flocalhost%2Fa", &[][..], 200, "counted"),
        ("?site=demo", &["Referer: http://localhost/a"], 200, "counted"),
        ("", &[], 400, "malformed"),
        ("?site=demo", &[], 400, "malformed"),
        ("?site=demo&url=ftp://localhost/", &[], 400, "malformed"),
        ("?site=nowhere&url=http://localhost/", &[], 404, "site"),
        ("?site=demo&url=https://evil.example/", &[], 403, "origin"),
        ("?site=demo", &["Referer: https://evil.example/"], 403, "origin"),
    ] {
        let answer = ask(&node.public, "GET", &format!("/v1/hit.gif{query}"), fields, "");
        assert_eq!((answer.status, answer.header("thongke-hit")), (status, Some(outcome)), "{query}");
        is_picture(&answer);
    }
    assert_eq!(node.figures().figure("today"), 2);
    node.stop();
}

#[test]
fn the_script_has_an_address_that_never_changes() {
    let (_directory, node) = node();
    let (latest, versioned) = (node.get("/thongke.js"), node.get(&versioned_script()));
    assert_eq!(latest.header("cache-control"), Some("public, max-age=3600"));
    assert_eq!(versioned.header("cache-control"), Some("public, max-age=31536000, immutable"));
    for script in [&latest, &versioned] {
        assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
        // A tag with `integrity` needs both.
        assert_eq!(script.header("access-control-allow-origin"), Some("*"));
        assert_eq!(script.header("cross-origin-resource-policy"), Some("cross-origin"));
    }
    assert_eq!(latest.body, versioned.body);
    let packed = ask(&node.public, "GET", "/thongke.js", &["Accept-Encoding: gzip"], "");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let length: usize = packed.header("content-length").unwrap().parse().unwrap();
    assert!(length <= 1_850, "the script has {length} bytes");
    assert_eq!(node.get("/thongke-0.0.0.js").status, 404);
    node.stop();
}

/// `docs/embedding.md` pins the script by this hash. A script that changed within a version would no longer
/// load there.
#[test]
fn the_documents_give_the_versioned_scripts_hash() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let (_directory, node) = node();
    let script = node.get(&versioned_script()).body;
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha384::digest(script));
    let page = include_str!("../../docs/embedding.md");
    let (address, integrity) = (versioned_script(), format!("integrity=\"sha384-{hash}\""));
    assert!(page.contains(&address) && page.contains(&integrity), "docs/embedding.md lacks {address} or {integrity}");
    node.stop();
}

pub fn versioned_script() -> String {
    format!("/thongke-{}.js", env!("CARGO_PKG_VERSION"))
}

#[test]
fn under_a_prefix_everything_is_there_and_nothing_beside_it() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "path_prefix = \"/tk\"\n[sites.demo]\norigins = [\"http://localhost:*\"]\n");
    let answer = ask(&node.public, "POST", "/tk/v1/hit", &[], HIT);
    assert_eq!((answer.status, answer.figure("today")), (200, 1), "{}", answer.body);
    for (path, status) in [
        ("/tk/v1/sites/demo/figures", 200),
        ("/tk/v1/hit.gif?site=demo&url=http://localhost/a", 200),
        ("/tk/thongke.js", 200),
        ("/tk", 308),
        (FIGURES, 404),
        ("/thongke.js", 404),
        ("/tkthongke.js", 404),
        ("/tk/", 200),
        // The demo belongs to the built-in site, which a configuration file replaces.
        ("/tk/demo.css", 404),
    ] {
        assert_eq!(node.get(path).status, status, "{path}");
    }
    assert_eq!(node.get("/tk").header("location"), Some("/tk/"));
    node.stop();
}

/// Runs the commands of `docs/api.md` verbatim.
#[test]
fn the_curl_commands_of_the_documents_work() {
    let (_directory, node) = node();
    let page = include_str!("../../docs/api.md");
    let commands: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("$ curl ")).collect();
    assert!(!commands.is_empty());
    for command in commands {
        let here = command.replace("127.0.0.1:8080", &node.public).replace("127.0.0.1:8081", &node.admin);
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("curl -sS --fail-with-body {here}")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["site"], "demo", "{command}: {answer}");
        if command.contains("period=") {
            // A month long ago.
            assert_eq!(answer["pages"], serde_json::json!([]), "{command}: {answer}");
            continue;
        }
        let shown = answer.pointer("/figures/0/text").or(answer.pointer("/pages/0/figures/0/text"));
        assert_eq!(shown, Some(&"1".into()), "{command}: {answer}");
    }
    node.stop();
}

#[test]
fn a_reads_unknown_parameters_are_ignored_and_named_and_another_reads_are_refused() {
    let (_directory, node) = node();
    let read = |what: &str, fields: &[&str]| ask(&node.public, "GET", &format!("/v1/sites/demo/{what}"), fields, "");
    for (what, by_hyper) in [
        ("figures", &[][..]),
        ("figures", &["Trailer: none"]),
        ("history", &[]),
        ("chart.svg", &[]),
        ("pages", &[]),
        ("pages/figures?url=/a", &[]),
    ] {
        let more = |query: &str| format!("{what}{}{query}", if what.contains('?') { '&' } else { '?' });
        for (query, ignored) in [
            ("language=en", None),
            ("utm_source=x&fbclid=1&utm_source=y", Some("utm_source, fbclid")),
            ("a%0d%0aSet-Cookie:b=1", Some("a??Set-Cookie?b")),
        ] {
            let answer = read(&more(query), by_hyper);
            assert_eq!((answer.status, answer.header("thongke-ignored")), (200, ignored), "{what} {query}");
            let exposed = ignored.map(|_| "Thongke-Ignored");
            assert_eq!(answer.header("access-control-expose-headers"), exposed, "{what} {query}");
            assert_eq!(answer.header("set-cookie"), None);
        }
        let known = read(&more("x=1"), &[by_hyper, &["If-None-Match: *"]].concat());
        assert_eq!((known.status, known.header("thongke-ignored")), (304, Some("x")), "{what}");
    }
    for (what, field, path) in [
        ("history?url=/a", "url", "/v1/sites/{site}/pages/figures"),
        ("figures?url=/a", "url", "/v1/sites/{site}/pages/figures"),
        ("chart.svg?period=total", "period", "/v1/sites/{site}/pages"),
        ("pages?figures=today", "figures", "/v1/sites/{site}/figures"),
        ("pages/figures?url=/a&last=3", "last", "/v1/sites/{site}/history"),
    ] {
        let answer = read(what, &[]);
        assert!(answer.problem(400).contains(&format!("`{path}` does")), "{}", answer.body);
        assert_eq!(answer.json()["field"], field);
    }
    for what in ["figures", "pages", "history"] {
        let operators = |query: &str| node.admin_get(&format!("/sites/demo/{what}?{query}"));
        let (named, misplaced) = (operators("x=1&language=en"), operators("url=/a"));
        assert_eq!((named.status, named.header("thongke-ignored")), (200, Some("x")), "{what}");
        assert!(misplaced.problem(400).contains("takes no `url`"), "{what}: {}", misplaced.body);
    }
    // A hit's query is not a read's: nothing may cost the hit.
    assert_eq!(node.post("/v1/hit?url=/a&x=1", HIT).header("thongke-hit"), Some("counted"));
    node.stop();
}

/// Questions share what has been read, and yet none shows fewer hits than there are.
#[test]
fn a_history_asked_otherwise_has_the_newest_hits() {
    let (_directory, node) = node();
    for (hits, question) in [(1, "history"), (2, "history?last=7"), (3, "history?x=1"), (4, "history?by=month")] {
        assert_eq!(node.post("/v1/hit", HIT).status, 200);
        // The same answer may be a second old.
        std::thread::sleep(std::time::Duration::from_millis(if question.contains('x') { 1_100 } else { 0 }));
        let history = node.get(&format!("/v1/sites/demo/{question}")).json();
        assert_eq!(history["history"].as_array().unwrap().last().unwrap()["value"], hits, "{question}");
    }
    node.stop();
}

#[test]
fn a_configured_node_has_a_home_page_that_stores_nothing_and_runs_nothing() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "path_prefix = \"/tk\"\n[sites.a]\norigins = [\"https://a.vn\"]\n");
    let page = node.get("/tk/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.contains("Máy chủ đếm lượt truy cập") && page.body.contains("A visit counter"), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("script-src"), "{policy}");
    assert_eq!((page.header("cache-control"), page.header("x-robots-tag")), (Some("no-store"), Some("noindex")));
    assert_eq!(page.header("set-cookie"), None);
    // Neither the admin listener's address nor a site's name.
    let admin_port = node.admin.rsplit(':').next().unwrap();
    assert!(!page.body.contains(admin_port) && !page.body.contains("a.vn"), "{}", page.body);
    assert_eq!(ask(&node.public, "HEAD", "/tk/", &[], "").status, 200);
    node.stop();
}
