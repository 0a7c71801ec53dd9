//! The cost of one sync here: the least wait of a durable hit.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::stats;

const BLOCK: [u8; 4096] = [7; 4096];
const BLOCKS: u64 = 1024;

/// A preallocated file, whose blocks are overwritten in turn.
pub struct Blocks {
    file: File,
    next: u64,
}

impl Blocks {
    pub fn in_directory(directory: &Path) -> Self {
        let mut blocks = Self { file: tempfile::tempfile_in(directory).expect("a file for syncing"), next: 0 };
        (0..BLOCKS).for_each(|_| blocks.write());
        blocks.file.sync_all().expect("a file can be synced");
        blocks
    }

    pub fn write(&mut self) {
        let at = self.next % BLOCKS * BLOCK.len() as u64;
        self.file.write_all_at(&BLOCK, at).expect("a block can be written");
        self.next += 1;
    }

    pub fn sync(&self) {
        self.file.sync_data().expect("a file can be synced");
    }
}

/// Times of `fdatasync`, each after one block's write.
pub fn syncs(directory: &Path, duration: Duration) -> Vec<u32> {
    let mut blocks = Blocks::in_directory(directory);
    let mut nanos = Vec::new();
    let started = Instant::now();
    while started.elapsed() < duration {
        blocks.write();
        let began = Instant::now();
        blocks.sync();
        nanos.push(stats::nanos(began.elapsed()));
    }
    nanos
}
