use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::beside::{Beside, project, run};
use crate::load::{Connections, Load};
use crate::node::{Node, USER_AGENT, exchange, until};
use crate::port::free_port;
use crate::relay::Relay;

const TIMEOUT: Duration = Duration::from_secs(60);
const CLIENTS: usize = 8;
const HITS: u64 = 400;

/// A node at `/tk`, and a relay that records a proxy's traffic to it.
struct Behind {
    node: Node,
    relay: Relay,
    directory: TempDir,
}

impl Behind {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let config = directory.path().join("thongke.toml");
        std::fs::write(
            &config,
            "path_prefix = \"/tk\"\ntrusted_proxies = [\"127.0.0.1\"]\n[sites.demo]\norigins = [\"http://localhost:*\"]\n[limits]\nenabled = false\n",
        )
        .unwrap();
        let node = Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()]);
        let relay = Relay::before(&node.public);
        Self { node, relay, directory }
    }

    /// Checks that hold behind every proxy.
    fn is_served_well_by(&self, proxy: &str) {
        until("the proxy passes requests on", TIMEOUT, || {
            std::net::TcpStream::connect(proxy).is_ok() && get(proxy, "/tk/v1/sites/demo/figures").status == 200
        });
        // The right address, whatever the client claims.
        self.relay.take_requests();
        let forged = "GET /tk/v1/sites/demo/figures?forged HTTP/1.1\r\nHost: localhost\r\n\
                      X-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
        until("a question reaches the node", TIMEOUT, || {
            exchange(proxy, forged.as_bytes());
            let requests = self.relay.take_requests();
            let addresses: Vec<_> = requests.lines().filter(|line| line.starts_with("x-forwarded-for:")).collect();
            assert!(addresses.iter().all(|line| *line == "x-forwarded-for: 127.0.0.1"), "{addresses:?}");
            !addresses.is_empty()
        });
        // Each query has its own answer, whatever is cached.
        let labels = |query: &str| get(proxy, &format!("/tk/v1/sites/demo/figures{query}")).body;
        for _ in 0..2 {
            assert!(labels("").contains("Hôm nay") && labels("?language=en").contains("Today"));
            let total = labels("?figures=total");
            assert!(total.contains("\"total\"") && !total.contains("\"today\""), "{total}");
        }
        // Each hit once, over kept connections.
        let before = self.relay.connections();
        let load = Load::start(proxy, "/tk/v1/hit", CLIENTS, Connections::New);
        load.go_on_for(HITS);
        let counted = load.stop();
        let opened = self.relay.connections() - before;
        assert!(opened <= 4 * CLIENTS, "{opened} connections for {counted} hits");
        let gif = get(proxy, "/tk/v1/hit.gif?site=demo&url=http://localhost/a");
        assert!(gif.status == 200 && gif.head.contains("thongke-hit: counted"), "{}", gif.head);
        assert_eq!(self.today(), counted + 1);
        // A body longer than any hit's is refused, and counts nothing.
        let body = format!("{{\"site\":\"demo\",\"url\":\"http://localhost/{}\"}}", "a".repeat(5_000));
        let length = body.len();
        let large = format!(
            "POST /tk/v1/hit HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {USER_AGENT}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        assert_eq!(exchange(proxy, large.as_bytes()).status, 413);
        assert_eq!(self.today(), counted + 1);
        assert_eq!(get(proxy, "/metrics").status, 404);
    }

    fn today(&self) -> u64 {
        get(&self.node.public, "/tk/v1/sites/demo/figures").figure("today").try_into().unwrap()
    }
}

