use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::book::{Book, Outcome};
use crate::host::SITES;
pub use crate::sampler::Door;

#[derive(Debug, Clone)]
pub struct Plan {
    pub clients: u64,
    /// Each client's pause between two hits.
    pub pause: Duration,
    /// Number of pages; the first ones are hit most.
    pub pages: u32,
    /// The nodes' clock minus the real one.
    pub ahead: TimeDelta,
    /// True if nodes may not have the site.
    pub sites_go: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { clients: 6, pause: Duration::from_millis(2), pages: 500, ahead: TimeDelta::zero(), sites_go: false }
    }
}

/// Clients that send hits until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(book: &Arc<Book>, doors: &[Door], plan: &Plan, dice: &mut StdRng) -> Self {
        doors.iter().for_each(|door| door.sample(book));
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..plan.clients).map(|_| {
            let client = Client {
                book: Arc::clone(book),
                doors: doors.to_vec(),
                plan: plan.clone(),
                dice: StdRng::seed_from_u64(dice.random()),
            };
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || client.run(&stop))
        });
        Self { clients: clients.collect(), stop }
    }

    /// Loads for as long as the experiment's other parts take, or for some time.
    pub fn during<T>(book: &Arc<Book>, doors: &[Door], plan: &Plan, dice: &mut StdRng, work: impl FnOnce() -> T) -> T {
        let load = Self::start(book, doors, plan, dice);
        let value = work();
        load.stop();
        value
    }

    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
    }
}

struct Client {
    book: Arc<Book>,
    doors: Vec<Door>,
    plan: Plan,
    dice: StdRng,
}

impl Client {
    fn run(mut self, stop: &AtomicBool) {
        let mut connection = None;
        while !stop.load(Ordering::Relaxed) {
            let Some((door, stream)) = connection.take().or_else(|| self.connect()) else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            connection = self.hit(&door, stream).map(|stream| (door, stream));
            std::thread::sleep(self.plan.pause);
        }
    }

    fn connect(&mut self) -> Option<(Door, TcpStream)> {
        let door = &self.doors[self.dice.random_range(0..self.doors.len())];
        let stream = TcpStream::connect(door.address()?).ok()?;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Some((Arc::clone(door), stream))
    }

    /// Sends one hit and notes its outcome. Returns the connection if it can be used again.
    fn hit(&mut self, door: &Door, mut stream: TcpStream) -> Option<TcpStream> {
        let (site, zone) = SITES[self.dice.random_range(0..SITES.len())];
        let rank = f64::from(self.plan.pages).powf(self.dice.random::<f64>());
        let page = format!("/{rank:.0}");
        let query = if self.dice.random() { "?figures=0" } else { "" };
        let sent = self.now();
        self.book.begin(site, &page, zone, sent);
        let answer = exchange(&mut stream, &request(site, &page, query));
        let done = self.now();
        let outcome = match answer {
            Ok((200 | 204, head)) if head.contains("thongke-hit: counted") => Outcome::Acknowledged,
            Ok((503, head)) if head.contains("\nretry-after: ") => Outcome::Refused,
            Ok((404, _)) if self.plan.sites_go => Outcome::Refused,
            Ok((_, head)) => panic!("an answer that is neither: {head}"),
            Err(_) => Outcome::Unanswered,
        };
        self.book.note(site, &page, zone, sent, done, outcome);
        if outcome == Outcome::Acknowledged {
            door.acknowledged(site, &page, zone, sent, done);
        }
        (outcome == Outcome::Acknowledged).then_some(stream)
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.plan.ahead
    }
}

pub fn request(site: &str, page: &str, query: &str) -> String {
    let body = format!(r#"{{"site":"{site}","url":"http://{site}.example{page}"}}"#);
    let length = body.len();
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    format!(
        "POST /v1/hit{query} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {agent}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Sends one request; returns the answer's status and head. An error means no complete answer.
pub fn exchange(stream: &mut TcpStream, request: &str) -> std::io::Result<(u16, String)> {
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, head))
}
