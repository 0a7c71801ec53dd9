//! Shared by the benches that start servers: the servers, their costs, and the clients that drive them.

#![allow(dead_code, reason = "each bench uses a part of it")]

pub mod baseline;
pub mod closed_loop;
pub mod contestant;
pub mod cores;
pub mod disk;
pub mod exchange;
pub mod machine;
pub mod node;
pub mod open_loop;
pub mod process;
pub mod redis_server;
pub mod requests;
pub mod stats;
pub mod table;

use std::path::PathBuf;

/// The folder of servers' files and results. It is on the disk of `target`, since a file system in memory
/// syncs for nothing.
pub fn directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let directory = target.join("bench");
    std::fs::create_dir_all(&directory).expect("a directory for the bench's files");
    directory
}

/// The measured commit, where the sources are a Git checkout.
pub fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let is_changed = git(&["status", "--porcelain", "src", "Cargo.toml"]).is_some_and(|changes| !changes.is_empty());
    Some(if is_changed { format!("{commit}+changes") } else { commit })
}
