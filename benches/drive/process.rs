//! A measured process, which ends with the bench.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` and waits for the first line of its output that `is_ready` accepts.
    pub fn start<T>(mut command: Command, is_ready: impl FnMut(&str) -> Option<T>) -> (Self, T) {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = Self::spawn(command);
        let output = process.child.stdout.take().expect("piped");
        let found = process.read_until(output, is_ready);
        (process, found)
    }

    /// Starts a program that writes to stderr.
    pub fn start_by_log<T>(mut command: Command, is_ready: impl FnMut(&str) -> Option<T>) -> (Self, T) {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Self::spawn(command);
        let log = process.child.stderr.take().expect("piped");
        let found = process.read_until(log, is_ready);
        (process, found)
    }

    fn spawn(mut command: Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
        Self { child }
    }

    fn read_until<T>(&mut self, output: impl Read + Send + 'static, mut is_ready: impl FnMut(&str) -> Option<T>) -> T {
        let mut output = BufReader::new(output);
        let mut said = String::new();
        loop {
            let start = said.len();
            let read = output.read_line(&mut said).unwrap_or(0);
            assert!(read > 0, "a server ended at its start: {said}");
            if let Some(found) = is_ready(&said[start..]) {
                // The thread reads on, so that the server never blocks on a full pipe.
                std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
                return found;
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of its threads, in user and in kernel mode. Servers under measurement end no threads.
    pub fn cpu(&self) -> Duration {
        self.cpu_of_threads().into_values().sum()
    }

    /// CPU time of those threads that have not ended, beyond what they had used before.
    pub fn cpu_since(&self, before: &HashMap<OsString, Duration>) -> Duration {
        let since = |(thread, cpu): (OsString, Duration)| cpu - before.get(&thread).copied().unwrap_or_default();
        self.cpu_of_threads().into_iter().map(since).sum()
    }

    /// CPU time by thread.
    ///
    /// `schedstat` counts nanoseconds, `stat` only ticks.
    pub fn cpu_of_threads(&self) -> HashMap<OsString, Duration> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).expect("the process runs");
        let cpu = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            Some((task.file_name(), Duration::from_nanos(text.split(' ').next()?.parse().ok()?)))
        };
        tasks.flatten().filter_map(cpu).collect()
    }

    /// Resident memory in bytes, private and mapped.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }

    /// Stops the process and waits.
    pub fn stop(mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
