//! The journal row of a tally.
//!
//! All integers are in LEB128:
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
//! Sections leave room for later versions. A reader refuses a row with an unknown section: skipping it
//! would lose something that was acknowledged. So a new section needs no new version of the format.

use super::{Hit, Tally};
use crate::counter::{Day, Minute, PageAddress, SiteNumber, Trace, Window};

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
/// Most hits of a row: the file's columns hold no more.
const HITS_OF_ROW_MAX: u64 = i64::MAX as u64;
/// A trace is written as one number.
const RANK_RADIX: u64 = 64;

impl Tally {
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
