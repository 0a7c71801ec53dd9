//! The driven servers, all running for the whole of a bench.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::drive::contestant::Contestant;
use crate::drive::cores::Cores;
use crate::drive::exchange::exchange;
use crate::drive::node::PROGRAM;
use crate::drive::requests::{Ask, Pages, Requests};
use crate::rows::{Row, Server, What};

pub struct Contestants {
    servers: BTreeMap<Server, Contestant>,
    /// Body lengths that make a bare server's answer as long as ours: to a hit with figures, and to a query
    /// of them.
    hit_bytes: usize,
    figures_bytes: usize,
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
                let program = server.is_ours().then(|| Command::new(PROGRAM));
                Contestant::start(&directory, cores, program, server.has_redis())
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
