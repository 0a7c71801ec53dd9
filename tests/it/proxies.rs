//! Proxies in front of a node: the client's address, and the requests that reach the node.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::framing;
use crate::node::{Node, exchange_on, until};
use crate::port::free_port;
use crate::process::Process;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A proxy in front of a node, and its log of forwarded requests.
struct Proxy {
    address: String,
    log: PathBuf,
    /// Matches log lines of hits that the node answered well.
    counted: fn(&str) -> bool,
    _process: Process,
}

impl Proxy {
    /// Debian's nginx, in front of a node's unix socket.
    fn nginx(directory: &Path, node: &Node) -> Self {
        let port = free_port();
        let (file, log) = (directory.join("nginx.conf"), directory.join("nginx.log"));
        let config = format!(
            "daemon off; error_log {folder}/nginx-error.log; pid {folder}/nginx.pid; {user}
            events {{}}
            http {{
                log_format sent '$upstream_status $request';
                access_log {log} sent;
                client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
                uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
                upstream thongke {{ server unix:{socket}; keepalive 8; }}
                server {{
                    listen 127.0.0.1:{port};
                    location / {{
                        proxy_pass http://thongke; proxy_http_version 1.1; proxy_set_header Connection \"\";
                        proxy_set_header Host $host; proxy_ignore_client_abort on;
                        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                    }}
                }}
            }}",
            folder = directory.display(),
            log = log.display(),
            socket = node.public,
            user = if rustix::process::geteuid().is_root() { "user root;" } else { "" },
        );
        std::fs::write(&file, config).unwrap();
        let process = Process::start(Command::new("/usr/sbin/nginx").arg("-p").arg(directory).arg("-c").arg(&file));
        // `204 POST …`; a retried hit would have two statuses.
        Self::listening(port, log, |line| line.starts_with("204 ") || line.starts_with("200 "), process)
    }

    /// Debian's haproxy, in front of a node's port.
    fn haproxy(directory: &Path, node: &Node) -> Self {
        let port = free_port();
        let (file, log) = (directory.join("haproxy.cfg"), directory.join("haproxy.log"));
        let config = format!(
            "global
                log stdout format raw local0
            defaults
                mode http
                log global
                log-format \"%s %ST %{{+Q}}r\"
                option forwardfor
                timeout connect 20s
                timeout client 20s
                timeout server 20s
            frontend front
                bind 127.0.0.1:{port}
                default_backend thongke
            backend thongke
                http-reuse always
                server node {}\n",
            node.public
        );
        std::fs::write(&file, config).unwrap();
        let output = std::fs::File::create(&log).unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f"]).arg(&file);
        let process = Process::start_logging(&mut command, output);
        // The proxy's own refusals have `<NOSRV>` or their own status.
        Self::listening(port, log, |line| line.starts_with("node 204 ") || line.starts_with("node 200 "), process)
    }

    fn listening(port: u16, log: PathBuf, counted: fn(&str) -> bool, process: Process) -> Self {
        let address = format!("127.0.0.1:{port}");
        until("the proxy listens", TIMEOUT, || TcpStream::connect(&address).is_ok());
        Self { address, log, counted, _process: process }
    }

    /// Hits that the proxy's log shows as sent and answered; a refused one's picture has another status.
    fn sent(&self) -> u64 {
        let log = std::fs::read(&self.log).unwrap();
        let lines = String::from_utf8_lossy(&log).into_owned();
        lines.lines().filter(|line| (self.counted)(line) && line.contains("/v1/hit")).count() as u64
    }

    /// Sends bytes that may be no HTTP, and waits a little for any reply.
    fn send(&self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let _ = stream.write_all(bytes);
        let mut answers = Vec::new();
        let _ = stream.read_to_end(&mut answers);
    }

