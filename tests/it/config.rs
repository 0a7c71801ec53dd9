//! The program on right and wrong configurations: its messages and exit codes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::node::{Node, PROGRAM, until};
use crate::port::free_port;
use crate::redis::{Redis, certificates};

const LONG: Duration = Duration::from_secs(60);
const SITE: &str = "[sites.a]\norigins = [\"https://a.vn\"]\n";

struct Outcome {
    code: i32,
    /// Standard output, then the error messages.
    says: String,
}

impl Outcome {
    fn of(command: &mut Command) -> Self {
        let output = command.env_remove("THONGKE_LOG").stdin(Stdio::null()).output().unwrap();
        let says = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        Self { code: output.status.code().expect("it exits by itself"), says }
    }

    #[track_caller]
    fn expect(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "{}", self.says);
        for text in says {
            assert!(self.says.contains(text), "expected `{text}` in:\n{}", self.says);
        }
    }

    #[track_caller]
    fn never_says(&self, text: &str) {
        assert!(!self.says.contains(text), "`{text}` is in:\n{}", self.says);
    }
}

/// `thongke check` on free ports, with a data directory of its own.
fn check(more: &[&str]) -> Outcome {
    let directory = TempDir::new().unwrap();
    check_in(directory.path(), more)
}

fn check_in(directory: &Path, more: &[&str]) -> Outcome {
    Outcome::of(&mut check_command(directory, more))
}

fn check_command(directory: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["check", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    if !more.contains(&"--data-dir") {
        command.arg("--data-dir").arg(directory.join("data"));
    }
    command.args(more);
    command
}

/// `check` with a configuration file of this text.
fn check_file(text: &str) -> Outcome {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("thongke.toml");
    std::fs::write(&path, text).unwrap();
    check_in(directory.path(), &["--config", path.to_str().unwrap()])
}

#[test]
fn a_wrong_configuration_ends_every_command_with_2_and_all_that_is_wrong() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("thongke.toml");
    std::fs::write(&path, format!("lisen = 1\n{SITE}time_zone = \"Asia/Hanoi\"\n")).unwrap();
    for command in ["serve", "check", "figures a", "sources a", "export a"] {
        let arguments = command.split(' ');
        let outcome = Outcome::of(Command::new(PROGRAM).arg("--config").arg(&path).args(arguments));
        outcome.expect(2, &["thongke.toml:1:1: unknown key `lisen`; did you mean `listen`?", "thongke.toml:4:13: "]);
    }
    assert!(!directory.path().join("data").exists(), "nothing is written");
    let missing = Outcome::of(Command::new(PROGRAM).args(["--config", "/nowhere/thongke.toml"]));
    missing.expect(2, &["/nowhere/thongke.toml"]);
    Outcome::of(Command::new(PROGRAM).arg("--lisen")).expect(2, &["--listen"]);
}

#[test]
fn a_misspelt_variable_ends_with_2_and_those_of_kubernetes_do_not() {
    let directory = TempDir::new().unwrap();
    let mut command = check_command(directory.path(), &[]);
    Outcome::of(command.env("THONGKE_LISTN", "x")).expect(2, &["THONGKE_LISTN; did you mean `THONGKE_LISTEN`?"]);
    let mut command = check_command(directory.path(), &[]);
    command.env("THONGKE_PORT_8080_TCP_ADDR", "10.0.0.1").env("THONGKE_SERVICE_HOST", "10.0.0.1");
    Outcome::of(&mut command).expect(0, &["ok: site demo"]);
}

#[test]
fn a_relative_data_directory_of_the_file_lies_beside_it() {
    let (directory, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = directory.path().join("thongke.toml");
    std::fs::write(&path, format!("data_dir = \"counts\"\n{SITE}")).unwrap();
    let old = directory.path().join("old.csv");
    std::fs::write(&old, "period,hits\ntotal,9\n").unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["import", "a", "--source", "old"]).arg(&old).arg("--config").arg(&path);
        Outcome::of(command.args(more).current_dir(elsewhere.path())).expect(0, &[]);
    };
    run(&[]);
    assert!(directory.path().join("counts").is_dir() && !elsewhere.path().join("counts").exists());
    run(&["--data-dir", "counts"]);
    assert!(elsewhere.path().join("counts").is_dir());
}

