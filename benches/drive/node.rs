//! Our own server, as released.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::exchange;
use super::process::Process;
use super::requests::{ORIGIN, site_id};

/// The program of this build.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_thongke");

pub struct Node {
    pub process: Process,
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

impl Node {
    /// Starts a node with so many sites, and a quiet one, its files in `directory`.
    pub fn start(directory: &Path, sites: u32, redis: &[String]) -> Self {
        Self::start_by(Command::new(PROGRAM), directory, sites, redis)
    }

    /// Starts a node by another program, or by one that runs it.
    pub fn start_by(mut command: Command, directory: &Path, sites: u32, redis: &[String]) -> Self {
        std::fs::create_dir_all(directory).expect("a directory for a node");
        let config = directory.join("thongke.toml");
        std::fs::write(&config, configuration(sites)).expect("a configuration can be written");
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

    /// Makes the node fold its whole journal: an export begins with that.
    pub fn fold(&self) {
        exchange::get(self.admin, &format!("/sites/{QUIET}/export"));
    }
}

/// A site without visits, so that its export is empty.
const QUIET: &str = "quiet";

fn configuration(sites: u32) -> String {
    // Every request and connection comes from one address here.
    let mut text = String::from("[limits]\nenabled = false\nconnections_per_address = 16384\n");
    for id in (0..sites).map(site_id).chain([QUIET.to_owned()]) {
        let _ = writeln!(text, "[sites.{id}]\norigins = [\"{ORIGIN}\"]\npage_cap = 4000000");
    }
    text
}
