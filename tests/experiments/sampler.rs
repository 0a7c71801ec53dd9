//! Public figures, sampled all the time: none is below what the asked node has acknowledged or shown, and none above
//! what was sent.

use std::collections::{HashMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use thongke::counter::Day;

use crate::book::{Book, Counted, Counter, counters_of};
use crate::host::SITE_IDS;

/// Pause between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(200);
/// Age of answers about pages and histories: each worker makes its own once a second.
const SHARED_FOR: Duration = Duration::from_secs(2);
/// A node writes the figures that it has shown of others every five seconds, while it runs: a kill may lose the last ones.
const UNWRITTEN_FOR: Duration = Duration::from_secs(10);
const FAULTS_MAX: usize = 20;

/// A node's address, empty while it is down, and what it has acknowledged and shown.
pub type Door = Arc<Watch>;

#[derive(Debug)]
pub struct Watch {
    address: RwLock<Option<String>>,
    /// Starts and ends of the node.
    turns: AtomicUsize,
    acknowledged: Mutex<Floor>,
    shown: Mutex<Shown>,
    /// Pages of site a that are asked about.
    pages: Mutex<Vec<String>>,
    book: Mutex<Option<Arc<Book>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_over: AtomicBool,
    answers: AtomicUsize,
    faults: Mutex<Vec<String>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            address: RwLock::default(),
            turns: AtomicUsize::default(),
            acknowledged: Mutex::default(),
            shown: Mutex::default(),
            pages: Mutex::new(["/1", "/2", "/7"].map(str::to_owned).to_vec()),
            book: Mutex::default(),
            thread: Mutex::default(),
            is_over: AtomicBool::default(),
            answers: AtomicUsize::default(),
            faults: Mutex::default(),
        }
    }
}

/// The most that was shown of each counter, the last times with the age of the node then.
#[derive(Debug, Default)]
struct Shown {
    rises: HashMap<Counter, VecDeque<(Duration, i64)>>,
    /// Time in which the node has answered.
    age: Duration,
    last_answer: Option<Instant>,
}

impl Shown {
    fn note_answer(&mut self) {
        let now = Instant::now();
        let since_last = self.last_answer.replace(now).map_or(Duration::ZERO, |last| now - last);
        // A node that is suspended writes nothing.
        self.age += since_last.min(4 * PAUSE);
    }

    fn note(&mut self, counter: &Counter, figure: i64) {
        let rises = self.rises.entry(counter.clone()).or_default();
        if rises.back().is_none_or(|(_, shown)| figure > *shown) {
            rises.push_back((self.age, figure));
        }
        // The newest that the file must have, and all later ones.
        while rises.get(1).is_some_and(|(age, _)| *age + UNWRITTEN_FOR < self.age) {
            rises.pop_front();
        }
    }

    /// Forgets what the node need not know after its end.
    fn end(&mut self, is_killed: bool) {
        self.rises.retain(|counter, _| counter.page.is_none());
        if is_killed {
            for rises in self.rises.values_mut() {
                rises.retain(|(age, _)| *age + UNWRITTEN_FOR < self.age);
            }
        }
        self.last_answer = None;
    }
}

/// The least that each counter may show.
type Floor = HashMap<Counter, i64>;

type Answer = Vec<(Counter, i64)>;

impl Watch {
    pub fn address(&self) -> Option<String> {
        self.address.read().unwrap().clone()
    }

    pub fn open(&self, address: &str) {
        self.turns.fetch_add(1, Ordering::SeqCst);
        *self.address.write().unwrap() = Some(address.to_owned());
    }

    /// The node is about to end.
    pub fn close(&self, is_killed: bool) {
        *self.address.write().unwrap() = None;
        self.turns.fetch_add(1, Ordering::SeqCst);
        self.shown.lock().unwrap().end(is_killed);
    }

