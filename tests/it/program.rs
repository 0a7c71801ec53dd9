use std::process::Command;

use tempfile::TempDir;

use crate::node::{Node, PROGRAM};

#[test]
fn without_any_argument_a_page_counts_and_shows_its_figures() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    let page = node.get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("thongke.js") && page.body.contains(r#"data-site="demo""#));
    assert_eq!(node.get("/thongke.js").status, 200);
    for n in 1..=3 {
        let answer = node.hit("/tin-tuc/bai-1");
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.head.contains("thongke-hit: counted"));
        assert_eq!(answer.figure("today"), n);
    }
    let figures = node.figures();
    assert_eq!(figures.json()["title"], "Thống kê truy cập");
    assert_eq!([figures.figure("today"), figures.figure("month"), figures.figure("year")], [3, 3, 3]);
    node.stop();
}

#[test]
fn a_hit_answered_before_kill_9_is_counted_after_it() {
    let directory = TempDir::new().unwrap();
    for round in 1..=3 {
        let node = Node::start(directory.path(), &[]);
        let answer = node.post("/v1/hit?figures=0", r#"{"site":"demo","url":"http://localhost/a"}"#);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        node.kill();
        let node = Node::start(directory.path(), &[]);
        assert_eq!(node.figures().figure("today"), round);
        node.stop();
    }
}

/// A slow disk: the configuration takes long to open, from a thread's second time on.
#[test]
fn a_node_stops_while_a_reload_waits_for_the_disk() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("thongke.toml");
    std::fs::write(&config, "[sites.a]\norigins = [\"https://a.vn\"]\n").unwrap();
    let trace = directory.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-e", "trace=openat", "-e", "inject=openat:delay_enter=20s:when=2+", "-P"]);
    command.arg(&config).arg("-o").arg(&trace).arg(PROGRAM).arg("--config").arg(&config);
    let node = Node::start_as(command, &directory.path().join("data"));
    let opened = |times| {
        let long = std::time::Duration::from_secs(10);
        let is_opened = || std::fs::read_to_string(&trace).unwrap().matches("thongke.toml").count() == times;
        crate::node::until("the configuration is opened", long, is_opened);
    };
    opened(1);
    node.signal("HUP");
    opened(2);
    node.signal("HUP");
    opened(3);
    // It waits now. Another one is remembered, and neither holds up a signal.
    node.signal("HUP");
    node.signal("TERM");
    // The tracer keeps the waiting thread to its end, so the process has ended but for that one.
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", node.id())).unwrap();
    let ended = || state().contains(") Z ");
    crate::node::until("it has ended", std::time::Duration::from_secs(15), ended);
}

/// The page cache survives a kill, so the test above would pass without any sync. The kernel's record must
/// show a completed sync between each request and its answer.
#[test]
fn each_answer_follows_a_completed_sync() {
    let directory = TempDir::new().unwrap();
    let trace = directory.path().join("trace");
    let mut command = Command::new("strace");
    command.args([
        // The program is the child, so that the test ends it together with its tracer.
        "-D",
        "-f",
        "-qq",
        "-s",
        "24",
        "-e",
        "trace=fsync,fdatasync,recvfrom,read,sendto,write,writev,sendmsg",
        "-o",
    ]);
    command.arg(&trace).arg(PROGRAM);
    let node = Node::start_as(command, &directory.path().join("data"));
    for _ in 0..20 {
        assert_eq!(node.hit("/a").status, 200);
    }
    drop(node);
    // The tracer ends a little after the program.
    let read = || std::fs::read_to_string(&trace).unwrap();
    let is_whole = || read().matches("\"HTTP/1.1 200").count() == 20;
    crate::node::until("the trace is complete", std::time::Duration::from_secs(20), is_whole);
    let trace = read();
    let mut is_synced = true;
    let mut answers = 0;
    for line in trace.lines() {
        if line.contains("\"POST /v1/hit") {
            is_synced = false;
        } else if line.contains("sync") && line.trim_end().ends_with("= 0") {
            is_synced = true;
        } else if line.contains("\"HTTP/1.1 200") {
            assert!(is_synced, "an answer without a sync before it:\n{trace}");
            answers += 1;
        }
    }
    assert_eq!(answers, 20);
}

