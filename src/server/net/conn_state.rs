//! Connection state: the phase that a connection is in, since when, and the orders it has from its worker.
//!
//! hyper times a request's head out at the cost of a timer per request, and a slow body not at all.
//! Here each phase notes its beginning in a cell, and the worker's sweep ends connections that have
//! overstayed.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gate::Gate;
use super::{HEAD_BYTES_MAX, HIT_BYTES_MAX, SWEEP, Stream, Timeouts, URI_BYTES_MAX};

/// Phase of a connection: the event that it waits for.
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
    /// The client: another request, if it has one.
    Idle,
}

/// The worker's order to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Serve,
    /// Mark the next answer as the last, so that the client knows before it asks again.
    CloseAfterNext,
    /// End after the request in flight, at once if there is none.
    Drain,
    /// End: the client has been too slow.
    Expire,
    /// End without an answer: others need the place of a connection that waits.
    Evict,
}

/// A reason to end a connection that no endpoint can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnError {
    TooSlow,
    UriTooLong,
    HeadTooLarge,
    NotHttp,
    TooManyConnections,
}

/// A worker's time as of its last sweep: exact enough for deadlines, and free to read.
pub type CoarseClock = Rc<Cell<Instant>>;

pub struct ConnState {
    stream: RefCell<Stream>,
    peer: Option<IpAddr>,
    timeouts: Timeouts,
    clock: CoarseClock,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    has_received: Cell<bool>,
    peer_ended: Cell<bool>,
    /// The answer being sent is the last, perhaps with a part of the request unread.
    closing: Cell<bool>,
    /// hyper's own, empty answer to an unreadable head was withheld from the client.
    has_withheld: Cell<bool>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    first_head: RefCell<Option<Vec<u8>>>,
    /// Bytes that the fast path has read and left to hyper.
    put_back: RefCell<Vec<u8>>,
    /// Received length of a request line whose end has not arrived.
    open_line: Cell<Option<usize>>,
    /// What hyper may read.
    gate: Cell<Gate>,
    /// hyper has asked for the next request while its last answer is on the way.
    has_held_read: Cell<bool>,
}

