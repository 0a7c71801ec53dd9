//! Other load on the machine: figures from a busy one are worth little.

use std::fs;
use std::time::Duration;

/// Busy time of all cores since the machine's start.
pub fn busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").expect("the kernel's account");
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    // The first two include the last two.
    let all: u64 = ticks.iter().take(8).sum();
    Duration::from_secs_f64((all - idle) as f64 / rustix::param::clock_ticks_per_second() as f64)
}
