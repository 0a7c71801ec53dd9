//! Redis commands that a node sends: the one list from which preflight, the probe of a running node,
//! `deploy/redis/users.acl` and the documentation take a Redis user's rights.
//!
//! Tests compare it with the sources, with the ACL file and with the documentation. To send another
//! command, add it here and paste the rights that the failing test prints.

use std::fmt::Write as _;

/// One command.
#[derive(Debug)]
pub struct Command {
    /// Upper case; a subcommand follows after a space.
    pub name: &'static str,
    pub access: Access,
    /// Sub-rooms; none: the Redis library.
    pub senders: &'static [&'static str],
    /// Purpose, in words that fit after "to ".
    pub why: &'static str,
    /// Arguments after the key with which preflight tries the command; none: it isn't tried.
    pub probe: Option<(Kind, &'static [&'static str])>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Of the server or the connection, not of a key.
    Server,
    Read,
    Write,
}

/// Type of key that a probe needs or makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Any,
    Hash,
    SortedSet,
    Text,
}

use Access::{Read, Server, Write};
use Kind::{Any, Hash, SortedSet, Text};

const fn command(
    name: &'static str,
    access: Access,
    senders: &'static [&'static str],
    why: &'static str,
    probe: Option<(Kind, &'static [&'static str])>,
) -> Command {
    Command { name, access, senders, why, probe }
}

/// All of them, in the order in which preflight tries them: those of a kind of key together. The first
/// write must be one that a full Redis refuses: after a write, Redis lets a script use more memory.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    command("INFO", Server, &["client"], "read the role, the version and the eviction policy", None),
    command("TIME", Server, &["client"], "see whether the node's clock can be believed", None),
    command("EVAL", Server, &["audit", "client"], "run a script that Redis does not have yet", None),
    command("EVALSHA", Server, &["client"], "run a script that Redis has", None),
    command("TYPE", Read, &["audit", "publish", "registers", "vouching"], "refuse a key of a wrong type before writing", Some((Any, &[]))),
    command("TTL", Read, &["publish", "vouching"], "see whether a key has its expiry", Some((Any, &[]))),
    command("HSET", Write, &["audit", "publish", "registers", "visitors", "vouching"], "write a site's counters, titles, estimates and rules, and tokens", Some((Hash, &["probe", "1"]))),
    command("HSETNX", Write, &["publish"], "write down what the nodes of a site agree on", Some((Hash, &["probe", "1"]))),
    command("HGET", Read, &["audit", "publish", "read", "registers", "tokens", "visitors", "vouching"], "read one field of a site or of the tokens", Some((Hash, &["probe"]))),
    command("HMGET", Read, &["audit", "publish", "read"], "read a site's counters and titles", Some((Hash, &["probe"]))),
    command("HLEN", Read, &["audit", "registers"], "see whether a site's counters changed during a repair, and whether there are rules of pages or tokens", Some((Hash, &[]))),
    command("HSCAN", Read, &["audit", "read", "registers"], "read all counters or rules of a site, all tokens or all sites, in pieces", Some((Hash, &["0"]))),
    command("EXPIREAT", Write, &["client", "publish", "visitors", "vouching"], "let the pages and visitors of old periods expire", Some((Hash, &["1"]))),
    command("ZADD", Write, &["audit", "publish"], "write the counters of pages", Some((SortedSet, &["1", "probe"]))),
    command("ZSCORE", Read, &["audit", "publish", "read", "vouching"], "read one page's counter", Some((SortedSet, &["probe"]))),
    command("ZMSCORE", Read, &["audit", "publish", "read", "vouching"], "read the counters of pages", Some((SortedSet, &["probe"]))),
    command("ZREVRANGE", Read, &["read"], "list the most read pages", Some((SortedSet, &["0", "0"]))),
    command("ZRANGEBYSCORE", Read, &["read"], "list the most read pages that share the last count", Some((SortedSet, &["0", "1"]))),
    command("ZCARD", Read, &["audit"], "see whether the counters of pages changed during a repair", Some((SortedSet, &[]))),
    command("ZSCAN", Read, &["audit", "read"], "read all counters of pages in pieces, or the pages for a reset", Some((SortedSet, &["0"]))),
    command("SET", Write, &["visitors"], "share a day's salt and hand over a sketch", Some((Text, &["probe"]))),
    command("GET", Read, &["visitors"], "read a day's salt", Some((Text, &[]))),
    command("MGET", Read, &["visitors"], "read the sketches of a site's visitors", Some((Text, &[]))),
    command("DEL", Write, &["visitors"], "delete a sketch that was merged", Some((Text, &[]))),
    command("PFMERGE", Write, &["visitors"], "merge sketches of visitors", Some((Text, &[]))),
    command("PFCOUNT", Read, &["visitors"], "estimate the visitors of a day", Some((Text, &[]))),
    command("CLUSTER SLOTS", Server, &[], "find the shards of a cluster", None),
    command("PING", Server, &[], "test a connection of a cluster", None),
    command("ASKING", Server, &[], "follow a key of a cluster that is being moved", None),
    command("SELECT", Server, &[], "choose the database that an address names", None),
    command("ROLE", Server, &[], "see whether a server that Sentinel named is the primary", None),
];

