use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::beside::{Redis, project, run};
use crate::node::{Node, PROGRAM, until};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Files as version 0.1.0 left them: counts, an import, and unfolded hits. Every later version must read them, and
/// keeps a copy.
#[test]
fn files_of_earlier_formats_are_copied_and_read_whole() {
    let of_1 = "period,page,hits\ntotal,,1003\ntotal,/tin-tuc/bai-1,43\n2023,,1000\n2023-12-31,,7\n2024,,3\n2024-06,,3\n\
                2024-06,/tin-tuc/bai-1,3\n2024-06-17,,3\n2024-06-17,/tin-tuc/bai-1,3\n";
    let month = |period: &str| {
        format!("{period},,4\n{period},/tin-tuc/bai-1,2\n{period},/tin-tuc/bai-2,1\n{period},/tin-tuc/bai-3,1\n")
    };
    let of_2 =
        "period,page,hits\ntotal,,1004\ntotal,/tin-tuc/bai-1,42\ntotal,/tin-tuc/bai-2,1\ntotal,/tin-tuc/bai-3,1\n\
                2023,,1000\n2023-12-31,,7\n2026,,4\n"
            .to_owned()
            + &month("2026-11")
            + &month("2026-11-30");
    for (format, expected) in [(1, of_1), (2, of_2.as_str())] {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("thongke.db");
        std::fs::copy(project(&format!("tests/fixtures/format-{format}.db")), &file).unwrap();
        let export = |data: &Path| run(Command::new(PROGRAM).arg("--data-dir").arg(data).args(["export", "demo"]));
        let sorted = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(sorted(&export(directory.path())), sorted(expected));
        let copy = directory.path().join("thongke.db.before-0.2");
        assert_eq!(run(Command::new("sqlite3").arg(&copy).arg("PRAGMA user_version")).trim(), format.to_string());
        // Going back: the copy is a whole file.
        let back = TempDir::new().unwrap();
        std::fs::copy(copy, back.path().join("thongke.db")).unwrap();
        assert_eq!(sorted(&export(back.path())), sorted(expected));
    }
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
    let copy = directory.path().join("copy.db").to_string_lossy().into_owned();
    for command in [&["export", "demo"][..], &["verify"], &["backup", &copy], &["check"]] {
        let mut program = Command::new(PROGRAM);
        program.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(directory.path());
        let output = program.args(command).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains("newer") && !said.contains("is damaged"), "{command:?}: {said}");
    }
    assert!(!Path::new(&copy).exists());
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
