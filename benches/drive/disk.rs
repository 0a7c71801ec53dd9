//! What one sync costs here: the least that a durable hit can wait for.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::stats;

const BLOCK: usize = 4096;
const BLOCKS: usize = 1024;

/// The times of `fdatasync` after each write of a block into a file that has its blocks already.
pub fn syncs(directory: &Path, duration: Duration) -> Vec<u32> {
    let mut file = tempfile::tempfile_in(directory).expect("a file for syncing");
    let block = [7; BLOCK];
    for _ in 0..BLOCKS {
        file.write_all(&block).expect("a block can be written");
    }
    file.sync_all().expect("a file can be synced");
    let mut nanos = Vec::new();
    let started = Instant::now();
    while started.elapsed() < duration {
        if nanos.len() % BLOCKS == 0 {
            file.seek(SeekFrom::Start(0)).expect("a file can be rewound");
        }
        file.write_all(&block).expect("a block can be written");
        let began = Instant::now();
        file.sync_data().expect("a file can be synced");
        nanos.push(stats::nanos(began.elapsed()));
    }
    nanos
}
