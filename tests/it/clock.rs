//! Programs whose clock starts at a known moment.

use std::ffi::OsStr;
use std::process::Command;

/// A program whose clock starts at a moment. The `faketime` command would take its signals, so the library is
/// preloaded.
pub fn at(moment: &str, program: impl AsRef<OsStr>) -> Command {
    let library = std::fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
        .expect("libfaketime, of Debian's package faketime");
    let mut command = Command::new(program);
    command
        // libc comes before the program's own allocator: redis-server's asks for the time while the library
        // starts, and would recurse.
        .env("LD_PRELOAD", format!("{}:libc.so.6", library.display()))
        .env("FAKETIME", moment)
        .env("TZ", "Asia/Ho_Chi_Minh")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}
