//! Figures that are set to zero before a site goes live, and taken back.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Answer, Node, PROGRAM, ask, until};
use crate::redis::Redis;
use crate::vouching::{listed, open_the_portal, read, settle, start, views};

const LIMIT: Duration = Duration::from_secs(120);
const PATH: &str = "/sites/demo/reset";

fn reset(node: &Node) -> Answer {
    let answer = ask(&node.admin, "POST", PATH, &["Content-Type: text/csv"], "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

fn undo(node: &Node) -> Answer {
    ask(&node.admin, "DELETE", PATH, &[], "")
}

/// Today's and all figures of the site, its history, and figures of a page.
fn figures(node: &Node, page: &str) -> [i64; 6] {
    let site = node.get("/v1/sites/demo/figures?figures=today,year,total");
    let of = ["today", "year", "total"].map(|key| site.figure(key));
    let history = node.get("/v1/sites/demo/history?last=1").json()["history"][0]["value"].as_i64().unwrap();
    [of[0], of[1], of[2], history, views(node, page, "today"), views(node, page, "total")]
}

/// The same, where the site has so many hits, and the page.
fn hits(site: i64, page: i64) -> [i64; 6] {
    [site, site, site, site, page, page]
}

/// Exit code and words of a command on a site of this folder.
fn run(directory: &Path, words: &[&str]) -> (i32, String) {
    let config = directory.join("thongke.toml");
    let output = Command::new(PROGRAM)
        .args(words)
        .args(["--config", config.to_str().unwrap(), "--data-dir"])
        .arg(directory.join("data"))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn an_import_that_is_corrected_after_a_reset_shows_no_figure_below_zero_and_says_what_to_do() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    let import = |hits: i64| {
        let day = node.get("/v1/sites/demo/history?last=1").json()["history"][0]["period"].as_str().unwrap().to_owned();
        let file = format!("period,page,hits\n{day},,{hits}\n{day},/a,{hits}\n");
        let path = "/sites/demo/import?source=old";
        let answer = ask(&node.admin, "POST", path, &["Content-Type: text/csv"], &file);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["after_reset"].as_bool().unwrap()
    };
    assert!(!import(100) && !import(90));
    assert_eq!(figures(&node, "/a")[0], 90);
    reset(&node);
    assert!(import(40));
    // An answer about a page may be a second old.
    until("no figure is below zero", LIMIT, || figures(&node, "/a") == hits(0, 0));
    let csv = node.get("/v1/sites/demo/history?last=2&format=csv").body;
    assert!(!csv.contains(",-"), "{csv}");
    assert!(listed(&node, "").is_empty());
    let export = ask(&node.admin, "GET", "/sites/demo/export", &[], "").body;
    assert!(export.contains(",-50"), "an export is true: {export}");
    reset(&node);
    until("all are zero", LIMIT, || figures(&node, "/a") == hits(0, 0));
    assert_eq!(undo(&node).status, 200);
    until("the import is back", LIMIT, || figures(&node, "/a")[0] == 40);
    node.stop();
    let file = directory.path().join("old.csv");
    std::fs::write(&file, "period,hits\n2020,5\n").unwrap();
    let (code, said) = run(directory.path(), &["import", "demo", file.to_str().unwrap(), "--source", "old"]);
    assert!(code == 0 && !said.contains("set to zero, perhaps"), "{said}");
}

#[test]
fn figures_begin_at_zero_after_a_reset_and_are_as_before_after_its_undoing() {
    let directory = TempDir::new().unwrap();
    let node = start(directory.path(), "", &[]);
    open_the_portal(&node);
    (0..4).for_each(|_| read(&node, 9, "/nhap", "Nháp"));
    settle(&node);
    assert_eq!(figures(&node, "/trang-chu"), hits(7, 3));
    // Without its content type a web page could send it.
    assert_eq!(ask(&node.admin, "POST", PATH, &[], "").status, 415);
    assert_eq!(undo(&node).status, 404);
    let (code, said) = run(directory.path(), &["sites", "reset", "demo"]);
    assert!(code == 0 && said.contains("nothing was changed") && said.contains("--yes"), "{code} {said}");
    assert_eq!(figures(&node, "/trang-chu"), hits(7, 3));
    let (code, said) = run(directory.path(), &["sites", "reset", "demo", "--yes"]);
    assert!(code == 0 && said.contains("figures set to zero"), "{code} {said}");
    settle(&node);
    assert_eq!(figures(&node, "/trang-chu"), hits(0, 0));
    assert_eq!([views(&node, "/nhap", "today"), views(&node, "/nhap", "total")], [0, 0]);
    assert_eq!((listed(&node, ""), listed(&node, "total")), (vec![], vec![]));
    read(&node, 1, "/trang-chu", "Trang chủ");
    settle(&node);
    assert_eq!(figures(&node, "/trang-chu"), hits(1, 1));
    // Again, and over a restart.
    reset(&node);
    read(&node, 2, "/trang-chu", "Trang chủ");
    read(&node, 2, "/nhap", "Nháp");
    settle(&node);
    node.stop();
    let node = start(directory.path(), "", &[]);
    assert_eq!(figures(&node, "/trang-chu"), hits(2, 1));
    assert_eq!([views(&node, "/nhap", "today"), views(&node, "/nhap", "total")], [1, 1]);
    // A page that is vouched for after the reset has none of what was before.
    read(&node, 3, "/nhap", "Nháp");
    settle(&node);
    assert!(listed(&node, "total").iter().any(|(page, _)| page == "/nhap"), "{:?}", listed(&node, "total"));
    assert_eq!([views(&node, "/nhap", "today"), views(&node, "/nhap", "total")], [2, 2]);
    // No command of imports reaches it.
    let forged = ask(&node.admin, "DELETE", "/sites/demo/sources/import:(reset)", &[], "");
    assert_eq!(forged.status, 400, "{}", forged.body);
    assert_eq!(undo(&node).status, 200);
    settle(&node);
    assert_eq!(figures(&node, "/trang-chu"), hits(11, 5));
    assert_eq!([views(&node, "/nhap", "today"), views(&node, "/nhap", "total")], [6, 6]);
    assert_eq!(undo(&node).status, 404);
    node.stop();
    // A stopped node's file.
    let (code, said) = run(directory.path(), &["sites", "reset", "demo", "--yes"]);
    assert!(code == 0, "{said}");
    let node = start(directory.path(), "", &[]);
    assert_eq!(figures(&node, "/nhap"), hits(0, 0));
    node.stop();
    let (code, said) = run(directory.path(), &["sites", "reset", "demo", "--undo"]);
    assert!(code == 0 && said.contains("taken back"), "{said}");
    for wrong in [&["sites", "reset", "nowhere", "--yes"][..], &["sites", "reset", "demo", "--undo"]] {
        let (code, said) = run(directory.path(), wrong);
        assert_eq!(code, 1, "{said}");
    }
    assert_eq!(run(directory.path(), &["sites", "reset", "demo", "--undo", "--yes"]).0, 2);
}

#[test]
fn a_reset_holds_on_all_nodes_and_over_a_loss_in_redis() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| start(directory.path(), "", &["--redis", &redis.url()]));
    let [one, two] = &nodes;
    open_the_portal(one);
    let score = |page: &str| redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", page]);
    until("the start page is vouched for", LIMIT, || score("/trang-chu") == "3");
    (1..=3).for_each(|network| read(two, network, "/trang-chu", "Trang chủ"));
    // Pages that only the other node has read, one of them unvouched.
    (1..=3).for_each(|network| read(two, network, "/hai", "Hai"));
    (0..5).for_each(|_| read(two, 9, "/nhap", "Nháp"));
    until("all is in Redis", LIMIT, || {
        redis.hits("total") == "14" && score("/hai") == "3" && score("/trang-chu") == "6"
    });
    let of_day = |page: &str| {
        let today = one.get("/v1/sites/demo/pages").json()["as_of"].as_str().unwrap()[..10].to_owned();
        redis.cli(&["ZSCORE", &format!("thongke:{{demo}}:pages:{today}"), page])
    };
    until("the draft's day is in Redis", LIMIT, || of_day("/nhap") == "5");
    until("a node knows all", LIMIT, || figures(one, "/trang-chu") == hits(14, 6));
    reset(one);
    let all = |expected: [i64; 6]| {
        for node in &nodes {
            until("both nodes show it", LIMIT, || figures(node, "/trang-chu") == expected);
        }
    };
    all(hits(0, 0));
    for node in &nodes {
        until("the other node's pages", LIMIT, || {
            views(node, "/hai", "total") == 0 && views(node, "/nhap", "today") == 0 && listed(node, "total").is_empty()
        });
        until("nothing differs", LIMIT, || node.admin_get("/sites/demo/verify").json()["agrees"] == true);
    }
    // Hits go on from zero, also of the page that isn't vouched for.
    read(two, 1, "/nhap", "Nháp");
    read(two, 2, "/nhap", "Nháp");
    read(one, 5, "/trang-chu", "Trang chủ");
    all(hits(3, 1));
    for node in &nodes {
        until("the draft is vouched for", LIMIT, || {
            views(node, "/nhap", "total") == 2 && listed(node, "total").iter().any(|(page, _)| page == "/nhap")
        });
    }
    redis.cli(&["FLUSHALL"]);
    until("Redis has it again", LIMIT, || redis.hits("total") == "3" && score("/nhap") == "2");
    all(hits(3, 1));
    for node in &nodes {
        until("nothing differs", LIMIT, || node.admin_get("/sites/demo/verify").json()["agrees"] == true);
    }
    // Undone by the other node.
    assert_eq!(undo(two).status, 200);
    all(hits(17, 7));
    for node in &nodes {
        until("pages as before", LIMIT, || views(node, "/hai", "total") == 3 && views(node, "/nhap", "total") == 7);
    }
    nodes.into_iter().for_each(Node::stop);
    let (code, said) = run(directories[0].path(), &["sites", "reset", "demo", "--yes", "--redis", &redis.url()]);
    assert!(code == 1 && said.contains("start it"), "{code} {said}");
}