fn get(address: &str, path: &str) -> crate::node::Answer {
    let fields = format!("Host: localhost\r\nUser-Agent: {USER_AGENT}\r\nConnection: close");
    exchange(address, format!("GET {path} HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes())
}

/// A delivered file with some words replaced; fails if one is missing.
fn delivered(path: &str, replaced: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(project(path)).unwrap();
    for (from, to) in replaced {
        assert!(text.contains(from), "{path} has no `{from}`");
        text = text.replace(from, to);
    }
    text
}

fn self_signed(directory: &Path) -> (String, String) {
    let (certificate, key) = (directory.join("tls.pem"), directory.join("tls.key"));
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=counter.example.gov.vn", "-addext", "subjectAltName=DNS:counter.example.gov.vn"])
        .args(["-keyout", key.to_str().unwrap(), "-out", certificate.to_str().unwrap()]));
    (certificate.display().to_string(), key.display().to_string())
}

struct Nginx {
    plain: String,
    tls_port: u16,
    process: Beside,
}

/// Debian's nginx with all delivered files, and a plain port for the load.
fn nginx(directory: &Path, upstream: &str) -> Nginx {
    let home = directory.join("nginx");
    std::fs::create_dir_all(home.join("snippets")).unwrap();
    let (plain, tls, redirect) = (free_port(), free_port(), free_port());
    let (certificate, key) = self_signed(directory);
    let cache = home.join("cache").display().to_string();
    let write = |name: &str, text: String| std::fs::write(home.join(name), text).unwrap();
    write(
        "upstream.conf",
        delivered(
            "deploy/nginx/thongke-upstream.conf",
            &[("server 127.0.0.1:8080;", upstream), ("/var/cache/nginx/thongke", &cache)],
        ),
    );
    write("snippets/thongke-proxy.conf", delivered("deploy/nginx/thongke-proxy.conf", &[]));
    write("snippets/thongke-locations.conf", delivered("deploy/nginx/thongke-locations.conf", &[]));
    write(
        "server.conf",
        delivered(
            "deploy/nginx/counter.example.conf",
            &[
                ("listen 443 ssl", &format!("listen 127.0.0.1:{tls} ssl")),
                ("    listen [::]:443 ssl http2;\n", ""),
                ("listen 80;", &format!("listen 127.0.0.1:{redirect};")),
                ("    listen [::]:80;\n", ""),
                ("/etc/letsencrypt/live/counter.example.gov.vn/fullchain.pem", &certificate),
                ("/etc/letsencrypt/live/counter.example.gov.vn/privkey.pem", &key),
            ],
        ),
    );
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("{what}_temp_path {};\n", home.join(what).display()))
        .collect();
    write(
        "nginx.conf",
        format!(
            "daemon off; {user} worker_processes 2; pid {0}/pid; error_log stderr warn;\nevents {{}}\nhttp {{\naccess_log off;\n{temp}\
             include {0}/upstream.conf; include {0}/server.conf;\nserver {{ listen 127.0.0.1:{plain}; \
             include snippets/thongke-locations.conf; location / {{ return 404; }} }}\n}}\n",
            home.display()
        ),
    );
    let config = home.join("nginx.conf");
    run(Command::new("nginx").args(["-t", "-p"]).arg(&home).arg("-c").arg(&config).args(["-e", "stderr"]));
    let process = Beside::start(
        Command::new("nginx").arg("-p").arg(&home).arg("-c").arg(&config).args(["-e", "stderr"]),
        &home.join("log"),
    );
    Nginx { plain: format!("127.0.0.1:{plain}"), tls_port: tls, process }
}

