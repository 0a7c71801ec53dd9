use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tempfile::TempDir;

use crate::book::Book;
use crate::host::{Host, SITE_IDS, TIMEOUT, until_right};
use crate::length::{dice, either};
use crate::load::{Load, Plan};
use crate::node::until;
use crate::redis_server::RedisServer;

/// A machine's disk: an ext4 file system in an image, mounted through a loop device.
struct Machine {
    files: TempDir,
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        other => Err(format!("{command:?}: {other:?}")),
    }
}

impl Machine {
    /// None where mounting is not allowed.
    fn start() -> Option<Self> {
        let machine = Self { files: TempDir::new().unwrap() };
        std::fs::create_dir(machine.path()).unwrap();
        std::fs::File::create(machine.image()).unwrap().set_len(128 << 20).unwrap();
        // Initialised at once: the kernel writes nothing later on its own account.
        let options = ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        let made = run(Command::new("mkfs.ext4").args(options).arg(machine.image()));
        match made.and_then(|()| machine.mount()) {
            Ok(()) => Some(machine),
            Err(reason) => {
                println!("SKIPPED, since an image can't be mounted here: {reason}");
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.files.path().join("disk")
    }

    fn image(&self) -> PathBuf {
        self.files.path().join("image")
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()))
    }

    fn unmount(&self) -> Result<(), String> {
        run(Command::new("umount").arg(self.path()))
    }

    /// The disk's content at one moment, while no program writes to it: what the kernel has not written is missing.
    fn content(&self) -> PathBuf {
        let [first, second] = ["first", "second"].map(|name| self.files.path().join(name));
        let copy = |to: &Path| std::fs::copy(self.image(), to).unwrap();
        let is_same = || run(Command::new("cmp").arg("-s").arg(&first).arg(&second)).is_ok();
        copy(&first);
        // The kernel may have written amid a copy.
        until("the disk is quiet", TIMEOUT, || {
            copy(&second);
            let is_quiet = is_same();
            std::fs::rename(&second, &first).unwrap();
            is_quiet
        });
        first
    }

    /// Goes on from a content of the disk.
    fn boot(&self, content: &Path) {
        self.unmount().unwrap();
        std::fs::rename(content, self.image()).unwrap();
        self.mount().unwrap();
    }

    /// Redis on this disk. It syncs each second, so a cut takes it back, and may tear its last write.
    fn redis(&self) -> RedisServer {
        let directory = self.path().join("redis");
        std::fs::create_dir_all(&directory).unwrap();
        let manifest = directory.join("appendonlydir/appendonly.aof.manifest");
        if manifest.exists() {
            // As its operator does if it refuses to start.
            let fix = r#"yes | redis-check-aof --fix "$0""#;
            run(Command::new("sh").args(["-c", fix]).arg(manifest)).unwrap();
        }
        let persistence = ["--appendonly", "yes", "--appendfsync", "everysec", "--dir", directory.to_str().unwrap()];
        RedisServer::start_with(&persistence)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(self.path()));
    }
}

#[test]
fn after_a_power_cut_of_node_and_redis_each_acknowledged_hit_stands_once() {
    let mut dice = dice("a machine's power");
    let Some(machine) = Machine::start() else { return };
    let mut redis = machine.redis();
    let mut host = Host::with_data(TempDir::new().unwrap(), machine.path().join("data"), Some(&redis.url()));
    let book: Arc<Book> = Arc::default();
    for cut in 1..=either(3, 40) {
        host.configure(Some(&redis.url()));
        host.start();
        let load = Load::start(&book, &[host.door()], &Plan { pages: 100, ..Plan::default() }, &mut dice);
        let acknowledged = book.results().acknowledged;
        until("it counts", TIMEOUT, || book.results().acknowledged > acknowledged + 50);
        std::thread::sleep(Duration::from_millis(dice.random_range(0..2_000)));
        // Both stand still, so the copy is of one moment. They never go on.
        host.node().signal("STOP");
        redis.signal("STOP");
        let content = machine.content();
        host.kill();
        redis.kill();
        load.stop();
        machine.boot(&content);
        book.holds_in(&format!("the files after cut {cut}"), &SITE_IDS, &host.copy(None).export());
        redis = machine.redis();
        println!("cut {cut}: {:?}", book.results());
    }
    host.configure(Some(&redis.url()));
    host.start();
    book.holds_in("the node", &SITE_IDS, &host.export());
    until_right("Redis", TIMEOUT, || book.faults(&SITE_IDS, &redis.counted()));
    host.stop();
    redis.kill();
}
