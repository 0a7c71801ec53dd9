//! Hits summed by site, local day and page: the content of one commit.

mod journal_row;

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::{Day, PageAddress, SiteNumber, Trace, Visit, Window};

pub use journal_row::TallyError;

/// One accepted page view, with everything that was decided about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hit {
    pub site: SiteNumber,
    pub day: Day,
    pub page: PageAddress,
}

/// A page view to record.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// A hit, with its visitor's marks where the site counts visitors.
    Hit { hit: Hit, visit: Option<Visit> },
    /// A reload: not a hit, but its visitor is online.
    Reload { site: SiteNumber, day: Day, visit: Visit },
}

impl Arrival {
    pub fn is_hit(&self) -> bool {
        matches!(self, Self::Hit { .. })
    }
}

impl From<Hit> for Arrival {
    fn from(hit: Hit) -> Self {
        Self::Hit { hit, visit: None }
    }
}

/// The highest rank of each register of a site's window.
pub type Traces = FxHashMap<(SiteNumber, Window, u16), u8>;

/// Hits summed by site, day and page.
///
/// A plain hasher suffices, since a page's own hash is keyed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    hits: FxHashMap<Hit, u64>,
    visitors: Traces,
}

impl Tally {
    /// An empty tally with room for hits of this many pages.
    pub fn with_room_for(pages: usize) -> Self {
        let mut tally = Self::default();
        tally.hits.reserve(pages);
        tally
    }

