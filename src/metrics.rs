//! Everything a node measures about itself, in one struct with its own registry.
//!
//! Labels come only from fixed sets and from configured sites: never a path, an address or a
//! User-Agent, so that no stranger can make a series.

use std::fmt::Write as _;
use std::hash::Hash;
use std::sync::OnceLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HitLabels {
    pub site: String,
    pub result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    pub route: &'static str,
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitLabels {
    pub limit: &'static str,
}

/// The node's metrics. Every field is cheap to clone and shared.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What is known only when the node is whole.
    at_scrape: OnceLock<Registry>,
    pub hits: Family<HitLabels, Counter>,
    pub request_duration: Family<RequestLabels, Histogram, fn() -> Histogram>,
    pub refusals: Family<ReasonLabels, Counter>,
    pub pages_folded: Family<ReasonLabels, Counter>,
    pub limited: Family<LimitLabels, Counter>,
    pub unbelieved_proxy: Gauge,
    pub commit_duration: Histogram,
    pub commit_batch_hits: Histogram,
    pub fold_duration: Histogram,
    pub ledger_tail_hits: Gauge,
    pub redis_publish_duration: Histogram,
    pub redis_unpublished_hits: Gauge,
    pub redis_publish_lag: Gauge<f64, std::sync::atomic::AtomicU64>,
    pub redis_regressions: Counter,
    pub visitor_sketches: Gauge,
    pub visitor_salts: Gauge,
}

const PREFIX: &str = "thongke";

/// From 50 µs (a fast disk's sync) to 10 s.
const SECONDS: [f64; 16] = [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            at_scrape: OnceLock::new(),
            hits: Family::default(),
            request_duration: Family::new_with_constructor(seconds as fn() -> Histogram),
            refusals: Family::default(),
            pages_folded: at_zero(["site", "client", "network"].map(|reason| ReasonLabels { reason })),
            limited: at_zero(["address", "page", "site"].map(|limit| LimitLabels { limit })),
            unbelieved_proxy: Gauge::default(),
            commit_duration: seconds(),
            commit_batch_hits: Histogram::new([
                1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0,
            ]),
            fold_duration: seconds(),
            ledger_tail_hits: Gauge::default(),
            redis_publish_duration: seconds(),
            redis_unpublished_hits: Gauge::default(),
            redis_publish_lag: Gauge::default(),
            redis_regressions: Counter::default(),
            visitor_sketches: Gauge::default(),
            visitor_salts: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("hits", "Hits received, by site and by what became of them", self.hits.clone());
        r.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer, by route and status",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        r.register("refusals", "Requests refused, by reason", self.refusals.clone());
        r.register(
            "other_page_hits",
            "Hits counted under (other): their site, client or network had its new pages of the day",
            self.pages_folded.clone(),
        );
        r.register("limited", "Hits over a rate limit, by which", self.limited.clone());
        r.register(
            "unbelieved_proxy",
            "1 once a hit has come that names its client in a proxy's words and is not believed, else 0",
            self.unbelieved_proxy.clone(),
        );
        r.register_with_unit(
            "commit_duration",
            "Time to write and sync one batch of hits",
            Unit::Seconds,
            self.commit_duration.clone(),
        );
        r.register("commit_batch_hits", "Hits that shared one sync", self.commit_batch_hits.clone());
        r.register_with_unit(
            "fold_step_duration",
            "Time of one step of folding journalled hits into the counts",
            Unit::Seconds,
            self.fold_duration.clone(),
        );
        r.register(
            "ledger_tail_hits",
            "Hits journalled and not yet folded into the counts",
            self.ledger_tail_hits.clone(),
        );
        r.register_with_unit(
            "redis_publish_duration",
            "Time of one call that publishes counts to Redis",
            Unit::Seconds,
            self.redis_publish_duration.clone(),
        );
        r.register(
            "redis_unpublished_hits",
            "Hits of this run that are on disk and not yet confirmed by Redis",
            self.redis_unpublished_hits.clone(),
        );
        r.register_with_unit(
            "redis_publish_lag",
            "Age of the oldest hit that waits to be published",
            Unit::Seconds,
            self.redis_publish_lag.clone(),
        );
        r.register(
            "redis_regressions",
            "Times Redis was found to have forgotten what it had confirmed",
            self.redis_regressions.clone(),
        );
        r.register(
            "visitor_sketches",
            "Sketches of visitors in memory, of days and minutes of all sites",
            self.visitor_sketches.clone(),
        );
        r.register(
            "visitor_salts",
            "Keys of visitors' hashes that are not deleted yet, of all sites and days",
            self.visitor_salts.clone(),
        );
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        let info = prometheus_client::metrics::info::Info::new(build.to_vec());
        r.register("build", "The program that runs", info);
    }

    /// Adds metrics that are found out at each scrape; once, at start.
    pub fn collect_at_scrape(&self, collector: impl Collector) {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(collector));
        // Only `app` calls it.
        let _ = self.at_scrape.set(registry);
    }

    /// OpenMetrics 1.0 text.
    pub fn open_metrics(&self) -> String {
        let mut text = String::new();
        for registry in [Some(&self.registry), self.at_scrape.get()].into_iter().flatten() {
            // Writing to a String can't fail.
            let _ = encode_registry(&mut text, registry);
        }
        let _ = encode_eof(&mut text);
        text
    }

    /// Prometheus text exposition 0.0.4, which names a counter and its metadata alike and knows
    /// neither units nor infos.
    pub fn prometheus(&self) -> String {
        let open_metrics = self.open_metrics();
        let mut text = String::with_capacity(open_metrics.len());
        let mut suffixes = std::collections::HashMap::new();
        for line in open_metrics.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                match kind {
                    "counter" => suffixes.insert(name, ("_total", "counter")),
                    "info" => suffixes.insert(name, ("_info", "gauge")),
                    _ => suffixes.insert(name, ("", kind)),
                };
            }
        }
        for line in open_metrics.lines() {
            let mut words = line.splitn(4, ' ');
            let _ = match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some("EOF" | "UNIT"), ..) => Ok(()),
                (Some("#"), Some("TYPE"), Some(name), _) => {
                    let (suffix, kind) = suffixes.get(name).copied().unwrap_or(("", "untyped"));
                    writeln!(text, "# TYPE {name}{suffix} {kind}")
                }
                (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                    let (suffix, _) = suffixes.get(name).copied().unwrap_or(("", "untyped"));
                    writeln!(text, "# HELP {name}{suffix} {help}")
                }
                _ => writeln!(text, "{line}"),
            };
        }
        text
    }
}

/// A family whose series are there from the start, so that its first event is a step from 0.
fn at_zero<L: Clone + Hash + Eq>(labels: impl IntoIterator<Item = L>) -> Family<L, Counter> {
    let family = Family::default();
    labels.into_iter().for_each(|labels| drop(family.get_or_create(&labels)));
    family
}
