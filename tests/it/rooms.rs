//! The house's lines: which room may know which.

use std::path::Path;

/// Each room with those that it may import.
const MAY_KNOW: [(&str, &[&str]); 11] = [
    ("clock", &[]),
    ("counter", &[]),
    ("metrics", &[]),
    ("bots", &["counter"]),
    ("change_feed", &["counter"]),
    ("ledger", &["change_feed", "counter", "metrics"]),
    ("redis", &["clock", "counter", "metrics"]),
    ("server", &["bots", "clock", "counter", "metrics"]),
    ("config", &["counter", "redis"]),
    ("command_line", &["config", "counter"]),
    ("operate", &["bots", "clock", "config", "counter", "ledger", "metrics", "redis"]),
];

fn imports(path: &Path, found: &mut Vec<(String, String)>) {
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| imports(&entry.unwrap().path(), found));
        return;
    }
    if path.extension().is_none_or(|extension| extension != "rs") {
        return;
    }
    let text = std::fs::read_to_string(path).unwrap();
    for (at, _) in text.match_indices("crate::") {
        let room: String = text[at + 7..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        found.push((path.display().to_string(), room));
    }
}

#[test]
fn each_room_knows_only_the_rooms_it_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, may_know) in MAY_KNOW {
        let mut found = Vec::new();
        let folder = source.join(room);
        imports(&if folder.is_dir() { folder } else { source.join(format!("{room}.rs")) }, &mut found);
        for (file, known) in found {
            assert!(known == room || may_know.contains(&known.as_str()), "{file} must not know `{known}`");
        }
    }
}
