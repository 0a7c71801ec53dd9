//! Opening a crashed file: hits in the journal wait for their fold.

use std::fs;
use std::path::Path;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use tempfile::TempDir;

use crate::ledger::{count, directory, open, runtime};
use crate::tally::hits;

/// Hits per commit.
const BATCH: usize = 32;

pub fn bench(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(10);
    for commits in [100, 3_000] {
        let running = directory();
        let ledger = open(running.path());
        for batch in hits(commits * BATCH, 100_000).chunks(BATCH) {
            runtime.block_on(count(&ledger, batch.iter().cloned()));
        }
        let crashed = copy(running.path());
        ledger.close();
        group.throughput(Throughput::Elements((commits * BATCH) as u64));
        group.bench_function(BenchmarkId::new("hits", commits * BATCH), |bencher| {
            bencher.iter_batched(
                || copy(crashed.path()),
                |copy| {
                    let ledger = open(copy.path());
                    (ledger, copy)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A copy of the files' present state.
fn copy(from: &Path) -> TempDir {
    let to = directory();
    for file in ["thongke.db", "thongke.db-wal"] {
        fs::copy(from.join(file), to.path().join(file)).expect("a node's file can be copied");
    }
    to
}
