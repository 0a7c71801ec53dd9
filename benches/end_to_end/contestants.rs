//! The servers that are driven, all running for the whole of a bench.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::drive::baseline;
use crate::drive::cores::{Cores, on_core};
use crate::drive::exchange::exchange;
use crate::drive::node::Node;
use crate::drive::process::Process;
use crate::drive::redis_server::RedisServer;
use crate::drive::requests::{Ask, Pages, Requests};
use crate::rows::{Row, Server, What};

pub struct Contestants {
    servers: BTreeMap<Server, Contestant>,
    /// What our answer to a hit with figures, and to a query of them, would be on a bare server: the
    /// body that makes the answer as long in all.
    hit_bytes: usize,
    figures_bytes: usize,
}

pub struct Contestant {
    program: Program,
    redis: Option<RedisServer>,
}

enum Program {
    Baseline(Process, SocketAddr),
    Ours(Node),
}

/// What a contestant has cost and done since its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Account {
    pub cpu: Duration,
    pub redis_cpu: Duration,
    pub redis_commands: u64,
    pub commits: u64,
}

impl Contestant {
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

    /// Waits until all that was counted is folded and, where there is Redis, published.
    pub fn settle(&self) {
        self.node().into_iter().for_each(Node::fold);
        RedisServer::rest(&self.redis);
    }

    pub fn account(&self) -> Account {
        // The CPU last: asking costs some.
        let commits = self.node().map_or(0, Node::commits);
        let redis_commands = self.redis.as_ref().map_or(0, RedisServer::commands);
        let redis_cpu = self.redis.as_ref().map_or(Duration::ZERO, |redis| redis.process.cpu());
        Account { cpu: self.process().cpu(), redis_cpu, redis_commands, commits }
    }
}

impl Contestants {
    pub fn start(directory: &Path, cores: Cores, rows: &[Row], open: bool) -> Self {
        let open_loop = [Server::Bare, Server::Increments, Server::Ours, Server::OursWithRedis, Server::OursZipf];
        let mut servers: BTreeMap<Server, Contestant> = BTreeMap::new();
        let wanted = rows.iter().map(|row| row.server).chain(open_loop.into_iter().filter(|_| open));
        for server in wanted.chain([Server::Bare, Server::Ours]) {
            servers.entry(server).or_insert_with(|| {
                let directory = directory.join(format!("{server:?}"));
                std::fs::create_dir_all(&directory).expect("a directory for a server");
                let redis = server.has_redis().then(|| on_core(cores.redis, || RedisServer::start(&directory)));
                let url = redis.as_ref().map(RedisServer::url);
                let program = on_core(cores.server, || {
                    if server.is_ours() {
                        Program::Ours(Node::start(&directory, 1, url.as_slice()))
                    } else {
                        let (process, address) = baseline::start(&directory, url.as_deref());
                        Program::Baseline(process, address)
                    }
                });
                Contestant { program, redis }
            });
        }
        let length = |server: Server, ask| {
            let address = servers[&server].address();
            exchange(address, Requests::new(address, ask, Pages::InTurn(1), false).next()).len()
        };
        // Any body of three digits has the same head.
        let bare_head = length(Server::Bare, Ask::Bytes(100)) - 100;
        Self {
            hit_bytes: length(Server::Ours, Ask::Hit("/v1/hit")) - bare_head,
            figures_bytes: length(Server::Ours, Ask::Figures) - bare_head,
            servers,
        }
    }

    pub fn get(&self, server: Server) -> &Contestant {
        &self.servers[&server]
    }

    pub fn requests(&self, row: &Row) -> Requests {
        let ask = match row.what {
            What::Ask(ask) => ask,
            What::HitForAsManyBytes => Ask::HitForBytes(self.hit_bytes),
            What::AsManyBytes => Ask::Bytes(self.figures_bytes),
        };
        Requests::new(self.get(row.server).address(), ask, row.pages, row.keep_alive)
    }
}
