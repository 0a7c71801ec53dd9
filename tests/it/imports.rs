//! An import is all or nothing, whatever ends it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::{Node, PROGRAM, ask, until};

const ROWS: usize = 12_000;
const PATH: &str = "/sites/demo/import?source=old";

fn csv(rows: usize, hits: u32) -> String {
    let rows: String = (0..rows).map(|n| format!("total,/tin-tuc/bai-viet-{n},{hits}\n")).collect();
    format!("period,page,hits\n{rows}")
}

/// Sends an import and leaves the answer unread.
fn begin(node: &Node, csv: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&node.admin).unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
        csv.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(csv.as_bytes()).unwrap();
    stream
}

/// Rows of the import, by their hits.
fn rows(node: &Node, hits: u32) -> usize {
    let ending = format!(",{hits}");
    node.admin_get("/sites/demo/export").body.lines().filter(|line| line.ends_with(&ending)).count()
}

/// Starts an import of rows with 2 hits over one with 1 hit, kills the node after a time, and starts it again.
/// True: the import stands.
fn is_made_though_killed_after(time: Duration, directory: &Path) -> bool {
    let node = Node::start(directory, &[]);
    let before = rows(&node, 1);
    let _waiting = begin(&node, &csv(ROWS, 2));
    std::thread::sleep(time);
    node.kill();
    let node = Node::start(directory, &[]);
    let (old, new) = (rows(&node, 1), rows(&node, 2));
    let what = format!("killed after {time:?}: {old} rows of the import before, {new} of the new one");
    assert!((old, new) == (before, 0) || (old, new) == (0, ROWS), "{what}");
    node.stop();
    assert_eq!(left(directory), 0, "{what}");
    new > 0
}

/// Parts of imports that are still on their way in a stopped node's folder.
fn left(directory: &Path) -> u32 {
    let file = rusqlite::Connection::open(directory.join("thongke.db")).unwrap();
    let count =
        |of: &str| file.query_row::<u32, _, _>(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0)).unwrap();
    let staged: u32 = count("import_steps") + count("meta WHERE key = 'import_whole'");
    staged + u32::from(directory.join("thongke.import").exists())
}

#[test]
fn a_node_killed_amid_an_import_has_all_of_it_or_nothing_after_its_next_start() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let begun = Instant::now();
    let csv = csv(ROWS / 2, 1);
    assert_eq!(ask(&node.admin, "POST", PATH, &["Content-Type: text/csv"], &csv).status, 200);
    // The new one has twice as many rows.
    let time = begun.elapsed() * 2;
    node.stop();
    let mut made = 0;
    for part in 1..=6 {
        let copy = TempDir::new().unwrap();
        std::fs::copy(directory.path().join("thongke.db"), copy.path().join("thongke.db")).unwrap();
        made += u32::from(is_made_though_killed_after(time * part / 5, copy.path()));
    }
    println!("{made} of 6 imports stood after the kill; one takes about {time:?}");
}

#[test]
fn an_import_whose_caller_has_gone_is_all_or_nothing_too() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    for pause in [50, 400] {
        let waiting = begin(&node, &csv(ROWS, 1));
        std::thread::sleep(Duration::from_millis(pause));
        drop(waiting);
        // The next import waits for what is left of it, and replaces it.
        let until_free = || {
            let answer = ask(&node.admin, "POST", PATH, &["Content-Type: text/csv"], "period,hits\n2024,7\n");
            assert!([200, 503].contains(&answer.status), "{}", answer.body);
            answer.status == 200
        };
        until("the next import is taken", Duration::from_secs(60), until_free);
        let body = node.admin_get("/sites/demo/export").body;
        assert_eq!(body.lines().filter(|line| line.ends_with(",1")).count(), 0, "{pause}");
        assert!(body.contains("2024,,7"), "{body}");
    }
    node.stop();
}

