//! Numbers of uncounted hits, by site, day and kind.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::Kind;
use crate::counter::{Day, Period, SiteId};

/// Name in the data directory; older versions wrote the same file.
pub const UNCOUNTED_FILE: &str = "spared.csv";

/// Largest such file that is read.
pub const UNCOUNTED_BYTES_MAX: u64 = 512 << 20;

/// Newest days of a site that are kept.
pub const UNCOUNTED_DAYS_MAX: usize = 40;

/// Most sites that are kept; further ones are in the metrics only. A site's day takes 160 bytes, so all
/// take less than 64 MB.
const SITES_MAX: usize = 10_000;

/// Numbers of uncounted hits.
#[derive(Debug, Default)]
pub struct Uncounted {
    sites: FxHashMap<SiteId, BTreeMap<Day, [u64; Kind::ALL.len()]>>,
}

/// Number of a day's uncounted hits of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncountedRow {
    pub day: String,
    pub kind: String,
    pub hits: u64,
}

impl Uncounted {
    pub fn note(&mut self, site: &SiteId, day: Day, kind: Kind) {
        self.add(site, day, kind, 1);
    }

    fn add(&mut self, site: &SiteId, day: Day, kind: Kind, hits: u64) {
        if !self.sites.contains_key(site) {
            if self.sites.len() >= SITES_MAX {
                return;
            }
            self.sites.insert(site.clone(), BTreeMap::new());
        }
        let Some(days) = self.sites.get_mut(site) else { return };
        if let Some(count) = days.entry(day).or_default().get_mut(kind as usize) {
            *count = count.saturating_add(hits);
        }
        while days.len() > UNCOUNTED_DAYS_MAX {
            days.pop_first();
        }
    }

    /// A site's numbers: the newest day first, and the most frequent kind of a day first.
    pub fn rows(&self, site: &SiteId) -> Vec<UncountedRow> {
        let mut rows = Vec::new();
        for (day, counts) in self.sites.get(site).into_iter().flatten().rev() {
            let mut kinds: Vec<_> = Kind::ALL.into_iter().zip(*counts).filter(|(_, hits)| *hits > 0).collect();
            kinds.sort_by_key(|(_, hits)| std::cmp::Reverse(*hits));
            let row = |((_, kind), hits): ((Kind, &str), u64)| UncountedRow {
                day: day.to_string(),
                kind: kind.to_owned(),
                hits,
            };
            rows.extend(kinds.into_iter().map(row));
        }
        rows
    }

    /// Lines `site,day,kind,hits`.
    pub fn to_lines(&self) -> String {
        let mut text = String::new();
        for site in self.sites.keys() {
            for UncountedRow { day, kind, hits } in self.rows(site) {
                text.push_str(&format!("{site},{day},{kind},{hits}\n"));
            }
        }
        text
    }

    /// Reads such lines, and skips those that this version can't read.
    pub fn from_lines(text: &str) -> Self {
        let mut uncounted = Self::default();
        for line in text.lines() {
            let mut fields = line.split(',');
            let mut field = || fields.next().unwrap_or_default();
            let (site, day, kind, hits) = (field().parse(), field().parse(), Kind::named(field()), field().parse());
            if let (Ok(site), Ok(Period::Day(day)), Some(kind), Ok(hits)) = (site, day, kind, hits) {
                uncounted.add(&site, day, kind, hits);
            }
        }
        uncounted
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

    fn id(text: &str) -> SiteId {
        text.parse().unwrap()
    }

    #[test]
    fn uncounted_hits_are_read_as_they_were_written_and_damage_costs_a_line() {
        let mut uncounted = Uncounted::default();
        for (kind, _) in Kind::ALL {
            uncounted.note(&id("a"), day("2024-06-17"), kind);
            uncounted.note(&id("b"), day("2024-06-18"), kind);
            uncounted.note(&id("b"), day("2024-06-18"), kind);
        }
        let text = uncounted.to_lines();
        let read = Uncounted::from_lines(&text);
        for site in ["a", "b"] {
            assert_eq!(read.rows(&id(site)), uncounted.rows(&id(site)));
        }
        let damaged = format!(
            "a,2024-06-17,seo\n,,\nA!,2024-06-17,seo,1\na,2024-02-30,seo,1\na,2024-06-17,new-kind,1\n{text}a,20"
        );
        assert_eq!(Uncounted::from_lines(&damaged).rows(&id("a")), uncounted.rows(&id("a")));
    }

    #[test]
    fn a_site_sees_its_own_by_day_and_kind() {
        let (site, other) = (id("a"), id("b"));
        let mut uncounted = Uncounted::default();
        uncounted.note(&site, day("2024-06-17"), Kind::Seo);
        uncounted.note(&site, day("2024-06-17"), Kind::SearchEngine);
        uncounted.note(&site, day("2024-06-17"), Kind::Seo);
        uncounted.note(&site, day("2024-06-18"), Kind::Repeat);
        uncounted.note(&other, day("2024-06-18"), Kind::Webdriver);
        let rows: Vec<_> =
            uncounted.rows(&site).into_iter().map(|row| format!("{} {} {}", row.day, row.kind, row.hits)).collect();
        assert_eq!(rows, ["2024-06-18 repeat 1", "2024-06-17 seo 2", "2024-06-17 search-engine 1"]);
    }

    #[test]
    fn the_newest_days_stay_and_sites_are_bounded() {
        let mut uncounted = Uncounted::default();
        for at in 0..100 {
            let month = 1 + at / 25;
            uncounted.note(&id("a"), day(&format!("2024-{month:02}-{:02}", 1 + at % 25)), Kind::Seo);
        }
        let rows = uncounted.rows(&id("a"));
        assert_eq!((rows.len(), rows[0].day.as_str()), (UNCOUNTED_DAYS_MAX, "2024-04-25"));
        for site in 0..2 * SITES_MAX {
            uncounted.note(&id(&format!("s{site}")), day("2024-06-17"), Kind::Seo);
        }
        assert_eq!(uncounted.sites.len(), SITES_MAX);
    }
}
