//! `cargo bench --bench scale`: growth of cost and memory.
//!
//! Each axis starts a server per point of its curve and drives all in turn, round after round. Folding and
//! publishing count into a round. Curves go to `docs/performance`, with `-- --quick` (small sizes) to
//! `target/bench`. `-- sites pages` measures only these axes.

mod axis;
mod chart;
mod connections;
mod days;
mod nodes;
mod pages;
mod republish;
mod sites;
mod start;

#[path = "../drive/mod.rs"]
mod drive;

use std::path::{Path, PathBuf};

use axis::{Effort, Value};
use clap::Parser as _;
use drive::cores::Cores;

/// Measures how cost and memory grow along each axis, and draws the curves.
#[derive(Debug, clap::Parser)]
#[command(name = "scale")]
struct Arguments {
    /// Only these: sites, sites-redis, pages, days, connections, nodes, redis-bytes, start, republish
    axes: Vec<String>,
    /// Small sizes and short rounds
    #[arg(long)]
    quick: bool,
    /// Rounds per size [default: 5, with --quick 2]
    #[arg(long)]
    rounds: Option<usize>,
    /// Only these sizes of sites, sites-redis, pages, days and connections, such as 1,100000; curves then go to
    /// `target/bench`
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<u32>,
    /// The argument that `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let cores = Cores::find();
    drive::cores::stay_on(cores.client);
    let is_partial = arguments.quick || !arguments.sizes.is_empty();
    let pictures = if is_partial { drive::directory() } else { PathBuf::from("docs/performance") };
    let effort = Effort::new(cores, arguments.quick, arguments.rounds, arguments.sizes.leak());
    std::fs::create_dir_all(&pictures).expect("a directory for the curves");

    type Axis = fn(&Path, Effort) -> Value;
    let axes: [(&str, Axis); 9] = [
        ("sites", sites::measure),
        ("sites-redis", sites::measure_with_redis),
        ("pages", pages::measure),
        ("days", days::measure),
        ("connections", connections::measure),
        ("nodes", nodes::measure),
        ("redis-bytes", pages::measure_bytes_in_redis),
        ("start", start::measure),
        ("republish", republish::measure),
    ];
    let mut kept = serde_json::Map::new();
    for (name, measure) in axes {
        if !arguments.axes.is_empty() && !arguments.axes.iter().any(|chosen| chosen == name) {
            continue;
        }
        let directory = tempfile::tempdir_in(drive::directory()).expect("a directory for the servers' files");
        let value = measure(directory.path(), effort);
        println!("{}\n{}", value.title, value.table());
        value.draw(&pictures, name);
        kept.insert(name.to_owned(), value.json());
    }
    kept.insert("commit".to_owned(), drive::commit().into());
    kept.insert("partial".to_owned(), is_partial.into());
    let json = serde_json::to_string_pretty(&kept).expect("numbers and names are JSON");
    std::fs::write(drive::directory().join("scale.json"), json).expect("the results can be kept");
}
