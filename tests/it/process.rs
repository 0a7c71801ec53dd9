//! Other programs that a test starts, and ends.

use std::process::{Child, Command, Stdio};

/// Ends with its test, however that ends.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self::start_logging(command, Stdio::null())
    }

    /// What it says goes to `log`.
    pub fn start_logging(command: &mut Command, log: impl Into<Stdio>) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        Self(quiet.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