#[test]
fn check_looks_at_the_data_directory_and_the_ports() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    check(&["--data-dir", file.join("data").to_str().unwrap()]).expect(1, &["error: ", "file/data"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let says = format!("error: --listen {address} can't be used");
    check(&["--config", "/dev/null"]).expect(2, &["can't read the configuration /dev/null: it is a device"]);
    let mut command = Command::new(PROGRAM);
    command.args(["check", "--listen", &address, "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(directory.path());
    Outcome::of(&mut command).expect(1, &[&says]);
    let node = Node::start(&directory.path().join("running"), &[]);
    let running = check(&["--data-dir", directory.path().join("running").to_str().unwrap()]);
    running.expect(0, &["a node runs on ", &node.admin]);
    node.stop();
}

#[test]
fn what_is_no_file_is_refused_at_once_as_a_configuration_and_as_a_secret() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    for (name, kind) in [("pipe", "a pipe"), ("socket", "a socket"), ("/dev/zero", "a device"), ("", "a folder")] {
        let found = path(name);
        let started = std::time::Instant::now();
        let says = format!("can't read the configuration {}: it is {kind}; expected a file", found.display());
        check(&["--config", found.to_str().unwrap()]).expect(2, &[&says]);
        for key in ["admin_token_file", "redis_password_file", "redis_tls_key_file"] {
            let certificate = "redis_tls_certificate_file = \"cert.pem\"\n";
            let others = if key == "redis_tls_key_file" { certificate } else { "" };
            std::fs::write(path("cert.pem"), "-----BEGIN CERTIFICATE-----").unwrap();
            let config = path("thongke.toml");
            std::fs::write(&config, format!("{key} = {found:?}\n{others}{SITE}")).unwrap();
            let says = format!("{}: it is {kind}; expected a file", found.display());
            check(&["--config", config.to_str().unwrap()]).expect(2, &[":1:", key, &says]);
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "{name}: {:?}", started.elapsed());
    }
}

#[test]
fn a_file_that_never_ends_is_no_secret_and_no_import() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("thongke.toml");
    let secret = directory.path().join("token");
    // Sparse: it takes no room.
    std::fs::File::create(&secret).unwrap().set_len(1 << 40).unwrap();
    std::fs::write(&config, format!("admin_token_file = \"token\"\n{SITE}")).unwrap();
    check(&["--config", config.to_str().unwrap()]).expect(2, &["token: it is larger than 65536 bytes"]);
    check(&["--config", secret.to_str().unwrap()]).expect(2, &["it is larger than 67108864 bytes"]);
    std::fs::write(&config, SITE).unwrap();
    let data = directory.path().join("data");
    for (file, says) in [("/dev/zero", "the line is longer than 64 KiB"), ("/", "can't read /: Is a directory")] {
        let mut command = Command::new(PROGRAM);
        command.args(["import", "a", file, "--source", "old", "--config"]).arg(&config).arg("--data-dir").arg(&data);
        Outcome::of(&mut command).expect(1, &[says]);
    }
    assert!(!data.exists());
}

#[test]
fn a_configuration_gives_the_terminal_no_orders() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("thongke.toml");
    for (text, says) in [
        ("\"\\u001b[31m\" = 1\n", "unknown key `\\u{1b}[31m`"),
        ("\"a\\nthongke: all is well\" = 1\n", "unknown key `a\\nthongke"),
        ("listen = \"\\u001b]0;owned\\u0007\"\n", "`\\u{1b}]0;owned\\u{7}` has no port"),
        ("name = \"x\" \u{1b}[2J\n", "thongke.toml:1:"),
        ("listen = \"\\u202e1:0808\"\n", "`\\u{202e}1:0808`"),
        ("redis_prefix = \"\\u001b[31m\"\n", "redis_prefix: it holds the control character U+001B"),
    ] {
        std::fs::write(&config, format!("{text}{SITE}")).unwrap();
        let output = Command::new(PROGRAM).arg("check").arg("--config").arg(&config).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(says), "{text:?}: {error}");
        let harmful = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!error.contains(harmful), "{error:?}");
    }
    let site = format!("{SITE}name = \"\\u001b[31m\"\nlabels = {{ today = \"\\u009b1m\" }}\n");
    std::fs::write(&config, site).unwrap();
    check(&["--config", config.to_str().unwrap()]).expect(2, &["name: it holds the control", "U+009B"]);
}

