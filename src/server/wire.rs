//! A client's socket that remembers what it waits for and since when.
//!
//! hyper can time a request's head out, at the cost of a timer per request, and a slow body not at
//! all. Here reading, writing and the request's handler note each phase's beginning in a cell, and
//! a worker's sweep, twice a second, closes the connections that have overstayed.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::{self, AnswerBody};
use super::limits::{HEAD_BYTES_MAX, HIT_BYTES_MAX, Limits, URI_BYTES_MAX};
use super::refusal::Refusal;
use super::socket::Stream;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The client: the rest of a request's head (or, on a new connection, its beginning).
    Head,
    /// The client: the rest of a request's body.
    Body,
    /// This node.
    Work,
    /// The client: to take the answer.
    Write,
    /// The client: another request, if it likes.
    Idle,
}

/// What the worker wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Serve,
    /// Say with the next answer that it is the last, so that the client knows before it asks again.
    Part,
    /// End after the request that is being served, at once if there is none.
    Finish,
    /// The client has been too slow.
    Expire,
    /// Others need the place of one who waits: end without a word.
    MakeRoom,
}

/// A worker's time as of its last sweep: exact enough for deadlines, and free to read.
pub type CoarseClock = Rc<Cell<Instant>>;

pub struct Wire {
    stream: RefCell<Stream>,
    peer: Option<IpAddr>,
    write_renews: bool,
    clock: CoarseClock,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    heard: Cell<bool>,
    peer_ended: Cell<bool>,
    /// The answer being given is the last, perhaps with some of the request unread.
    closing: Cell<bool>,
    /// hyper refused a head by an empty answer of its own, which was kept from the client.
    kept_back: Cell<bool>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    first_head: RefCell<Option<Vec<u8>>>,
    /// What the lane has read and left to hyper.
    put_back: RefCell<Vec<u8>>,
    /// How much of the request's first line has come, while its end has not.
    open_line: Cell<Option<usize>>,
}

impl Wire {
    pub fn new(stream: Stream, peer: Option<IpAddr>, limits: &Limits, clock: CoarseClock) -> Self {
        let now = clock.get();
        Self {
            stream: RefCell::new(stream),
            peer,
            write_renews: limits.write_renews,
            clock,
            phase: Cell::new(Phase::Head),
            since: Cell::new(now),
            heard: Cell::new(false),
            peer_ended: Cell::new(false),
            closing: Cell::new(false),
            kept_back: Cell::new(false),
            order: Cell::new(Order::Serve),
            waker: RefCell::new(None),
            first_head: RefCell::new(Some(Vec::new())),
            put_back: RefCell::default(),
            open_line: Cell::new(Some(0)),
        }
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.get());
    }

    pub fn has_expired(&self, limits: &Limits) -> bool {
        let limit = match self.phase.get() {
            Phase::Head => limits.head,
            Phase::Body => limits.body,
            Phase::Write => limits.write,
            Phase::Idle => limits.idle,
            Phase::Work => return false,
        };
        // `since` may be older than what it dates, by what the clock was late then.
        self.clock.get().duration_since(self.since.get()) >= limit + limits.sweep
    }

    /// Since when it waits for its client; none while this node has something to do for it.
    pub fn waits_since(&self) -> Option<Instant> {
        (self.phase.get() != Phase::Work).then(|| self.since.get())
    }

    pub fn order(&self) -> Order {
        self.order.get()
    }

    /// Tells the connection's task what to do, and wakes it.
    pub fn give_order(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Remembers the connection's task, which stays the same.
    pub fn remember_task(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if waker.is_none() {
            *waker = Some(context.waker().clone());
        }
    }

    pub fn set_closing(&self) {
        self.closing.set(true);
    }

    /// The bytes of the connection's first request from its first on, once; none for later ones.
    pub fn take_first_head(&self) -> Option<Vec<u8>> {
        self.first_head.borrow_mut().take()
    }

    /// The address by which the client reached this node; a unix socket has none.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.stream.borrow().local_address()
    }

    /// The address at the other end: the client's, or the nearest proxy's; a unix socket has none.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Why a connection that overstayed is cut off, where its client has begun to ask for something.
    pub fn why_expired(&self) -> Option<Refusal> {
        let is_asking = self.heard.get() && matches!(self.phase.get(), Phase::Head | Phase::Body);
        is_asking.then_some(Refusal::TooSlow)
    }

    /// Why hyper gave up a request before anyone could answer it.
    pub fn why_unreadable(&self, error: &hyper::Error) -> Option<Refusal> {
        if !self.kept_back.get() {
            return None;
        }
        Some(match self.open_line.get() {
            Some(length) if error.is_parse_too_large() && length > URI_BYTES_MAX => {
                Refusal::UriLong { max: URI_BYTES_MAX }
            }
            _ if error.is_parse_too_large() => Refusal::HeadLarge { max: HEAD_BYTES_MAX },
            _ => Refusal::NotHttp,
        })
    }

    /// The connection's last words, past hyper.
    pub async fn say(&self, response: Response<AnswerBody>) {
        // Whether it arrives is the client's affair: the connection ends either way.
        let _ = self.stream.borrow().try_write(&answer::on_the_wire(response));
        self.shut_down().await;
        self.set_closing();
    }

    /// Appends what the client sends next; as much as 0 bytes if it has ended.
    pub async fn receive(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        thread_local! {
            /// Shared by a worker's connections, so that one that waits needs no buffer.
            static RECEIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; HEAD_BYTES_MAX + HIT_BYTES_MAX]);
        }
        poll_fn(|context| {
            RECEIVED.with_borrow_mut(|received| {
                let mut buffer = ReadBuf::new(received);
                let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_read(context, &mut buffer);
                polled.map_ok(|()| {
                    let filled = buffer.filled();
                    self.heard.set(self.heard.get() || !filled.is_empty());
                    bytes.extend_from_slice(filled);
                    filled.len()
                })
            })
        })
        .await
    }

    /// Leaves what was received to hyper, which reads it first.
    pub fn put_back(&self, bytes: Vec<u8>) {
        *self.put_back.borrow_mut() = bytes;
    }

    /// Sends all of `bytes`.
    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = poll_fn(|context| Pin::new(&mut *self.stream.borrow_mut()).poll_write(context, bytes)).await?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    pub async fn shut_down(&self) {
        // The client may have gone already.
        let _ = poll_fn(|context| Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(context)).await;
    }

    pub fn set_peer_ended(&self) {
        self.peer_ended.set(true);
    }

    /// No request has begun.
    pub fn is_between_requests(&self) -> bool {
        match self.phase.get() {
            Phase::Idle => true,
            Phase::Head => !self.heard.get(),
            Phase::Body | Phase::Work | Phase::Write => false,
        }
    }

    fn measure_line(&self, read: &[u8]) {
        if let Some(length) = self.open_line.get() {
            let is_ended = read.contains(&b'\n');
            self.open_line.set((!is_ended).then_some(length + read.len()));
        }
    }

    /// Takes in what the client is still sending, for a while: closing a socket with unread bytes
    /// makes the kernel reset it, and the client would lose the answer that says what was wrong.
    pub async fn linger(&self) {
        const TIME_MAX: Duration = Duration::from_secs(2);
        const BYTES_MAX: usize = 1 << 20;
        if !self.closing.get() || self.peer_ended.get() {
            return;
        }
        let drain = async {
            // Few connections end so, and all of them would be the larger for it.
            let mut scratch = vec![0; 4096];
            let mut bytes = 0;
            while bytes < BYTES_MAX {
                let read = poll_fn(|context| {
                    let mut buffer = ReadBuf::new(&mut scratch);
                    let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_read(context, &mut buffer);
                    polled.map_ok(|()| buffer.filled().len())
                });
                match read.await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => bytes += read,
                }
            }
        };
        let _ = tokio::time::timeout(TIME_MAX, drain).await;
    }
}

