use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::beside::{Redis, project, run};
use crate::node::{Node, PROGRAM, until};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A file as version 0.1.0 left it: counts, an import, and three unfolded hits. Every later version must read
/// it.
#[test]
fn a_file_of_format_1_is_read_whole() {
    let directory = TempDir::new().unwrap();
    std::fs::copy(project("tests/fixtures/format-1.db"), directory.path().join("thongke.db")).unwrap();
    let export = run(Command::new(PROGRAM).arg("--data-dir").arg(directory.path()).args(["export", "demo"]));
    let expected = "period,page,hits\ntotal,,1003\ntotal,/tin-tuc/bai-1,43\n2023,,1000\n2023-12-31,,7\n2024,,3\n2024-06,,3\n\
                    2024-06,/tin-tuc/bai-1,3\n2024-06-17,,3\n2024-06-17,/tin-tuc/bai-1,3\n";
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&export), sorted(expected));
}

#[test]
fn a_newer_file_is_refused_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("thongke.db");
    std::fs::copy(project("tests/fixtures/format-1.db"), &file).unwrap();
    run(Command::new("sqlite3").arg(&file).arg("PRAGMA user_version = 99"));
    let before = std::fs::read(&file).unwrap();
    let output = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("newer") && said.contains("run that version"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn to_a_newer_layout_in_redis_nothing_is_published() {
    let directory = TempDir::new().unwrap();
    let redis = Redis::start(directory.path(), &[]);
    let port = redis.port.to_string();
    let cli = |arguments: &[&str]| run(Command::new("redis-cli").args(["-p", &port]).args(arguments));
    cli(&["HSET", "thongke:{demo}:meta", "layout", "3"]);
    let node = Node::start(&directory.path().join("data"), &["--redis", &redis.url()]);
    assert_eq!(node.hit("/a").status, 200);
    until("the node says that it does not publish", TIMEOUT, || {
        let ready = node.admin_get("/readyz");
        ready.status == 200 && ready.body.contains("layout")
    });
    assert_eq!(node.hit("/a").figure("today"), 2);
    assert_eq!(cli(&["KEYS", "*"]).trim(), "thongke:{demo}:meta");
    node.stop();
}