impl Command {
    /// Sent only for sites that count visitors. Salts are also the key of networks' tags.
    pub fn is_for_visitors(&self) -> bool {
        self.senders == ["visitors"] && !["SET", "GET"].contains(&self.name)
    }

    /// Right as an ACL names it.
    pub fn right(&self) -> String {
        format!("+{}", self.name.to_ascii_lowercase().replace(' ', "|"))
    }
}

/// Rights that a node's user needs, as `ACL SETUSER` takes them.
pub fn rights(prefix: &str) -> String {
    let mut rights = format!("~{prefix}:*");
    for command in COMMANDS {
        // Writing to a string never fails.
        let _ = write!(rights, " {}", command.right());
    }
    rights
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    use super::*;

    /// Words in capitals in the sources that are no commands: arguments, error codes, encodings.
    const NO_COMMANDS: &str =
        "WITHSCORES LIMIT COUNT NX EXAT WRONGTYPE NOAUTH WRONGPASS NOREPLICAS MISCONF BUSY NOPERM HDEL ZREM";

    fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files_under(&path, found) } else { found.push(path) }
        }
    }

    /// Literals of nothing but capitals.
    fn capitals(text: &str, quote: char) -> BTreeSet<String> {
        let is_word = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        text.lines()
            .filter(|line| !line.trim_start().starts_with("//") && !line.trim_start().starts_with("--"))
            .flat_map(|line| line.split(quote).skip(1).step_by(2))
            .filter(is_word)
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_list_names_every_command_that_is_sent_and_no_other() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/redis");
        let mut files = Vec::new();
        files_under(&root, &mut files);
        let mut sent: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in files.iter().filter(|file| !file.ends_with("commands.rs")) {
            let text = std::fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let room = file.strip_prefix(&root).unwrap().components().next().unwrap().as_os_str().to_string_lossy();
            let is_lua = file.extension().is_some_and(|extension| extension == "lua");
            for word in capitals(code, if is_lua { '\'' } else { '"' }) {
                if !NO_COMMANDS.split(' ').any(|known| known == word) {
                    sent.entry(word).or_default().insert(room.to_string());
                }
            }
        }
        let from_here = |command: &&Command| !command.senders.is_empty();
        let senders = |command: &Command| command.senders.iter().map(ToString::to_string).collect();
        let listed: BTreeMap<String, BTreeSet<String>> =
            COMMANDS.iter().filter(from_here).map(|command| (command.name.to_owned(), senders(command))).collect();
        for (name, senders) in &sent {
            assert_eq!(listed.get(name), Some(senders), "{name}: left: listed, right: sent");
        }
        assert_eq!(sent.len(), listed.len(), "listed and never sent");
    }

    #[test]
    fn the_acl_file_and_the_documents_give_the_rights_of_the_list() {
        let expected = rights("thongke");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![root.join("README.md"), root.join("deploy/redis/users.acl")];
        files_under(&root.join("docs"), &mut files);
        let mut documents = 0;
        for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "md" || end == "acl")) {
            let text = std::fs::read_to_string(file).unwrap();
            for (at, _) in text.match_indices("~thongke:* +") {
                let found = text[at..].split(['`', '\n']).next().unwrap().trim_end();
                assert_eq!(found, expected, "{}: expected {expected}", file.display());
                documents += usize::from(file.extension().is_some_and(|end| end == "md"));
            }
        }
        let acl = std::fs::read_to_string(root.join("deploy/redis/users.acl")).unwrap();
        assert!(acl.contains(&expected), "users.acl: expected {expected}");
        assert!(documents > 0, "no document says what rights a user needs: {expected}");
    }

    #[test]
    fn every_command_on_a_key_is_tried_by_preflight_and_no_other() {
        for command in COMMANDS {
            assert_eq!(command.probe.is_some(), command.access != Server, "{}", command.name);
        }
    }

    #[test]
    fn commands_of_one_kind_of_key_stand_together() {
        let mut kinds: Vec<_> = COMMANDS.iter().filter_map(|command| Some(command.probe?.0)).collect();
        kinds.dedup();
        assert_eq!(kinds, [Any, Hash, SortedSet, Text]);
    }
}
