//! Random events in random order on real files and a real Redis, against a model: the sum of all hits and of
//! each import's last form.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tempfile::TempDir;
use thongke::counter::RowKey;
use thongke::counter::csv::Row;
use thongke::counter::{Contribution, Day, Hit, PageAddress, Period, RegisteredSite, Site};
use thongke::ledger::{DirectoryLock, Ledger, backup};
use thongke::metrics::Metrics;
use thongke::redis::client::connection::Connections;
use thongke::redis::client::link::Link;
use thongke::redis::keys::{self, Keys};
use thongke::redis::merge_counts::{MergeCounts, ROWS_MAX, place_of};
use thongke::redis::{Place, Target, read_digests, verify_stopped};

use crate::book::{Counted, Counter};
use crate::length::{either, seed};
use crate::redis_server::RedisServer;

const SITES: [&str; 2] = ["a", "b"];
const PAGES: [&str; 3] = ["/x", "/y", "/z?id=1"];
const DAYS: usize = 3;
/// The first, a second one, copies and restored backups.
const NODES_MAX: usize = 4;

#[derive(Debug, Clone)]
enum Event {
    /// Hits, in one commit or several.
    Hits {
        node: usize,
        site: usize,
        day: usize,
        page: usize,
        hits: u8,
    },
    Fold(usize),
    /// Some or all of a node's publishable rows reach Redis.
    Publish {
        node: usize,
        what: What,
        rows: usize,
    },
    /// A node applies the state of Redis.
    ApplyRemote(usize),
    /// The node crashes: only the files' present state is left.
    Crash(usize),
    Restart(usize),
    /// A copy of a node's files runs beside it.
    Copy(usize),
    Backup(usize),
    /// The last backup runs beside the others.
    Restore,
    /// A new import, or a corrected form of the node's last one.
    Import {
        node: usize,
        site: usize,
        again: bool,
        rows: Vec<(usize, Option<usize>, i64)>,
    },
    Forget {
        node: usize,
        site: usize,
    },
    Delete(usize),
    FlushAll,
    Snapshot,
    /// Redis is what it was at one of the snapshots.
    RollBack(usize),
    /// One key alone is so.
    RollBackKey(usize, usize),
    /// A node asks for digests, and brings what differs.
    Ask(usize),
    /// A node crashes and stays down.
    Down(usize),
    /// A node that is down starts on what it left.
    Up(usize),
    /// A node's configuration drops a site, or has it again.
    Toggle {
        node: usize,
        site: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// The current run's counts in memory.
    Recent,
    FileForwards,
    FileBackwards,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let node = || 0..NODES_MAX;
    let what = prop_oneof![Just(What::Recent), Just(What::FileForwards), Just(What::FileBackwards)];
    let row = (0..DAYS, prop::option::of(0..PAGES.len()), -30_i64..60);
    let event = prop_oneof![
        12 => (node(), 0..SITES.len(), 0..DAYS, 0..PAGES.len(), 1_u8..6)
            .prop_map(|(node, site, day, page, hits)| Event::Hits { node, site, day, page, hits }),
        2 => node().prop_map(Event::Fold),
        6 => (node(), what, 1_usize..40).prop_map(|(node, what, rows)| Event::Publish { node, what, rows }),
        2 => node().prop_map(Event::ApplyRemote),
        3 => node().prop_map(Event::Crash),
        1 => node().prop_map(Event::Restart),
        1 => node().prop_map(Event::Copy),
        1 => node().prop_map(Event::Backup),
        1 => Just(Event::Restore),
        2 => (node(), 0..SITES.len(), any::<bool>(), prop::collection::vec(row, 1..4))
            .prop_map(|(node, site, again, rows)| Event::Import { node, site, again, rows }),
        1 => (node(), 0..SITES.len()).prop_map(|(node, site)| Event::Forget { node, site }),
        1 => (0..KEYS).prop_map(Event::Delete),
        1 => Just(Event::FlushAll),
        2 => Just(Event::Snapshot),
        2 => (0..9_usize).prop_map(Event::RollBack),
        1 => (0..9_usize, 0..KEYS).prop_map(|(snapshot, number)| Event::RollBackKey(snapshot, number)),
        3 => node().prop_map(Event::Ask),
        2 => node().prop_map(Event::Down),
        2 => node().prop_map(Event::Up),
        1 => (node(), 0..SITES.len()).prop_map(|(node, site)| Event::Toggle { node, site }),
    ];
    prop::collection::vec(event, 1..30)
}

/// The model: counts that every place must show.
#[derive(Default)]
struct Model {
    hits: Counted,
    imports: BTreeMap<String, Counted>,
}

impl Model {
    fn count(&mut self, site: usize, day: Day, page: &str, hits: i64) {
        let own = day.site_periods().map(|period| counter(site, period, None));
        let pages = day.page_periods().map(|period| counter(site, period, Some(page)));
        own.into_iter().chain(pages).for_each(|counter| *self.hits.entry(counter).or_default() += hits);
    }

