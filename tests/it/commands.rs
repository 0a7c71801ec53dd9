//! Commands that read, and commands that are refused: they create nothing, and say what would be right.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Node, PROGRAM, until};
use crate::port::free_port;
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(60);

/// Exit code, output and messages of a command.
fn run(words: &[&str], data: &Path) -> (i32, String, String) {
    let output = Command::new(PROGRAM).args(words).arg("--data-dir").arg(data).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Two free ports, for a check.
fn ports() -> [String; 4] {
    let port = || format!("127.0.0.1:{}", free_port());
    ["--listen".to_owned(), port(), "--admin-listen".to_owned(), port()]
}

#[test]
fn a_refused_import_creates_nothing_and_says_what_would_be_right() {
    let directory = TempDir::new().unwrap();
    let (file, data) = (directory.path().join("old.csv"), directory.path().join("data"));
    let csv = file.to_str().unwrap();
    std::fs::write(&file, "period,hits\ntotal,9\n").unwrap();
    let (code, _, said) = run(&["import", "vixuyen", csv, "--source", "s1"], &data);
    assert!(code == 1 && said.contains("there is no site `vixuyen`") && said.contains("--config"), "{code} {said}");
    assert!(said.contains("`demo`") && !data.exists(), "{said}");
    let config = directory.path().join("thongke.toml");
    std::fs::write(&config, "[sites.haiphong]\norigins = [\"http://localhost\"]\n").unwrap();
    let config = config.to_str().unwrap();
    let (code, _, said) = run(&["import", "vixuyen", csv, "--source", "s1", "--config", config], &data);
    assert!(code == 1 && said.contains("the configuration has haiphong") && !data.exists(), "{code} {said}");
    std::fs::write(&file, "period,hits\n2024-02-30,9\n").unwrap();
    let (code, _, said) = run(&["import", "haiphong", csv, "--source", "s1", "--config", config], &data);
    assert!(code == 1 && said.contains("line 2") && !data.exists(), "{code} {said}");
    std::fs::write(&file, "period,hits\ntotal,9\n").unwrap();
    let (code, said, _) = run(&["import", "haiphong", csv, "--source", "s1", "--config", config], &data);
    assert!(code == 0 && said.contains("counters set: 1"), "{code} {said}");
}

#[test]
fn a_command_that_reads_creates_nothing_and_reports_no_zeros_of_a_file_without_hits() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let [listen, public, admin_listen, admin] = ports();
    let (code, said, _) = run(&["check", &listen, &public, &admin_listen, &admin], &data);
    assert!(code == 0 && said.contains("can be used") && !data.exists(), "{code} {said}");
    let backup = directory.path().join("backup.db");
    for words in [
        &["health"][..],
        &["backup", backup.to_str().unwrap()],
        &["figures", "vixuyen"],
        &["export", "vixuyen"],
        &["forget", "demo", "--source", "s1"],
    ] {
        let (code, said, reason) = run(words, &data);
        assert!(code == 1 && said.is_empty() && !reason.is_empty(), "{words:?}: {code} {said} {reason}");
        assert!(!data.exists() && !backup.exists(), "{words:?}");
    }
    Node::start(&data, &[]).stop();
    for command in ["figures demo", "sources demo", "bots demo", "export demo", "verify", "clock accept"] {
        let words: Vec<_> = command.split(' ').collect();
        let (code, said, reason) = run(&words, &data);
        assert!(code == 1 && said.is_empty(), "{command}: {code} {said}");
        assert!(reason.contains("nothing was ever counted in "), "{command}: {reason}");
    }
    let node = Node::start(&data, &[]);
    assert_eq!(node.hit("/a").status, 200);
    node.stop();
    assert_eq!(run(&["figures", "demo"], &data).0, 0);
    let [listen, public, admin_listen, admin] = ports();
    let listed = || std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let before = listed();
    assert_eq!(run(&["check", &listen, &public, &admin_listen, &admin], &data).0, 0);
    assert_eq!(listed(), before);
}

