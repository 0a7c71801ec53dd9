//! Addresses to listen on.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

/// The public listener's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicAddress {
    Tcp(SocketAddr),
    /// Path of a socket for a proxy on this machine.
    Unix(PathBuf),
}

impl fmt::Display for PublicAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// Scheme of a unix socket's path; alone, the unix socket among the trusted proxies.
pub const UNIX: &str = "unix:";
/// Longest path that the kernel takes.
const UNIX_PATH_BYTES_MAX: usize = 107;

const EXPECTED: &str = "expected an address and a port such as `127.0.0.1:8080` or `[::]:8080`";

/// Checks that `text` is written as an address and a port; fails with what would be right.
pub fn check(text: &str) -> Result<(), String> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    let unbracketed = text.matches(':').count() > 1 && !text.starts_with('[');
    match text.rsplit_once(':') {
        _ if text.contains("://") => Err(format!("has a scheme; {EXPECTED}")),
        _ if text.parse::<u16>().is_ok() => Err(format!("is a port alone; did you mean `127.0.0.1:{text}`?")),
        None => Err(format!("has no port; {EXPECTED}")),
        Some(("", port)) if port.parse::<u16>().is_ok() => {
            Err(format!("names no address; did you mean `0.0.0.0:{port}`, all of this machine, or `127.0.0.1:{port}`?"))
        }
        Some(_) if unbracketed => Err(format!("is an IPv6 address without brackets; {EXPECTED}")),
        Some((_, port)) if port.parse::<u16>().is_err() => {
            Err(format!("has `{port}` where a port from 0 to 65535 was expected; {EXPECTED}"))
        }
        Some(_) => Ok(()),
    }
}

/// Checks an address and a port, or a unix socket.
pub fn check_public(text: &str) -> Result<(), String> {
    let Some(path) = text.strip_prefix(UNIX) else { return check(text) };
    if !Path::new(path).is_absolute() || path.ends_with('/') {
        return Err("names no file from the root on; expected for example `unix:/run/thongke/http.sock`".to_owned());
    }
    if path.len() > UNIX_PATH_BYTES_MAX {
        return Err(format!("is longer than the {UNIX_PATH_BYTES_MAX} bytes that a socket's path may have"));
    }
    Ok(())
}

pub fn resolve_public(text: &str) -> Result<PublicAddress, String> {
    check_public(text)?;
    match text.strip_prefix(UNIX) {
        Some(path) => Ok(PublicAddress::Unix(path.into())),
        None => resolve(text).map(PublicAddress::Tcp),
    }
}

/// The socket address that `text` stands for; a name is looked up.
pub fn resolve(text: &str) -> Result<SocketAddr, String> {
    check(text)?;
    let mut addresses = text.to_socket_addrs().map_err(|error| format!("can't be used: {error}; {EXPECTED}"))?;
    addresses.next().ok_or_else(|| format!("is a name that has no address; {EXPECTED}"))
}

/// True if a connection to one could reach the other.
pub fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

/// True if only this machine can reach it.
pub fn is_of_this_machine(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
