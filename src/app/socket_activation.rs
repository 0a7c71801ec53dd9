//! Socket activation: systemd opens the listening sockets and passes them to each process in turn, so that
//! a restart refuses nobody.

use std::net::TcpListener;

use anyhow::Context as _;
use listenfd::ListenFd;

/// Name of a socket for the admin listener (`FileDescriptorName=` in its unit).
const ADMIN: &str = "admin";

/// The sockets that were passed. A listener without one binds the configured address.
#[derive(Debug, Default)]
pub struct ActivatedSockets {
    pub(super) public: Vec<TcpListener>,
    pub(super) admin: Vec<TcpListener>,
}

impl ActivatedSockets {
    /// Takes the sockets that the environment names (`LISTEN_FDS`, `LISTEN_PID`).
    pub fn take() -> anyhow::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        for at in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            let listener = passed
                .take_tcp_listener(at)
                .with_context(|| {
                    format!("socket {at} (`{name}`) passed by the service manager is not a listening TCP socket")
                })?
                .context("the service manager passed a socket twice")?;
            listener.set_nonblocking(true).context("can't use a socket passed by the service manager")?;
            if name == ADMIN { sockets.admin.push(listener) } else { sockets.public.push(listener) }
        }
        Ok(sockets)
    }
}

/// A socket for each of at least `workers` threads; threads that share one take turns.
pub(super) fn spread(sockets: &[TcpListener], workers: usize) -> std::io::Result<Vec<TcpListener>> {
    sockets.iter().cycle().take(workers.max(sockets.len())).map(TcpListener::try_clone).collect()
}
