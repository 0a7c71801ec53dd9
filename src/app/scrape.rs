//! Metrics that are measured at each scrape: clock, disk, process, and the node's state.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, IntGaugeVec};

use super::Node;
use crate::metrics::metrics;
use crate::server::ports::Node as _;

metrics! {
    struct NodeGauges {
        /// The running program, by version.
        build_info: IntGaugeVec["version"],
        /// The node's clock, which decides a hit's day.
        clock_seconds: Gauge,
        /// 1 while the node's clock is believed, else 0: nothing is deleted meanwhile.
        clock_believed: IntGauge,
        /// Space on the data directory's disk that this user may still write.
        data_disk_free_bytes: Gauge,
        /// Size of the data directory's disk.
        data_disk_size_bytes: Gauge,
        /// 1 while hits can be made durable, else 0.
        ledger_writable: IntGauge,
        /// 1 if the check of the node's file has found damage, else 0.
        ledger_damaged: IntGauge,
    }
}

metrics! {
    struct RedisGauges {
        /// 1 while Redis answers, else 0; absent without Redis.
        redis_up: IntGauge,
        /// 1 while nothing is published because Redis evicts keys or may evict them, else 0.
        redis_publication_held: IntGauge,
        /// Sites that can't be published, or whose counts Redis loses again and again.
        redis_troubled_sites: Gauge,
    }
}

pub struct AtScrape {
    /// Weak, since the node owns its metrics.
    node: Weak<Node>,
    data_dir: PathBuf,
    of_node: NodeGauges,
    of_redis: RedisGauges,
    of_process: ProcessCollector,
}

impl AtScrape {
    pub fn new(node: &Arc<Node>, data_dir: PathBuf) -> Self {
        let of_node = NodeGauges::new();
        of_node.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            node: Arc::downgrade(node),
            data_dir,
            of_node,
            of_redis: RedisGauges::new(),
            of_process: ProcessCollector::for_self(),
        }
    }
}

impl Collector for AtScrape {
    /// Empty: no other collector has these names.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(node) = self.node.upgrade() else { return Vec::new() };
        let gauges = &self.of_node;
        gauges.clock_seconds.set(crate::clock::now().timestamp_micros() as f64 / 1e6);
        gauges.clock_believed.set(node.believed_now().is_some().into());
        // A disk that can't be asked is neither full nor empty.
        let (free, size) = rustix::fs::statvfs(&self.data_dir).map_or((f64::NAN, f64::NAN), |disk| {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize) as f64;
            (bytes(disk.f_bavail), bytes(disk.f_blocks))
        });
        gauges.data_disk_free_bytes.set(free);
        gauges.data_disk_size_bytes.set(size);
        gauges.ledger_writable.set(node.readiness().not_ready.is_none().into());
        gauges.ledger_damaged.set(node.ledger.damage().is_some().into());
        let mut families = gauges.registry.gather();
        if let Some(publication) = node.publication() {
            let gauges = &self.of_redis;
            gauges.redis_up.set(publication.shared.connections.is_up().into());
            gauges.redis_publication_held.set(publication.shared.health.is_held().into());
            gauges.redis_troubled_sites.set(publication.shared.health.troubled_sites() as f64);
            families.extend(gauges.registry.gather());
        }
        // The start time is 0 where systemd's `ProcSubset=pid` hides the machine's boot time.
        let is_known = |family: &MetricFamily| {
            family.name() != "process_start_time_seconds" || family.get_metric()[0].get_gauge().get_value() > 0.0
        };
        families.extend(self.of_process.collect().into_iter().filter(is_known));
        families
    }
}
