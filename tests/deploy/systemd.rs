use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::beside::{Beside, project, run};
use crate::load::{Connections, Load};
use crate::node::{PROGRAM, exchange, until};

const TIMEOUT: Duration = Duration::from_secs(60);

/// systemd's side of a service with a socket: keeps the socket, passes it on, and receives notifications.
struct Manager {
    socket: TcpListener,
    words: UnixDatagram,
    directory: TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let words = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        words.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { socket: TcpListener::bind("127.0.0.1:0").unwrap(), words, directory }
    }

    fn address(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }

    /// A shell that puts the socket where the protocol requires it, and becomes the program.
    fn start(&self, watchdog: Option<Duration>) -> Beside {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@""#, "sh", PROGRAM])
            .args(["--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(self.directory.path().join("data"))
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "public")
            .env("NOTIFY_SOCKET", self.directory.path().join("notify"))
            .stdout(Stdio::null());
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        Beside::start_with_input(&mut command, OwnedFd::from(self.socket.try_clone().unwrap()), &self.log())
    }

    fn log(&self) -> std::path::PathBuf {
        self.directory.path().join("log")
    }

    /// The next notification that contains `wanted`.
    fn hears(&self, wanted: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length =
                self.words.recv(&mut buffer).unwrap_or_else(|error| panic!("no notification `{wanted}`: {error}"));
            let word = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if word.contains(wanted) {
                return word;
            }
        }
    }

    fn today(&self) -> u64 {
        let figures = exchange(
            &self.address(),
            b"GET /v1/sites/demo/figures HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        );
        figures.figure("today").try_into().unwrap()
    }
}

/// Three restarts, as by upgrades, under load from clients with new and with kept connections.
#[test]
fn a_restart_under_socket_activation_fails_no_request_and_loses_no_hit() {
    let manager = Manager::new();
    let mut node = manager.start(None);
    manager.hears("READY=1");
    let new = Load::start(&manager.address(), "/v1/hit", 4, Connections::New);
    let kept = Load::start(&manager.address(), "/v1/hit?figures=0", 4, Connections::Kept);
    for _ in 0..3 {
        new.go_on_for(50);
        kept.go_on_for(50);
        node.signal("TERM");
        manager.hears("STOPPING=1");
        assert!(node.wait().success());
        node = manager.start(None);
        manager.hears("READY=1");
    }
    new.go_on_for(50);
    kept.go_on_for(50);
    let counted = new.stop() + kept.stop();
    assert_eq!(manager.today(), counted);
}

#[test]
fn systemd_hears_of_start_reload_and_end_and_the_watchdog_is_fed() {
    let manager = Manager::new();
    let node = manager.start(Some(Duration::from_millis(600)));
    assert!(manager.hears("READY=1").contains(&manager.address()));
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    node.signal("HUP");
    assert!(manager.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    manager.hears("READY=1");
    node.signal("TERM");
    manager.hears("STOPPING=1");
    assert!(node.wait().success());
}

/// A watchdog is for stuck threads: here a debugger's means stop the committer.
#[test]
fn the_watchdog_is_not_fed_while_a_thread_is_stuck() {
    let manager = Manager::new();
    let node = manager.start(Some(Duration::from_millis(600)));
    manager.hears("WATCHDOG=1");
    let committer = thread_named(node.id(), "committer");
    // Each of its system calls takes a minute from now on.
    let mut tracer = Beside::start(
        Command::new("strace").args(["-qq", "-p", &committer.to_string(), "-e", "inject=all:delay_enter=60s"]),
        &manager.directory.path().join("strace"),
    );
    until("the stuck thread is noticed", TIMEOUT, || {
        assert!(!tracer.has_ended(), "{}", std::fs::read_to_string(manager.directory.path().join("strace")).unwrap());
        std::fs::read_to_string(manager.log()).unwrap().contains("has not answered")
    });
}

fn thread_named(process: u32, name: &str) -> u32 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks
        .map(|task| task.unwrap().path())
        .find(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name))
        .unwrap_or_else(|| panic!("process {process} has no thread `{name}`"))
        .file_name()
        .unwrap()
        .to_string_lossy()
        .parse()
        .unwrap()
}