#[test]
fn check_warns_of_a_data_directory_in_memory() {
    let memory = TempDir::new_in("/dev/shm").unwrap();
    check_in(memory.path(), &[]).expect(0, &["warning: the data directory ", "is in memory (tmpfs)"]);
}

#[test]
fn check_warns_of_a_proxy_that_is_not_trusted() {
    let loopback = "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n";
    let everywhere = "listen = \"0.0.0.0:0\"\nadmin_listen = \"127.0.0.1:0\"\n";
    let site = "[sites.a]\norigins = [\"https://a.vn\"]\n";
    for (settings, sign) in [
        (loopback.to_owned(), Some("only this machine can reach --listen, so a proxy")),
        (format!("{everywhere}path_prefix = \"/tk\"\n"), Some("path_prefix is set, so a proxy")),
        (format!("{loopback}trusted_proxies = [\"127.0.0.1\"]\n"), None),
        (everywhere.to_owned(), None),
    ] {
        // The flags of `check_file` would set the addresses.
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("thongke.toml");
        std::fs::write(&path, format!("{settings}{site}")).unwrap();
        let outcome = Outcome::of(Command::new(PROGRAM).arg("check").arg("--config").arg(&path));
        match sign {
            Some(sign) => outcome.expect(0, &[&format!("warning: {sign}"), "name it in trusted_proxies"]),
            None => outcome.never_says("so a proxy"),
        }
    }
}

#[test]
fn check_warns_of_a_clock_that_nobody_sets() {
    use std::os::unix::fs::PermissionsExt as _;
    // The system's message can't be triggered otherwise; a stand-in prints it.
    let directory = TempDir::new().unwrap();
    let tool = directory.path().join("timedatectl");
    for (reply, said) in [("no", "warning: the clock is not synchronised"), ("yes", "ok: the clock is synchronised")] {
        std::fs::write(&tool, format!("#!/bin/sh\necho {reply}\n")).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut check = Command::new(PROGRAM);
        check.args(["check", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]);
        let outcome = Outcome::of(check.arg(directory.path().join("data")).env("PATH", directory.path()));
        outcome.expect(0, &[said]);
    }
}

#[test]
fn check_warns_of_an_open_admin_listener_and_of_unencrypted_pages() {
    let directory = TempDir::new().unwrap();
    let open = ["--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0", "--data-dir"];
    let run =
        |more: &[&str]| Outcome::of(Command::new(PROGRAM).arg("check").args(open).arg(directory.path()).args(more));
    run(&[]).expect(2, &["admin_listen = `0.0.0.0:0` can be reached from other machines", "admin_open = true"]);
    let path = directory.path().join("thongke.toml");
    std::fs::write(&path, format!("admin_open = true\n{SITE}")).unwrap();
    let warning = "warning: the admin listener 0.0.0.0:0 can be reached from other machines";
    run(&["--config", path.to_str().unwrap()]).expect(0, &[warning]);
    std::fs::write(directory.path().join("token"), "geheim-geheim-geheim").unwrap();
    std::fs::write(&path, format!("admin_token_file = \"token\"\n{SITE}")).unwrap();
    run(&["--config", path.to_str().unwrap()]).never_says("the admin listener");
    let outcome = check_file("[sites.a]\norigins = [\"http://a.vn\", \"https://b.vn\", \"http://localhost:*\"]\n");
    outcome.expect(0, &["warning: site a: pages of http://a.vn can be changed"]);
    outcome.never_says("anyone can have pages");
    let outcome =
        check_file("[sites.a]\norigins = [\"https://*.vn\", \"https://*.gov.vn\", \"https://*.vixuyen.gov.vn\"]\n");
    outcome.expect(
        0,
        &["warning: site a: anyone can have pages of https://*.vn, https://*.gov.vn and count for the site"],
    );
}

