//! Refused hits: what an operator learns of them.

use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Node, PROGRAM, ask, until};

const LIMIT: Duration = Duration::from_secs(60);
const FILE: &str = "trusted_proxies = [\"127.0.0.1\"]\n[sites.x]\norigins = [\"https://x.gov.vn\"]\n";

fn start(directory: &TempDir, file: &str) -> Node {
    let config = directory.path().join("thongke.toml");
    std::fs::write(&config, file).unwrap();
    Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()])
}

fn run(directory: &TempDir, more: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(directory.path().join("thongke.toml"));
    command.arg("--data-dir").arg(directory.path().join("data")).args(more).output().unwrap()
}

/// A hit of a reader in the network of that number.
fn hit(node: &Node, site: &str, url: &str, network: u32, more: &[&str]) -> u16 {
    let from = format!("X-Forwarded-For: 203.{}.{}.7", network / 250, network % 250);
    let body = format!(r#"{{"site":"{site}","url":"{url}"}}"#);
    node.hit_with(&[&[from.as_str()], more].concat(), body).status
}

/// Entries of an answer as reason, site and origin, in their order.
fn entries(listed: &serde_json::Value) -> Vec<[String; 3]> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let of = |one: &serde_json::Value| [text(&one["reason"]), text(&one["site"]), text(&one["origin"])];
    listed["refused"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn a_missing_origin_is_listed_and_logged_with_the_lines_to_change() {
    let directory = TempDir::new().unwrap();
    let node = start(&directory, FILE);
    let config = directory.path().join("thongke.toml");
    for network in 0..20 {
        assert_eq!(hit(&node, "x", "https://www.x.gov.vn/tin/bai-1?sid=secret", network, &[]), 403);
    }
    let advice = format!(
        "`https://www.x.gov.vn` is not among the origins of `x`: add `\"https://www.x.gov.vn\"` to `origins` of `[sites.x]` in {}, \
         and let the node read it: `systemctl reload thongke`",
        config.display()
    );
    until("the log says what to do", LIMIT, || node.log().contains(&advice));
    let line = node.log().lines().find(|line| line.contains(&advice)).unwrap().to_owned();
    assert!(line.contains(" INFO ") && line.contains("reason=\"origin\""), "{line}");
    assert!(!node.log().contains("secret") && !node.log().contains("203.0."), "{}", node.log());

    let listed = node.admin_get("/sites/x/refused").json();
    let entry = &listed["refused"][0];
    assert_eq!((entry["requests"].as_u64(), entry["path"].as_str()), (Some(20), Some("/tin/bai-1")));
    assert!((10..=40).contains(&entry["networks"].as_u64().unwrap()), "{entry}");
    assert_eq!(entry["advice"], advice);
    assert!(entry["first"].as_str() <= entry["last"].as_str() && listed["since"].as_str() <= entry["first"].as_str());

    let shown = String::from_utf8(run(&directory, &["refused", "x"]).stdout).unwrap();
    assert!(
        shown.contains("https://www.x.gov.vn") && shown.contains("/tin/bai-1") && shown.contains(&advice),
        "{shown}"
    );
    let json = run(&directory, &["refused", "--json"]).stdout;
    assert_eq!(entries(&serde_json::from_slice(&json).unwrap()), [["origin", "x", "https://www.x.gov.vn"]]);
    node.stop();

    let stopped = run(&directory, &["refused"]);
    assert!(!stopped.status.success());
    let said = String::from_utf8(stopped.stderr).unwrap();
    assert!(said.contains("no node runs on") && said.contains("by a running node alone"), "{said}");
}

#[test]
fn the_command_that_is_advised_makes_the_page_count() {
    let directory = TempDir::new().unwrap();
    let sites = directory.path().join("sites.d");
    std::fs::create_dir(&sites).unwrap();
    std::fs::write(sites.join("x.toml"), "origins = [\"https://x.gov.vn\"]\n").unwrap();
    let node = start(&directory, "sites_dir = \"sites.d\"\n");
    let visit = || hit(&node, "x", "https://www.x.gov.vn:8443/", 1, &[]);
    assert_eq!(visit(), 403);
    let listed = node.admin_get("/refused").json();
    let advice = listed["refused"][0]["advice"].as_str().unwrap();
    let command = advice.split('`').find(|part| part.starts_with("thongke ")).unwrap();
    let shell = command.replacen("thongke", PROGRAM, 1);
    let done = Command::new("sh").args(["-c", &shell]).current_dir("/").output().unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
    until("the page counts", LIMIT, || visit() == 200);
    node.stop();
}

#[test]
fn each_reason_is_told_from_the_others() {
    let directory = TempDir::new().unwrap();
    let limits = "[sites.y]\norigins = [\"https://y.gov.vn\"]\n[limits]\naddress_rate = 1\naddress_burst = 1\nwhen_exceeded = \"ignore\"\n";
    let node = start(&directory, &format!("path_prefix = \"/tk\"\n{FILE}{limits}"));
    let post = |number: u32, path: &str, origin: &str, body: &str| {
        let from = format!("X-Forwarded-For: 203.1.{number}.1");
        let origin = format!("Origin: {origin}");
        let fields: &[&str] = if origin.len() > 8 { &[&from, &origin] } else { &[&from] };
        ask(&node.public, "POST", path, fields, body).status
    };
    let body = |site: &str, url: &str| format!(r#"{{"site":"{site}","url":"{url}"}}"#);
    let page = body("x", "https://x.gov.vn/a");
    assert_eq!(post(1, "/tk/v1/hit", "https://copy.example", &page), 403);
    assert_eq!(post(2, "/tk/v1/hit", "null", &page), 403);
    assert_eq!(post(3, "/tk/v1/hit", "", &body("X", "https://x.gov.vn/")), 404);
    assert_eq!(post(4, "/tk/v1/hit", "", &body("x", "https://y.gov.vn/")), 403);
    assert_eq!(post(5, "/tk/v1/hit", "", &body("x", "http://198.51.100.9/")), 403);
    assert_eq!(post(6, "/tk/v1/hit", "https://x.gov.vn", "{"), 400);
    assert_eq!(post(7, "/v1/hit", "https://x.gov.vn", &page), 404);
    assert_eq!(node.get("/tk/v1/hit.gif?site=y").status, 400);
    for _ in 0..5 {
        assert_eq!(post(9, "/tk/v1/hit", "", &page), 200);
    }
    let listed = node.admin_get("/refused").json();
    let found = entries(&listed);
    let advice = |reason: &str, origin: &str| {
        let at = found.iter().position(|[one, _, of]| one == reason && of == origin);
        let at = at.unwrap_or_else(|| panic!("{reason} {origin}: {found:?}"));
        listed["refused"][at]["advice"].as_str().unwrap().to_owned()
    };
    assert!(advice("origin_header", "https://copy.example").contains("comes from `https://copy.example`"));
    assert!(advice("origin_header", "null").contains("`allow-same-origin`"));
    assert!(advice("site", "https://x.gov.vn").contains("`data-site=\"x\"`"));
    assert!(advice("origin", "https://y.gov.vn").contains("a page of `y` has the tag of `x`"));
    assert!(advice("origin", "(an address)").contains("by an IP address"));
    assert!(advice("malformed", "https://x.gov.vn").contains("can't be read"));
    assert!(advice("prefix", "https://x.gov.vn").contains("takes them at `/tk/v1/hit`"));
    assert!(advice("malformed", "-").contains("add `&url=` to it"));
    assert!(advice("limited", "https://x.gov.vn").contains("`address_rate`"));
    assert!(!listed.to_string().contains("198.51.100.9"), "{listed}");
    // The site's own list has the id that looks like its own, and nothing of others.
    let of_site = entries(&node.admin_get("/sites/x/refused").json());
    assert!(of_site.iter().any(|[reason, site, _]| reason == "site" && site == "X"), "{of_site:?}");
    assert!(of_site.iter().all(|[_, site, _]| site == "x" || site == "X"), "{of_site:?}");
    node.admin_get("/sites/nowhere/refused").problem(404);
    node.stop();
}

#[test]
fn a_strangers_text_is_harmless_and_a_flood_of_it_hides_no_reader() {
    let directory = TempDir::new().unwrap();
    let node = start(&directory, FILE);
    for number in 0..300 {
        hit(&node, "x", &format!("https://{number}.evil.example/"), 1, &[]);
        hit(&node, "x", &format!("https://$(touch {number}).evil.example/"), 1, &[]);
        hit(&node, &format!("x\\u001b[31m{number}"), "https://e.example/\\u001b[2J\\u202e", 1, &[]);
    }
    assert_eq!(hit(&node, "x", "https://www.x.gov.vn/", 2, &[]), 403);
    for number in 300..600 {
        hit(&node, "x", &format!("https://{number}.evil.example/"), 1, &[]);
    }
    let answer = node.admin_get("/refused");
    assert!(!answer.body.contains("$(") && !answer.body.contains("\\u001b"), "{}", answer.body);
    let listed = answer.json();
    let found = entries(&listed);
    assert!(found.len() < 60, "{}", found.len());
    assert!(found.iter().any(|[_, _, origin]| origin == "https://www.x.gov.vn"), "{found:?}");
    assert!(listed["unlisted"].as_u64().unwrap() > 500, "{}", listed["unlisted"]);
    let shown = run(&directory, &["refused"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(!text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{text}");
    node.stop();
}
