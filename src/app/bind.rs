//! Listening sockets: those passed by the service manager, or new ones on the configured addresses.
//!
//! systemd opens its sockets once and passes them to each process in turn, so that a restart refuses nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::Context as _;
use listenfd::ListenFd;

use crate::config::PublicAddress;
use crate::server::{self, Listener};

/// Name of a socket for the admin listener (`FileDescriptorName=` in its unit).
const ADMIN: &str = "admin";

/// The sockets that were passed. A listener without one binds the configured address.
#[derive(Debug, Default)]
pub struct ActivatedSockets {
    pub public: Vec<TcpListener>,
    pub admin: Vec<TcpListener>,
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
fn spread(sockets: &[TcpListener], workers: usize) -> std::io::Result<Vec<TcpListener>> {
    sockets.iter().cycle().take(workers.max(sockets.len())).map(TcpListener::try_clone).collect()
}

/// The public listener's address, and a socket for each worker.
pub fn bind_public(
    activated: &[TcpListener],
    address: &PublicAddress,
    workers: usize,
) -> anyhow::Result<(PublicAddress, Vec<Listener>)> {
    let tcp = match address {
        PublicAddress::Unix(path) if activated.is_empty() => {
            let sockets = server::bind_unix(path, workers).with_context(|| {
                format!("can't listen on {address}: its folder must be there and writable, and no other program listen there")
            })?;
            return Ok((address.clone(), sockets.into_iter().map(Listener::Unix).collect()));
        }
        PublicAddress::Tcp(tcp) if activated.is_empty() => {
            server::bind(*tcp, workers).with_context(|| refused("listen", tcp))?
        }
        _ => share(activated, workers)?,
    };
    Ok((PublicAddress::Tcp(address_of(&tcp)?), tcp.into_iter().map(Listener::Tcp).collect()))
}

pub fn address_of(sockets: &[TcpListener]) -> anyhow::Result<SocketAddr> {
    sockets.first().context("no socket was bound")?.local_addr().context("a bound socket has no address")
}

pub fn bind_admin(activated: &[TcpListener], address: SocketAddr) -> anyhow::Result<Vec<TcpListener>> {
    if activated.is_empty() {
        return server::bind(address, 1).with_context(|| refused("admin-listen", address));
    }
    share(activated, 1)
}

fn share(activated: &[TcpListener], workers: usize) -> anyhow::Result<Vec<TcpListener>> {
    spread(activated, workers).context("can't share a socket passed by the service manager")
}

fn refused(setting: &str, address: impl std::fmt::Display) -> String {
    format!("can't listen on {address}: is another program using the port? choose another with --{setting}")
}

/// The address at which this machine reaches a listener on all its addresses.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_by_the_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:81", "127.0.0.1:81"),
            ("[::]:81", "[::1]:81"),
            ("10.0.0.5:81", "10.0.0.5:81"),
            ("127.0.0.1:81", "127.0.0.1:81"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), reached);
        }
    }
}