#[test]
fn check_warns_of_secrets_that_everyone_may_read_and_shows_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = check(&["--redis", "redis://:geheim@127.0.0.1:1"]);
    shown.expect(1, &["warning: the password in --redis can be read by everyone", "redis_password_file"]);
    shown.never_says("geheim");
    let directory = TempDir::new().unwrap();
    let secret = directory.path().join("token");
    let path = directory.path().join("thongke.toml");
    std::fs::write(&secret, "geheim-geheim-geheim").unwrap();
    for (settings, file) in
        [("admin_token_file = \"token\"\n", &secret), ("redis = [\"redis://:geheim@127.0.0.1:1\"]\n", &path)]
    {
        std::fs::write(&path, format!("{settings}{SITE}")).unwrap();
        for (mode, is_for_all) in [(0o644, true), (0o640, false)] {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
            let outcome = check(&["--config", path.to_str().unwrap()]);
            let warning = format!("warning: the secret in {} can be read by everyone", file.display());
            assert_eq!(outcome.says.contains(&warning), is_for_all, "{mode:o}: {}", outcome.says);
            outcome.never_says("geheim");
        }
    }
}

#[test]
fn check_counts_into_a_redis_that_is_set_up_well_and_leaves_nothing_there() {
    let redis = Redis::start();
    redis.cli(&["CONFIG", "SET", "appendonly", "yes"]);
    let outcome = check(&["--redis", &redis.url()]);
    outcome.expect(0, &["ok: Redis at redis://127.0.0.1:", "can be counted into (version "]);
    outcome.never_says("warning: Redis");
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
}

#[test]
fn check_warns_of_a_redis_that_forgets_and_refuses_one_that_evicts() {
    let redis = Redis::start();
    check(&["--redis", &redis.url()]).expect(0, &["warning: ", "it writes no append-only file", "appendonly"]);
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let url = redis.url();
    let refused = check(&["--redis", &url]);
    refused.expect(1, &["error: Redis at ", "maxmemory-policy is allkeys-lru", "set it to noeviction"]);
    let allowed = check_file(&format!("redis = [\"{url}\"]\nredis_allow_eviction = true\n{SITE}"));
    allowed.expect(0, &["warning: Redis at ", "maxmemory-policy is allkeys-lru"]);
}

#[test]
fn check_says_that_a_password_is_missing_wrong_or_right() {
    let redis = Redis::start();
    redis.cli(&["CONFIG", "SET", "requirepass", "right"]);
    let place = format!("127.0.0.1:{}", redis.port);
    check(&["--redis", &redis.url()]).expect(1, &["error: Redis at ", "NOAUTH", "redis_password_file"]);
    let wrong = check(&["--redis", &format!("redis://:geheim@{place}")]);
    wrong.expect(1, &["error: Redis at ", "password", "redis_password_file"]);
    wrong.never_says("geheim");
    check(&["--redis", &format!("redis://:right@{place}")]).expect(0, &["can be counted into"]);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("thongke.toml");
    std::fs::write(directory.path().join("password"), "right\n").unwrap();
    std::fs::write(&path, format!("redis = [\"redis://{place}\"]\nredis_password_file = \"password\"\n{SITE}"))
        .unwrap();
    check(&["--config", path.to_str().unwrap()]).expect(0, &["can be counted into"]);
}

