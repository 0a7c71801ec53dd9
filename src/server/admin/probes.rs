//! Probes: liveness, readiness, and the metrics.

use std::collections::BTreeMap;

use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::metrics::Metrics;
use crate::server::http::{AnswerBody, JSON, PROMETHEUS_TEXT, response};
use crate::server::ports::Readiness;

#[derive(Debug, Serialize)]
struct ReadyReport {
    status: &'static str,
    degraded: Vec<&'static str>,
    reasons: BTreeMap<&'static str, String>,
}

pub fn metrics(metrics: &Metrics) -> Response<AnswerBody> {
    response::typed(StatusCode::OK, &PROMETHEUS_TEXT, metrics.text())
}

pub fn alive() -> Response<AnswerBody> {
    response::typed(StatusCode::OK, &JSON, r#"{"status":"alive"}"#)
}

pub fn ready(readiness: Readiness) -> Response<AnswerBody> {
    let (status, report) = report(readiness);
    response::json(status, &report)
}

fn report(readiness: Readiness) -> (StatusCode, ReadyReport) {
    let mut report = ReadyReport { status: "ready", degraded: Vec::new(), reasons: BTreeMap::new() };
    for (part, reason) in readiness.degraded {
        // A part may have several reasons: one for each site, for example.
        match report.reasons.get_mut(part) {
            Some(reasons) => *reasons = format!("{reasons}; {reason}"),
            None => {
                report.degraded.push(part);
                report.reasons.insert(part, reason);
            }
        }
    }
    let Some(reason) = readiness.not_ready else { return (StatusCode::OK, report) };
    report.status = "not ready";
    report.reasons.insert("ledger", reason);
    (StatusCode::SERVICE_UNAVAILABLE, report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_each_degraded_part_once_with_all_its_reasons() {
        let degraded =
            vec![("redis", "site a".to_owned()), ("file", "damaged".to_owned()), ("redis", "site b".to_owned())];
        let (status, ready) = report(Readiness { not_ready: None, degraded });
        assert_eq!((status, ready.status, ready.degraded), (StatusCode::OK, "ready", vec!["redis", "file"]));
        assert_eq!(ready.reasons["redis"], "site a; site b");
    }

    #[test]
    fn a_node_that_can_not_make_hits_durable_is_not_ready() {
        let readiness = Readiness { not_ready: Some("the disk is full".to_owned()), degraded: Vec::new() };
        let (status, ready) = report(readiness);
        assert_eq!((status, ready.status), (StatusCode::SERVICE_UNAVAILABLE, "not ready"));
        assert_eq!(ready.reasons["ledger"], "the disk is full");
    }
}
