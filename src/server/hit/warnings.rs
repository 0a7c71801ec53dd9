//! Warnings about a site's page addresses: logged, counted, and kept for `thongke check`.

use std::sync::{Mutex, PoisonError};

use prometheus::IntCounterVec;
use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::counter::{Day, RegisteredSite, SiteNumber, Sites};
use crate::metrics::Metrics;

/// Warnings that an answer names; the rest is a number.
const NAMED_MAX: usize = 100;

/// Subject of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Canonical addresses that look like a template's mistake.
    Canonical,
    /// A parameter that looks like noise.
    Parameters,
    /// A day's pages that nobody has vouched for, of which there are nearly as many as the site allows.
    Cap,
}

impl Topic {
    pub const ALL: [Self; 3] = [Self::Canonical, Self::Parameters, Self::Cap];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Parameters => "parameters",
            Self::Cap => "cap",
        }
    }
}

/// The latest warning of each site and topic, at most one a day. Shared by all workers.
#[derive(Debug)]
pub struct Warnings {
    given: Mutex<FxHashMap<(SiteNumber, Topic), (Day, String)>>,
    total: IntCounterVec,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    pub site: String,
    pub topic: Topic,
    /// The site's day on which it was given.
    pub day: String,
    pub detail: String,
}

/// Warnings of all sites, as the admin listener answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub warnings: Vec<Warning>,
    pub more: usize,
}

impl Warnings {
    pub fn new(metrics: &Metrics) -> Self {
        Self { given: Mutex::default(), total: metrics.page_warnings_total.clone() }
    }

    /// Gives a warning, unless the site has had one of this topic that day.
    pub fn give(&self, site: &RegisteredSite, topic: Topic, day: Day, detail: impl FnOnce() -> String) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let before = given.get(&(site.number, topic));
        if before.is_some_and(|(before, _)| *before >= day) {
            return;
        }
        let detail = detail();
        tracing::warn!(site = %site.site.id, "{detail}");
        self.total.with_label_values(&[topic.as_str()]).inc();
        given.insert((site.number, topic), (day, detail));
    }

    /// Warnings of today and yesterday; `today` is a site's.
    pub fn list(&self, sites: &Sites, today: impl Fn(&RegisteredSite) -> Day) -> Listed {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let current = given.iter().filter_map(|((number, topic), (day, detail))| {
            let site = sites.by_number(*number)?;
            (*day >= today(site).previous()).then(|| (site.site.id.as_str(), *topic, *day, detail))
        });
        let mut current: Vec<_> = current.collect();
        current.sort_unstable();
        let more = current.len().saturating_sub(NAMED_MAX);
        let named = current.into_iter().take(NAMED_MAX).map(|(site, topic, day, detail)| Warning {
            site: site.to_owned(),
            topic,
            day: day.to_string(),
            detail: detail.clone(),
        });
        Listed { warnings: named.collect(), more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Site;

    #[test]
    fn a_warning_is_given_once_a_day_and_kept_until_the_day_after() {
        let metrics = Metrics::new();
        let warnings = Warnings::new(&metrics);
        let site = Site::with_defaults("demo".parse().unwrap(), Vec::new());
        let sites: Sites = [RegisteredSite { number: SiteNumber(1), site }].into_iter().collect();
        let site = sites.get("demo").unwrap();
        let day = |day| Day::from_ymd(2024, 6, day).unwrap();
        for (on, text) in [(1, "a"), (1, "b"), (2, "c"), (1, "late")] {
            warnings.give(site, Topic::Canonical, day(on), || text.to_owned());
        }
        warnings.give(site, Topic::Parameters, day(1), || "d".to_owned());
        let listed = |on| {
            let Listed { warnings, more } = warnings.list(&sites, |_| day(on));
            assert_eq!(more, 0);
            warnings.into_iter().map(|warning| (warning.topic, warning.detail)).collect::<Vec<_>>()
        };
        assert_eq!(listed(2), [(Topic::Canonical, "c".to_owned()), (Topic::Parameters, "d".to_owned())]);
        assert_eq!((listed(3).len(), listed(4).len()), (1, 0));
        assert_eq!(metrics.page_warnings_total.with_label_values(&["canonical"]).get(), 2);
    }
}