/// A value in kB of the process's memory.
fn memory_kb(node: &Node, name: &str) -> u64 {
    memory_of_kb(node.id(), name).unwrap()
}

/// None: the process has ended.
fn memory_of_kb(process: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn an_imports_memory_does_not_grow_with_its_size() {
    const ROWS: usize = 300_000;
    const MORE_KB_MAX: u64 = 64 << 10;
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    // Backwards: the node sorts them.
    let rows: String = (0..ROWS).rev().map(|n| format!("total,/tin-tuc/bai-viet-{n},1\n")).collect();
    let before = memory_kb(&node, "VmRSS");
    std::fs::write(format!("/proc/{}/clear_refs", node.id()), "5").unwrap();
    let answer = ask_for_long(&node, &format!("period,page,hits\n{rows}"));
    assert!(answer.contains(&format!("\"rows\":{ROWS},")), "{answer}");
    let more = memory_kb(&node, "VmHWM").saturating_sub(before);
    println!("{more} kB more for {} kB", rows.len() >> 10);
    assert!(more < MORE_KB_MAX, "{more} kB more for {} kB", rows.len() >> 10);
    node.stop();
}

/// The most memory in kB that a command takes for the import of a file.
fn memory_of_command_kb(data: &Path, csv: &Path) -> u64 {
    let words = ["import", "demo", csv.to_str().unwrap(), "--source", "old", "--data-dir", data.to_str().unwrap()];
    let mut command = Command::new(PROGRAM).args(words).stdout(Stdio::null()).spawn().unwrap();
    let mut most = 0;
    let outcome = loop {
        most = most.max(memory_of_kb(command.id(), "VmHWM").unwrap_or(0));
        if let Some(outcome) = command.try_wait().unwrap() {
            break outcome;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(outcome.success());
    most
}

#[test]
fn a_commands_memory_does_not_grow_with_the_size_of_its_import() {
    const ROWS: usize = 160_000;
    const MORE_KB_MAX: u64 = 100_000;
    let directory = TempDir::new().unwrap();
    let (data, csv) = (directory.path().join("data"), directory.path().join("old.csv"));
    std::fs::write(&csv, "period,page,hits\ntotal,/a,1\n").unwrap();
    let little = memory_of_command_kb(&data, &csv);
    // Nearly 64 MiB, backwards: the command sorts them.
    let page = "a".repeat(400);
    let rows: String = (0..ROWS).rev().map(|n| format!("total,/{page}-{n},1\n")).collect();
    std::fs::write(&csv, format!("period,page,hits\n{rows}")).unwrap();
    let stopped = memory_of_command_kb(&data, &csv);
    let node = Node::start(&data, &[]);
    let running = memory_of_command_kb(&data, &csv);
    assert_eq!(self::rows(&node, 1), ROWS);
    node.stop();
    println!("kB for {} kB: {little} for a line, {stopped} stopped, {running} beside a node", rows.len() >> 10);
    assert!(stopped.max(running) < little + MORE_KB_MAX, "{little} kB, {stopped} kB, {running} kB");
}

/// The answer to an import that may take minutes.
fn ask_for_long(node: &Node, csv: &str) -> String {
    let mut stream = begin(node, csv);
    stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn of_a_file_that_breaks_off_nothing_is_taken_and_nothing_is_left_in_the_folder() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let whole = csv(ROWS, 1);
    for part in [whole.len() / 2, whole.len() - 1] {
        let mut stream = TcpStream::connect(&node.admin).unwrap();
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
            whole.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&whole.as_bytes()[..part]).unwrap();
        drop(stream);
    }
    until("another import is taken", Duration::from_secs(60), || {
        ask(&node.admin, "POST", PATH, &["Content-Type: text/csv"], "period,hits\n2024,7\n").status == 200
    });
    assert_eq!(rows(&node, 1), 0);
    let files = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name());
    assert!(!files.into_iter().any(|name| name == "thongke.import"));
    node.stop();
}
