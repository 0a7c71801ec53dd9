//! The rows of the closed loop's table.

use crate::arguments::Arguments;
use crate::drive::requests::{Ask, Pages};

/// The server that a row drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Server {
    /// hyper and nothing else.
    Bare,
    /// hyper and three `INCR`s.
    Increments,
    Ours,
    OursWithRedis,
    /// Our server for 100,000 pages: their folding must not burden the rows with few.
    OursZipf,
    OursZipfWithRedis,
}

impl Server {
    pub fn is_ours(self) -> bool {
        !matches!(self, Self::Bare | Self::Increments)
    }

    pub fn has_redis(self) -> bool {
        matches!(self, Self::Increments | Self::OursWithRedis | Self::OursZipfWithRedis)
    }
}

/// A request; the bytes to match are known only after our server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Ask(Ask),
    HitForAsManyBytes,
    AsManyBytes,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub name: &'static str,
    pub server: Server,
    pub what: What,
    pub pages: Pages,
    pub connections: usize,
    pub keep_alive: bool,
    /// The row of comparison, at as many connections.
    pub base: &'static str,
    /// Driven longer, until folding and publishing have caught up.
    pub is_long: bool,
}

impl Row {
    pub fn title(&self) -> String {
        format!("{} · {}", self.name, self.connections)
    }
}

const FEW: Pages = Pages::InTurn(50);
const MANY: Pages = Pages::Zipf(100_000);
const HIT: What = What::Ask(Ask::Hit("/v1/hit?figures=0"));
const HIT_WITH_FIGURES: What = What::Ask(Ask::Hit("/v1/hit"));

/// Name, server, request, base.
type Short = (&'static str, Server, What, &'static str);

const EVERYWHERE: [Short; 8] = [
    ("empty", Server::Bare, What::Ask(Ask::Hit("/empty")), "empty"),
    ("as many bytes", Server::Bare, What::HitForAsManyBytes, "empty"),
    ("three INCRs", Server::Increments, What::Ask(Ask::Hit("/increments")), "empty"),
    ("hit", Server::Ours, HIT, "empty"),
    ("hit, figures", Server::Ours, HIT_WITH_FIGURES, "as many bytes"),
    ("hit, Redis", Server::OursWithRedis, HIT, "empty"),
    ("hit, figures, Redis", Server::OursWithRedis, HIT_WITH_FIGURES, "as many bytes"),
    ("pixel", Server::Ours, What::Ask(Ask::Pixel), "empty"),
];
const AT_64: [Short; 4] = [
    ("hit, a third with fbclid", Server::Ours, What::Ask(Ask::SharedHit("/v1/hit?figures=0")), "empty"),
    ("as many bytes, GET", Server::Bare, What::AsManyBytes, "as many bytes, GET"),
    ("figures", Server::Ours, What::Ask(Ask::Figures), "as many bytes, GET"),
    ("figures, Redis", Server::OursWithRedis, What::Ask(Ask::Figures), "as many bytes, GET"),
];
const NEW_CONNECTION: [Short; 2] = [
    ("empty, new connection", Server::Bare, What::Ask(Ask::Hit("/empty")), "empty, new connection"),
    ("hit, new connection", Server::Ours, HIT, "empty, new connection"),
];
const LONG: [Short; 2] = [
    ("hit, 100,000 pages", Server::OursZipf, HIT, "empty"),
    ("hit, 100,000 pages, Redis", Server::OursZipfWithRedis, HIT, "empty"),
];

fn all() -> Vec<Row> {
    let row = |(name, server, what, base): Short, connections| Row {
        name,
        server,
        what,
        base,
        connections,
        pages: FEW,
        keep_alive: true,
        is_long: false,
    };
    let mut rows: Vec<Row> = EVERYWHERE.into_iter().chain(AT_64).map(|short| row(short, 64)).collect();
    rows.extend(NEW_CONNECTION.map(|short| Row { keep_alive: false, ..row(short, 64) }));
    rows.extend(EVERYWHERE.map(|short| row(short, 512)));
    rows.extend(LONG.map(|short| Row { pages: MANY, is_long: true, ..row(short, 64) }));
    rows
}

/// Rows named by the command line, and the rows that they are compared with.
pub fn chosen(arguments: &Arguments) -> Vec<Row> {
    if arguments.open {
        return Vec::new();
    }
    let all = all();
    let is_selected = |row: &Row| {
        if arguments.rows.is_empty() {
            !(arguments.quick && row.is_long)
        } else {
            arguments.rows.iter().any(|part| row.title().contains(part.as_str()))
        }
    };
    let is_base = |row: &Row| {
        all.iter().any(|other| is_selected(other) && other.base == row.name && other.connections == row.connections)
    };
    all.iter().filter(|row| is_selected(row) || is_base(row)).cloned().collect()
}
