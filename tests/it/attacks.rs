//! Attacks that worked on other counters. Framing, limits and the admin listener have files of their own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Node, ask, until};
use crate::redis::Redis;

const SCRIPT: &str = "<script>alert(1)</script>";
const ADMIN_TOKEN: &str = "for-everything-here";
const READ_TOKEN: &str = "for-reading-and-no-more";

fn node_of(directory: &Path, settings: &str, more: &[&str]) -> Node {
    let file = directory.join("thongke.toml");
    let (top, limits) = settings.split_once("[limits]").unwrap_or((settings, "enabled = false"));
    let site = "[sites.demo]\norigins = [\"http://localhost:*\"]\nbots = false\n";
    let (top, of_site) = top.split_once("[site]").unwrap_or((top, ""));
    std::fs::write(&file, format!("{top}\n{site}{of_site}\n[limits]\n{limits}\n")).unwrap();
    Node::start(&directory.join("data"), &[&["--config", file.to_str().unwrap()], more].concat())
}

fn hit(page: &str) -> String {
    serde_json::json!({"site": "demo", "url": format!("http://localhost{page}")}).to_string()
}

#[test]
fn a_script_in_whatever_is_sent_is_text_wherever_it_is_shown() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "", &[]);
    let url = format!("http://localhost/{SCRIPT}?utm_id={SCRIPT}&id={SCRIPT}");
    let body = serde_json::json!({"site": "demo", "url": url, "title": SCRIPT}).to_string();
    let fields = ["User-Agent", "Referer", "X-Forwarded-For"].map(|name| format!("{name}: {SCRIPT}"));
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    assert_eq!(node.hit_with(&fields, &body).status, 200);
    let sites = |what: &str| node.get(&format!("/v1/sites/demo/{what}"));
    // JSON may hold it as text: the headers declare JSON and forbid sniffing.
    let top = sites("pages");
    assert_eq!(top.header("content-type"), Some("application/json"));
    assert_eq!(top.json()["pages"][0]["title"], SCRIPT);
    for answer in [sites("figures"), sites("chart.svg?by=day&last=3"), node.admin_get("/metrics")] {
        assert!(!answer.body.contains("<script"), "{}", answer.body);
    }
    let export = node.admin_get("/sites/demo/export");
    assert_eq!(export.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(!export.body.contains("<script"), "{}", export.body);
    node.stop();
}

#[test]
fn a_spreadsheet_finds_no_formula_in_an_export() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "", &[]);
    for page in
        ["/=1+1", "/@SUM(A1)", "/+1", "/-1", "//=1+1", "/\t=1", "/%3D1", "/%0A=1", "/\",=1", "?id==1+1", "/a\r\n=1"]
    {
        assert_eq!(node.hit_with(&[], hit(page)).status, 200, "{page}");
    }
    // An HTTP/1.0 client gets no chunks.
    let ask = b"GET /sites/demo/export HTTP/1.0\r\nHost: localhost\r\n\r\n";
    let export = crate::node::exchange(&node.admin, ask).body;
    let mut reader = csv::Reader::from_reader(export.as_bytes());
    let mut pages = 0;
    for record in reader.records().map(Result::unwrap) {
        assert_eq!(record.len(), 3, "{record:?}");
        pages += usize::from(!record[1].is_empty());
        for cell in &record {
            let is_formula = cell.starts_with(['=', '+', '@', '\t', '\r', '\n', '-']) && cell.parse::<i64>().is_err();
            assert!(!is_formula && !cell.chars().any(char::is_control), "{cell:?} in {export}");
        }
    }
    assert!(pages > 8, "{export}");
    node.stop();
}

#[test]
fn sql_is_text() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "", &[]);
    let sql = "'); DROP TABLE counts; DELETE FROM journal; --";
    assert_eq!(node.hit_with(&[], hit(&format!("/{sql}"))).status, 200);
    let refused = |body: serde_json::Value| assert_ne!(node.hit_with(&[], body.to_string()).status, 200, "{body}");
    refused(serde_json::json!({"site": sql, "url": "http://localhost/"}));
    refused(serde_json::json!({"site": "demo", "url": sql}));
    let escaped = "%27%29%3B%20DROP%20TABLE%20counts%3B--";
    for path in [
        format!("/v1/sites/{escaped}/figures"),
        format!("/v1/sites/demo/pages?period={escaped}"),
        format!("/v1/sites/demo/history?by={escaped}&last={escaped}"),
        format!("/v1/sites/demo/pages/figures?url={escaped}"),
        format!("/v1/sites/demo/figures?figures={escaped}"),
    ] {
        let status = node.get(&path).status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    let body =
        serde_json::json!({"site": "demo", "url": "http://localhost/a", "time_zone": sql, "id": sql}).to_string();
    assert_eq!(node.hit_with(&[], body).status, 200);
    node.stop();
    let node = node_of(directory.path(), "", &[]);
    assert_eq!(node.figures().figure("today"), 2);
    node.stop();
}

