use std::net::TcpStream;
use std::time::Duration;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use crate::book::Counter;
use crate::disk::{Disk, Event};
use crate::host::{Host, TIMEOUT};
use crate::length::{dice, either};
use crate::load::{exchange, request};
use crate::node::until;
use crate::traced::recorded;

/// Enough for a fold of several steps, and for a checkpoint.
const HITS: u32 = 1_300;

/// Hits in the files that a power cut leaves: the counted pages, and their counts.
fn pages_in(disk: &Disk, dice: Option<&mut rand::rngs::StdRng>) -> Vec<(u32, i64)> {
    let left = Host::new(None);
    disk.leave(left.data(), dice);
    let counted = left.export();
    let total = |counter: &&Counter| counter.period == "total" && counter.page.is_none();
    let total: i64 = counted.keys().filter(total).map(|counter| counted[counter]).sum();
    let pages: Vec<(u32, i64)> = counted
        .iter()
        .filter(|(counter, _)| counter.period == "total")
        .filter_map(|(counter, hits)| Some((counter.page.as_deref()?.strip_prefix('/')?.parse().unwrap(), *hits)))
        .collect();
    assert_eq!(total, pages.iter().map(|(_, hits)| hits).sum::<i64>(), "the site's total is that of its pages");
    pages
}

#[test]
fn after_a_power_cut_at_any_sync_each_answered_hit_is_there_once() {
    let mut dice = dice("power cuts");
    let mut host = Host::new(None);
    let trace = host.data().with_extension("trace");
    host.start_as(recorded(&trace));
    // Each hit has a page of its own and is sent after the former answer. The number of answers says which
    // hits must be there.
    let mut stream = TcpStream::connect(&host.node().public).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for page in 1..=HITS {
        let (status, _) = exchange(&mut stream, &request("a", &format!("/{page}"), "?figures=0")).unwrap();
        assert_eq!(status, 204);
    }
    drop(stream);
    let folder = std::fs::canonicalize(host.data()).unwrap();
    host.stop();
    let read = || std::fs::read_to_string(&trace).unwrap();
    until("the tracer has ended too", TIMEOUT, || read().ends_with("+++ exited with 0 +++\n"));
    let lines: Vec<String> = read().lines().map(str::to_owned).collect();
    let is_sync = |line: &String| line.contains(" fsync(") || line.contains(" fdatasync(");
    let syncs: Vec<usize> = (0..lines.len()).filter(|at| is_sync(&lines[*at])).collect();
    // The short form cuts at some of the syncs, and at the last ones, which fold and copy the log.
    let chosen: std::collections::HashSet<usize> = match either(Some(18), None) {
        Some(some) => syncs.sample(&mut dice, some).chain(syncs.iter().rev().take(7)).copied().collect(),
        None => syncs.iter().copied().collect(),
    };
    let mut disk = Disk::default();
    let mut answered = 0;
    for (at, line) in lines.iter().enumerate() {
        if chosen.contains(&at) {
            // Just before a sync returns, or at any moment since the one before.
            let with_dice = if dice.random() { Some(&mut dice) } else { None };
            let pages = pages_in(&disk, with_dice);
            let twice: Vec<_> = pages.iter().filter(|(_, hits)| *hits != 1).collect();
            assert!(twice.is_empty(), "before line {at} of the trace: counted twice: {twice:?}");
            let there: std::collections::HashSet<_> = pages.iter().map(|(page, _)| *page).collect();
            let lost: Vec<_> = (1..=answered).filter(|page| !there.contains(page)).collect();
            assert!(lost.is_empty(), "before line {at} of the trace: {answered} hits are answered, lost: {lost:?}");
        }
        if let Some(Event::Sent(bytes)) = disk.play(line, &folder) {
            answered += u32::from(bytes.starts_with(b"HTTP/1.1 204"));
        }
    }
    assert_eq!(answered, HITS, "the trace has every answer");
    assert_eq!(pages_in(&disk, None).len(), HITS as usize);
    println!("{} of {} syncs", chosen.len(), syncs.len());
}
