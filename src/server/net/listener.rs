//! Accept loop: takes connections, keeps their number and deadlines, and drains them at shutdown.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::{CoarseClock, ConnState, ConnectionLimit, DRAIN, Listener, Order, SWEEP, Stream, Timeouts};

/// Serves the connections that a listener accepts.
pub trait Serve: 'static {
    /// Serves one connection from its first byte to its last.
    fn serve(&self, conn: Rc<ConnState>) -> impl Future<Output = ()>;

    /// The whole answer to a client that has too many connections.
    fn too_many_connections(&self) -> Vec<u8>;
}

/// A worker's open connections.
struct Connections {
    open: RefCell<FxHashMap<u64, Rc<ConnState>>>,
    opened: Cell<u64>,
    /// Notified whenever one ends.
    ended: Notify,
    clock: CoarseClock,
    timeouts: Timeouts,
    limit: Arc<ConnectionLimit>,
}

impl Connections {
    fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// Resolves when there is room for another connection.
    async fn room(&self) {
        /// Other workers' connections end without notifying this worker.
        const RETRY: Duration = Duration::from_millis(20);
        while self.limit.is_full() {
            self.evict();
            let _ = tokio::time::timeout(RETRY, self.ended.notified()).await;
        }
    }

    /// Evicts the connections that have waited longest for their clients, a sixteenth of all: a flood
    /// of slow clients must not keep others out.
    fn evict(&self) {
        let open = self.open.borrow();
        if open.len() < self.limit.eviction_min() {
            return;
        }
        let (mut waiting, mut evicted) = (Vec::with_capacity(open.len()), 0);
        let now = Instant::now();
        for (number, conn) in open.iter() {
            match conn.waits_since() {
                _ if conn.order() == Order::Evict => evicted += 1,
                // The coarse clock ties many; the older connection goes first.
                Some(since) if now.saturating_duration_since(since) >= EVICTION_AGE_MIN => {
                    waiting.push(((since, *number), conn));
                }
                _ => {}
            }
        }
        let share = (open.len() / 16).max(1).saturating_sub(evicted).min(waiting.len());
        if share > 0 && share < waiting.len() {
            waiting.select_nth_unstable_by_key(share - 1, |(since, _)| *since);
        }
        let longest = waiting.iter().take(share).map(|(_, conn)| conn);
        // The client has kept nobody waiting if its request is there.
        longest.filter(|conn| !conn.has_arrived()).for_each(|conn| conn.give_order(Order::Evict));
    }

    async fn all_ended(&self) {
        while self.len() > 0 {
            self.ended.notified().await;
        }
    }

    fn add(&self, stream: Stream, peer: Option<IpAddr>) -> (u64, Rc<ConnState>) {
        let number = self.opened.get();
        self.opened.set(number + 1);
        let conn = Rc::new(ConnState::new(stream, peer, self.timeouts, Rc::clone(&self.clock)));
        self.open.borrow_mut().insert(number, Rc::clone(&conn));
        (number, conn)
    }

    fn remove(&self, number: u64) {
        self.open.borrow_mut().remove(&number);
        self.ended.notify_one();
    }

    /// Gives `order` to each chosen connection. Waking a task does not run it.
    fn order(&self, order: Order, chosen: impl Fn(&ConnState) -> bool) {
        self.open.borrow().values().filter(|conn| chosen(conn)).for_each(|conn| conn.give_order(order));
    }

    async fn sweep(&self) {
        let mut interval = tokio::time::interval(SWEEP);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = interval.tick().await;
            self.clock.set(now.into_std());
            self.order(Order::Expire, ConnState::has_expired);
            if self.limit.is_crowded() {
                self.evict();
            }
        }
    }
}

/// Accepts connections and serves each in its own task until `shutdown` resolves, then drains them.
pub async fn run<S: Serve>(
    listener: Listener,
    server: S,
    timeouts: Timeouts,
    limit: Arc<ConnectionLimit>,
    shutdown: impl Future<Output = ()>,
) {
    let listener = match listener.watch() {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(error = %error, "failed to watch the listening socket; this worker serves no connection");
            return;
        }
    };
    let connections = Rc::new(Connections {
        open: RefCell::default(),
        opened: Cell::new(0),
        ended: Notify::new(),
        clock: Rc::new(Cell::new(Instant::now())),
        timeouts,
        limit,
    });
    connections.limit.add_worker();
    let sweeper = tokio::task::spawn_local({
        let connections = Rc::clone(&connections);
        async move { connections.sweep().await }
    });
    let server = Rc::new(server);
    let start = |(stream, peer): (Stream, Option<IpAddr>)| {
        let Some(permit) = connections.limit.permit(peer) else {
            // An answer that doesn't fit is lost: the client has more than its share.
            let _ = super::socket(&stream).send(&server.too_many_connections());
            return;
        };
        if connections.limit.is_crowded() {
            connections.evict();
        }
        let (number, conn) = connections.add(stream, peer);
        let (connections, server) = (Rc::clone(&connections), Rc::clone(&server));
        tokio::task::spawn_local(async move {
            server.serve(conn).await;
            connections.remove(number);
            drop(permit);
        });
    };

    let mut shutdown = pin!(shutdown);
    let mut pause = ACCEPT_PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = async {
                connections.room().await;
                listener.accept().await
            } => accepted,
        };
        match accepted {
            Ok(accepted) => {
                pause = ACCEPT_PAUSE_MIN;
                start(accepted);
            }
            Err(error) if is_client_abort(&error) => {}
            Err(error) => {
                tracing::warn!(error = %error, pause_ms = pause.as_millis(), "failed to accept a connection");
                tokio::select! {
                    biased;
                    () = &mut shutdown => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }

    // Closing the listener would reset the connections that wait in the kernel.
    while let Some(Ok(accepted)) = listener.accept().now_or_never() {
        start(accepted);
    }
    drop(listener);
    drain(&connections).await;
    sweeper.abort();
}

/// Time that a new connection has for its request, however many want its place: a reader's computer is busy too.
const EVICTION_AGE_MIN: Duration = Duration::from_millis(250);

/// Pause after an error that only time can cure, such as no file descriptor being left.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// True for a client that gave up before it was accepted: the next one may come at once.
fn is_client_abort(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn drain(connections: &Connections) {
    /// A request may be on its way, on a new connection or on one that a proxy is about to reuse.
    /// Closing before it arrives would lose a hit.
    const NEXT_REQUEST: Duration = Duration::from_millis(500);
    connections.order(Order::CloseAfterNext, |_| true);
    let ended = async {
        let _ = tokio::time::timeout(NEXT_REQUEST, connections.all_ended()).await;
        connections.order(Order::Drain, |_| true);
        connections.all_ended().await;
    };
    if tokio::time::timeout(DRAIN, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections did not end in time and are cut off");
        connections.order(Order::Expire, |_| true);
        tokio::task::yield_now().await;
    }
}
