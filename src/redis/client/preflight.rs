//! Preflight: problems of a Redis that an operator should know before nodes rely on it; and the probe
//! of a running node's rights.

use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::{InfoDict, RedisError, RedisResult};

use super::Shared;
use super::connect::connect;
use super::link::Link;
use super::policy;
use super::reply::reason_of;
use super::server_time;
use super::target::Target;
use crate::redis::commands::{self, Access, COMMANDS, Command, Kind};
use crate::redis::keys::Keys;
use crate::redis::ports::Node;

/// Findings about a Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preflight {
    /// Versions of the primaries.
    pub versions: Vec<String>,
    /// Reasons why it can't be counted into.
    pub problems: Vec<String>,
    /// Settings that are better changed.
    pub warnings: Vec<String>,
    /// Redis's time, where it says it.
    pub time: Option<DateTime<Utc>>,
}

/// Older ones lack commands that `raise.lua` needs.
const VERSION_MIN: (u32, u32) = (6, 2);
/// A Redis that evicts nothing soon refuses writes beyond this part of its memory.
const MEMORY_PERCENT_MAX: u64 = 90;

const PROBE: &str = include_str!("probe.lua");
/// Rights may change while a node runs.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);
/// Shorter while a right is missing, so that its return shows soon.
const PROBE_INTERVAL_REFUSED: Duration = Duration::from_secs(10);

/// Connects as a node does, and checks what a node depends on.
pub async fn preflight(target: &Target, prefix: &str, allow_eviction: bool) -> Preflight {
    let mut found = Preflight::default();
    match connect(target).await {
        Ok((link, _)) => {
            found.check_settings(&link, allow_eviction).await;
            found.try_commands(&link, prefix).await;
            found.time = server_time::read(&link).await.unwrap_or_default();
        }
        Err(error) => found.problems.push(with_rights(&explain(&error), prefix)),
    }
    found
}

impl Preflight {
    async fn check_settings(&mut self, link: &Link, allow_eviction: bool) {
        match link.query_primaries(&redis::cmd("INFO")).await {
            Ok(infos) => infos.iter().for_each(|info| self.check_info(info, allow_eviction)),
            Err(error) => self.warnings.push(format!(
                "it doesn't say how it is set up ({}); check yourself that maxmemory-policy is noeviction",
                reason_of(&error)
            )),
        }
        // The shards of a cluster are mostly set up alike.
        for findings in [&mut self.problems, &mut self.warnings] {
            findings.sort();
            findings.dedup();
        }
    }

    /// Checks the INFO of one server.
    fn check_info(&mut self, info: &InfoDict, allow_eviction: bool) {
        let number = |name: &str| info.get::<u64>(name).unwrap_or(0);
        if let Some(version) = info.get::<String>("redis_version") {
            let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
            let is_old = matches!((parts.next(), parts.next()), (Some(Some(major)), Some(Some(minor))) if (major, minor) < VERSION_MIN);
            if is_old {
                let (major, minor) = VERSION_MIN;
                self.problems.push(format!("it is version {version}; expected {major}.{minor} or newer, or Valkey"));
            }
            self.versions.push(version);
        }
        match info.get::<String>(policy::POLICY).and_then(|policy| policy::danger(&policy)) {
            Some(danger) if allow_eviction => self.warnings.push(danger),
            Some(danger) => self.problems.push(format!("nothing would be published: {danger}")),
            None => {}
        }
        for (name, value, warning) in [
            (
                "aof_enabled",
                "0",
                "it writes no append-only file: after a crash the nodes must publish again, and page figures of nodes \
                 that are gone are lost; set appendonly to yes",
            ),
            ("aof_last_write_status", "err", "it can't write its append-only file: see its log"),
            ("rdb_last_bgsave_status", "err", "its last snapshot failed: see its log"),
        ] {
            if info.get::<String>(name).as_deref() == Some(value) {
                self.warnings.push(warning.to_owned());
            }
        }
        let (used, most) = (number("used_memory"), number("maxmemory"));
        if most > 0 && used.saturating_mul(100) > most.saturating_mul(MEMORY_PERCENT_MAX) {
            self.warnings.push(format!("{used} of its {most} bytes of maxmemory are in use; raise maxmemory"));
        }
    }

