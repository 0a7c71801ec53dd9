//! Rooms of the source: their directions, and the absence of cycles among their files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Top-level rooms, each with the rooms that it may import.
const MAY_KNOW: [(&str, &[&str]); 14] = [
    ("clock", &[]),
    ("page", &[]),
    ("counter", &["page"]),
    ("metrics", &[]),
    ("obstacle", &[]),
    ("bots", &["counter"]),
    ("change_feed", &["counter"]),
    ("ledger", &["change_feed", "counter", "metrics", "obstacle"]),
    ("redis", &["change_feed", "clock", "counter", "metrics"]),
    ("server", &["bots", "clock", "counter", "metrics", "page"]),
    ("config", &["counter", "obstacle", "page", "redis", "server"]),
    ("doctor", &["counter"]),
    ("command_line", &["config", "counter", "doctor"]),
    (
        "operate",
        &[
            "bots",
            "clock",
            "command_line",
            "config",
            "counter",
            "doctor",
            "ledger",
            "metrics",
            "obstacle",
            "redis",
            "server",
        ],
    ),
];

/// Sub-rooms of a room, from the lowest level to the highest. A sub-room may import its own level and lower
/// ones.
const LEVELS: [(&str, &[&[&str]]); 3] = [
    (
        "server",
        &[
            &["ports", "routes"],
            &["net"],
            &["http"],
            &["hit"],
            &["hot_endpoints", "refusals", "session"],
            &["fast_path", "openapi", "series", "service"],
            &["public"],
            &["admin"],
            &["manage"],
            &["driver"],
        ],
    ),
    ("ledger", &[&["sqlite"], &["fold", "memory", "query"], &["commit"]]),
    (
        "redis",
        &[
            &["ports", "keys", "commands"],
            &["client"],
            &["publish"],
            &["registers"],
            &["page_rules", "tokens", "visitors", "vouching"],
            &["read", "audit"],
        ],
    ),
];

/// A path in the source, as its segments; also a module's name.
type Segments = Vec<String>;

/// Imports of a source tree, and its modules.
#[derive(Default)]
struct Tree {
    /// Paths that each module names.
    named: BTreeMap<Segments, Vec<Segments>>,
    /// All modules, including those without a file of their own.
    modules: BTreeSet<Segments>,
    /// Path that a `pub use` gives a name, by module and name.
    reexports: BTreeMap<(Segments, String), Segments>,
    /// True: each folder is a crate of its own, as in `benches`.
    has_crates: bool,
}

/// Words and signs of the text, without comments, strings and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut rest, mut tokens) = (text, Vec::new());
    while let Some(first) = rest.chars().next() {
        let prefix = ["br", "r"].into_iter().find(|prefix| rest.starts_with(prefix)).map_or(0, str::len);
        let hashes = rest[prefix..].bytes().take_while(|byte| *byte == b'#').count();
        let is_raw = prefix > 0 && rest[prefix + hashes..].starts_with('"');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if is_raw {
            let (begin, end) = (prefix + hashes + 1, format!("\"{}", "#".repeat(hashes)));
            begin + rest[begin..].find(&end).unwrap() + end.len()
        } else if first == '"' {
            let is_escaped = |at: usize| rest[1..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
            rest.match_indices('"').map(|(at, _)| at).find(|at| *at > 0 && !is_escaped(*at)).unwrap() + 1
        } else if first == '\'' {
            match rest[1..].chars().next() {
                Some('\\') => rest[3..].find('\'').unwrap() + 4,
                Some(c) if rest[1 + c.len_utf8()..].starts_with('\'') => c.len_utf8() + 2,
                _ => 1,
            }
        } else if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let token = &rest[..length];
        if is_word(first) && !is_raw || "{},;:*()$".contains(first) {
            tokens.push(token.to_owned());
        }
        rest = &rest[length..];
    }
    tokens
}

