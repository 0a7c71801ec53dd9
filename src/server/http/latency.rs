//! A worker's handles on the request duration histograms, so that no request looks up its labels.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use prometheus::Histogram;

use crate::metrics::Metrics;

pub struct Latency {
    metrics: Arc<Metrics>,
    /// A few dozen at most, since routes and statuses are fixed sets. The most used come first.
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
        let histogram = self.metrics.http_request_duration_seconds.with_label_values(&[route, status.as_str()]);
        histogram.observe(duration.as_secs_f64());
        known.push((route, status, histogram));
    }
}
