//! Nodes that share a real redis-server.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Node, until};
use crate::port::free_port;

pub struct Redis {
    child: Child,
    pub port: u16,
    _directory: TempDir,
}

impl Redis {
    pub fn start() -> Self {
        Self::start_on(free_port())
    }

    pub fn start_on(port: u16) -> Self {
        Self::start_with(port, &[])
    }

    pub fn start_with(port: u16, more: &[&str]) -> Self {
        Self::start_as(Command::new("redis-server"), port, more)
    }

    /// Starts `command`, which runs redis-server.
    pub fn start_as(mut command: Command, port: u16, more: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let child = command
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path())
            .args(more)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Self { child, port, _directory: directory };
        until("redis answers", Duration::from_secs(10), || redis.cli(&["PING"]) == "PONG");
        redis
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn hits(&self, field: &str) -> String {
        self.cli(&["HGET", "thongke:{demo}:hits", field])
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three primaries that share the slots.
pub struct Cluster {
    primaries: Vec<Redis>,
    _directory: TempDir,
}

impl Cluster {
    pub fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let primaries = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)].map(|(first, last)| {
            let port = free_port();
            let file = directory.path().join(format!("nodes-{port}.conf"));
            let redis =
                Redis::start_with(port, &["--cluster-enabled", "yes", "--cluster-config-file", file.to_str().unwrap()]);
            redis.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            redis
        });
        for other in &primaries[1..] {
            primaries[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &other.port.to_string()]);
        }
        until("the cluster is complete", Duration::from_secs(60), || {
            primaries.iter().all(|redis| {
                let info = redis.cli(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
        });
        Self { primaries: primaries.into(), _directory: directory }
    }

    pub fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{}", self.primaries[0].port)
    }

    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self
            .primaries
            .iter()
            .flat_map(|redis| redis.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|key| !key.is_empty())
            .collect();
        keys.sort();
        keys
    }
}

/// Pages that nobody asks about are brought to Redis at rests of some seconds.
const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);

fn shows(node: &Node, today: i64) -> impl FnMut() -> bool {
    move || node.figures().figure("today") == today
}

