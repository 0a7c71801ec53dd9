//! The admin listener: permissions, refused CSV, and a scraping Prometheus.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Answer, Node, ask, until};
use crate::port::free_port;
use crate::process::Process;
use crate::redis::Redis;

const TOKEN: &str = "a-token-of-this-test";
const READ_TOKEN: &str = "another-token-for-reading";
const CSV: &str = "period,hits\n2024-06-17,851\n";
const LIMIT: Duration = Duration::from_secs(60);

/// Rules of pages, and one of them, which PUT sets and DELETE undoes.
const RULE: &str = "/sites/demo/pages/rules?page=/a&kind=hide";
const RULE_BODY: &str = r#"{"page":"/a","kind":"hide"}"#;

/// Tokens of editors, and one of them, which POST makes and DELETE revokes.
const TOKENS: &str = "/tokens?name=lan";
const TOKENS_BODY: &str = r#"{"name":"lan","right":"view","sites":["demo"]}"#;

/// Routes that need a token, each with its method. `the_table_has_every_route` compares them with the
/// program's list.
const GUARDED: [(&str, &str); 28] = [
    ("GET", "/sites/demo/export"),
    ("GET", "/sites/demo/sources"),
    ("GET", "/sites/demo/figures"),
    ("POST", "/sites/demo/import?source=old"),
    // With counts of the import: a reset of nothing can't be undone.
    ("POST", "/sites/demo/reset"),
    ("DELETE", "/sites/demo/reset"),
    ("GET", "/sites/demo/pages/figures?url=/a"),
    ("GET", "/sites/demo/pages/top"),
    ("GET", "/sites/demo/history"),
    ("GET", "/sites/demo/pages/history?url=/a"),
    ("GET", "/sites"),
    ("GET", "/sites/demo/chart.svg"),
    ("DELETE", "/sites/demo/sources/import:old"),
    ("GET", "/sites/demo/verify"),
    ("POST", "/sites/demo/repair"),
    ("GET", "/sites/demo/bots"),
    ("GET", "/sites/demo/pages/parameters"),
    ("GET", "/sites/demo/pages"),
    ("GET", RULE),
    ("PUT", RULE),
    ("DELETE", RULE),
    ("GET", "/warnings"),
    ("POST", "/clock/accept"),
    ("POST", "/reload"),
    ("GET", TOKENS),
    ("POST", TOKENS),
    ("DELETE", TOKENS),
    ("GET", "/openapi.json"),
];

/// Routes of probes and Prometheus, without a token.
const FREE: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

fn guarded_node(directory: &Path) -> Node {
    let (config, token) = (directory.join("thongke.toml"), directory.join("token"));
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let chmod = Command::new("chmod").arg("600").arg(&token).status().unwrap();
    assert!(chmod.success());
    let text = format!("admin_token_file = {token:?}\n[sites.demo]\norigins = [\"http://localhost:*\"]\n");
    std::fs::write(&config, text).unwrap();
    Node::start(&directory.join("data"), &["--config", config.to_str().unwrap()])
}

/// A node with a full token and a read token.
fn node_with_both_tokens(directory: &Path) -> Node {
    let (config, write, read) =
        (directory.join("thongke.toml"), directory.join("write-token"), directory.join("read-token"));
    for (path, token) in [(&write, TOKEN), (&read, READ_TOKEN)] {
        std::fs::write(path, format!("{token}\n")).unwrap();
        assert!(Command::new("chmod").arg("600").arg(path).status().unwrap().success());
    }
    let tokens = format!("admin_token_file = {write:?}\nadmin_read_token_file = {read:?}\n");
    std::fs::write(&config, format!("{tokens}[sites.demo]\norigins = [\"http://localhost:*\"]\n")).unwrap();
    Node::start(&directory.join("data"), &["--config", config.to_str().unwrap()])
}

fn body(method: &str, path: &str) -> &'static str {
    match method {
        "POST" if path == TOKENS => TOKENS_BODY,
        "POST" => CSV,
        "PUT" => RULE_BODY,
        _ => "",
    }
}