    async fn try_commands(&mut self, link: &Link, prefix: &str) {
        let failures = match probe(link, &Keys::new(prefix)).await {
            Ok(failures) => failures,
            Err(error) => {
                self.problems.push(format!("it takes no counts: {}", with_rights(&reason_of(&error), prefix)));
                return;
            }
        };
        let (for_visitors, others): (Vec<_>, Vec<_>) =
            failures.into_iter().partition(|failure| failure.command.is_for_visitors());
        if let Some(words) = in_words(&others, prefix) {
            self.problems.push(match others.iter().any(|failure| failure.command.access == Access::Write) {
                true => format!("it takes no counts: {words}"),
                false => words,
            });
        }
        if let Some(words) = in_words(&for_visitors, prefix).filter(|_| self.problems.is_empty()) {
            self.warnings.push(format!("it takes no visitors, which matters where a site counts them: {words}"));
        }
    }
}

/// A command of the list that Redis refused.
struct Failure {
    command: &'static Command,
    reason: String,
}

/// Tries every command on a key of its own.
async fn probe(link: &Link, keys: &Keys) -> RedisResult<Vec<Failure>> {
    let key = keys.probe();
    // Nobody loaded a script of this hash: the answer to a user who may call it is NOSCRIPT.
    let mut by_digest = redis::cmd("EVALSHA");
    by_digest.arg("0".repeat(40)).arg(1).arg(&key);
    match link.query::<()>(&by_digest).await {
        Err(error) if error.kind() != redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) => return Err(error),
        _ => {}
    }
    let mut script = redis::cmd("EVAL");
    script.arg(PROBE).arg(1).arg(&key).arg(probe_arguments());
    let failures: Vec<(String, String)> = link.query(&script).await?;
    let failures = failures.into_iter().filter_map(|(name, reason)| {
        Some(Failure { command: COMMANDS.iter().find(|command| command.name == name)?, reason })
    });
    Ok(failures.collect())
}

fn probe_arguments() -> Vec<String> {
    let mut arguments = Vec::new();
    let mut kind_before = None;
    for command in COMMANDS {
        let Some((kind, more)) = command.probe else { continue };
        let before = kind_before.replace(kind);
        if before.is_some_and(|before| before != kind && before != Kind::Any) {
            arguments.extend(["0".to_owned(), String::new()]);
        }
        arguments.extend([more.len().to_string(), command.name.to_owned()]);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    }
    arguments
}

/// Failures in words; none where there are none.
fn in_words(failures: &[Failure], prefix: &str) -> Option<String> {
    let first = failures.first()?;
    let refused: Vec<_> = failures.iter().filter(|failure| lacks_rights(&failure.reason)).collect();
    if refused.is_empty() {
        return Some(first.reason.clone());
    }
    let names: Vec<_> = refused.iter().map(|failure| failure.command.name).collect();
    let purposes: Vec<_> = refused.iter().map(|failure| failure.command.why).collect();
    let (names, purposes) = (names.join(", "), purposes.join("; "));
    let rights = commands::rights(prefix);
    Some(format!("its user may not run {names}, by which a node can {purposes}; give its user the rights `{rights}`"))
}

/// True for an error of a command that the user may not run. Scripts of Redis 7.0 and later get the second.
fn lacks_rights(reason: &str) -> bool {
    reason.contains("NOPERM") || reason.contains("can't run this command")
}

fn with_rights(reason: &str, prefix: &str) -> String {
    match lacks_rights(reason) {
        true => format!("{reason}; give its user the rights `{}`", commands::rights(prefix)),
        false => reason.to_owned(),
    }
}

/// Reports the commands that Redis refuses to this node's user, on each connection and at intervals.
/// Never returns.
pub async fn watch_rights<N: Node>(node: &N, Shared { keys, connections, health, .. }: &Shared) {
    let probe = async |link: &Link| {
        // Publication reports what it may not run.
        let mut failures = probe(link, keys).await?;
        let has_visitors = node.sites().iter().any(|site| site.site.counts_visitors());
        failures
            .retain(|failure| lacks_rights(&failure.reason) && (has_visitors || !failure.command.is_for_visitors()));
        let reason = in_words(&failures, &keys.prefix);
        if health.set_rights(reason.clone())
            && let Some(reason) = &reason
        {
            tracing::warn!("Redis: {reason}");
        }
        Ok(if reason.is_some() { PROBE_INTERVAL_REFUSED } else { PROBE_INTERVAL })
    };
    connections.check(PROBE_INTERVAL, probe).await;
}

