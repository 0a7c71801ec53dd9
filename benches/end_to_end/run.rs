//! Rounds of the closed loop.

use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::contestants::Contestants;
use crate::drive::closed_loop::ClosedLoop;
use crate::drive::stats::percentile_ms;
use crate::drive::{cores, machine};
use crate::rows::Row;

/// A row's measurements in one round.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Sample {
    pub requests_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// CPU time of the server, in user and in kernel mode.
    pub cpu_us: f64,
    pub redis_cpu_us: f64,
    /// CPU time of this client: it must not be the limit.
    pub client_cpu_us: f64,
    pub syncs_per_1000: f64,
    pub redis_commands_per_1000: f64,
    pub resident_bytes: u64,
    /// Cores busy with other work: above a few hundredths, wall-clock figures are off.
    pub cores_of_others: f64,
}

impl Sample {
    pub fn both_cpus_us(&self) -> f64 {
        self.cpu_us + self.redis_cpu_us
    }
}

/// A long row's least time, since folding and publishing run at intervals of seconds.
const LONG: Duration = Duration::from_secs(10);
/// Warm-up before the first round.
const WARM_UP: Duration = Duration::from_millis(300);

/// A round: a sample per row, in the rows' order.
pub fn closed_loop(arguments: &Arguments, contestants: &Contestants, rows: &[Row]) -> Vec<Vec<Sample>> {
    let duration = arguments.drive_time();
    for row in rows {
        drive(contestants, row, WARM_UP.min(duration));
    }
    let rounds = arguments.rounds();
    (1..=rounds)
        .map(|round| {
            let samples = rows.iter().map(|row| {
                let duration = if row.is_long { duration.max(LONG) } else { duration };
                drive(contestants, row, duration)
            });
            let samples = samples.collect();
            eprintln!("round {round} of {rounds} driven");
            samples
        })
        .collect()
}

fn drive(contestants: &Contestants, row: &Row, duration: Duration) -> Sample {
    let contestant = contestants.get(row.server);
    let mut requests = contestants.requests(row);
    let mut client = ClosedLoop::connect(contestant.address(), row.connections, row.keep_alive);
    let counted_before = contestant.node().map(|node| node.counted());
    let before = contestant.account();
    let (started, busy_before) = (Instant::now(), machine::busy());
    let client_before = cores::cpu_of_this_thread();
    let mut drove = client.drive(&mut requests, duration);
    let client_after = cores::cpu_of_this_thread();
    if row.is_long {
        contestant.settle();
    }
    let after = contestant.account();
    if let Some(node) = contestant.node() {
        let counted = node.counted() - counted_before.unwrap_or(0);
        assert!(counted == drove.requests || counted == 0, "{counted} counted of {} sent", drove.requests);
    }
    let own = (after.cpu - before.cpu) + (after.redis_cpu - before.redis_cpu) + (client_after - client_before);
    let of_others = (machine::busy() - busy_before).saturating_sub(own);
    let per_request = |total: f64| total / drove.requests as f64;
    let micros = |after: Duration, before: Duration| per_request((after - before).as_secs_f64() * 1e6);
    Sample {
        requests_per_second: drove.requests as f64 / drove.elapsed.as_secs_f64(),
        cpu_us: micros(after.cpu, before.cpu),
        client_cpu_us: micros(client_after, client_before),
        redis_cpu_us: micros(after.redis_cpu, before.redis_cpu),
        syncs_per_1000: per_request((after.commits - before.commits) as f64 * 1e3),
        redis_commands_per_1000: per_request((after.redis_commands - before.redis_commands) as f64 * 1e3),
        cores_of_others: of_others.as_secs_f64() / started.elapsed().as_secs_f64(),
        resident_bytes: contestant.resident(),
        p50_ms: percentile_ms(&mut drove.nanos, 50.0),
        p99_ms: percentile_ms(&mut drove.nanos, 99.0),
    }
}