    pub fn add_arrival(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Hit { hit, visit } => {
                if let Some(visit) = visit {
                    self.add_visit(hit.site, hit.day, &visit);
                }
                self.add(hit);
            }
            Arrival::Reload { site, day, visit } => self.add_visit(site, day, &visit),
        }
    }

    fn add_visit(&mut self, site: SiteNumber, day: Day, visit: &Visit) {
        for (window, trace) in visit.windows(day) {
            self.add_trace(site, window, trace);
        }
    }

    pub fn add_trace(&mut self, site: SiteNumber, window: Window, trace: Trace) {
        let rank = self.visitors.entry((site, window, trace.register())).or_default();
        *rank = trace.rank().max(*rank);
    }

    /// Sites with visitors in the tally; some more than once.
    pub fn visited_sites(&self) -> Vec<SiteNumber> {
        let mut sites: Vec<_> = self.visitors.keys().map(|(site, ..)| *site).collect();
        sites.dedup();
        sites
    }

    /// Takes the visitors' traces out of the tally.
    pub fn take_visitors(&mut self) -> Vec<(SiteNumber, Window, Trace)> {
        let visitors = std::mem::take(&mut self.visitors).into_iter();
        let mut traces: Vec<_> = visitors
            .filter_map(|((site, window, register), rank)| Some((site, window, Trace::new(register, rank)?)))
            .collect();
        traces.sort_unstable();
        traces
    }

    pub fn add(&mut self, hit: Hit) {
        self.add_many(hit, 1);
    }

    pub fn add_many(&mut self, hit: Hit, hits: u64) {
        match self.hits.entry(hit) {
            Entry::Occupied(mut entry) => *entry.get_mut() += hits,
            Entry::Vacant(entry) => {
                entry.insert(hits);
            }
        }
    }

    pub fn merge(&mut self, other: Self) {
        for (hit, hits) in other.hits {
            self.add_many(hit, hits);
        }
        for (place, rank) in other.visitors {
            let known = self.visitors.entry(place).or_default();
            *known = rank.max(*known);
        }
    }

    /// True without hits; there may be visitors left.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// The number of distinct sites, days and pages.
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    pub fn hits(&self, hit: &Hit) -> u64 {
        self.hits.get(hit).copied().unwrap_or(0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Hit, u64)> {
        self.hits.iter().map(|(hit, hits)| (hit, *hits))
    }

    /// The sums per site and day, over all pages.
    pub fn by_day(&self) -> Vec<(SiteNumber, Day, u64)> {
        let mut days: FxHashMap<(SiteNumber, Day), u64> = FxHashMap::default();
        for (hit, hits) in &self.hits {
            *days.entry((hit.site, hit.day)).or_default() += hits;
        }
        days.into_iter().map(|((site, day), hits)| (site, day, hits)).collect()
    }

    /// All entries, in an order that depends on nothing else: folding remembers its progress as a position.
    pub fn sorted(&self) -> Vec<(Hit, u64)> {
        let mut entries: Vec<_> = self.iter().map(|(hit, hits)| (hit.clone(), hits)).collect();
        entries.sort_unstable();
        entries
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::counter::Minute;

    fn tallies() -> impl Strategy<Value = Tally> {
        let hits = prop::collection::vec((0_u32..4, 19_000_u32..19_004, "/\\PC{0,8}", 1_u64..5), 0..40);
        let visits = (0_u32..4, 19_000_u32..19_004, 0_u32..3, 0_u16..16_384, 1_u8..=51);
        (hits, prop::collection::vec(visits, 0..40)).prop_map(|(hits, visits)| {
            let mut tally = Tally::default();
            for (site, day, page, hits) in hits {
                let hit = Hit {
                    site: SiteNumber(site),
                    day: Day::from_number(day).unwrap(),
                    page: PageAddress::from_stored(&page),
                };
                tally.add_many(hit, hits);
            }
            for (site, day, minute, register, rank) in visits {
                let minute = (minute > 0).then(|| Minute::from_number(28_000_000 + minute));
                let window = Window { day: Day::from_number(day).unwrap(), minute };
                tally.add_trace(SiteNumber(site), window, Trace::new(register, rank).unwrap());
            }
            tally
        })
    }

    fn encoded(tally: &Tally) -> Vec<u8> {
        let mut row = Vec::new();
        tally.encode(&mut row);
        row
    }

    proptest! {
        #[test]
        fn a_row_reads_as_it_was_written(tally in tallies()) {
            prop_assert_eq!(Tally::decode(&encoded(&tally)).unwrap(), tally);
        }

        #[test]
        fn merging_is_adding_up_whatever_the_order(a in tallies(), b in tallies(), c in tallies()) {
            let merged = |parts: [&Tally; 3]| {
                let mut sum = Tally::default();
                parts.into_iter().for_each(|part| sum.merge(part.clone()));
                (sum.take_visitors(), sum.sorted())
            };
            let (visitors, all) = merged([&a, &b, &c]);
            let reordered = merged([&c, &a, &b]);
            prop_assert_eq!((&visitors, &all), (&reordered.0, &reordered.1));
            let sum = |entries: &[(Hit, u64)]| entries.iter().map(|(_, hits)| hits).sum::<u64>();
            prop_assert_eq!(sum(&all), [&a, &b, &c].iter().map(|t| t.iter().map(|(_, n)| n).sum::<u64>()).sum::<u64>());
        }

        #[test]
        fn a_visitor_who_is_told_of_twice_is_one(a in tallies()) {
            let mut twice = a.clone();
            twice.merge(a.clone());
            prop_assert_eq!(twice.take_visitors(), a.clone().take_visitors());
        }

        #[test]
        fn a_damaged_row_is_refused(tally in tallies(), at in any::<prop::sample::Index>(), bit in 0_u32..8, cut in any::<prop::sample::Index>()) {
            let row = encoded(&tally);
            let mut flipped = row.clone();
            flipped[at.index(row.len())] ^= 1_u8 << bit;
            prop_assert!(Tally::decode(&flipped).is_err());
            prop_assert!(Tally::decode(&row[..cut.index(row.len())]).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Tally::decode(&bytes);
            let checksum = crc32fast::hash(&bytes);
            bytes.extend_from_slice(&checksum.to_le_bytes());
            let _ = Tally::decode(&bytes);
        }
    }

    #[test]
    fn an_arrival_adds_its_hit_and_its_visitor_and_a_reload_its_visitor_alone() {
        let day = Day::from_number(19_000).unwrap();
        let (site, other_site) = (SiteNumber(1), SiteNumber(2));
        let hit = |page: &str| Hit { site, day, page: PageAddress::from_stored(page) };
        let visit = Visit { trace: Trace::new(7, 3).unwrap(), minute: Minute::from_number(28_000_000), earlier: None };
        let reload = Arrival::Reload { site: other_site, day, visit };
        assert!(Arrival::from(hit("/a")).is_hit() && !reload.is_hit());

        let mut tally = Tally::with_room_for(8);
        assert!(tally.is_empty() && tally.hits.capacity() >= 8);
        tally.add_arrival(reload);
        assert!(tally.is_empty() && tally.visited_sites() == [other_site], "{tally:?}");
        tally.add_arrival(Arrival::Hit { hit: hit("/a"), visit: Some(visit) });
        tally.add_arrival(hit("/a").into());
        tally.add_arrival(hit("/b").into());
        assert_eq!((tally.hits(&hit("/a")), tally.hits(&hit("/b")), tally.hits(&hit("/c"))), (2, 1, 0));
        assert_eq!((tally.len(), tally.is_empty(), tally.by_day()), (2, false, vec![(site, day, 3)]));
        let windows = [Window::of_day(day), Window::of_minute(day, visit.minute)];
        let expected: Vec<_> =
            [site, other_site].iter().flat_map(|site| windows.map(|window| (*site, window, visit.trace))).collect();
        assert_eq!(tally.take_visitors(), expected);
        assert!(tally.take_visitors().is_empty() && tally.visited_sites().is_empty());
    }
}
