//! Running a script on Redis, which may or may not have it already.

use redis::{Cmd, RedisResult, Script, ServerErrorKind, Value};

use super::connection::Link;

/// A script and its hash.
pub struct Scripted {
    text: &'static str,
    script: Script,
}

impl Scripted {
    pub fn new(text: &'static str) -> Self {
        Self { text, script: Script::new(text) }
    }

    pub async fn run(&self, link: &Link, keys: &[String], arguments: &[String]) -> RedisResult<Value> {
        let command = |name: &str, script: &str| {
            let mut command = Cmd::new();
            command.arg(name).arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        match link.query(&command("EVALSHA", self.script.get_hash())).await {
            // By key, not SCRIPT LOAD: in a cluster that would need every node to be up.
            Err(error) if error.kind() == ServerErrorKind::NoScript.into() => {
                link.query(&command("EVAL", self.text)).await
            }
            other => other,
        }
    }
}