impl ConnState {
    pub fn new(stream: Stream, peer: Option<IpAddr>, timeouts: Timeouts, clock: CoarseClock) -> Self {
        Self {
            stream: RefCell::new(stream),
            peer,
            timeouts,
            clock,
            phase: Cell::new(Phase::Head),
            // Exact: a new connection may be evicted before the clock's next step.
            since: Cell::new(Instant::now()),
            has_received: Cell::new(false),
            peer_ended: Cell::new(false),
            closing: Cell::new(false),
            has_withheld: Cell::new(false),
            order: Cell::new(Order::Serve),
            waker: RefCell::new(None),
            first_head: RefCell::new(Some(Vec::new())),
            put_back: RefCell::default(),
            open_line: Cell::new(Some(0)),
            gate: Cell::new(Gate::new()),
            has_held_read: Cell::new(false),
        }
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.get());
    }

    /// Enters the phase after a head that hyper has read. `body`: its bytes; none if it comes in chunks.
    pub fn take_head(&self, body: Option<u64>) {
        let mut gate = self.gate.get();
        gate.expect_body(body);
        self.gate.set(gate);
        self.enter(if body == Some(0) { Phase::Work } else { Phase::Body });
    }

    /// True if no request may follow the answered one: its body was not read to its end, or came in chunks.
    pub fn is_last(&self) -> bool {
        self.phase.get() == Phase::Body || self.gate.get().is_open()
    }

    pub fn has_expired(&self) -> bool {
        let limit = match self.phase.get() {
            Phase::Head => self.timeouts.head,
            Phase::Body => self.timeouts.body,
            Phase::Write => self.timeouts.write,
            Phase::Idle => self.timeouts.idle,
            Phase::Work => return false,
        };
        // The coarse clock may have been late by a sweep when `since` was noted.
        self.clock.get().duration_since(self.since.get()) >= limit + SWEEP
    }

    /// Start of the wait for the client; none while this node works.
    pub fn waits_since(&self) -> Option<Instant> {
        (self.phase.get() != Phase::Work).then(|| self.since.get())
    }

    /// True if bytes have arrived that are about to be read.
    pub fn has_arrived(&self) -> bool {
        let is_read = matches!(self.phase.get(), Phase::Head | Phase::Body | Phase::Idle);
        let mut byte = [std::mem::MaybeUninit::uninit()];
        is_read && super::socket(&self.stream.borrow()).peek(&mut byte).is_ok_and(|bytes| bytes > 0)
    }

    pub fn order(&self) -> Order {
        self.order.get()
    }

    /// Gives the connection's task an order, and wakes it.
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

    pub fn set_peer_ended(&self) {
        self.peer_ended.set(true);
    }

    /// Takes the bytes of the connection's first request, from its first on; none for later requests.
    pub fn take_first_head(&self) -> Option<Vec<u8>> {
        self.first_head.borrow_mut().take()
    }

    /// The address by which the client reached this node; a unix socket has none.
    pub fn local_address(&self) -> Option<SocketAddr> {
        super::socket(&self.stream.borrow()).local_addr().ok()?.as_socket()
    }

    /// The peer's address: the client's, or the nearest proxy's. A unix socket has none.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The error of an expired connection; none where its client has not begun a request.
    pub fn why_expired(&self) -> Option<ConnError> {
        let has_begun = self.has_received.get() && matches!(self.phase.get(), Phase::Head | Phase::Body);
        has_begun.then_some(ConnError::TooSlow)
    }

    /// The error of a head that hyper could not read; none where hyper failed for another reason.
    pub fn why_unreadable(&self, is_too_large: bool) -> Option<ConnError> {
        self.has_withheld.get().then(|| match self.open_line.get() {
            Some(length) if is_too_large && length > URI_BYTES_MAX => ConnError::UriTooLong,
            _ if is_too_large => ConnError::HeadTooLarge,
            _ => ConnError::NotHttp,
        })
    }

    /// True if no request has begun.
    pub fn is_between_requests(&self) -> bool {
        match self.phase.get() {
            Phase::Idle => true,
            Phase::Head => !self.has_received.get(),
            Phase::Body | Phase::Work | Phase::Write => false,
        }
    }

    /// Notes bytes that hyper reads; none mean that the client has ended its side.
    fn note_read(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.set_peer_ended();
            return;
        }
        self.has_received.set(true);
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Head);
            self.open_line.set(Some(0));
        }
        if self.phase.get() == Phase::Head
            && let Some(length) = self.open_line.get()
        {
            self.open_line.set((!bytes.contains(&b'\n')).then_some(length + bytes.len()));
        }
        // A larger head is refused before anything asks for its bytes.
        if let Some(head) = &mut *self.first_head.borrow_mut()
            && head.len() <= HEAD_BYTES_MAX
        {
            head.extend_from_slice(bytes);
        }
    }

    /// Leaves received bytes to hyper, which reads them first.
    pub fn put_back(&self, bytes: Vec<u8>) {
        *self.put_back.borrow_mut() = bytes;
    }

    /// True if bytes wait that hyper has not read.
    pub fn has_put_back(&self) -> bool {
        !self.put_back.borrow().is_empty()
    }

    /// Takes from what hyper reads the bytes that the gate holds back; it reads them later.
    fn hold_back(&self, buffer: &mut ReadBuf<'_>, filled_before: usize) {
        let mut gate = self.gate.get();
        let read = buffer.filled().get(filled_before..).unwrap_or_default();
        let passes = gate.pass(read);
        self.gate.set(gate);
        if let Some(held @ [_, ..]) = read.get(passes..) {
            let mut put_back = self.put_back.borrow_mut();
            // They stand before what still waits.
            put_back.splice(..0, held.iter().copied());
            drop(put_back);
            buffer.set_filled(filled_before + passes);
        }
    }

    /// Reads what was put back, or else from the socket.
    pub fn poll_read(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut put_back = self.put_back.borrow_mut();
        if put_back.is_empty() {
            return Pin::new(&mut *self.stream.borrow_mut()).poll_read(context, buffer);
        }
        let fits = put_back.len().min(buffer.remaining());
        buffer.put_slice(put_back.get(..fits).unwrap_or_default());
        put_back.drain(..fits);
        if put_back.is_empty() {
            *put_back = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    pub fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write(context, bytes)
    }

    pub fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(context)
    }

    /// Appends what the client sends next; 0 bytes if it has ended its side.
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
                    self.has_received.set(self.has_received.get() || !filled.is_empty());
                    bytes.extend_from_slice(filled);
                    filled.len()
                })
            })
        })
        .await
    }

    /// Sends all of `bytes`.
    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = poll_fn(|context| self.poll_write(context, bytes)).await?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Sends the connection's last answer, past hyper.
    pub async fn send_last(&self, bytes: &[u8]) {
        // What doesn't fit is lost: the connection ends either way.
        let _ = super::socket(&self.stream.borrow()).send(bytes);
        self.shut_down().await;
        self.set_closing();
    }

    pub async fn shut_down(&self) {
        // The client may have gone already.
        let _ = poll_fn(|context| self.poll_shutdown(context)).await;
    }

    /// Reads on for a while after the last answer: closing a socket with unread bytes makes the kernel
    /// reset it, and the client would lose the answer.
    pub async fn linger(&self) {
        const TIME_MAX: Duration = Duration::from_secs(2);
        const BYTES_MAX: usize = 1 << 20;
        if !self.closing.get() || self.peer_ended.get() {
            return;
        }
        let drain = async {
            let (mut received, mut bytes) = (Vec::new(), 0);
            while bytes < BYTES_MAX && matches!(self.receive(&mut received).await, Ok(1..)) {
                bytes += received.len();
                received.clear();
            }
        };
        let _ = tokio::time::timeout(TIME_MAX, drain).await;
    }
}

