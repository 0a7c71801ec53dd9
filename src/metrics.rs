//! Metrics of a node, in one struct with its own registry.
//!
//! Labels come only from fixed sets and from configured sites: never a path, an address or a
//! User-Agent, so that no stranger can make a series.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

const PREFIX: &str = "thongke";

/// From 50 µs (a fast disk's sync) to 10 s.
const SECONDS: &[f64] = &[5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

const BATCH_HITS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

/// Declares a struct of metrics with its own registry. A field's name is the metric's, without the
/// prefix, and its doc comment is the help text; labels or buckets follow the type.
macro_rules! metrics {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[doc = $help:literal])+ $metric:ident: $kind:ty $([$($label:literal),+])? $(= $buckets:expr)?,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug)]
        $visibility struct $name {
            registry: prometheus::Registry,
            $($(#[doc = $help])+ pub $metric: $kind,)+
        }

        impl $name {
            pub fn new() -> Self {
                let registry = prometheus::Registry::new();
                $(let $metric = $crate::metrics::register(
                    &registry,
                    stringify!($metric),
                    concat!($($help),+),
                    &[$($($label),+)?],
                    &[$($buckets)?],
                );)+
                Self { registry, $($metric,)+ }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

pub(crate) use metrics;

metrics! {
    /// A node's metrics, which its threads share.
    pub struct Metrics {
        /// Hits received, by site and by result.
        hits_total: IntCounterVec["site", "result"],
        /// Time from a request's head to its answer, by route and status.
        http_request_duration_seconds: HistogramVec["route", "status"] = SECONDS,
        /// Requests refused, by reason.
        refusals_total: IntCounterVec["reason"],
        /// Hits counted under (other), by what had reached its limit of new pages a day: site, client or network.
        other_page_hits_total: IntCounterVec["reason"],
        /// Counted hits whose page names a canonical address that is ignored, by reason.
        canonical_ignored_total: IntCounterVec["reason"],
        /// Warnings about a site's page addresses and new pages, by topic; at most ten a day and site.
        page_warnings_total: IntCounterVec["topic"],
        /// Hits and reads over a rate limit, by limit.
        limited_total: IntCounterVec["limit"],
        /// 1 once a hit has named its client in a proxy's header field and its sender was no trusted proxy, else 0.
        unbelieved_proxy: IntGauge,
        /// Time to write and sync one batch of hits.
        commit_duration_seconds: Histogram = SECONDS,
        /// Hits that shared one sync.
        commit_batch_hits: Histogram = BATCH_HITS,
        /// Time of one step of folding journalled hits into the counts.
        fold_step_duration_seconds: Histogram = SECONDS,
        /// Hits journalled and not yet folded into the counts.
        ledger_tail_hits: IntGauge,
        /// Time of one call that publishes counts to Redis.
        redis_publish_duration_seconds: Histogram = SECONDS,
        /// Hits of this run that are on disk and not yet confirmed by Redis.
        redis_unpublished_hits: IntGauge,
        /// Age of the oldest hit that waits to be published.
        redis_publish_lag_seconds: Gauge,
        /// Times Redis was found to have lost counts that it had confirmed.
        redis_regressions_total: IntCounter,
        /// Visitor sketches in memory, of days and minutes of all sites.
        visitor_sketches: IntGauge,
        /// Keys of visitor hashes that are not deleted yet, of all sites and days.
        visitor_salts: IntGauge,
    }
}

impl Metrics {
    /// Adds metrics that are measured at each scrape; once, at start.
    pub fn collect_at_scrape(&self, collector: impl Collector + 'static) {
        self.registry.register(Box::new(collector)).expect("one collector, whose names are no others'");
    }

    /// Prometheus text exposition format 0.0.4.
    pub fn text(&self) -> String {
        // Only a metric family without a name or a series can't be encoded, and a registry has none.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// A type that `metrics!` declares a field of.
pub trait Kind: Collector + Clone + Sized + 'static {
    fn of(opts: Opts, labels: &[&str], buckets: Vec<f64>) -> prometheus::Result<Self>;
}

macro_rules! kinds {
    ($($kind:ident: |$opts:ident, $labels:ident, $buckets:ident| $new:expr,)+) => {
        $(impl Kind for $kind {
            fn of($opts: Opts, $labels: &[&str], $buckets: Vec<f64>) -> prometheus::Result<Self> {
                $new
            }
        })+
    };
}

kinds! {
    IntCounter: |opts, _labels, _buckets| Self::with_opts(opts),
    IntGauge: |opts, _labels, _buckets| Self::with_opts(opts),
    Gauge: |opts, _labels, _buckets| Self::with_opts(opts),
    IntCounterVec: |opts, labels, _buckets| Self::new(opts, labels),
    IntGaugeVec: |opts, labels, _buckets| Self::new(opts, labels),
    Histogram: |opts, _labels, buckets| Self::with_opts(HistogramOpts::from(opts).buckets(buckets)),
    HistogramVec: |opts, labels, buckets| Self::new(HistogramOpts::from(opts).buckets(buckets), labels),
}

pub fn register<K: Kind>(registry: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[&[f64]]) -> K {
    let metric = K::of(Opts::new(name, help.trim()).namespace(PREFIX), labels, buckets.concat()).expect(name);
    registry.register(Box::new(metric.clone())).expect(name);
    metric
}
