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
