//! One open connection, of whatever kind.

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{Cmd, RedisResult, Value};

/// Connection to Redis; clones share it.
#[derive(Clone)]
pub enum Link {
    /// Single server, or the primary that Sentinel named.
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub async fn query(&self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(connection) => connection.clone().req_packed_command(command).await,
            Self::Cluster(connection) => connection.clone().req_packed_command(command).await,
        }?
        .extract_error()
    }

    /// Sends the command to every primary.
    pub async fn query_primaries(&self, command: &Cmd) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(_) => Ok(vec![self.query(command).await?]),
            Self::Cluster(connection) => {
                let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                match connection.clone().route_command(command.clone(), everywhere).await? {
                    Value::Map(answers) => Ok(answers.into_iter().map(|(_, answer)| answer).collect()),
                    Value::Array(answers) => Ok(answers),
                    answer => Ok(vec![answer]),
                }
            }
        }
    }
}
