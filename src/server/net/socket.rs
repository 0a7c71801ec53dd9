//! Sockets: TCP, or a unix socket that a proxy on this machine connects to.

use std::io;
use std::net::{self, IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net as unix;
use std::path::Path;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

/// A bound socket on which a worker will accept.
#[derive(Debug)]
pub enum Listener {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener),
}

/// A listener registered with the current runtime.
pub enum Watched {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listener {
    pub fn watch(self) -> io::Result<Watched> {
        match self {
            Self::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Watched::Tcp),
            Self::Unix(listener) => tokio::net::UnixListener::from_std(listener).map(Watched::Unix),
        }
    }
}

impl Watched {
    /// Accepts a connection; the peer's address is none on a unix socket.
    pub async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Left(stream), Some(peer.ip())))
            }
            Self::Unix(listener) => Ok((Stream::Right(listener.accept().await?.0), None)),
        }
    }
}

/// A client's connection.
pub type Stream = Either<TcpStream, UnixStream>;

/// The socket under a connection, for calls that don't wait for the runtime's readiness event.
pub fn socket(stream: &Stream) -> SockRef<'_> {
    match stream {
        Either::Left(tcp) => SockRef::from(tcp),
        Either::Right(unix) => SockRef::from(unix),
    }
}

/// Connections that wait in the kernel until a worker takes them; the kernel may cap it lower.
const BACKLOG: i32 = 4096;

/// Binds `address` once for each worker; the kernel spreads clients among the sockets.
///
/// With port 0, all sockets share the first one's port.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<net::TcpListener>> {
    if address.port() != 0 {
        // SO_REUSEPORT would share the port with any other process that set that option.
        open(address, false)?;
    }
    let mut address = address;
    let mut listeners = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = open(address, true)?;
        socket.listen(BACKLOG)?;
        let listener = net::TcpListener::from(socket);
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

/// Binds a unix socket at `path`, from which the workers accept in turn.
///
/// Every user who may enter its folder may connect.
pub fn bind_unix(path: &Path, workers: usize) -> io::Result<Vec<unix::UnixListener>> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    // A process that ended leaves its file behind. A file that a process listens on is left alone.
    if is_socket && unix::UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let listener = unix::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    (0..workers).map(|_| listener.try_clone()).collect()
}
