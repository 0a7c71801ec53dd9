//! Listening sockets, and the loop that takes connections from one.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rustc_hash::FxHashMap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::Notify;

use super::answer;
use super::connection::{self, Answer};
use super::limits::Limits;
use super::occupancy::Occupancy;
use super::refusal::Refusal;
use super::socket::{Listener, Stream};
use super::wire::{CoarseClock, Order, Wire};

/// Connections that wait in the kernel until a worker takes them; the kernel may cap it lower.
const BACKLOG: i32 = 4096;

/// Sockets that listen at `address`, one for each worker, among which the kernel spreads clients.
///
/// With port 0 the first socket's port is everyone's.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // SO_REUSEPORT would share the port with whoever else has it and set that option.
        open(address, false)?;
    }
    let mut address = address;
    let mut listeners = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = open(address, true)?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of an earlier run may still be in TIME_WAIT; a listening socket is refused anyway.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
        // Accepted sockets inherit it, which saves each a system call.
        socket.set_tcp_nodelay(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A unix socket at `path`, for as many workers, who take turns.
///
/// Whoever may enter its folder may use it.
pub fn bind_unix(path: &Path, workers: usize) -> io::Result<Vec<UnixListener>> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    // The file of a process that ended stays; one that somebody listens on is theirs.
    if is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    (0..workers).map(|_| listener.try_clone()).collect()
}

/// A worker's open connections.
struct Connections {
    open: RefCell<FxHashMap<u64, Rc<Wire>>>,
    opened: Cell<u64>,
    /// Told whenever one ends.
    ended: Notify,
    clock: CoarseClock,
    limits: Limits,
    occupancy: Arc<Occupancy>,
}

impl Connections {
    fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// Resolves when there is room for one more.
    async fn room(&self) {
        /// Other workers' connections end without a word to this one.
        const ASK_AGAIN: Duration = Duration::from_millis(20);
        while self.occupancy.is_full() {
            self.relieve();
            let _ = tokio::time::timeout(ASK_AGAIN, self.ended.notified()).await;
        }
    }

    /// Ends those that have kept this node waiting longest, a sixteenth of all: a flood of slow
    /// clients must not keep others out.
    fn relieve(&self) {
        let open = self.open.borrow();
        if open.len() < self.occupancy.least_to_relieve() {
            return;
        }
        let (mut waiting, mut leaving) = (Vec::with_capacity(open.len()), 0);
        for (number, wire) in open.iter() {
            match wire.waits_since() {
                _ if wire.order() == Order::MakeRoom => leaving += 1,
                // The clock is coarse: of those that it can't tell apart, the first to come.
                Some(since) => waiting.push(((since, *number), wire)),
                None => {}
            }
        }
        let share = (open.len() / 16).max(1).saturating_sub(leaving).min(waiting.len());
        if share > 0 && share < waiting.len() {
            waiting.select_nth_unstable_by_key(share - 1, |(since, _)| *since);
        }
        waiting.iter().take(share).for_each(|(_, wire)| wire.give_order(Order::MakeRoom));
    }

    async fn all_ended(&self) {
        while self.len() > 0 {
            self.ended.notified().await;
        }
    }

    fn add(&self, stream: Stream, peer: Option<IpAddr>) -> (u64, Rc<Wire>) {
        let number = self.opened.get();
        self.opened.set(number + 1);
        let wire = Rc::new(Wire::new(stream, peer, &self.limits, Rc::clone(&self.clock)));
        self.open.borrow_mut().insert(number, Rc::clone(&wire));
        (number, wire)
    }

    fn remove(&self, number: u64) {
        self.open.borrow_mut().remove(&number);
        self.ended.notify_one();
    }

    /// Orders each connection that `chosen` chooses; waking a task does not run it.
    fn order(&self, order: Order, chosen: impl Fn(&Wire) -> bool) {
        self.open.borrow().values().filter(|wire| chosen(wire)).for_each(|wire| wire.give_order(order));
    }

    async fn sweep(&self) {
        let mut interval = tokio::time::interval(self.limits.sweep);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = interval.tick().await;
            self.clock.set(now.into_std());
            self.order(Order::Expire, |wire| wire.has_expired(&self.limits));
            if self.occupancy.is_crowded() {
                self.relieve();
            }
        }
    }
}

/// Takes connections and serves each in a task of its own until `shutdown` resolves, then lets
/// what is in flight end.
pub async fn serve<A: Answer>(
    listener: Listener,
    answers: Rc<A>,
    limits: Limits,
    occupancy: Arc<Occupancy>,
    shutdown: impl Future<Output = ()>,
) {
    let listener = match listener.watch() {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(error = %error, "failed to watch the listening socket: this worker serves nobody");
            return;
        }
    };
    let connections = Rc::new(Connections {
        open: RefCell::default(),
        opened: Cell::new(0),
        ended: Notify::new(),
        clock: Rc::new(Cell::new(Instant::now())),
        limits,
        occupancy,
    });
    connections.occupancy.add_worker();
    let sweeper = tokio::task::spawn_local({
        let connections = Rc::clone(&connections);
        async move { connections.sweep().await }
    });
    let protocol = Rc::new(connection::protocol());
    let start = |(stream, peer): (Stream, Option<IpAddr>)| {
        let Ok(seat) = connections.occupancy.take_seat(peer) else {
            // Whether it arrives is the client's affair: it has more than its share.
            let _ = stream.write_at_once(&answer::on_the_wire(answers.refuse(&Refusal::ConnectionsMany)));
            return;
        };
        if connections.occupancy.is_crowded() {
            connections.relieve();
        }
        let (number, wire) = connections.add(stream, peer);
        let (connections, protocol, answers) = (Rc::clone(&connections), Rc::clone(&protocol), Rc::clone(&answers));
        tokio::task::spawn_local(async move {
            connection::serve(&protocol, wire, answers).await;
            connections.remove(number);
            drop(seat);
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
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(error = %error, pause_ms = pause.as_millis(), "failed to accept connections");
                tokio::select! {
                    biased;
                    () = &mut shutdown => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }

    // Those who connected before the shutdown and wait in the kernel would be reset.
    while let Some(Ok(accepted)) = listener.accept().now_or_never() {
        start(accepted);
    }
    drop(listener);
    drain(&connections).await;
    sweeper.abort();
}

/// After an error that only waiting can help, such as no file descriptor being left.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The client gave up before it was accepted: the next one is as good as ever.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn drain(connections: &Connections) {
    /// A request may be on its way, on a new connection or on a kept one that a busy proxy is about
    /// to use again: ending it before that would lose a hit.
    const NEXT_REQUEST: Duration = Duration::from_millis(500);
    connections.order(Order::Part, |_| true);
    let ended = async {
        let _ = tokio::time::timeout(NEXT_REQUEST, connections.all_ended()).await;
        connections.order(Order::Finish, |_| true);
        connections.all_ended().await;
    };
    if tokio::time::timeout(connections.limits.drain, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "some connections did not end in time and are cut off");
        connections.order(Order::Expire, |_| true);
        tokio::task::yield_now().await;
    }
}
