//! What an operator should know of a Redis before nodes rely on it.

use redis::{RedisError, Value};

use super::connection::{self, Link, reason_of};
use super::layout::Keys;
use super::policy;
use super::raise::text;
use super::target::Target;

/// What was found out about a Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    /// Versions of the servers that hold counts, one for each.
    pub versions: Vec<String>,
    /// Why it can't be counted into.
    pub problems: Vec<String>,
    /// What is better changed.
    pub warnings: Vec<String>,
}

/// Older ones lack what `raise.lua` needs.
const VERSION_MIN: (u32, u32) = (6, 2);
/// Beyond this part of its memory a Redis that evicts nothing is soon one that takes nothing.
const MEMORY_PERCENT_MAX: u64 = 90;

/// Writes what a node writes, with the commands that it uses, into a key that is gone afterwards.
const PROBE: &str = "
redis.call('TYPE', KEYS[1])
redis.call('HSET', KEYS[1], 'probe', '1')
redis.call('HMGET', KEYS[1], 'probe')
redis.call('TTL', KEYS[1])
redis.call('EXPIREAT', KEYS[1], '1')
redis.call('ZADD', KEYS[1], '1', 'probe')
redis.call('ZMSCORE', KEYS[1], 'probe')
redis.call('EXPIREAT', KEYS[1], '1')
return 1
";

/// Commands that a node uses, for the server's list of rights.
const COMMANDS: &str = "+info +eval +evalsha +type +hget +hmget +hscan +hset +hsetnx +zadd +zscore +zmscore +zrevrange +ttl +expireat +zscan +zcard +hlen +cluster|slots +ping";

/// Connects as a node does, and looks at what a node depends on.
pub async fn examine(target: &Target, prefix: &str, allow_eviction: bool) -> Examination {
    super::provide_cryptography();
    let mut found = Examination::default();
    match connection::connect(target).await {
        Ok((link, _)) => {
            found.look(&link, allow_eviction).await;
            found.try_writing(&link, prefix).await;
        }
        Err(error) => found.problems.push(explain(&error)),
    }
    found
}

impl Examination {
    async fn look(&mut self, link: &Link, allow_eviction: bool) {
        match link.query_primaries(&redis::cmd("INFO")).await {
            Ok(answers) => {
                for info in answers.iter().filter_map(text) {
                    self.judge(&info, allow_eviction);
                }
            }
            Err(error) => self.warnings.push(format!(
                "it doesn't say how it is set up ({}); see for yourself that maxmemory-policy is noeviction",
                reason_of(&error)
            )),
        }
        // The shards of a cluster are mostly set up alike.
        for findings in [&mut self.problems, &mut self.warnings] {
            findings.sort();
            findings.dedup();
        }
    }

    /// What one server says of itself.
    fn judge(&mut self, info: &str, allow_eviction: bool) {
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
                .filter(|v| !v.is_empty())
        };
        let number = |name: &str| field(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        if let Some(version) = field("redis_version") {
            self.versions.push(version.to_owned());
            let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
            let is_old = matches!((parts.next(), parts.next()), (Some(Some(major)), Some(Some(minor))) if (major, minor) < VERSION_MIN);
            if is_old {
                let (major, minor) = VERSION_MIN;
                self.problems.push(format!("it is version {version}; expected {major}.{minor} or newer, or Valkey"));
            }
        }
        match policy::policy_in(info).and_then(|policy| policy::danger(&policy)) {
            Some(danger) if allow_eviction => self.warnings.push(danger),
            Some(danger) => self.problems.push(format!("nothing would be published: {danger}")),
            None => {}
        }
        if field("aof_enabled") == Some("0") {
            self.warnings.push(
                "it writes no append-only file: what it forgets in a crash must come again from the nodes, and page \
                 figures of nodes that are gone can't; set appendonly to yes"
                    .to_owned(),
            );
        }
        if field("aof_last_write_status") == Some("err") {
            self.warnings.push("it can't write its append-only file: see its log".to_owned());
        }
        if field("rdb_last_bgsave_status") == Some("err") {
            self.warnings.push("its last snapshot failed: see its log".to_owned());
        }
        let (used, most) = (number("used_memory"), number("maxmemory"));
        if most > 0 && used.saturating_mul(100) > most.saturating_mul(MEMORY_PERCENT_MAX) {
            self.warnings.push(format!("{used} of its {most} bytes of maxmemory are in use; raise maxmemory"));
        }
    }

    async fn try_writing(&mut self, link: &Link, prefix: &str) {
        let key = Keys::new(prefix).probe();
        // A script that nobody loaded: whoever may call it is told that it isn't there.
        let mut by_digest = redis::cmd("EVALSHA");
        by_digest.arg("0".repeat(40)).arg(1).arg(&key);
        let mut probe = redis::cmd("EVAL");
        probe.arg(PROBE).arg(1).arg(&key);
        let answer = match link.query(&by_digest).await {
            Err(error) if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                link.query(&probe).await
            }
            answer => answer,
        };
        match answer {
            Ok(Value::Int(1)) => {}
            Ok(other) => self.problems.push(format!("it answers a script with {other:?}; expected 1")),
            Err(error) => {
                let reason = reason_of(&error);
                // The second is what 7.0 and later say of a script.
                let lacks_rights = reason.contains("NOPERM") || reason.contains("can't run this command");
                let advice = match lacks_rights {
                    true => format!("; give its user the rights `~{prefix}:* {COMMANDS}`"),
                    false => String::new(),
                };
                self.problems.push(format!("it takes no counts: {reason}{advice}"));
            }
        }
    }
}

/// Why no connection came about, and what to do.
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

    fn judged(info: &str) -> Examination {
        let mut found = Examination::default();
        found.judge(info, false);
        found
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
            let found = judged(&format!("# Server\r\nredis_version:{version}\r\n"));
            assert_eq!(found.problems.iter().any(|problem| problem.contains("expected 6.2")), is_old, "{version}");
            assert_eq!(found.versions, [version]);
        }
    }

    #[test]
    fn memory_that_is_nearly_full_and_files_that_cannot_be_written_are_warned_of() {
        let found = judged("used_memory:95\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\n");
        assert!(found.warnings[0].starts_with("95 of its 100 bytes"), "{found:?}");
        let found = judged("rdb_last_bgsave_status:err\r\naof_last_write_status:err\r\naof_enabled:1\r\n");
        assert_eq!((found.warnings.len(), found.problems.len()), (2, 0), "{found:?}");
        assert_eq!(judged("used_memory:95\r\nmaxmemory:0\r\naof_enabled:1\r\n"), Examination::default());
    }
}
