//! `cargo bench --bench slow_clients`: latency of legitimate hits while slow clients hold connections.
//!
//! Debian's `slowhttptest` opens 2,000 connections that send their heads slowly, then their bodies, then read
//! their answers slowly. Meanwhile readers count: on kept connections at a steady rate, and on a new one for
//! each hit. Timers and limits must keep all of them fast.

#[path = "../drive/mod.rs"]
mod drive;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use drive::closed_loop::ClosedLoop;
use drive::node::Node;
use drive::requests::{Ask, Pages, Requests};
use drive::stats::percentile_ms;
use drive::table::Table;
use drive::{directory, open_loop};

const SLOW_CONNECTIONS: u32 = 2_000;
/// Legitimate hits per second on kept connections.
const RATE: u32 = 200;
const KEPT: usize = 16;
/// The tool opens each connection once, and the node's timers end them after five seconds. The bench measures
/// before that, repeatedly.
const WAVES: usize = 4;
const ROUND: Duration = Duration::from_secs(2);
/// Time until the slow connections are open.
const ARRIVAL: Duration = Duration::from_millis(2_500);

/// The attack's name, and the tool's options for it.
const ATTACKS: [(&str, &[&str]); 3] = [
    ("slow heads", &["-H"]),
    ("slow bodies", &["-B", "-s", "4096"]),
    ("slow readers", &["-X", "-w", "1", "-y", "1", "-n", "5", "-z", "1", "-k", "3"]),
];

/// Ends the tool with the round.
struct Attack(Child);

impl Attack {
    fn start(node: &Node, arguments: &[&str]) -> Self {
        let connections = SLOW_CONNECTIONS.to_string();
        let path = if arguments.contains(&"-B") { "v1/hit" } else { "thongke.js" };
        let mut command = Command::new("slowhttptest");
        command.args(["-c", &connections, "-r", "2000", "-i", "1", "-l", "30", "-v", "0"]).args(arguments);
        command.args(["-u", &format!("http://{}/{path}", node.public)]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("slowhttptest, which tests/run installs"))
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let mut table = Table::new(&[
        "meanwhile",
        "open connections",
        "kept: p50 ms",
        "p99 ms",
        "max ms",
        "new: p50 ms",
        "p99 ms",
        "max ms",
    ]);
    let folder = directory().join("slow-clients");
    let _ = std::fs::remove_dir_all(&folder);
    let rounds = [("nothing", None)].into_iter().chain(ATTACKS.map(|(name, arguments)| (name, Some(arguments))));
    for (name, arguments) in rounds {
        let node = Node::start(&folder.join(name.replace(' ', "-")), 1, &[]);
        let requests =
            |keep_alive| Requests::new(node.public, Ask::Hit("/v1/hit?figures=0"), Pages::InTurn(50), keep_alive);
        let (mut kept, mut new, mut open) = (Vec::new(), Vec::new(), usize::MAX);
        for _ in 0..WAVES {
            let attack = arguments.map(|arguments| Attack::start(&node, arguments));
            std::thread::sleep(ARRIVAL);
            kept.extend(open_loop::drive(node.public, &mut requests(true), KEPT, RATE, Duration::ZERO, ROUND).nanos);
            open = open.min(open_files(&node));
            drop(attack);
            let attack = arguments.map(|arguments| Attack::start(&node, arguments));
            std::thread::sleep(ARRIVAL);
            new.extend(ClosedLoop::connect(node.public, 1, false).drive(&mut requests(false), ROUND).nanos);
            open = open.min(open_files(&node));
            drop(attack);
        }
        let ms = |nanos: &mut [u32], percent| format!("{:.2}", percentile_ms(nanos, percent));
        let mut line = vec![name.to_owned(), open.to_string()];
        for nanos in [&mut kept, &mut new] {
            line.extend([50.0, 99.0, 100.0].map(|percent| ms(nanos, percent)));
        }
        table.add(line);
    }
    println!("{table}");
}

fn open_files(node: &Node) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", node.process.id())).map_or(0, Iterator::count)
}