    /// A hit of a client at one of this machine's addresses.
    fn hit_from(&self, client: [u8; 4], field: &str) -> u16 {
        let body = r#"{"site":"demo","url":"http://localhost/a"}"#;
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
        socket.connect(&self.address.parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        let request = format!(
            "POST /v1/hit?figures=0 HTTP/1.1\r\nHost: localhost\r\n{field}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange_on(TcpStream::from(socket), request.as_bytes()).status
    }
}

/// A node with these settings, named by how it listens.
fn node_of(directory: &Path, listen: &str, settings: &str) -> Node {
    let file = directory.join("thongke.toml");
    let demo = "[sites.demo]\norigins = [\"http://localhost:*\"]\nbots = false\n";
    let (top, limits) = settings.split_once("[limits]").unwrap_or((settings, ""));
    std::fs::write(&file, format!("{top}\n{demo}[limits]\n{limits}")).unwrap();
    Node::start(&directory.join("data"), &["--config", file.to_str().unwrap(), "--listen", listen])
}

fn nothing_is_counted_that_the_proxy_did_not_send(node: Node, proxy: &Proxy) {
    let mut cases = 0;
    for sent in framing::everything_sent() {
        proxy.send(sent.as_bytes());
        cases += 1;
    }
    assert!(cases > 100, "{cases}");
    // Hits cut off above may still be under way.
    until("the node has counted what the proxy has sent", TIMEOUT, || node.total("demo") == proxy.sent());
    assert_eq!(proxy.hit_from([127, 0, 0, 1], "X: a"), 204);
    until("and still so", TIMEOUT, || node.total("demo") == proxy.sent());
    assert!(proxy.sent() > 10, "hardly anything came through: {}", proxy.sent());
    node.stop();
}

#[test]
fn behind_nginx_nothing_is_counted_that_it_did_not_send() {
    let directory = TempDir::new().unwrap();
    let listen = format!("unix:{}", directory.path().join("http.sock").display());
    let node = node_of(directory.path(), &listen, "[limits]\nenabled = false\n");
    let proxy = Proxy::nginx(directory.path(), &node);
    nothing_is_counted_that_the_proxy_did_not_send(node, &proxy);
}

#[test]
fn behind_haproxy_nothing_is_counted_that_it_did_not_send() {
    let directory = TempDir::new().unwrap();
    let node = node_of(directory.path(), "127.0.0.1:0", "[limits]\nenabled = false\n");
    let proxy = Proxy::haproxy(directory.path(), &node);
    nothing_is_counted_that_the_proxy_did_not_send(node, &proxy);
}

/// Both append the peer's address to the client's claim: one to its line, one on a line of its own.
#[test]
fn behind_nginx_and_haproxy_a_client_is_who_the_proxy_says_and_not_who_it_says_itself() {
    let directory = TempDir::new().unwrap();
    let limits = "[limits]\naddress_rate = 1\naddress_burst = 3\n";
    for (name, trusted) in [("nginx", "unix:"), ("haproxy", "127.0.0.1")] {
        let folder = directory.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let is_nginx = name == "nginx";
        let socket = format!("unix:{}", folder.join("http.sock").display());
        let listen = if is_nginx { &socket } else { "127.0.0.1:0" };
        let node = node_of(&folder, listen, &format!("trusted_proxies = [\"{trusted}\"]\n{limits}"));
        let proxy = if is_nginx { Proxy::nginx(&folder, &node) } else { Proxy::haproxy(&folder, &node) };
        let twenty = |client: [u8; 4], fields: &dyn Fn(u32) -> String| -> Vec<u16> {
            (0..20).map(|number| proxy.hit_from(client, &fields(number))).collect()
        };
        let spoofed = twenty([127, 0, 0, 2], &|number| format!("X-Forwarded-For: 192.0.2.{number}"));
        assert!(spoofed.contains(&429), "{name}: {spoofed:?}");
        // Another client's budget is full.
        assert_eq!(
            twenty([127, 0, 0, 3], &|number| format!("Forwarded: for=192.0.2.{number}"))[..3],
            [204; 3],
            "{name}"
        );
        assert!(!node.log().contains("192.0.2.") && !node.log().contains("127.0.0.2"), "{}", node.log());
        node.stop();
    }
}

#[test]
fn a_unix_socket_serves_a_proxy_and_one_left_by_a_crash_is_no_hindrance() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("http.sock");
    let listen = format!("unix:{}", socket.display());
    let start = || Node::start(&directory.path().join("data"), &["--listen", &listen]);
    let node = start();
    assert_eq!(node.public, socket.to_str().unwrap());
    assert_eq!(node.hit("/bai-1").figure("today"), 1);
    node.kill();
    assert!(socket.exists());
    let node = start();
    assert_eq!(node.hit("/bai-1").figure("today"), 2);
    // Another node must not take the socket from a listening one.
    let other = std::process::Command::new(crate::node::PROGRAM)
        .args(["--listen", &listen, "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path().join("other"))
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("can't listen on unix:"));
    assert_eq!(node.hit("/bai-1").figure("today"), 3);
    node.stop();
}
