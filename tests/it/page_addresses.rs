//! What an operator is told about page addresses: parameters, canonical addresses, rules of other nodes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::node::{Node, PROGRAM, until};
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(60);

fn start(directory: &Path) -> Node {
    let file = directory.join("thongke.toml");
    let limits = "[limits]\nenabled = false\n";
    std::fs::write(&file, format!("[sites.demo]\norigins = [\"http://localhost\"]\nbots = \"none\"\n{limits}"))
        .unwrap();
    Node::start(&directory.join("data"), &["--config", file.to_str().unwrap()])
}

/// Exit code, output and messages of a command.
fn run(words: &[&str], directory: &Path) -> (i32, String, String) {
    let file = directory.join("thongke.toml");
    let files = ["--config", file.to_str().unwrap(), "--data-dir"];
    let output = Command::new(PROGRAM).args(words).args(files).arg(directory.join("data")).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn read(node: &Node, path: &str, title: &str, canonical: &str) {
    let hit = json!({
        "site": "demo", "url": format!("http://localhost{path}"), "title": title,
        "canonical": canonical,
    });
    assert_eq!(node.hit_with(&[], hit.to_string()).status, 200);
}

#[test]
fn a_parameter_that_looks_like_noise_is_shown_and_warned_of_and_still_makes_pages() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path());
    for at in 0..260 {
        let article = at % 20;
        read(&node, &format!("/tin/xem?bai={article}&luc=x{at}"), &format!("Bài {article}"), "");
    }
    read(&node, "/tin/bai-1?fbclid=IwAR0SECRET&me=a%40b.vn", "Bài", "");
    let (code, said, _) = run(&["pages", "demo", "--parameters"], directory.path());
    assert_eq!(code, 0, "{said}");
    let line = |name: &str| said.lines().find(|line| line.split_whitespace().nth(1) == Some(name)).unwrap().to_owned();
    assert!(line("luc").contains("260") && line("luc").ends_with("looks like noise"), "{said}");
    assert!(line("bai").contains(" kept ") && !line("bai").contains("noise"), "{said}");
    assert!(line("fbclid").contains(" noise ") && line("me").contains(" personal "), "{said}");
    assert!(!said.contains("SECRET") && !said.contains("b.vn"), "{said}");
    let (_, json, _) = run(&["pages", "demo", "--parameters", "--json"], directory.path());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, node.admin_get("/sites/demo/pages/parameters").json());
    let noisy: Vec<_> =
        json["parameters"].as_array().unwrap().iter().filter(|one| one["looks_like_noise"] == true).collect();
    assert!(noisy.len() == 1 && noisy[0]["name"] == "luc" && noisy[0]["folder"] == "/tin", "{json}");
    // Told once, at three places; and nothing is folded.
    assert_eq!(node.log().matches("looks like noise").count(), 1);
    assert!(node.admin_get("/metrics").body.contains("thongke_page_warnings_total{topic=\"parameters\"} 1"));
    let (code, checked, _) = run(&["check"], directory.path());
    let warned = checked.lines().find(|line| line.contains("looks like noise")).unwrap();
    assert!(code == 0 && warned.starts_with("warning: site demo: the parameter `luc` in `/tin`"), "{checked}");
    let figures = node.get("/v1/sites/demo/pages/figures?url=/tin/xem%3Fbai=7%26luc=x7&figures=total").json();
    assert_eq!(figures["pages"][0]["page"], "/tin/xem?bai=7&luc=x7", "{figures}");
    node.stop();
    let (code, _, said) = run(&["pages", "demo", "--parameters"], directory.path());
    assert!(code == 1 && said.contains("only a running node knows"), "{code} {said}");
    assert_eq!(run(&["pages", "demo", "--parameters", "--rules"], directory.path()).0, 2);
    assert!(!run(&["check"], directory.path()).1.contains("looks like noise"));
}

#[test]
fn a_templates_canonical_mistake_is_told_and_the_pages_stay_apart() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path());
    for at in 0..22 {
        read(&node, &format!("/bai-{at}"), "Bài", "http://localhost/mau");
    }
    let warnings = node.admin_get("/warnings").json();
    assert_eq!(warnings["warnings"][0]["topic"], "canonical", "{warnings}");
    assert!(node.admin_get("/metrics").body.contains("thongke_page_warnings_total{topic=\"canonical\"} 1"));
    let (code, checked, _) = run(&["check"], directory.path());
    assert!(code == 0 && checked.contains("warning: site demo: `<link rel=\"canonical\">`"), "{checked}");
    read(&node, "/bai-21", "Bài", "http://localhost/mau");
    // The script names the canonical address in every query.
    for canonical in ["", "&canonical=/mau", "&canonical=http://localhost/mau"] {
        let page = node.get(&format!("/v1/sites/demo/pages/figures?url=/bai-21{canonical}&figures=total")).json();
        let (address, views) = if canonical == "&canonical=/mau" { ("/mau", 20) } else { ("/bai-21", 2) };
        assert_eq!(page["pages"][0]["page"], address, "{page}");
        assert_eq!(page["pages"][0]["figures"][0]["value"], views, "{page}");
    }
    node.stop();
}

#[test]
fn hits_that_do_not_count_have_no_say_in_canonical_addresses() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path());
    for at in 0..60 {
        for named in ["/mau".to_owned(), format!("/mau-{at}"), "/".to_owned()] {
            let hit = json!({
                "site": "demo", "url": format!("http://localhost/bai-{at}"),
                "canonical": format!("http://localhost{named}"),
            });
            let answer = node.hit_with(&["Origin: https://evil.example"], hit.to_string());
            assert_eq!(answer.status, 403);
        }
    }
    assert_eq!(node.admin_get("/warnings").json()["warnings"], json!([]));
    read(&node, "/bai-61", "Bài", "http://localhost/mau");
    let page = node.get("/v1/sites/demo/pages/figures?url=/mau&figures=total").json();
    assert_eq!(page["pages"][0]["figures"][0]["value"], 1, "{page}");
    let metrics = node.admin_get("/metrics").body;
    assert!(metrics.contains("thongke_canonical_ignored_total{reason=\"many\"} 0"), "{metrics}");
    node.stop();
}

#[test]
fn nodes_of_different_rules_say_so_and_publish() {
    let (redis, directory) = (Redis::start(), TempDir::new().unwrap());
    let key = "thongke:{demo}:meta";
    let node = Node::start(directory.path(), &["--redis", &redis.url()]);
    assert_eq!(node.hit("/a").status, 200);
    until("the rule is in Redis", LIMIT, || redis.cli(&["HGET", key, "page_rule"]).trim() == "2");
    let reason = || node.admin_get("/readyz").json()["reasons"]["redis_site"].as_str().unwrap_or_default().to_owned();
    assert_eq!(reason(), "");
    redis.cli(&["HSET", key, "page_rule", "7"]);
    until("the other rule is named", LIMIT, || reason().contains("by rule 7, and this one by rule 2"));
    assert_eq!(node.hit("/a").status, 200);
    until("hits are published", LIMIT, || redis.hits("total") == "2");
    let check =
        Command::new(PROGRAM).args(["check", "--redis", &redis.url(), "--data-dir"]).arg(directory.path()).output();
    let checked = String::from_utf8(check.unwrap().stdout).unwrap();
    assert!(checked.contains("by rule 7, and this one by rule 2"), "{checked}");
    redis.cli(&["HSET", key, "page_rule", "1"]);
    until("an earlier rule is replaced", LIMIT, || redis.cli(&["HGET", key, "page_rule"]).trim() == "2");
    until("nothing is complained of", LIMIT, || reason().is_empty());
    node.stop();
}
