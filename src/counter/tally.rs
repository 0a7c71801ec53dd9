//! Hits summed per site, local day and page: what one commit writes.
//!
//! # The journal row
//! A tally is journalled as bytes, all integers in LEB128:
//!
//! ```text
//! 1                                            format version
//! [ tag, length, body ]…                       sections, an empty one left out
//!   1, hits:     [ site number, day number, pages, [ length, address, hits ]… ]…
//!   2, visitors: [ site number, day number, minute, traces, [ register · 64 + rank ]… ]…
//! crc32 of all before, little endian, 4 bytes
//! ```
//! Of visitors, minute 0 is the whole day; their traces merge by the highest rank of a register.
//!
//! Sections leave room for what later versions journal with a hit. A reader that meets a section
//! it doesn't know refuses the row: skipping it would lose something that was acknowledged. So a
//! new section needs no new version: a program from before visitors refuses rows that have some
//! (and, before it comes to that, the file, whose schema is newer), and reads all others.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::{Day, Minute, PageAddress, SiteNumber, Trace, Visit, Window};

/// One accepted page view: everything that is decided about it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hit {
    pub site: SiteNumber,
    pub day: Day,
    pub page: PageAddress,
}

/// A page view that is to be kept.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// A hit, and what is kept of who made it, where that is counted.
    Hit { hit: Hit, visit: Option<Visit> },
    /// A reload that is no hit: its reader is here all the same.
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

/// The highest rank that each register has, for visitors who are counted together.
pub type Traces = FxHashMap<(SiteNumber, Window, u16), u8>;

/// Hits summed per site, day and page.
///
/// A plain hasher will do, since a page's own hash is a keyed one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    hits: FxHashMap<Hit, u64>,
    visitors: Traces,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TallyError {
    #[error("its checksum does not match: the row is damaged")]
    Checksum,
    #[error("it ends early or holds what no tally holds: the row is damaged")]
    Malformed,
    #[error("its format is version {0}, and this program knows version 1: a newer thongke wrote it")]
    Version(u8),
    #[error("it holds a section {0} that this program does not know: a newer thongke wrote it")]
    Section(u64),
}

const VERSION: u8 = 1;
const SECTION_HITS: u64 = 1;
const SECTION_VISITORS: u64 = 2;
/// More hits than the file's columns hold are no row's, whatever its checksum says.
const HITS_OF_ROW_MAX: u64 = i64::MAX as u64;
/// A trace is written as one number.
const RANK_RADIX: u64 = 64;

impl Tally {
    /// One that need not grow while hits of up to so many pages are added.
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

    /// The sites of whose visitors it tells; some more than once.
    pub fn visited_sites(&self) -> Vec<SiteNumber> {
        let mut sites: Vec<_> = self.visitors.keys().map(|(site, ..)| *site).collect();
        sites.dedup();
        sites
    }

    /// The traces of its visitors, which are kept apart from then on.
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

    /// Holds no hits; of visitors, a row that is folded may still tell.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// How many different sites, days and pages it holds.
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

    /// Every entry, in the one order that depends on nothing but the entries: folding remembers
    /// how far it came as a position in it.
    pub fn sorted(&self) -> Vec<(Hit, u64)> {
        let mut entries: Vec<_> = self.iter().map(|(hit, hits)| (hit.clone(), hits)).collect();
        entries.sort_unstable();
        entries
    }

    /// Appends the journal row to `row`, which is empty and reused between commits.
    pub fn encode(&self, row: &mut Vec<u8>) {
        debug_assert!(row.is_empty());
        let mut entries: Vec<_> = self.hits.iter().collect();
        entries.sort_unstable_by_key(|(hit, _)| (hit.site, hit.day));
        let mut body = Vec::with_capacity(entries.len() * 48);
        for group in entries.chunk_by(|(a, _), (b, _)| (a.site, a.day) == (b.site, b.day)) {
            let Some((first, _)) = group.first() else { continue };
            write_number(&mut body, u64::from(first.site.0));
            write_number(&mut body, u64::from(first.day.number()));
            write_number(&mut body, group.len() as u64);
            for (hit, hits) in group {
                write_number(&mut body, hit.page.as_str().len() as u64);
                body.extend_from_slice(hit.page.as_str().as_bytes());
                write_number(&mut body, **hits);
            }
        }
        row.push(VERSION);
        write_section(row, SECTION_HITS, &body);
        if !self.visitors.is_empty() {
            write_section(row, SECTION_VISITORS, &self.encode_visitors());
        }
        let checksum = crc32fast::hash(row);
        row.extend_from_slice(&checksum.to_le_bytes());
    }

