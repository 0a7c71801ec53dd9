use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::book::Book;
use crate::host::{Host, SITE_IDS, TIMEOUT};
use crate::length::{dice, either};
use crate::load::{Load, Plan};
use crate::node::until;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Takes the files away under load: from then on no hit is acknowledged but those whose answers were on their way.
fn nothing_is_acknowledged_after(take_away: impl FnOnce(), host: &Host, book: &Arc<Book>, plan: &Plan) {
    let refused = book.results().refused;
    take_away();
    let acknowledged = book.results().acknowledged;
    until("hits are refused", Duration::from_secs(1), || book.results().refused > refused);
    std::thread::sleep(Duration::from_millis(300));
    let late = book.results().acknowledged - acknowledged;
    println!("{late} answers were on their way");
    assert!(late <= plan.clients as i64, "{late} hits are acknowledged in files that are gone");
    assert_eq!(host.node().admin_get("/readyz").status, 503);
}

#[test]
fn a_directory_that_vanishes_under_load_costs_no_acknowledged_hit_once_it_is_back() {
    let mut dice = dice("a directory that vanishes");
    let mut host = Host::new(None);
    let book: Arc<Book> = Arc::default();
    let plan = Plan::default();
    host.start();
    let (data, aside) = (host.data().to_owned(), host.data().with_extension("aside"));
    let process = host.node().id();
    let load = Load::start(&book, &[host.door()], &plan, &mut dice);
    for round in 0..either(4, 40) {
        let acknowledged = book.results().acknowledged;
        until("it counts", TIMEOUT, || book.results().acknowledged > acknowledged + 50);
        let take_away = || {
            std::fs::rename(&data, &aside).unwrap();
            if round % 2 == 1 {
                copy(&aside, &data);
            }
        };
        nothing_is_acknowledged_after(take_away, &host, &book, &plan);
        if round % 2 == 1 {
            std::fs::remove_dir_all(&data).unwrap();
        }
        std::fs::rename(&aside, &data).unwrap();
        until("it is ready", TIMEOUT, || host.node().admin_get("/readyz").status == 200);
    }
    let acknowledged = book.results().acknowledged;
    until("it counts on", TIMEOUT, || book.results().acknowledged > acknowledged + 50);
    load.stop();
    assert_eq!(host.node().id(), process);
    book.holds_in("the node", &SITE_IDS, &host.export());
    host.kill();
    host.start();
    book.holds_in("the node after a kill", &SITE_IDS, &host.export());
    host.stop();
}

#[test]
fn after_a_directory_is_deleted_under_load_no_hit_is_acknowledged() {
    let mut dice = dice("a deleted directory");
    for _ in 0..either(3, 20) {
        let mut host = Host::new(None);
        let book: Arc<Book> = Arc::default();
        let plan = Plan::default();
        host.start();
        let load = Load::start(&book, &[host.door()], &plan, &mut dice);
        until("it counts", TIMEOUT, || book.results().acknowledged > 50);
        let data = host.data().to_owned();
        nothing_is_acknowledged_after(|| std::fs::remove_dir_all(data).unwrap(), &host, &book, &plan);
        load.stop();
        host.stop();
    }
}