#[test]
fn check_refuses_a_redis_that_takes_no_writes() {
    let redis = Redis::start();
    let url = redis.url();
    // A user who may read but not write.
    redis.cli(&["ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection", "+info", "+eval"]);
    let reader = format!("redis://reader:pw@127.0.0.1:{}", redis.port);
    check(&["--redis", &reader]).expect(1, &["error: Redis at ", "it takes no counts"]);
    // A user who may write but not read.
    redis.cli(&["ACL", "SETUSER", "writer", "on", ">pw", "~thongke:*", "+@all", "-info"]);
    let writer = format!("redis://writer:pw@127.0.0.1:{}", redis.port);
    check(&["--redis", &writer]).expect(0, &["it doesn't say how it is set up", "can be counted into"]);
    // A server whose memory is full.
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    check(&["--redis", &url]).expect(1, &["it takes no counts", "OOM", "bytes of maxmemory are in use"]);
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    // A replica; its primary need not exist.
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    check(&["--redis", &url]).expect(1, &["error: Redis at ", "read-only replica"]);
    drop(redis);
    check(&["--redis", &url]).expect(1, &["error: Redis at "]);
}

#[test]
fn the_rights_that_check_advises_suffice_for_a_node() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "web", "on", ">pw", "+@connection", "+eval"]);
    let url = format!("redis://web:pw@127.0.0.1:{}", redis.port);
    let refused = check(&["--redis", &url]);
    refused.expect(1, &["it takes no counts", "give its user the rights `~thongke:* "]);
    let rights = refused.says.split("the rights `").nth(1).unwrap().split('`').next().unwrap();
    assert_eq!(rights, thongke::redis::commands::rights("thongke"));
    let mut rule = vec!["ACL", "SETUSER", "web", "reset", "on", ">pw"];
    rule.extend(rights.split(' '));
    assert_eq!(redis.cli(&rule), "OK");
    let allowed = check(&["--redis", &url]);
    allowed.expect(0, &["can be counted into"]);
    assert!(!allowed.says.contains("it takes no visitors"), "{}", allowed.says);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("thongke.toml");
    let site = "[sites.demo]\norigins = [\"http://localhost\"]\nvisitors = true\n";
    std::fs::write(&file, site).unwrap();
    let node = Node::start(directory.path(), &["--config", file.to_str().unwrap(), "--redis", &url]);
    assert_eq!(node.hit("/a").status, 200);
    until("its visitor is published", LONG, || !redis.cli(&["HGETALL", "thongke:{demo}:visitors"]).is_empty());
    until("it is published", LONG, || redis.hits("total") == "1");
    until("its page is too", LONG, || redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", "/a"]) == "1");
    assert_eq!(node.admin_get("/readyz").json()["degraded"].as_array().map_or(0, Vec::len), 0);
    for question in ["pages?period=total", "pages/figures?url=http://localhost/a", "history"] {
        let answer = node.get(&format!("/v1/sites/demo/{question}"));
        assert!(answer.status == 200 && answer.json()["stale"].is_null(), "{question}: {}", answer.body);
    }
    node.stop();
}

#[test]
fn a_redis_user_who_may_not_share_visitors_is_warned_of_and_hits_are_published() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "web", "on", ">pw", "~thongke:*", "+@all", "-pfmerge"]);
    let url = format!("redis://web:pw@127.0.0.1:{}", redis.port);
    check(&["--redis", &url]).expect(0, &["it takes no visitors", "give its user the rights `~thongke:* "]);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("thongke.toml");
    let site = "[sites.demo]\norigins = [\"http://localhost\"]\nvisitors = true\n";
    std::fs::write(&file, site).unwrap();
    let node = Node::start(directory.path(), &["--config", file.to_str().unwrap(), "--redis", &url]);
    assert_eq!(node.hit("/a").status, 200);
    until("it is published", LONG, || redis.hits("total") == "1");
    let complains = || node.admin_get("/readyz").body.contains("visitors of demo are not shared with other nodes");
    until("the node says what is wrong", LONG, complains);
    redis.cli(&["ACL", "SETUSER", "web", "+pfmerge"]);
    assert_eq!(node.hit("/b").status, 200);
    until("it is put right", LONG, || !complains());
    until("the visitor is published", LONG, || !redis.cli(&["HGETALL", "thongke:{demo}:visitors"]).is_empty());
}

