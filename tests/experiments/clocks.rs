use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use rand::rngs::StdRng;
use thongke::counter::Day;

use crate::book::{Book, Counted};
use crate::host::{Host, SITE_IDS, SITES, TIMEOUT, until_right};
use crate::length::dice;
use crate::load::{Load, Plan};
use crate::node::{PROGRAM, until};
use crate::redis_server::RedisServer;

/// Longer than a test takes.
const NEVER: Duration = Duration::from_secs(3_600);

/// A node with a clock of its own, which a test can set while it runs.
struct Clocked {
    host: Host,
    setting: PathBuf,
    /// Time that the program uses a setting before it reads it again.
    reread_after: Duration,
    book: Arc<Book>,
    ahead: TimeDelta,
}

impl Clocked {
    fn at(moment: &str, reread_after: Duration) -> Self {
        Self::with_redis(moment, reread_after, None)
    }

    fn with_redis(moment: &str, reread_after: Duration, redis: Option<&str>) -> Self {
        let host = Host::new(redis);
        std::fs::create_dir_all(host.data()).unwrap();
        let setting = host.data().with_extension("clock");
        let mut clocked = Self { host, setting, reread_after, book: Arc::default(), ahead: TimeDelta::zero() };
        clocked.set(moment.parse::<DateTime<Utc>>().unwrap() - Utc::now());
        clocked.start();
        clocked
    }

    fn start(&mut self) {
        let library = std::fs::read_dir("/usr/lib")
            .unwrap()
            .map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"))
            .find(|path| path.exists())
            .expect("libfaketime, of Debian's package faketime");
        // The `faketime` command would take the node's signals, so the library is preloaded.
        // The program rereads the setting seldom. While one thread rereads it, another may get the real time,
        // and its hit the real day.
        let mut command = Command::new(PROGRAM);
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.setting);
        command
            .env("FAKETIME_CACHE_DURATION", self.reread_after.as_secs().to_string())
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        self.host.start_as(command);
    }

    fn set(&mut self, ahead: TimeDelta) {
        self.ahead = TimeDelta::seconds(ahead.num_seconds());
        let unfinished = self.setting.with_extension("new");
        std::fs::write(&unfinished, format!("{:+}\n", self.ahead.num_seconds())).unwrap();
        std::fs::rename(&unfinished, &self.setting).unwrap();
    }

    /// Waits until the node uses the time that its clock was set to.
    fn shows_its_time(&self) -> bool {
        let figures = self.host.node().get("/v1/sites/a/figures").json();
        let shown: DateTime<chrono::FixedOffset> = figures["as_of"].as_str().unwrap().parse().unwrap();
        (shown.to_utc() - (Utc::now() + self.ahead)).num_seconds().abs() < 60
    }

    fn load(&self, dice: &mut StdRng) -> Load {
        let plan =
            Plan { clients: 2, pause: Duration::from_millis(8), pages: 50, ahead: self.ahead, ..Plan::default() };
        Load::start(&self.book, &[self.host.door()], &plan, dice)
    }

    fn holds(&mut self, what: &str) {
        self.book.holds_in(what, &SITE_IDS, &self.host.export());
        self.host.kill();
        // Folded by another run, after the day of the hits.
        self.start();
        self.book.holds_in(what, &SITE_IDS, &self.host.export());
        self.host.stop();
        assert!(self.book.results().acknowledged > 20, "{what}: {:?}", self.book.results());
        assert_eq!(self.book.results().doubtful(), 0, "{what}");
    }
}

