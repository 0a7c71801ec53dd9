//! Hits summed, and as the bytes of a journal row.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use rand::SeedableRng as _;
use rand_distr::Distribution as _;
use thongke::counter::{Day, Hit, PageAddress, SiteNumber, Tally};

pub const SITE: SiteNumber = SiteNumber(1);

/// Hits of one day on so many pages by Zipf's law; the same at each call.
pub fn hits(count: usize, pages: u32) -> Vec<Hit> {
    let zipf = rand_distr::Zipf::new(f64::from(pages), 1.0).expect("a distribution over some pages");
    let mut random = rand::rngs::StdRng::seed_from_u64(4);
    (0..count).map(|_| hit(zipf.sample(&mut random) as u32)).collect()
}

pub fn hit(page: u32) -> Hit {
    let day = Day::from_ymd(2024, 6, 17).expect("a day");
    Hit { site: SITE, day, page: PageAddress::from_stored(&format!("/tin-tuc-su-kien/bai-viet-{page:07}")) }
}

pub fn sum(hits: &[Hit]) -> Tally {
    let mut tally = Tally::default();
    hits.iter().for_each(|hit| tally.add(hit.clone()));
    tally
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tally");
    for batch in [1, 32, 256] {
        let hits = hits(batch, 100_000);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("sum", batch), |bencher| bencher.iter(|| sum(&hits)));
        let tally = sum(&hits);
        let mut row = Vec::new();
        group.bench_function(BenchmarkId::new("encode", batch), |bencher| {
            bencher.iter(|| {
                row.clear();
                tally.encode(&mut row);
                black_box(&row);
            });
        });
        group.bench_function(BenchmarkId::new("decode", batch), |bencher| bencher.iter(|| Tally::decode(&row)));
        let unfolded = sum(&self::hits(10_000, 100_000));
        group.bench_function(BenchmarkId::new("merge into unfolded hits", batch), |bencher| {
            bencher.iter_batched_ref(
                || (unfolded.clone(), tally.clone()),
                |(unfolded, tally)| unfolded.merge(std::mem::take(tally)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}