#[test]
fn check_reaches_a_redis_behind_tls_if_its_certificate_is_trusted() {
    let files = TempDir::new().unwrap();
    certificates(files.path());
    let tls_port = free_port().to_string();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key, authority) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let mut options = vec!["--tls-port", &tls_port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    options.extend(["--tls-ca-cert-file", &authority, "--tls-auth-clients", "no"]);
    let _redis = Redis::start_with(free_port(), &options);
    let url = format!("rediss://localhost:{tls_port}");
    check(&["--redis", &url]).expect(1, &["error: Redis at rediss://localhost", "ertificate"]);
    let mut trusting = check_command(files.path(), &["--redis", &url]);
    Outcome::of(trusting.env("SSL_CERT_FILE", &authority)).expect(0, &["can be counted into"]);
}

#[test]
fn check_looks_at_every_primary_of_a_cluster() {
    let directory = TempDir::new().unwrap();
    let nodes = [(); 2].map(|()| {
        let port = free_port();
        let file = directory.path().join(format!("nodes-{port}.conf"));
        Redis::start_with(port, &["--cluster-enabled", "yes", "--cluster-config-file", file.to_str().unwrap()])
    });
    let [first, second] = &nodes;
    let url = format!("redis+cluster://127.0.0.1:{}", first.port);
    first.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    second.cli(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    first.cli(&["CLUSTER", "MEET", "127.0.0.1", &second.port.to_string()]);
    until("the cluster is complete", LONG, || {
        nodes.iter().all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    });
    check(&["--redis", &url]).expect(0, &["ok: Redis at redis+cluster://", "can be counted into"]);
    let rights = thongke::redis::commands::rights("thongke");
    for node in &nodes {
        let mut rule = vec!["ACL", "SETUSER", "web", "reset", "on", ">pw"];
        rule.extend(rights.split(' '));
        assert_eq!(node.cli(&rule), "OK");
    }
    let as_user = format!("redis+cluster://web:pw@127.0.0.1:{}", first.port);
    check(&["--redis", &as_user]).expect(0, &["can be counted into"]);
    second.cli(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    check(&["--redis", &url]).expect(1, &["maxmemory-policy is volatile-ttl"]);
}

#[test]
fn check_asks_sentinel_for_the_primary() {
    let redis = Redis::start();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("sentinel.conf");
    let port = free_port();
    std::fs::write(&file, format!("port {port}\nsentinel monitor main 127.0.0.1 {} 1\n", redis.port)).unwrap();
    let sentinel =
        Sentinel(Command::new("redis-server").arg(&file).arg("--sentinel").stdout(Stdio::null()).spawn().unwrap());
    until("Sentinel answers", LONG, || {
        let output = Command::new("redis-cli").args(["-p", &port.to_string(), "PING"]).output().unwrap();
        output.stdout.starts_with(b"PONG")
    });
    let url = |service: &str| format!("redis+sentinel://127.0.0.1:{port}/{service}");
    check(&["--redis", &url("main")]).expect(0, &["ok: Redis at redis+sentinel://", "can be counted into"]);
    check(&["--redis", &url("other")]).expect(1, &["error: Redis at redis+sentinel://"]);
    drop(sentinel);
    check(&["--redis", &url("main")]).expect(1, &["error: Redis at redis+sentinel://"]);
}

struct Sentinel(Child);

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn figures_and_sources_are_written_as_json_by_a_running_node_and_by_a_stopped_one() {
    let directory = TempDir::new().unwrap();
    let run = |command: &str| {
        let mut thongke = Command::new(PROGRAM);
        thongke.args([command, "demo", "--json", "--data-dir"]).arg(directory.path());
        let outcome = Outcome::of(&mut thongke);
        outcome.expect(0, &[]);
        serde_json::from_str::<serde_json::Value>(&outcome.says).unwrap()
    };
    let look = || {
        let (figures, sources) = (run("figures"), run("sources"));
        assert_eq!((&figures["site"], &figures["figures"][0]["value"]), (&"demo".into(), &2.into()), "{figures}");
        let totals: Vec<_> = sources.as_array().unwrap().iter().map(|source| source["total"].clone()).collect();
        assert_eq!(totals, [2], "{sources}");
    };
    let node = Node::start(directory.path(), &[]);
    for _ in 0..2 {
        assert_eq!(node.hit("/a").status, 200);
    }
    look();
    node.stop();
    look();
}
