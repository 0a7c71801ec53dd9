use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::book::Book;
use crate::host::{Host, SITE_IDS, TIMEOUT};
use crate::length::{dice, either};
use crate::load::{Load, Plan, exchange};
use crate::node::until;
use crate::traced::traced;

/// Calls that change the files, each with the number of its first calls that are crash points.
const CALLS: [(&str, u32); 4] = [("pwrite64", 200), ("fsync,fdatasync", 70), ("unlink", 2), ("ftruncate", 6)];

/// Starts a node that dies at a crash point. If it serves first, loads it, makes it fold, and stops it.
/// Asserts that the files hold everything acknowledged. True: it died at the point.
fn die_at(point: &str, host: &mut Host, book: &Arc<Book>, dice: &mut StdRng) -> bool {
    let mut died = true;
    if host.try_start_as(traced(&[&format!("{point}:signal=KILL")])).is_ok() {
        let plan = Plan { clients: 3, pause: Duration::from_millis(1), pages: 100, ..Plan::default() };
        let load = Load::start(book, &[host.door()], &plan, dice);
        // A number of hits instead of a duration: a slow machine gets as far.
        let until_stop = book.results().acknowledged + dice.random_range(20..400);
        until("it has died or taken some hits", TIMEOUT, || {
            fold(&host.node().admin);
            host.node_mut().ended().is_some() || book.results().acknowledged >= until_stop
        });
        if host.node_mut().ended().is_none() {
            host.node().signal("TERM");
        }
        until("it has died or stopped", TIMEOUT, || host.node_mut().ended().is_some());
        load.stop();
        died = !host.node_mut().ended().unwrap().success();
        host.kill();
    }
    // A copy, so that the next start finds the files as they were left.
    book.holds_in(point, &SITE_IDS, &host.copy(None).export());
    died
}

/// Makes the node fold by an export, if it still lives.
fn fold(admin: &str) {
    if let Ok(mut stream) = TcpStream::connect(admin) {
        let _ = exchange(&mut stream, &format!("GET /sites/a/export HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
    }
}

#[test]
fn a_node_killed_at_any_write_sync_or_removal_of_its_files_has_all_that_it_acknowledged_once() {
    let mut dice = dice("crash points");
    let mut points = Vec::new();
    for (call, count) in CALLS {
        match either(Some(6), None) {
            Some(some) => points.extend((0..some.min(count)).map(|_| (call, dice.random_range(1..=count)))),
            None => points.extend((1..=count).map(|number| (call, number))),
        }
    }
    let mut host = Host::new(None);
    host.start();
    host.kill();
    let book = Arc::default();
    let all = points.len();
    let deaths = points
        .into_iter()
        .filter(|(call, number)| die_at(&format!("{call}:when={number}"), &mut host, &book, &mut dice));
    let deaths = deaths.count();
    println!("{deaths} deaths at {all} points, {:?}", book.results());
    assert!(deaths * 3 > all && book.results().acknowledged > 100);
    host.start();
    host.stop();
    book.holds_in("the files in the end", &SITE_IDS, &host.export());
}

#[test]
fn a_first_start_killed_at_any_write_sync_or_rename_leaves_what_the_next_start_can_use() {
    let mut dice = dice("crash points of the first start");
    for (call, count) in [("pwrite64", 44), ("fsync,fdatasync", 14), ("rename", 1), ("unlink", 2), ("ftruncate", 3)] {
        let all = either(Some(3), None);
        let points: Vec<u32> =
            all.map_or((1..=count).collect(), |some| (0..some).map(|_| dice.random_range(1..=count)).collect());
        for number in points {
            let (mut host, book) = (Host::new(None), Arc::default());
            let died = die_at(&format!("{call}:when={number}"), &mut host, &book, &mut dice);
            host.start();
            host.stop();
            book.holds_in("the files after a second start", &SITE_IDS, &host.export());
            assert!(died || call != "rename");
        }
    }
}
