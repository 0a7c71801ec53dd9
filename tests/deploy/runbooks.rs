use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::beside::{Redis, project, run};
use crate::load::{Connections, Load};
use crate::node::{PROGRAM, USER_AGENT, exchange, until};
use crate::port::free_port;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A machine in a folder: the runbooks' paths, and a `systemctl` for one program.
struct Machine {
    directory: TempDir,
    public: String,
    redis: Option<Redis>,
}

impl Machine {
    fn new(with_redis: bool) -> Self {
        let directory = TempDir::new().unwrap();
        let redis = with_redis.then(|| Redis::start(directory.path(), &["--appendonly", "no"]));
        let public = format!("127.0.0.1:{}", free_port());
        let root = directory.path();
        for folder in ["bin", "etc/thongke", "var/lib/thongke", "var/backups"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let address = redis.as_ref().map(|redis| format!("redis = [\"{}\"]\n", redis.url())).unwrap_or_default();
        std::fs::write(
            root.join("etc/thongke/thongke.toml"),
            format!(
                "listen = \"{public}\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\n{address}[sites.demo]\norigins = [\"http://localhost:*\"]\n[limits]\nenabled = false\n",
                root.join("var/lib/thongke").display()
            ),
        )
        .unwrap();
        std::os::unix::fs::symlink(PROGRAM, root.join("bin/thongke")).unwrap();
        let systemctl = format!(
            "#!/bin/sh\ncd {}\ncase $1 in\n\
             start) [ -e pid ] || {{ bin/thongke --config etc/thongke/thongke.toml >/dev/null 2>>log </dev/null & echo $! >pid; }};;\n\
             stop) [ ! -e pid ] || {{ pid=$(cat pid); kill -TERM $pid; while kill -0 $pid 2>/dev/null; do sleep 0.05; done; rm pid; }};;\n\
             show) cat pid;;\nesac\n",
            root.display()
        );
        let shim = root.join("bin/systemctl");
        std::fs::write(&shim, systemctl).unwrap();
        std::fs::set_permissions(&shim, std::fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Self { directory, public, redis };
        machine.systemctl("start");
        machine.is_up();
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn systemctl(&self, what: &str) {
        run(Command::new(self.path("bin/systemctl")).arg(what));
    }

    fn is_up(&self) {
        until("the node is up", TIMEOUT, || std::net::TcpStream::connect(&self.public).is_ok());
    }

    /// Runs a runbook of the page, verbatim except for its folders.
    fn follow(&self, name: &str) -> String {
        let page = std::fs::read_to_string(project("docs/operations.md")).unwrap();
        let begin = format!("```sh\n# runbook: {name}\n");
        let block = page.split(&begin).nth(1).unwrap_or_else(|| panic!("no runbook `{name}`"));
        let block = block.split("```").next().unwrap();
        let mut commands = block.to_owned();
        for folder in ["/etc/thongke", "/var/lib/thongke", "/var/backups"] {
            commands = commands.replace(folder, self.path(&folder[1..]).to_str().unwrap());
        }
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        run(Command::new("bash").args(["-euc", &commands]).env("PATH", path))
    }

    fn hit(&self, times: u64) {
        for _ in 0..times {
            let body = r#"{"site":"demo","url":"http://localhost/a"}"#;
            let length = body.len();
            let request = format!(
                "POST /v1/hit HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {USER_AGENT}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            assert_eq!(exchange(&self.public, request.as_bytes()).status, 200);
        }
    }

    fn today(&self) -> u64 {
        let request = b"GET /v1/sites/demo/figures HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        exchange(&self.public, request).figure("today").try_into().unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn redis_total(&self) -> u64 {
        let port = self.redis.as_ref().unwrap().port.to_string();
        let total = run(Command::new("redis-cli").args(["-p", &port, "HGET", "thongke:{demo}:hits", "total"]));
        total.trim().parse().unwrap_or(0)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new(self.path("bin/systemctl")).arg("stop").output();
    }
}

/// Figures of a backup, read by a program that has nothing else.
fn total_in(backup: &Path) -> u64 {
    let directory = TempDir::new().unwrap();
    std::fs::copy(backup, directory.path().join("thongke.db")).unwrap();
    let said = run(Command::new(PROGRAM).arg("--data-dir").arg(directory.path()).args(["sources", "demo", "--json"]));
    let sources: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
    sources.as_array().unwrap().iter().map(|source| source["total"].as_u64().unwrap()).sum()
}

#[test]
fn a_backup_under_load_holds_what_was_acknowledged_and_can_be_restored() {
    let machine = Machine::new(false);
    machine.hit(10);
    let load = Load::start(&machine.public, "/v1/hit", 2, Connections::Kept);
    load.go_on_for(50);
    let before = load.counted();
    let said = machine.follow("back up");
    assert!(said.contains("checked"), "{said}");
    let backup = machine.path("var/backups/thongke/today.db");
    load.go_on_for(50);
    let counted = load.stop();
    let held = total_in(&backup);
    assert!((10 + before..10 + counted).contains(&held), "{before} {held} {counted}");
    assert_eq!(machine.today(), 10 + counted);
    // A second one does not replace it.
    let again = Command::new(PROGRAM)
        .arg("--config")
        .arg(machine.path("etc/thongke/thongke.toml"))
        .arg("backup")
        .arg(&backup)
        .output()
        .unwrap();
    assert!(again.status.code() == Some(1) && String::from_utf8_lossy(&again.stderr).contains("exists"), "{again:?}");
    machine.follow("restore");
    machine.is_up();
    assert_eq!(machine.today(), held);
    machine.hit(1);
    assert_eq!(machine.today(), held + 1);
}

#[test]
fn with_redis_a_restored_node_gets_back_what_its_backup_lacks() {
    let machine = Machine::new(true);
    machine.hit(10);
    machine.follow("back up");
    machine.hit(5);
    until("all is published", TIMEOUT, || machine.redis_total() == 15);
    machine.follow("restore");
    machine.is_up();
    machine.hit(1);
    until("the figures are complete", TIMEOUT, || machine.today() == 16);
    until("Redis too", TIMEOUT, || machine.redis_total() == 16);
}

#[test]
fn a_lost_disk_and_a_lost_redis_are_made_good() {
    let machine = Machine::new(true);
    machine.hit(7);
    until("all is published", TIMEOUT, || machine.redis_total() == 7);
    machine.systemctl("stop");
    std::fs::remove_dir_all(machine.path("var/lib/thongke")).unwrap();
    machine.follow("disk lost");
    machine.is_up();
    machine.hit(2);
    until("the figures are complete", TIMEOUT, || machine.today() == 9);
    // The node has a copy of these counts from Redis; now Redis loses them.
    until("the other run is in the file", TIMEOUT, || machine.follow("is it well").contains("another node's"));
    let port = machine.redis.as_ref().unwrap().port.to_string();
    run(Command::new("redis-cli").args(["-p", &port, "FLUSHALL"]));
    machine.hit(1);
    until("Redis has it all again", TIMEOUT, || machine.redis_total() == 10);
    // The node reads the figures from Redis at most once a second.
    until("the figures are complete again", TIMEOUT, || machine.today() == 10);
}

#[test]
fn a_retired_nodes_hits_stay_with_the_others() {
    let machine = Machine::new(true);
    machine.hit(3);
    machine.follow("retire");
    assert_eq!(machine.redis_total(), 3);
    assert!(machine.log().contains("stopping"));
}

#[test]
fn a_hit_leaves_no_line_and_the_log_can_say_more_for_a_while() {
    let machine = Machine::new(false);
    assert!(machine.follow("is it well").contains("\"status\":\"ready\""));
    let before = machine.log();
    machine.hit(100);
    assert_eq!(machine.log(), before);
    assert!(machine.follow("accept the clock").contains("the clock is accepted: 20"));
    machine.follow("log more");
    until("the log says so", TIMEOUT, || {
        let log = machine.log();
        log.contains("log filter is now `info,thongke=debug`") && log.trim_end().ends_with("log filter is now `info`")
    });
}
