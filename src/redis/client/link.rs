//! One open connection, of whatever kind, and scripts on it.

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{Cmd, FromRedisValue, RedisResult, Script, ServerErrorKind, ToRedisArgs, Value};

use super::reply::text;

/// Connection to Redis; clones share it.
#[derive(Clone)]
pub enum Link {
    /// Single server, or the primary that Sentinel named.
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let reply = match self {
            Self::Server(connection) => connection.clone().req_packed_command(command).await,
            Self::Cluster(connection) => connection.clone().req_packed_command(command).await,
        };
        Ok(redis::from_redis_value(reply?.extract_error()?)?)
    }

    /// Texts of the list that answers the command.
    pub async fn query_texts(&self, command: &Cmd) -> RedisResult<Vec<Option<String>>> {
        Ok(self.query::<Vec<Value>>(command).await?.iter().map(text).collect())
    }

    /// Sends the command to every primary.
    pub async fn query_primaries<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<Vec<T>> {
        let Self::Cluster(connection) = self else { return Ok(vec![self.query(command).await?]) };
        let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let answers = match connection.clone().route_command(command.clone(), everywhere).await? {
            Value::Map(answers) => answers.into_iter().map(|(_, answer)| answer).collect(),
            Value::Array(answers) => answers,
            answer => vec![answer],
        };
        answers.into_iter().map(|answer| Ok(redis::from_redis_value(answer)?)).collect()
    }
}

/// Script and its hash.
pub struct Scripted {
    text: &'static str,
    script: Script,
}

impl Scripted {
    pub fn new(text: &'static str) -> Self {
        Self { text, script: Script::new(text) }
    }

    pub async fn run<T: FromRedisValue>(
        &self,
        link: &Link,
        keys: &[String],
        arguments: &[impl ToRedisArgs + Send + Sync],
    ) -> RedisResult<T> {
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
