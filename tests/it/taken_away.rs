//! The node's files taken away while it runs: hits are refused within a second, and none is acknowledged that is
//! lost. The same files put back are gone on with.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::{Node, PROGRAM, until};

/// Hits that were acknowledged.
fn hits(node: &Node, many: usize) -> i64 {
    (0..many)
        .map(|n| match node.hit(&format!("/{n}")).status {
            200 => 1,
            503 => 0,
            other => panic!("{other}"),
        })
        .sum()
}

/// Asserts that hits are refused and that each report says why.
fn is_refused(node: &Node, says: &str) {
    let started = Instant::now();
    // Files that are being replaced are gone for a moment.
    until(says, Duration::from_secs(5), || {
        let ready = node.admin_get("/readyz");
        ready.status == 503 && ready.json()["reasons"]["ledger"].as_str().unwrap().contains(says)
    });
    assert!(started.elapsed() < Duration::from_millis(1_500), "noticed after {:?}", started.elapsed());
    assert!(node.admin_get("/readyz").body.contains("put the folder back"));
    assert!(node.hit("/a").problem(503).contains(says));
    assert!(node.admin_get("/metrics").body.contains("\nthongke_ledger_writable 0\n"));
    until("the log says so", Duration::from_secs(5), || node.log().contains(says));
    assert_eq!(node.admin_get("/healthz").status, 200);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_directory_that_is_moved_away_and_back_is_gone_on_with_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let (data, aside) = (folder.path().join("data"), folder.path().join("aside"));
    let node = Node::start(&data, &[]);
    let mut acknowledged = hits(&node, 20);
    for replaced in [false, true] {
        std::fs::rename(&data, &aside).unwrap();
        if replaced {
            copy(&aside, &data);
        }
        // At once: a hit in the file is not acknowledged after it has lost its name.
        assert_eq!(hits(&node, 3), 0);
        is_refused(&node, if replaced { "another file has taken the place" } else { "is gone" });
        if replaced {
            std::fs::remove_dir_all(&data).unwrap();
        }
        std::fs::rename(&aside, &data).unwrap();
        until("it goes on", Duration::from_secs(5), || node.admin_get("/readyz").status == 200);
        acknowledged += hits(&node, 20);
    }
    assert!(node.log().contains("can be written again"), "{}", node.log());
    node.kill();
    let node = Node::start(&data, &[]);
    let total = node.total("demo") as i64;
    // Refused hits may stand in the file, as always.
    assert!((acknowledged..=acknowledged + 8).contains(&total), "{total} counted, {acknowledged} acknowledged");
    node.stop();
}

#[test]
fn a_file_that_is_deleted_is_missed_before_the_next_hit_is_acknowledged() {
    for deleted in ["", "thongke.db", "thongke.db-wal", "thongke.db-shm"] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let node = Node::start(&data, &[]);
        assert_eq!(hits(&node, 5), 5);
        match deleted {
            "" => std::fs::remove_dir_all(&data).unwrap(),
            file => std::fs::remove_file(data.join(file)).unwrap(),
        }
        assert_eq!(hits(&node, 5), 0, "{deleted}");
        is_refused(&node, "is gone");
        node.stop();
    }
}

#[test]
fn a_loss_is_noticed_without_a_hit() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let node = Node::start(&data, &[]);
    assert_eq!(node.admin_get("/readyz").status, 200);
    std::fs::remove_dir_all(&data).unwrap();
    is_refused(&node, "is gone");
    node.stop();
}

/// Waits until a directory has another lock file than before, which the node holds.
fn until_locked_again(data: &Path) {
    until("the lock file is there", Duration::from_millis(1_500), || data.join("thongke.lock").exists());
    let second = Node::try_start_as(std::process::Command::new(PROGRAM), data);
    let said = second.err().expect("a second node starts in the same directory");
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn a_lock_file_that_is_deleted_alone_is_made_and_locked_again_within_a_second() {
    let folder = TempDir::new().unwrap();
    let (data, lock) = (folder.path().join("data"), folder.path().join("data/thongke.lock"));
    let node = Node::start(&data, &[]);
    let signed = std::fs::read_to_string(&lock).unwrap();
    for is_loaded in [false, true] {
        std::fs::remove_file(&lock).unwrap();
        if is_loaded {
            until("it is there under load", Duration::from_millis(1_500), || hits(&node, 1) == 1 && lock.exists());
        }
        until_locked_again(&data);
        assert_eq!(std::fs::read_to_string(&lock).unwrap(), signed);
        assert!(node.log().contains("locked again"), "{}", node.log());
        assert_eq!(hits(&node, 3), 3);
    }
    // Another program has been quicker.
    let others = folder.path().join("others.lock");
    let other = std::fs::File::create(&others).unwrap();
    other.lock().unwrap();
    std::fs::rename(&others, &lock).unwrap();
    let says = "another program has locked the data directory";
    until(says, Duration::from_millis(1_500), || node.admin_get("/readyz").body.contains(says));
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(node.hit("/a").problem(503).contains(says));
    // What the other one has done is unknown.
    other.unlock().unwrap();
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(node.hit("/a").problem(503).contains(says));
    node.stop();
    let node = Node::start(&data, &[]);
    assert_eq!(hits(&node, 1), 1);
    node.stop();
}

#[test]
fn a_node_that_starts_after_the_lock_file_was_deleted_has_the_file_for_itself() {
    let folder = TempDir::new().unwrap();
    let (data, lock) = (folder.path().join("data"), folder.path().join("data/thongke.lock"));
    let first = Node::start(&data, &[]);
    let mut acknowledged = hits(&first, 10);
    // The second one may come too late: then the first has locked the directory again.
    let mut second = None;
    until("a second node starts", Duration::from_secs(20), || {
        let _ = std::fs::remove_file(&lock);
        second = Node::try_start_as(std::process::Command::new(PROGRAM), &data).ok();
        second.is_some()
    });
    let second = second.unwrap();
    acknowledged += hits(&second, 10);
    let says = "another program has";
    until(says, Duration::from_millis(1_500), || first.admin_get("/readyz").body.contains(says));
    acknowledged += hits(&second, 10);
    second.stop();
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(hits(&first, 5), 0);
    first.stop();
    let again = Node::start(&data, &[]);
    assert_eq!(again.total("demo"), acknowledged.unsigned_abs());
    again.stop();
}
