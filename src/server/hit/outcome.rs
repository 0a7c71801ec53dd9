//! Outcome of a hit, as its answer states it.

use std::sync::Arc;

use hyper::header::HeaderValue;

use crate::bots::{BOT, Kind};
use crate::counter::RegisteredSite;
use crate::server::http::{HeaderSink, THONGKE_HIT, THONGKE_HIT_KIND};

/// Outcome of a processed hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HitOutcome {
    /// `Thongke-Hit`, and the metric's label: `counted`, or why the hit is not counted.
    pub result: &'static str,
    /// `Thongke-Hit-Kind`: the kind of bot.
    pub kind: Option<&'static str>,
}

impl HitOutcome {
    pub const COUNTED: Self = Self { result: "counted", kind: None };
    /// Not counted, since a rate limit was exceeded.
    pub const LIMITED: Self = Self { result: "limited", kind: None };

    pub fn filtered(kind: Kind) -> Self {
        // Only bots have kinds; for others the result is the kind.
        Self { result: kind.result(), kind: (kind.result() == BOT).then(|| kind.as_str()) }
    }

    pub fn put(self, sink: &mut impl HeaderSink) {
        sink.put(&THONGKE_HIT, HeaderValue::from_static(self.result));
        if let Some(kind) = self.kind {
            sink.put(&THONGKE_HIT_KIND, HeaderValue::from_static(kind));
        }
    }
}

/// A processed hit: counted or filtered.
pub struct ProcessedHit {
    pub site: Arc<RegisteredSite>,
    pub outcome: HitOutcome,
}