fn request(node: &Node, method: &str, path: &str, fields: &[&str]) -> Answer {
    ask(&node.admin, method, path, &[fields, &["Content-Type: text/csv"]].concat(), body(method, path))
}

#[test]
fn with_a_token_file_everything_but_metrics_and_probes_wants_the_token() {
    let directory = TempDir::new().unwrap();
    let node = guarded_node(directory.path());
    for (method, path) in GUARDED {
        for wrong in ["", "Bearer", "Bearer wrong", "Bearer a-token-of-this-tes", "Basic a-token-of-this-test"] {
            let fields = format!("Authorization: {wrong}");
            let fields = if wrong.is_empty() { vec![] } else { vec![fields.as_str()] };
            let answer = request(&node, method, path, &fields);
            assert!(answer.problem(401).contains("Authorization: Bearer"), "{method} {path} {wrong}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    for path in FREE {
        assert_eq!(node.admin_get(path).status, 200, "{path}");
    }
    let with_token = format!("Authorization: Bearer {TOKEN}");
    let sources = |node: &Node| request(node, "GET", "/sites/demo/sources", &[&with_token]).body;
    assert!(!sources(&node).contains("import:old"), "nothing was imported without the token");
    for (method, path) in [GUARDED[3], GUARDED[0], GUARDED[1], GUARDED[2]] {
        assert_eq!(request(&node, method, path, &[&with_token]).status, 200, "{method} {path}");
    }
    assert!(sources(&node).contains("import:old"));
    assert_eq!(request(&node, "DELETE", "/sites/demo/sources/import:old", &[&with_token]).status, 200);
    // The operator's command takes the token from the same configuration.
    let output = Command::new(crate::node::PROGRAM)
        .args(["sources", "demo", "--config"])
        .arg(directory.path().join("thongke.toml"))
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    node.stop();
}

#[test]
fn every_route_and_every_credential() {
    let directory = TempDir::new().unwrap();
    let node = node_with_both_tokens(directory.path());
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    for (credential, may_read, may_write) in [
        ("", false, false),
        ("Basic YWRtaW46YW55dGhpbmc=", false, false),
        ("Basic admin:anything", false, false),
        ("Bearer", false, false),
        ("Bearer null", false, false),
        ("Bearer undefined", false, false),
        ("Bearer a-token-of-this-tes", false, false),
        (&format!("Bearer {READ_TOKEN}"), true, false),
        (&format!("Bearer {TOKEN}"), true, true),
    ] {
        let field = format!("Authorization: {credential}");
        let fields = if credential.is_empty() { vec![] } else { vec![field.as_str()] };
        for (_, path) in GUARDED {
            for method in methods {
                let is_read = matches!(method, "GET" | "HEAD");
                let asked = if method == "HEAD" { "GET" } else { method };
                let is_known = GUARDED.contains(&(asked, path));
                let expected = match (is_read, is_known) {
                    (true, _) if !may_read => 401,
                    (false, _) if !may_read => 401,
                    (false, _) if !may_write => 403,
                    (_, false) => 405,
                    (_, true) => 200,
                };
                let answer = request(&node, method, path, &fields);
                assert_eq!(answer.status, expected, "{method} {path} with `{credential}`: {}", answer.body);
            }
        }
        for path in FREE {
            for method in methods {
                let expected = if matches!(method, "GET" | "HEAD") { 200 } else { 405 };
                assert_eq!(request(&node, method, path, &fields).status, expected, "{method} {path}");
            }
        }
    }
    node.stop();
}

#[test]
fn the_table_has_every_route() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    // A unit test compares the document with the route table.
    let document = node.admin_get("/openapi.json").json();
    let mut described = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{site}", "demo").replace("{source}", "import:old");
        for method in item.as_object().unwrap().keys().filter(|key| !matches!(key.as_str(), "parameters" | "head")) {
            described.push((method.to_ascii_uppercase(), path.clone()));
        }
    }
    let free = FREE.map(|path| ("GET", path));
    let tabled = GUARDED.into_iter().chain(free);
    let mut tabled: Vec<_> = tabled
        .map(|(method, path)| (method.to_owned(), path.split('?').next().unwrap_or_default().to_owned()))
        .collect();
    described.sort();
    tabled.sort();
    assert_eq!(tabled, described);
    node.stop();
}