    /// Notes a hit that the node has acknowledged.
    pub fn acknowledged(&self, site: &str, page: &str, zone: Tz, sent: DateTime<Utc>, done: DateTime<Utc>) {
        let [first, last] = [sent, done].map(|at| counters_of(site, page, Day::at(at, zone)));
        let pages = self.pages.lock().unwrap();
        let is_asked = |counter: &Counter| counter.page.as_ref().is_none_or(|page| pages.contains(page));
        let mut acknowledged = self.acknowledged.lock().unwrap();
        for counter in first.into_iter().filter(|counter| last.contains(counter) && is_asked(counter)) {
            *acknowledged.entry(counter).or_default() += 1;
        }
    }

    /// Notes counts that the node has before the book begins.
    pub fn has_before(&self, counted: &Counted) {
        let pages = self.pages.lock().unwrap();
        let is_asked = |counter: &Counter| counter.page.as_ref().is_none_or(|page| pages.contains(page));
        let asked = counted.iter().filter(|(counter, _)| is_asked(counter));
        *self.acknowledged.lock().unwrap() = asked.map(|(counter, hits)| (counter.clone(), *hits)).collect();
    }

    /// Asks about this page of site a too.
    pub fn ask_about(&self, page: &str) {
        self.pages.lock().unwrap().push(page.to_owned());
    }

    /// Number of answers so far.
    pub fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    /// Samples the node's figures from now on, beside this book.
    pub fn sample(self: &Arc<Self>, book: &Arc<Book>) {
        *self.book.lock().unwrap() = Some(Arc::clone(book));
        self.thread.lock().unwrap().get_or_insert_with(|| {
            let watch = Arc::clone(self);
            std::thread::spawn(move || watch.run())
        });
    }

    /// Ends sampling; returns the wrong figures, in words.
    pub fn end(&self) -> Vec<String> {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.lock().unwrap().take() {
            println!("{} answers were sampled", self.answers());
            if thread.join().is_err() {
                return vec!["the sampler has panicked".to_owned()];
            }
        }
        self.faults.lock().unwrap().clone()
    }

    fn run(&self) {
        // Floors of some times ago, for answers that were made before they were asked for.
        let mut floors: VecDeque<(Instant, Floor)> = VecDeque::new();
        let mut steps = ["day", "month", "year"].into_iter().cycle();
        while !self.is_over.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSE);
            let turn = self.turns.load(Ordering::SeqCst);
            let Some(address) = self.address() else {
                floors.clear();
                continue;
            };
            let ask_now = |path: &str, floor: &Floor, read: &dyn Fn(&Value) -> Option<Answer>| {
                if let Some(answer) = ask(&address, path).as_ref().and_then(read) {
                    self.compare(turn, path, floor, answer);
                }
            };
            for site in SITE_IDS {
                let path = format!("/v1/sites/{site}/figures?figures=today,month,year,total");
                ask_now(&path, &self.floor(), &|answer| figures(site, answer));
            }
            while floors.get(1).is_some_and(|(at, _)| at.elapsed() >= SHARED_FOR) {
                floors.pop_front();
            }
            let none = Floor::new();
            let before = floors.front().filter(|(at, _)| at.elapsed() >= SHARED_FOR).map_or(&none, |(_, floor)| floor);
            // One kind of history in each round, to leave the machine to the others.
            let by = steps.next().unwrap_or_default();
            for site in SITE_IDS {
                let path = format!("/v1/sites/{site}/history?by={by}&last=2");
                ask_now(&path, before, &|answer| history(site, answer));
            }
            let pages = self.pages.lock().unwrap().clone();
            let urls: String = pages.iter().map(|page| format!("&url={page}")).collect();
            let path = format!("/v1/sites/a/pages/figures?figures=today,month,total{urls}");
            ask_now(&path, before, &|answer| of_pages(&pages, answer));
            floors.push_back((Instant::now(), self.floor()));
        }
    }

    /// The least of each counter that the node may show now.
    fn floor(&self) -> Floor {
        let mut floor = self.acknowledged.lock().unwrap().clone();
        for (counter, rises) in &self.shown.lock().unwrap().rises {
            let shown = rises.back().map_or(0, |(_, figure)| *figure);
            let least = floor.entry(counter.clone()).or_default();
            *least = shown.max(*least);
        }
        floor
    }

    /// Compares an answer with the floor of before its question, and with what has been sent since.
    fn compare(&self, turn: usize, path: &str, floor: &Floor, answer: Answer) {
        let Some(book) = self.book.lock().unwrap().clone() else { return };
        let mut shown = self.shown.lock().unwrap();
        // The node may have ended amid the answer.
        if self.turns.load(Ordering::SeqCst) != turn {
            return;
        }
        self.answers.fetch_add(1, Ordering::Relaxed);
        shown.note_answer();
        for (counter, figure) in answer {
            let (least, most) = (floor.get(&counter).copied().unwrap_or(0), book.most(&counter));
            if !(least..=most).contains(&figure) {
                let of = shown.rises.get(&counter);
                let mut faults = self.faults.lock().unwrap();
                if faults.len() < FAULTS_MAX {
                    faults.push(format!("{path}: {counter:?}: {figure}, not {least} to {most}; shown before: {of:?}"));
                }
            }
            shown.note(&counter, figure);
        }
    }
}

