use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Connection;
use tempfile::TempDir;

use crate::book::{Counted, Counter};
use crate::host::{SITE_IDS, TIMEOUT};
use crate::node::until;
use crate::port::free_port;

/// A redis-server with a directory that outlives it.
pub struct RedisServer {
    pub port: u16,
    files: TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Without persistence.
    pub fn start() -> Self {
        Self::start_with(&["--appendonly", "no"])
    }

    pub fn start_with(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { port: free_port(), files: TempDir::new().unwrap(), options, child: None };
        server.start_again();
        server
    }

    pub fn start_again(&mut self) {
        let port = self.port.to_string();
        let log = self.files.path().join("log");
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes", "--dir"])
            .arg(self.files.path())
            .args(&self.options)
            .stdout(std::fs::File::create(&log).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        until("redis answers", TIMEOUT, || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "redis-server: {}", std::fs::read_to_string(&log).unwrap());
            self.connect().is_ok_and(|mut connection| redis::cmd("PING").exec(&mut connection).is_ok())
        });
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn connect(&self) -> redis::RedisResult<Connection> {
        let client = redis::Client::open(self.url())?;
        let connection = client.get_connection_with_timeout(Duration::from_secs(5))?;
        connection.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(connection)
    }

    pub fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut request = redis::cmd(command[0]);
        request.arg(&command[1..]);
        request.query(&mut self.connect().unwrap()).unwrap()
    }

    pub fn counted(&self) -> Counted {
        self.counted_of(&SITE_IDS)
    }

    /// Counters of these sites, where another site's keys may be damaged.
    pub fn counted_of(&self, sites: &[&str]) -> Counted {
        counted(sites, &mut self.connect().unwrap()).unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Counters of sites in Redis. Fails where a counter is not the sum of its contributions, which change in one
/// command.
pub fn counted(sites: &[&str], connection: &mut impl redis::ConnectionLike) -> redis::RedisResult<Counted> {
    let mut all = Counted::new();
    for site in sites {
        let hits: Vec<(String, String)> =
            redis::cmd("HGETALL").arg(format!("thongke:{{{site}}}:hits")).query(connection)?;
        let mut contributed = std::collections::HashMap::<&str, i64>::new();
        for (field, value) in &hits {
            if let Some((period, source)) = field.split_once(' ').filter(|(period, _)| *period != "digest") {
                let is_known = source.len() == 16 || source.starts_with("import:");
                assert!(is_known, "a run or an import: {field}");
                // An import's has a generation before the hits.
                let hits = value.rsplit(' ').next().unwrap();
                *contributed.entry(period).or_default() += hits.parse::<i64>().unwrap();
            }
        }
        for (period, value) in hits.iter().filter(|(field, _)| !field.contains(' ')) {
            let hits: i64 = value.parse().unwrap();
            assert_eq!(Some(hits), contributed.get(period.as_str()).copied(), "{site} {period}");
            all.insert(Counter { site: (*site).to_owned(), period: period.clone(), page: None }, hits);
        }
        let pattern = format!("thongke:{{{site}}}:pages:*");
        let keys: Vec<String> = redis::cmd("KEYS").arg(&pattern).query(connection)?;
        for key in keys {
            let period = key.rsplit(':').next().unwrap().to_owned();
            let members: Vec<(String, f64)> =
                redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).arg("WITHSCORES").query(connection)?;
            let is_contribution =
                |member: &str| member.starts_with('\x01') && !member.ends_with("\x01d") && !member.ends_with("\x01g");
            let sum_of = |of_pages: bool| -> f64 {
                let chosen = members.iter().filter(|(member, _)| match of_pages {
                    true => !member.starts_with('\x01'),
                    false => is_contribution(member),
                });
                chosen.map(|(_, score)| score).sum()
            };
            assert_eq!(sum_of(true), -sum_of(false), "{key}");
            for (page, score) in members.iter().filter(|(member, _)| !member.starts_with('\x01')) {
                let counter = Counter { site: (*site).to_owned(), period: period.clone(), page: Some(page.clone()) };
                all.insert(counter, *score as i64);
            }
        }
    }
    Ok(all.into_iter().filter(|(_, hits)| *hits != 0).collect())
}