/// The wire as hyper reads and writes it.
pub struct WireIo(pub Rc<Wire>);

impl AsyncRead for WireIo {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &*self.0;
        let filled_before = buffer.filled().len();
        let mut put_back = wire.put_back.borrow_mut();
        let polled = if put_back.is_empty() {
            Pin::new(&mut *wire.stream.borrow_mut()).poll_read(context, buffer)
        } else {
            let fits = put_back.len().min(buffer.remaining());
            buffer.put_slice(put_back.get(..fits).unwrap_or_default());
            put_back.drain(..fits);
            if put_back.is_empty() {
                *put_back = Vec::new();
            }
            Poll::Ready(Ok(()))
        };
        if let Poll::Ready(Ok(())) = polled {
            let read = buffer.filled().get(filled_before..).unwrap_or_default();
            if read.is_empty() {
                wire.peer_ended.set(true);
            } else {
                wire.heard.set(true);
                if wire.phase.get() == Phase::Idle {
                    wire.enter(Phase::Head);
                    wire.open_line.set(Some(0));
                }
                if wire.phase.get() == Phase::Head {
                    wire.measure_line(read);
                }
                // Larger heads are refused before anyone asks for them.
                if let Some(head) = &mut *wire.first_head.borrow_mut()
                    && head.len() <= HEAD_BYTES_MAX
                {
                    head.extend_from_slice(read);
                }
            }
        }
        polled
    }
}

impl WireIo {
    /// What hyper writes while a head is being read is its own, empty answer to one that it can't
    /// read. The client is told more: see [`Wire::why_unreadable`].
    fn keeps_back(&self) -> bool {
        let keeps = self.0.phase.get() == Phase::Head;
        if keeps {
            self.0.kept_back.set(true);
        }
        keeps
    }

    fn note_write(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(1..)) if self.0.write_renews && self.0.phase.get() == Phase::Write => {
                self.0.enter(Phase::Write);
            }
            // A client that takes an answer in parts, or not at all.
            Poll::Pending if self.0.phase.get() == Phase::Idle => self.0.enter(Phase::Write),
            _ => {}
        }
        polled
    }
}

impl AsyncWrite for WireIo {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.keeps_back() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut *self.0.stream.borrow_mut()).poll_write(context, bytes);
        self.note_write(polled)
    }

    /// hyper flushes when all that it had to write is written.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.phase.get() == Phase::Write {
            self.0.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.kept_back.get() {
            // There is still something to say.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_shutdown(context)
    }
}
