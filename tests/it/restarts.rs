//! Two nodes on one Redis through random hits, kills, restarts and losses. At the end every total is exact,
//! in Redis and at each node.
//!
//! The default is one story of some ten steps. `THONGKE_STORY_SECONDS=600` runs one after another for that
//! long. Each prints its seed; `THONGKE_STORY_SEED` repeats one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;

use crate::node::{Node, until};
use crate::port::free_port;
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(90);
const PAGES: [&str; 3] = ["/a", "/b", "/tin-tuc/bai-1"];

#[derive(Debug, Clone, Copy)]
enum Step {
    Hits,
    Kill,
    Stop,
    StartNode,
    CopyDirectory,
    StopRedis,
    StartRedis,
    Flush,
    LoseOneKey,
    Pause,
}

struct Member {
    data: PathBuf,
    node: Option<Node>,
}

struct Story {
    random: StdRng,
    directory: TempDir,
    port: u16,
    redis: Option<Redis>,
    members: Vec<Member>,
    /// Acknowledged hits, by page.
    hits: [u64; PAGES.len()],
}

impl Story {
    fn begin(seed: u64) -> Self {
        let directory = TempDir::new().unwrap();
        let port = free_port();
        let members = ["one", "two"].map(|name| Member { data: directory.path().join(name), node: None });
        let mut story = Self {
            random: StdRng::seed_from_u64(seed),
            directory,
            port,
            redis: Some(Redis::start_on(port)),
            members: members.into(),
            hits: [0; PAGES.len()],
        };
        story.start_all();
        story
    }

    fn start(&mut self, at: usize) {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let member = &mut self.members[at];
        member.node.get_or_insert_with(|| Node::start(&member.data, &["--redis", &url]));
    }

    fn start_all(&mut self) {
        (0..self.members.len()).for_each(|at| self.start(at));
    }

    fn redis_cli(&self, arguments: &[&str]) -> String {
        self.redis.as_ref().map(|redis| redis.cli(arguments)).unwrap_or_default()
    }

    fn take(&mut self, step: Step) {
        let at = self.random.random_range(0..self.members.len());
        match step {
            Step::Hits => {
                for _ in 0..self.random.random_range(1..40) {
                    let page = self.random.random_range(0..PAGES.len());
                    let at = self.random.random_range(0..self.members.len());
                    if let Some(node) = &self.members[at].node {
                        assert_eq!(node.hit(PAGES[page]).status, 200);
                        self.hits[page] += 1;
                    }
                }
            }
            Step::Kill => {
                if let Some(node) = self.members[at].node.take() {
                    node.kill();
                }
            }
            Step::Stop => {
                if let Some(node) = self.members[at].node.take() {
                    node.stop();
                }
            }
            Step::StartNode => self.start(at),
            Step::CopyDirectory => {
                // At most a third node, begun from a copy of a killed node's files.
                if self.members.len() > 2 {
                    return;
                }
                if let Some(node) = self.members[at].node.take() {
                    node.kill();
                }
                let data = self.directory.path().join("copy");
                std::fs::create_dir(&data).unwrap();
                for entry in std::fs::read_dir(&self.members[at].data).unwrap() {
                    let entry = entry.unwrap();
                    std::fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
                }
                self.members.push(Member { data, node: None });
                self.start(at);
                self.start(self.members.len() - 1);
            }
            // This Redis keeps nothing: the next one starts empty.
            Step::StopRedis => self.redis = None,
            Step::StartRedis => {
                let port = self.port;
                self.redis.get_or_insert_with(|| Redis::start_on(port));
            }
            Step::Flush => drop(self.redis_cli(&["FLUSHALL"])),
            Step::LoseOneKey => {
                let keys = self.redis_cli(&["KEYS", "*"]);
                let keys: Vec<_> = keys.lines().collect();
                if let Some(key) = keys.choose(&mut self.random) {
                    self.redis_cli(&["DEL", key]);
                }
            }
            Step::Pause => std::thread::sleep(Duration::from_millis(self.random.random_range(0..1_500))),
        }
    }

    /// Starts everything that was stopped; every total must then equal the acknowledged hits.
    fn end(mut self) {
        self.take(Step::StartRedis);
        self.start_all();
        let nodes: Vec<_> = self.members.iter_mut().filter_map(|member| member.node.take()).collect();
        let hits: u64 = self.hits.iter().sum();
        let total = || self.redis_cli(&["HGET", "thongke:{demo}:hits", "total"]);
        let expected = if hits == 0 { String::new() } else { hits.to_string() };
        wait(&format!("Redis's total is {hits}"), || total() == expected, total);
        for (page, hits) in PAGES.iter().zip(self.hits).filter(|(_, hits)| *hits > 0) {
            let score = || self.redis_cli(&["ZSCORE", "thongke:{demo}:pages:total", page]);
            wait(&format!("Redis's total of {page} is {hits}"), || score() == hits.to_string(), score);
        }
        for node in nodes {
            // A story may run over midnight.
            let year = || node.figures().figure("year");
            wait(&format!("the figures say {hits}"), || year() == hits.cast_signed(), year);
            node.stop();
        }
        assert_eq!(total(), expected, "the last words of the nodes changed it");
    }
}

fn wait<T: std::fmt::Debug>(what: &str, is_so: impl FnMut() -> bool, found: impl Fn() -> T) {
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| until(what, LIMIT, is_so)));
    assert!(waited.is_ok(), "expected that {what}, found {:?}", found());
}

fn run_story(seed: u64, steps: usize) {
    println!("THONGKE_STORY_SEED={seed}");
    let mut story = Story::begin(seed);
    let kinds = [
        (Step::Hits, 8),
        (Step::Kill, 3),
        (Step::Stop, 1),
        (Step::StartNode, 4),
        (Step::CopyDirectory, 1),
        (Step::StopRedis, 1),
        (Step::StartRedis, 3),
        (Step::Flush, 1),
        (Step::LoseOneKey, 1),
        (Step::Pause, 3),
    ];
    for _ in 0..steps {
        let (step, _) = *kinds.choose_weighted(&mut story.random, |(_, weight)| *weight).unwrap();
        println!("{step:?}");
        story.take(step);
    }
    story.end();
}

#[test]
fn whatever_happens_to_nodes_and_redis_every_total_is_exact_at_the_end() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let ends = Instant::now() + Duration::from_secs(setting("THONGKE_STORY_SECONDS").unwrap_or(0));
    let seed = setting("THONGKE_STORY_SEED");
    loop {
        run_story(seed.unwrap_or_else(rand::random), 14);
        if seed.is_some() || Instant::now() >= ends {
            return;
        }
    }
}
