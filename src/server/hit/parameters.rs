//! Parameters of the sites' addresses today, of all workers.
//!
//! Only an address that is new to the node today is looked at. A table of fingerprints says so: without a lock, of
//! a fixed size. Two pages in one place of it displace each other and are looked at again; the sketches don't mind.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use url::Url;

use super::warnings::{Topic, Warnings};
use crate::counter::{Day, PageAddress, RegisteredSite, SiteNumber};
use crate::page::parameters::{DayParameters, ParameterReport};

/// Places of fingerprints: 256 kB.
const SEEN: usize = 1 << 15;
/// Parameters that a node watches, at most about 15 MB; further ones have no place.
const WATCHED_MAX: usize = 16_384;

#[derive(Debug)]
pub struct Parameters {
    seen: Box<[AtomicU64]>,
    keyed: RandomState,
    watched: Mutex<Watched>,
    warnings: Arc<Warnings>,
}

#[derive(Debug, Default)]
struct Watched {
    sites: FxHashMap<SiteNumber, (Day, DayParameters)>,
    /// Sum over the sites.
    parameters: usize,
    /// The newest day of any site.
    day: Option<Day>,
}

/// A site's parameters as the admin listener shows them.
#[derive(Debug, Serialize, Deserialize)]
pub struct ParametersOfDay {
    pub day: String,
    pub parameters: Vec<ParameterReport>,
    /// Times that a parameter had to make room for another.
    pub displaced: u64,
}

impl Parameters {
    pub fn new(warnings: Arc<Warnings>) -> Self {
        let seen = (0..SEEN).map(|_| AtomicU64::new(0)).collect();
        Self { seen, keyed: RandomState::default(), watched: Mutex::default(), warnings }
    }

    /// The warnings that it gives, among others.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Looks at the parameters of `url`, whose hit counts under `page`, if that is new to the node today.
    pub fn note(&self, site: &RegisteredSite, day: Day, page: &PageAddress, url: &str, title: Option<&str>) {
        let Some((_, query)) = url.split_once('?') else { return };
        if !self.is_new(site.number, day, page, query) {
            return;
        }
        // A path, the tag's own word, has no parameters that were dropped.
        let Ok(url) = Url::parse(url) else { return };
        let fates = site.site.page_rules.fates(&url);
        let title = title.map(str::trim).filter(|title| !title.is_empty());
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let suspect = watched.note(site.number, day, |parameters, room| parameters.note(page, &fates, title, room));
        drop(watched);
        if let Some(suspect) = suspect {
            self.warnings.give(site, Topic::Parameters, &suspect.name, day, || doubt(site, &suspect));
        }
    }

    /// True for a page that the node has not seen today with so many parameters: those that are dropped make no
    /// page of their own.
    fn is_new(&self, site: SiteNumber, day: Day, page: &PageAddress, query: &str) -> bool {
        let separators = query.bytes().filter(|byte| matches!(byte, b'&' | b';')).count();
        let hash = self.keyed.hash_one((site, day, page.fingerprint(), separators)) | 1;
        self.seen[(hash >> 1) as usize % SEEN].swap(hash, Ordering::Relaxed) != hash
    }

    /// The site's parameters of `today`.
    pub fn report(&self, site: &RegisteredSite, today: Day) -> ParametersOfDay {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let of_day = watched.sites.get(&site.number).filter(|(day, _)| *day == today).map(|(_, of_day)| of_day);
        ParametersOfDay {
            day: today.to_string(),
            parameters: of_day.map(DayParameters::reports).unwrap_or_default(),
            displaced: of_day.map_or(0, DayParameters::displaced),
        }
    }
}

impl Watched {
    /// Calls `note` with the site's parameters of `day` and the room for more, unless a later day has begun.
    fn note<T>(
        &mut self,
        site: SiteNumber,
        day: Day,
        note: impl FnOnce(&mut DayParameters, usize) -> Option<T>,
    ) -> Option<T> {
        if Some(day) > self.day {
            self.day = Some(day);
            // It is still yesterday in other time zones.
            self.sites.retain(|_, (known, _)| *known >= day.previous());
            self.parameters = self.sites.values().map(|(_, of_day)| of_day.len()).sum();
        }
        let (known, of_day) = self.sites.entry(site).or_insert_with(|| (day, DayParameters::default()));
        if *known < day {
            self.parameters -= of_day.len();
            (*known, *of_day) = (day, DayParameters::default());
        }
        if *known > day {
            return None;
        }
        let before = of_day.len();
        let noted = note(of_day, WATCHED_MAX.saturating_sub(self.parameters));
        self.parameters += of_day.len() - before;
        noted
    }
}

