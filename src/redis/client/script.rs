//! Running a script that Redis may not have yet.

use redis::{Cmd, RedisResult, Script, ServerErrorKind, ToRedisArgs, Value};

use super::link::Link;

/// Script and its hash.
pub struct Scripted {
    text: &'static str,
    script: Script,
}

impl Scripted {
    pub fn new(text: &'static str) -> Self {
        Self { text, script: Script::new(text) }
    }

    pub async fn run(
        &self,
        link: &Link,
        keys: &[String],
        arguments: &[impl ToRedisArgs + Send + Sync],
    ) -> RedisResult<Value> {
        let command = |name: &str, script: &str| {
            let mut command = Cmd::new();
            command.arg(name).arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        match link.query(&command("EVALSHA", self.script.get_hash())).await {
            // Not SCRIPT LOAD: in a cluster it would need every server to be up.
            Err(error) if error.kind() == ServerErrorKind::NoScript.into() => {
                link.query(&command("EVAL", self.text)).await
            }
            other => other,
        }
    }
}
