//! Editors: they name, merge, hide and delete pages, and take it back.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{Answer, Node, PROGRAM, ask, until};
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(60);

fn configure(directory: &Path, site: &str) -> String {
    let file = directory.join("thongke.toml");
    let config =
        "trusted_proxies = [\"127.0.0.1\"]\n[sites.demo]\norigins = [\"http://localhost:*\"]\nbots = \"none\"\n";
    std::fs::write(&file, format!("{config}{site}\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

fn start(directory: &Path, site: &str, more: &[&str]) -> Node {
    let file = configure(directory, site);
    Node::start(&directory.join("data"), &[&["--config", &file], more].concat())
}

/// Hits of a page by readers in three networks.
fn read(node: &Node, page: &str, title: &str) {
    for network in 1..=3 {
        let body = json!({"site": "demo", "url": format!("http://localhost{page}"), "title": title}).to_string();
        let from = format!("X-Forwarded-For: 203.0.{network}.7");
        assert_eq!(node.hit_with(&[&from], body).status, 200);
    }
}

/// Waits until all hits, votes and titles are in the file.
fn settle(node: &Node) {
    assert_eq!(node.admin_get("/sites/demo/verify").json()["agrees"], json!(true));
    // A list is a second old at most.
    std::thread::sleep(Duration::from_millis(1_100));
}

fn put(node: &Node, page: &str, kind: &str, value: Option<&str>) -> Answer {
    let mut rule = json!({"page": page, "kind": kind});
    if let Some(value) = value {
        rule["value"] = json!(value);
    }
    ask(&node.admin, "PUT", "/sites/demo/pages/rules", &["Content-Type: application/json"], rule.to_string())
}

fn set(node: &Node, page: &str, kind: &str, value: Option<&str>) {
    let answer = put(node, page, kind, value);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn undo(node: &Node, page: &str, kind: &str) {
    let answer = ask(&node.admin, "DELETE", &format!("/sites/demo/pages/rules?page={page}&kind={kind}"), &[], "");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Pages of the public list with their titles and hits, the most read first.
fn listed(node: &Node) -> Vec<(String, String, i64)> {
    let answer = node.get("/v1/sites/demo/pages?period=total&limit=50").json();
    let pages = answer["pages"].as_array().unwrap_or_else(|| panic!("{answer}")).iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    pages.map(|page| (text(&page["page"]), text(&page["title"]), page["value"].as_i64().unwrap())).collect()
}

fn pages(expected: &[(&str, &str, i64)]) -> Vec<(String, String, i64)> {
    expected.iter().map(|(page, title, hits)| ((*page).to_owned(), (*title).to_owned(), *hits)).collect()
}

fn shows(node: &Node, expected: &[(&str, &str, i64)]) {
    let expected = pages(expected);
    // An answer is shared for a second.
    let mut last = Vec::new();
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        last = listed(node);
        if last == expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(last, expected);
}

fn views(node: &Node, page: &str) -> i64 {
    let answer = node.get(&format!("/v1/sites/demo/pages/figures?figures=total&url=http://localhost{page}")).json();
    answer["pages"][0]["figures"][0]["value"].as_i64().unwrap_or_else(|| panic!("{answer}"))
}

/// Waits until a page has so many views: an answer is shared for a second.
fn has_views(node: &Node, page: &str, expected: i64) {
    until(&format!("{page} has {expected} views"), Duration::from_secs(5), || views(node, page) == expected);
}

/// Runs `thongke pages demo …` on the node of a directory, running or not.
fn command(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(directory.join("thongke.toml")).arg("--data-dir").arg(directory.join("data"));
    command.args(["pages", "demo"]).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_editor_names_merges_hides_and_deletes_pages_and_takes_it_back() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    (0..3).for_each(|_| read(&node, "/a", "Trang A"));
    (0..2).for_each(|_| read(&node, "/b", "Trang B"));
    read(&node, "/c", "Trang C");
    settle(&node);
    let before = [("/a", "Trang A", 9), ("/b", "Trang B", 6), ("/c", "Trang C", 3)];
    shows(&node, &before);
    // A title, which readers don't change.
    set(&node, "/c", "title", Some("Của biên tập"));
    shows(&node, &[before[0], before[1], ("/c", "Của biên tập", 3)]);
    (0..2).for_each(|_| read(&node, "/c", "Của bạn đọc"));
    settle(&node);
    shows(&node, &[("/a", "Trang A", 9), ("/c", "Của biên tập", 9), before[1]]);
    undo(&node, "/c", "title");
    shows(&node, &[("/a", "Trang A", 9), ("/c", "Của bạn đọc", 9), before[1]]);
    // A merge: one page with the figures of both, under either address.
    set(&node, "http://localhost/b/?utm_source=x", "merge", Some("/c"));
    shows(&node, &[("/c", "Của bạn đọc", 15), before[0]]);
    ["/b", "/c"].iter().for_each(|page| has_views(&node, page, 15));
    read(&node, "/b", "Trang B");
    settle(&node);
    shows(&node, &[("/c", "Của bạn đọc", 18), before[0]]);
    let list = node.admin_get("/sites/demo/pages?period=total").json();
    assert_eq!((&list["pages"][0]["page"], &list["pages"][0]["merged"]), (&json!("/c"), &json!(["/b"])), "{list}");
    // Hits that came meanwhile stay with the page under which they counted.
    undo(&node, "/b", "merge");
    shows(&node, &[("/c", "Của bạn đọc", 12), before[0], before[1]]);
    // Hidden: in no list, with its own figure.
    set(&node, "/a", "hide", None);
    shows(&node, &[("/c", "Của bạn đọc", 12), before[1]]);
    has_views(&node, "/a", 9);
    let list = node.admin_get("/sites/demo/pages?period=total").json();
    assert_eq!((&list["pages"][1]["page"], &list["pages"][1]["rules"]), (&json!("/a"), &json!(["hide"])), "{list}");
    undo(&node, "/a", "hide");
    // Deleted: nothing of it is shown, and its hits count for the site alone.
    set(&node, "/a", "delete", None);
    shows(&node, &[("/c", "Của bạn đọc", 12), before[1]]);
    has_views(&node, "/a", 0);
    let total = node.total("demo");
    read(&node, "/a", "Trang A");
    settle(&node);
    assert_eq!(node.total("demo"), total + 3);
    let export = node.admin_get("/sites/demo/export").body;
    assert!(export.contains("total,(other),3\n") && export.contains("total,/a,9\n"), "{export}");
    assert!(node.admin_get("/sites/demo/pages?period=total").json()["pages"].as_array().unwrap().len() == 2);
    undo(&node, "/a", "delete");
    shows(&node, &[("/c", "Của bạn đọc", 12), before[0], before[1]]);
    read(&node, "/a", "Trang A");
    settle(&node);
    has_views(&node, "/a", 12);
    assert_eq!(node.admin_get("/sites/demo/pages/rules").json(), json!([]));
    node.stop();
}

#[test]
fn a_page_that_an_editor_names_is_listed_and_keeps_what_it_had() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    read(&node, "/", "");
    let body = |page: &str| json!({"site": "demo", "url": format!("http://localhost{page}")}).to_string();
    let hit = |page: &str| assert_eq!(node.hit_with(&["X-Forwarded-For: 203.0.9.7"], body(page)).status, 200);
    (0..2).for_each(|_| hit("/it-nguoi"));
    settle(&node);
    shows(&node, &[("/", "", 3)]);
    set(&node, "/it-nguoi", "title", Some("Ít người đọc"));
    // Never read so far.
    set(&node, "/moi", "title", Some("Mới"));
    hit("/it-nguoi");
    hit("/moi");
    settle(&node);
    shows(&node, &[("/", "", 3), ("/it-nguoi", "Ít người đọc", 3), ("/moi", "Mới", 1)]);
    let export = node.admin_get("/sites/demo/export").body;
    assert!(export.contains("total,/it-nguoi,3\n") && export.contains("total,/moi,1\n"), "{export}");
    node.stop();
}

/// What a former `page_params` told apart can still be hidden, and its rules be undone.
#[test]
fn pages_and_rules_of_a_former_rule_of_addresses_can_still_be_changed() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    for page in ["/a?trang=2", "/a?trang=3"] {
        read(&node, page, "Trang");
    }
    settle(&node);
    set(&node, "/a?trang=2", "hide", None);
    node.stop();
    let node = start(directory.path(), "page_params_ignored = [\"trang\"]\n", &[]);
    undo(&node, "/a%3Ftrang%3D2", "hide");
    let rules = || node.admin_get("/sites/demo/pages/rules").json();
    assert_eq!(rules(), json!([]));
    set(&node, "/a?trang=3", "delete", None);
    assert_eq!(rules()[0]["page"], json!("/a?trang=3"));
    // The file has no such page: today's rule holds.
    set(&node, "/a?trang=4", "hide", None);
    assert_eq!(rules()[0]["page"], json!("/a"));
    shows(&node, &[("/a?trang=2", "Trang", 3)]);
    node.stop();
}

#[test]
fn chains_of_merges_are_followed_and_circles_refused() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    ["/a", "/b", "/c"].iter().for_each(|page| read(&node, page, page));
    settle(&node);
    set(&node, "/a", "merge", Some("/b"));
    set(&node, "/b", "merge", Some("/c"));
    shows(&node, &[("/c", "/c", 9)]);
    for page in ["/a", "/b", "/c"] {
        has_views(&node, page, 9);
    }
    for into in ["/a", "/b"] {
        assert!(put(&node, "/c", "merge", Some(into)).problem(400).contains("undo that first"), "{into}");
    }
    assert!(put(&node, "/c", "merge", Some("/c/")).problem(400).contains("into itself"));
    undo(&node, "/b", "merge");
    shows(&node, &[("/b", "/b", 6), ("/c", "/c", 3)]);
    set(&node, "/b", "delete", None);
    shows(&node, &[("/c", "/c", 3)]);
    has_views(&node, "/a", 0);
    assert!(put(&node, "/c", "merge", Some("/a")).problem(400).contains("is deleted"));
    node.stop();
}

#[test]
fn what_is_no_rule_is_refused_with_a_reason() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    read(&node, "/a", "Trang A");
    for (page, kind, value, said) in [
        ("https://evil.example/a", "hide", None, "no page of site `demo`"),
        ("/a", "merge", Some("https://evil.example/b"), "no page of site `demo`"),
        ("/a", "merge", Some("javascript:alert(1)"), "is no page"),
        ("a", "hide", None, "is no page"),
        ("", "hide", None, "is no page"),
        ("(other)", "delete", None, "is no page"),
        ("/a", "merge", None, "missing"),
        ("/a", "title", None, "missing"),
        ("/a", "title", Some("\u{202e}\u{200b}\u{0}"), "nothing of the title can be seen"),
        ("/a", "title", Some(&"ả".repeat(201)), "201 characters"),
        ("/a", "hide", Some("x"), "has no value"),
        ("/a", "paint", None, "unknown variant `paint`"),
    ] {
        let detail = put(&node, page, kind, value).problem(400);
        assert!(detail.contains(said), "{page} {kind}: {detail}");
    }
    let rules = "/sites/demo/pages/rules";
    let to = |method: &str, path: &str, body: &str| {
        ask(&node.admin, method, path, &["Content-Type: application/json"], body)
    };
    assert!(to("PUT", rules, "{").problem(400).contains("no rule in JSON"));
    assert!(to("PUT", rules, r#"{"page":"/a","kind":"hide","more":1}"#).problem(400).contains("more"));
    assert!(to("PUT", rules, &"x".repeat(20_000)).problem(413).contains("larger"));
    assert!(to("DELETE", &format!("{rules}?page=/a&kind=hide"), "").problem(400).contains("no rule of kind `hide`"));
    assert!(to("DELETE", &format!("{rules}?page=/a&kind=x"), "").problem(400).contains("no kind of rule"));
    assert!(to("DELETE", rules, "").problem(400).contains("no `page`"));
    to("PUT", "/sites/nobody/pages/rules", r#"{"page":"/a","kind":"hide"}"#).problem(404);
    node.admin_get("/sites/nobody/pages").problem(404);
    assert!(node.admin_get("/sites/demo/pages?period=2024").problem(400).contains("not a period of pages"));
    assert_eq!(node.get("/sites/demo/pages/rules").status, 404, "the public listener has none of it");
    // What is hidden in a title doesn't stay there.
    set(&node, "/a", "title", Some("Tin\u{0}\u{1b}[2J\n \u{202e}mới\u{e0041}"));
    assert_eq!(node.admin_get(rules).json()[0]["value"], json!("Tin [2J mới"));
    node.stop();
}

#[test]
fn the_command_works_on_a_running_node_and_on_the_file_of_a_stopped_one() {
    let directory = TempDir::new().unwrap();
    let run = |arguments: &[&str]| said(&command(directory.path(), arguments));
    let node = start(directory.path(), "", &[]);
    (0..2).for_each(|_| read(&node, "/a", "Trang A"));
    read(&node, "/b", "Trang B");
    read(&node, "/c", "Trang C");
    settle(&node);
    assert!(run(&["--title", "/a", "Tên mới"]).contains("/a: shown as `Tên mới`"));
    assert!(run(&["--hide", "http://localhost/c"]).contains("in no public list"));
    shows(&node, &[("/a", "Tên mới", 6), ("/b", "Trang B", 3)]);
    let while_it_runs = [run(&["--period", "total"]), run(&["--rules"])];
    assert!(while_it_runs[0].lines().nth(1).unwrap().ends_with("title"), "{}", while_it_runs[0]);
    node.stop();
    let stopped = [run(&["--period", "total"]), run(&["--rules"])];
    assert_eq!(stopped, while_it_runs);
    assert!(run(&["--merge", "/b", "/a"]).contains("/b: counts and is shown as /a"));
    assert!(refusal(&command(directory.path(), &["--merge", "/a", "/b"])).contains("undo that first"));
    assert!(refusal(&command(directory.path(), &["--hide", "https://evil.example/"])).contains("no page of site"));
    assert!(refusal(&command(directory.path(), &["--delete", "/b", "--undo"])).contains("no rule of kind `delete`"));
    assert!(refusal(&command(directory.path(), &["--title", "/a"])).contains("TEXT is missing"));
    assert!(run(&["--hide", "/c", "--undo"]).contains("/c: hide undone"));
    // An empty title takes it back.
    assert!(run(&["--title", "/a", ""]).contains("/a: title undone"));
    let list: Value = serde_json::from_str(&run(&["--period", "total", "--json"])).unwrap();
    let found: Vec<_> = list["pages"].as_array().unwrap().iter().map(|page| (&page["page"], &page["hits"])).collect();
    assert_eq!(found, [(&json!("/a"), &json!(9)), (&json!("/c"), &json!(3))], "{list}");
    let rules: Value = serde_json::from_str(&run(&["--rules", "--json"])).unwrap();
    assert_eq!((rules.as_array().unwrap().len(), &rules[0]["kind"]), (1, &json!("merge")));
    let node = start(directory.path(), "", &[]);
    shows(&node, &[("/a", "Trang A", 9), ("/c", "Trang C", 3)]);
    assert!(run(&["--merge", "/b", "--undo"]).contains("/b: merge undone"));
    shows(&node, &[("/a", "Trang A", 6), ("/b", "Trang B", 3), ("/c", "Trang C", 3)]);
    node.stop();
}

#[test]
fn a_site_without_titles_takes_none_and_shows_none_but_an_editors() {
    let directory = TempDir::new().unwrap();
    let redis = Redis::start();
    let node = start(directory.path(), "", &["--redis", &redis.url()]);
    read(&node, "/cu", "Tên cũ");
    until("a title is in Redis", LIMIT, || redis.cli(&["HGET", "thongke:{demo}:titles", "/cu"]).ends_with("Tên cũ"));
    node.stop();
    let node = start(directory.path(), "titles = false", &["--redis", &redis.url()]);
    read(&node, "/cu", "Tên khác");
    read(&node, "/moi", "Tên mới");
    until("both pages are in Redis", LIMIT, || redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", "/moi"]) == "3");
    settle(&node);
    shows(&node, &[("/cu", "", 6), ("/moi", "", 3)]);
    set(&node, "/moi", "title", Some("Của biên tập"));
    shows(&node, &[("/cu", "", 6), ("/moi", "Của biên tập", 3)]);
    assert_eq!(redis.cli(&["HLEN", "thongke:{demo}:titles"]), "1");
    node.stop();
    let node = start(directory.path(), "", &["--redis", &redis.url()]);
    undo(&node, "/moi", "title");
    shows(&node, &[("/cu", "Tên cũ", 6), ("/moi", "", 3)]);
    node.stop();
}

#[test]
fn rules_outlast_a_reload_of_the_configuration_and_a_restart() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    ["/a", "/b"].iter().for_each(|page| read(&node, page, page));
    settle(&node);
    set(&node, "/b", "merge", Some("/a"));
    shows(&node, &[("/a", "/a", 6)]);
    configure(directory.path(), "titles = false");
    node.signal("HUP");
    shows(&node, &[("/a", "", 6)]);
    read(&node, "/b", "/b");
    settle(&node);
    shows(&node, &[("/a", "", 9)]);
    node.kill();
    let node = start(directory.path(), "", &[]);
    shows(&node, &[("/a", "/a", 9)]);
    read(&node, "/b", "/b");
    shows(&node, &[("/a", "/a", 12)]);
    node.stop();
}

const RULES: &str = "thongke:{demo}:page_rules";

#[test]
fn nodes_learn_each_others_rules_and_no_loss_of_redis_loses_one() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let started = |at: usize| start(directories[at].path(), "", &["--redis", &redis.url()]);
    let (one, two) = (started(0), started(1));
    ["/a", "/b", "/c"].iter().for_each(|page| read(&one, page, page));
    until("the pages are in Redis", LIMIT, || redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", "/c"]) == "3");
    let both = |expected: &[(&str, &str, i64)]| {
        let expected = pages(expected);
        for node in [&one, &two] {
            until("both nodes show the same", LIMIT, || listed(node) == expected);
        }
    };
    both(&[("/a", "/a", 3), ("/b", "/b", 3), ("/c", "/c", 3)]);
    set(&one, "/a", "title", Some("Trang A"));
    assert!(redis.cli(&["HGET", RULES, "title /a"]).ends_with(" Trang A"), "at once");
    set(&two, "/b", "merge", Some("/a"));
    both(&[("/a", "Trang A", 6), ("/c", "/c", 3)]);
    read(&two, "/b", "/b");
    both(&[("/a", "Trang A", 9), ("/c", "/c", 3)]);
    let merge = redis.cli(&["HGET", RULES, "merge /b"]);
    // An older dump, and one with a rule that was changed since.
    set(&one, "/c", "hide", None);
    both(&[("/a", "Trang A", 9)]);
    redis.cli(&["HSET", RULES, "title /a", "1 Tên cũ"]);
    redis.cli(&["HDEL", RULES, "hide /c"]);
    until("Redis has the rules again", LIMIT, || {
        redis.cli(&["HGET", RULES, "title /a"]).ends_with(" Trang A")
            && redis.cli(&["HGET", RULES, "hide /c"]).ends_with(" 1")
    });
    both(&[("/a", "Trang A", 9)]);
    redis.cli(&["FLUSHALL"]);
    until("all three are there again", LIMIT, || redis.cli(&["HLEN", RULES]) == "3");
    assert_eq!(redis.cli(&["HGET", RULES, "merge /b"]), merge);
    // A node that was away learns what was undone meanwhile, and brings nothing back.
    two.stop();
    undo(&one, "/b", "merge");
    undo(&one, "/c", "hide");
    let two = started(1);
    let expected = pages(&[("/a", "Trang A", 6), ("/b", "/b", 3), ("/c", "/c", 3)]);
    for node in [&one, &two] {
        until("both nodes show them apart", LIMIT, || listed(node) == expected);
    }
    std::thread::sleep(Duration::from_secs(16));
    assert!(!redis.cli(&["HGET", RULES, "merge /b"]).contains(' '));
    [one, two].into_iter().for_each(Node::stop);
}

#[test]
fn a_circle_that_two_nodes_make_at_once_is_open_at_the_same_page_on_both() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let started = |at: usize| start(directories[at].path(), "", &["--redis", &redis.url()]);
    let nodes = [started(0), started(1)];
    read(&nodes[0], "/a", "A");
    read(&nodes[1], "/b", "B");
    let apart = pages(&[("/a", "A", 3), ("/b", "B", 3)]);
    for node in &nodes {
        until("both have both pages", LIMIT, || listed(node) == apart);
    }
    nodes.into_iter().for_each(Node::stop);
    // Neither node knows of the other's rule.
    said(&command(directories[0].path(), &["--merge", "/a", "/b"]));
    said(&command(directories[1].path(), &["--merge", "/b", "/a"]));
    let nodes = [started(0), started(1)];
    // The first one was written first.
    let expected = pages(&[("/b", "B", 6)]);
    for node in &nodes {
        until("both show one page", LIMIT, || listed(node) == expected);
        ["/a", "/b"].iter().for_each(|page| has_views(node, page, 6));
        until("both have both rules", LIMIT, || {
            let rules = node.admin_get("/sites/demo/pages/rules").json();
            (&rules[0]["is_void"], &rules[1]["is_void"]) == (&Value::Null, &json!(true))
        });
    }
    ["/a", "/b"].iter().for_each(|page| read(&nodes[0], page, "B"));
    let expected = pages(&[("/b", "B", 12)]);
    for node in &nodes {
        until("hits of both count as one", LIMIT, || listed(node) == expected);
    }
    undo(&nodes[0], "/a", "merge");
    let expected = pages(&[("/a", "A", 12)]);
    for node in &nodes {
        until("the other half has its effect", LIMIT, || listed(node) == expected);
    }
    nodes.into_iter().for_each(Node::stop);
}

#[test]
fn what_others_write_into_redis_sets_no_rule_and_stops_none() {
    let redis = Redis::start();
    let directory = TempDir::new().unwrap();
    redis.cli(&["SET", RULES, "x"]);
    let node = start(directory.path(), "", &["--redis", &redis.url()]);
    ["/a", "/b"].iter().for_each(|page| read(&node, page, page));
    until("the pages are in Redis", LIMIT, || redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", "/b"]) == "3");
    set(&node, "/b", "hide", None);
    until("the hidden page is in no list", LIMIT, || listed(&node) == pages(&[("/a", "/a", 3)]));
    assert!(node.log().contains("can't exchange the rules of pages"), "{}", node.log());
    redis.cli(&["DEL", RULES]);
    for (field, value) in [
        ("title /a", "99 Tin\nhai"),
        ("title /a\n", "x Tin"),
        ("merge /a", "99 https://evil.example/"),
        ("merge /b", "9999999999999999999 /a"),
        ("hide (other)", "99 1"),
        ("delete /a", "99 yes"),
        ("reset ", "99 1"),
        ("paint /a", "99 1"),
        ("delete", ""),
    ] {
        redis.cli(&["HSET", RULES, field, value]);
    }
    until("the rule is in Redis", LIMIT, || redis.cli(&["HGET", RULES, "hide /b"]).ends_with(" 1"));
    assert_eq!(listed(&node), pages(&[("/a", "/a", 3)]));
    assert_eq!(node.admin_get("/sites/demo/pages/rules").json().as_array().unwrap().len(), 1);
    assert_eq!(redis.cli(&["HLEN", RULES]), "10", "what another version may know stays");
    node.stop();
}
