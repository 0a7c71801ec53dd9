//! Sort of an import's lines by period, page and text, in bounded memory.
//!
//! Lines are sorted in chunks. Each chunk but the last is written to a nameless file as a run, and a read merges the
//! runs. An import of one chunk needs no file.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const NAME: &str = "thongke.import";

/// Memory of a chunk. Vectors grow by doubling, so up to twice as much is taken.
const CHUNK_BYTES: usize = 8 << 20;

/// Bytes of a run that are read at once.
const READ_BYTES: usize = 64 << 10;

/// A line beside its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    pub period: u32,
    /// Hash of the page as it is written.
    pub written: u64,
    pub line: u64,
    pub hits: i64,
}

/// Bytes of a record in a run, without the page.
const RECORD_BYTES: usize = 4 + 4 + 8 + 8 + 8;

/// The order of two lines.
fn compare(one: (&[u8], &Fields), other: (&[u8], &Fields)) -> Ordering {
    let ((page, fields), (other_page, other)) = (one, other);
    let of_one_counter = || (fields.written, fields.line).cmp(&(other.written, other.line));
    fields.period.cmp(&other.period).then_with(|| page.cmp(other_page)).then_with(of_one_counter)
}

/// A line in memory, with its page's place among the chunk's text.
#[derive(Debug, Clone)]
struct Entry {
    page: Range<u32>,
    fields: Fields,
}

#[derive(Debug)]
pub struct Sorter {
    directory: PathBuf,
    text: Vec<u8>,
    entries: Vec<Entry>,
    file: Option<Arc<File>>,
    /// The place of each run in the file.
    runs: Vec<Range<u64>>,
    chunk_bytes: usize,
}

/// Removes what a process that was killed between two calls has left.
pub fn remove_left(directory: &Path) {
    let _ = fs::remove_file(directory.join(NAME));
}

impl Sorter {
    /// Its file will be in the directory, or, while that does not exist, above it.
    pub fn new(directory: &Path) -> Self {
        let (text, entries, runs) = (Vec::new(), Vec::new(), Vec::new());
        Self { directory: directory.to_owned(), text, entries, file: None, runs, chunk_bytes: CHUNK_BYTES }
    }

    pub fn push(&mut self, page: &str, fields: Fields) -> io::Result<()> {
        if self.text.len() + self.entries.len() * size_of::<Entry>() >= self.chunk_bytes {
            self.write_run()?;
        }
        let last = self.entries.last().map(|entry| entry.page.clone());
        let page = match last.filter(|last| text_at(&self.text, last) == page.as_bytes()) {
            Some(same) => same,
            None => {
                let start = place(self.text.len())?;
                self.text.extend_from_slice(page.as_bytes());
                start..place(self.text.len())?
            }
        };
        self.entries.push(Entry { page, fields });
        Ok(())
    }

    /// Bytes of all lines as records.
    pub fn bytes(&self) -> u64 {
        let in_file = self.runs.last().map_or(0, |run| run.end);
        let in_memory =
            self.entries.iter().map(|entry| RECORD_BYTES as u64 + u64::from(entry.page.end - entry.page.start));
        in_file + in_memory.sum::<u64>()
    }

