//! Findings of the fuzzing targets, replayed in the same properties (`fuzz/README.md`).

#[path = "../fuzz/properties/mod.rs"]
mod properties;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Every file of a target's corpus, and every one that once broke it.
fn replay(target: &str, holds: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (folder, at_least) in [("corpus", 5), ("regressions", 0)] {
        let Ok(files) = std::fs::read_dir(fuzz.join(folder).join(target)) else {
            assert_eq!(at_least, 0, "{target} has no {folder}");
            continue;
        };
        let mut replayed = 0;
        for file in files {
            let path = file.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            let outcome = catch_unwind(AssertUnwindSafe(|| holds(&input)));
            assert!(outcome.is_ok(), "{} breaks a property", path.display());
            replayed += 1;
        }
        assert!(replayed >= at_least, "{target}: {folder} has {replayed} files");
    }
}

#[test]
fn every_target_is_replayed() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for target in manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/")?.strip_suffix(".rs\"")) {
        assert!(include_str!("corpus.rs").contains(&format!("properties::{target}::holds")), "{target}");
    }
}

#[test]
fn hit_bodies() {
    replay("hit_body", properties::hit_body::holds);
}

#[test]
fn requests_on_the_fast_path() {
    replay("fast_path", properties::fast_path::holds);
}

#[test]
fn queries() {
    replay("query", properties::query::holds);
}

#[test]
fn page_addresses() {
    replay("page_address", properties::page_address::holds);
}

#[test]
fn forwarded_fields() {
    replay("forwarded", properties::forwarded::holds);
}

#[test]
fn imports() {
    replay("csv_import", properties::csv_import::holds);
}

#[test]
fn replies_of_the_script() {
    replay("raise_reply", properties::raise_reply::holds);
}

#[test]
fn journal_rows() {
    replay("journal_row", properties::journal_row::holds);
}