#[test]
fn a_body_can_set_neither_its_client_nor_its_time() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "[limits]\naddress_rate = 1\naddress_burst = 3\n", &[]);
    let mut statuses = Vec::new();
    for number in 0..20 {
        let body = serde_json::json!({
            "site": "demo", "url": "http://localhost/a", "ip": format!("192.0.2.{number}"), "userAgent": number.to_string(),
            "timestamp": "2001-01-01T00:00:00Z", "day": "2001-01-01", "count": 1_000, "hits": 1_000,
        });
        statuses.push(node.hit_with(&[], body.to_string()).status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    let counted = statuses.iter().filter(|status| **status == 200).count() as i64;
    assert_eq!(node.figures().figure("today"), counted);
    assert!(!node.admin_get("/sites/demo/export").body.contains("2001"));
    node.stop();
}

#[test]
fn an_error_quotes_a_strangers_text_briefly_and_never_as_a_page() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "", &[]);
    let long = "a".repeat(2_000);
    let evil = [SCRIPT, "\"><img src=x onerror=alert(1)>", &long];
    for site in evil {
        let body = serde_json::json!({"site": site, "url": "http://localhost/"}).to_string();
        let answer = node.hit_with(&["Accept: text/html"], body);
        assert!(answer.problem(404).len() < 300);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    node.get("/v1/sites/%3Cscript%3E/figures").problem(404);
    node.stop();
}

#[test]
fn files_are_not_served() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "", &[]);
    node.hit_with(&[], hit("/a"));
    let files: Vec<_> = std::fs::read_dir(directory.path().join("data")).unwrap().flatten().collect();
    assert!(!files.is_empty());
    let names = files.iter().map(|file| file.file_name().into_string().unwrap()).chain(["thongke.toml".to_owned()]);
    for name in names {
        for way in
            ["/", "/data/", "/../", "/%2e%2e/", "/..%2f", "/v1/../", "//", "/.%00/", "/thongke.js/../", "/\\..\\"]
        {
            for address in [&node.public, &node.admin] {
                let status = ask(address, "GET", &format!("{way}{name}"), &[], "").status;
                assert!(matches!(status, 400 | 404), "{way}{name}: {status}");
            }
        }
    }
    node.stop();
}

#[test]
fn a_callback_is_no_parameter() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "", &[]);
    for query in ["callback=alert(1)", "jsonp=alert", "cb=%0aalert(1)//"] {
        let answer = node.get(&format!("/v1/sites/demo/figures?{query}"));
        assert!(!answer.body.contains("alert"), "{}", answer.body);
        assert_eq!(answer.header("content-type").map(|kind| kind.contains("json")), Some(true));
    }
    node.stop();
}

