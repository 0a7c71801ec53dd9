//! Hits of machines, and reloads: answered, never counted, and visible to the operator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock::at;
use crate::node::{Answer, Node, PROGRAM, exchange, until};

const LONG: Duration = Duration::from_secs(60);

const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// A node with one site `a` and these further settings.
struct Portal {
    directory: TempDir,
    config: PathBuf,
    node: Node,
}

impl Portal {
    fn start(settings: &str) -> Self {
        Self::start_as(Command::new(PROGRAM), "[\"total\"]", settings)
    }

    fn start_as(mut program: Command, figures: &str, settings: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let config = directory.path().join("thongke.toml");
        let origins = "origins = [\"http://localhost:*\"]";
        std::fs::write(&config, format!("[sites.a]\n{origins}\nfigures = {figures}\n{settings}\n")).unwrap();
        program.args(["--config", config.to_str().unwrap()]);
        let node = Node::start_as(program, &directory.path().join("data"));
        Self { directory, config, node }
    }

    fn node(directory: &Path, config: &Path) -> Node {
        Node::start(&directory.join("data"), &["--config", config.to_str().unwrap()])
    }

    fn hit(&self, page: &str, fields: &[(&str, &str)]) -> Answer {
        self.send("/v1/hit", &format!(r#"{{"site":"a","url":"http://localhost{page}"}}"#), fields)
    }

    fn send(&self, path: &str, body: &str, fields: &[(&str, &str)]) -> Answer {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head = format!("Host: localhost\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n");
        let method = if path.contains(".gif") { "GET" } else { "POST" };
        exchange(&self.node.public, format!("{method} {path} HTTP/1.1\r\n{head}\r\n{body}").as_bytes())
    }

    fn total(&self) -> i64 {
        self.node.get("/v1/sites/a/figures").figure("total")
    }

    fn uncounted(&self) -> String {
        let data = self.directory.path().join("data");
        let mut command = Command::new(PROGRAM);
        let output = command.args(["bots", "a", "--data-dir"]).arg(data).arg("--config").arg(&self.config).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The value of `Thongke-Hit`.
fn outcome(answer: &Answer) -> String {
    let field = answer.head.lines().find_map(|line| line.strip_prefix("thongke-hit: "));
    format!("{} {}", answer.status, field.unwrap_or("-"))
}

#[test]
fn a_machines_hit_is_answered_and_stands_in_the_metrics_but_not_in_the_figures() {
    let portal = Portal::start("");
    let says = |answer: &Answer| outcome(answer);
    assert_eq!(says(&portal.hit("/a", &[("User-Agent", CHROME)])), "200 counted");
    let refused = portal.hit("/a", &[("User-Agent", GOOGLEBOT)]);
    assert_eq!(says(&refused), "200 bot");
    assert_eq!(refused.header("thongke-hit-kind"), Some("search-engine"));
    // The answer holds the figures, since a page may show them all the same.
    assert_eq!(refused.figure("total"), 1);
    for (fields, expected) in [
        (&[][..], "200 bot"),
        (&[("User-Agent", "")], "200 bot"),
        (&[("User-Agent", "curl/8.5.0")], "200 bot"),
        (&[("User-Agent", CHROME), ("Sec-Fetch-Mode", "navigate")], "200 bot"),
        (&[("User-Agent", CHROME), ("Sec-Purpose", "prefetch;prerender")], "200 prefetch"),
        (&[("User-Agent", CHROME), ("Purpose", "prefetch")], "200 prefetch"),
        (&[("User-Agent", CHROME), ("X-Moz", "prefetch")], "200 prefetch"),
        (&[("User-Agent", CHROME), ("X-Purpose", "preview")], "200 prefetch"),
        (&[("User-Agent", CHROME), ("Sec-Fetch-Mode", "cors"), ("Save-Data", "on")], "200 counted"),
    ] {
        let answer = portal.hit("/a", fields);
        assert_eq!(says(&answer), expected, "{fields:?}");
        let kind = answer.header("thongke-hit-kind");
        assert_eq!(kind.is_some(), expected == "200 bot", "{fields:?}: {kind:?}");
    }
    let steered = r#"{"site":"a","url":"http://localhost/a","webdriver":true}"#;
    assert_eq!(says(&portal.send("/v1/hit", steered, &[("User-Agent", CHROME)])), "200 bot");
    let form = "site=a&url=http://localhost/a&webdriver=true";
    assert_eq!(says(&portal.send("/v1/hit?figures=0", form, &[("User-Agent", CHROME)])), "204 bot");
    // A newer script may send values that this version doesn't know.
    for hint in ["false", "null", "{\"by\":[\"x\"]}", "\"true\"", "1", "[]"] {
        let body = format!(r#"{{"site":"a","url":"http://localhost/a","webdriver":{hint}}}"#);
        assert_eq!(says(&portal.send("/v1/hit", &body, &[("User-Agent", CHROME)])), "200 counted", "{hint}");
    }
    let pixel = "/v1/hit.gif?site=a&url=http://localhost/a";
    assert_eq!(says(&portal.send(pixel, "", &[("User-Agent", GOOGLEBOT)])), "200 bot");
    assert_eq!(says(&portal.send(pixel, "", &[("User-Agent", CHROME)])), "200 counted");
    // A bad request is refused as such, whoever sends it.
    assert_eq!(portal.send("/v1/hit", "{", &[("User-Agent", GOOGLEBOT)]).status, 400);
    assert_eq!(portal.total(), 9);
    let metrics = portal.node.admin_get("/metrics").body;
    for line in [r#"result="counted",site="a"} 9"#, r#"result="bot",site="a"} 8"#, r#"result="prefetch",site="a"} 4"#] {
        assert!(metrics.contains(&format!("thongke_hits_total{{{line}\n")), "{line}:\n{metrics}");
    }
    portal.node.stop();
}

#[test]
fn a_hit_from_an_excluded_address_is_answered_and_reported_and_not_counted() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("thongke.toml");
    let site = "origins = [\"http://localhost:*\"]\nfigures = [\"total\"]\n";
    let excluded = "bots = \"none\"\nexclude_addresses = [\"10.1.0.0/16\", \"2001:db8::/32\"]\n";
    let text = format!("trusted_proxies = [\"127.0.0.1\"]\n[sites.a]\n{site}{excluded}[sites.b]\n{site}");
    std::fs::write(&config, text).unwrap();
    let node = Portal::node(directory.path(), &config);
    let portal = Portal { directory, config, node };
    let hit = |address: &str| portal.hit("/a", &[("User-Agent", CHROME), ("X-Forwarded-For", address)]);
    for (address, expected) in [
        ("10.1.2.3", "200 excluded"),
        ("::ffff:10.1.2.3", "200 excluded"),
        ("2001:db8:7::1", "200 excluded"),
        ("10.2.0.1", "200 counted"),
        // No proxy that is trusted has written the left part.
        ("10.1.2.3, 192.0.2.1", "200 counted"),
    ] {
        let answer = hit(address);
        assert_eq!(outcome(&answer), expected, "{address}");
        assert_eq!(answer.header("thongke-hit-kind"), None);
    }
    let pixel = "/v1/hit.gif?site=a&url=http://localhost/a";
    assert_eq!(outcome(&portal.send(pixel, "", &[("X-Forwarded-For", "10.1.2.3")])), "200 excluded");
    let elsewhere = r#"{"site":"b","url":"http://localhost/a"}"#;
    let answer = portal.send("/v1/hit", elsewhere, &[("User-Agent", CHROME), ("X-Forwarded-For", "10.1.2.3")]);
    assert_eq!(outcome(&answer), "200 counted");
    assert_eq!(portal.total(), 2);
    let metrics = portal.node.admin_get("/metrics").body;
    assert!(metrics.contains("thongke_hits_total{result=\"excluded\",site=\"a\"} 4\n"), "{metrics}");
    let uncounted = portal.uncounted();
    assert!(uncounted.lines().any(|line| line.contains(" excluded ") && line.ends_with(" 4")), "{uncounted}");
    portal.node.stop();
}

#[test]
fn the_operator_sees_what_was_not_counted_by_day_and_kind_also_after_a_restart() {
    let mut portal = Portal::start("repeat_window = \"1h\"");
    for _ in 0..3 {
        portal.hit("/a", &[("User-Agent", GOOGLEBOT)]);
        portal.hit("/a", &[("User-Agent", CHROME)]);
    }
    portal.hit("/a", &[("User-Agent", "curl/8.5.0")]);
    let kinds = |uncounted: &str| -> Vec<String> {
        let lines = uncounted.lines().skip(1);
        lines.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect()
    };
    let expected = ["search-engine 3", "repeat 2", "http-library 1"];
    assert_eq!(kinds(&portal.uncounted()), expected);
    let json = portal.node.admin_get("/sites/a/bots").json();
    assert_eq!((&json[0]["kind"], &json[0]["hits"]), (&"search-engine".into(), &3.into()));
    assert_eq!(portal.node.admin_get("/sites/b/bots").status, 404);
    let Portal { directory, config, node } = portal;
    node.stop();
    let node = Portal::node(directory.path(), &config);
    portal = Portal { directory, config, node };
    assert_eq!(kinds(&portal.uncounted()), expected);
    portal.hit("/a", &[("User-Agent", GOOGLEBOT)]);
    assert_eq!(kinds(&portal.uncounted()), ["search-engine 4", "repeat 2", "http-library 1"]);
    let Portal { directory, config, node } = portal;
    node.stop();
    // The files of a stopped node.
    let output = Command::new(PROGRAM)
        .args(["bots", "a", "--json", "--data-dir"])
        .arg(directory.path().join("data"))
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json[0]["hits"], 4);
}

#[test]
fn a_site_may_count_machines_too_and_the_demo_counts_a_developers_tools() {
    let portal = Portal::start("bots = false");
    assert_eq!(outcome(&portal.hit("/a", &[("User-Agent", GOOGLEBOT)])), "200 counted");
    assert_eq!(outcome(&portal.hit("/a", &[])), "200 counted");
    portal.node.stop();
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let hit = |user_agent: &str| {
        let body = r#"{"site":"demo","url":"http://localhost/a"}"#;
        let head = format!(
            "Host: localhost\r\nConnection: close\r\nUser-Agent: {user_agent}\r\nContent-Length: {}",
            body.len()
        );
        outcome(&exchange(&node.public, format!("POST /v1/hit HTTP/1.1\r\n{head}\r\n\r\n{body}").as_bytes()))
    };
    assert_eq!(hit("curl/8.5.0"), "200 counted");
    assert_eq!(hit(GOOGLEBOT), "200 bot");
    node.stop();
}

#[test]
fn a_reload_within_the_window_counts_once_on_every_worker() {
    let portal = Portal::start("repeat_window = \"30m\"");
    let chrome = [("User-Agent", CHROME)];
    assert_eq!(outcome(&portal.hit("/a", &chrome)), "200 counted");
    // One connection each: the kernel chooses the worker.
    for _ in 0..20 {
        assert_eq!(outcome(&portal.hit("/a", &chrome)), "200 repeat");
    }
    assert_eq!(outcome(&portal.hit("/a/?utm_source=zalo#comments", &chrome)), "200 repeat");
    assert_eq!(outcome(&portal.hit("/b", &chrome)), "200 counted");
    assert_eq!(outcome(&portal.hit("/a", &[("User-Agent", &CHROME.replace("126", "127"))])), "200 counted");
    // A reader who opts out of tracking gets no visitor key.
    for refusal in [("DNT", "1"), ("Sec-GPC", "1")] {
        assert_eq!(outcome(&portal.hit("/a", &[chrome[0], refusal])), "200 counted");
    }
    assert_eq!(portal.total(), 5);
    portal.node.stop();
}

#[test]
fn a_reload_after_the_window_counts_again() {
    let portal = Portal::start("repeat_window = \"2s\"");
    let hit = || outcome(&portal.hit("/a", &[("User-Agent", CHROME)]));
    assert_eq!(hit(), "200 counted");
    until("it counts again", LONG, || hit() == "200 counted");
    portal.node.stop();
}

#[test]
fn no_window_reaches_across_the_sites_midnight() {
    let program = at("@2024-06-17 23:59:50", PROGRAM);
    let portal = Portal::start_as(program, r#"["today", "visitors_today"]"#, "repeat_window = \"12h\"");
    let hit = || portal.hit("/a", &[("User-Agent", CHROME)]);
    assert_eq!(outcome(&hit()), "200 counted");
    let period = || portal.node.get("/v1/sites/a/figures").json()["figures"][0]["period"].as_str().unwrap().to_owned();
    until("it is the next day", LONG, || period() == "2024-06-18");
    let first = hit();
    assert_eq!(outcome(&first), "200 counted");
    assert_eq!((first.figure("today"), first.figure("visitors_today")), (1, 1));
    assert_eq!(outcome(&hit()), "200 repeat");
    portal.node.stop();
}

#[test]
fn who_reloads_is_online_and_no_second_hit() {
    // Thirty seconds in one.
    let program = at("@2024-06-17 12:00:00 x30", PROGRAM);
    let portal = Portal::start_as(program, r#"["online", "today", "visitors_today"]"#, "repeat_window = \"12h\"");
    let online = || portal.node.get("/v1/sites/a/figures").figure("online");
    assert_eq!(outcome(&portal.hit("/a", &[("User-Agent", CHROME)])), "200 counted");
    until("five minutes are over", LONG, || online() == 0);
    let reloaded = portal.hit("/a", &[("User-Agent", CHROME)]);
    assert_eq!(outcome(&reloaded), "200 repeat");
    let figures = ["online", "today", "visitors_today"].map(|key| reloaded.figure(key));
    assert_eq!(figures, [1, 1, 1]);
    // A machine's hit is nobody's visit.
    until("five more are over", LONG, || online() == 0);
    assert_eq!(portal.hit("/a", &[("User-Agent", GOOGLEBOT)]).figure("online"), 0);
    portal.node.stop();
}
