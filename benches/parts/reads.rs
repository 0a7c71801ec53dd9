//! The dearest reads rendered, whose values come from blocks. `cargo bench --bench reads` measures them at a node.

use std::sync::Arc;

use criterion::Criterion;
use futures_util::FutureExt as _;
use thongke::counter::{Day, RegisteredSite, Site, SiteNumber};
use thongke::server::history::{Format, Stretch};
use thongke::server::history_blocks::HistoryBlocks;

use crate::blank_node::BlankNode;

pub fn bench(criterion: &mut Criterion) {
    let site = Site::with_defaults("a".parse().expect("a site"), Vec::new());
    let site = Arc::new(RegisteredSite::new(SiteNumber(1), site));
    let (node, blocks) = (Arc::new(BlankNode::default()), HistoryBlocks::default());
    let mut today = Day::from_ymd(2020, 1, 1).expect("a day");
    let mut next = || {
        today = today.next();
        today
    };
    let read = |stretch: Stretch| {
        stretch.read(&node, &blocks, &site).now_or_never().expect("no wait").expect("a blank node has all values")
    };
    for format in [Format::Json, Format::Csv] {
        criterion.bench_function(&format!("reads/history of 1,100 days, {format:?}"), |bencher| {
            bencher.iter(|| {
                let stretch = Stretch::of_history("last=1100", next()).expect("a stretch");
                read(stretch).history(&site.site, format)
            });
        });
    }
    criterion.bench_function("reads/chart of 366 days", |bencher| {
        bencher.iter(|| {
            let stretch = Stretch::of_chart("last=366", next()).expect("a stretch");
            read(stretch).chart(&site.site)
        });
    });
}
