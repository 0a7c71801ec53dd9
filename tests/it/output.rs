//! Security headers of replies, and the content of log lines.

use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Node, ask, until};

const SCRIPT: &str = concat!("/thongke-", env!("CARGO_PKG_VERSION"), ".js");

#[test]
fn replies_forbid_a_browser_scripts_and_sniffing() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    node.hit("/bai-1");
    let shared = ["/v1/sites/demo/figures", "/v1/sites/demo/pages", "/v1/sites/demo/chart.svg?by=day&last=3"];
    let others = ["/", "/demo.css", "/demo.js", "/nothing", "/v1/sites/nowhere/figures", "/v1/hit"];
    let public = shared.iter().chain(&["/thongke.js", SCRIPT, "/v1/hit.gif?site=demo&url=http://localhost/a"]);
    let answers = public
        .map(|path| (path, node.get(path), "cross-origin"))
        .chain(others.iter().map(|path| (path, node.get(path), "same-origin")));
    let admin =
        ["/metrics", "/healthz", "/readyz", "/sites/demo/export", "/sites/demo/sources", "/sites/nowhere/export"];
    let admin = admin.iter().map(|path| (path, node.admin_get(path), "same-origin"));
    // The fast path writes a hit's headers as it does those of the hot endpoints above; refusals differ.
    let hit = r#"{"site":"demo","url":"http://localhost/bai-1"}"#;
    let hits = [("a hit", hit, "cross-origin"), ("a bad hit", "{", "same-origin")];
    let hits = hits.iter().map(|(what, body, readers)| (what, node.hit_with(&[], body), *readers));
    for (path, answer, readers) in answers.chain(admin).chain(hits) {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some(readers), "{path}");
        assert!(answer.header("referrer-policy").is_some(), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{path} has no policy"));
        let kind = answer.header("content-type").unwrap();
        assert!(!policy.contains("unsafe-eval") && !policy.contains('*'), "{path}: {policy}");
        assert_eq!(policy.contains("unsafe-inline"), kind.starts_with("image/svg"), "{path}: {policy}");
        assert_eq!(policy.starts_with("default-src 'none'"), !kind.starts_with("text/html"), "{path}: {policy}");
        // No cookie, ever.
        assert_eq!(answer.header("set-cookie"), None, "{path}");
    }
    let page = node.get("/").body.to_lowercase();
    for inline in ["<style", " style=", "onload=", "onclick=", "javascript:", "<script>"] {
        assert!(!page.contains(inline), "the demo page has `{inline}`");
    }
    node.stop();
}

#[test]
fn log_lines_are_json_without_control_characters_addresses_or_user_agents() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &["--log-format", "json"]);
    // Full detail needs two steps: two signals at once merge into one.
    for step in ["thongke=debug", "thongke=trace"] {
        node.signal("USR1");
        until("more is logged", Duration::from_secs(60), || node.log().contains(step));
    }
    let evil = "evil\u{1b}[31m";
    for field in ["User-Agent", "Referer", "X-Forwarded-For", "Origin", "Cookie", "X-Evil"] {
        node.hit_with(&[&format!("{field}: EvilBrowser/1.0 203.0.113.99 \"}},{{")], "{}");
    }
    for body in [
        format!(r#"{{"site":"{evil}\n","url":"http://localhost/"}}"#),
        "{\"site\":\"demo\",\"url\":\"http://localhost/a\\r\\nSet-Cookie: EvilBrowser\"}".to_owned(),
        "\u{0}\u{1}\u{7f}EvilBrowser".to_owned(),
    ] {
        node.hit_with(&["User-Agent: EvilBrowser/1.0"], body);
    }
    ask(&node.public, "GET", "/%0d%0aEvilBrowser%1b", &[], "");
    crate::node::exchange(&node.public, b"EvilBrowser \x1b[2J\r\n\r\n");
    node.hit("/still-there");
    let log = node.log();
    assert!(log.lines().count() > 3, "{log}");
    for line in log.lines() {
        let parsed: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(parsed["timestamp"].is_string() && parsed["level"].is_string(), "{line}");
        assert!(!line.chars().any(char::is_control), "{line}");
    }
    for personal in ["EvilBrowser", "203.0.113.99"] {
        assert!(!log.contains(personal), "{personal} is in the log: {log}");
        assert!(!node.admin_get("/metrics").body.contains(personal), "{personal} is in the metrics");
    }
    node.stop();
}

#[test]
fn a_refusals_answer_and_its_log_line_carry_the_same_id_and_hits_carry_none() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("thongke.toml");
    let site = "trusted_proxies = [\"127.0.0.1\"]\n[sites.demo]\norigins = [\"http://localhost:*\"]\n";
    std::fs::write(&config, site).unwrap();
    let options = ["--log-format", "json", "--config", config.to_str().unwrap()];
    let node = Node::start(&directory.path().join("data"), &options);
    node.signal("USR1");
    until("more is logged", Duration::from_secs(60), || node.log().contains("thongke=debug"));
    let logged = |id: &str| {
        let log = node.log();
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["fields"]["request_id"] == id).collect::<Vec<_>>()
    };
    // A proxy's own id, if it is one.
    let refused = ask(&node.public, "GET", "/nothing", &["X-Request-Id: proxy-1/7f3a"], "");
    assert_eq!((refused.status, refused.header("x-request-id")), (404, Some("proxy-1/7f3a")));
    until("it is logged", Duration::from_secs(60), || logged("proxy-1/7f3a").len() == 1);
    assert_eq!(logged("proxy-1/7f3a")[0]["fields"]["reason"], "path");
    let refused = ask(&node.public, "GET", "/nothing", &["X-Request-Id: two words"], "");
    let drawn = refused.header("x-request-id").unwrap().to_owned();
    assert_eq!(drawn.len(), 16);
    until("it is logged", Duration::from_secs(60), || logged(&drawn).len() == 1);
    // A successful answer needs no request id.
    assert_eq!(node.hit("/bai-1").header("x-request-id"), None);
    assert_eq!(node.get("/v1/sites/demo/figures").header("x-request-id"), None);
    let pixel = node.get("/v1/hit.gif?site=nowhere&url=http://localhost/a");
    assert!((pixel.status, pixel.header("x-request-id").is_some()) == (404, true));
    // The operator's listener always sends the id. A change is logged, a read is not.
    let looked = ask(&node.admin, "GET", "/sites/demo/sources", &["X-Request-Id: look"], "");
    assert_eq!((looked.status, looked.header("x-request-id")), (200, Some("look")));
    let fields = ["X-Request-Id: change", "Content-Type: text/csv"];
    let changed = ask(&node.admin, "POST", "/sites/demo/import?source=old", &fields, "period,hits\n2024,1\n");
    assert_eq!((changed.status, changed.header("x-request-id")), (200, Some("change")), "{}", changed.body);
    let refused = ask(&node.admin, "GET", "/sites/nowhere/sources", &["X-Request-Id: wrong"], "");
    assert_eq!((refused.status, refused.header("x-request-id")), (404, Some("wrong")));
    until("it is logged", Duration::from_secs(60), || logged("wrong").len() == 1);
    assert_eq!((logged("change").len(), logged("look").len()), (1, 0));
    assert_eq!(logged("change")[0]["fields"]["path"], "/sites/demo/import");
    node.stop();
}
