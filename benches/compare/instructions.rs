//! Instructions per request, by callgrind: a node's count for twice as many requests minus its count for
//! them. Start and end cancel out.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::drive::closed_loop::ClosedLoop;
use crate::drive::contestant::Contestant;
use crate::drive::cores::Cores;
use crate::rows::Row;
use crate::{CONNECTIONS, Cost};

/// Counts per row on base and on new.
pub fn count(rows: &[Row], programs: &[PathBuf; 2], requests: usize, cores: Cores, directory: &Path) -> Vec<[Cost; 2]> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("valgrind is missing: apt-get install valgrind");
        std::process::exit(2);
    }
    rows.iter()
        .map(|row| {
            let costs = programs.each_ref().map(|program| {
                let [once, twice] = [1, 2].map(|times| total(row, program, requests * times, cores, directory));
                Cost { node: (twice - once) / requests as f64, redis: f64::NAN }
            });
            eprintln!("{} counted", row.name);
            costs
        })
        .collect()
}

fn total(row: &Row, program: &Path, requests: usize, cores: Cores, directory: &Path) -> f64 {
    let own = tempfile::tempdir_in(directory).expect("a directory for a node's files");
    let counts = own.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(program);
    let contestant = Contestant::start(own.path(), cores, Some(command), row.has_redis);
    let mut client = ClosedLoop::connect(contestant.address(), CONNECTIONS, true);
    client.drive_count(&mut row.requests(contestant.address()), requests);
    contestant.settle();
    contestant.stop();
    let text = std::fs::read_to_string(counts).expect("callgrind writes at a node's end");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).expect("callgrind's totals");
    total.trim().parse().expect("a count")
}
