//! A server under measurement, optionally with a Redis of its own, and its costs.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::baseline;
use super::cores::{Cores, on_core};
use super::node::Node;
use super::process::Process;
use super::redis_server::RedisServer;

pub struct Contestant {
    program: Program,
    redis: Option<RedisServer>,
}

enum Program {
    Baseline(Process, SocketAddr),
    Ours(Node),
}

/// Costs and work of a contestant since its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Account {
    pub cpu: Duration,
    pub redis_cpu: Duration,
    pub redis_commands: u64,
    pub commits: u64,
}

impl Contestant {
    /// Starts a node (`program` runs it) or a baseline, with a Redis of its own or without.
    pub fn start(directory: &Path, cores: Cores, program: Option<Command>, has_redis: bool) -> Self {
        std::fs::create_dir_all(directory).expect("a directory for a server");
        let redis = has_redis.then(|| on_core(cores.redis, || RedisServer::start(directory)));
        let url = redis.as_ref().map(RedisServer::url);
        let program = on_core(cores.server, || match program {
            Some(program) => Program::Ours(Node::start_by(program, directory, 1, url.as_slice())),
            None => {
                let (process, address) = baseline::start(directory, url.as_deref());
                Program::Baseline(process, address)
            }
        });
        Self { program, redis }
    }

    /// Stops the server and waits for its last writes.
    pub fn stop(self) {
        match self.program {
            Program::Baseline(process, _) => process.stop(),
            Program::Ours(node) => node.process.stop(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        match &self.program {
            Program::Baseline(_, address) => *address,
            Program::Ours(node) => node.public,
        }
    }

    fn process(&self) -> &Process {
        match &self.program {
            Program::Baseline(process, _) => process,
            Program::Ours(node) => &node.process,
        }
    }

    pub fn resident(&self) -> u64 {
        self.process().resident()
    }

    pub fn node(&self) -> Option<&Node> {
        match &self.program {
            Program::Baseline(..) => None,
            Program::Ours(node) => Some(node),
        }
    }

    /// Waits until all counts are folded and, where there is Redis, published.
    pub fn settle(&self) {
        self.node().into_iter().for_each(Node::fold);
        RedisServer::rest(&self.redis);
    }

    pub fn account(&self) -> Account {
        // CPU last: the other queries cost some.
        let commits = self.node().map_or(0, Node::commits);
        let redis_commands = self.redis.as_ref().map_or(0, RedisServer::commands);
        let redis_cpu = self.redis.as_ref().map_or(Duration::ZERO, |redis| redis.process.cpu());
        Account { cpu: self.process().cpu(), redis_cpu, redis_commands, commits }
    }
}
