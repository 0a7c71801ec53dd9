//! Tokens of editors: made, listed and revoked, on a node, on its files and on several nodes.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{Answer, Node, PROGRAM, ask, until};
use crate::redis::Redis;

const SITES: &str =
    "[sites.xa-lan]\norigins = [\"http://localhost\"]\n[sites.demo]\norigins = [\"http://localhost\"]\n";
/// Within which another node knows of a change.
const SOON: Duration = Duration::from_secs(6);

fn configure(directory: &Path, text: &str) -> String {
    let file = directory.join("thongke.toml");
    std::fs::write(&file, format!("{text}\n{SITES}")).unwrap();
    file.to_str().unwrap().to_owned()
}

fn start(directory: &Path, more: &[&str]) -> Node {
    let file = directory.join("thongke.toml");
    Node::start(&directory.join("data"), &[&["--config", file.to_str().unwrap()], more].concat())
}

fn command(directory: &Path, more: &[&str], arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(directory.join("thongke.toml")).arg("--data-dir").arg(directory.join("data"));
    command.args(more).arg("token").args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn make(node: &Node, body: &Value) -> Answer {
    ask(&node.admin, "POST", "/tokens", &["Content-Type: application/json"], body.to_string())
}

fn names(node: &Node) -> Vec<String> {
    let listed = node.admin_get("/tokens").json();
    listed.as_array().unwrap().iter().map(|token| token["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_token_is_made_listed_and_revoked_on_a_running_node_and_on_its_files() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    configure(directory, "");
    // Before the node's first start.
    let token = said(&command(directory, &[], &["make", "lan", "--right", "edit", "--site", "xa-*", "demo"]));
    assert!(token.len() == 35 && token.starts_with("tk_"), "{token}");
    assert!(
        refusal(&command(directory, &[], &["make", "lan", "--right", "view", "--site", "demo"]))
            .contains("revoke it first")
    );
    let node = start(directory, &[]);
    let of_node = said(&command(directory, &[], &["make", "hoa", "--right", "view", "--site", "demo", "--days", "30"]));
    assert!(of_node != token);
    let listed = said(&command(directory, &[], &["list"]));
    assert!(listed.contains("hoa") && listed.contains("xa-* demo") && !listed.contains("tk_"), "{listed}");
    let listed: Value = serde_json::from_str(&said(&command(directory, &[], &["list", "--json"]))).unwrap();
    assert_eq!(
        (&listed[1]["name"], &listed[1]["right"], &listed[1]["sites"]),
        (&json!("lan"), &json!("edit"), &json!(["xa-*", "demo"]))
    );
    assert!(listed[0]["expires"].is_string() && listed[1].get("expires").is_none(), "{listed}");
    said(&command(directory, &[], &["revoke", "lan"]));
    assert!(refusal(&command(directory, &[], &["revoke", "lan"])).contains("there is no token `lan`"));
    assert_eq!(names(&node), ["hoa"]);
    node.stop();
    assert!(said(&command(directory, &[], &["list"])).contains("hoa"));
    said(&command(directory, &[], &["revoke", "hoa"]));
    let node = start(directory, &[]);
    assert_eq!(names(&node), Vec::<String>::new());
    node.stop();
    // Nothing that opens anything is on the disk.
    for entry in std::fs::read_dir(directory.join("data")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in [&token, &of_node] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}

#[test]
fn wrong_requests_make_nothing_and_say_why() {
    let directory = TempDir::new().unwrap();
    configure(directory.path(), "");
    let node = start(directory.path(), &[]);
    for (body, said) in [
        (json!({"name": "Lan", "right": "view", "sites": ["demo"]}), "no name of a token"),
        (json!({"name": "lan", "right": "own", "sites": ["demo"]}), "unknown variant `own`"),
        (json!({"name": "lan", "right": "view", "sites": []}), "sites are missing"),
        (json!({"name": "lan", "right": "view", "sites": ["A b"]}), "neither a site id nor"),
        (json!({"name": "lan", "right": "view", "sites": ["demo"], "days": 0}), "1 to 3653"),
        (json!({"name": "lan", "right": "view", "sites": ["demo"], "hash": "x"}), "unknown field `hash`"),
        (json!({"sites": ["xa-*"], "share": true}), "opens one site"),
        (json!({"sites": ["demo"], "right": "edit", "share": true}), "only views"),
    ] {
        let answer = make(&node, &body);
        assert!(answer.problem(400).contains(said), "{body}: {}", answer.body);
    }
    let usage = refusal(&command(directory.path(), &[], &["make", "lan", "--site", "demo"]));
    assert!(usage.contains("--right"), "{usage}");
    assert_eq!(names(&node), Vec::<String>::new());
    // The answer with the secret is kept by nobody.
    let made = make(&node, &json!({"sites": ["demo"], "share": true}));
    assert_eq!((made.status, made.header("cache-control")), (200, Some("no-store")));
    assert!(made.json()["name"].as_str().unwrap().starts_with("share-"), "{}", made.body);
    assert!(!node.log().contains(made.json()["token"].as_str().unwrap()));
    node.stop();
}

#[test]
fn a_printed_token_stands_in_the_configuration_and_is_read_again_with_the_sites() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    configure(directory, "");
    let output = command(directory, &[], &["make", "lan", "--right", "view", "--site", "xa-*", "--print"]);
    let lines = said(&output);
    let secret = String::from_utf8(output.stderr).unwrap();
    assert!(secret.contains("tk_") && !lines.contains("tk_"), "{lines}");
    assert!(!directory.join("data").exists(), "it changes nothing");
    assert!(
        refusal(&command(directory, &[], &["make", "--share", "--site", "demo", "--print"])).contains("name the token")
    );
    let node = start(directory, &[]);
    assert_eq!(names(&node), Vec::<String>::new());
    configure(directory, &lines);
    assert_eq!(ask(&node.admin, "POST", "/reload", &["Content-Type: application/json"], "{}").status, 200);
    assert_eq!(node.admin_get("/tokens").json(), json!([{"name": "lan", "right": "view", "sites": ["xa-*"]}]));
    assert!(refusal(&command(directory, &[], &["revoke", "lan"])).contains("stands in the configuration"));
    configure(directory, "");
    assert_eq!(ask(&node.admin, "POST", "/reload", &["Content-Type: application/json"], "{}").status, 200);
    assert_eq!(names(&node), Vec::<String>::new());
    node.stop();
}

#[test]
fn a_token_is_known_and_revoked_on_every_node_whatever_happens_to_redis() {
    let (redis, directories) = (Redis::start(), [TempDir::new().unwrap(), TempDir::new().unwrap()]);
    let url = redis.url();
    let more = ["--redis", url.as_str()];
    let [one, other] = [0, 1].map(|at: usize| {
        configure(directories[at].path(), "");
        start(directories[at].path(), &more)
    });
    let token = make(&one, &json!({"name": "lan", "right": "edit", "sites": ["demo"]})).json()["token"].clone();
    until("the other node knows it", SOON, || names(&other) == ["lan"]);
    let kept = redis.cli(&["HGET", "thongke:tokens", "lan"]);
    assert!(kept.contains("sha256:") && !kept.contains(token.as_str().unwrap()), "{kept}");
    // A loss of Redis brings nothing back and takes nothing away.
    redis.cli(&["FLUSHALL"]);
    until("Redis has it again", Duration::from_secs(40), || redis.cli(&["HEXISTS", "thongke:tokens", "lan"]) == "1");
    assert_eq!(ask(&other.admin, "DELETE", "/tokens?name=lan", &[], "").status, 200);
    until("it is revoked on the first node", SOON, || names(&one).is_empty());
    // An older state of Redis doesn't bring it back.
    redis.cli(&["HSET", "thongke:tokens", "lan", &kept]);
    until("the revocation is in Redis again", Duration::from_secs(40), || {
        !redis.cli(&["HGET", "thongke:tokens", "lan"]).contains("sha256:")
    });
    assert!(names(&one).is_empty() && names(&other).is_empty());
    // A stopped node's command tells Redis at once.
    one.stop();
    let directory = directories[0].path();
    said(&command(directory, &more, &["make", "hoa", "--right", "view", "--site", "demo"]));
    until("the running node knows it", SOON, || names(&other) == ["hoa"]);
    said(&command(directory, &more, &["revoke", "hoa"]));
    until("the running node has it revoked", SOON, || names(&other).is_empty());
    other.stop();
}
