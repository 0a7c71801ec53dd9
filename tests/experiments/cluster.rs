use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use redis::cluster::ClusterClient;

use crate::book::{Book, Counted};
use crate::host::{Host, PATIENCE, SITE_IDS, until_right};
use crate::length::{dice, seconds};
use crate::load::{Load, Plan};
use crate::node::until;
use crate::redis_server::{RedisServer, counted};

/// Three primaries, then a replica of each.
struct Cluster {
    servers: Vec<RedisServer>,
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
        until("the cluster is whole", PATIENCE, || {
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

    /// Nothing while a shard is away.
    fn counted(&self) -> Option<Counted> {
        let seeds: Vec<String> = self.servers.iter().map(RedisServer::url).collect();
        let client = ClusterClient::new(seeds).ok()?;
        let mut all = Counted::new();
        for site in SITE_IDS {
            let key = format!("thongke:{{{site}}}:hits");
            // KEYS, by which pages are found, asks one server: the one that has the site.
            let mut connection = client.get_connection().ok()?;
            let slot: u16 =
                redis::cmd("CLUSTER").arg("KEYSLOT").arg(&key).query(&mut self.live()?.connect().ok()?).ok()?;
            let owner = self.owner(slot)?;
            let _: i64 = redis::cmd("EXISTS").arg(&key).query(&mut connection).ok()?;
            all.extend(counted(&[site], &mut owner.connect().ok()?).ok()?);
        }
        Some(all)
    }

    fn live(&self) -> Option<&RedisServer> {
        self.servers.iter().find(|server| server.connect().is_ok())
    }

    /// Who serves a slot, as all but the dead see it.
    fn owner(&self, slot: u16) -> Option<&RedisServer> {
        let shards: Vec<(u16, u16, (String, u16))> = self.slots()?;
        let (_, _, (_, port)) = shards.into_iter().find(|(first, last, _)| (*first..=*last).contains(&slot))?;
        self.servers.iter().find(|server| server.port == port)
    }

    fn slots(&self) -> Option<Vec<(u16, u16, (String, u16))>> {
        let mut connection = self.live()?.connect().ok()?;
        let shards: Vec<Vec<redis::Value>> = redis::cmd("CLUSTER").arg("SLOTS").query(&mut connection).ok()?;
        let shard = |shard: &Vec<redis::Value>| {
            let number = |at: usize| redis::from_redis_value_ref::<u16>(&shard[at]).ok();
            let redis::Value::Array(primary) = &shard[2] else { return None };
            let host = redis::from_redis_value_ref(&primary[0]).ok()?;
            Some((number(0)?, number(1)?, (host, redis::from_redis_value_ref(&primary[1]).ok()?)))
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
    // The primary that has site a's keys, so that the failover matters.
    let slot: u16 = cluster.servers[0].ask(&["CLUSTER", "KEYSLOT", "thongke:{a}:hits"]);
    let killed = cluster.owner(slot).unwrap().port;
    let killed = cluster.servers.iter().position(|server| server.port == killed).unwrap();
    cluster.servers[killed].kill();
    let begun = Instant::now();
    let others = || cluster.owner(slot).is_some_and(|owner| owner.port != cluster.servers[killed].port);
    until("a replica has taken over", PATIENCE, others);
    println!("failover after {:?}", begun.elapsed());
    std::thread::sleep(seconds(1, 10));
    // Now its successor too: the slot is away until one of them is back.
    let successor = cluster.owner(slot).unwrap().port;
    let successor = cluster.servers.iter().position(|server| server.port == successor).unwrap();
    cluster.servers[successor].signal("STOP");
    std::thread::sleep(seconds(2, 20));
    cluster.servers[successor].signal("CONT");
    cluster.servers[killed].start_again();
    std::thread::sleep(Duration::from_millis(dice.random_range(0..500)));
    load.stop();
    let took = until_right("the cluster", PATIENCE * 2, || match cluster.counted() {
        Some(counted) => book.faults(&SITE_IDS, &counted),
        None => vec!["a shard is away".to_owned()],
    });
    println!("right {took:?} after the last hit; {:?}", book.results());
    assert!(book.results().acknowledged > 100 && book.results().doubtful() == 0, "{:?}", book.results());
    host.stop();
    book.holds_in("the files", &SITE_IDS, &host.export());
}
