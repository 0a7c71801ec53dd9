use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::beside::{Beside, Redis, project, run};
use crate::load::{Connections, Load};
use crate::node::{Node, exchange, until};
use crate::port::free_port;

const TIMEOUT: Duration = Duration::from_secs(120);

/// A Prometheus with the delivered rules that scrapes one node often.
struct Prometheus {
    address: String,
    _process: Beside,
    _directory: TempDir,
}

impl Prometheus {
    fn watching(node: &Node) -> Self {
        let directory = TempDir::new().unwrap();
        let delivered = std::fs::read_to_string(project("deploy/prometheus/prometheus.yml")).unwrap();
        let (targets, interval) = ("127.0.0.1:8081", "15s");
        assert!(delivered.contains(targets) && delivered.contains(interval));
        let config = delivered.replace(targets, &node.admin).replace(interval, "1s");
        std::fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        std::fs::copy(project("deploy/prometheus/thongke.rules.yml"), directory.path().join("thongke.rules.yml"))
            .unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Beside::start(
            Command::new("prometheus")
                .arg(format!("--config.file={}", directory.path().join("prometheus.yml").display()))
                .arg(format!("--storage.tsdb.path={}", directory.path().join("tsdb").display()))
                .arg(format!("--web.listen-address={address}")),
            &directory.path().join("log"),
        );
        let prometheus = Self { address, _process: process, _directory: directory };
        until("Prometheus is ready", TIMEOUT, || {
            std::net::TcpStream::connect(&prometheus.address).is_ok()
                && exchange(&prometheus.address, b"GET /-/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    .status
                    == 200
        });
        prometheus
    }

    /// Number of series that a query finds now; false if one is not a number.
    fn series(&self, query: &str) -> Result<usize, String> {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let request =
            format!("GET /api/v1/query?query={query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = exchange(&self.address, request.as_bytes());
        if answer.status != 200 {
            return Err(answer.body);
        }
        let json = answer.json();
        let result = json["data"]["result"].as_array().unwrap();
        Ok(result.iter().filter(|series| series["value"][1] != "NaN").count())
    }
}

/// Queries of the dashboard, each with its panel's title, for all nodes and sites.
fn queries() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(project("deploy/grafana/thongke.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: std::collections::BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels share an id");
    panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten().map(move |target| (panel, target)))
        .map(|(panel, target)| {
            let expression = target["expr"].as_str().unwrap();
            let expression =
                expression.replace("$__rate_interval", "20s").replace("$instance", ".*").replace("$site", ".*");
            assert!(!expression.contains('$'), "{expression}");
            (panel["title"].as_str().unwrap().to_owned(), expression)
        })
        .collect()
}

#[test]
fn every_panel_of_the_dashboard_shows_something_of_a_node_at_work() {
    let directory = TempDir::new().unwrap();
    let redis = Redis::start(directory.path(), &[]);
    // More hits than one client may send.
    let config = directory.path().join("thongke.toml");
    std::fs::write(
        &config,
        "[sites.demo]\norigins = [\"http://localhost:*\"]\nbots = false\n[limits]\nenabled = false\n",
    )
    .unwrap();
    let more = ["--redis", &redis.url(), "--config", config.to_str().unwrap()];
    let node = Node::start(&directory.path().join("data"), &more);
    let prometheus = Prometheus::watching(&node);
    let load = Load::start(&node.public, "/v1/hit", 2, Connections::Kept);
    let queries = queries();
    assert!(queries.len() > 20, "{queries:?}");
    for (title, query) in queries {
        let mut found = Ok(0);
        until(&format!("panel `{title}` shows something: {query}"), TIMEOUT, || {
            // The dashboard shows refusals too.
            assert_eq!(node.get("/nothing").status, 404);
            found = prometheus.series(&query);
            // A wrong query never succeeds.
            found.clone().unwrap_or_else(|error| panic!("{title}: {query}: {error}")) > 0
        });
    }
    load.stop();
    node.stop();
}

#[test]
fn each_alert_is_tested_to_fire_and_to_keep_silent() {
    run(Command::new("promtool").args(["test", "rules", "thongke.test.yml"]).current_dir(project("deploy/prometheus")));
    run(Command::new("promtool").args(["check", "config", "prometheus.yml"]).current_dir(project("deploy/prometheus")));
    let rules = std::fs::read_to_string(project("deploy/prometheus/thongke.rules.yml")).unwrap();
    let tests = std::fs::read_to_string(project("deploy/prometheus/thongke.test.yml")).unwrap();
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let fires = format!("alertname=\"{alert}\",alertstate=\"firing\"}}'\n");
        let tested: Vec<_> = tests.split(&fires).skip(1).collect();
        let (silent, loud): (Vec<&&str>, _) =
            tested.iter().partition(|rest| rest.lines().nth(1).is_some_and(|line| line.contains("[]")));
        assert!(!loud.is_empty(), "no test in which {alert} fires");
        assert!(!silent.is_empty(), "no test in which {alert} keeps silent");
    }
}

/// A rule on a metric that no node has would never fire.
#[test]
fn every_metric_that_rules_and_panels_name_exists() {
    let directory = TempDir::new().unwrap();
    let redis = Redis::start(directory.path(), &[]);
    let node = Node::start(&directory.path().join("data"), &["--redis", &redis.url()]);
    assert_eq!(node.hit("/a").status, 200);
    assert_eq!(node.get("/nothing").status, 404);
    let metrics = node.admin_get("/metrics").body;
    let rules = std::fs::read_to_string(project("deploy/prometheus/thongke.rules.yml")).unwrap();
    let panels = std::fs::read_to_string(project("deploy/grafana/thongke.json")).unwrap();
    for text in [rules, panels] {
        for (at, _) in text.match_indices("thongke_") {
            let name: String = text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let exists = metrics.lines().any(|line| {
                line.strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with(['{', ' ']) || rest.starts_with("_count"))
            });
            assert!(exists, "no node has {name}");
        }
    }
    node.stop();
}
