//! Guards the bot lists: the share of real crawlers that they catch, of real browsers that they refuse, and
//! the cost of a lookup. `tests/refresh-bots --measure` downloads the User-Agents and runs it.
//!
//! The arguments but flags: a folder with `crawlers-NAME.txt` and `browsers-NAME.txt`, one User-Agent a line;
//! the least share of crawlers caught, and the greatest of browsers refused. Exits with 1 if a target is missed
//! over all lists together.

use std::path::{Path, PathBuf};
use std::time::Instant;

use thongke::bots::Lists;

/// Targets without arguments: the least share of real crawlers caught, the greatest of real browsers refused.
const CAUGHT_MIN: f64 = 0.96;
const REFUSED_MAX: f64 = 0.001;

/// Number of refused browsers to show.
const SHOWN_MAX: usize = 20;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let Some(folder) = arguments.next() else {
        println!("needs the folder of the User-Agents: run tests/refresh-bots --measure");
        return;
    };
    let mut target = |default| arguments.next().map_or(default, |share| share.parse().expect("a share"));
    let (caught_min, refused_max): (f64, f64) = (target(CAUGHT_MIN), target(REFUSED_MAX));
    let started = Instant::now();
    let lists = Lists::get();
    println!("lists compiled in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    println!("{:<28} {:>7} {:>10} {:>9} {:>9}", "list", "strings", "recognised", "share", "ns each");
    let crawlers = measure(Path::new(&folder), "crawlers-", lists);
    let browsers = measure(Path::new(&folder), "browsers-", lists);
    let missed = crawlers < caught_min || browsers > refused_max;
    println!(
        "crawlers caught {:.2} % (aim {:.0} %), browsers refused {:.3} % (aim {} %)",
        crawlers * 100.0,
        caught_min * 100.0,
        browsers * 100.0,
        refused_max * 100.0
    );
    std::process::exit(i32::from(missed));
}

/// The recognised share over all lists of one sort.
fn measure(folder: &Path, sort: &str, lists: &Lists) -> f64 {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("its entries too").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(sort)))
        .collect();
    files.sort();
    let (mut all, mut all_recognised) = (0, 0);
    let show = std::env::var_os("SHOW_ALL").map_or(SHOWN_MAX, |_| usize::MAX);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("the file is text");
        let strings: Vec<&str> = text.lines().collect();
        let started = Instant::now();
        let known: Vec<bool> = strings.iter().map(|string| lists.recognise(string).is_some()).collect();
        let nanoseconds = started.elapsed().as_nanos() / strings.len().max(1) as u128;
        let recognised = known.iter().filter(|known| **known).count();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let share = recognised as f64 / strings.len().max(1) as f64 * 100.0;
        println!("{name:<28} {:>7} {recognised:>10} {share:>7.3} % {nanoseconds:>9}", strings.len());
        let wrong = strings.iter().zip(known).filter(|(_, known)| *known == (sort == "browsers-"));
        wrong.take(show).for_each(|(string, _)| println!("    {string}"));
        all += strings.len();
        all_recognised += recognised;
    }
    all_recognised as f64 / f64::from(u32::try_from(all.max(1)).unwrap_or(u32::MAX))
}
