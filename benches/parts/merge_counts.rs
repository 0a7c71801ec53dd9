//! The call that publishes, on a real redis-server: one round trip at a time.

use std::cell::Cell;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput};
use thongke::counter::{Contribution, Day, Period, Register, Site, Source};
use thongke::redis::client::connection::Connections;
use thongke::redis::client::link::Link;
use thongke::redis::keys::Keys;
use thongke::redis::merge_counts::MergeCounts;

use crate::drive::redis_server::RedisServer;
use crate::tally::hit;

pub fn bench(criterion: &mut Criterion) {
    let directory = crate::ledger::directory();
    let redis = RedisServer::start(directory.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let link = runtime.block_on(connect(&redis));
    let keys = Keys::new("thongke");
    let site = Site::with_defaults("a".parse().expect("a site"), Vec::new());
    let hits = Cell::new(0);

    let mut group = criterion.benchmark_group("merge_counts");
    // Calls with the site's own counters only, and with pages.
    for pages in [0, 50, 496] {
        let call = || {
            hits.set(hits.get() + 1);
            MergeCounts { rows: rows(hits.get(), pages) }
        };
        let rows = call().rows.len();
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(BenchmarkId::new("rows", rows), |bencher| {
            bencher.iter(|| runtime.block_on(call().send(&link, &keys, &site)).expect("Redis takes counts"));
        });
    }
    group.finish();
}

fn rows(hits: i64, pages: u32) -> Vec<Contribution> {
    let day = Day::from_ymd(2024, 6, 17).expect("a day");
    let row = |period, page| Contribution { source: Source::Run(7), period, page, register: Register::Grown(hits) };
    let of_pages = (0..pages).map(|page| row(Period::Total, Some(hit(page).page)));
    of_pages.chain(day.site_periods().map(|period| row(period, None))).collect()
}

async fn connect(redis: &RedisServer) -> Link {
    let target = thongke::redis::parse(&[redis.url()], None).expect("a Redis address");
    let connections = Arc::new(Connections::new(target));
    let supervised = Arc::clone(&connections);
    tokio::spawn(async move { supervised.supervise().await });
    connections.watch().wait_for(|number| *number != 0).await.expect("the connection is supervised");
    connections.get().expect("Redis answers").link
}
