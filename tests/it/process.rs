//! Other programs that a test starts, and ends.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// Ends with its test, however that ends.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
