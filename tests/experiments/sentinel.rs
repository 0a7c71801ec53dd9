use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::book::Book;
use crate::host::{Host, SITE_IDS, TIMEOUT, until_right};
use crate::length::{dice, seconds};
use crate::load::{Load, Plan};
use crate::node::until;
use crate::port::free_port;
use crate::redis_server::RedisServer;

/// One Sentinel, which decides alone.
struct Sentinel {
    child: Child,
    port: u16,
    _files: TempDir,
}

impl Sentinel {
    fn watching(primary: u16) -> Self {
        let (port, files) = (free_port(), TempDir::new().unwrap());
        let file = files.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor counts 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds counts 500\nsentinel failover-timeout counts 3000\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("redis-server");
        let child = command.arg(&file).arg("--sentinel").stdout(Stdio::null()).spawn().unwrap();
        Self { child, port, _files: files }
    }

    fn ask(&self, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut request = redis::cmd("SENTINEL");
        request
            .arg(command)
            .query(&mut redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?.get_connection()?)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_promoted_replica_that_is_behind_is_brought_up_to_date() {
    let mut dice = dice("a lossy failover");
    let mut primary = RedisServer::start();
    let replica = RedisServer::start();
    replica.ask::<()>(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    until("the replica follows", TIMEOUT, || {
        replica.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up")
    });
    let sentinel = Sentinel::watching(primary.port);
    let knows_the_replica = || {
        sentinel
            .ask(&["REPLICAS", "counts"])
            .is_ok_and(|answer| format!("{answer:?}").contains(&replica.port.to_string()))
    };
    until("Sentinel knows the replica", TIMEOUT, knows_the_replica);
    let mut host = Host::new(Some(&format!("redis+sentinel://127.0.0.1:{}/counts", sentinel.port)));
    host.start();
    let book: Arc<Book> = Arc::default();
    let load = Load::start(&book, &[host.door()], &Plan::default(), &mut dice);
    std::thread::sleep(seconds(1, 10));
    // The replica stops following: later confirmations never reach it.
    primary.ask::<()>(&["ACL", "SETUSER", "default", "-psync", "-sync"]);
    primary.ask::<i64>(&["CLIENT", "KILL", "TYPE", "replica"]);
    std::thread::sleep(seconds(2, 3));
    let total = |server: &RedisServer| server.ask::<Option<i64>>(&["HGET", "thongke:{a}:hits", "total"]);
    let (confirmed, followed) = (total(&primary), total(&replica));
    assert!(followed < confirmed, "the replica has {followed:?} of {confirmed:?}");
    primary.kill();
    let begun = Instant::now();
    // Sentinel closes the replica's connections when it promotes it.
    let replication =
        || -> redis::RedisResult<String> { redis::cmd("INFO").arg("replication").query(&mut replica.connect()?) };
    until("the replica is promoted", TIMEOUT, || replication().is_ok_and(|info| info.contains("role:master")));
    let promoted = Instant::now();
    println!("promoted after {:?}", begun.elapsed());
    std::thread::sleep(Duration::from_millis(500));
    load.stop();
    until_right("the promoted Redis", TIMEOUT, || book.faults(&SITE_IDS, &replica.counted()));
    println!("right {:?} after promotion; {:?}", promoted.elapsed(), book.results());
    assert!(host.metric("thongke_redis_regressions_total") > 0.5, "it was noticed");
    assert_eq!(book.results().doubtful(), 0);
    host.stop();
    book.holds_in("the promoted Redis after a stop", &SITE_IDS, &replica.counted());
    book.holds_in("the files", &SITE_IDS, &host.export());
}
