//! The names that users rely on, compared with the list in `tests/contract.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::CommandFactory as _;
use regex::Regex;
use tempfile::TempDir;

use crate::node::{Node, ask, until};
use crate::redis::Redis;

type Names = BTreeMap<String, BTreeSet<String>>;

const SITE: &str = "[sites.demo]\norigins = [\"http://localhost\"]\nvisitors = true\n";

/// Asserts that `found` holds exactly the names that the list gives this part of the contract.
#[track_caller]
fn compare(found: &Names) {
    let listed: Names = toml::from_str(include_str!("../contract.toml")).unwrap();
    for (part, found) in found {
        let listed = &listed[part];
        let (added, gone) = (found.difference(listed), listed.difference(found));
        let (added, gone): (Vec<_>, Vec<_>) = (added.collect(), gone.collect());
        assert!(added.is_empty() && gone.is_empty(), "{part}: not in tests/contract.toml: {added:?}, gone: {gone:?}");
    }
}

#[test]
fn commands_flags_variables_keys_of_the_file_and_editors_pages_are_as_listed() {
    let command = thongke::command_line::CommandLine::command();
    let flags_of = |command: &clap::Command, prefix: &str| -> Vec<String> {
        let arguments = command.get_arguments().filter(|argument| prefix.is_empty() || !argument.is_global_set());
        arguments.filter_map(|argument| Some(format!("{prefix}--{}", argument.get_long()?))).collect()
    };
    let mut flags: BTreeSet<_> = flags_of(&command, "").into_iter().collect();
    for command in command.get_subcommands() {
        flags.insert(command.get_name().to_owned());
        flags.extend(flags_of(command, &format!("{} ", command.get_name())));
        flags.extend(command.get_subcommands().map(|inner| format!("{} {}", command.get_name(), inner.get_name())));
    }
    let keys = thongke::config::keys().into_iter().flat_map(|(table, keys)| {
        keys.iter().map(move |key| format!("{table}{}{key}", if table.is_empty() { "" } else { "." }))
    });
    let manage = thongke::server::routes::MANAGE.iter();
    let manage = manage.flat_map(|route| route.methods.split(", ").map(|method| format!("{method} {}", route.path)));
    compare(&Names::from([
        ("manage_routes".to_owned(), manage.collect()),
        ("command_line".to_owned(), flags),
        ("variables".to_owned(), thongke::config::variables().into_iter().collect()),
        ("config".to_owned(), keys.collect()),
    ]));
}

fn routes(document: &serde_json::Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, operations)| {
        let methods = operations.as_object().unwrap().keys().filter(|key| *key != "parameters");
        let path = path.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    methods.collect()
}

fn metrics(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter(|name| name.starts_with("thongke_")).map(str::to_owned).collect()
}

#[test]
fn routes_metrics_and_keys_in_redis_are_as_listed() {
    let redis = Redis::start();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("thongke.toml");
    std::fs::write(&file, SITE).unwrap();
    let node = Node::start(directory.path(), &["--config", file.to_str().unwrap(), "--redis", &redis.url()]);
    let hit = r#"{"site":"demo","url":"http://localhost/a","title":"A"}"#;
    assert_eq!(node.hit_with(&[], hit).status, 200);
    let rule = r#"{"page":"/a","kind":"title","value":"Trang"}"#;
    assert_eq!(
        ask(&node.admin, "PUT", "/sites/demo/pages/rules", &["Content-Type: application/json"], rule).status,
        200
    );
    let token = r#"{"name":"lan","right":"view","sites":["demo"]}"#;
    assert_eq!(ask(&node.admin, "POST", "/tokens", &["Content-Type: application/json"], token).status, 200);
    // A refusal, so that its counter exists.
    assert_eq!(node.hit_with(&[], "{").status, 400);
    let patterns = [
        (r"\d{4}-\d\d-\d\d", "DAY"),
        (r"(:pages:)\d{4}-\d\d$", "${1}MONTH"),
        (r"(:pages:)\d{4}$", "${1}YEAR"),
        (r"(:online:)\d+(:DAY)?$", "${1}MINUTE"),
        (r"\{demo\}", "{SITE}"),
    ]
    .map(|(pattern, name)| (Regex::new(pattern).unwrap(), name));
    let keys = || -> BTreeSet<String> {
        let general = |key: &str| {
            patterns.iter().fold(key.to_owned(), |key, (pattern, name)| pattern.replace_all(&key, *name).into_owned())
        };
        redis.cli(&["KEYS", "*"]).lines().map(general).collect()
    };
    let listed: Names = toml::from_str(include_str!("../contract.toml")).unwrap();
    until("all keys are in Redis", Duration::from_secs(60), || keys().is_superset(&listed["redis_keys"]));
    compare(&Names::from([
        ("public_routes".to_owned(), routes(&node.get("/openapi.json").json())),
        ("admin_routes".to_owned(), routes(&node.admin_get("/openapi.json").json())),
        ("metrics".to_owned(), metrics(&node.admin_get("/metrics").body)),
        ("redis_keys".to_owned(), keys()),
    ]));
    node.stop();
}
