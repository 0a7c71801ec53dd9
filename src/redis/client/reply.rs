//! Replies and errors of Redis, and what they mean.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

/// Cut, so that a server's message fits a log line.
const REASON_CHARS_MAX: usize = 300;

/// Part that an error blames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Connection, or the server behind it: other sites would fail too.
    Link,
    /// The site's keys, or the rights to them.
    Site,
}

pub fn fault_of(error: &RedisError) -> Fault {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::ResponseError
            | ServerErrorKind::ExecAbort
            | ServerErrorKind::NoScript
            | ServerErrorKind::CrossSlot
            | ServerErrorKind::NotBusy
            | ServerErrorKind::NoSub
            | ServerErrorKind::NoPerm,
        ) => Fault::Site,
        ErrorKind::Extension => match error.code() {
            Some("NOAUTH" | "WRONGPASS" | "NOREPLICAS" | "MISCONF" | "BUSY") => Fault::Link,
            _ => Fault::Site,
        },
        _ => Fault::Link,
    }
}

/// Error of a call that was not sent, since the connection is gone.
pub fn connection_lost() -> RedisError {
    RedisError::from((ErrorKind::Io, "connection lost"))
}

/// Error in words that fit after "Redis: ".
pub fn reason_of(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (_, Some(detail)) => format!("{}: {detail}", error.category()),
        _ => error.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS_MAX).collect()
}

/// Text of a reply; none for nil. RESP3 sends a score as a double.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Double(score) => Some(score.to_string()),
        _ => None,
    }
}

pub fn unexpected(what: &str) -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, "unexpected reply", what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_error(line: &str) -> RedisError {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).and_then(Value::extract_error).unwrap_err()
    }

    #[test]
    fn an_error_of_keys_or_rights_leaves_the_connection_and_one_of_the_server_replaces_it() {
        for (line, fault) in [
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Fault::Site),
            ("NOPERM this user has no permissions to run the 'eval' command", Fault::Site),
            ("ERR value is not an integer", Fault::Site),
            ("OOM command not allowed when used memory > 'maxmemory'", Fault::Site),
            ("CROSSSLOT Keys in request don't hash to the same slot", Fault::Site),
            ("READONLY You can't write against a read only replica.", Fault::Link),
            ("LOADING Redis is loading the dataset in memory", Fault::Link),
            ("CLUSTERDOWN The cluster is down", Fault::Link),
            ("MASTERDOWN Link with MASTER is down", Fault::Link),
            ("MISCONF Redis is configured to save RDB snapshots", Fault::Link),
            ("BUSY Redis is busy running a script", Fault::Link),
            ("NOREPLICAS Not enough good replicas to write.", Fault::Link),
        ] {
            assert_eq!(fault_of(&server_error(line)), fault, "{line}");
        }
        assert_eq!(fault_of(&connection_lost()), Fault::Link);
        assert_eq!(fault_of(&unexpected("nothing")), Fault::Link);
    }

    #[test]
    fn a_reason_is_one_short_line_that_begins_with_the_servers_code() {
        let reason = reason_of(&server_error(&format!("WRONGTYPE a\tb{}", "c".repeat(1_000))));
        assert!(reason.starts_with("WRONGTYPE a bccc"), "{reason}");
        assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
        // An error of the library has no code.
        assert_eq!(reason_of(&unexpected("no list")), "type error: no list");
    }

    #[test]
    fn text_is_whatever_a_server_may_answer_for_it_and_nothing_for_nil() {
        assert_eq!(text(&Value::BulkString(b"a".to_vec())).as_deref(), Some("a"));
        assert_eq!(text(&Value::SimpleString("OK".to_owned())).as_deref(), Some("OK"));
        assert_eq!(text(&Value::Int(-1)).as_deref(), Some("-1"));
        assert_eq!(text(&Value::BulkString(vec![0xff])), None);
        assert_eq!(text(&Value::Nil), None);
    }
}
