//! Hits summed per site, local day and page: what one commit writes.
//!
//! # The journal row
//! A tally is journalled as bytes, all integers in LEB128:
//!
//! ```text
//! 1                                            format version
//! [ tag 1, length, body ]…                     sections; the only one so far is 1, hits
//!   body: [ site number, day number, pages, [ length, address, hits ]… ]…
//! crc32 of all before, little endian, 4 bytes
//! ```
//! Sections leave room for what later versions journal with a hit. A reader that meets a section
//! it doesn't know refuses the row: skipping it would lose something that was acknowledged.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::{Day, PageAddress, SiteNumber};

/// One accepted page view: everything that is decided about it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hit {
    pub site: SiteNumber,
    pub day: Day,
    pub page: PageAddress,
}

/// Hits summed per site, day and page.
///
/// A plain hasher will do, since a page's own hash is a keyed one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    hits: FxHashMap<Hit, u64>,
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

impl Tally {
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
    }

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
    pub fn into_sorted(self) -> Vec<(Hit, u64)> {
        let mut entries: Vec<_> = self.hits.into_iter().collect();
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
        write_number(row, SECTION_HITS);
        write_number(row, body.len() as u64);
        row.extend_from_slice(&body);
        let checksum = crc32fast::hash(row);
        row.extend_from_slice(&checksum.to_le_bytes());
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
        while !rest.is_empty() {
            let section = read_number(&mut rest)?;
            if section != SECTION_HITS {
                return Err(TallyError::Section(section));
            }
            let mut body = read_bytes(&mut rest)?;
            while !body.is_empty() {
                tally.decode_group(&mut body)?;
            }
        }
        Ok(tally)
    }

    fn decode_group(&mut self, body: &mut &[u8]) -> Result<(), TallyError> {
        let site = u32::try_from(read_number(body)?).map(SiteNumber).map_err(|_| TallyError::Malformed)?;
        let day = u32::try_from(read_number(body)?).ok().and_then(Day::from_number).ok_or(TallyError::Malformed)?;
        for _ in 0..read_number(body)? {
            let address = std::str::from_utf8(read_bytes(body)?).map_err(|_| TallyError::Malformed)?;
            let page = PageAddress::from_stored(address);
            let hits = read_number(body)?;
            self.add_many(Hit { site, day, page }, hits);
        }
        Ok(())
    }
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
        prop::collection::vec((0_u32..4, 19_000_u32..19_004, "/\\PC{0,8}", 1_u64..5), 0..40).prop_map(|entries| {
            let mut tally = Tally::default();
            for (site, day, page, hits) in entries {
                let hit = Hit {
                    site: SiteNumber(site),
                    day: Day::from_number(day).unwrap(),
                    page: PageAddress::from_stored(&page),
                };
                tally.add_many(hit, hits);
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
                sum.into_sorted()
            };
            let sum = |entries: &[(Hit, u64)]| entries.iter().map(|(_, hits)| hits).sum::<u64>();
            let all = merged([&a, &b, &c]);
            prop_assert_eq!(&all, &merged([&c, &a, &b]));
            prop_assert_eq!(sum(&all), [&a, &b, &c].iter().map(|t| t.iter().map(|(_, n)| n).sum::<u64>()).sum::<u64>());
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
