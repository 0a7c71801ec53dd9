//! A clock that is far from the days of a node's file: hits count, nothing is deleted, and the node says so.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock::at;
use crate::node::{Node, PROGRAM, until};
use crate::port::free_port;
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(60);
/// Deletions happen at once after a start. So long after it they would have happened.
const DELETION: Duration = Duration::from_millis(1_500);

const CONFIG: &str = "[sites.demo]\norigins = [\"http://localhost\"]\nfigures = [\"today\", \"visitors_today\"]\n";

struct Scene {
    files: TempDir,
}

impl Scene {
    /// A file with today's hits of two pages and of a visitor.
    fn of_today() -> Self {
        let scene = Self { files: TempDir::new().unwrap() };
        std::fs::write(scene.config(), CONFIG).unwrap();
        let node = scene.start("+0", None);
        assert_eq!([node.hit("/a").status, node.hit("/b").status], [200, 200]);
        node.stop();
        assert_eq!(scene.kept(), (2, 1));
        scene
    }

    fn config(&self) -> String {
        self.files.path().join("thongke.toml").to_str().unwrap().to_owned()
    }

    fn data(&self) -> std::path::PathBuf {
        self.files.path().join("data")
    }

    /// The node with a clock that is so far from the right one.
    fn start(&self, away: &str, redis: Option<&Redis>) -> Node {
        self.start_as(at(away, PROGRAM), redis)
    }

    fn start_as(&self, mut command: Command, redis: Option<&Redis>) -> Node {
        command.args(["--config", &self.config()]);
        if let Some(redis) = redis {
            command.args(["--redis", &redis.url()]);
        }
        Node::start_as(command, &self.data())
    }

    /// Exit code and output of a command, by such a clock.
    fn run(&self, away: &str, words: &[&str]) -> (i32, String) {
        let output = at(away, PROGRAM)
            .args(words)
            .args(["--config", &self.config(), "--data-dir"])
            .arg(self.data())
            .args(["--listen", &format!("127.0.0.1:{}", free_port())])
            .args(["--admin-listen", &format!("127.0.0.1:{}", free_port())])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code().unwrap(), said)
    }

    /// Numbers of pages with counts of today, and of its salts, in the file.
    fn kept(&self) -> (i64, i64) {
        let file = rusqlite::Connection::open(self.data().join("thongke.db")).unwrap();
        let today = thongke::counter::Day::at(chrono::Utc::now(), chrono_tz::Asia::Ho_Chi_Minh);
        let today = thongke::counter::Period::Day(today).number();
        let number = |sql: &str| file.query_row(sql, [today], |row| row.get(0)).unwrap();
        (
            number("SELECT count(DISTINCT page) FROM counts WHERE page > 0 AND period = ?"),
            number("SELECT count(*) FROM salts WHERE day = ?"),
        )
    }
}

fn doubt(node: &Node) -> Option<String> {
    let report = node.admin_get("/readyz");
    assert_eq!(report.status, 200, "hits count: {}", report.body);
    report.json()["reasons"]["clock"].as_str().map(str::to_owned)
}

fn is_believed(node: &Node) -> bool {
    let metric = || {
        let metrics = node.admin_get("/metrics").body;
        metrics.lines().any(|line| line == "thongke_clock_believed 1")
    };
    loop {
        let (before, is_believed, after) = (metric(), doubt(node).is_none(), metric());
        // The doubt may begin or end between two questions.
        if before == after {
            assert_eq!(is_believed, after);
            return is_believed;
        }
    }
}

#[test]
fn a_start_45_days_ahead_counts_and_deletes_nothing_until_an_operator_accepts_the_clock() {
    let scene = Scene::of_today();
    let node = scene.start("+45d", None);
    let says = doubt(&node).unwrap();
    assert!(says.contains("44 days past ") || says.contains("45 days past "), "{says}");
    assert!(says.contains("nothing is deleted") && says.contains("`thongke clock accept`"), "{says}");
    assert!(!is_believed(&node));
    until("a warning says so", LIMIT, || node.log().contains("WARN") && node.log().contains("nothing is deleted"));
    assert_eq!(node.hit("/a").status, 200);
    std::thread::sleep(DELETION);
    assert_eq!(scene.kept(), (2, 1));
    let (code, said) = scene.run("+45d", &["check"]);
    assert!(code == 0 && said.contains("warning: the clock is not believed: the clock says "), "{code} {said}");
    let (code, said) = scene.run("+45d", &["clock", "accept"]);
    assert!(code == 0 && said.starts_with("the clock is accepted: 20"), "{code} {said}");
    assert!(is_believed(&node));
    until("what is over is deleted", LIMIT, || scene.kept() == (0, 0));
    until("the log says so", LIMIT, || {
        let log = node.log();
        log.contains("deleted counts of pages on days and months that are over deleted=2 sites=1")
            && log.contains("deleted salts and sketches of visitors that are over salts=1 days=1")
    });
    node.stop();
    let node = scene.start("+45d", None);
    assert!(is_believed(&node), "the file knows");
    node.stop();
}