/// Reason of a failed connection, and what to do.
fn explain(error: &RedisError) -> String {
    let reason = reason_of(error);
    let advice = match error.code() {
        Some("NOAUTH") => "; give its password in redis_password_file or in the address",
        Some("WRONGPASS") => "; correct the one in redis_password_file or in the address",
        _ if error.kind() == redis::ErrorKind::AuthenticationFailed => {
            "; correct the password in redis_password_file or in the address"
        }
        _ => "",
    };
    format!("{reason}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_in(info: &str) -> Preflight {
        let mut found = Preflight::default();
        found.check_info(&InfoDict::new(info), false);
        found
    }

    #[test]
    fn the_probe_tries_each_command_with_its_arguments_and_empties_the_key_between_kinds() {
        let arguments = probe_arguments();
        let mut rest = arguments.as_slice();
        let mut tried = Vec::new();
        while let [count, name, more @ ..] = rest {
            let count = count.parse().unwrap();
            tried.push((name.as_str(), &more[..count]));
            rest = &more[count..];
        }
        let names: Vec<_> = tried.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
        let expected: Vec<_> = COMMANDS.iter().filter(|command| command.probe.is_some()).map(|c| c.name).collect();
        assert_eq!(names, expected);
        let cleared: Vec<_> = tried.windows(2).filter(|pair| pair[0].0.is_empty()).map(|pair| pair[1].0).collect();
        assert_eq!(cleared, ["ZADD", "SET"]);
        let first_write = tried
            .iter()
            .find(|(name, _)| COMMANDS.iter().any(|command| command.name == *name && command.access == Access::Write));
        assert_eq!(first_write.unwrap().0, "HSET", "Redis refuses it when its memory is full");
    }

    #[test]
    fn commands_that_the_user_lacks_are_named_with_their_use_and_other_errors_as_redis_says() {
        let failure = |name: &str, reason: &str| Failure {
            command: COMMANDS.iter().find(|command| command.name == name).unwrap(),
            reason: reason.to_owned(),
        };
        let refused = "ERR The user executing the script can't run this command or subcommand";
        let failures = [failure("HSET", "WRONGTYPE x"), failure("ZADD", refused), failure("ZCARD", "NOPERM y")];
        let words = in_words(&failures, "p").unwrap();
        assert!(
            words.starts_with("its user may not run ZADD, ZCARD, by which a node can write the counters"),
            "{words}"
        );
        assert!(words.ends_with(&format!("give its user the rights `{}`", commands::rights("p"))), "{words}");
        assert_eq!(in_words(&failures[..1], "p").as_deref(), Some("WRONGTYPE x"));
        assert_eq!(in_words(&[], "p"), None);
    }

    #[test]
    fn a_version_before_6_2_is_too_old_and_one_that_is_no_number_is_let_pass() {
        for (version, is_old) in [
            ("6.0.16", true),
            ("5.0.14", true),
            ("6.2.0", false),
            ("7.0.15", false),
            ("10.0.0", false),
            ("255.255.255", false),
            ("unstable", false),
        ] {
            let found = found_in(&format!("# Server\r\nredis_version:{version}\r\n"));
            assert_eq!(found.problems.iter().any(|problem| problem.contains("expected 6.2")), is_old, "{version}");
            assert_eq!(found.versions, [version]);
        }
    }

    #[test]
    fn memory_that_is_nearly_full_and_files_that_cannot_be_written_are_warned_of() {
        let found = found_in("used_memory:95\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\n");
        assert!(found.warnings[0].starts_with("95 of its 100 bytes"), "{found:?}");
        let at_the_limit = "used_memory:90\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n";
        assert_eq!(found_in(at_the_limit), Preflight::default());
        let found = found_in("rdb_last_bgsave_status:err\r\naof_last_write_status:err\r\naof_enabled:1\r\n");
        assert_eq!((found.warnings.len(), found.problems.len()), (2, 0), "{found:?}");
        assert_eq!(found_in("used_memory:95\r\nmaxmemory:0\r\naof_enabled:1\r\n"), Preflight::default());
    }
}
