//! The cost of counting visitors, per hit and per answer.

use std::net::Ipv4Addr;

use criterion::{BenchmarkId, Criterion};
use thongke::counter::{ClientPrefix, Salt, SiteId, Sketch, Trace};

const USER_AGENT: &[u8] =
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

pub fn bench(criterion: &mut Criterion) {
    let site: SiteId = "portal".parse().expect("a site id");
    let salt = Salt::new([7; 16]);
    let client = ClientPrefix::of(Ipv4Addr::new(203, 0, 113, 7).into());
    let mut group = criterion.benchmark_group("visitors");
    group.bench_function("trace", |bencher| bencher.iter(|| salt.trace(&site, client, USER_AGENT)));
    for size in [100_u64, 2_000, 100_000] {
        let mut sketch: Sketch = (0..size).map(|visitor| Trace::of(&visitor.to_le_bytes())).collect();
        let mut next = size;
        group.bench_function(BenchmarkId::new("a visitor more, and the estimate", size), |bencher| {
            bencher.iter(|| {
                // Mostly known visitors, as in a day's traffic.
                next = (next + 1) % (size + 1);
                sketch.add(Trace::of(&next.to_le_bytes()));
                sketch.estimate()
            });
        });
        group.bench_function(BenchmarkId::new("to Redis and back", size), |bencher| {
            bencher.iter(|| Sketch::from_redis(&sketch.to_redis()).expect("it was a sketch"));
        });
    }
    group.finish();
}