/// A connection as hyper reads and writes it; its state notes both.
pub struct GuardedIo(pub Rc<ConnState>);

impl AsyncRead for GuardedIo {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled_before = buffer.filled().len();
        if self.0.phase.get() == Phase::Write {
            // The next request has its own time, which begins when the client has this answer.
            self.0.has_held_read.set(true);
            return Poll::Pending;
        }
        let polled = self.0.poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = polled {
            self.0.hold_back(buffer, filled_before);
            self.0.note_read(buffer.filled().get(filled_before..).unwrap_or_default());
        }
        polled
    }
}

impl AsyncWrite for GuardedIo {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let conn = &self.0;
        match conn.phase.get() {
            // While a head is being read, hyper writes only an empty answer to one that it can't read. The
            // client gets a better one ([`ConnState::why_unreadable`]).
            Phase::Head => {
                conn.has_withheld.set(true);
                Poll::Ready(Ok(bytes.len()))
            }
            phase => {
                let polled = conn.poll_write(context, bytes);
                match &polled {
                    Poll::Ready(Ok(1..)) if conn.timeouts.write_renews && phase == Phase::Write => conn.enter(phase),
                    // The client takes the answer in parts, or not at all.
                    Poll::Pending if phase == Phase::Idle => conn.enter(Phase::Write),
                    _ => {}
                }
                polled
            }
        }
    }

    /// hyper flushes when it has written the whole answer.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.phase.get() == Phase::Write {
            self.0.enter(Phase::Idle);
            if self.0.has_held_read.take()
                && let Some(waker) = &*self.0.waker.borrow()
            {
                waker.wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.has_withheld.get() {
            // The client's answer is still to come.
            true => Poll::Ready(Ok(())),
            false => self.0.poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A connection with its clock and its client's end.
    fn connection() -> (ConnState, CoarseClock, tokio::net::UnixStream) {
        let (client, stream) = tokio::net::UnixStream::pair().unwrap();
        let timeouts =
            Timeouts { head: SECOND, body: 2 * SECOND, write: 3 * SECOND, write_renews: false, idle: 4 * SECOND };
        let clock = Rc::new(Cell::new(Instant::now()));
        (ConnState::new(Stream::Right(stream), None, timeouts, Rc::clone(&clock)), clock, client)
    }

    #[tokio::test]
    async fn each_phase_expires_after_its_own_timeout_and_work_never() {
        let (conn, clock, _client) = connection();
        for (phase, seconds) in [(Phase::Head, 1), (Phase::Body, 2), (Phase::Write, 3), (Phase::Idle, 4)] {
            conn.enter(phase);
            clock.set(clock.get() + seconds * SECOND);
            assert!(!conn.has_expired(), "{phase:?}: a deadline is never early");
            clock.set(clock.get() + SWEEP);
            assert!(conn.has_expired() && conn.waits_since().is_some(), "{phase:?}");
        }
        conn.enter(Phase::Work);
        clock.set(clock.get() + 3_600 * SECOND);
        assert!(!conn.has_expired() && conn.waits_since().is_none());
    }

    #[tokio::test]
    async fn only_a_client_that_has_begun_a_request_gets_an_error_for_slowness() {
        let (conn, _, _client) = connection();
        assert!(conn.is_between_requests() && conn.why_expired().is_none());
        conn.note_read(b"GET /");
        assert!(!conn.is_between_requests());
        assert_eq!(conn.why_expired(), Some(ConnError::TooSlow));
        conn.enter(Phase::Idle);
        assert!(conn.is_between_requests() && conn.why_expired().is_none());
    }

    #[tokio::test]
    async fn an_unreadable_head_is_reported_by_what_is_too_large_in_it() {
        let of = |read: &[u8], is_too_large| {
            let (conn, _, _client) = connection();
            conn.note_read(read);
            assert_eq!(conn.why_unreadable(is_too_large), None, "nothing was withheld");
            conn.has_withheld.set(true);
            conn.why_unreadable(is_too_large)
        };
        let long = "a".repeat(HEAD_BYTES_MAX);
        assert_eq!(of(format!("GET /{long}").as_bytes(), true), Some(ConnError::UriTooLong));
        assert_eq!(of(format!("GET / HTTP/1.1\r\nX: {long}").as_bytes(), true), Some(ConnError::HeadTooLarge));
        assert_eq!(of(b"nonsense", false), Some(ConnError::NotHttp));
    }

    #[tokio::test]
    async fn hyper_reads_a_request_at_a_time_and_the_next_one_after_its_answer() {
        let (conn, _, client) = connection();
        let mut io = GuardedIo(Rc::new(conn));
        let conn = Rc::clone(&io.0);
        client.try_write(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGET / HTTP/1.1\r\n").unwrap();
        let mut read = async |waits: bool| {
            let mut room = [0; 100];
            let mut buffer = ReadBuf::new(&mut room);
            let reading = poll_fn(|context| match Pin::new(&mut io).poll_read(context, &mut buffer) {
                Poll::Pending if !waits => Poll::Ready(false),
                polled => polled.map(|read| read.is_ok()),
            });
            let has_read = reading.await;
            has_read.then(|| String::from_utf8(buffer.filled().to_vec()).unwrap())
        };
        assert_eq!(read(true).await.as_deref(), Some("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n"));
        conn.take_head(Some(2));
        assert!(conn.is_last());
        assert_eq!(read(false).await.as_deref(), Some("ab"));
        conn.enter(Phase::Work);
        assert!(!conn.is_last());
        conn.enter(Phase::Write);
        assert_eq!(read(false).await, None, "the answer is on its way");
        conn.enter(Phase::Idle);
        assert!(conn.has_put_back());
        assert_eq!(read(false).await.as_deref(), Some("GET / HTTP/1.1\r\n"));
        assert_eq!(conn.phase.get(), Phase::Head);
        assert!(!conn.has_put_back());
    }

    #[tokio::test]
    async fn bytes_that_were_put_back_are_read_before_the_sockets() {
        let (conn, _, client) = connection();
        conn.put_back(b"abc".to_vec());
        client.try_write(b"def").unwrap();
        let mut read = Vec::new();
        while read.len() < 6 {
            let mut room = [0; 2];
            let mut buffer = ReadBuf::new(&mut room);
            poll_fn(|context| conn.poll_read(context, &mut buffer)).await.unwrap();
            read.extend_from_slice(buffer.filled());
        }
        assert_eq!(read, b"abcdef");
    }
}
