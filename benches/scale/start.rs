//! From starting a node with a long history to its first acknowledged hit.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::{Days, NaiveDate, Utc};
use thongke::counter::csv::Row;
use thongke::counter::{PageAddress, Period, RegisteredSite, Site, Sites};
use thongke::ledger::{DirectoryLock, Ledger};
use thongke::metrics::Metrics;

use crate::axis::{Effort, Value};
use crate::drive::cores::on_core;
use crate::drive::exchange::exchange;
use crate::drive::node::Node;
use crate::drive::requests::{Ask, ORIGIN, Pages, Requests, site_id};
use crate::drive::stats::median;

pub fn measure(directory: &Path, effort: Effort) -> Value {
    let (days, sites, pages) = if effort.quick { (100, 20, 1_000) } else { (3_650, 1_000, 1_000_000) };
    write_history(&directory.join("data"), days, sites, pages);
    let (mut seconds, mut resident) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let started = Instant::now();
        let node = on_core(effort.cores.server, || Node::start(directory, sites, &[]));
        let hit = Ask::Hit("/v1/hit?figures=0");
        let answer = exchange(node.public, Requests::new(node.public, hit, Pages::Sites(1), false).next());
        seconds.push(started.elapsed().as_secs_f64());
        assert!(answer.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer));
        resident.push(node.process.resident() as f64 / 1048576.0);
        node.process.stop();
    }
    let file = std::fs::metadata(directory.join("data/thongke.db")).map_or(0, |metadata| metadata.len());
    Value {
        title: format!("Start with {days} days of {sites} sites and {pages} pages of history"),
        size_name: "sites",
        columns: vec!["s to first hit", "MiB", "file MiB"],
        lines: vec![(sites, vec![median(seconds), median(resident), file as f64 / 1048576.0])],
    }
}

/// Imports days for each site, and pages for the first.
pub fn write_history(directory: &Path, days: u32, sites: u32, pages: u32) {
    let configured = (0..sites).map(|number| {
        let id = site_id(number).parse().expect("a site's name");
        Site::with_defaults(id, vec![ORIGIN.parse().expect("an origin")])
    });
    let lock = DirectoryLock::take(directory).expect("the directory is nobody else's");
    let metrics = Arc::new(Metrics::new());
    let (ledger, sites): (_, Sites) =
        Ledger::open(lock, directory, configured.collect(), false, metrics).expect("a new file");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).expect("a runtime");
    let import = |site: &RegisteredSite, source: &str, rows| {
        let source = source.parse().expect("an import's name");
        runtime.block_on(ledger.import(site.number, source, rows, Utc::now())).expect("the disk takes counts");
    };
    let first = NaiveDate::from_ymd_opt(2014, 1, 1).expect("a day");
    let day_rows: Vec<_> = (0..days)
        .map(|day| {
            let date = first + Days::new(u64::from(day));
            Row { period: date.to_string().parse().expect("a day"), page: None, hits: i64::from(1_000 + day) }
        })
        .collect();
    sites.iter().for_each(|site| import(site, "days", day_rows.clone()));
    let page_rows = (0..pages).map(|page| {
        let address = format!("/tin-tuc-su-kien/bai-viet-{page:07}");
        Row { period: Period::Total, page: Some(PageAddress::from_stored(&address)), hits: i64::from(page + 1) }
    });
    let with_pages = sites.get(&site_id(0)).expect("the first site");
    import(with_pages, "pages", page_rows.collect());
    ledger.close();
}
