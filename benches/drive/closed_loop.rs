//! A closed loop: each connection sends its next request after the answer to the last.
//!
//! One thread and one epoll: the client takes far less of its core than the server of its own.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;

use super::requests::Requests;
use super::stats;

/// The client's record of a run.
#[derive(Debug, Default)]
pub struct Drove {
    pub requests: u64,
    pub elapsed: Duration,
    /// Times from writing a request to its complete answer.
    pub nanos: Vec<u32>,
}

/// Idle connections.
pub struct ClosedLoop {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    connections: Vec<Connection>,
    address: SocketAddr,
    keep_alive: bool,
}

pub struct Connection {
    stream: TcpStream,
    sent: Instant,
    answer: Answer,
}

impl ClosedLoop {
    pub fn connect(address: SocketAddr, connections: usize, keep_alive: bool) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let mut this = Self { epoll, events: Vec::with_capacity(1024), connections: Vec::new(), address, keep_alive };
        for at in 0..connections {
            let connection = Connection::open(address);
            connection.register(&this.epoll, at);
            this.connections.push(connection);
        }
        this
    }

    /// Sends requests on all connections until the time is over, and reads all answers.
    pub fn drive(&mut self, requests: &mut Requests, duration: Duration) -> Drove {
        let deadline = Instant::now() + duration;
        self.drive_while(requests, |now, _| now < deadline)
    }

    /// Sends so many requests (one per connection at least), and reads all answers.
    pub fn drive_count(&mut self, requests: &mut Requests, count: usize) -> Drove {
        self.drive_while(requests, |_, sent| sent < count)
    }

    fn drive_while(&mut self, requests: &mut Requests, goes_on: impl Fn(Instant, usize) -> bool) -> Drove {
        let mut drove = Drove { nanos: Vec::with_capacity(1 << 20), ..Drove::default() };
        let started = Instant::now();
        for connection in &mut self.connections {
            connection.send(requests.next());
        }
        let mut open = self.connections.len();
        let mut sent = open;
        while open > 0 {
            self.events.clear();
            epoll::wait(&self.epoll, spare_capacity(&mut self.events), None).expect("epoll waits");
            for event in &self.events {
                let at = event.data.u64() as usize;
                let connection = &mut self.connections[at];
                if !connection.receive(self.keep_alive) {
                    continue;
                }
                let now = Instant::now();
                drove.nanos.push(stats::nanos(now - connection.sent));
                if !self.keep_alive {
                    *connection = Connection::open(self.address);
                    connection.register(&self.epoll, at);
                }
                if goes_on(now, sent) {
                    connection.send_at(requests.next(), now);
                    sent += 1;
                } else {
                    open -= 1;
                }
            }
        }
        drove.elapsed = started.elapsed();
        drove.requests = drove.nanos.len() as u64;
        drove
    }
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("can't connect to {address}: {error}"));
        stream.set_nonblocking(true).expect("a socket need not block");
        stream.set_nodelay(true).expect("a socket need not delay");
        Self { stream, sent: Instant::now(), answer: Answer::default() }
    }

    pub fn register(&self, epoll: &OwnedFd, at: usize) {
        epoll::add(epoll, &self.stream, epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN)
            .expect("epoll takes a socket");
    }

    pub fn send(&mut self, request: &[u8]) {
        self.send_at(request, Instant::now());
    }

    fn send_at(&mut self, request: &[u8], now: Instant) {
        self.sent = now;
        // The socket buffer is empty: a kernel that accepts only a part is out of memory.
        let written = self.stream.write(request).expect("the server takes requests");
        assert_eq!(written, request.len(), "the kernel took a part of a request");
    }

    /// Reads an answer's bytes. True: it is complete.
    pub fn receive(&mut self, keep_alive: bool) -> bool {
        let mut buffer = [0; 8192];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                assert!(!keep_alive && self.answer.is_complete, "the server closed the connection");
                self.answer = Answer::default();
                true
            }
            Ok(read) => {
                let is_complete = self.answer.take(&buffer[..read]);
                // A connection that serves one request ends when the server closes it.
                if is_complete && keep_alive {
                    self.answer = Answer::default();
                }
                is_complete && keep_alive
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("reading an answer: {error}"),
        }
    }
}

/// The received part of an answer.
#[derive(Default)]
struct Answer {
    /// State of a chunked answer.
    bytes: Vec<u8>,
    is_complete: bool,
}

impl Answer {
    fn take(&mut self, read: &[u8]) -> bool {
        self.is_complete = if self.bytes.is_empty() {
            is_complete(read) || {
                self.bytes.extend_from_slice(read);
                false
            }
        } else {
            self.bytes.extend_from_slice(read);
            is_complete(&self.bytes)
        };
        self.is_complete
    }
}

/// Parses an answer. True: the bytes are complete. Panics unless the answer is a success.
fn is_complete(bytes: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes).expect("an HTTP answer") {
        httparse::Status::Partial => return false,
        httparse::Status::Complete(head) => head,
    };
    let status = response.code.unwrap_or(0);
    assert!(matches!(status, 200 | 204), "{}", String::from_utf8_lossy(bytes));
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = length.map_or(0, |header| {
        header.value.iter().fold(0, |length, digit| length * 10 + usize::from(digit.wrapping_sub(b'0')))
    });
    assert!(bytes.len() <= head + body, "more than one answer: {}", String::from_utf8_lossy(bytes));
    bytes.len() == head + body
}
