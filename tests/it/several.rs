//! One node's view of the others' work.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::{Node, PROGRAM, until};
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(30);

/// Runs an operator's command on the node of a data directory; returns its output.
fn command(directory: &TempDir, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(PROGRAM)
        .arg("--data-dir")
        .arg(directory.path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_new_nodes_first_figures_and_first_answer_have_the_others_hits() {
    let redis = Redis::start();
    let directories = [(); 3].map(|()| TempDir::new().unwrap());
    let first = Node::start(directories[0].path(), &["--redis", &redis.url()]);
    for _ in 0..5 {
        assert_eq!(first.hit("/a").status, 200);
    }
    until("five hits are in Redis", LIMIT, || redis.hits("total") == "5");
    let connected = |node: &Node| node.admin_get("/readyz").json()["degraded"] == serde_json::json!([]);
    let second = Node::start(directories[1].path(), &["--redis", &redis.url()]);
    until("the second node has its Redis", LIMIT, || connected(&second));
    assert_eq!(second.figures().figure("today"), 5);
    let third = Node::start(directories[2].path(), &["--redis", &redis.url()]);
    until("the third node has its Redis", LIMIT, || connected(&third));
    assert_eq!(third.hit("/a").figure("today"), 6);
}

#[test]
fn an_import_is_corrected_and_forgotten_on_another_node_than_the_first() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| Node::start(directory.path(), &["--redis", &redis.url()]));
    let page = |page: &str| redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", page]);
    let are = |values: [&str; 4]| [redis.hits("2019"), redis.hits("2020"), page("/p"), page("/q")] == values;
    let import = |directory, csv| command(directory, &["import", "demo", "-", "--source", "old"], csv);
    import(&directories[0], "period,page,hits\n2019,,100\n2020,,200\ntotal,/p,40\ntotal,/q,5\n");
    until("the import is in Redis", LIMIT, || are(["100", "200", "40", "5"]));
    let said = import(&directories[1], "period,page,hits\n2019,,90\ntotal,/p,30\n");
    assert!(said.contains("set back to 0, since only an earlier import had them: 2"), "{said}");
    assert!(said.contains("on another node"), "{said}");
    until("the correction is in Redis", LIMIT, || are(["90", "0", "30", "0"]));
    command(&directories[0], &["forget", "demo", "--source", "old"], "");
    until("it is forgotten", LIMIT, || are(["0"; 4]));
    drop(nodes);
}

#[test]
fn an_import_is_corrected_on_the_first_node_after_another_one_brought_a_page_more() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let nodes = directories.each_ref().map(|directory| Node::start(directory.path(), &["--redis", &redis.url()]));
    let page = |page: &str| redis.cli(&["ZSCORE", "thongke:{demo}:pages:total", page]);
    let are = |values: [&str; 2]| [page("/p"), page("/q")] == values;
    let import = |directory, csv| command(directory, &["import", "demo", "-", "--source", "old"], csv);
    import(&directories[0], "period,page,hits\ntotal,/p,40\n");
    until("the import is in Redis", LIMIT, || are(["40", ""]));
    import(&directories[1], "period,page,hits\ntotal,/p,30\ntotal,/q,7\n");
    until("the correction is in Redis", LIMIT, || are(["30", "7"]));
    // The first node finds in a slow round that Redis has a page that its file lacks.
    std::thread::sleep(Duration::from_secs(20));
    import(&directories[0], "period,page,hits\ntotal,/p,20\ntotal,/q,5\n");
    until("the second correction is in Redis", LIMIT, || are(["20", "5"]));
    drop(nodes);
}

/// Imports of one name on two nodes at once: all of one stands everywhere, and nothing of the other.
fn one_of_two_imports_stands(csvs: [&str; 2], counters: &[(&str, Option<&str>, [&str; 2])], with_restart: bool) {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let start = || directories.each_ref().map(|directory| Node::start(directory.path(), &["--redis", &redis.url()]));
    let mut nodes = start();
    std::thread::scope(|scope| {
        for (directory, csv) in directories.iter().zip(csvs) {
            scope.spawn(|| command(directory, &["import", "demo", "-", "--source", "old"], csv));
        }
    });
    if with_restart {
        std::thread::sleep(Duration::from_secs(2));
        nodes.into_iter().for_each(Node::stop);
        nodes = start();
    }
    let there = |(period, page, _): &(&str, Option<&str>, [&str; 2])| match page {
        None => redis.hits(period),
        Some(page) => redis.cli(&["ZSCORE", &format!("thongke:{{demo}}:pages:{period}"), page]),
    };
    let stands = |import: usize| {
        counters.iter().all(|of| there(of) == of.2[import] || of.2[import] == "0" && there(of).is_empty())
    };
    // One may be there wholly before the other comes; the later one clears the rest of it after half a minute, and looks
    // again after another half until nothing more came.
    std::thread::sleep(Duration::from_secs(35));
    let (begun, is_one_there) = (Instant::now(), || stands(0) || stands(1));
    while !is_one_there() && begun.elapsed() < Duration::from_secs(180) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let found: Vec<_> = counters.iter().map(|of| (of.0, of.1, there(of))).collect();
    assert!(is_one_there(), "both are in Redis in part: {found:?}; {}", nodes.each_ref().map(Node::log).join("\n"));
    // Nor does the other one come back.
    std::thread::sleep(Duration::from_secs(15));
    let import = usize::from(stands(1));
    assert!(stands(import));
    let of_sites = counters.iter().filter(|(_, page, _)| page.is_none());
    let lines: Vec<_> = of_sites.map(|(period, _, hits)| (format!("\n{period},,"), hits[import])).collect();
    let shows = |node: &Node| {
        let export = format!("\n{}", node.admin_get("/sites/demo/export").body);
        lines.iter().all(|(line, hits)| match *hits {
            "0" => !export.contains(line.as_str()) || export.contains(&format!("{line}0\n")),
            hits => export.contains(&format!("{line}{hits}\n")),
        })
    };
    for node in &nodes {
        until("its file has the same", LIMIT, || shows(node));
        until("it agrees with Redis", LIMIT, || node.admin_get("/sites/demo/verify").json()["agrees"] == true);
    }
    nodes.into_iter().for_each(Node::stop);
}

