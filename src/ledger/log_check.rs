//! Looking at SQLite's write-ahead log before SQLite does.
//!
//! SQLite reads the log up to the first frame whose checksum is wrong and forgets the rest: that is
//! how it drops a commit which a power cut has left half written. Each commit is synced before the
//! next begins, so a power cut can spoil only the last one. Where more commits follow a frame that is
//! wrong, they were acknowledged, and what is wrong is damage.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC_LITTLE_ENDIAN: u32 = 0x377f_0682;
const MAGIC_BIG_ENDIAN: u32 = 0x377f_0683;

/// Says what is wrong with the log, if SQLite would silently forget synced commits over it.
pub fn damage(log: &Path) -> std::io::Result<Option<String>> {
    let file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut reader = std::io::BufReader::with_capacity(1 << 20, file);
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
        // The first may be the one that a power cut interrupted.
        if let Some(wrong) = wrong
            && log.is_commit_of_this_generation(&frame)
        {
            commits_after += 1;
            if commits_after > 1 {
                return Ok(Some(format!("its log is damaged at frame {wrong}, and hits that were counted follow")));
            }
        }
    }
    Ok(None)
}

/// False: the file ended first.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where reading the log stands.
struct Log {
    is_big_endian: bool,
    page_size: usize,
    /// Drawn anew whenever the log is begun again from its start: frames of before have others.
    salts: [u8; 8],
    checksum: (u32, u32),
}

impl Log {
    /// None: this is no header.
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

    /// Whether a frame is the one that SQLite would read next.
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

    /// The running checksum after some more bytes, as SQLite's file format defines it.
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

/// The number at a place; all but what is summed is big-endian.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
