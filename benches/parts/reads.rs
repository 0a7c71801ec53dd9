//! The dearest read of each kind, computed again each time, as a flood of different ones asks for it. Values come from
//! blocks.

use std::rc::Rc;
use std::sync::Arc;

use criterion::Criterion;
use futures_util::FutureExt as _;
use thongke::counter::{Day, RegisteredSite, Site, SiteNumber};
use thongke::server::history::{Format, Stretch, chart, history};
use thongke::server::history_blocks::HistoryBlocks;

use crate::blank_node::BlankNode;

pub fn bench(criterion: &mut Criterion) {
    let site = Site::with_defaults("a".parse().expect("a site"), Vec::new());
    let site = Arc::new(RegisteredSite::new(SiteNumber(1), site));
    let (node, blocks) = (Arc::new(BlankNode::default()), Rc::new(HistoryBlocks::default()));
    let mut today = Day::from_ymd(2020, 1, 1).expect("a day");
    let mut next = || {
        today = today.next();
        today
    };
    for format in [Format::Json, Format::Csv] {
        criterion.bench_function(&format!("reads/history of 1,100 days, {format:?}"), |bencher| {
            bencher.iter(|| {
                let stretch = Stretch::of_history("last=1100", next()).expect("a stretch");
                let (node, blocks) = (Arc::clone(&node), Rc::clone(&blocks));
                history(node, blocks, Arc::clone(&site), stretch, format).now_or_never().expect("no wait")
            });
        });
    }
    criterion.bench_function("reads/chart of 366 days", |bencher| {
        bencher.iter(|| {
            let stretch = Stretch::of_chart("last=366", next()).expect("a stretch");
            chart(Arc::clone(&node), Rc::clone(&blocks), Arc::clone(&site), stretch).now_or_never().expect("no wait")
        });
    });
}
