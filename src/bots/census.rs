//! How many hits of which kind a site was spared, by day.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::Kind;
use crate::counter::{Day, SiteNumber};

/// Days of a site that are kept: the newest.
const DAYS_MAX: usize = 40;

/// Sites that are kept; the hits of further ones stand in the metrics only. With all days of all of
/// them under 64 MB, and 160 bytes for a site's day.
const SITES_MAX: usize = 10_000;

/// Hits that were not counted, by site, day and kind.
#[derive(Debug, Default)]
pub struct Census {
    sites: FxHashMap<SiteNumber, BTreeMap<Day, [u64; Kind::ALL.len()]>>,
}

/// A row of a site's census.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CensusRow {
    pub day: String,
    pub kind: String,
    pub hits: u64,
}

impl Census {
    pub fn note(&mut self, site: SiteNumber, day: Day, kind: Kind) {
        self.add(site, day, kind, 1);
    }

    pub fn add(&mut self, site: SiteNumber, day: Day, kind: Kind, hits: u64) {
        if self.sites.len() >= SITES_MAX && !self.sites.contains_key(&site) {
            return;
        }
        let days = self.sites.entry(site).or_default();
        if let Some(count) = days.entry(day).or_default().get_mut(kind as usize) {
            *count = count.saturating_add(hits);
        }
        while days.len() > DAYS_MAX {
            days.pop_first();
        }
    }

    /// What a site was spared, the newest day first, in each the most frequent kind first.
    pub fn rows(&self, site: SiteNumber) -> Vec<CensusRow> {
        let mut rows = Vec::new();
        for (day, counts) in self.sites.get(&site).into_iter().flatten().rev() {
            let mut kinds: Vec<_> = Kind::ALL.into_iter().zip(*counts).filter(|(_, hits)| *hits > 0).collect();
            kinds.sort_by_key(|(_, hits)| std::cmp::Reverse(*hits));
            rows.extend(kinds.into_iter().map(|(kind, hits)| CensusRow {
                day: day.to_string(),
                kind: kind.as_str().to_owned(),
                hits,
            }));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        match text.parse() {
            Ok(crate::counter::Period::Day(day)) => day,
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn a_site_sees_its_own_by_day_and_kind() {
        let (site, other) = (SiteNumber(1), SiteNumber(2));
        let mut census = Census::default();
        census.note(site, day("2024-06-17"), Kind::Seo);
        census.note(site, day("2024-06-17"), Kind::SearchEngine);
        census.note(site, day("2024-06-17"), Kind::Seo);
        census.note(site, day("2024-06-18"), Kind::Repeat);
        census.note(other, day("2024-06-18"), Kind::Webdriver);
        let rows: Vec<_> = census.rows(site).into_iter().map(|row| format!("{} {} {}", row.day, row.kind, row.hits)).collect();
        assert_eq!(rows, ["2024-06-18 repeat 1", "2024-06-17 seo 2", "2024-06-17 search-engine 1"]);
    }

    #[test]
    fn the_newest_days_stay_and_sites_are_bounded() {
        let mut census = Census::default();
        for at in 0..100 {
            let month = 1 + at / 25;
            census.note(SiteNumber(1), day(&format!("2024-{month:02}-{:02}", 1 + at % 25)), Kind::Seo);
        }
        let rows = census.rows(SiteNumber(1));
        assert_eq!((rows.len(), rows[0].day.as_str()), (DAYS_MAX, "2024-04-25"));
        for site in 0..2 * SITES_MAX as u32 {
            census.note(SiteNumber(site), day("2024-06-17"), Kind::Seo);
        }
        assert_eq!(census.sites.len(), SITES_MAX);
    }
}
