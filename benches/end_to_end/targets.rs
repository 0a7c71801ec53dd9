//! Targets, compared with these rows.

use crate::drive::table::Table;
use crate::open::{FOLDING, FOLDING_RATE, OpenSample, SYNC};
use crate::results::Results;
use crate::run::Sample;

#[derive(Debug, serde::Serialize)]
pub struct Verdict {
    pub target: &'static str,
    pub at_most: f64,
    /// The target's result. None: the rows were not driven.
    pub measured: Option<f64>,
}

pub fn verdicts(results: &Results<'_>) -> Vec<Verdict> {
    let both = Sample::both_cpus_us;
    let cpu = |of, to, connections| results.ratio(of, to, connections, both);
    let verdict = |target, at_most, measured| Verdict { target, at_most, measured };
    vec![
        verdict("hit / empty, 64 connections", 1.35, cpu("hit", "empty", 64)),
        verdict("hit / empty, 512 connections", 1.25, cpu("hit", "empty", 512)),
        verdict("hit with figures / as many bytes, 64", 1.40, cpu("hit, figures", "as many bytes", 64)),
        verdict("hit with Redis, both CPUs / without, 64", 1.08, cpu("hit, Redis", "hit", 64)),
        verdict("the same, 100,000 pages", 1.5, cpu("hit, 100,000 pages, Redis", "hit, 100,000 pages", 64)),
        verdict("hit with Redis / three INCRs, both CPUs, 64", 0.90, cpu("hit, Redis", "three INCRs", 64)),
        verdict("figures query / as many bytes, 64", 1.15, cpu("figures", "as many bytes, GET", 64)),
        verdict(
            "Redis commands per 1,000 hits, 64",
            1.0,
            results.value("hit, Redis", 64, |sample| sample.redis_commands_per_1000),
        ),
        verdict(
            "open 10,000/s: p50 less one sync, ms",
            0.15,
            results.open(|round| Some(find(round, "hit", 10_000)?.p50_ms - find(round, SYNC, 0)?.p50_ms)),
        ),
        verdict(
            "open 10,000/s: p99 / one sync",
            4.0,
            results.open(|round| Some(find(round, "hit", 10_000)?.p99_ms / find(round, SYNC, 0)?.p50_ms)),
        ),
        verdict(
            "open 50,000/s: p99 / three INCRs'",
            0.5,
            results.open(|round| Some(find(round, "hit", 50_000)?.p99_ms / find(round, "three INCRs", 50_000)?.p99_ms)),
        ),
        verdict(
            "open 10,000/s: p99 while folding / without",
            2.0,
            results.open(|round| {
                Some(find(round, FOLDING, FOLDING_RATE)?.p99_ms / find(round, "hit", FOLDING_RATE)?.p99_ms)
            }),
        ),
    ]
}

fn find<'a>(round: &'a [OpenSample], name: &str, rate: u32) -> Option<&'a OpenSample> {
    round.iter().find(|sample| sample.name == name && sample.rate == rate)
}

pub fn table(verdicts: &[Verdict]) -> Table {
    let mut table = Table::new(&["target", "at most", "measured", ""]);
    for verdict in verdicts {
        let Some(measured) = verdict.measured else { continue };
        let word = if measured <= verdict.at_most { "met" } else { "missed" };
        table.add(vec![
            verdict.target.to_owned(),
            format!("{:.2}", verdict.at_most),
            format!("{measured:.2}"),
            word.to_owned(),
        ]);
    }
    table
}
