//! What is measured when it is asked for: the clock, the disk, and what the node says of itself.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::Node;
use crate::server::ports::Node as _;

/// Adds to a node's metrics what only the whole of it knows.
pub struct AtScrape {
    /// The node owns its metrics.
    node: Weak<Node>,
    data_dir: PathBuf,
}

impl AtScrape {
    pub fn new(node: &Arc<Node>, data_dir: PathBuf) -> Self {
        Self { node: Arc::downgrade(node), data_dir }
    }
}

impl fmt::Debug for AtScrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtScrape").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl Collector for AtScrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = crate::clock::now().timestamp_micros() as f64 / 1e6;
        gauge(&mut encoder, "clock", "The node's clock: what decides a hit's day", Some(&Unit::Seconds), now)?;
        if let Ok(disk) = rustix::fs::statvfs(&self.data_dir) {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize) as f64;
            let free = "Space that this user may still write on the data directory's disk";
            gauge(&mut encoder, "data_disk_free", free, Some(&Unit::Bytes), bytes(disk.f_bavail))?;
            let size = "Size of the data directory's disk";
            gauge(&mut encoder, "data_disk_size", size, Some(&Unit::Bytes), bytes(disk.f_blocks))?;
        }
        let Some(node) = self.node.upgrade() else { return Ok(()) };
        let readiness = node.readiness();
        let writable = if readiness.not_ready.is_none() { 1.0 } else { 0.0 };
        gauge(&mut encoder, "ledger_writable", "1 while hits can be made durable, else 0", None, writable)?;
        let damaged = if node.ledger().damage().is_some() { 1.0 } else { 0.0 };
        let help = "1 if the check of the node's file has found it damaged, else 0";
        gauge(&mut encoder, "ledger_damaged", help, None, damaged)?;
        if let Some(publication) = node.publication() {
            let up = if publication.up() { 1.0 } else { 0.0 };
            gauge(&mut encoder, "redis_up", "1 while Redis answers, else 0; without Redis there is none", None, up)?;
            let held = if publication.is_held() { 1.0 } else { 0.0 };
            let help = "1 while nothing is published since Redis evicts or isn't known not to, else 0";
            gauge(&mut encoder, "redis_publication_held", help, None, held)?;
            let help = "Sites that can't be published, or whose counts Redis forgets again and again";
            gauge(&mut encoder, "redis_troubled_sites", help, None, publication.troubled_sites() as f64)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    // A registry ends what it is told of a metric with a full stop; a collector does it itself.
    gauge.encode(encoder.encode_descriptor(name, &format!("{help}."), unit, gauge.metric_type())?)
}
