//! SQLite's write-ahead log: its check before SQLite opens it, its length, and copying it into the file.
//!
//! SQLite reads the log up to the first frame with a wrong checksum and ignores the rest. So it drops a commit
//! that a power cut has left half written. Each commit is synced before the next begins, so a power cut can
//! spoil the last one only. Commits after a wrong frame were acknowledged: then the frame is damaged.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC_LITTLE_ENDIAN: u32 = 0x377f_0682;
const MAGIC_BIG_ENDIAN: u32 = 0x377f_0683;

/// Copies the part of the log that no reader needs into the file, without waiting.
pub fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Copies the log into the file and truncates it, so that nothing of its contents is left. False: a reader
/// still needs it.
pub fn truncate(connection: &Connection) -> rusqlite::Result<bool> {
    let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(!is_busy)
}

/// The number of pages in the log, updated by each commit.
pub fn watch_pages(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicU32>> {
    let pages = Arc::new(AtomicU32::new(0));
    let written = Arc::clone(&pages);
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: std::ffi::c_int| {
        written.store(u32::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(pages)
}

/// The damage for which SQLite would silently ignore synced commits.
pub fn damage(log: &Path) -> std::io::Result<Option<String>> {
    let file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    damage_in(std::io::BufReader::with_capacity(1 << 20, file))
}

fn damage_in(mut reader: impl Read) -> std::io::Result<Option<String>> {
    let mut header = [0; HEADER];
    if !fill(&mut reader, &mut header)? {
        return Ok(None);
    }
    let Some(mut log) = Log::new(&header) else {
        // The header is synced before the first frame is written.
        let mut rest = [0; FRAME_HEADER];
        let has_frames = fill(&mut reader, &mut rest)?;
        return Ok(has_frames.then(|| "the header of its log is damaged".to_owned()));
    };
    let mut frame = vec![0; FRAME_HEADER + log.page_size];
    let (mut number, mut wrong, mut commits_after) = (0_u64, None, 0_u32);
    while fill(&mut reader, &mut frame)? {
        number += 1;
        if wrong.is_none() && !log.continues_with(&frame) {
            wrong = Some(number);
        }
        // The first may be the commit that a power cut interrupted.
        if let Some(wrong) = wrong
            && log.is_commit_of_this_generation(&frame)
        {
            commits_after += 1;
            if commits_after > 1 {
                return Ok(Some(format!("its log is damaged at frame {wrong}, and commits follow it")));
            }
        }
    }
    Ok(None)
}

/// Fills the buffer. False: the file ended first.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A position in the log.
struct Log {
    is_big_endian: bool,
    page_size: usize,
    /// Drawn whenever the log restarts: older frames have other salts.
    salts: [u8; 8],
    checksum: (u32, u32),
}

impl Log {
    /// None: the bytes are no header.
    fn new(header: &[u8; HEADER]) -> Option<Self> {
        let is_big_endian = match number(header, 0)? {
            MAGIC_BIG_ENDIAN => true,
            MAGIC_LITTLE_ENDIAN => false,
            _ => return None,
        };
        let page_size = usize::try_from(number(header, 8)?).ok().filter(|size| (512..=65_536).contains(size))?;
        let mut log = Self { is_big_endian, page_size, salts: header.get(16..24)?.try_into().ok()?, checksum: (0, 0) };
        log.checksum = log.summed(header.get(..24)?);
        (log.checksum == (number(header, 24)?, number(header, 28)?)).then_some(log)
    }

    /// True if SQLite would read this frame next.
    fn continues_with(&mut self, frame: &[u8]) -> bool {
        let (Some(head), Some(page)) = (frame.get(..8), frame.get(FRAME_HEADER..)) else { return false };
        self.checksum = self.summed(head);
        self.checksum = self.summed(page);
        let stated = number(frame, 16).zip(number(frame, 20));
        self.has_its_salts(frame) && stated == Some(self.checksum)
    }

    fn is_commit_of_this_generation(&self, frame: &[u8]) -> bool {
        self.has_its_salts(frame) && number(frame, 4).is_some_and(|pages| pages != 0)
    }

    fn has_its_salts(&self, frame: &[u8]) -> bool {
        frame.get(8..16) == Some(self.salts.as_slice())
    }

    /// The running checksum after more bytes, as SQLite's file format defines it.
    fn summed(&self, bytes: &[u8]) -> (u32, u32) {
        let (words, _) = bytes.as_chunks::<4>();
        let value = |word: &[u8; 4]| match self.is_big_endian {
            true => u32::from_be_bytes(*word),
            false => u32::from_le_bytes(*word),
        };
        let (pairs, _) = words.as_chunks::<2>();
        pairs.iter().fold(self.checksum, |(one, two), [first, second]| {
            let one = one.wrapping_add(value(first)).wrapping_add(two);
            (one, two.wrapping_add(value(second)).wrapping_add(one))
        })
    }
}

/// The number at an offset: big-endian, unlike the words of the checksum.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 512;

    /// A log whose frames are pages of a byte each; `true` ends a commit.
    fn log(frames: &[(u8, bool)]) -> Vec<u8> {
        let salts = *b"saltsalt";
        let mut bytes = Vec::new();
        let words = [MAGIC_LITTLE_ENDIAN, 3_007_000, PAGE as u32, 0];
        words.iter().for_each(|word| bytes.extend(word.to_be_bytes()));
        bytes.extend(salts);
        let mut log = Log { is_big_endian: false, page_size: PAGE, salts, checksum: (0, 0) };
        let sum = |log: &mut Log, part: &[u8]| log.checksum = log.summed(part);
        sum(&mut log, &bytes);
        bytes.extend([log.checksum.0, log.checksum.1].iter().flat_map(|word| word.to_be_bytes()));
        for (byte, is_commit) in frames {
            let head = [1, u32::from(*is_commit)].map(u32::to_be_bytes).concat();
            let page = [*byte; PAGE];
            sum(&mut log, &head);
            sum(&mut log, &page);
            bytes.extend(&head);
            bytes.extend(salts);
            bytes.extend([log.checksum.0, log.checksum.1].iter().flat_map(|word| word.to_be_bytes()));
            bytes.extend(page);
        }
        bytes
    }

    fn frame_at(number: usize) -> usize {
        HEADER + (number - 1) * (FRAME_HEADER + PAGE)
    }

    fn is_damaged(bytes: &[u8]) -> bool {
        damage_in(bytes).unwrap().is_some()
    }

    #[test]
    fn a_whole_log_and_one_that_a_power_cut_has_cut_anywhere_are_not_damaged() {
        let whole = log(&[(1, true), (2, false), (3, true)]);
        for length in 0..=whole.len() {
            assert!(!is_damaged(&whole[..length]), "{length}");
        }
    }

    #[test]
    fn a_wrong_frame_is_damage_only_if_more_than_the_interrupted_commit_follows() {
        let whole = log(&[(1, true), (2, true), (3, true)]);
        let spoiled = |number: usize, at: usize| {
            let mut bytes = whole.clone();
            bytes[frame_at(number) + at] ^= 1;
            is_damaged(&bytes)
        };
        for at in [0, 16, FRAME_HEADER, FRAME_HEADER + PAGE - 1] {
            assert_eq!([1, 2, 3].map(|number| spoiled(number, at)), [true, true, false], "{at}");
        }
        // A frame with other salts is of an earlier round of the log, as is all after it.
        assert!(!spoiled(3, 8));
    }

    #[test]
    fn frames_of_an_earlier_round_of_the_log_are_no_damage() {
        let mut bytes = log(&[(1, true), (2, true), (3, true), (4, true)]);
        for number in 2..=4 {
            bytes[frame_at(number) + 8] ^= 1;
        }
        assert!(!is_damaged(&bytes));
    }

    #[test]
    fn a_wrong_header_is_damage_only_where_frames_follow() {
        let mut bytes = log(&[(1, true)]);
        bytes[9] ^= 1;
        assert!(is_damaged(&bytes));
        assert!(!is_damaged(&bytes[..HEADER]));
    }
}
