//! A commit, for which hits wait, and folding, for which they don't.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use tempfile::TempDir;
use thongke::counter::{Hit, Site};
use thongke::ledger::{DirectoryLock, Ledger};
use thongke::metrics::Metrics;
use tokio::runtime::{Builder, LocalRuntime};

use crate::drive;
use crate::tally::{hit, hits};

pub fn directory() -> TempDir {
    tempfile::tempdir_in(drive::directory()).expect("a directory for a node's file")
}

pub fn open(directory: &Path) -> Ledger {
    let site =
        Site::with_defaults("a".parse().expect("a site"), vec!["http://localhost:*".parse().expect("an origin")]);
    let lock = DirectoryLock::take(directory).expect("the directory is nobody else's");
    Ledger::open(lock, directory, vec![site], false, Arc::new(Metrics::new())).expect("the file can be used").0
}

pub fn runtime() -> LocalRuntime {
    Builder::new_current_thread().enable_all().build_local(Default::default()).expect("a runtime")
}

pub async fn count(ledger: &Ledger, hits: impl IntoIterator<Item = Hit>) {
    let waiting: Vec<_> = hits.into_iter().map(|hit| ledger.count(hit)).collect();
    for future in waiting {
        future.await.expect("the disk takes hits");
    }
}

pub fn bench(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("commit");
    for batch in [1, 32, 256] {
        let directory = directory();
        let ledger = open(directory.path());
        let hits = hits(1 << 16, 100_000);
        let mut next = hits.chunks_exact(batch).cycle();
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter(|| runtime.block_on(count(&ledger, next.next().expect("it goes round").iter().cloned())));
        });
        ledger.close();
    }
    group.finish();

    let mut group = criterion.benchmark_group("fold");
    group.sample_size(10);
    for pages in [100, 10_000] {
        let directory = directory();
        let ledger = open(directory.path());
        group.throughput(Throughput::Elements(u64::from(pages)));
        group.bench_function(BenchmarkId::new("pages", pages), |bencher| {
            bencher.iter_custom(|folds| {
                let mut folding = Duration::ZERO;
                for _ in 0..folds {
                    runtime.block_on(count(&ledger, (0..pages).map(hit)));
                    let started = Instant::now();
                    runtime.block_on(ledger.fold()).expect("the disk takes counts");
                    folding += started.elapsed();
                }
                folding
            });
        });
        ledger.close();
    }
    group.finish();
}