#[test]
fn a_fresh_node_has_every_series_of_a_fixed_label_set_at_0() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("thongke.toml");
    let sites: String = (0..1_001).map(|n| format!("[sites.s{n:04}]\norigins = [\"https://s{n}.vn\"]\n")).collect();
    std::fs::write(&config, &sites).unwrap();
    let node = Node::start(&directory.path().join("data"), &["--config", config.to_str().unwrap()]);
    let metrics = node.admin_get("/metrics").body;
    assert!(metrics.len() < 1_000_000, "a scrape of {} bytes", metrics.len());
    let at_0 = |metrics: &str, name: &str, labels: &str| {
        assert!(metrics.contains(&format!("\n{name}{{{labels}}} 0\n")), "{name}{{{labels}}}");
    };
    let results = ["counted", "bot", "prefetch", "repeat", "excluded", "limited"];
    for result in results {
        for site in ["s0000", "s0999", "(other)"] {
            at_0(&metrics, "thongke_hits_total", &format!("result=\"{result}\",site=\"{site}\""));
        }
    }
    assert_eq!(metrics.matches("\nthongke_hits_total{").count(), 1_001 * results.len());
    for reason in [
        "connections",
        "framing",
        "host",
        "limited",
        "malformed",
        "method",
        "origin",
        "path",
        "site",
        "size",
        "slow",
        "token",
        "unavailable",
    ] {
        at_0(&metrics, "thongke_refusals_total", &format!("reason=\"{reason}\""));
    }
    for reason in ["foreign", "home", "many"] {
        at_0(&metrics, "thongke_canonical_ignored_total", &format!("reason=\"{reason}\""));
    }
    for limit in ["address", "page", "site"] {
        at_0(&metrics, "thongke_limited_total", &format!("limit=\"{limit}\""));
    }
    for reason in ["site", "client", "network"] {
        at_0(&metrics, "thongke_other_page_hits_total", &format!("reason=\"{reason}\""));
    }
    for route in ["/v1/hit", "/v1/hit.gif", "/v1/sites/{site}/figures", "/v1/sites/{site}/chart.svg", "/thongke.js"] {
        at_0(&metrics, "thongke_http_request_duration_seconds_count", &format!("route=\"{route}\",status=\"200\""));
    }
    assert!(!metrics.contains("thongke_redis_up"));
    assert!(metrics.contains("\nprocess_open_fds ") && metrics.contains("\nthongke_build_info{version="));
    node.stop();
}

#[test]
fn probes_and_metrics_answer_and_promtool_has_nothing_to_say() {
    let directory = TempDir::new().unwrap();
    let node = Node::start(directory.path(), &[]);
    assert_eq!(node.hit("/a").status, 200);
    assert_eq!(node.admin_get("/healthz").status, 200);
    assert_eq!(node.admin_get("/readyz").status, 200);
    let metrics = node.admin_get("/metrics");
    assert!(metrics.body.contains(r#"thongke_hits_total{result="counted",site="demo"} 1"#), "{}", metrics.body);
    let file = directory.path().join("metrics");
    let body = if metrics.head.contains("transfer-encoding: chunked") { panic!("chunked") } else { metrics.body };
    std::fs::write(&file, body).unwrap();
    let check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert!(check.status.success() && check.stdout.is_empty() && check.stderr.is_empty(), "{check:?}");
    node.stop();
}

#[test]
fn sites_are_read_again_at_sighup_and_a_wrong_file_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("thongke.toml");
    let site = |id: &str| format!("[sites.{id}]\norigins = [\"http://localhost:*\"]\n");
    std::fs::write(&file, site("one")).unwrap();
    let node = Node::start(&directory.path().join("data"), &["--config", file.to_str().unwrap()]);
    let status = |site: &str| node.get(&format!("/v1/sites/{site}/figures")).status;
    assert_eq!((status("one"), status("two")), (200, 404));
    std::fs::write(&file, format!("{}{}", site("one"), site("two"))).unwrap();
    node.signal("HUP");
    crate::node::until("the new site answers", std::time::Duration::from_secs(10), || status("two") == 200);
    std::fs::write(&file, "nonsense = 1\n").unwrap();
    node.signal("HUP");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!((status("one"), status("two")), (200, 200));
    node.stop();
}