    fn encode_visitors(&self) -> Vec<u8> {
        let mut traces: Vec<_> =
            self.visitors.iter().map(|((site, window, at), rank)| (*site, *window, *at, *rank)).collect();
        traces.sort_unstable();
        let mut body = Vec::with_capacity(traces.len() * 4);
        for group in traces.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let Some((site, window, ..)) = group.first() else { continue };
            write_number(&mut body, u64::from(site.0));
            write_number(&mut body, u64::from(window.day.number()));
            write_number(&mut body, window.minute.map_or(0, |minute| u64::from(minute.number())));
            write_number(&mut body, group.len() as u64);
            for (.., register, rank) in group {
                write_number(&mut body, u64::from(*register) * RANK_RADIX + u64::from(*rank));
            }
        }
        body
    }

    pub fn decode(row: &[u8]) -> Result<Self, TallyError> {
        let (content, checksum) = row.split_last_chunk::<4>().ok_or(TallyError::Malformed)?;
        if crc32fast::hash(content).to_le_bytes() != *checksum {
            return Err(TallyError::Checksum);
        }
        let (version, mut rest) = content.split_first().ok_or(TallyError::Malformed)?;
        if *version != VERSION {
            return Err(TallyError::Version(*version));
        }
        let mut tally = Self::default();
        let mut total = 0;
        while !rest.is_empty() {
            let section = read_number(&mut rest)?;
            let mut body = read_bytes(&mut rest)?;
            while !body.is_empty() {
                match section {
                    SECTION_HITS => tally.decode_hits(&mut body, &mut total)?,
                    SECTION_VISITORS => tally.decode_visitors(&mut body)?,
                    _ => return Err(TallyError::Section(section)),
                }
            }
        }
        Ok(tally)
    }

    fn decode_hits(&mut self, body: &mut &[u8], total: &mut u64) -> Result<(), TallyError> {
        let (site, day) = read_site_and_day(body)?;
        for _ in 0..read_number(body)? {
            let address = std::str::from_utf8(read_bytes(body)?).map_err(|_| TallyError::Malformed)?;
            let page = PageAddress::from_stored(address);
            let hits = read_number(body)?;
            *total = total.checked_add(hits).filter(|total| *total <= HITS_OF_ROW_MAX).ok_or(TallyError::Malformed)?;
            self.add_many(Hit { site, day, page }, hits);
        }
        Ok(())
    }

    fn decode_visitors(&mut self, body: &mut &[u8]) -> Result<(), TallyError> {
        let (site, day) = read_site_and_day(body)?;
        let minute = u32::try_from(read_number(body)?).map_err(|_| TallyError::Malformed)?;
        let window = Window { day, minute: (minute > 0).then(|| Minute::from_number(minute)) };
        for _ in 0..read_number(body)? {
            let number = read_number(body)?;
            let register = u16::try_from(number / RANK_RADIX).map_err(|_| TallyError::Malformed)?;
            let rank = (number % RANK_RADIX) as u8;
            self.add_trace(site, window, Trace::new(register, rank).ok_or(TallyError::Malformed)?);
        }
        Ok(())
    }
}

fn read_site_and_day(body: &mut &[u8]) -> Result<(SiteNumber, Day), TallyError> {
    let site = u32::try_from(read_number(body)?).map(SiteNumber).map_err(|_| TallyError::Malformed)?;
    let day = u32::try_from(read_number(body)?).ok().and_then(Day::from_number).ok_or(TallyError::Malformed)?;
    Ok((site, day))
}

fn write_section(row: &mut Vec<u8>, tag: u64, body: &[u8]) {
    write_number(row, tag);
    write_number(row, body.len() as u64);
    row.extend_from_slice(body);
}

fn write_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push((number as u8) | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn read_number(from: &mut &[u8]) -> Result<u64, TallyError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first().ok_or(TallyError::Malformed)?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(TallyError::Malformed)
}

fn read_bytes<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], TallyError> {
    let length = usize::try_from(read_number(from)?).map_err(|_| TallyError::Malformed)?;
    let (bytes, rest) = from.split_at_checked(length).ok_or(TallyError::Malformed)?;
    *from = rest;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
}