fn doubt(site: &RegisteredSite, suspect: &ParameterReport) -> String {
    let ParameterReport { folder, name, addresses, values, titles, examples, .. } = suspect;
    let (values, titles) = (values.unwrap_or(0), titles.unwrap_or(0));
    format!(
        "the parameter `{name}` in `{folder}` made {addresses} new addresses today, with about {values} values and {titles} \
         titles: it looks like noise, as in `{}`; if it names no page, add it to `page_params_ignored` of site `{id}` \
         (`thongke pages {id} --parameters` shows more)",
        examples.first().map_or("", String::as_str),
        id = site.site.id,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Site;
    use crate::metrics::Metrics;
    use crate::server::hit::page_of;

    fn site(number: u32) -> RegisteredSite {
        let origins = vec!["https://a.vn".parse().unwrap()];
        let site = Site::with_defaults(format!("s{number}").parse().unwrap(), origins);
        RegisteredSite::new(SiteNumber(number), site)
    }

    fn day(day: u32) -> Day {
        Day::from_ymd(2024, 6, day).unwrap()
    }

    fn note(parameters: &Parameters, site: &RegisteredSite, on: u32, path: &str, title: &str) {
        let url = format!("https://a.vn{path}");
        parameters.note(site, day(on), &page_of(site, &url).unwrap(), &url, Some(title));
    }

    #[test]
    fn each_parameter_that_looks_like_noise_is_reported_once_a_day_and_changes_no_address() {
        let metrics = Metrics::new();
        let parameters = Parameters::new(Arc::new(Warnings::new(&metrics)));
        let site = site(1);
        for on in [1, 2] {
            for at in 0..400 {
                note(&parameters, &site, on, &format!("/tin?luc=x{at}"), "Tin");
                note(&parameters, &site, on, &format!("/tin?xem=y{at}"), "Tin");
            }
            assert_eq!(metrics.page_warnings_total.with_label_values(&["parameters"]).get(), 2 * u64::from(on));
        }
        assert_eq!(page_of(&site, "https://a.vn/tin?luc=x1").unwrap().as_str(), "/tin?luc=x1");
        let report = parameters.report(&site, day(2));
        assert!(report.parameters.iter().all(|parameter| parameter.looks_like_noise && parameter.addresses == 400));
        assert_eq!((report.parameters.len(), parameters.report(&site, day(3)).parameters.len()), (2, 0));
    }

    #[test]
    fn a_page_that_is_known_is_not_looked_at_again() {
        let parameters = Parameters::new(Arc::new(Warnings::new(&Metrics::new())));
        let site = site(1);
        for at in 0..100 {
            note(&parameters, &site, 1, &format!("/bai-1?fbclid=x{at}"), "Bài");
            note(&parameters, &site, 1, "/xem?id=7", "Bài");
        }
        let report = parameters.report(&site, day(1));
        let addresses: Vec<_> = report.parameters.iter().map(|one| (one.name.as_str(), one.addresses)).collect();
        assert_eq!(addresses, [("fbclid", 1), ("id", 1)]);
    }

    #[test]
    fn what_is_watched_is_bounded_over_all_sites_and_days() {
        let parameters = Parameters::new(Arc::new(Warnings::new(&Metrics::new())));
        for at in 0..100 {
            for number in 0..300 {
                note(&parameters, &site(number), 1, &format!("/a?n{at}=1"), "x");
            }
        }
        let watched = |parameters: &Parameters| parameters.watched.lock().unwrap().parameters;
        assert_eq!(watched(&parameters), WATCHED_MAX);
        note(&parameters, &site(0), 3, "/a?b=1", "x");
        assert_eq!(watched(&parameters), 1);
        note(&parameters, &site(0), 2, "/a?c=1", "x");
        assert_eq!(parameters.report(&site(0), day(3)).parameters.len(), 1);
    }
}
