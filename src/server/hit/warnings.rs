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
    /// One private address with more hits of a page than a network may bring: perhaps a proxy that isn't trusted.
    Proxy,
}

impl Topic {
    pub const ALL: [Self; 4] = [Self::Canonical, Self::Parameters, Self::Cap, Self::Proxy];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Parameters => "parameters",
            Self::Cap => "cap",
            Self::Proxy => "proxy",
        }
    }

    /// Warnings of a site in a day. Strangers may invent parameters, and leave room for the others.
    fn of_day_max(self) -> usize {
        match self {
            Self::Canonical => 3,
            Self::Parameters => 5,
            Self::Cap | Self::Proxy => 1,
        }
    }
}

/// Warnings of today and yesterday, at most one a day of a site, topic and kind. Shared by all workers.
#[derive(Debug)]
pub struct Warnings {
    given: Mutex<FxHashMap<SiteNumber, Vec<Given>>>,
    total: IntCounterVec,
}

#[derive(Debug)]
struct Given {
    topic: Topic,
    /// Kind of mistake, or a parameter's name.
    kind: String,
    day: Day,
    detail: String,
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

    /// Gives a warning, unless the site has had one of this topic and kind that day, or too many.
    pub fn give(&self, site: &RegisteredSite, topic: Topic, kind: &str, day: Day, detail: impl FnOnce() -> String) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let of_site = given.entry(site.number).or_default();
        of_site.retain(|one| one.day >= day.previous());
        let is_same = |one: &Given| one.topic == topic && one.kind == kind;
        let of_day = of_site.iter().filter(|one| one.topic == topic && one.day >= day).count();
        if of_day >= topic.of_day_max() || of_site.iter().any(|one| is_same(one) && one.day >= day) {
            return;
        }
        // The latest of a kind stands for the earlier ones.
        of_site.retain(|one| !is_same(one));
        let detail = detail();
        tracing::warn!(site = %site.site.id, "{detail}");
        self.total.with_label_values(&[topic.as_str()]).inc();
        of_site.push(Given { topic, kind: kind.to_owned(), day, detail });
    }

    /// Warnings of today and yesterday; `today` is a site's.
    pub fn list(&self, sites: &Sites, today: impl Fn(&RegisteredSite) -> Day) -> Listed {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let current = given.iter().filter_map(|(number, of_site)| Some((sites.by_number(*number)?, of_site)));
        let current = current.flat_map(|(site, of_site)| {
            let since = today(site).previous();
            let of_site = of_site.iter().filter(move |one| one.day >= since);
            of_site.map(move |one| (site.site.id.as_str(), one.topic, one.day, &one.detail))
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
impl Warnings {
    pub fn total(&self) -> &IntCounterVec {
        &self.total
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
        let sites: Sites = [RegisteredSite::new(SiteNumber(1), site)].into_iter().collect();
        let site = sites.get("demo").unwrap();
        let day = |day| Day::from_ymd(2024, 6, day).unwrap();
        for (on, text) in [(1, "a"), (1, "b"), (2, "c"), (1, "late")] {
            warnings.give(site, Topic::Canonical, "many", day(on), || text.to_owned());
        }
        warnings.give(site, Topic::Parameters, "t", day(1), || "d".to_owned());
        let listed = |on| {
            let Listed { warnings, more } = warnings.list(&sites, |_| day(on));
            assert_eq!(more, 0);
            warnings.into_iter().map(|warning| (warning.topic, warning.detail)).collect::<Vec<_>>()
        };
        assert_eq!(listed(2), [(Topic::Canonical, "c".to_owned()), (Topic::Parameters, "d".to_owned())]);
        assert_eq!((listed(3).len(), listed(4).len()), (1, 0));
        assert_eq!(metrics.page_warnings_total.with_label_values(&["canonical"]).get(), 2);
    }

    #[test]
    fn each_kind_has_a_warning_of_its_own_and_a_site_has_five_a_day() {
        let metrics = Metrics::new();
        let warnings = Warnings::new(&metrics);
        let of = |number, id: &str| {
            RegisteredSite::new(SiteNumber(number), Site::with_defaults(id.parse().unwrap(), Vec::new()))
        };
        let day = |day| Day::from_ymd(2024, 6, day).unwrap();
        let total = || metrics.page_warnings_total.with_label_values(&["parameters"]).get();
        for (on, sum) in [(1, 5), (2, 10)] {
            for at in 0..20 {
                for _ in 0..2 {
                    warnings.give(&of(1, "a"), Topic::Parameters, &format!("p{at}"), day(on), || format!("p{at}"));
                }
            }
            assert_eq!(total(), sum);
        }
        warnings.give(&of(2, "b"), Topic::Parameters, "p9", day(2), || "p9".to_owned());
        assert_eq!(total(), 11);
        let sites: Sites = [of(1, "a"), of(2, "b")].into_iter().collect();
        assert_eq!(warnings.list(&sites, |_| day(2)).warnings.len(), 6);
    }
}
