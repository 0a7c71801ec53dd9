//! `cargo bench --bench compare`: this program beside an earlier one, in CPU time or in instructions.
//!
//! * `-- --base COMMIT`: builds that commit as it was released, under `target/bench/base`. A path instead
//!   names an existing program.
//! * `-- --instructions`: counts instructions per request with callgrind, free of noise.
//! * `-- hit pixel`: only rows with one of these in their name.
//!
//! Both programs run side by side, each with files and a Redis of its own. Rounds drive every row on one and
//! on the other in turn, so that the machine's noise hits both. A ratio is the median over the rounds of new
//! to base within a round. A row's CPU includes folding and publishing its counts.
//!
//! The second table shows the gain of the fast path: the same requests, as long, in a form that it leaves to
//! hyper.

mod base;
mod instructions;
mod rows;

#[path = "../drive/mod.rs"]
mod drive;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser as _;

use drive::closed_loop::ClosedLoop;
use drive::contestant::Contestant;
use drive::cores::{self, Cores};
use drive::stats::median;
use drive::table::Table;
use drive::{machine, node};
use rows::Row;

/// Compares this build with another in CPU time per request
#[derive(Debug, clap::Parser)]
#[command(name = "compare")]
struct Arguments {
    /// Only rows whose name contains one of these
    rows: Vec<String>,
    /// A commit to build, or a program
    #[arg(long, default_value = "19bc671")]
    base: String,
    /// Another program in the place of this build
    #[arg(long)]
    program: Option<PathBuf>,
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Time per row, round and program
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Counts instructions with callgrind instead
    #[arg(long)]
    instructions: bool,
    /// Number of requests over which instructions are counted
    #[arg(long, default_value_t = 4_000)]
    requests: usize,
    /// The argument that `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// The highest accepted ratio of a change.
const RATIO_MAX: f64 = 1.05;
const CONNECTIONS: usize = 64;

/// Costs of a request in the node and in Redis.
#[derive(Debug, Clone, Copy)]
struct Cost {
    node: f64,
    redis: f64,
}

fn main() {
    let arguments = Arguments::parse();
    let cores = Cores::find();
    let programs =
        [base::program(&arguments.base), arguments.program.clone().unwrap_or_else(|| PathBuf::from(node::PROGRAM))];
    for program in &programs {
        println!(
            "{} ({:.1} MB)",
            program.display(),
            std::fs::metadata(program).map_or(0, |file| file.len()) as f64 / 1e6
        );
    }
    let rows = rows::chosen(&arguments.rows);
    let directory = tempfile::tempdir_in(drive::directory()).expect("a directory for the servers' files");
    let (unit, rounds) = if arguments.instructions {
        ("instructions", vec![instructions::count(&rows, &programs, arguments.requests, cores, directory.path())])
    } else {
        ("CPU µs", drive_rounds(&arguments, &rows, &programs, cores, directory.path()))
    };
    println!("\n{}", comparison(&rows, &rounds, unit));
    println!("{}", worth_of_the_fast_path(&rows, &rounds, unit));
}

/// A round: the costs per row on base and on new.
fn drive_rounds(
    arguments: &Arguments,
    rows: &[Row],
    programs: &[PathBuf; 2],
    cores: Cores,
    directory: &Path,
) -> Vec<Vec<[Cost; 2]>> {
    let start = |name: &str, program: &PathBuf, has_redis| {
        Contestant::start(&directory.join(name), cores, Some(Command::new(program)), has_redis)
    };
    let [base, new] = programs;
    let alone = [start("base", base, false), start("new", new, false)];
    let with_redis = [start("base-redis", base, true), start("new-redis", new, true)];
    cores::stay_on(cores.client);
    let seconds = Duration::from_secs_f64(arguments.seconds);
    let both = |row: &Row, turn: usize, duration| {
        let pair = if row.has_redis { &with_redis } else { &alone };
        let mut costs = [Cost { node: 0.0, redis: 0.0 }; 2];
        // The programs take turns at being first.
        for at in [turn % 2, (turn + 1) % 2] {
            costs[at] = drive(row, &pair[at], duration);
        }
        costs
    };
    for row in rows {
        both(row, 0, seconds.min(Duration::from_millis(300)));
    }
    let busy = machine::busy();
    let started = std::time::Instant::now();
    let rounds = (1..=arguments.rounds)
        .map(|round| {
            let costs = rows.iter().map(|row| both(row, round, seconds)).collect();
            eprintln!("round {round} of {} driven", arguments.rounds);
            costs
        })
        .collect();
    let busy = (machine::busy() - busy).as_secs_f64() / started.elapsed().as_secs_f64();
    println!("{busy:.1} of {} cores were busy", cores.count);
    rounds
}

fn drive(row: &Row, contestant: &Contestant, duration: Duration) -> Cost {
    let mut requests = row.requests(contestant.address());
    let mut client = ClosedLoop::connect(contestant.address(), CONNECTIONS, true);
    let before = contestant.account();
    let drove = client.drive(&mut requests, duration);
    contestant.settle();
    let after = contestant.account();
    let per_request = |cpu: Duration| cpu.as_secs_f64() * 1e6 / drove.requests as f64;
    Cost { node: per_request(after.cpu - before.cpu), redis: per_request(after.redis_cpu - before.redis_cpu) }
}

fn comparison(rows: &[Row], rounds: &[Vec<[Cost; 2]>], unit: &str) -> Table {
    let mut table = Table::new(&[unit, "base", "new", "ratio", "least", "most", "Redis base", "new", "ratio", ""]);
    for (at, row) in rows.iter().enumerate().filter(|(_, row)| !row.is_through_hyper) {
        let each =
            |value: &dyn Fn(&[Cost; 2]) -> f64| -> Vec<f64> { rounds.iter().map(|round| value(&round[at])).collect() };
        let ratios = each(&|[base, new]| new.node / base.node);
        let ratio = median(ratios.clone());
        let mut line = vec![
            row.name.clone(),
            shown(median(each(&|[base, _]| base.node))),
            shown(median(each(&|[_, new]| new.node))),
            format!("{ratio:.3}"),
            format!("{:.3}", ratios.iter().copied().fold(f64::INFINITY, f64::min)),
            format!("{:.3}", ratios.iter().copied().fold(0.0, f64::max)),
        ];
        let redis = median(each(&|[base, new]| new.redis / base.redis));
        if row.has_redis && redis.is_finite() {
            line.push(shown(median(each(&|[base, _]| base.redis))));
            line.push(shown(median(each(&|[_, new]| new.redis))));
            line.push(format!("{redis:.3}"));
        } else {
            line.extend([const { String::new() }; 3]);
        }
        let is_worse = ratio > RATIO_MAX || (row.has_redis && redis > RATIO_MAX);
        line.push(if is_worse { format!("above {RATIO_MAX}") } else { String::new() });
        table.add(line);
    }
    table
}

fn worth_of_the_fast_path(rows: &[Row], rounds: &[Vec<[Cost; 2]>], unit: &str) -> Table {
    let mut table = Table::new(&[&format!("fast path, new, {unit}"), "fast", "through hyper", "hyper / fast"]);
    for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.is_through_hyper) {
        let Some(fast) = rows.iter().position(|other| other.name == row.name && !other.is_through_hyper) else {
            continue;
        };
        let each = |value: &dyn Fn(&[[Cost; 2]]) -> f64| median(rounds.iter().map(|round| value(round)).collect());
        table.add(vec![
            row.name.clone(),
            shown(each(&|round| round[fast][1].node)),
            shown(each(&|round| round[at][1].node)),
            format!("{:.3}", each(&|round| round[at][1].node / round[fast][1].node)),
        ]);
    }
    table
}

fn shown(value: f64) -> String {
    if value < 1_000.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}