    fn sum(&self) -> Counted {
        let all = self.imports.values().cloned().chain([self.hits.clone()]);
        crate::book::sum(all).into_iter().filter(|(_, hits)| *hits != 0).collect()
    }
}

fn counter(site: usize, period: Period, page: Option<&str>) -> Counter {
    Counter { site: SITES[site].to_owned(), period: period.to_string(), page: page.map(str::to_owned) }
}

/// Days whose pages' keys do not expire soon.
fn day(number: usize) -> Day {
    let today = Day::at(Utc::now(), chrono_tz::Asia::Ho_Chi_Minh);
    (0..number).fold(today, |day, _| day.previous())
}

fn site(id: &str) -> Site {
    let origins = vec!["https://a.example".parse().unwrap()];
    Site { vouching_networks: 1, ..Site::with_defaults(id.parse().unwrap(), origins) }
}

/// A site's keys: its own, and those of its pages.
const KEYS: usize = SITES.len() * (2 + DAYS);

fn key(number: usize) -> String {
    let (site, which) = (SITES[number % SITES.len()], number / SITES.len());
    match which {
        0 => format!("thongke:{{{site}}}:hits"),
        1 => format!("thongke:{{{site}}}:pages:total"),
        which => format!("thongke:{{{site}}}:pages:{}", day(which - 2)),
    }
}

struct Node {
    files: TempDir,
    ledger: Ledger,
    sites: Vec<Arc<RegisteredSite>>,
    /// Imports that the node has made, by site; a copy has made none.
    imports: Vec<(usize, String)>,
    /// Sites that are configured.
    serves: [bool; SITES.len()],
}

impl Node {
    fn open(files: TempDir) -> Self {
        let lock = DirectoryLock::take(files.path()).unwrap();
        let all = SITES.map(site).to_vec();
        let (ledger, sites) = Ledger::open(lock, files.path(), all, true, Arc::new(Metrics::new())).unwrap();
        let sites = SITES.map(|id| Arc::clone(sites.get(id).unwrap())).to_vec();
        Self { files, ledger, sites, imports: Vec::new(), serves: [true; SITES.len()] }
    }

    fn served(&self) -> impl Iterator<Item = usize> {
        (0..SITES.len()).filter(|site| self.serves[*site])
    }

