//! Series that stand at 0 from the start, so that the first event is a step that an alert sees.

use std::collections::BTreeSet;

use crate::bots::Kind;
use crate::counter::Sites;
use crate::counter::page_cap::Excess;
use crate::metrics::Metrics;

use super::hit::warnings::Topic;
use super::hit::{HitOutcome, Ignored, Limit, site};
use super::http::REASONS;
use super::routes;

/// Creates every series of a fixed label set at 0; one that exists keeps its value.
pub fn create(metrics: &Metrics, sites: &Sites) {
    for reason in REASONS {
        metrics.refusals_total.with_label_values(&[reason]);
    }
    for excess in Excess::ALL {
        metrics.other_page_hits_total.with_label_values(&[excess.as_str()]);
    }
    for ignored in Ignored::ALL {
        metrics.canonical_ignored_total.with_label_values(&[ignored.as_str()]);
    }
    for topic in Topic::ALL {
        metrics.page_warnings_total.with_label_values(&[topic.as_str()]);
    }
    for limit in Limit::ALL {
        metrics.limited_total.with_label_values(&[limit.as_str()]);
    }
    for route in &routes::PUBLIC {
        metrics.http_request_duration_seconds.with_label_values(&[route.label, "200"]);
    }
    let results: BTreeSet<_> = [HitOutcome::COUNTED, HitOutcome::LIMITED]
        .map(|outcome| outcome.result)
        .into_iter()
        .chain(Kind::ALL.map(|(kind, _)| kind.result()))
        .collect();
    let labels: BTreeSet<_> = sites.iter().map(|site| site::metric_label(site).0).collect();
    for label in labels {
        for result in &results {
            metrics.hits_total.with_label_values(&[label, result]);
        }
    }
}
