use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::port::free_port;
use crate::process::kill_with_all_it_started;

/// A process that ends with the test.
pub struct Beside(Child);

impl Beside {
    /// Starts a command with its output in `log`, so that a failing test can show it.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        Self::start_with_input(command, Stdio::null(), log)
    }

    pub fn start_with_input(command: &mut Command, input: impl Into<Stdio>, log: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let child = command.stdin(input).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap().success());
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    pub fn wait(mut self) -> std::process::ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        kill_with_all_it_started(&mut self.0);
    }
}

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a command to its end; fails with its output unless it succeeds.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

/// A Redis server, or one of a compatible program.
pub struct Redis {
    pub port: u16,
    _process: Beside,
}

impl Redis {
    pub fn start(directory: &Path, more: &[&str]) -> Self {
        Self::start_with_file(Command::new("redis-server"), directory, "", more)
    }

    /// Starts it with a configuration file and overriding settings.
    pub fn start_with_file(mut command: Command, directory: &Path, file: &str, more: &[&str]) -> Self {
        let port = free_port();
        let copy = directory.join(format!("redis-{port}.conf"));
        if !file.is_empty() {
            // Sentinels make a server write its configuration back.
            std::fs::copy(file, &copy).unwrap();
            command.arg(&copy);
        }
        command.args(["--port", &port.to_string()]).args(more);
        Self::start_at(command, directory, port)
    }

    /// Starts it with a configuration file that names its port.
    pub fn start_on(mut command: Command, directory: &Path, file: &str, port: u16) -> Self {
        command.arg(file);
        Self::start_at(command, directory, port)
    }

    fn start_at(mut command: Command, directory: &Path, port: u16) -> Self {
        let home = directory.join(format!("redis-{port}"));
        std::fs::create_dir_all(&home).unwrap();
        command.arg("--dir").arg(&home);
        let log = home.join("log");
        let mut _process = Beside::start(&mut command, &log);
        super::node::until("Redis answers", std::time::Duration::from_secs(60), || {
            assert!(!_process.has_ended(), "{command:?}: {}", std::fs::read_to_string(&log).unwrap());
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { port, _process }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}