#[test]
fn systemds_own_activation_starts_the_node_at_the_first_connection() {
    let directory = TempDir::new().unwrap();
    let port = crate::port::free_port();
    let address = format!("127.0.0.1:{port}");
    let _activator = Beside::start(
        Command::new("systemd-socket-activate")
            .args(["-l", &address, "--fdname=public", PROGRAM, "--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path().join("data")),
        &directory.path().join("log"),
    );
    // A connection starts the program, so only a first connection may be refused.
    until("the activator listens", TIMEOUT, || std::net::TcpStream::connect(&address).is_ok());
    let load = Load::start(&address, "/v1/hit", 1, Connections::New);
    load.go_on_for(5);
    load.stop();
}

#[test]
fn the_units_are_right_and_expose_little() {
    let units = TempDir::new().unwrap();
    for unit in ["thongke.service", "thongke.socket", "thongke-backup.service", "thongke-backup.timer"] {
        // The program is where the test built it, and the manual page is not installed.
        let text = std::fs::read_to_string(project("deploy/systemd").join(unit)).unwrap();
        std::fs::write(units.path().join(unit), text.replace("/usr/bin/thongke", PROGRAM)).unwrap();
    }
    let drop_in = units.path().join("thongke.service.d");
    std::fs::create_dir(&drop_in).unwrap();
    std::fs::copy(project("deploy/systemd/credentials.conf"), drop_in.join("credentials.conf")).unwrap();
    let service = units.path().join("thongke.service");
    let backup = units.path().join("thongke-backup.timer");
    let said = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).args([&service, &backup]));
    assert_eq!(said, "", "systemd-analyze reports faults of the units");
    // systemd takes exposure in tenths, and fails above the limit.
    run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=15"])
        .arg(&service));
}

/// A forbidden system call would fail under the unit's filter; this node makes none.
#[test]
fn the_unit_allows_every_system_call_that_the_node_makes() {
    let directory = TempDir::new().unwrap();
    let trace = directory.path().join("calls");
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o"]).arg(&trace).arg(PROGRAM);
    let node = crate::node::Node::start_as(command, &directory.path().join("data"));
    let load = Load::start(&node.public, "/v1/hit", 2, Connections::New);
    load.go_on_for(50);
    load.stop();
    assert_eq!(node.admin_get("/metrics").status, 200);
    node.signal("HUP");
    node.stop();
    let allowed = allowed_calls();
    until("the trace is complete", TIMEOUT, || std::fs::read_to_string(&trace).unwrap().contains("exit_group"));
    let mut made = calls_in(&trace);
    // SQLite changes its files' owner only as root, which the unit is not.
    made.remove("fchown");
    assert!(made.contains("fdatasync") && made.contains("accept4"), "{made:?}");
    let denied: Vec<_> = made.difference(&allowed).collect();
    assert!(denied.is_empty(), "{denied:?}");
}

fn calls_in(trace: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(trace).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
        .collect()
}

/// System calls of the unit's `SystemCallFilter=` lines, with the groups as systemd resolves them.
fn allowed_calls() -> BTreeSet<String> {
    let unit = std::fs::read_to_string(project("deploy/systemd/thongke.service")).unwrap();
    let mut allowed = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (denies, groups) = line.strip_prefix('~').map_or((false, line), |groups| (true, groups));
        for call in groups.split(' ').flat_map(members) {
            if denies {
                allowed.remove(&call)
            } else {
                allowed.insert(call)
            };
        }
    }
    // systemd always allows these; @system-service names them too.
    allowed.extend(members("@default"));
    allowed
}

fn members(group: &str) -> Vec<String> {
    if !group.starts_with('@') {
        return vec![group.to_owned()];
    }
    let text = run(Command::new("systemd-analyze").args(["syscall-filter", group]));
    let lines = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(|line| if line.starts_with('@') { members(line) } else { vec![line.to_owned()] }).collect()
}
