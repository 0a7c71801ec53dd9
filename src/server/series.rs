//! Series that stand at 0 from the start, so that the first event is a step that an alert sees.

use std::collections::BTreeSet;

use crate::bots::Kind;
use crate::counter::page_cap::Excess;
use crate::counter::{RegisteredSite, Sites};
use crate::metrics::Metrics;

use super::admission::Limit;
use super::hit::{COUNTED, LIMITED};
use super::refusal::Refusal;
use super::router::Route;

/// Sites with series of their own; the others share one.
const SITES_MAX: u32 = 1_000;

/// The site's label, and whether the site has it alone.
pub fn site_label(site: &RegisteredSite) -> (&str, bool) {
    if site.number.0 <= SITES_MAX { (site.site.id.as_str(), true) } else { ("(other)", false) }
}

/// Creates every series of a fixed label set at 0; one that exists keeps its value.
pub fn create(metrics: &Metrics, sites: &Sites) {
    for reason in Refusal::REASONS {
        metrics.refusals_total.with_label_values(&[reason]);
    }
    for excess in Excess::ALL {
        metrics.other_page_hits_total.with_label_values(&[excess.as_str()]);
    }
    for limit in Limit::ALL {
        metrics.limited_total.with_label_values(&[limit.as_str()]);
    }
    for route in Route::ALL {
        metrics.http_request_duration_seconds.with_label_values(&[route.label(), "200"]);
    }
    let results: BTreeSet<_> = [COUNTED, LIMITED].into_iter().chain(Kind::ALL.map(Kind::result)).collect();
    let labels: BTreeSet<_> = sites.iter().map(|site| site_label(site).0).collect();
    for label in labels {
        for result in &results {
            metrics.hits_total.with_label_values(&[label, result]);
        }
    }
}
