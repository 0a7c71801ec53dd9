//! A curve: its points measured in turn, and their table and pictures.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::chart;
use crate::drive::closed_loop::ClosedLoop;
use crate::drive::cores::Cores;
use crate::drive::node::Node;
use crate::drive::redis_server::RedisServer;
use crate::drive::requests::{Ask, Pages, Requests};
use crate::drive::stats::{median, percentile_ms};
use crate::drive::table::Table;

/// The effort for a curve.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub cores: Cores,
    pub quick: bool,
    pub rounds: usize,
    pub drive_time: Duration,
    folding: Folding,
    /// The chosen sizes, if not all.
    only: &'static [u32],
}

/// Ways to include folding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folding {
    /// The end of each round folds its hits.
    Forced,
    /// A round spans the node's own fold, every 30 s, and its end. A fold's cost depends on the hits gathered
    /// until then.
    OfItself,
}

const FOLD_INTERVAL: Duration = Duration::from_secs(30);

impl Effort {
    pub fn new(cores: Cores, quick: bool, rounds: Option<usize>, only: &'static [u32]) -> Self {
        let (usual, seconds) = if quick { (2, 0.5) } else { (5, 4.0) };
        Self {
            cores,
            quick,
            rounds: rounds.unwrap_or(usual),
            drive_time: Duration::from_secs_f64(seconds),
            folding: Folding::Forced,
            only,
        }
    }

    /// Includes folding as it happens in operation.
    pub fn through_a_fold(self) -> Self {
        match self.quick {
            true => self,
            false => Self { drive_time: FOLD_INTERVAL, rounds: self.rounds.min(2), folding: Folding::OfItself, ..self },
        }
    }

    /// The sizes to measure: small ones for a quick run.
    pub fn sizes(self, all: &[u32], quick_max: u32) -> Vec<u32> {
        let is_wanted = |size: u32| match self.only {
            [] => !self.quick || size <= quick_max,
            only => only.contains(&size),
        };
        let sizes: Vec<_> = all.iter().copied().filter(|size| is_wanted(*size)).collect();
        assert!(!sizes.is_empty(), "none of the chosen sizes is among {all:?}");
        sizes
    }
}

/// A size, with its servers.
pub struct Point {
    pub size: u32,
    pub nodes: Vec<Node>,
    pub redis: Vec<RedisServer>,
    pub ask: Ask,
    pub pages: Pages,
    pub connections: usize,
    /// Measured beforehand.
    pub more: Vec<(&'static str, f64)>,
}

/// An axis's results: columns by name, a line per size.
pub struct Value {
    pub title: String,
    pub size_name: &'static str,
    pub columns: Vec<&'static str>,
    pub lines: Vec<(u32, Vec<f64>)>,
}

const COLUMNS: [&str; 6] = ["CPU µs/hit", "Redis µs/hit", "p99 ms", "hits/s", "MiB", "lag s"];

impl Point {
    /// A node that counts hits to some pages over 64 connections.
    pub fn of(node: Node, size: u32, pages: Pages) -> Self {
        let ask = Ask::Hit("/v1/hit?figures=0");
        Self { size, nodes: vec![node], redis: Vec::new(), ask, pages, connections: 64, more: Vec::new() }
    }

    fn cpu(&self) -> Duration {
        self.nodes.iter().map(|node| node.process.cpu()).sum()
    }

    fn redis_cpu(&self) -> Duration {
        self.redis.iter().map(|redis| redis.process.cpu()).sum()
    }

    /// Brings each page and site into the node's file.
    fn visit_all(&self) {
        let (pages, count) = self.pages.each();
        for node in &self.nodes {
            let mut requests = Requests::new(node.public, self.ask, pages, true);
            let mut client = ClosedLoop::connect(node.public, self.connections / self.nodes.len(), true);
            let mut visited = 0;
            while visited < u64::from(count) {
                visited += client.drive(&mut requests, Duration::from_millis(300)).requests;
            }
            node.fold();
        }
        RedisServer::rest(&self.redis);
    }