#[test]
fn a_foreign_host_reaches_nothing_that_a_web_page_could_misuse() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let port = node.admin.rsplit_once(':').unwrap().1;
    for (method, path) in GUARDED {
        let other_port = format!("Host: 127.0.0.1:{}", port.parse::<u16>().unwrap() ^ 1);
        for host in ["Host: evil.example", "Host: 127.0.0.1.evil.example", "Host: 10.1.2.3", &other_port] {
            let answer = request(&node, method, path, &[host]);
            assert!(answer.problem(403).contains("not a name of this listener"), "{method} {path} {host}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    for host in [format!("Host: {}", node.admin), format!("Host: localhost:{port}"), "Host: localhost".to_owned()] {
        for (method, path) in GUARDED {
            let answer = request(&node, method, path, &[&host]);
            // Forget the import made above.
            assert_eq!(answer.status, 200, "{method} {path} {host}: {}", answer.body);
        }
    }
    node.stop();
}

/// Content types, and true for one that a browser sends for a foreign page only after asking.
const KINDS: [(&[&str], bool); 9] = [
    (&[], false),
    (&["text/plain"], false),
    (&["text/plain; text/csv"], false),
    (&["application/x-www-form-urlencoded"], false),
    (&["multipart/form-data; boundary=text/csv"], false),
    (&["text/plain", "text/csv"], false),
    (&["text/csv", "text/plain"], false),
    (&["Text/CSV; charset=utf-8"], true),
    (&["application/json"], true),
];

/// Every admin route, with every content type, from every page, with every token: nothing changes that a page of
/// another origin could ask for.
#[test]
fn no_page_of_another_origin_can_send_a_change() {
    let directory = TempDir::new().unwrap();
    let (open, guarded) = (directory.path().join("open"), directory.path().join("guarded"));
    for folder in [&open, &guarded] {
        std::fs::create_dir(folder).unwrap();
    }
    let (write, read) = (format!("Authorization: Bearer {TOKEN}"), format!("Authorization: Bearer {READ_TOKEN}"));
    // A node, its credentials, and true for those that may read, and may write.
    let nodes = [
        (Node::start(&open, &[]), vec![(None, true, true), (Some(&read), true, true)]),
        (
            node_with_both_tokens(&guarded),
            vec![(None, false, false), (Some(&read), true, false), (Some(&write), true, true)],
        ),
    ];
    for (node, credentials) in nodes {
        let own = format!("Origin: http://{}", node.admin);
        let pages = [
            (vec![], true),
            (vec!["Sec-Fetch-Site: none"], true),
            (vec![own.as_str(), "Sec-Fetch-Site: same-origin"], true),
            (vec!["Origin: https://evil.example"], false),
            (vec!["Origin: http://127.0.0.1"], false),
            (vec!["Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"], false),
            (vec!["Origin: null"], false),
            (vec![own.as_str(), "Origin: https://evil.example"], false),
            (vec!["Sec-Fetch-Site: cross-site"], false),
        ];
        for (method, path) in GUARDED {
            let is_change = method != "GET";
            let is_import = path.contains("/import?");
            for (kinds, is_asked_for) in KINDS {
                let is_kind = matches!(method, "GET" | "DELETE")
                    || (is_asked_for && (!is_import || kinds.iter().all(|kind| kind.starts_with("Text/CSV"))));
                for (page, is_own) in &pages {
                    for (credential, may_read, may_write) in &credentials {
                        let mut fields: Vec<_> = kinds.iter().map(|kind| format!("Content-Type: {kind}")).collect();
                        fields.extend(page.iter().map(|field| (*field).to_owned()));
                        fields.extend(credential.map(String::clone));
                        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
                        let answer = ask(&node.admin, method, path, &fields, body(method, path));
                        let is_named_foreign = page.iter().any(|field| field.starts_with("Sec-Fetch-Site")) && !is_own;
                        let expected: &[u16] = match (is_change, is_own, may_read, may_write, is_kind) {
                            (true, false, ..) => &[403],
                            _ if is_named_foreign => &[403],
                            (_, _, false, ..) => &[401],
                            (true, _, _, false, _) => &[403],
                            (_, _, _, _, false) => &[415],
                            // Nothing may be left to forget, or to undo.
                            _ if method == "DELETE" => &[200, 400, 404],
                            // The token may have been made already.
                            _ if path == TOKENS => &[200, 400],
                            _ => &[200],
                        };
                        assert!(
                            expected.contains(&answer.status),
                            "{method} {path} {fields:?}: {} {}",
                            answer.status,
                            answer.body
                        );
                        assert!(!is_change || answer.header("access-control-allow-origin").is_none());
                    }
                }
            }
        }
        node.stop();
    }
}

#[test]
fn an_import_wants_csv_a_name_and_a_site() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let import = |path: &str, fields: &[&str]| ask(&node.admin, "POST", path, fields, CSV);
    let path = "/sites/demo/import?source=old";
    assert!(import(path, &[]).problem(415).contains("text/csv"));
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=text/csv", "text/csvx"]
    {
        import(path, &[&format!("Content-Type: {kind}")]).problem(415);
    }
    let csv = ["Content-Type: Text/CSV; charset=utf-8"];
    assert!(import("/sites/demo/import", &csv).problem(400).contains("source=NAME"));
    import("/sites/demo/import?source=Old%20one", &csv).problem(400);
    assert!(import("/sites/nowhere/import?source=old", &csv).problem(404).contains("nowhere"));
    for (method, path) in GUARDED {
        let allow = request(&node, "PATCH", path, &[]).header("allow").unwrap().to_owned();
        assert!(allow.split(", ").any(|allowed| allowed == method), "{method} {path}: {allow}");
    }
    for path in ["/", "/sites/demo", "/sites/demo/", "/sites/demo/nothing", "/metrics/x"] {
        request(&node, "GET", path, &[]).problem(404);
    }
    let twice = "period,page,hits\n2024-06,/a?id=1&fbclid=x,4\n2024-06,/a/?id=1,5\n2024-06,/b,1\n";
    let report = ask(&node.admin, "POST", "/sites/demo/import?source=pages", &csv, twice).json();
    assert_eq!((&report["rows"], &report["summed"]), (&2.into(), &1.into()), "{report}");
    assert!(request(&node, "DELETE", "/sites/demo/sources/import:other", &[]).problem(404).contains("other"));
    request(&node, "DELETE", "/sites/demo/sources/0123456789abcdef", &[]).problem(400);
    assert_eq!(import(path, &csv).status, 200);
    node.stop();
}

