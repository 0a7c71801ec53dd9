//! Listening sockets that were open before this process was (socket activation): systemd, or whoever
//! starts the node, keeps them while one process ends and the next begins, so nobody is refused.

use std::net::TcpListener;

use anyhow::Context as _;
use listenfd::ListenFd;

/// The name, given by `FileDescriptorName=` of a socket unit, of one for the admin listener.
const ADMIN: &str = "admin";

/// What was handed over; with nothing, the node binds what its configuration says.
#[derive(Debug, Default)]
pub struct Inherited {
    pub(super) public: Vec<TcpListener>,
    pub(super) admin: Vec<TcpListener>,
}

impl Inherited {
    /// Takes what the environment says was handed over to this process (`LISTEN_FDS`, `LISTEN_PID`).
    pub fn take() -> anyhow::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut handed_over = ListenFd::from_env();
        let mut inherited = Self::default();
        for at in 0..handed_over.len() {
            let name = names.next().unwrap_or_default();
            let listener = handed_over
                .take_tcp_listener(at)
                .with_context(|| format!("socket {at} (`{name}`) that was handed over is not a listening TCP socket"))?
                .context("a socket was handed over twice")?;
            listener.set_nonblocking(true).context("can't use a socket that was handed over")?;
            if name == ADMIN { inherited.admin.push(listener) } else { inherited.public.push(listener) }
        }
        Ok(inherited)
    }
}

/// One socket for each of at least `workers` threads: threads that share one take turns.
pub(super) fn spread(sockets: &[TcpListener], workers: usize) -> std::io::Result<Vec<TcpListener>> {
    sockets.iter().cycle().take(workers.max(sockets.len())).map(TcpListener::try_clone).collect()
}