/// Parses a tree of `use` from `at` on: each path with its local name.
fn read_use(tokens: &[String], at: &mut usize, prefix: &[String], found: &mut Vec<(Segments, String)>) {
    let mut path = prefix.to_vec();
    loop {
        let token = tokens[*at].clone();
        *at += 1;
        match token.as_str() {
            "{" => {
                while tokens[*at] != "}" {
                    read_use(tokens, at, &path, found);
                    *at += usize::from(tokens[*at] == ",");
                }
                *at += 1;
                return;
            }
            "::" => {}
            _ => {
                path.push(token.clone());
                if tokens[*at] == "::" {
                    continue;
                }
                let is_renamed = tokens[*at] == "as";
                let name = if is_renamed { tokens[*at + 1].clone() } else { token };
                *at += 2 * usize::from(is_renamed);
                found.push((path, name));
                return;
            }
        }
    }
}

impl Tree {
    fn add(&mut self, module: Segments, text: &str) {
        let tokens = tokens(text);
        let is_word = |at: usize| tokens.get(at).is_some_and(|token| token.starts_with(|c: char| c.is_alphabetic()));
        let (mut named, mut at) = (Vec::new(), 0);
        while at < tokens.len() {
            if tokens[at] == "use" {
                let is_public = at > 0 && ["pub", ")"].contains(&tokens[at - 1].as_str());
                let mut found = Vec::new();
                at += 1;
                read_use(&tokens, &mut at, &[], &mut found);
                for (path, name) in found {
                    if is_public {
                        self.reexports.insert((module.clone(), name), path.clone());
                    }
                    named.push(path);
                }
            } else if is_word(at) && tokens.get(at + 1).is_some_and(|next| next == "::") {
                let mut path = vec![tokens[at].clone()];
                while tokens.get(at + 1).is_some_and(|next| next == "::") && is_word(at + 2) {
                    path.push(tokens[at + 2].clone());
                    at += 2;
                }
                named.push(path);
                at += 1;
            } else {
                at += 1;
            }
        }
        self.modules.extend((1..=module.len()).map(|length| module[..length].to_vec()));
        self.named.insert(module, named);
    }

    /// Adds all files of a folder. `with_tests` includes the parts below `#[cfg(test)]`.
    fn add_folder(&mut self, folder: &Path, module: &[String], with_tests: bool) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let mut child = module.to_vec();
            if path.is_dir() {
                child.push(stem);
                self.add_folder(&path, &child, with_tests);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let is_root = ["mod", "lib"].contains(&stem.as_str()) || (stem == "main" && !module.is_empty());
                if stem == "main" && module.is_empty() {
                    continue;
                }
                if !is_root {
                    child.push(stem);
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                self.add(child, if with_tests { &text } else { code });
            }
        }
    }

    /// The module in which a path of `module` ends; none outside the tree.
    fn resolve(&self, module: &[String], path: &[String]) -> Option<Segments> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" if self.has_crates => {
                let own = [&module[..1], &rest[..1.min(rest.len())]].concat();
                if self.modules.contains(&own) { module[..1].to_vec() } else { Vec::new() }
            }
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module[..module.len().checked_sub(1)?].to_vec(),
            _ => {
                rest = path;
                let child = [module, &path[..1]].concat();
                self.modules.contains(&child).then(|| module.to_vec())?
            }
        };
        for (index, segment) in rest.iter().enumerate() {
            if segment == "super" {
                at.pop()?;
                continue;
            }
            let child = [at.as_slice(), std::slice::from_ref(segment)].concat();
            if self.modules.contains(&child) {
                at = child;
            } else if let Some(target) = self.reexports.get(&(at.clone(), segment.clone())) {
                let onward = [target.as_slice(), &rest[index + 1..]].concat();
                return self.resolve(&at, &onward).or(Some(at));
            } else {
                break;
            }
        }
        Some(at)
    }

    /// Each module with its imports, except itself, its parent and its children.
    fn imports(&self) -> BTreeMap<Segments, BTreeSet<Segments>> {
        let is_parent = |parent: &[String], child: &[String]| child.split_last().is_some_and(|(_, of)| of == parent);
        let mut imports = BTreeMap::<_, BTreeSet<_>>::new();
        for (module, named) in &self.named {
            let known = named.iter().filter_map(|path| self.resolve(module, path));
            let others =
                known.filter(|known| known != module && !is_parent(known, module) && !is_parent(module, known));
            imports.insert(module.clone(), others.collect());
        }
        imports
    }
}