#[test]
fn of_a_file_with_a_bad_line_nothing_is_taken() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let import =
        |text: &[u8]| ask(&node.admin, "POST", "/sites/demo/import?source=old", &["Content-Type: text/csv"], text);
    let export = || ask(&node.admin, "GET", "/sites/demo/export", &[], "").body;
    assert_eq!(import(CSV.as_bytes()).status, 200);
    let before = export();
    assert!(before.contains("2024-06-17,,851"), "{before}");
    for (line, text, says) in [
        (1, &b""[..], "header"),
        (1, b"day;hits\n", "header"),
        (3, b"period,hits\n2024-06-17,1\n2024-02-30,1\n", "2024-02-30"),
        (3, b"period,hits\n2024-06-17,1\n2024-06-18,2.455\n", "whole number"),
        (3, b"period,hits\n2024-06-17,1\n2024-06-18,1000000000000001\n", "10^15"),
        (3, b"period,hits\n2024-06-17,1\n2024-06-17,2\n", "line 2 already"),
        (3, b"period,hits\n2024-06-17,1\n2024-06-18\n", "1 fields"),
        (3, b"period,hits\n2024-06-17,1\n2024-06-18,\xff\n", "UTF-8"),
        (3, b"period,page,hits\n2024-06-17,,1\n2024,/a,1\n", "not by year"),
    ] {
        let answer = import(text);
        let detail = answer.problem(400);
        assert!(detail.contains(says) && detail.contains("nothing of the file was taken"), "{detail}");
        assert_eq!(answer.json()["line"], line, "{detail}");
        assert_eq!(export(), before);
    }
    node.stop();
}

