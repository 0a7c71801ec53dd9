use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::book::Book;
use crate::host::{Host, SITE_IDS, TIMEOUT};
use crate::length::{dice, either};
use crate::load::{Load, Plan};
use crate::node::{PROGRAM, until};
use crate::traced::traced;

const RESTARTED: &str = "the files after a restart";

/// Asserts that hits are refused, the node is not ready, and its log says why.
fn has_failed(host: &Host, book: &Book) -> bool {
    book.results().refused > 0 && host.node().admin_get("/readyz").status == 503
}

/// Starts a new load once all answers are in: a late read could still see an answer from before the failure.
fn go_on_loading(book: &Arc<Book>, host: &Host, dice: &mut StdRng, time: Duration) {
    Load::during(book, &[host.door()], &Plan::default(), dice, || std::thread::sleep(time));
}

#[test]
fn after_a_failed_write_or_sync_no_hit_is_acknowledged_and_all_acknowledged_ones_are_there() {
    let mut dice = dice("a failing disk");
    let kinds =
        ["fsync,fdatasync:error=EIO", "pwrite64:error=EIO", "pwrite64:error=ENOSPC", "fsync,fdatasync:error=ENOSPC"];
    for round in 0..either(kinds.len(), 40) {
        let kind = kinds[round % kinds.len()];
        // After the start's own calls; once, or from then on: one failure is enough.
        let first = if kind.starts_with("fsync") { dice.random_range(20..40) } else { dice.random_range(70..200) };
        let mut host = Host::new(None);
        let book: Arc<Book> = Arc::default();
        host.start_as(traced(&[&format!("{kind}:when={first}+")]));
        let load = Load::start(&book, &[host.door()], &Plan::default(), &mut dice);
        until("hits are refused", TIMEOUT, || has_failed(&host, &book));
        load.stop();
        let acknowledged = book.results().acknowledged;
        go_on_loading(&book, &host, &mut dice, Duration::from_millis(300));
        let results = book.results();
        println!("{kind}:when={first}+: {results:?}");
        assert_eq!(results.acknowledged, acknowledged, "{kind}: acknowledged after the disk has failed");
        assert!(acknowledged > 0 && results.unanswered == 0, "{kind}: {results:?}");
        let log = host.node().log();
        assert!(log.contains("can't be written") || log.contains("full"), "{kind}: {log}");
        host.kill();
        host.start();
        book.holds_in(RESTARTED, &SITE_IDS, &host.export());
        go_on_loading(&book, &host, &mut dice, Duration::from_millis(100));
        assert!(book.results().acknowledged > acknowledged, "it goes on after a restart");
        host.stop();
        book.holds_in("the files in the end", &SITE_IDS, &host.export());
    }
}

#[test]
fn after_a_single_failed_sync_nothing_is_trusted_though_the_next_sync_would_succeed() {
    let mut dice = dice("one failed sync");
    let mut host = Host::new(None);
    let book: Arc<Book> = Arc::default();
    host.start_as(traced(&["fsync,fdatasync:error=EIO:when=25"]));
    let load = Load::start(&book, &[host.door()], &Plan::default(), &mut dice);
    until("hits are refused", TIMEOUT, || has_failed(&host, &book));
    load.stop();
    let acknowledged = book.results().acknowledged;
    go_on_loading(&book, &host, &mut dice, Duration::from_secs(1));
    assert_eq!(book.results().acknowledged, acknowledged);
    assert_eq!(host.node().admin_get("/readyz").status, 503);
    assert_eq!(host.node().admin_get("/healthz").status, 200);
    host.kill();
    book.holds_in(RESTARTED, &SITE_IDS, &host.export());
}

#[test]
fn a_disk_that_stalls_for_two_seconds_delays_hits_and_loses_none() {
    let mut dice = dice("a stall");
    let mut host = Host::new(None);
    let book: Arc<Book> = Arc::default();
    host.start_as(traced(&["fsync,fdatasync:delay_enter=2s:when=40"]));
    let begun = Instant::now();
    let load = Load::start(&book, &[host.door()], &Plan::default(), &mut dice);
    let mut longest = (Duration::ZERO, 0, Instant::now());
    until("it has stalled and goes on", TIMEOUT, || {
        let acknowledged = book.results().acknowledged;
        if acknowledged != longest.1 {
            longest = (longest.0.max(longest.2.elapsed()), acknowledged, Instant::now());
        }
        longest.0 > Duration::from_millis(1_500)
    });
    load.stop();
    println!("nothing was acknowledged for {:?} of {:?}; {:?}", longest.0, begun.elapsed(), book.results());
    assert_eq!(host.node().admin_get("/readyz").status, 200);
    host.stop();
    book.holds_in("the files", &SITE_IDS, &host.export());
}

