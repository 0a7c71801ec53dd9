//! The program to compare with.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::drive;

/// Builds or finds the program: a path, or a commit, built as that commit released it.
pub fn program(base: &str) -> PathBuf {
    let given = PathBuf::from(base);
    if given.is_file() {
        return std::fs::canonicalize(given).expect("a program has a path");
    }
    let commit = run(Command::new("git").args(["rev-parse", "--verify", "--quiet", &format!("{base}^{{commit}}")]));
    let folder = std::path::absolute(drive::directory().join("base")).expect("a directory has a path");
    let sources = folder.join(&commit);
    if !sources.exists() {
        run(Command::new("git").args(["worktree", "add", "--quiet", "--force", "--detach"]).arg(&sources).arg(&commit));
    }
    // Before the profile `dist` existed, `release` took its place.
    let manifest = std::fs::read_to_string(sources.join("Cargo.toml")).expect("the commit has a Cargo.toml");
    let profile = if manifest.contains("[profile.dist]") { "dist" } else { "release" };
    let target = folder.join("target");
    eprintln!("building {base} in {}", target.display());
    run(Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--bin", "thongke", "--profile", profile])
        .current_dir(&sources)
        .env("CARGO_TARGET_DIR", &target));
    let program = folder.join(format!("thongke-{commit}"));
    std::fs::copy(target.join(profile).join(Path::new("thongke")), &program).expect("the program can be copied");
    program
}

/// The output of a command; panics unless it succeeds.
fn run(command: &mut Command) -> String {
    let output = command.stderr(std::process::Stdio::inherit()).output().expect("the command can be started");
    assert!(output.status.success(), "{command:?} failed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