#[test]
fn hits_of_a_doubted_clock_vouch_for_nothing_and_make_the_right_clock_doubted_in_its_turn() {
    let scene = Scene::of_today();
    for _ in 0..2 {
        let node = scene.start("+45d", None);
        assert_eq!(node.hit("/a").status, 200);
        assert!(!is_believed(&node));
        std::thread::sleep(DELETION);
        node.stop();
        assert_eq!(scene.kept(), (2, 1));
    }
    let (code, said) = scene.run("+0", &["check"]);
    assert!(code == 0 && said.contains("the clock is not believed: ") && said.contains(" before 20"), "{code} {said}");
    let node = scene.start("+0", None);
    until("the file's newest day is read", LIMIT, || doubt(&node).is_some_and(|says| says.contains(" before 20")));
    assert_eq!(node.hit("/a").figure("today"), 3);
    node.stop();
    let (code, said) = scene.run("+0", &["clock", "accept"]);
    assert!(code == 0 && said.starts_with("the clock is accepted: 20"), "{code} {said}");
    assert!(!scene.run("+0", &["check"]).1.contains("not believed"));
    let node = scene.start("+0", None);
    std::thread::sleep(DELETION);
    assert!(is_believed(&node));
    node.stop();
    assert_eq!(scene.kept(), (2, 1));
}

#[test]
fn a_clock_before_the_newest_day_is_reported_also_after_a_crash() {
    let scene = Scene::of_today();
    let node = scene.start("+0", None);
    assert_eq!(node.hit("/a").status, 200);
    node.kill();
    let (code, said) = scene.run("-10d", &["check"]);
    assert!(code == 0 && said.contains("the clock is not believed: ") && said.contains(" before 20"), "{code} {said}");
    let node = scene.start("-10d", None);
    assert!(doubt(&node).unwrap().contains(" before 20"));
    assert!(!is_believed(&node));
    assert_eq!(node.hit("/a").figure("today"), 1);
    std::thread::sleep(DELETION);
    assert_eq!(scene.kept(), (2, 1));
    node.stop();
}

#[test]
fn a_nearby_clock_and_the_clock_of_an_empty_file_are_believed_at_once() {
    let scene = Scene::of_today();
    let node = scene.start("+2d", None);
    assert!(is_believed(&node), "{}", node.log());
    until("the salt of a day that is over is deleted", LIMIT, || scene.kept() == (2, 0));
    node.stop();
    let empty = TempDir::new().unwrap();
    let node = Node::start_as(at("+45d", PROGRAM), empty.path());
    assert!(is_believed(&node), "{}", node.log());
    node.stop();
}

#[test]
fn redis_vouches_for_a_clock_that_agrees_with_its_own_and_for_no_other() {
    let scene = Scene::of_today();
    let redis = Redis::start();
    let node = scene.start("+45d", Some(&redis));
    std::thread::sleep(DELETION);
    assert!(!is_believed(&node));
    assert_eq!(node.hit("/a").status, 200);
    assert_eq!(scene.kept(), (2, 1));
    node.stop();
    drop(redis);
    let mut server = at("+45d", "redis-server");
    server.env("TZ", "UTC");
    let redis = Redis::start_as(server, free_port(), &[]);
    let node = scene.start("+45d", Some(&redis));
    until("Redis's clock is asked", LIMIT, || is_believed(&node));
    until("what is over is deleted", LIMIT, || scene.kept() == (0, 0));
    until("the log says why", LIMIT, || node.log().contains("the clock is believed: Redis's clock agrees"));
    node.stop();
}

#[test]
fn a_jump_of_a_running_clock_is_doubted_and_forgotten_when_it_is_set_right() {
    let scene = Scene::of_today();
    let setting = scene.files.path().join("clock");
    let set = |away: &str| {
        let unfinished = setting.with_extension("new");
        std::fs::write(&unfinished, format!("{away}\n")).unwrap();
        std::fs::rename(&unfinished, &setting).unwrap();
    };
    set("+0");
    let mut command = at("+0", PROGRAM);
    command.env_remove("FAKETIME").env("FAKETIME_TIMESTAMP_FILE", &setting).env("FAKETIME_CACHE_DURATION", "1");
    let node = scene.start_as(command, None);
    assert!(is_believed(&node), "{}", node.log());
    set("+45d");
    until("the jump is noticed", LIMIT, || doubt(&node).is_some_and(|says| says.contains("days past")));
    // Longer than the interval at which visitors are forgotten.
    std::thread::sleep(Duration::from_secs(11));
    assert_eq!(scene.kept(), (2, 1));
    set("+0");
    until("the clock is right again", LIMIT, || is_believed(&node));
    until("the log says so", LIMIT, || node.log().contains("it is near the days of this node's file again"));
    node.stop();
    assert_eq!(scene.kept(), (2, 1));
}

#[test]
fn nothing_is_accepted_where_nothing_was_counted() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("data");
    let run = |data: &Path| {
        let output = Command::new(PROGRAM).args(["clock", "accept", "--data-dir"]).arg(data).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&missing);
    assert!(code == Some(1) && said.contains("nothing was ever counted in "), "{said}");
    assert!(!missing.exists());
}