    /// All lines in order. More may be pushed afterwards.
    pub fn sorted(&mut self) -> io::Result<Sorted<'_>> {
        if self.file.is_some() && !self.entries.is_empty() {
            self.write_run()?;
        }
        self.sort();
        let in_memory = (&self.text[..], self.entries.iter());
        let memory = (!self.entries.is_empty()).then(|| Run::of(Records::Memory(in_memory)));
        let of_file = |place: &Range<u64>| {
            let file = Arc::clone(self.file.as_ref()?);
            Some(Run::of(Records::File { file, place: place.clone(), buffer: Vec::new(), at: 0 }))
        };
        let mut heap = BinaryHeap::with_capacity(self.runs.len() + 1);
        for mut run in memory.into_iter().chain(self.runs.iter().filter_map(of_file)) {
            if run.advance()? {
                heap.push(run);
            }
        }
        Ok(Sorted { heap, is_taken: false })
    }

    fn sort(&mut self) {
        let Self { text, entries, .. } = self;
        let line = |of: &Entry| (text_at(text, &of.page), of.fields);
        entries.sort_unstable_by(|one, other| {
            let ((page, fields), (other_page, other)) = (line(one), line(other));
            compare((page, &fields), (other_page, &other))
        });
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.sort();
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(Arc::new(create(&self.directory)?))),
        };
        let start = self.runs.last().map_or(0, |run| run.end);
        let (mut to, mut length) = (io::BufWriter::with_capacity(READ_BYTES, &*file), 0);
        for Entry { page, fields: Fields { period, written, line, hits } } in &self.entries {
            to.write_all(&(page.end - page.start).to_le_bytes())?;
            to.write_all(&period.to_le_bytes())?;
            to.write_all(&written.to_le_bytes())?;
            to.write_all(&line.to_le_bytes())?;
            to.write_all(&hits.to_le_bytes())?;
            to.write_all(text_at(&self.text, page))?;
            length += (RECORD_BYTES + page.len()) as u64;
        }
        to.flush()?;
        self.runs.push(start..start + length);
        self.text.clear();
        self.entries.clear();
        Ok(())
    }
}

/// Creates the file and takes its name away at once: nothing is left of it whatever happens.
fn create(directory: &Path) -> io::Result<File> {
    let existing = directory.ancestors().find(|above| above.is_dir());
    let path = existing.unwrap_or(Path::new(".")).join(NAME);
    let _ = fs::remove_file(&path);
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn place(at: usize) -> io::Result<u32> {
    u32::try_from(at).map_err(|_| io::Error::new(ErrorKind::InvalidInput, "a page's address is too long"))
}

fn text_at<'a>(text: &'a [u8], at: &Range<u32>) -> &'a [u8] {
    &text[at.start as usize..at.end as usize]
}

/// Lines in order.
#[derive(Debug)]
pub struct Sorted<'a> {
    heap: BinaryHeap<Run<'a>>,
    /// True once the first line was taken.
    is_taken: bool,
}

impl Sorted<'_> {
    /// The next line, with its page; none after the last.
    pub fn peek(&mut self) -> io::Result<Option<(&[u8], Fields)>> {
        if std::mem::take(&mut self.is_taken)
            && let Some(mut first) = self.heap.peek_mut()
            && !first.advance()?
        {
            PeekMut::pop(first);
        }
        Ok(self.heap.peek().map(|run| (&run.page[..], run.fields)))
    }

    /// Takes the line that `peek` has shown.
    pub fn take(&mut self) {
        self.is_taken = true;
    }
}

/// A sorted run, with the line in which it is read.
#[derive(Debug)]
struct Run<'a> {
    page: Vec<u8>,
    fields: Fields,
    records: Records<'a>,
}

#[derive(Debug)]
enum Records<'a> {
    Memory((&'a [u8], std::slice::Iter<'a, Entry>)),
    File {
        file: Arc<File>,
        /// Unread bytes.
        place: Range<u64>,
        buffer: Vec<u8>,
        at: usize,
    },
}

impl<'a> Run<'a> {
    fn of(records: Records<'a>) -> Self {
        Self { page: Vec::new(), fields: Fields { period: 0, written: 0, line: 0, hits: 0 }, records }
    }