#[test]
fn counts_appear_in_redis_and_two_nodes_show_the_same_totals() {
    let redis = Redis::start();
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = Node::start(one.path(), &["--redis", &redis.url()]);
    let second = Node::start(two.path(), &["--redis", &redis.url()]);
    for _ in 0..5 {
        assert_eq!(first.hit("/a").status, 200);
    }
    for _ in 0..3 {
        assert_eq!(second.hit("/b").status, 200);
    }
    until("the total is in Redis", SOON, || redis.hits("total") == "8");
    for node in [&first, &second] {
        let all_is_confirmed = || node.admin_get("/metrics").body.contains("\nthongke_redis_unpublished_hits 0\n");
        until("the metric says so", SOON, all_is_confirmed);
    }
    let today = first.figures().json()["figures"][0]["period"].as_str().unwrap().to_owned();
    for period in [today.as_str(), &today[..7], &today[..4]] {
        assert_eq!(redis.hits(period), "8", "{period}");
    }
    until("the first node shows both", SOON, shows(&first, 8));
    until("the second node shows both", SOON, shows(&second, 8));
    first.stop();
    second.stop();
    assert_eq!(redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", "/a"]), "5");
    assert_eq!(redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", "/b"]), "3");
}

#[test]
fn a_node_that_ran_without_redis_publishes_its_history_when_it_gets_one() {
    let directory = TempDir::new().unwrap();
    for _ in 0..2 {
        let node = Node::start(directory.path(), &[]);
        for _ in 0..4 {
            assert_eq!(node.hit("/a").status, 200);
        }
        node.kill();
    }
    let redis = Redis::start();
    let node = Node::start(directory.path(), &["--redis", &redis.url()]);
    assert_eq!(node.hit("/a").figure("today"), 9);
    until("history is in Redis", SOON, || redis.hits("total") == "9");
    until("its pages are too", SOON * 3, || redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", "/a"]) == "9");
    until("nothing shows twice", SOON, shows(&node, 9));
    node.stop();
}

#[test]
fn hits_go_on_while_redis_is_away_and_a_redis_that_forgot_everything_is_healed() {
    let redis = Redis::start();
    let port = redis.port;
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &["--redis", &redis.url()]);
    assert_eq!(node.hit("/a").status, 200);
    until("it is published", SOON, || redis.hits("total") == "1");
    drop(redis);
    until("the figures say so", SOON, || node.figures().json()["stale"] == true);
    let ready = node.admin_get("/readyz");
    assert!(ready.status == 200 && ready.json()["degraded"].to_string().contains("redis"), "{}", ready.body);
    let answer = node.hit("/a");
    assert_eq!((answer.status, answer.figure("today")), (200, 2));
    let redis = Redis::start_on(port);
    until("an empty Redis is filled", SOON * 2, || redis.hits("total") == "2");
    redis.cli(&["FLUSHALL"]);
    assert_eq!(node.hit("/a").status, 200);
    until("a FLUSHALL is healed", SOON * 3, || redis.hits("total") == "3");
    until("it is not stale", SOON, || node.figures().json()["stale"].is_null());
    assert_eq!(node.figures().figure("today"), 3);
    node.stop();
}

#[test]
fn a_copied_data_directory_and_restarts_while_redis_is_away_lose_and_double_nothing() {
    let redis = Redis::start();
    let port = redis.port;
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let original = Node::start(one.path(), &["--redis", &redis.url()]);
    assert_eq!(original.hit("/a").status, 200);
    original.stop();
    drop(redis);
    let url = format!("redis://127.0.0.1:{port}");
    std::fs::copy(one.path().join("thongke.db"), two.path().join("thongke.db")).unwrap();
    let original = Node::start(one.path(), &["--redis", &url]);
    let copy = Node::start(two.path(), &["--redis", &url]);
    for node in [&original, &copy, &copy] {
        assert_eq!(node.hit("/a").status, 200);
    }
    copy.kill();
    let copy = Node::start(two.path(), &["--redis", &url]);
    assert_eq!(copy.hit("/a").status, 200);
    let redis = Redis::start_on(port);
    until("the total is right", SOON * 3, || redis.hits("total") == "5");
    until("the original shows it", SOON, shows(&original, 5));
    until("the copy shows it", SOON, shows(&copy, 5));
    original.stop();
    copy.stop();
    assert_eq!(redis.hits("total"), "5");
}

/// A certificate authority of the test's own, and a certificate for localhost from it.
pub fn certificates(directory: &std::path::Path) {
    let steps = [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost -addext subjectAltName=DNS:localhost",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy -out server.pem",
    ];
    for step in steps {
        let output = Command::new("openssl").current_dir(directory).args(step.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn counts_reach_a_redis_behind_tls_if_its_certificate_is_trusted_and_are_kept_if_not() {
    let files = TempDir::new().unwrap();
    certificates(files.path());
    let tls_port = free_port().to_string();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key, authority) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let mut options = vec!["--tls-port", &tls_port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    options.extend(["--tls-ca-cert-file", &authority, "--tls-auth-clients", "no"]);
    let redis = Redis::start_with(free_port(), &options);
    let directory = TempDir::new().unwrap();
    let url = format!("rediss://localhost:{tls_port}");
    let node = Node::start(directory.path(), &["--redis", &url]);
    assert_eq!(node.hit("/a").status, 200);
    until("the distrust is reported", SOON, || node.admin_get("/readyz").body.contains("ertificate"));
    node.stop();
    assert_eq!(redis.hits("total"), "");
    let mut trusting = Command::new(crate::node::PROGRAM);
    trusting.env("SSL_CERT_FILE", &authority).args(["--redis", &url]);
    let node = Node::start_as(trusting, directory.path());
    until("it is published", SOON, || redis.hits("total") == "1");
    node.stop();
}

/// Some rights removed from the shipped user, on a server whose default user stays.
fn grant(redis: &Redis, without: &str) -> String {
    let acl = include_str!("../../deploy/redis/users.acl");
    let rights = acl.lines().find_map(|line| line.strip_prefix("user thongke on >change-this-password ")).unwrap();
    let mut rule = vec!["ACL", "SETUSER", "thongke", "reset", "on", ">pw"];
    rule.extend(rights.split(' ').filter(|right| *right != without));
    assert_eq!(redis.cli(&rule), "OK");
    format!("redis://thongke:pw@127.0.0.1:{}", redis.port)
}

#[test]
fn a_list_that_the_shipped_user_may_read_is_whole_and_one_that_it_may_not_is_stale_and_reported() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let [writer, reader] = directories.each_ref().map(TempDir::path);
    let other = Node::start(writer, &["--redis", &redis.url()]);
    // More than a list reads, with equal counts: both commands of the list are sent.
    for page in 0..=100 {
        assert_eq!(other.hit(&format!("/{page:03}")).status, 200);
    }
    until("the pages are in Redis", LONG, || redis.cli(&["ZCOUNT", "thongke:{demo}:pages:total", "1", "1"]) == "101");
    let url = grant(&redis, "");
    let check = || {
        let mut command = Command::new(crate::node::PROGRAM);
        let free = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"];
        command.arg("check").args(free).arg(reader.join("new")).args(["--redis", &url]);
        let output = command.output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
    };
    let degraded = |node: &Node| node.admin_get("/readyz").json()["degraded"].clone();
    let list = |node: &Node| node.get("/v1/sites/demo/pages?period=total&limit=1").json();

    let said = check();
    assert!(said.contains("can be counted into"), "{said}");
    let node = Node::start(reader, &["--redis", &url]);
    until("nothing is wrong", SOON, || degraded(&node) == serde_json::json!([]));
    let listed = list(&node);
    assert!(listed["pages"][0]["page"] == "/000" && listed["stale"].is_null(), "{listed}");
    node.stop();

    for right in ["+zrangebyscore", "+zrevrange"] {
        grant(&redis, right);
        let command = right[1..].to_uppercase();
        let said = check();
        let expected = format!("its user may not run {command}, ");
        assert!(said.contains("error: ") && said.contains(&expected), "{said}");
        let node = Node::start(reader, &["--redis", &url]);
        until("the right is missed", SOON, || degraded(&node) == serde_json::json!(["redis_rights"]));
        let reasons = node.admin_get("/readyz").json()["reasons"]["redis_rights"].to_string();
        assert!(reasons.contains(&expected), "{reasons}");
        assert_eq!(list(&node)["stale"], true);
        grant(&redis, "");
        // Answers are shared for a second.
        until("the list is whole again", SOON, || list(&node)["pages"][0]["page"] == "/000");
        node.stop();
    }
    // Titles take a read of their own.
    grant(&redis, "+hmget");
    let node = Node::start(reader, &["--redis", &url]);
    until("the right is missed", SOON, || degraded(&node).to_string().contains("redis_rights"));
    assert_eq!(list(&node)["stale"], true);
    assert_eq!(node.get("/v1/sites/demo/history").json()["stale"], true);
    node.stop();
    other.stop();
}