#[test]
fn each_hit_belongs_to_the_local_day_of_its_moment_at_the_ends_of_days_months_years_and_summer() {
    let mut dice = dice("ends of days");
    let moments = [
        ("a month ends in Ha Noi", "2024-06-30T17:00:00Z"),
        ("a leap day begins in Ha Noi", "2024-02-28T17:00:00Z"),
        ("a year ends in Berlin", "2024-12-31T23:00:00Z"),
        ("the last night of winter begins in Berlin", "2024-03-30T23:00:00Z"),
        ("summer time begins in Berlin", "2024-03-31T01:00:00Z"),
        ("summer time ends in Berlin", "2024-10-27T01:00:00Z"),
        ("the first day of winter ends in Berlin", "2024-10-27T23:00:00Z"),
    ];
    let two = TimeDelta::seconds(2);
    let before = |moment: &str| (moment.parse::<DateTime<Utc>>().unwrap() - two).to_rfc3339();
    let mut all: Vec<_> = moments.iter().map(|(what, moment)| (what, Clocked::at(&before(moment), NEVER))).collect();
    let loads: Vec<_> = all.iter().map(|(_, clocked)| clocked.load(&mut dice)).collect();
    // Each was some moments from its end at the last start; all are well past it now.
    std::thread::sleep(Duration::from_secs(5));
    let deadline = Instant::now() + TIMEOUT;
    while all.iter().any(|(_, clocked)| clocked.book.results().acknowledged <= 20) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    loads.into_iter().for_each(Load::stop);
    for (what, clocked) in &mut all {
        clocked.holds(what);
    }
}

#[test]
fn hits_of_before_midnight_that_are_published_after_it_belong_to_their_day() {
    let mut dice = dice("published after midnight");
    // Ha Noi's last midnight. Redis's clock is the real one, so nothing of the day before has expired.
    let (_, zone) = SITES[0];
    let today = Day::at(Utc::now(), zone);
    let midnight = (1..=24 * 60).map(|minutes| Utc::now() - TimeDelta::minutes(minutes));
    let before = midnight.into_iter().find(|at| Day::at(*at, zone) < today).unwrap();
    let midnight = (before + TimeDelta::minutes(1)).duration_trunc(TimeDelta::minutes(1)).unwrap();
    let mut redis = RedisServer::start();
    let starts_at = (midnight - TimeDelta::seconds(8)).to_rfc3339();
    let mut clocked = Clocked::with_redis(&starts_at, NEVER, Some(&redis.url()));
    redis.kill();
    let load = clocked.load(&mut dice);
    let counts = |day: Day, counted: &Counted| {
        counted.keys().any(|counter| counter.site == SITES[0].0 && counter.period == day.to_string())
    };
    until("hits of the day before", TIMEOUT, || counts(today.previous(), &clocked.host.export()));
    until("hits of the next day", TIMEOUT, || counts(today, &clocked.host.export()));
    load.stop();
    redis.start_again();
    until_right("Redis", TIMEOUT, || clocked.book.faults(&SITE_IDS, &redis.counted()));
    assert!(counts(today.previous(), &redis.counted()));
    clocked.holds("published after midnight");
    clocked.book.holds_in("Redis after a stop", &SITE_IDS, &redis.counted());
}

#[test]
fn a_clock_that_jumps_back_or_ahead_takes_hits_where_it_stands_and_loses_none() {
    let mut dice = dice("jumps");
    let mut clocked = Clocked::at("2024-06-17T16:59:30Z", Duration::from_secs(1));
    let jumps = [
        TimeDelta::zero(),
        TimeDelta::hours(-1),
        TimeDelta::hours(1),
        TimeDelta::days(1),
        TimeDelta::days(-1),
        TimeDelta::days(200),
        TimeDelta::days(-400),
    ];
    for jump in jumps {
        clocked.set(clocked.ahead + jump);
        // The program rereads the setting by then. The test asks for the time before hits arrive: a thread
        // that asks during the rereading may get the old one.
        std::thread::sleep(2 * clocked.reread_after);
        until("the node goes by its new clock", TIMEOUT, || clocked.shows_its_time());
        let load = clocked.load(&mut dice);
        std::thread::sleep(Duration::from_millis(400));
        load.stop();
    }
    clocked.holds("after all jumps");
}
