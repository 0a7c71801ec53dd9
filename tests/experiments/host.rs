use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use chrono_tz::Tz;
use futures_util::StreamExt as _;
use tempfile::TempDir;
use thongke::counter::{Day, Hit, PageAddress, Site};
use thongke::ledger::{DirectoryLock, Ledger};
use thongke::metrics::Metrics;

use crate::book::{Book, Counted, Outcome, of_csv, sum};
use crate::load::Door;
use crate::node::{Node, PROGRAM};

/// The sites of all experiments, with their time zones.
pub const SITES: [(&str, Tz); 2] = [("a", Tz::Asia__Ho_Chi_Minh), ("b", Tz::Europe__Berlin)];
pub const SITE_IDS: [&str; 2] = [SITES[0].0, SITES[1].0];

/// Generous: for a slow machine that runs other things.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A node's data directory and configuration, and the node while it is up.
pub struct Host {
    files: TempDir,
    /// Data directory: beside `files` unless the data must be elsewhere.
    data: PathBuf,
    door: Door,
    node: Option<Node>,
}

impl Host {
    pub fn new(redis: Option<&str>) -> Self {
        let files = TempDir::new().unwrap();
        let data = files.path().join("data");
        Self::with_data(files, data, redis)
    }

    pub fn with_data(files: TempDir, data: PathBuf, redis: Option<&str>) -> Self {
        let host = Self { files, data, door: Door::default(), node: None };
        host.configure(redis);
        host
    }

    /// Writes the configuration for the next start.
    pub fn configure(&self, redis: Option<&str>) {
        self.configure_sites(redis, &SITES);
    }

    /// Writes the configuration with some of the sites.
    pub fn configure_sites(&self, redis: Option<&str>, sites: &[(&str, Tz)]) {
        let mut text = redis.map_or(String::new(), |redis| format!("redis = [{redis:?}]\n"));
        text.push_str("[limits]\nenabled = false\n");
        for (site, zone) in sites {
            let zone = zone.name();
            text.push_str(&format!("[sites.{site}]\norigins = [\"http://{site}.example\"]\ntime_zone = \"{zone}\"\n"));
        }
        std::fs::write(self.configuration(), text).unwrap();
    }

    /// Writes a configuration of its own for the next start.
    pub fn configure_as(&self, text: &str) {
        std::fs::write(self.configuration(), text).unwrap();
    }

    fn configuration(&self) -> PathBuf {
        self.files.path().join("thongke.toml")
    }

    /// Copies the data directory as it is, for a host of its own.
    pub fn copy(&self, redis: Option<&str>) -> Self {
        let copy = Self::new(redis);
        std::fs::create_dir_all(copy.data()).unwrap();
        for entry in std::fs::read_dir(self.data()).into_iter().flatten() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.data().join(entry.file_name())).unwrap();
        }
        copy
    }

    /// Counts hits of a past day, by a finished run, to some pages of their own.
    pub fn counted_before(&self, ago: TimeDelta, pages: usize, book: &Book) {
        let sites = SITES.map(|(site, zone)| {
            let origins = vec![format!("http://{site}.example").parse().unwrap()];
            let site = Site::with_defaults(site.parse().unwrap(), origins);
            Site { time_zone: zone, vouching_networks: 1, ..site }
        });
        let at = Utc::now() - ago;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
        runtime.block_on(async {
            let lock = DirectoryLock::take(&self.data).unwrap();
            let opened = Ledger::open(lock, &self.data, sites.to_vec(), false, Arc::new(Metrics::new()));
            let (ledger, registered) = opened.unwrap();
            let hits = SITES.into_iter().flat_map(|site| (0..pages).map(move |page| (site, page)));
            let (ledger_of_hits, registered) = (&ledger, &registered);
            let counted = futures_util::stream::iter(hits).for_each_concurrent(1_000, async |((site, zone), page)| {
                let address = format!("/{}-days-ago/{page}", ago.num_days());
                let page = PageAddress::from_stored(&address);
                let hit = Hit { site: registered.get(site).unwrap().number, day: Day::at(at, zone), page };
                ledger_of_hits.count(hit).await.unwrap();
                book.begin(site, &address, zone, at);
                book.note(site, &address, zone, at, at, Outcome::Acknowledged);
            });
            counted.await;
            ledger.close();
        });
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn door(&self) -> Door {
        Arc::clone(&self.door)
    }

    pub fn start(&mut self) {
        self.start_as(Command::new(PROGRAM));
    }

    pub fn start_as(&mut self, command: Command) {
        self.try_start_as(command).unwrap_or_else(|said| panic!("the node does not start: {said}"));
    }

    /// Starts `command`, which runs the program, or returns its messages if it ends first.
    pub fn try_start_as(&mut self, mut command: Command) -> Result<(), String> {
        command.arg("--config").arg(self.configuration());
        let node = Node::try_start_as(command, &self.data)?;
        self.door.open(&node.public);
        self.node = Some(node);
        Ok(())
    }

    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("the node is up")
    }

    pub fn node_mut(&mut self) -> &mut Node {
        self.node.as_mut().expect("the node is up")
    }

    fn take(&mut self, is_killed: bool) -> Option<Node> {
        self.door.close(is_killed);
        self.node.take()
    }

    pub fn kill(&mut self) {
        if let Some(node) = self.take(true) {
            node.kill();
        }
    }

    pub fn stop(&mut self) {
        if let Some(node) = self.take(false) {
            node.stop();
        }
    }

    /// Counts by `thongke export` of all sites, from the running node or its files. Empty where nothing was ever
    /// counted: there the program refuses.
    pub fn export(&self) -> Counted {
        sum(SITE_IDS.map(|site| match self.try_command(&["export", site]) {
            Ok(csv) => of_csv(site, &csv),
            Err(said) if said.contains("nothing was ever counted") => Counted::new(),
            Err(said) => panic!("export {site}: {said}"),
        }))
    }

    /// A command's output.
    pub fn command(&self, arguments: &[&str]) -> String {
        self.try_command(arguments).unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
    }

    pub fn try_command(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--config").arg(self.configuration()).arg("--data-dir").arg(&self.data);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Output of `thongke check`.
    pub fn check(&self) -> String {
        let mut command = Command::new(PROGRAM);
        command.arg("check").arg("--config").arg(self.configuration()).arg("--data-dir").arg(&self.data);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    /// A metric of the running node.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.node().admin_get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("there is no metric {name}")).parse().unwrap()
    }

    /// Faults and their reasons, as `/readyz` shows them.
    pub fn ready(&self) -> String {
        self.node().admin_get("/readyz").body
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let faults = self.door.end();
        if !std::thread::panicking() {
            let shown = faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>();
            assert!(faults.is_empty(), "public figures were wrong:{shown}");
        }
    }
}

/// Waits until counts agree with the book; reports the difference after the limit.
pub fn until_right(what: &str, limit: Duration, mut faults: impl FnMut() -> Vec<String>) -> Duration {
    let started = Instant::now();
    loop {
        let wrong = faults();
        if wrong.is_empty() {
            return started.elapsed();
        }
        let shown = wrong.iter().take(12).map(|fault| format!("\n  {fault}")).collect::<String>();
        assert!(started.elapsed() < limit, "{what}: after {limit:?}, {} counters are wrong:{shown}", wrong.len());
        std::thread::sleep(Duration::from_millis(100));
    }
}
