//! The program, started on ports of its own and stopped at the end of the test.

use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_thongke");

pub struct Node {
    child: Child,
    /// `127.0.0.1:PORT`, or a unix socket's path.
    pub public: String,
    pub admin: String,
    log: Arc<Mutex<String>>,
}

pub struct Answer {
    pub status: u16,
    /// Status line and header fields, in lower case.
    pub head: String,
    fields: String,
    pub body: String,
}

impl Answer {
    /// A header field, as sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All values of a header field.
    pub fn head_lines(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// Asserts that an answer is an error in the one shape that all have; returns its detail.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{} {}", self.head, self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        problem["detail"].as_str().unwrap().to_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The value of a figure.
    pub fn figure(&self, key: &str) -> i64 {
        let json = self.json();
        let figures = json["figures"].as_array().unwrap();
        figures.iter().find(|figure| figure["key"] == key).unwrap()["value"].as_i64().unwrap()
    }
}

impl Node {
    pub fn start(directory: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(more);
        Self::start_as(command, directory)
    }

    /// Starts `command`, which runs the program, with a data directory and free ports.
    pub fn start_as(command: Command, directory: &Path) -> Self {
        Self::try_start_as(command, directory).unwrap_or_else(|log| panic!("the program ended: {log}"))
    }

    /// Starts the program, or returns its messages if it ends first.
    pub fn try_start_as(mut command: Command, directory: &Path) -> Result<Self, String> {
        if !command.get_args().any(|argument| argument == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command
            .args(["--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory)
            .env_remove("THONGKE_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let mut address = || address_in_log(&mut lines, &mut said);
        let (Some(public), Some(admin)) = (address(), address()) else {
            let _ = child.wait();
            return Err(said);
        };
        // The thread reads on, so that the program never blocks on a full pipe.
        let log = Arc::new(Mutex::new(said));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Ok(Self { child, public, admin, log })
    }

    /// The program's messages so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The program's exit status; none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn hit(&self, page: &str) -> Answer {
        self.post("/v1/hit", &format!(r#"{{"site":"demo","url":"http://localhost{page}"}}"#))
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        ask(&self.public, "POST", path, &[], body)
    }

    /// A hit with the test's header fields.
    pub fn hit_with(&self, fields: &[&str], body: impl AsRef<[u8]>) -> Answer {
        ask(&self.public, "POST", "/v1/hit", fields, body)
    }

    pub fn get(&self, path: &str) -> Answer {
        get(&self.public, path)
    }

    pub fn admin_get(&self, path: &str) -> Answer {
        get(&self.admin, path)
    }

    /// All hits of a site, over all days.
    pub fn total(&self, site: &str) -> u64 {
        let export = self.admin_get(&format!("/sites/{site}/export")).body;
        let total = export.lines().find_map(|line| line.strip_prefix("total,,"));
        total.map_or(0, |total| total.parse().unwrap())
    }

    pub fn figures(&self) -> Answer {
        self.get("/v1/sites/demo/figures")
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM; the program must end by itself, with success.
    pub fn stop(mut self) {
        self.signal("TERM");
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next address in the log; none if the program ends before it names one.
fn address_in_log(log: &mut BufReader<ChildStderr>, said: &mut String) -> Option<String> {
    let mut line = String::new();
    loop {
        line.clear();
        if log.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        said.push_str(&line);
        if let Some((_, rest)) = line.split_once("http://") {
            return Some(rest.split(['/', ' ']).next().unwrap().to_owned());
        }
        if let Some((_, path)) = line.split_once("counting on unix:") {
            return Some(path.trim_end().to_owned());
        }
    }
}

fn get(address: &str, path: &str) -> Answer {
    ask(address, "GET", path, &[], "")
}

/// A reader's browser.
pub const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Sends one request on a connection of its own. Unless `fields` differ, `Host` is localhost and `User-Agent`
/// a browser's.
pub fn ask(address: &str, method: &str, path: &str, fields: &[&str], body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !fields.iter().any(|field| field.starts_with("Host:")) {
        request.push_str("Host: localhost\r\n");
    }
    if !fields.iter().any(|field| field.starts_with("User-Agent:")) {
        request.push_str(&format!("User-Agent: {USER_AGENT}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    fields.iter().for_each(|field| request.push_str(&format!("{field}\r\n")));
    request.push_str("\r\n");
    exchange(address, &[request.as_bytes(), body].concat())
}

pub fn exchange(address: &str, request: &[u8]) -> Answer {
    if address.starts_with('/') {
        let stream = UnixStream::connect(address).unwrap();
        stream.set_read_timeout(Some(ANSWER_TIME_MAX)).unwrap();
        return exchange_on(stream, request);
    }
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(ANSWER_TIME_MAX)).unwrap();
    exchange_on(stream, request)
}

const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

pub fn exchange_on(mut stream: impl Read + Write, request: &[u8]) -> Answer {
    stream.write_all(request).unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // Some servers reset a connection once they have answered.
        Err(error) if error.kind() == ErrorKind::ConnectionReset && !bytes.is_empty() => {}
        ended => drop(ended.unwrap()),
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_ascii_lowercase(), fields: head.to_owned(), body: body.to_owned() }
}

/// Waits until a condition holds; fails with `what` after `limit`.
pub fn until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
