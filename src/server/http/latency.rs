//! Latency of requests: a worker's handles on the histograms, found without a look-up by labels.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use prometheus_client::metrics::histogram::Histogram;

use crate::metrics::{Metrics, RequestLabels};

pub struct Latency {
    metrics: Arc<Metrics>,
    /// A few dozen at most: routes and statuses are fixed sets. The most used come first.
    known: RefCell<Vec<(&'static str, StatusCode, Histogram)>>,
}

impl Latency {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, known: RefCell::default() }
    }

    pub fn observe(&self, route: &'static str, status: StatusCode, duration: Duration) {
        let mut known = self.known.borrow_mut();
        if let Some(at) = known.iter().position(|(r, s, _)| *s == status && *r == route) {
            known[at].2.observe(duration.as_secs_f64());
            known.swap(at, at / 2);
            return;
        }
        let labels = RequestLabels { route, status: status.as_u16() };
        let histogram = self.metrics.request_duration.get_or_create_owned(&labels);
        histogram.observe(duration.as_secs_f64());
        known.push((route, status, histogram));
    }
}
