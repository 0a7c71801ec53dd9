use std::ops::RangeInclusive;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;

use crate::book::{Book, Counted};
use crate::host::{Host, SITE_IDS, TIMEOUT, until_right};
use crate::length::{dice, seconds};
use crate::load::{Load, Plan};
use crate::node::until;
use crate::redis_server::{RedisServer, counted};

/// Three primaries, then a replica of each.
struct Cluster {
    servers: Vec<RedisServer>,
}

/// A range of slots and the port of the primary that serves it.
struct Shard {
    slots: RangeInclusive<u16>,
    primary: u16,
}

impl Cluster {
    fn start() -> Self {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--appendonly", "no"];
        let servers: Vec<_> = (0..6).map(|_| RedisServer::start_with(&options)).collect();
        let addresses = servers.iter().map(|server| format!("127.0.0.1:{}", server.port));
        let output = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Self { servers };
        let follows = |server: &RedisServer| {
            let info: String = server.ask(&["INFO", "replication"]);
            info.contains("role:slave") && info.contains("master_link_status:up")
        };
        until("the replicas follow", TIMEOUT, || cluster.servers.iter().filter(|server| follows(server)).count() == 3);
        until("the cluster is complete", TIMEOUT, || {
            cluster.servers.iter().all(|server| {
                let info: String = server.ask(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6")
            })
        });
        cluster
    }

    fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{}", self.servers[0].port)
    }

    /// The total in all shards; none while a shard is away.
    fn counted(&self) -> Option<Counted> {
        let mut all = Counted::new();
        for site in SITE_IDS {
            let key = format!("thongke:{{{site}}}:hits");
            // KEYS, which finds the pages, asks one server: the site's.
            let key_slot = &["CLUSTER", "KEYSLOT", &key];
            let owner = self.owner(self.live()?.ask(key_slot))?;
            all.extend(counted(&[site], &mut owner.connect().ok()?).ok()?);
        }
        Some(all)
    }

    fn live(&self) -> Option<&RedisServer> {
        self.servers.iter().find(|server| server.connect().is_ok())
    }

    /// The server of a slot, as all living members see it.
    fn owner(&self, slot: u16) -> Option<&RedisServer> {
        let shard = self.slots()?.into_iter().find(|shard| shard.slots.contains(&slot))?;
        self.servers.iter().find(|server| server.port == shard.primary)
    }

    fn slots(&self) -> Option<Vec<Shard>> {
        let mut connection = self.live()?.connect().ok()?;
        let shards: Vec<Vec<redis::Value>> = redis::cmd("CLUSTER").arg("SLOTS").query(&mut connection).ok()?;
        let shard = |shard: &Vec<redis::Value>| {
            let number = |value| redis::from_redis_value_ref::<u16>(value).ok();
            let redis::Value::Array(primary) = &shard[2] else { return None };
            Some(Shard { slots: number(&shard[0])?..=number(&shard[1])?, primary: number(&primary[1])? })
        };
        shards.iter().map(shard).collect()
    }
}

#[test]
fn a_cluster_whose_primaries_are_killed_and_whose_slots_are_away_for_a_time_ends_with_the_right_counts() {
    let mut dice = dice("a cluster");
    let mut cluster = Cluster::start();
    let mut host = Host::new(Some(&cluster.url()));
    host.start();
    let book: Arc<Book> = Arc::default();
    let load = Load::start(&book, &[host.door()], &Plan::default(), &mut dice);
    std::thread::sleep(seconds(1, 10));
    // The primary of site a's keys, so that the failover matters.
    let slot: u16 = cluster.servers[0].ask(&["CLUSTER", "KEYSLOT", "thongke:{a}:hits"]);
    let killed = cluster.owner(slot).unwrap().port;
    let killed = cluster.servers.iter().position(|server| server.port == killed).unwrap();
    cluster.servers[killed].kill();
    let begun = Instant::now();
    let others = || cluster.owner(slot).is_some_and(|owner| owner.port != cluster.servers[killed].port);
    until("a replica has taken over", TIMEOUT, others);
    println!("failover after {:?}", begun.elapsed());
    std::thread::sleep(seconds(1, 10));
    // Its successor too: the slot is away until one of them is back.
    let successor = cluster.owner(slot).unwrap().port;
    let successor = cluster.servers.iter().position(|server| server.port == successor).unwrap();
    cluster.servers[successor].signal("STOP");
    std::thread::sleep(seconds(2, 20));
    cluster.servers[successor].signal("CONT");
    cluster.servers[killed].start_again();
    std::thread::sleep(Duration::from_millis(dice.random_range(0..500)));
    load.stop();
    let took = until_right("the cluster", TIMEOUT * 2, || match cluster.counted() {
        Some(counted) => book.faults(&SITE_IDS, &counted),
        None => vec!["a shard is away".to_owned()],
    });
    println!("right {took:?} after the last hit; {:?}", book.results());
    assert!(book.results().acknowledged > 100 && book.results().doubtful() == 0, "{:?}", book.results());
    host.stop();
    book.holds_in("the files", &SITE_IDS, &host.export());
}

impl Cluster {
    /// Moves a slot with its keys in batches, as an operator's tool does.
    fn move_slot(&self, slot: u16, to: &RedisServer) {
        let from = self.owner(slot).unwrap();
        if from.port == to.port {
            return;
        }
        let id = |server: &RedisServer| server.ask::<String>(&["CLUSTER", "MYID"]);
        let (slot, old, new, port) = (slot.to_string(), id(from), id(to), to.port.to_string());
        to.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &old]);
        from.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &new]);
        // The slot is split between two servers for a while; a script over several keys fails then.
        loop {
            let keys: Vec<String> = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"]);
            let Some(key) = keys.first() else { break };
            from.ask::<redis::Value>(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
            std::thread::sleep(Duration::from_millis(100));
        }
        for server in [to, from] {
            server.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &new]);
        }
    }
}

#[test]
fn slots_that_move_all_the_time_while_pages_are_created_lose_and_repeat_nothing() {
    let mut dice = dice("moving slots");
    let cluster = Cluster::start();
    let mut host = Host::new(Some(&cluster.url()));
    host.start();
    let book: Arc<Book> = Arc::default();
    let load = Load::start(&book, &[host.door()], &Plan { pages: 5_000, ..Plan::default() }, &mut dice);
    let begun = Instant::now();
    let mut moves = 0;
    while begun.elapsed() < seconds(5, 60) {
        std::thread::sleep(Duration::from_millis(300));
        for site in SITE_IDS {
            let slot = cluster.servers[0].ask(&["CLUSTER", "KEYSLOT", &format!("{{{site}}}")]);
            cluster.move_slot(slot, &cluster.servers[dice.random_range(0..3)]);
            moves += 1;
        }
    }
    load.stop();
    let took = until_right("the cluster", TIMEOUT * 2, || match cluster.counted() {
        Some(counted) => book.faults(&SITE_IDS, &counted),
        None => vec!["a shard is away".to_owned()],
    });
    println!("{moves} moves, right {took:?} after the last hit; {:?}", book.results());
    assert!(book.results().acknowledged > 100 && book.results().doubtful() == 0, "{:?}", book.results());
    host.stop();
    book.holds_in("the files", &SITE_IDS, &host.export());
}