/// The answer to a public question; none without a whole one.
fn ask(address: &str, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    // Sites may go.
    assert!(!head.starts_with("HTTP/1.1 400"), "{path}: {text}");
    serde_json::from_str(body).ok()
}

/// Figures of the moment at which the node made them.
fn keyed(site: &str, page: Option<&str>, as_of: &Value, figures: &Value) -> Option<Answer> {
    let as_of = as_of.as_str()?;
    let counter = |figure: &Value| {
        let period = match figure["key"].as_str()? {
            "today" => &as_of[..10],
            "month" => &as_of[..7],
            "year" => &as_of[..4],
            key => key,
        };
        let page = page.map(str::to_owned);
        Some((Counter { site: site.to_owned(), period: period.to_owned(), page }, figure["value"].as_i64()?))
    };
    figures.as_array()?.iter().map(counter).collect()
}

fn figures(site: &str, answer: &Value) -> Option<Answer> {
    keyed(site, None, &answer["as_of"], &answer["figures"])
}

fn history(site: &str, answer: &Value) -> Option<Answer> {
    let counter = |line: &Value| {
        let period = line["period"].as_str()?.to_owned();
        Some((Counter { site: site.to_owned(), period, page: None }, line["value"].as_i64()?))
    };
    answer["history"].as_array()?.iter().map(counter).collect()
}

fn of_pages(pages: &[String], answer: &Value) -> Option<Answer> {
    let found = answer["pages"].as_array()?.iter().zip(pages);
    let figures = found.map(|(of, page)| keyed("a", Some(page), &answer["as_of"], &of["figures"]));
    figures.collect::<Option<Vec<_>>>().map(|all| all.concat())
}

#[test]
fn the_sampler_finds_a_figure_that_falls_and_one_that_is_more_than_was_sent() {
    let (watch, book) = (Watch::default(), Arc::new(Book::default()));
    *watch.book.lock().unwrap() = Some(Arc::clone(&book));
    let (zone, at) = (Tz::UTC, "2024-06-17T05:00:00Z".parse().unwrap());
    for _ in 0..3 {
        book.begin("a", "/1", zone, at);
    }
    watch.acknowledged("a", "/1", zone, at, at);
    let total = || Counter { site: "a".to_owned(), period: "total".to_owned(), page: None };
    let faults = |figure| {
        watch.compare(watch.turns.load(Ordering::SeqCst), "", &watch.floor(), vec![(total(), figure)]);
        std::mem::take(&mut *watch.faults.lock().unwrap()).len()
    };
    assert_eq!([0, 1, 2, 3, 2, 4].map(faults), [1, 0, 0, 0, 1, 1]);
    // A clean stop keeps what was shown, and a kill at least what was acknowledged.
    watch.close(false);
    assert_eq!(watch.floor()[&total()], 4);
    watch.close(true);
    assert_eq!(watch.floor()[&total()], 1);
}