#[test]
fn an_import_has_one_name_in_all_commands() {
    let directory = TempDir::new().unwrap();
    let (file, data) = (directory.path().join("old.csv"), directory.path().join("data"));
    let csv = file.to_str().unwrap();
    std::fs::write(&file, "period,hits\ntotal,9\n").unwrap();
    let names = |running: &str| {
        let (code, said, _) = run(&["sources", "demo"], &data);
        assert!(code == 0 && said.matches("import:s1 ").count() == 1, "{running}: {said}");
        for name in ["s1", "import:s1"] {
            assert_eq!(run(&["import", "demo", csv, "--source", name], &data).0, 0, "{running} {name}");
            let (code, said, _) = run(&["forget", "demo", "--source", name], &data);
            assert!(code == 0 && said.starts_with("import:s1: "), "{running} {name}: {said}");
            let (code, _, said) = run(&["forget", "demo", "--source", name], &data);
            assert!(code == 1 && said.contains("no import `import:s1`"), "{running} {name}: {said}");
        }
        assert_eq!(run(&["import", "demo", csv, "--source", "import:s1"], &data).0, 0);
    };
    assert_eq!(run(&["import", "demo", csv, "--source", "import:s1"], &data).0, 0);
    names("stopped");
    let node = Node::start(&data, &[]);
    names("running");
    let (code, _, said) = run(&["import", "demo", csv, "--source", "import:import:s1"], &data);
    assert!(code == 2 && said.contains("is not a name for an import"), "{code} {said}");
    node.stop();
}

#[test]
fn verify_says_that_redis_could_not_be_asked_and_offers_no_repair() {
    let directory = TempDir::new().unwrap();
    let redis = format!("redis://127.0.0.1:{}", free_port());
    let says = |how: &str, words: &[&str]| {
        let (code, _, said) = run(&[words, &["--redis", &redis]].concat(), directory.path());
        assert!(code == 1 && said.contains("Redis could not be asked about demo"), "{how}: {code} {said}");
        assert!(!said.contains("--repair") && !said.contains("differs"), "{how}: {said}");
    };
    let node = Node::start(directory.path(), &["--redis", &redis]);
    assert_eq!(node.hit("/a").status, 200);
    says("running", &["verify", "demo"]);
    node.stop();
    says("stopped", &["verify"]);
    says("stopped, to repair", &["verify", "--repair"]);
}

#[test]
fn check_reports_a_time_zone_that_differs_from_the_one_in_redis() {
    let (redis, directory) = (Redis::start(), TempDir::new().unwrap());
    let config = directory.path().join("thongke.toml");
    let write = |zone: &str| {
        std::fs::write(&config, format!("[sites.demo]\norigins = [\"http://localhost\"]\ntime_zone = \"{zone}\"\n"))
            .unwrap();
    };
    let check = || {
        let [listen, public, admin_listen, admin] = ports();
        let words = [
            "check",
            "--config",
            config.to_str().unwrap(),
            "--redis",
            &redis.url(),
            &listen,
            &public,
            &admin_listen,
            &admin,
        ]
        .map(str::to_owned);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        run(&words, &directory.path().join("data"))
    };
    write("Asia/Ho_Chi_Minh");
    assert_eq!(check().0, 0, "a site that was never published agrees");
    assert_eq!(redis.cli(&["EXISTS", "thongke:{demo}:meta"]), "0", "a check writes nothing");
    let data = directory.path().join("data");
    let node = Node::start(&data, &["--config", config.to_str().unwrap(), "--redis", &redis.url()]);
    assert_eq!(node.hit("/a").status, 200);
    until("the hit is published", LIMIT, || redis.hits("total") == "1");
    node.stop();
    assert_eq!(check().0, 0);
    write("Europe/Berlin");
    let (code, said, _) = check();
    let problem = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{code} {said}"));
    assert!(code == 1 && problem.contains("says time_zone = Asia/Ho_Chi_Minh, and here it is Europe/Berlin"), "{said}");
}

#[test]
fn export_and_sources_of_a_running_node_have_other_nodes_newest_hits() {
    let redis = Redis::start();
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [first, second] =
        directories.each_ref().map(|directory| Node::start(directory.path(), &["--redis", &redis.url()]));
    assert_eq!(second.hit("/b").status, 200);
    until("the second node has synced", LIMIT, || second.total("demo") == 1);
    for hits in 1..=3 {
        assert_eq!(first.hit("/a").status, 200);
        let both = (hits + 1).to_string();
        until("the hit is published", LIMIT, || redis.hits("total") == both);
        assert_eq!(second.total("demo"), hits + 1, "an export asks Redis first");
        let sources = second.admin_get("/sites/demo/sources").json();
        let theirs = sources.as_array().unwrap().iter().find(|source| source["remote"] == true).unwrap();
        assert_eq!(theirs["total"], hits);
    }
    [first, second].into_iter().for_each(Node::stop);
}