    /// Publication lag, three times during a drive long enough to show a node that falls behind. The budget
    /// of publication takes 50 s for 100,000 sites.
    pub fn lags(&self, effort: Effort) -> [f64; 3] {
        let third = Duration::from_secs(if effort.quick { 1 } else { 45 });
        let node = self.nodes.first().expect("a point has a node");
        let lags = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut requests = Requests::new(node.public, self.ask, self.pages, true);
                ClosedLoop::connect(node.public, self.connections, true).drive(&mut requests, 3 * third)
            });
            [(); 3].map(|()| {
                std::thread::sleep(third);
                self.lag()
            })
        });
        RedisServer::rest(&self.redis);
        lags
    }

    fn lag(&self) -> f64 {
        self.nodes.iter().map(|node| node.metric("thongke_redis_publish_lag_seconds")).fold(0.0, f64::max)
    }

    /// Drives all nodes at once, then waits until their counts are folded and published.
    fn drive(&self, effort: Effort) -> [f64; 6] {
        let duration = effort.drive_time;
        let (cpu, redis_cpu) = (self.cpu(), self.redis_cpu());
        let connections = self.connections / self.nodes.len();
        let drove: Vec<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = self
                .nodes
                .iter()
                .map(|node| {
                    scope.spawn(move || {
                        let mut requests = Requests::new(node.public, self.ask, self.pages, true);
                        ClosedLoop::connect(node.public, connections, true).drive(&mut requests, duration)
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().expect("a client ends well")).collect()
        });
        let lag = self.lag();
        match effort.folding {
            Folding::Forced => self.nodes.iter().for_each(Node::fold),
            Folding::OfItself => std::thread::sleep(FOLD_INTERVAL / 6),
        }
        RedisServer::rest(&self.redis);
        let hits: u64 = drove.iter().map(|drove| drove.requests).sum();
        let seconds = drove.iter().map(|drove| drove.elapsed.as_secs_f64()).fold(0.0, f64::max);
        let mut nanos: Vec<_> = drove.into_iter().flat_map(|drove| drove.nanos).collect();
        let micros = |after: Duration, before: Duration| (after - before).as_secs_f64() * 1e6 / hits as f64;
        let resident = self.nodes.iter().map(|node| node.process.resident()).max().unwrap_or(0);
        [
            micros(self.cpu(), cpu),
            micros(self.redis_cpu(), redis_cpu),
            percentile_ms(&mut nanos, 99.0),
            hits as f64 / seconds,
            resident as f64 / 1048576.0,
            lag,
        ]
    }
}

/// Drives all points in turn, round after round.
pub fn measure(title: &str, size_name: &'static str, points: &[Point], effort: Effort) -> Value {
    points.iter().for_each(Point::visit_all);
    let rounds: Vec<Vec<_>> = (1..=effort.rounds)
        .map(|round| {
            let measured = points.iter().map(|point| point.drive(effort)).collect();
            eprintln!("{title}: round {round} of {} driven", effort.rounds);
            measured
        })
        .collect();
    let more: Vec<_> =
        points.first().map(|point| point.more.iter().map(|(name, _)| *name).collect()).unwrap_or_default();
    let lines = points.iter().enumerate().map(|(at, point)| {
        let measured = (0..COLUMNS.len()).map(|column| median(rounds.iter().map(|round| round[at][column]).collect()));
        (point.size, measured.chain(point.more.iter().map(|(_, value)| *value)).collect())
    });
    Value {
        title: title.to_owned(),
        size_name,
        columns: COLUMNS.into_iter().chain(more).collect(),
        lines: lines.collect(),
    }
}

impl Value {
    /// Adds a column at the right.
    pub fn add_column(&mut self, name: &'static str, values: impl IntoIterator<Item = f64>) {
        self.columns.push(name);
        self.lines.iter_mut().zip(values).for_each(|((_, line), value)| line.push(value));
    }

    pub fn table(&self) -> Table {
        let head: Vec<_> = [self.size_name].into_iter().chain(self.columns.iter().copied()).collect();
        let mut table = Table::new(&head);
        for (size, values) in &self.lines {
            let shown = values.iter().map(|value| format!("{value:.*}", if *value < 1_000.0 { 2 } else { 0 }));
            table.add([size.to_string()].into_iter().chain(shown).collect());
        }
        table
    }

    pub fn json(&self) -> serde_json::Value {
        json!({ "size": self.size_name, "columns": self.columns, "lines": self.lines })
    }

    /// Draws cost and memory, where there is a curve.
    pub fn draw(&self, directory: &Path, name: &str) {
        if self.lines.len() < 2 {
            return;
        }
        let curve = |columns: &[&'static str]| -> Vec<_> {
            let drawn = columns.iter().filter_map(|wanted| {
                let column = self.columns.iter().position(|column| column == wanted)?;
                let points: Vec<_> = self.lines.iter().map(|(size, values)| (*size, values[column])).collect();
                points.iter().any(|(_, value)| *value != 0.0).then_some((*wanted, points))
            });
            drawn.collect()
        };
        let pictures =
            [("cost", "µs of CPU per hit", curve(&COLUMNS[..2])), ("memory", "MiB resident", curve(&COLUMNS[4..5]))];
        for (kind, unit, curves) in pictures {
            if !curves.is_empty() {
                let file = directory.join(format!("{name}-{kind}.svg"));
                chart::draw(&file, &self.title, self.size_name, unit, &curves);
            }
        }
    }
}