    /// Copies the files as a crash now would leave them.
    fn left(&self) -> TempDir {
        let copy = TempDir::new().unwrap();
        for entry in std::fs::read_dir(self.files.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    async fn rows(&self, site: usize) -> Vec<Contribution> {
        self.ledger.fold().await.unwrap();
        let rows = self.ledger.rows(self.sites[site].number, None, 100_000).await.unwrap();
        rows.into_iter().map(|(_, row)| row).collect()
    }

    async fn counted(&self) -> Counted {
        let mut all = Counted::new();
        for (at, site) in self.sites.iter().enumerate() {
            for Row { period, page, hits } in self.ledger.export(site.number, None, 100_000).await.unwrap() {
                all.insert(counter(at, period, page.as_ref().map(PageAddress::as_str)), hits);
            }
        }
        all
    }
}

struct World {
    _server: RedisServer,
    link: Link,
    target: Target,
    keys: Keys,
}

type Dumps = Vec<Option<Vec<u8>>>;

impl World {
    async fn new() -> Self {
        let server = RedisServer::start();
        let target = thongke::redis::parse(&[server.url()], None).unwrap();
        let connections = Arc::new(Connections::new(target.clone()));
        let supervised = Arc::clone(&connections);
        tokio::spawn(async move { supervised.supervise().await });
        connections.watch().wait_for(|number| *number != 0).await.unwrap();
        let link = connections.get().unwrap().link;
        Self { _server: server, link, target, keys: Keys::new("thongke") }
    }

    async fn ask(&self, words: &[&[u8]]) -> redis::Value {
        let mut command = redis::Cmd::new();
        command.arg(words);
        self.link.query(&command).await.unwrap()
    }

    async fn dumps(&self) -> Dumps {
        let mut dumps = Vec::new();
        for number in 0..KEYS {
            let dump = self.ask(&[b"DUMP", key(number).as_bytes()]).await;
            dumps.push(redis::from_redis_value(dump).unwrap());
        }
        dumps
    }

    async fn roll_back(&self, dumps: &Dumps) {
        for number in 0..dumps.len() {
            self.roll_back_key(dumps, number).await;
        }
    }

    async fn roll_back_key(&self, dumps: &Dumps, number: usize) {
        self.ask(&[b"DEL", key(number).as_bytes()]).await;
        if let Some(dump) = &dumps[number] {
            self.ask(&[b"RESTORE", key(number).as_bytes(), b"0", dump]).await;
        }
    }

    /// Brings rows of those keys and sources whose digests differ, and nothing else.
    async fn bring(&self, node: &Node, site: usize) {
        let rows = node.rows(site).await;
        let RegisteredSite { number, site: settings, .. } = node.sites[site].as_ref();
        let file = node.ledger.digests(*number).await.unwrap();
        let places: Vec<_> = file.iter().map(|of| of.place.clone()).collect();
        let found = read_digests(&self.link, &self.keys, settings, &places).await.unwrap();
        let differing: HashSet<_> =
            file.into_iter().zip(found).filter(|(of, found)| of.digest != *found).map(|(of, _)| of.place).collect();
        let lacking: Vec<_> = rows.into_iter().filter(|row| differing.contains(&place_of(row))).collect();
        self.publish(node, site, &lacking).await;
    }

    async fn publish(&self, node: &Node, site: usize, rows: &[Contribution]) {
        for rows in rows.chunks(ROWS_MAX) {
            let merge = MergeCounts { rows: rows.to_vec() };
            merge.send(&self.link, &self.keys, &node.sites[site].site).await.unwrap();
        }
    }

    async fn apply_remote(&self, node: &Node) {
        for site in node.served().map(|at| &node.sites[at]) {
            let answer = self.ask(&[b"HGETALL", self.keys.hits(&site.site.id).as_bytes()]).await;
            let fields: Vec<(String, String)> = redis::from_redis_value(answer).unwrap();
            let known = fields.iter().filter_map(|(field, value)| keys::contribution(field, value)).collect();
            node.ledger.merge_remote(site.number, known).await.unwrap();
        }
    }

    async fn play(&self, events: &[Event]) {
        self.ask(&[b"FLUSHALL"]).await;
        let mut nodes = vec![Node::open(TempDir::new().unwrap()), Node::open(TempDir::new().unwrap())];
        let mut model = Model::default();
        let mut snapshots = vec![self.dumps().await];
        // Files of nodes that are down, with the imports that each has made.
        let mut down: Vec<(TempDir, Vec<(usize, String)>)> = Vec::new();
        let backups = TempDir::new().unwrap();
        let mut last_backup = None;
        for (at, event) in events.iter().enumerate() {
            let place = |node: &usize| node % nodes.len();
            match event {
                Event::Hits { node, site, day: on, page, hits } => {
                    let node = &nodes[place(node)];
                    if !node.serves[*site] {
                        continue;
                    }
                    let (day, address) = (day(*on), PageAddress::from_stored(PAGES[*page]));
                    let hit = || Hit { site: node.sites[*site].number, day, page: address.clone() };
                    let waiting: Vec<_> = (0..*hits).map(|_| node.ledger.count(hit())).collect();
                    for future in waiting {
                        future.await.unwrap();
                    }
                    model.count(*site, day, PAGES[*page], (*hits).into());
                }
                Event::Fold(node) => nodes[place(node)].ledger.fold().await.unwrap(),
                Event::Publish { node, what, rows } => {
                    let node = &nodes[place(node)];
                    for site in node.served() {
                        let mut all = match what {
                            What::Recent => node.ledger.recent(node.sites[site].number),
                            What::FileForwards | What::FileBackwards => node.rows(site).await,
                        };
                        if let What::FileBackwards = what {
                            all.reverse();
                        }
                        all.truncate(*rows);
                        self.publish(node, site, &all).await;
                    }
                }
                Event::ApplyRemote(node) => self.apply_remote(&nodes[place(node)]).await,
                Event::Crash(node) => {
                    let node = place(node);
                    let imports = std::mem::take(&mut nodes[node].imports);
                    nodes[node] = Node { imports, ..Node::open(nodes[node].left()) };
                }
                Event::Restart(node) => {
                    let node = nodes.remove(place(node));
                    node.ledger.close();
                    let Node { files, ledger, imports, .. } = node;
                    drop(ledger);
                    nodes.push(Node { imports, ..Node::open(files) });
                }
                Event::Copy(node) => {
                    if nodes.len() + down.len() < NODES_MAX {
                        let left = nodes[place(node)].left();
                        nodes.push(Node::open(left));
                    }
                }
                Event::Backup(node) => {
                    let path = backups.path().join(at.to_string());
                    backup(nodes[place(node)].files.path(), &path).unwrap();
                    last_backup = Some(path);
                }
                Event::Restore => {
                    if let Some(path) = last_backup.as_ref().filter(|_| nodes.len() + down.len() < NODES_MAX) {
                        let files = TempDir::new().unwrap();
                        std::fs::copy(path, files.path().join("thongke.db")).unwrap();
                        nodes.push(Node::open(files));
                    }
                }
                Event::Import { node, site, again, rows } => {
                    let place = place(node);
                    let node = &mut nodes[place];
                    let last = node.imports.iter().rfind(|(of, _)| of == site && *again).cloned();
                    let (_, name) = last.unwrap_or_else(|| {
                        node.imports.push((*site, format!("import-{at}")));
                        node.imports.last().unwrap().clone()
                    });
                    // The later of two rows for a counter.
                    let rows: BTreeMap<_, _> = rows.iter().map(|(day, page, hits)| ((*day, *page), *hits)).collect();
                    let address = |page: usize| PageAddress::from_stored(PAGES[page]);
                    let row = |((on, page), hits): (&(usize, Option<usize>), &i64)| Row {
                        period: Period::Day(day(*on)),
                        page: page.map(address),
                        hits: *hits,
                    };
                    let number = node.sites[*site].number;
                    let csv = rows.iter().map(row).collect();
                    node.ledger.import(number, name.parse().unwrap(), csv, now(at)).await.unwrap();
                    let counted = rows.into_iter().map(|((on, page), hits)| {
                        (counter(*site, Period::Day(day(on)), page.map(|page| PAGES[page])), hits)
                    });
                    model.imports.insert(name, counted.collect());
                }
                Event::Forget { node, site } => {
                    let place = place(node);
                    let node = &mut nodes[place];
                    if let Some(last) = node.imports.iter().rposition(|(of, _)| of == site) {
                        let (_, name) = node.imports.remove(last);
                        node.ledger.forget(node.sites[*site].number, name.parse().unwrap(), now(at)).await.unwrap();
                        model.imports.remove(&name);
                    }
                }
                Event::Delete(number) => drop(self.ask(&[b"DEL", key(*number).as_bytes()]).await),
                Event::FlushAll => drop(self.ask(&[b"FLUSHALL"]).await),
                Event::Snapshot => snapshots.push(self.dumps().await),
                Event::RollBack(number) => self.roll_back(&snapshots[number % snapshots.len()]).await,
                Event::RollBackKey(snapshot, number) => {
                    self.roll_back_key(&snapshots[snapshot % snapshots.len()], *number).await;
                }
                Event::Ask(node) => {
                    let node = &nodes[place(node)];
                    for site in node.served() {
                        self.bring(node, site).await;
                    }
                }
                Event::Down(node) => {
                    if nodes.len() > 1 {
                        let node = nodes.remove(place(node));
                        down.push((node.left(), node.imports));
                    }
                }
                Event::Up(number) => {
                    if !down.is_empty() {
                        let (files, imports) = down.swap_remove(number % down.len());
                        nodes.push(Node { imports, ..Node::open(files) });
                    }
                }
                Event::Toggle { node, site } => {
                    let node = place(node);
                    nodes[node].serves[*site] ^= true;
                }
            }
        }
        nodes.extend(down.into_iter().map(|(files, imports)| Node { imports, ..Node::open(files) }));
        nodes.iter_mut().for_each(|node| node.serves.fill(true));
        for node in &nodes {
            for site in 0..SITES.len() {
                self.bring(node, site).await;
            }
        }
        self.is_right(&nodes, &model, events).await;
    }

    /// Asserts that every node has brought what Redis lacked, and that all counts are right.
    async fn is_right(&self, nodes: &[Node], model: &Model, events: &[Event]) {
        let expected = model.sum();
        assert_eq!(self.counted().await, expected, "Redis, after {events:#?}");
        for node in nodes {
            self.apply_remote(node).await;
            let own = |counted: Counted| crate::book::without_pages(counted);
            assert_eq!(own(node.counted().await), own(expected.clone()), "a node, after {events:#?}");
            for (at, site) in node.sites.iter().enumerate() {
                let total = counter(at, Period::Total, None);
                let shown = node.ledger.hits(site.number, &[Period::Total]).await.unwrap().hits;
                assert_eq!(shown, [expected.get(&total).copied().unwrap_or(0)], "figures, after {events:#?}");
                let faults = node.ledger.faults(site, Utc::now()).await.unwrap();
                assert!(faults.is_empty(), "the file: {faults:?}, after {events:#?}");
                let own = node.ledger.own_sources(site.number).await.unwrap();
                let place = Place { target: &self.target, prefix: "thongke", site, own };
                let rows =
                    async |after: Option<RowKey>, limit| Ok(node.ledger.rows(site.number, after, limit).await.unwrap());
                let verification = verify_stopped(place, &rows).await.unwrap();
                assert!(verification.agrees, "{:?}, after {events:#?}", verification.findings);
            }
        }
    }

    async fn counted(&self) -> Counted {
        let mut all = Counted::new();
        for (at, site) in SITES.iter().enumerate() {
            let site = site.parse().unwrap();
            let hits: Vec<(String, String)> =
                redis::from_redis_value(self.ask(&[b"HGETALL", self.keys.hits(&site).as_bytes()]).await).unwrap();
            for (period, value) in hits.iter().filter(|(field, _)| !field.contains(' ')) {
                all.insert(counter(at, period.parse().unwrap(), None), value.parse().unwrap());
            }
            let pattern = self.keys.pages(&site, Period::Total).replace("total", "*");
            let keys: Vec<String> = redis::from_redis_value(self.ask(&[b"KEYS", pattern.as_bytes()]).await).unwrap();
            for key in keys {
                let period = key.rsplit(':').next().unwrap().parse().unwrap();
                let answer = self.ask(&[b"ZRANGE", key.as_bytes(), b"0", b"-1", b"WITHSCORES"]).await;
                let members: Vec<(String, f64)> = redis::from_redis_value(answer).unwrap();
                for (page, score) in members.iter().filter(|(member, _)| !member.starts_with('\x01')) {
                    all.insert(counter(at, period, Some(page)), *score as i64);
                }
            }
        }
        all.into_iter().filter(|(_, hits)| *hits != 0).collect()
    }
}

/// The time of an event: later with each one, whatever the clock does.
fn now(at: usize) -> DateTime<Utc> {
    Utc::now() + chrono::Duration::seconds(i64::try_from(at).unwrap())
}

/// Runs work in the one world of all cases: a flushed Redis is a new one.
fn in_a_world<T>(work: impl AsyncFnOnce(&World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async { work(&World::new().await).await })
}

#[test]
fn whatever_happens_in_whatever_order_each_hit_is_counted_once() {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    println!("any order: EXPERIMENT_SEED={}", seed());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config =
        Config { cases: either(12, 1_000), max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    let world = runtime.block_on(World::new());
    let outcome = TestRunner::new_with_rng(config, rng).run(&events(), |events| {
        runtime.block_on(world.play(&events));
        Ok(())
    });
    outcome.unwrap();
}

// Orders in which something was once lost or counted twice, here or in an abandoned design.

fn hits(node: usize, hits: u8) -> Event {
    Event::Hits { node, site: 0, day: 0, page: 0, hits }
}

fn play(events: &[Event]) {
    in_a_world(async |world| world.play(events).await);
}

/// With a lasting id for a node, the counts of original and copy after the copying replaced each other.
#[test]
fn a_copy_and_its_original_go_on_counting_the_same_page() {
    let publish = |node| Event::Publish { node, what: What::FileForwards, rows: 40 };
    play(&[hits(0, 3), Event::Copy(0), hits(0, 2), hits(2, 2), publish(0), publish(2), hits(0, 1), publish(0)]);
}

/// A restored backup knows less of its last run than Redis; applying the rest is no damage.
#[test]
fn a_restored_backup_applies_the_rest_of_its_own_last_run() {
    let publish = Event::Publish { node: 0, what: What::FileForwards, rows: 40 };
    play(&[hits(0, 3), Event::Backup(0), hits(0, 2), publish, Event::Restore, Event::ApplyRemote(2), hits(2, 1)]);
}

/// With totals and contributions in different keys, the loss of one separated them for ever.
#[test]
fn each_key_is_lost_between_two_publications_of_the_same_run() {
    for lost in 0..KEYS {
        let publish = |what| Event::Publish { node: 0, what, rows: 40 };
        play(&[hits(0, 3), publish(What::FileForwards), Event::Delete(lost), hits(0, 2), publish(What::Recent)]);
    }
}

/// A Redis rolled back to before an import's correction has old rows that are now 0.
#[test]
fn a_rolled_back_redis_has_rows_of_an_import_that_were_taken_back() {
    let import = |again, rows| Event::Import { node: 0, site: 0, again, rows };
    let publish = || Event::Publish { node: 0, what: What::FileForwards, rows: 40 };
    play(&[
        import(false, vec![(0, None, 40), (1, Some(1), -7)]),
        publish(),
        Event::Snapshot,
        import(true, vec![(1, None, 5)]),
        publish(),
        Event::RollBack(1),
        Event::ApplyRemote(0),
        Event::ApplyRemote(1),
    ]);
}

/// A crash after the commit and before the fold: the next start folds it, for the run that counted it.
#[test]
fn a_run_that_was_published_from_memory_crashes_before_it_is_folded() {
    let recent = Event::Publish { node: 0, what: What::Recent, rows: 40 };
    play(&[hits(0, 4), recent, Event::Crash(0), Event::Copy(0), hits(0, 1), Event::FlushAll, Event::Crash(0)]);
}

/// A flag in the file once said that Redis had all of a run, and a Redis that went back had not.
#[test]
fn redis_goes_back_between_two_runs_and_in_one_key_alone() {
    let publish = || Event::Publish { node: 0, what: What::FileForwards, rows: 40 };
    play(&[
        hits(0, 3),
        publish(),
        Event::Snapshot,
        hits(0, 2),
        publish(),
        Event::Crash(0),
        Event::RollBack(1),
        hits(0, 1),
    ]);
    for number in 0..KEYS {
        let back = Event::RollBackKey(1, number);
        play(&[hits(0, 3), publish(), Event::Snapshot, hits(0, 2), publish(), Event::Crash(0), back, Event::Ask(0)]);
    }
}

/// Another node brings the totals of a node that is down, and its pages stay missing until it is up.
#[test]
fn redis_goes_back_while_a_node_is_down_and_another_brings_its_totals() {
    let publish = |node| Event::Publish { node, what: What::FileForwards, rows: 40 };
    let down = |back: usize| {
        [
            hits(0, 3),
            publish(0),
            Event::Snapshot,
            hits(0, 2),
            publish(0),
            Event::ApplyRemote(1),
            Event::Down(0),
            Event::RollBack(back),
            Event::Ask(0),
            Event::Up(0),
        ]
    };
    play(&down(0));
    play(&down(1));
}

/// An import has no total, so no total shows that its old form is back.
#[test]
fn redis_goes_back_behind_a_corrected_and_a_forgotten_import() {
    let import =
        |again, hits| Event::Import { node: 0, site: 0, again, rows: vec![(1, Some(0), hits), (1, None, hits)] };
    let publish = || Event::Publish { node: 0, what: What::FileForwards, rows: 40 };
    play(&[import(false, 50), publish(), Event::Snapshot, import(true, 20), publish(), Event::RollBack(1)]);
    let forget = Event::Forget { node: 0, site: 0 };
    play(&[import(false, 50), publish(), Event::Snapshot, forget, publish(), Event::Down(0), Event::RollBack(1)]);
}

#[test]
fn a_site_is_dropped_and_has_its_counts_in_redis_once_it_is_back() {
    let toggle = || Event::Toggle { node: 0, site: 0 };
    let publish = Event::Publish { node: 0, what: What::FileForwards, rows: 40 };
    play(&[hits(0, 3), toggle(), publish, Event::Fold(0), toggle(), hits(0, 1)]);
}