/// `/metrics` is valid and complete for its readers.
fn promtool_has_nothing_to_say(node: &Node) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), node.admin_get("/metrics").body).unwrap();
    let input = std::fs::File::open(file.path()).unwrap();
    let check = Command::new("promtool").args(["check", "metrics"]).stdin(input).output().unwrap();
    assert!(check.status.success() && check.stdout.is_empty() && check.stderr.is_empty(), "{check:?}");
}

#[test]
fn a_prometheus_scrapes_a_node_with_redis_and_promtool_has_nothing_to_say() {
    let redis = Redis::start();
    let directory = TempDir::new().unwrap();
    let node = Node::start(&directory.path().join("data"), &["--redis", &redis.url()]);
    for _ in 0..3 {
        assert_eq!(node.hit("/a").status, 200);
    }
    assert_eq!(node.hit_with(&[], "{").status, 400);
    until("it is published", LIMIT, || redis.hits("total") == "3");
    promtool_has_nothing_to_say(&node);
    let config = directory.path().join("prometheus.yml");
    let scrape = format!("scrape_configs:\n- job_name: thongke\n  static_configs:\n  - targets: ['{}']\n", node.admin);
    std::fs::write(&config, format!("global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n{scrape}")).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let _prometheus = Process::start(
        Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={address}")),
    );
    until("prometheus listens", LIMIT, || std::net::TcpStream::connect(&address).is_ok());
    let value = |query: &str| {
        let answer = ask(&address, "GET", &format!("/api/v1/query?query={query}"), &[], "");
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        json["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    let reads = |query: &str, expected: &str| {
        until(&format!("{query} = {expected}"), LIMIT, || value(query).as_deref() == Some(expected));
    };
    reads("thongke_hits_total%7Bsite=%22demo%22,result=%22counted%22%7D", "3");
    reads("thongke_refusals_total%7Breason=%22malformed%22%7D", "1");
    reads("thongke_redis_up", "1");
    reads("thongke_redis_unpublished_hits", "0");
    reads("thongke_http_request_duration_seconds_count%7Broute=%22/v1/hit%22,status=%22200%22%7D", "3");
    // A hit's answer follows the end of its commit.
    until("commits are measured", LIMIT, || value("thongke_commit_duration_seconds_count").is_some_and(|n| n != "0"));
    assert_eq!(node.hit("/a").status, 200);
    reads("sum(thongke_hits_total)", "4");
    node.stop();
}

#[test]
fn a_page_of_another_origin_loads_nothing_and_a_link_opens() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    for (fields, status) in [
        (&["Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image"][..], 403),
        (&["Sec-Fetch-Site: same-site", "Sec-Fetch-Dest: iframe"], 403),
        (&["Sec-Fetch-Site: cross-site"], 403),
        (&["Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: document"], 200),
        (&["Sec-Fetch-Site: same-origin", "Sec-Fetch-Dest: empty"], 200),
        (&["Sec-Fetch-Site: none", "Sec-Fetch-Dest: document"], 200),
        (&[], 200),
    ] {
        for path in ["/sites/demo/verify", "/sites/demo/export"] {
            assert_eq!(ask(&node.admin, "GET", path, fields, "").status, status, "{path} {fields:?}");
        }
        assert_eq!(ask(&node.admin, "GET", "/healthz", fields, "").status, 200, "{fields:?}");
    }
    node.stop();
}
