//! A folder with a file a site, which the node watches.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::{Node, PROGRAM, ask, until};

const LONG: Duration = Duration::from_secs(30);
const JSON: &[&str] = &["Content-Type: application/json"];

fn write(folder: &Path, id: &str, text: &str) {
    std::fs::write(folder.join(format!("{id}.toml")), text).unwrap();
}

fn origin(host: &str) -> String {
    format!("origins = [\"https://{host}\"]\n")
}

fn folder(directory: &Path, ids: &[&str]) -> std::path::PathBuf {
    let folder = directory.join("sites.d");
    std::fs::create_dir(&folder).unwrap();
    ids.iter().for_each(|id| write(&folder, id, &origin(&format!("{id}.vn"))));
    folder
}

/// Status of a hit of a page of `host` for the site.
fn hit(node: &Node, site: &str, host: &str) -> u16 {
    let body = format!(r#"{{"site":"{site}","url":"https://{host}/a"}}"#);
    node.hit_with(&[], body).status
}

fn has(node: &Node, site: &str) -> bool {
    node.get(&format!("/v1/sites/{site}/figures")).status == 200
}

#[test]
fn sites_come_change_and_go_with_their_files() {
    let directory = TempDir::new().unwrap();
    let folder = folder(directory.path(), &["a", "b"]);
    let config = directory.path().join("thongke.toml");
    std::fs::write(&config, format!("sites_dir = \"sites.d\"\n[sites.old]\n{}", origin("old.vn"))).unwrap();
    let node = Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()]);
    for site in ["a", "b", "old"] {
        assert_eq!(hit(&node, site, &format!("{site}.vn")), 200, "{site}");
    }
    write(&folder, "c", &origin("c.vn"));
    until("the new site counts", LONG, || hit(&node, "c", "c.vn") == 200);
    write(&folder, "a", &origin("moi.vn"));
    until("the other origin counts", LONG, || hit(&node, "a", "moi.vn") == 200);
    assert_eq!(hit(&node, "a", "a.vn"), 403);
    assert!(node.log().contains("sites reloaded: 1 added (c)"), "{}", node.log());
    assert!(node.log().contains("sites reloaded: 1 changed (a)"), "{}", node.log());
    // All or nothing: the good change beside a wrong one has no effect.
    let before = node.log().len();
    write(&folder, "b", "origins = \"https://b.vn\"\n");
    write(&folder, "d", &origin("d.vn"));
    until("the wrong file is named", LONG, || node.log()[before..].contains("sites.d/b.toml:1:11: origins: expected"));
    assert!(!has(&node, "d") && has(&node, "b"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(node.log()[before..].matches("reload failed").count(), 1, "it is said once");
    write(&folder, "b", &origin("b.vn"));
    until("the rest counts", LONG, || hit(&node, "d", "d.vn") == 200);
    // A removed file takes effect later, and its counts stay.
    let removed = Instant::now();
    std::fs::remove_file(folder.join("c.toml")).unwrap();
    until("the site is gone", LONG, || !has(&node, "c"));
    assert!(removed.elapsed() >= Duration::from_secs(5), "{:?}", removed.elapsed());
    write(&folder, "c", &origin("c.vn"));
    until("the site is back", LONG, || has(&node, "c"));
    assert!(node.get("/v1/sites/c/figures?figures=total").figure("total") >= 1);
    assert!(has(&node, "old"));
    node.stop();
}

#[test]
fn an_editor_that_renames_takes_no_site_away() {
    let directory = TempDir::new().unwrap();
    let folder = folder(directory.path(), &["a"]);
    let node = Node::start(&directory.path().join("data"), &["--sites-dir", folder.to_str().unwrap()]);
    for round in 0..3 {
        std::fs::rename(folder.join("a.toml"), folder.join("a.toml~")).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        std::fs::write(folder.join("4913"), "").unwrap();
        assert!(has(&node, "a"));
        write(&folder, "a", &origin(&format!("v{round}.vn")));
        until("the new file counts", LONG, || hit(&node, "a", &format!("v{round}.vn")) == 200);
    }
    assert!(!node.log().contains("removed"), "{}", node.log());
    node.stop();
}

#[test]
fn most_sites_go_only_if_it_is_meant() {
    let directory = TempDir::new().unwrap();
    let folder = folder(directory.path(), &["a", "b", "c"]);
    let node = Node::start(&directory.path().join("data"), &["--sites-dir", folder.to_str().unwrap()]);
    let away = directory.path().join("away");
    std::fs::rename(&folder, &away).unwrap();
    until("it is said that the folder is away", LONG, || node.log().contains("can't read the folder of sites"));
    let answer = ask(&node.admin, "POST", "/reload", JSON, "");
    assert!(answer.problem(422).contains("can't read the folder of sites"), "{}", answer.body);
    std::fs::rename(&away, &folder).unwrap();
    for id in ["a", "b"] {
        std::fs::remove_file(folder.join(format!("{id}.toml"))).unwrap();
    }
    until("it is warned", LONG, || node.log().contains("2 of 3 files are gone at once"));
    assert!(has(&node, "a") && has(&node, "b") && has(&node, "c"));
    let answer = ask(&node.admin, "POST", "/reload", JSON, "").json();
    assert_eq!(answer, serde_json::json!({"added": [], "changed": [], "removed": ["a", "b"]}));
    assert!(!has(&node, "a") && has(&node, "c"));
    // What was meant stays so.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(node.log().matches("are gone at once").count(), 1);
    node.stop();
}

/// Kubernetes mounts a ConfigMap as links through a link that it replaces.
#[test]
fn a_mounted_folder_whose_link_is_replaced_takes_effect() {
    let directory = TempDir::new().unwrap();
    let mounted = directory.path().join("sites.d");
    let version = |name: &str, host: &str| {
        let folder = mounted.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        write(&folder, "a", &origin(host));
        std::os::unix::fs::symlink(name, mounted.join("..new")).unwrap();
        std::fs::rename(mounted.join("..new"), mounted.join("..data")).unwrap();
    };
    version("..1", "one.vn");
    std::os::unix::fs::symlink("..data/a.toml", mounted.join("a.toml")).unwrap();
    let node = Node::start(&directory.path().join("data"), &["--sites-dir", mounted.to_str().unwrap()]);
    assert_eq!(hit(&node, "a", "one.vn"), 200);
    version("..2", "two.vn");
    until("the other version counts", LONG, || hit(&node, "a", "two.vn") == 200);
    node.stop();
}

#[test]
fn a_wrong_folder_is_refused_with_what_would_be_right() {
    let directory = TempDir::new().unwrap();
    let folder = folder(directory.path(), &["a"]);
    let config = directory.path().join("thongke.toml");
    let said = |text: &str| {
        std::fs::write(&config, text).unwrap();
        let output = std::process::Command::new(PROGRAM).arg("check").arg("--config").arg(&config).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = said("sites_dir = \"nowhere\"\n");
    assert!(missing.contains("can't read the folder of sites") && missing.contains("make it"), "{missing}");
    let both = said(&format!("sites_dir = \"sites.d\"\n[sites.a]\n{}", origin("a.vn")));
    assert!(both.contains("sites.d/a.toml") && both.contains("leave one of them out"), "{both}");
    for (name, text, expected) in [
        ("Portal", origin("a.vn"), "the file's name is the site's id"),
        ("b", format!("[sites.b]\n{}", origin("b.vn")), "without `[sites.…]`"),
        ("b", format!("redis = []\n{}", origin("b.vn")), "it belongs in the configuration's one file"),
        ("b", format!("orgins = []\n{}", origin("b.vn")), "did you mean `origins`?"),
        ("b", String::new(), "site `b` has no origins"),
        ("b", "origins = [\n".to_owned(), "b.toml:"),
    ] {
        write(&folder, name, &text);
        let problems = said("sites_dir = \"sites.d\"\n");
        assert!(problems.contains(expected) && problems.contains(&format!("{name}.toml")), "{expected}: {problems}");
        std::fs::remove_file(folder.join(format!("{name}.toml"))).unwrap();
    }
}

#[test]
fn commands_add_change_and_remove_a_site_that_a_running_node_takes_at_once() {
    let directory = TempDir::new().unwrap();
    let folder = folder(directory.path(), &["a"]);
    let config = directory.path().join("thongke.toml");
    std::fs::write(&config, format!("sites_dir = \"sites.d\"\n[sites.old]\n{}", origin("old.vn"))).unwrap();
    let node = Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()]);
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(PROGRAM);
        command.arg("sites").args(arguments).arg("--config").arg(&config);
        let output = command.arg("--data-dir").arg(directory.path().join("data")).output().unwrap();
        let [said, failed] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code().unwrap(), said + &failed)
    };
    let (code, said) = run(&["add", "xa-b", "--origin", "https://b.vn", "--name", "Xã \"B\""]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("within 2 seconds") && said.contains(r#"data-site="xa-b""#), "{said}");
    until("the new site counts", LONG, || hit(&node, "xa-b", "b.vn") == 200);
    assert_eq!(run(&["set", "xa-b", "origins+=https://www.b.vn", "page_cap=500"]).0, 0);
    until("the other origin counts", LONG, || hit(&node, "xa-b", "www.b.vn") == 200);
    let (_, said) = run(&["list"]);
    assert_eq!(said, "a     https://a.vn\nold   https://old.vn\nxa-b  https://b.vn https://www.b.vn\n");
    let (_, said) = run(&["show", "xa-b"]);
    assert!(said.contains("page_cap = 500") && said.contains("name = 'Xã \"B\"'"), "{said}");
    assert!(run(&["show", "old"]).1.contains("https://old.vn"));
    for (arguments, code, expected) in [
        (&["add", "xa-b", "--origin", "https://c.vn"][..], 1, "there is a site `xa-b`"),
        (&["add", "c", "--origin", "c.vn"], 1, "did you mean `https://c.vn`?"),
        (&["add", "Xa-C", "--origin", "https://c.vn"], 2, "is not a site id"),
        (&["add", "c"], 2, "--origin"),
        (&["set", "a", "orgins+=https://c.vn"], 1, "did you mean `origins`?"),
        (&["set", "a", "origins-=https://a.vn"], 1, "has no origins"),
        (&["set", "a", "bots=some"], 1, "expected"),
        (&["set", "a", "name"], 2, "has no `=`"),
        (&["set", "old", "name=x"], 1, "edit that file"),
        (&["set", "nowhere", "name=x"], 1, "there is no site `nowhere`"),
        (&["remove", "old"], 1, "edit that file"),
    ] {
        let (found, said) = run(arguments);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read_to_string(folder.join("a.toml")).unwrap(), origin("a.vn"), "nothing was written");
    assert_eq!(run(&["check"]), (0, "3 sites can be used\n".to_owned()));
    let (code, said) = run(&["remove", "xa-b"]);
    assert!(code == 0 && said.contains("its counts stay") && said.contains("page_cap = 500"), "{said}");
    until("the site is gone", LONG, || !has(&node, "xa-b"));
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["a.toml"], "no unfinished file stays");
    node.stop();
}
