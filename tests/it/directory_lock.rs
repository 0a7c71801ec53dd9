use std::path::Path;
use std::time::{Duration, Instant};

use thongke::ledger::{DirectoryLock, OpenError};

const LIMIT: Duration = Duration::from_secs(10);

/// Takes a directory's lock. A program that another test is just starting still holds locks that this process has let go.
pub fn take(directory: &Path) -> Result<DirectoryLock, OpenError> {
    let begun = Instant::now();
    loop {
        match DirectoryLock::take(directory) {
            Err(OpenError::InUse { .. }) if begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(10)),
            taken => return taken,
        }
    }
}