/// Everything a stranger can invent, and its traces: twenty thousand each, or a million with `tests/run
/// --long`.
#[test]
fn invented_names_grow_nothing_and_real_pages_go_on_counting() {
    const PAGES_MAX: usize = 500;
    let is_long = std::env::var("EXPERIMENT_LONG").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    let invented = if is_long { 1_000_000 } else { 20_000 };
    let directory = TempDir::new().unwrap();
    let redis = Redis::start();
    let trust = "trusted_proxies = [\"127.0.0.1\"]\n";
    let settings =
        format!("{trust}[site]\npage_cap = {PAGES_MAX}\n[limits]\npage_rate = 1000000\npage_burst = 1000000\n");
    let node = node_of(directory.path(), &settings, &["--redis", &redis.url()]);
    let real = |number: i64| assert!(node.hit_with(&[], hit("/real")).figure("today") > number);
    real(0);
    // Reads of absent names, before the memory is measured.
    for number in 0..2_000 {
        assert_eq!(node.get(&format!("/v1/sites/invented-{number}/figures")).status, 404);
        if number % 500 == 0 {
            node.get(&format!("/v1/sites/demo/pages/figures?url=http://localhost/read-{number}"));
        }
    }
    assert!(!redis.cli(&["KEYS", "*"]).contains("invented"));
    assert!(!node.admin_get("/sites/demo/export").body.contains("/read-"), "a read made a page");
    flood(&node, 2_000);
    let (memory, series) = (resident_kib(&node), node.admin_get("/metrics").body.lines().count());
    flood(&node, invented);
    let grown = resident_kib(&node).saturating_sub(memory);
    assert!(grown < 48 << 10, "{grown} KiB more for {invented} invented pages, sites, origins and addresses");
    let metrics = node.admin_get("/metrics").body;
    assert!(metrics.lines().count() < series + 60, "{metrics}");
    assert!(!metrics.contains("invented") && !metrics.contains("203.0.113"), "{metrics}");
    let export = node.admin_get("/sites/demo/export").body;
    let pages = export.lines().filter(|line| line.contains(",/invented-")).count();
    // A page has about one row each for its day, month and year.
    assert!(pages <= 5 * PAGES_MAX, "{pages} rows of invented pages");
    let on_disk: u64 = std::fs::read_dir(directory.path().join("data"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(on_disk < 32 << 20, "{on_disk} bytes on disk");
    // The site has its hash and the pages of day, month and total; a page has this run's share.
    let keys = redis.cli(&["KEYS", "*"]);
    for key in keys.lines().filter(|key| key.contains(":pages:")) {
        let members: usize = redis.cli(&["ZCARD", key]).parse().unwrap();
        assert!(members <= 3 * PAGES_MAX, "{key} has {members} members");
    }
    assert!(keys.lines().count() < 20 && !keys.contains("invented"), "{keys}");
    real(1);
    assert!(export.contains(",/real,"), "the real page is lost");
    node.stop();
}

/// Hits of invented pages, sites and origins, from invented addresses with invented header fields.
fn flood(node: &Node, invented: usize) {
    // A connection's hits are answered in turn: several share a sync.
    const CONNECTIONS: usize = 32;
    let share = invented.div_ceil(CONNECTIONS);
    std::thread::scope(|scope| {
        for from in (0..invented).step_by(share) {
            let address = &node.public;
            scope.spawn(move || flood_part(address, from..invented.min(from + share)));
        }
    });
}

fn flood_part(address: &str, invented: Range<usize>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut buffer = vec![0; 1 << 16];
    for from in invented.clone().step_by(20) {
        let mut requests = String::new();
        let numbers = from..invented.end.min(from + 20);
        for number in numbers.clone() {
            let (site, origin) = match number % 4 {
                0 => (format!("invented-{number}"), "http://localhost".to_owned()),
                1 => ("demo".to_owned(), format!("https://invented-{number}.example")),
                _ => ("demo".to_owned(), "http://localhost".to_owned()),
            };
            let body = format!(r#"{{"site":"{site}","url":"http://localhost/invented-{number}"}}"#);
            requests.push_str(&format!(
                "POST /v1/hit?figures=0 HTTP/1.1\r\nHost: invented-{number}.example\r\nOrigin: {origin}\r\n\
                 X-Forwarded-For: 203.{}.{}.{}\r\nUser-Agent: invented-{number}\r\nX-Invented-{number}: a\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                number / 65_536 % 256,
                number / 256 % 256,
                number % 256,
                body.len()
            ));
        }
        stream.write_all(requests.as_bytes()).unwrap();
        let mut answered = 0;
        while answered < numbers.len() {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the connection ended");
            answered += String::from_utf8_lossy(&buffer[..read]).matches("HTTP/1.1 ").count();
        }
    }
}

fn resident_kib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_read_creates_no_key() {
    let redis = Redis::start();
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "", &["--redis", &redis.url()]);
    assert_eq!(ask(&node.public, "POST", "/v1/hit", &[], hit("/a")).status, 200);
    let keys = || {
        let mut keys: Vec<String> = redis.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
        keys.sort();
        keys
    };
    let limit = Duration::from_secs(60);
    until("the hit and its page are in Redis", limit, || {
        redis.hits("total") == "1" && keys().iter().any(|key| key.ends_with(":pages:total"))
    });
    let before = keys();
    for path in [
        "/v1/sites/demo/figures?figures=today,last_year,total",
        "/v1/sites/demo/pages/figures?url=http://localhost/never&figures=today,last_month",
        "/v1/sites/demo/pages?period=1999-01",
        "/v1/sites/demo/pages?period=1999-01-02",
        "/v1/sites/demo/history?by=year&from=1980&to=2079",
        "/v1/sites/demo/chart.svg?by=month",
    ] {
        assert_eq!(node.get(path).status, 200, "{path}");
    }
    for what in ["figures", "pages/figures?url=http://localhost/", "pages", "history", "chart.svg"] {
        assert_eq!(node.get(&format!("/v1/sites/invented/{what}")).status, 404, "{what}");
    }
    for path in ["/sites/demo/export", "/sites/demo/sources", "/sites/demo/verify", "/sites/demo/figures"] {
        assert_eq!(node.admin_get(path).status, 200, "{path}");
    }
    assert_eq!(keys(), before);
    node.stop();
}

/// Every route of the admin listener, with every method and credential.
#[test]
fn who_may_do_what_at_the_admin_listener() {
    let directory = TempDir::new().unwrap();
    let token = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        assert!(Command::new("chmod").arg("600").arg(&path).status().unwrap().success());
    };
    token("admin-token", ADMIN_TOKEN);
    token("read-token", READ_TOKEN);
    let tokens = "admin_token_file = \"admin-token\"\nadmin_read_token_file = \"read-token\"\n";
    let node = node_of(directory.path(), tokens, &[]);
    let status = |method: &str, path: &str, credential: &str| {
        let field = format!("Authorization: {credential}");
        let mut fields = vec!["Content-Type: text/csv"];
        if !credential.is_empty() {
            fields.push(&field);
        }
        let body = if method == "POST" { "period,hits\n2024-06-17,851\n" } else { "" };
        ask(&node.admin, method, path, &fields, body).status
    };
    let basic = |text: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    };
    let (admin, reader) = (format!("Bearer {ADMIN_TOKEN}"), format!("Bearer {READ_TOKEN}"));
    let strangers = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer null".to_owned(),
        format!("Bearer {ADMIN_TOKEN}x"),
        format!("Token {ADMIN_TOKEN}"),
        basic("admin:anything"),
        basic(&format!("admin:{ADMIN_TOKEN}")),
        basic(ADMIN_TOKEN),
    ];
    // A route, its method, and the read token's status; free routes are everyone's.
    let table = [
        ("GET", "/sites/demo/export", 200),
        ("HEAD", "/sites/demo/export", 200),
        ("GET", "/sites/demo/sources", 200),
        ("GET", "/sites/demo/figures", 200),
        ("GET", "/sites/demo/bots", 200),
        ("POST", "/sites/demo/import?source=old", 403),
        ("POST", "/clock/accept", 403),
        ("DELETE", "/sites/demo/sources/import:old", 403),
        // Strangers learn nothing about unknown paths.
        ("GET", "/sites/nowhere/export", 404),
        ("GET", "/sites/demo/nothing", 404),
    ];
    for (method, path, for_reader) in table {
        for stranger in &strangers {
            assert_eq!(status(method, path, stranger), 401, "{method} {path} {stranger}");
        }
        assert_eq!(status(method, path, &reader), for_reader, "{method} {path}");
        let for_admin = if for_reader == 403 { 200 } else { for_reader };
        assert_eq!(status(method, path, &admin), for_admin, "{method} {path}");
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            let right = if matches!(method, "GET" | "HEAD") { 200 } else { 405 };
            assert_eq!(status(method, path, ""), right, "{method} {path}");
        }
    }
    // No GET changes anything, whatever its path and query.
    status("POST", "/sites/demo/import?source=old", &admin);
    let before = ask(&node.admin, "GET", "/sites/demo/sources", &[&format!("Authorization: {admin}")], "").body;
    assert!(before.contains("import:old"));
    for path in [
        "/sites/demo/import?source=new",
        "/sites/demo/sources/import:old",
        "/sites/demo/sources/import:old?_method=DELETE",
        "/sites/demo/export?delete=1",
    ] {
        for method in ["GET", "HEAD"] {
            status(method, path, &admin);
        }
    }
    let after = ask(&node.admin, "GET", "/sites/demo/sources", &[&format!("Authorization: {admin}")], "").body;
    assert_eq!(after, before);
    // No answer or log line holds a token.
    let command_line = std::fs::read_to_string(format!("/proc/{}/cmdline", node.id())).unwrap();
    for text in [node.log(), command_line, node.admin_get("/metrics").body] {
        assert!(!text.contains(ADMIN_TOKEN) && !text.contains(READ_TOKEN), "{text}");
    }
    node.stop();
}
