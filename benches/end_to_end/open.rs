//! The open loop: latencies at fixed rates, beside a bare sync's in the same round.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::arguments::Arguments;
use crate::contestants::Contestants;
use crate::drive::cores::{Cores, on_core};
use crate::drive::node::Node;
use crate::drive::open_loop::OpenDrove;
use crate::drive::requests::{Ask, Pages, Requests};
use crate::drive::stats::percentile_ms;
use crate::drive::{disk, open_loop};
use crate::rows::Server;

/// A row's latencies in one round; of the sync's row, its duration.
#[derive(Debug, Clone, serde::Serialize)]
pub struct OpenSample {
    pub name: &'static str,
    /// Requests per second; 0: not a server.
    pub rate: u32,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// The client's delay in sending, which is a part of the latency.
    pub late_p50_ms: f64,
    /// CPU time of the server's process per request.
    pub cpu_us: f64,
}

pub const SYNC: &str = "fdatasync";
/// Pages in turn, so that there is always much to fold.
pub const FOLDING: &str = "hit, folding";
/// The same during one export after the other, each of which folds everything first.
const EXPORTING: &str = "hit, exporting";
const FOLDED_PAGES: Pages = Pages::InTurn(100_000);
pub const FOLDING_RATE: u32 = 10_000;
/// At that rate a node folds every three seconds or so.
const FOLDING_TIME: Duration = Duration::from_secs(7);
const ROWS: [(&str, Server, Ask); 5] = [
    ("empty", Server::Bare, Ask::Hit("/empty")),
    // The same behind a shared sync: the best case of a server that syncs first.
    ("empty, synced", Server::Bare, Ask::Hit("/synced")),
    ("three INCRs", Server::Increments, Ask::Hit("/increments")),
    ("hit", Server::Ours, Ask::Hit("/v1/hit?figures=0")),
    ("hit, Redis", Server::OursWithRedis, Ask::Hit("/v1/hit?figures=0")),
];
const RATES: [u32; 3] = [1_000, 10_000, 50_000];
const CONNECTIONS: usize = 256;
const WARM_UP: Duration = Duration::from_millis(300);

pub fn run(arguments: &Arguments, contestants: &Contestants, cores: Cores, directory: &Path) -> Vec<Vec<OpenSample>> {
    let (rounds, duration) = arguments.open_rounds();
    (1..=rounds)
        .map(|round| {
            // The kernel would write other rows' leftovers during these.
            rustix::fs::sync();
            let syncs = on_core(cores.server, || disk::syncs(directory, duration.min(Duration::from_secs(1))));
            let syncs = OpenDrove { nanos: syncs, ..OpenDrove::default() };
            let mut samples = vec![sample(SYNC, 0, syncs, Duration::ZERO)];
            for rate in RATES {
                for (name, server, ask) in ROWS {
                    let server = contestants.get(server);
                    let address = server.address();
                    let mut requests = Requests::new(address, ask, Pages::InTurn(50), true);
                    let before = server.account().cpu;
                    let drove = open_loop::drive(address, &mut requests, CONNECTIONS, rate, WARM_UP, duration);
                    samples.push(sample(name, rate, drove, server.account().cpu - before));
                }
            }
            let zipf = contestants.get(Server::OursZipf);
            if let Some(node) = zipf.node() {
                for name in [FOLDING, EXPORTING] {
                    let mut requests = Requests::new(node.public, Ask::Hit("/v1/hit?figures=0"), FOLDED_PAGES, true);
                    let duration = duration.max(FOLDING_TIME);
                    let before = zipf.account().cpu;
                    let drove = while_exporting(node, name == EXPORTING, || {
                        open_loop::drive(node.public, &mut requests, CONNECTIONS, FOLDING_RATE, WARM_UP, duration)
                    });
                    samples.push(sample(name, FOLDING_RATE, drove, zipf.account().cpu - before));
                }
            }
            eprintln!("open round {round} of {rounds} driven");
            samples
        })
        .collect()
}

/// Runs `work`; meanwhile another thread exports if `is_exporting`.
fn while_exporting<T>(node: &Node, is_exporting: bool, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(!is_exporting);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                node.fold();
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        outcome
    })
}

fn sample(name: &'static str, rate: u32, mut drove: OpenDrove, cpu: Duration) -> OpenSample {
    OpenSample {
        name,
        rate,
        p50_ms: percentile_ms(&mut drove.nanos, 50.0),
        p99_ms: percentile_ms(&mut drove.nanos, 99.0),
        late_p50_ms: percentile_ms(&mut drove.late, 50.0),
        cpu_us: cpu.as_secs_f64() * 1e6 / drove.requests.max(1) as f64,
    }
}
