//! Figures composed and rendered.

use chrono::Utc;
use criterion::Criterion;
use thongke::counter::{Figures, Site, VisitorCounts};

pub fn bench(criterion: &mut Criterion) {
    let site = Site::with_defaults("a".parse().expect("a site"), Vec::new());
    let now = Utc::now();
    let compose = || Figures::compose(&site, &site.figures, now, false, |_| 462_203, VisitorCounts::default());
    criterion.bench_function("figures/compose", |bencher| bencher.iter(compose));
    criterion.bench_function("figures/compose and render", |bencher| {
        bencher.iter(|| serde_json::to_string(&compose()).expect("figures are JSON"));
    });
}