    /// Reads the next line. False: there is none.
    fn advance(&mut self) -> io::Result<bool> {
        match &mut self.records {
            Records::Memory((text, entries)) => {
                let Some(Entry { page, fields }) = entries.next() else { return Ok(false) };
                self.page.clear();
                self.page.extend_from_slice(text_at(text, page));
                self.fields = *fields;
            }
            Records::File { file, place, buffer, at } => {
                if *at == buffer.len() && place.is_empty() {
                    return Ok(false);
                }
                let head = need(file, place, buffer, at, RECORD_BYTES)?;
                let (length, rest) = number(head)?;
                let (period, rest) = number(rest)?;
                let (written, rest) = number(rest)?;
                let (line, rest) = number(rest)?;
                let (hits, _) = number(rest)?;
                let length = u32::from_le_bytes(length) as usize;
                let (period, written) = (u32::from_le_bytes(period), u64::from_le_bytes(written));
                self.fields =
                    Fields { period, written, line: u64::from_le_bytes(line), hits: i64::from_le_bytes(hits) };
                self.page.clear();
                self.page.extend_from_slice(need(file, place, buffer, at, length)?);
            }
        }
        Ok(true)
    }
}

/// The next bytes of a run.
fn need<'b>(
    file: &File,
    place: &mut Range<u64>,
    buffer: &'b mut Vec<u8>,
    at: &mut usize,
    bytes: usize,
) -> io::Result<&'b [u8]> {
    if buffer.len() - *at < bytes {
        buffer.drain(..*at);
        *at = 0;
        let kept = buffer.len();
        let unread = usize::try_from(place.end - place.start).unwrap_or(usize::MAX);
        buffer.resize(kept + unread.min(READ_BYTES.max(bytes)), 0);
        file.read_exact_at(&mut buffer[kept..], place.start)?;
        place.start += (buffer.len() - kept) as u64;
    }
    let taken = buffer.get(*at..*at + bytes).ok_or(ErrorKind::UnexpectedEof)?;
    *at += bytes;
    Ok(taken)
}

fn number<const BYTES: usize>(from: &[u8]) -> io::Result<([u8; BYTES], &[u8])> {
    let (number, rest) = from.split_first_chunk().ok_or(ErrorKind::UnexpectedEof)?;
    Ok((*number, rest))
}

/// A heap gives the greatest first: the run whose line comes first is the greatest.
impl Ord for Run<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare((&other.page, &other.fields), (&self.page, &self.fields))
    }
}

impl PartialOrd for Run<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Run<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Run<'_> {}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn all(sorter: &mut Sorter) -> Vec<(String, Fields)> {
        let (mut sorted, mut lines) = (sorter.sorted().unwrap(), Vec::new());
        while let Some((page, fields)) = sorted.peek().unwrap() {
            lines.push((String::from_utf8(page.to_vec()).unwrap(), fields));
            sorted.take();
        }
        lines
    }

    #[test]
    fn lines_are_in_order_whatever_the_chunk_and_more_may_follow_a_read() {
        let line = |n: u64| {
            let page = "/".repeat(usize::try_from(n * 7_919 % 83).unwrap());
            let period = u32::try_from(n * 31 % 7).unwrap();
            (page, Fields { period, written: n % 3, line: n, hits: -n.cast_signed() })
        };
        let mut expected: Vec<_> = (0..3_000).map(line).collect();
        expected.sort_by_key(|(page, fields)| (fields.period, page.clone(), fields.written, fields.line));
        for chunk_bytes in [1, 1_000, 100_000, CHUNK_BYTES] {
            let directory = TempDir::new().unwrap();
            let mut sorter = Sorter { chunk_bytes, ..Sorter::new(&directory.path().join("is/not/there")) };
            let push = |sorter: &mut Sorter, n| {
                let (page, fields) = line(n);
                sorter.push(&page, fields).unwrap();
            };
            (0..2_000).for_each(|n| push(&mut sorter, n));
            assert_eq!(all(&mut sorter).len(), 2_000);
            (2_000..3_000).rev().for_each(|n| push(&mut sorter, n));
            assert_eq!(all(&mut sorter), expected, "{chunk_bytes}");
            assert_eq!(all(&mut sorter), expected, "{chunk_bytes}");
            assert_eq!(sorter.runs.is_empty(), chunk_bytes == CHUNK_BYTES);
            // Its file has no name.
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }
}