#[test]
fn of_two_imports_of_one_name_at_once_without_a_total_one_stands_wholly_though_the_nodes_restart() {
    let csvs =
        ["period,page,hits\n2023,,5\n2021,,-3\ntotal,/x,1\n", "period,page,hits\n2023,,6\n2022,,8\ntotal,/y,2\n"];
    let counters = [
        ("2023", None, ["5", "6"]),
        ("2022", None, ["0", "8"]),
        ("2021", None, ["-3", "0"]),
        ("total", Some("/x"), ["1", "0"]),
        ("total", Some("/y"), ["0", "2"]),
    ];
    one_of_two_imports_stands(csvs, &counters, true);
}

#[test]
fn of_two_imports_of_one_name_at_once_with_a_total_one_stands_wholly() {
    let csvs = ["period,page,hits\ntotal,,15\ntotal,/x,1\n", "period,page,hits\ntotal,,6\n2022,,6\n"];
    let counters = [("total", None, ["15", "6"]), ("2022", None, ["0", "6"]), ("total", Some("/x"), ["1", "0"])];
    one_of_two_imports_stands(csvs, &counters, false);
}

#[test]
fn an_import_of_another_node_that_is_made_here_too_while_redis_is_away_counts_once() {
    let redis = Redis::start();
    let (port, url) = (redis.port(), redis.url());
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let start = |at: usize| Node::start(directories[at].path(), &["--redis", &url]);
    let [mut asked, other] = [start(0), start(1)];
    let import = |at: usize| {
        command(&directories[at], &["import", "demo", "-", "--source", "old"], "period,hits\ntotal,1000\n");
    };
    let total = |node: &Node| node.get("/v1/sites/demo/figures?figures=total").figure("total");
    // The first sync of its file is over.
    assert_eq!(asked.hit("/a").status, 200);
    until("its hit is in Redis", LIMIT, || redis.hits("total") == "1");
    std::thread::sleep(Duration::from_secs(1));
    import(1);
    until("it shows the other's import", LIMIT, || total(&asked) == 1001);
    drop(redis);
    import(0);
    let _redis = Redis::start_on(port);
    until("both show it once", LIMIT, || total(&asked) == 1001 && total(&other) == 1001);
    asked.stop();
    asked = start(0);
    until("and after a restart", LIMIT, || total(&asked) == 1001);
    asked.stop();
    other.stop();
}

#[test]
fn an_import_that_is_forgotten_while_redis_is_away_leaves_the_figures() {
    let redis = Redis::start();
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let [asked, other] =
        directories.each_ref().map(|directory| Node::start(directory.path(), &["--redis", &redis.url()]));
    command(&directories[1], &["import", "demo", "-", "--source", "old"], "period,hits\ntotal,1000\n");
    until("the import is in Redis", LIMIT, || redis.hits("total") == "1000");
    // The list reads it into the file.
    assert!(asked.admin_get("/sites/demo/sources").body.contains("import:old"));
    (0..5).for_each(|_| assert_eq!(other.hit("/a").status, 200));
    let total = |node: &Node| node.get("/v1/sites/demo/figures?figures=total").figure("total");
    until("it shows the other's hits", LIMIT, || total(&asked) == 1_005);
    asked.stop();
    drop(redis);
    let start = || Node::start(directories[0].path(), &["--redis", "redis://127.0.0.1:1"]);
    let asked = start();
    command(&directories[0], &["forget", "demo", "--source", "old"], "");
    assert_eq!(total(&asked), 5);
    asked.stop();
    let asked = start();
    assert_eq!(total(&asked), 5);
    asked.stop();
    other.stop();
}