/// A file system of 16 MiB; none where mounting is not allowed.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=16m", "tmpfs"];
        let output = Command::new("mount").args(mount).arg(folder.path()).output();
        if output.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        println!("SKIPPED, since a small file system can't be mounted here: {output:?}");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk, except for some bytes.
    fn fill(&self, filler: &Path, left: u64) {
        let mut file = File::create(filler).unwrap();
        // The last write takes what is left.
        while file.write_all(&[1; 64 << 10]).is_ok() {}
        let filled = file.metadata().unwrap().len();
        file.set_len(filled.checked_sub(left).expect("as much was free")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_hits_and_goes_on_after_space_is_freed() {
    let mut dice = dice("a full disk");
    let Some(disk) = SmallDisk::mount() else { return };
    let mut host = Host::with_data(TempDir::new().unwrap(), disk.path().join("data"), None);
    let book: Arc<Book> = Arc::default();
    host.start();
    let filler = disk.path().join("filler");
    let doors = [host.door()];
    for _ in 0..either(1, 4) {
        disk.fill(&filler, 1 << 20);
        let acknowledged = book.results().acknowledged;
        let refused = book.results().refused;
        let load = Load::start(&book, &doors, &Plan { pages: 20_000, ..Plan::default() }, &mut dice);
        until("hits are refused", TIMEOUT, || book.results().refused > refused);
        until("it is not ready", TIMEOUT, || host.node().admin_get("/readyz").status == 503);
        load.stop();
        assert!(book.results().acknowledged > acknowledged);
        let log = host.node().log();
        assert!(log.contains("full"), "{log}");
        std::fs::remove_file(&filler).unwrap();
        let process = host.node().id();
        until("it goes on by itself", TIMEOUT, || host.node().admin_get("/readyz").status == 200);
        assert!(host.node().log().contains("can be written again"));
        let acknowledged = book.results().acknowledged;
        go_on_loading(&book, &host, &mut dice, Duration::from_millis(200));
        assert!(book.results().acknowledged > acknowledged);
        assert_eq!(host.node().id(), process);
        book.holds_in("the node after space was freed", &SITE_IDS, &host.export());
        host.kill();
        host.start();
        book.holds_in("the node after a kill", &SITE_IDS, &host.export());
    }
    host.stop();
    book.holds_in("the files in the end", &SITE_IDS, &host.export());
}

#[test]
fn a_start_on_a_full_disk_names_the_disk_and_harms_nothing() {
    let mut dice = dice("a start on a full disk");
    let Some(disk) = SmallDisk::mount() else { return };
    let mut host = Host::with_data(TempDir::new().unwrap(), disk.path().join("data"), None);
    let book: Arc<Book> = Arc::default();
    let filler = disk.path().join("filler");
    let is_clear = |said: &str| {
        assert!(said.contains("no file is damaged: make room"), "{said}");
        assert!(!said.contains("thongke.db is damaged") && !said.contains("backup"), "{said}");
    };
    for is_killed in [false, true] {
        host.start();
        let door = host.door();
        Load::during(&book, &[door], &Plan::default(), &mut dice, || std::thread::sleep(Duration::from_millis(300)));
        match is_killed {
            true => host.kill(),
            false => host.stop(),
        }
        disk.fill(&filler, 0);
        let said = host.check();
        assert!(said.contains("make room"), "the check says so before a start: {said}");
        // After a kill the log and its index have their space already.
        match host.try_start_as(Command::new(PROGRAM)) {
            Err(said) => is_clear(&said),
            Ok(()) => assert!(is_killed, "it started on a full disk"),
        }
        host.kill();
        for command in [&["export", "a"][..], &["verify"], &["figures", "a"], &["sources", "a"]] {
            match host.try_command(command) {
                Err(said) => is_clear(&said),
                Ok(_) => assert!(is_killed, "{command:?}"),
            }
        }
        std::fs::remove_file(&filler).unwrap();
        host.start();
        book.holds_in("the node after space was freed", &SITE_IDS, &host.export());
        host.stop();
    }
}

/// An upgrade copies the file first; without the space for that it changes nothing.
#[test]
fn an_upgrade_without_space_for_the_copy_leaves_the_file_as_it_was() {
    let Some(disk) = SmallDisk::mount() else { return };
    let data = disk.path().join("data");
    let host = Host::with_data(TempDir::new().unwrap(), data.clone(), None);
    std::fs::create_dir(&data).unwrap();
    let file = data.join("thongke.db");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-2.db");
    std::fs::copy(&fixture, &file).unwrap();
    let filler = disk.path().join("filler");
    // Enough for log and index, not for the copy.
    disk.fill(&filler, 80 << 10);
    let said = host.try_command(&["export", "a"]).unwrap_err();
    assert!(said.contains("make room"), "{said}");
    let format = || {
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(format(), 2, "{said}");
    let copies = || {
        let names = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("before")).collect::<Vec<_>>()
    };
    assert_eq!(copies(), Vec::<String>::new(), "{said}");
    std::fs::remove_file(&filler).unwrap();
    host.try_command(&["export", "a"]).unwrap();
    assert_eq!((format(), copies()), (3, vec!["thongke.db.before-0.2".to_owned()]));
}
