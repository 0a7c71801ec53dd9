//! Reading of regular files, of bounded size.
//!
//! A path may lead to something else: a pipe without a writer blocks its reader, and a device may never end.

use std::fmt;
use std::fs::{FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::advice;

/// Reason why a file can't be read, in words that follow `can't read …: `.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The path leads to something that is no file, in words.
    NotRegular(&'static str),
    TooLarge {
        bytes_max: u64,
    },
    /// The system's error, with advice.
    Refused(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRegular(kind) => write!(f, "it is {kind}; expected a file"),
            Self::TooLarge { bytes_max } => write!(f, "it is larger than {bytes_max} bytes"),
            Self::Refused(words) => f.write_str(words),
        }
    }
}

/// The bytes of a regular file of at most `bytes_max`. Never waits for another program.
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    let refused = |error: io::Error| ReadError::Refused(format!("{error}{}", advice(path, &error)));
    // First without opening it: some devices act when they are opened.
    check(std::fs::metadata(path).map_err(refused)?.file_type())?;
    // The path may have got another meaning since.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = file.map_err(refused)?;
    let metadata = file.metadata().map_err(refused)?;
    check(metadata.file_type())?;
    let mut bytes = Vec::with_capacity(metadata.len().min(bytes_max) as usize);
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > bytes_max {
        return Err(ReadError::TooLarge { bytes_max });
    }
    Ok(bytes)
}

/// The same for text.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String, ReadError> {
    String::from_utf8(read(path, bytes_max)?).map_err(|_| ReadError::Refused("it is not in UTF-8".to_owned()))
}

fn check(kind: FileType) -> Result<(), ReadError> {
    if kind.is_file() {
        return Ok(());
    }
    Err(ReadError::NotRegular(match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_a_file_is_read_and_nothing_is_waited_for() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        std::os::unix::fs::symlink(path("pipe"), path("link")).unwrap();
        for (path, kind) in [
            (path(""), "a folder"),
            (path("pipe"), "a pipe"),
            (path("link"), "a pipe"),
            (path("socket"), "a socket"),
            ("/dev/zero".into(), "a device"),
            ("/dev/null".into(), "a device"),
        ] {
            assert_eq!(read(&path, 10), Err(ReadError::NotRegular(kind)), "{}", path.display());
        }
        assert!(matches!(read(&path("none"), 10), Err(ReadError::Refused(_))));
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("file");
        for (length, fits) in [(0, true), (9, true), (10, true), (11, false), (10_000, false)] {
            std::fs::write(&file, vec![b'x'; length]).unwrap();
            assert_eq!(read(&file, 10).map(|bytes| bytes.len()).ok(), fits.then_some(length));
        }
        std::fs::write(&file, [0xff]).unwrap();
        assert!(read_text(&file, 10).is_err());
        // Its size is unknown to the system.
        assert!(read("/proc/self/status".as_ref(), 1 << 20).unwrap().len() > 100);
    }
}
