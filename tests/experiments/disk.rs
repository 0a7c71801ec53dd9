//! A disk as a power cut leaves it: rebuilt from the trace of a node's system calls.

use std::collections::BTreeMap;
use std::path::Path;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// Files with their synced and their merely written content.
#[derive(Debug, Default)]
pub struct Disk {
    files: BTreeMap<String, File>,
    /// The file whose sync a thread waits for.
    syncing: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct File {
    synced: Vec<u8>,
    /// Writes since the last sync, in order.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(bytes);
            }
            Self::Length(length) => to.resize(*length, 0),
        }
    }
}

/// The effect of a line of the trace.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Synced,
    /// These bytes went to a socket, a pipe or the log.
    Sent(Vec<u8>),
}

impl Disk {
    /// Applies one line of a trace (`strace -f -y -x`); paths are those under `folder`.
    pub fn play(&mut self, line: &str, folder: &Path) -> Option<Event> {
        let (thread, line) = line.split_once(' ')?;
        let line = line.trim_start();
        // An interrupted call took effect at its begin, except for a sync, which holds only once it has
        // returned.
        if line.starts_with("<... ") {
            return self.syncing.remove(thread).and_then(|path| self.sync(&path));
        }
        let (call, arguments) = line.split_once('(')?;
        let path = || {
            let path = arguments.split_once('<')?.1.split_once('>')?.0;
            Path::new(path).strip_prefix(folder).ok()?.to_str().map(str::to_owned)
        };
        let bytes = || unescape(arguments.split_once('"')?.1);
        let last = || arguments.rsplit(", ").next()?.split([')', ' ']).next()?.parse::<usize>().ok();
        match call {
            "pwrite64" | "write" | "ftruncate" => {
                let Some(path) = path() else { return bytes().map(Event::Sent) };
                let file = self.files.entry(path).or_default();
                let change = match call {
                    "ftruncate" => Change::Length(last()?),
                    "pwrite64" => Change::Write { at: last()?, bytes: bytes()? },
                    // The lock file, written from its beginning.
                    _ => Change::Write { at: file.pending.len(), bytes: bytes()? },
                };
                file.pending.push(change);
                None
            }
            "fsync" | "fdatasync" => {
                let path = path()?;
                if line.ends_with("<unfinished ...>") {
                    self.syncing.insert(thread.to_owned(), path);
                    return None;
                }
                self.sync(&path)
            }
            // A change of names counts as lasting from the moment of the call.
            "rename" => {
                let mut names = arguments.split('"').skip(1).step_by(2);
                let name = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
                let (from, to) = (name(names.next()?), name(names.next()?));
                let file = self.files.remove(&from)?;
                self.files.insert(to, file);
                None
            }
            "unlink" => {
                let path = arguments.split('"').nth(1)?;
                self.files.remove(Path::new(path).file_name()?.to_str()?);
                None
            }
            "sendto" | "writev" | "sendmsg" => bytes().map(Event::Sent),
            _ => None,
        }
    }

    fn sync(&mut self, path: &str) -> Option<Event> {
        let File { synced, pending } = self.files.get_mut(path)?;
        pending.drain(..).for_each(|change| change.apply(synced));
        Some(Event::Synced)
    }

    /// Writes a state that a power cut may leave: everything synced, and with dice some unsynced writes,
    /// unordered, the last one torn.
    pub fn leave(&self, folder: &Path, mut dice: Option<&mut StdRng>) {
        std::fs::create_dir_all(folder).unwrap();
        for (name, file) in self.files.iter().filter(|(name, _)| !name.ends_with("-shm")) {
            let mut bytes = file.synced.clone();
            for change in &file.pending {
                match dice.as_deref_mut().map(|dice| dice.random_range(0..8)) {
                    None | Some(0..4) => {}
                    Some(4) => torn(change).apply(&mut bytes),
                    Some(_) => change.apply(&mut bytes),
                }
            }
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

fn torn(change: &Change) -> Change {
    match change {
        Change::Write { at, bytes } => Change::Write { at: *at, bytes: bytes[..bytes.len() / 1024 * 512].to_vec() },
        Change::Length(length) => Change::Length(*length),
    }
}

/// A string of the trace up to its closing quote.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.bytes();
    loop {
        match rest.next()? {
            b'"' => break,
            b'\\' => bytes.push(match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                b'f' => 12,
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                // NUL and other octals do not occur: the trace prints such strings in hexadecimal.
                other => other,
            }),
            byte => bytes.push(byte),
        }
    }
    let is_whole = rest.next() != Some(b'.');
    assert!(is_whole, "the trace cuts strings short");
    Some(bytes)
}
