//! Other programs that a test starts and ends.

use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

/// A process that ends with its test, however that ends.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self::start_logging(command, Stdio::null())
    }

    /// Starts a program with its output in `log`.
    pub fn start_logging(command: &mut Command, log: impl Into<Stdio>) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        Self(quiet.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill_with_all_it_started(&mut self.0);
    }
}

/// Kills a process and its descendants: nginx's workers and a driver's browser outlive their parent.
///
/// A process group would not do. A driver gives its browser a group of its own, and Ctrl-C reaches only the
/// terminal's.
pub fn kill_with_all_it_started(child: &mut Child) {
    let started = descendants(child.id());
    let _ = child.kill();
    let _ = child.wait();
    for id in started {
        if let Some(id) = Pid::from_raw(id.cast_signed()) {
            // The child may have ended with its parent.
            let _ = rustix::process::kill_process(id, Signal::KILL);
        }
    }
}

/// Processes that this one has started, and their descendants.
fn descendants(of: u32) -> Vec<u32> {
    let all: Vec<_> = processes().into_iter().filter(|process| !process.has_ended).collect();
    let mut found = vec![of];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(all.iter().filter(|process| process.parent == parent).map(|process| process.id));
        at += 1;
    }
    found.split_off(1)
}

struct Running {
    id: u32,
    parent: u32,
    has_ended: bool,
}

fn processes() -> Vec<Running> {
    let running = |entry: std::io::Result<std::fs::DirEntry>| {
        let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // State and parent follow the name, which may hold anything.
        let mut words = stat.rsplit_once(')')?.1.split_whitespace();
        let has_ended = matches!(words.next()?, "Z" | "X");
        Some(Running { id, parent: words.next()?.parse().ok()?, has_ended })
    };
    std::fs::read_dir("/proc").unwrap().filter_map(running).collect()
}

#[test]
fn children_of_a_process_end_with_it() {
    let shell = Process::start(Command::new("sh").args(["-c", "sh -c 'sleep 1000 & wait' & wait"]));
    let timeout = std::time::Duration::from_secs(30);
    crate::node::until("both have started", timeout, || descendants(shell.0.id()).len() == 2);
    let started = descendants(shell.0.id());
    drop(shell);
    crate::node::until("both have ended", timeout, || {
        processes().iter().all(|process| process.has_ended || !started.contains(&process.id))
    });
}