#[test]
fn nginx_passes_the_right_address_once_over_kept_connections() {
    let behind = Behind::start();
    let nginx = nginx(behind.directory.path(), &format!("server {};", behind.relay.address));
    behind.is_served_well_by(&nginx.plain);

    // The cache answers figures, however many clients ask.
    behind.relay.take_requests();
    let mut cached = 0;
    for _ in 0..100 {
        let figures = get(&nginx.plain, "/tk/v1/sites/demo/figures");
        assert_eq!(figures.status, 200);
        cached += usize::from(figures.head.contains("x-cache: hit") || figures.head.contains("x-cache: updating"));
    }
    assert!(cached > 50, "{cached} of 100 answers came from the cache");
    // The cache never answers a hit.
    let today = behind.today();
    assert_eq!(exchange(&nginx.plain, hit().as_bytes()).figure("today"), i64::try_from(today).unwrap() + 1);

    // With TLS, by the delivered server block.
    let answer = run(Command::new("curl")
        .args(["-sS", "--max-time", "60", "-A", USER_AGENT, "--cacert"])
        .arg(behind.directory.path().join("tls.pem"))
        .args(["--resolve", &format!("counter.example.gov.vn:{}:127.0.0.1", nginx.tls_port)])
        .args(["-d", r#"{"site":"demo","url":"http://localhost/a"}"#])
        .arg(format!("https://counter.example.gov.vn:{}/tk/v1/hit", nginx.tls_port)));
    assert!(answer.contains("\"figures\""), "{answer}");

    // A reload, as after a new certificate, fails no request.
    let load = Load::start(&nginx.plain, "/tk/v1/hit", 4, Connections::New);
    for _ in 0..3 {
        load.go_on_for(30);
        nginx.process.signal("HUP");
    }
    load.go_on_for(30);
    let counted = load.stop();
    assert_eq!(behind.today(), today + 2 + counted);
    nginx.process.signal("QUIT");
    behind.node.stop();
}

/// An interrupted hit may have been counted: it must not be sent to the next node.
#[test]
fn nginx_repeats_no_hit_on_another_node() {
    let behind = Behind::start();
    // Accepts requests, passes them to the node, and swallows the answers.
    let swallowing = crate::relay::swallowing(&behind.node.public);
    let upstream = format!("server {swallowing} max_fails=0; server {} max_fails=0;", behind.node.public);
    let nginx = nginx(behind.directory.path(), &upstream);
    until("nginx listens", TIMEOUT, || std::net::TcpStream::connect(&nginx.plain).is_ok());
    let mut answered = [0_u64, 0];
    for n in 0..20 {
        let answer = match n % 2 {
            0 => exchange(&nginx.plain, hit().as_bytes()),
            _ => get(&nginx.plain, "/tk/v1/hit.gif?site=demo&url=http://localhost/a"),
        };
        assert!(matches!(answer.status, 200 | 502), "{}", answer.status);
        answered[usize::from(answer.status == 200)] += 1;
    }
    assert!(answered[0] > 0 && answered[1] > 0, "{answered:?}");
    // Unanswered hits were counted as well, and none twice.
    assert_eq!(behind.today(), 20);
}

fn hit() -> String {
    let body = r#"{"site":"demo","url":"http://localhost/a"}"#;
    format!(
        "POST /tk/v1/hit HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {USER_AGENT}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn caddy_passes_the_right_address_once_over_kept_connections() {
    let behind = Behind::start();
    let port = free_port();
    let host = format!("http://127.0.0.1:{port}, http://localhost:{port}");
    let text = delivered(
        "deploy/caddy/Caddyfile",
        &[("counter.example.gov.vn", &host), ("127.0.0.1:8080", &behind.relay.address)],
    );
    let file = behind.directory.path().join("Caddyfile");
    std::fs::write(&file, format!("{{\n\tadmin off\n}}\n{text}")).unwrap();
    let home = behind.directory.path().join("caddy");
    let mut caddy = Command::new("caddy");
    caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file).env("HOME", &home).env("XDG_DATA_HOME", &home);
    let _caddy = Beside::start(&mut caddy, &behind.directory.path().join("caddy.log"));
    behind.is_served_well_by(&format!("127.0.0.1:{port}"));
    behind.node.stop();
}

#[test]
fn apache_passes_the_right_address_once_over_kept_connections() {
    let behind = Behind::start();
    let port = free_port();
    let home = behind.directory.path().join("apache");
    std::fs::create_dir_all(home.join("none")).unwrap();
    let included = home.join("thongke.conf");
    std::fs::write(&included, delivered("deploy/apache/thongke.conf", &[("127.0.0.1:8080", &behind.relay.address)]))
        .unwrap();
    let modules: String = ["mpm_event", "authz_core", "proxy", "proxy_http", "headers"]
        .iter()
        .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
        .collect();
    let config = home.join("apache.conf");
    std::fs::write(
        &config,
        format!(
            "{modules}ServerRoot {0}\nPidFile {0}/pid\nDefaultRuntimeDir {0}\nMutex file:{0}\nErrorLog {0}/error.log\nUser nobody\nGroup nogroup\n\
             ServerName localhost\nListen 127.0.0.1:{port}\nStartServers 1\nServerLimit 1\nThreadsPerChild 25\n\
             MaxRequestWorkers 25\nDocumentRoot {0}/none\nInclude {1}\n",
            home.display(),
            included.display()
        ),
    )
    .unwrap();
    let _apache = Beside::start(
        Command::new("apache2").args(["-D", "FOREGROUND", "-f"]).arg(&config),
        &behind.directory.path().join("apache.log"),
    );
    behind.is_served_well_by(&format!("127.0.0.1:{port}"));
    behind.node.stop();
}