/// A cycle, if there is one.
fn cycle<N: Ord + Clone>(imports: &BTreeMap<N, BTreeSet<N>>) -> Option<Vec<N>> {
    fn visit<N: Ord + Clone>(
        node: &N,
        imports: &BTreeMap<N, BTreeSet<N>>,
        path: &mut Vec<N>,
        done: &mut BTreeSet<N>,
    ) -> Option<Vec<N>> {
        if let Some(at) = path.iter().position(|on_path| on_path == node) {
            return Some(path[at..].to_vec());
        }
        if done.contains(node) {
            return None;
        }
        path.push(node.clone());
        let found = imports.get(node).into_iter().flatten().find_map(|next| visit(next, imports, path, done));
        path.pop();
        done.insert(node.clone());
        found
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|node| visit(node, imports, &mut Vec::new(), &mut done))
}

fn tree(folder: &str, with_tests: bool) -> Tree {
    let mut tree = Tree { has_crates: folder == "benches", ..Tree::default() };
    tree.add_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &[], with_tests);
    tree
}

/// Rooms without sub-rooms may still have cycles.
fn is_divided(room: &str) -> bool {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
    let levels = LEVELS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, levels)| levels);
    levels
        .iter()
        .flat_map(|level| level.iter())
        .all(|name| folder.join(name).is_dir() || folder.join(format!("{name}.rs")).is_file())
}

#[test]
fn each_room_knows_only_the_rooms_it_may() {
    let tree = tree("src", true);
    let rooms: BTreeSet<_> = tree.named.keys().filter_map(|module| module.first().cloned()).collect();
    for (module, named) in &tree.named {
        let Some(room) = module.first() else { continue };
        let Some((_, may_know)) = MAY_KNOW.iter().find(|(name, _)| name == room) else { continue };
        for path in named.iter().filter(|path| path[0] == "crate").filter_map(|path| path.get(1)) {
            let is_known = path == room || may_know.contains(&path.as_str()) || !rooms.contains(path);
            assert!(is_known, "{} must not know `{path}`", module.join("/"));
        }
    }
}

#[test]
fn each_sub_room_knows_only_its_own_level_and_lower_ones() {
    let imports = tree("src", false).imports();
    for (room, levels) in LEVELS {
        let level_of = |module: &Segments| {
            let name = module.get(1).filter(|_| module[0] == room)?;
            levels.iter().position(|level| level.contains(&name.as_str()))
        };
        let mut between = BTreeMap::<String, BTreeSet<String>>::new();
        for (module, known) in &imports {
            let Some(level) = level_of(module) else { continue };
            for known in known.iter().filter(|known| known.get(1) != module.get(1)) {
                let Some(of_known) = level_of(known) else { continue };
                assert!(of_known <= level, "{} must not know `{}`", module.join("/"), known.join("/"));
                between.entry(module[1].clone()).or_default().insert(known[1].clone());
            }
        }
        assert_eq!(cycle(&between), None, "the sub-rooms of `{room}` have a cycle");
    }
}

#[test]
fn no_files_import_one_another_in_a_cycle() {
    let mut imports = tree("src", false).imports();
    let undivided = |module: &Segments| {
        module.first().is_some_and(|room| LEVELS.iter().any(|(name, _)| name == room) && !is_divided(room))
    };
    imports.retain(|module, _| !undivided(module));
    assert_eq!(cycle(&imports), None);
    assert_eq!(cycle(&tree("benches", false).imports()), None);
}

#[test]
fn a_cycle_is_found_however_it_is_imported() {
    let cycle_of = |files: &[(&str, &str)]| {
        let mut tree = Tree::default();
        let module = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        files.iter().for_each(|(path, text)| tree.add(module(path), text));
        cycle(&tree.imports())
    };
    let lower = "pub struct B; // use super::b::C;\nconst S: &str = \"crate::a::b\"; const C: char = '\"';";
    let without =
        [("", "mod a;"), ("a", "pub mod b; pub mod c; pub use b::B;"), ("a/b", lower), ("a/c", "use super::B;")];
    assert_eq!(cycle_of(&without), None);
    for import in [
        "use super::c::C;",
        "use crate::a::c;",
        "use crate::{x, a::{self, c::{C, D}}};",
        "use super::super::a::c::C as D;",
        "fn f<'a>() -> crate::a::c::C { super::c::make() }",
    ] {
        let with = [without[0], without[1], ("a/b", import), without[3]];
        assert!(cycle_of(&with).is_some(), "{import}");
    }
}
