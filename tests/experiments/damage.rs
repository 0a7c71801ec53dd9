use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::book::{Book, Counted};
use crate::host::{Host, SITE_IDS};
use crate::length::{dice, either};
use crate::load::{Load, Plan};
use crate::node::PROGRAM;

#[derive(Debug, Clone, Copy)]
enum Damage {
    Truncated,
    Emptied,
    BitFlipped,
    PageZeroed,
    PageSwapped,
    Removed,
    Lengthened,
}

const DAMAGES: [Damage; 7] = [
    Damage::Truncated,
    Damage::Emptied,
    Damage::BitFlipped,
    Damage::PageZeroed,
    Damage::PageSwapped,
    Damage::Removed,
    Damage::Lengthened,
];

impl Damage {
    /// Damages a file. None: the part to damage does not exist.
    fn inflict(self, file: &Path, dice: &mut StdRng) -> Option<String> {
        let mut bytes = std::fs::read(file).ok()?;
        let length = bytes.len().max(1);
        let at = dice.random_range(0..length);
        let pages = (length / 4096).max(1);
        match self {
            Self::Truncated => bytes.truncate(at),
            Self::Emptied => bytes.clear(),
            Self::BitFlipped => *bytes.get_mut(at)? ^= 1 << dice.random_range(0..8),
            Self::PageZeroed => bytes.iter_mut().skip(at / 4096 * 4096).take(4096).for_each(|byte| *byte = 0),
            Self::PageSwapped => {
                let (one, other) = (dice.random_range(0..pages) * 4096, dice.random_range(0..pages) * 4096);
                let from = bytes.get(one..one + 4096)?.to_vec();
                bytes.get_mut(other..other + 4096)?.copy_from_slice(&from);
            }
            Self::Removed => {
                std::fs::remove_file(file).unwrap();
                return Some("removed".to_owned());
            }
            Self::Lengthened => bytes.extend((0..at).map(|n| (n % 251) as u8)),
        }
        std::fs::write(file, bytes).unwrap();
        Some(format!("{self:?} at {at} of {length}"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Result {
    /// All counts are right.
    Harmless,
    /// The node refuses to start, or ignores the damaged part, and advises.
    Refused,
    /// The node starts, soon reports its file as damaged, and advises.
    Reported,
    /// The node starts; some of the last hits are gone.
    Fewer,
    /// The node starts and shows counts that never were.
    Wrong,
}

fn advises(said: &str) -> bool {
    said.contains("restore")
}

fn result(host: &mut Host, book: &Book) -> std::result::Result<(Result, String), String> {
    if let Err(said) = host.try_start_as(Command::new(PROGRAM)) {
        return if advises(&said) {
            Ok((Result::Refused, said))
        } else {
            Err(format!("refused without advice: {said}"))
        };
    }
    let mut counted = Counted::new();
    for site in SITE_IDS {
        match host.try_command(&["export", site]) {
            Ok(text) => counted.extend(crate::book::of_csv(site, &text)),
            Err(said) if advises(&said) => return Ok((Result::Refused, said)),
            Err(said) => return Err(format!("no export, without advice: {said}; {}", host.node().log())),
        }
    }
    let faults = book.faults(&SITE_IDS, &counted);
    if faults.is_empty() {
        host.stop();
        return Ok((Result::Harmless, String::new()));
    }
    // The background check of the whole file follows the start.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let ready = host.ready();
        if advises(&ready) && host.metric("thongke_ledger_damaged") == 1.0 && advises(&host.node().log()) {
            assert_eq!(host.node().admin_get("/readyz").status, 200, "hits are counted on");
            host.stop();
            return Ok((Result::Reported, ready));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    host.stop();
    let is_empty = counted.is_empty();
    let shown = faults.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
    if is_empty {
        return Err(format!("opened as empty: {shown}"));
    }
    let is_more = !book.exceeding(&SITE_IDS, &counted).is_empty();
    Ok((if is_more { Result::Wrong } else { Result::Fewer }, shown))
}

#[test]
fn damage_to_the_files_is_harmless_or_refused_with_advice_and_never_opened_as_empty() {
    let mut dice = dice("damage");
    let mut host = Host::new(None);
    let book: Arc<Book> = Arc::default();
    host.start();
    let doors = [host.door()];
    let plan = Plan { pages: 300, ..Plan::default() };
    Load::during(&book, &doors, &plan, &mut dice, || std::thread::sleep(Duration::from_millis(500)));
    host.stop();
    host.start();
    Load::during(&book, &doors, &plan, &mut dice, || std::thread::sleep(Duration::from_millis(500)));
    host.kill();
    let mut summary: BTreeMap<(&str, String, Result), u32> = BTreeMap::new();
    let mut complaints = Vec::new();
    for name in ["thongke.db", "thongke.db-wal", "thongke.db-shm", "thongke.lock", "thongke.reached"] {
        for damage in DAMAGES {
            let is_counts = name.starts_with("thongke.db") && !name.ends_with("-shm");
            for _ in 0..either(3, if is_counts { 100 } else { 20 }) {
                let mut damaged = host.copy(None);
                let Some(what) = damage.inflict(&damaged.data().join(name), &mut dice) else { continue };
                match result(&mut damaged, &book) {
                    Ok((result, said)) => {
                        if result > Result::Reported {
                            complaints.push(format!("{name}: {what}: {result:?}: {said}"));
                        }
                        *summary.entry((name, format!("{damage:?}"), result)).or_default() += 1;
                    }
                    Err(complaint) => complaints.push(format!("{name}: {what}: {complaint}")),
                }
            }
        }
    }
    for ((name, damage, result), count) in &summary {
        println!("{name} {damage}: {count} × {result:?}");
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
