//! Our own server, as it is released.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::exchange;
use super::process::Process;
use super::requests::{ORIGIN, site_id};

pub struct Node {
    pub process: Process,
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

impl Node {
    /// Starts a node with so many sites, its files in `directory`.
    pub fn start(directory: &Path, sites: u32, redis: &[String]) -> Self {
        std::fs::create_dir_all(directory).expect("a directory for a node");
        let config = directory.join("thongke.toml");
        std::fs::write(&config, configuration(sites)).expect("a configuration can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_thongke"));
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config"]).arg(config);
        command.arg("--data-dir").arg(directory.join("data"));
        command.args(redis.iter().flat_map(|url| ["--redis", url]));
        command.env("THONGKE_LOG", "info");
        let mut public = None;
        let (process, (public, admin)) = Process::start_by_log(command, |line| {
            let address = line.split("http://").nth(1)?.split(['/', ' ', '\n']).next()?.parse().ok()?;
            match public {
                None => {
                    public = Some(address);
                    None
                }
                Some(public) => Some((public, address)),
            }
        });
        Self { process, public, admin }
    }

    /// The sum of a metric's series.
    pub fn metric(&self, name: &str) -> f64 {
        let text = exchange::get(self.admin, "/metrics");
        let series =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn commits(&self) -> u64 {
        self.metric("thongke_commit_duration_seconds_count") as u64
    }

    pub fn counted(&self) -> u64 {
        self.metric("thongke_hits_total") as u64
    }

    /// Waits until all that was counted is folded and, where there is Redis, published.
    pub fn settle(&self) {
        let started = Instant::now();
        while self.metric("thongke_ledger_tail_hits") > 0.0 || self.metric("thongke_redis_unpublished_hits") > 0.0 {
            assert!(started.elapsed() < Duration::from_secs(300), "the node does not come to rest");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn configuration(sites: u32) -> String {
    // Every request comes from one address here.
    let mut text = String::from("[limits]\nenabled = false\n");
    for number in 0..sites {
        let _ = writeln!(text, "[sites.{}]\norigins = [\"{ORIGIN}\"]", site_id(number));
    }
    text
}
