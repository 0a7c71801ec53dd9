//! A redis-server per contestant, so that late publications are nobody else's cost.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::Process;

pub struct RedisServer {
    pub process: Process,
    pub address: SocketAddr,
}

impl RedisServer {
    pub fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    pub fn start_with(directory: &Path, more: &[&str]) -> Self {
        let address = free_address();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", "", "--dir"]);
        command.arg(directory).args(more);
        let (process, ()) = Process::start(command, |line| line.contains("Ready to accept connections").then_some(()));
        Self { process, address }
    }

    /// Three primaries of a Redis Cluster, each with a third of the slots.
    pub fn start_cluster(directory: &Path) -> [Self; 3] {
        let primaries = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)].map(|(first, last)| {
            let own = directory.join(format!("primary-{first}"));
            std::fs::create_dir_all(&own).expect("a directory for a Redis");
            let bus = free_address().port().to_string();
            let primary = Self::start_with(&own, &["--cluster-enabled", "yes", "--cluster-port", &bus]);
            primary.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            (primary, bus)
        });
        let (first, _) = &primaries[0];
        for (other, bus) in &primaries[1..] {
            first.ask(&["CLUSTER", "MEET", "127.0.0.1", &other.address.port().to_string(), bus]);
        }
        let primaries = primaries.map(|(primary, _)| primary);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !primaries.iter().all(|primary| primary.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")) {
            assert!(Instant::now() < deadline, "the cluster is not complete");
            std::thread::sleep(Duration::from_millis(50));
        }
        primaries
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Waits until publication is over. Nodes go on reading for their audits.
    pub fn rest<'a>(servers: impl IntoIterator<Item = &'a Self> + Clone) {
        // Pages are published once a second.
        const INTERVAL: Duration = Duration::from_millis(1_500);
        let calls = || -> u64 {
            servers.clone().into_iter().map(|server| server.calls_of(|command| command.starts_with("eval"))).sum()
        };
        let deadline = Instant::now() + Duration::from_secs(600);
        let mut before = calls();
        while servers.clone().into_iter().next().is_some() {
            std::thread::sleep(INTERVAL);
            let now = calls();
            if now == before {
                return;
            }
            assert!(Instant::now() < deadline, "publication does not end");
            before = now;
        }
    }

    /// Commands executed so far, including those of scripts, without this one's own.
    pub fn commands(&self) -> u64 {
        self.calls_of(|command| command != "info")
    }

    fn calls_of(&self, is_meant: impl Fn(&str) -> bool) -> u64 {
        let stats = self.info("commandstats");
        let calls = stats.lines().filter_map(|line| {
            let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = rest.split(',').next()?.parse::<u64>().ok()?;
            is_meant(command).then_some(calls)
        });
        calls.sum()
    }

    pub fn memory(&self) -> u64 {
        let memory = self.info("memory");
        let line = memory.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap_or_default();
        line.trim().parse().unwrap_or(0)
    }

    pub fn info(&self, section: &str) -> String {
        self.ask(&["INFO", section])
    }

    /// The reply to a command: a text, or a number as one.
    pub fn ask(&self, words: &[&str]) -> String {
        let mut stream = TcpStream::connect(self.address).expect("Redis listens");
        let mut request = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
        stream.write_all(request.as_bytes()).expect("Redis takes a command");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("Redis answers");
        let Some(length) = line.strip_prefix('$').and_then(|length| length.trim().parse::<usize>().ok()) else {
            return line.trim().trim_start_matches([':', '+']).to_owned();
        };
        let mut bytes = vec![0; length];
        std::io::Read::read_exact(&mut reader, &mut bytes).expect("Redis answers");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A port that is free at the moment.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}
