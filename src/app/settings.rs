//! The server's settings, from the configuration.

use crate::config::{self, Config};
use crate::server::{ConnectionLimit, Token, Tokens};

pub fn tokens(config: &Config) -> Tokens {
    let token = |secret: &Option<config::Secret>| secret.as_ref().map(|secret| Token::new(secret.expose()));
    Tokens { write: token(&config.admin_token), read: token(&config.admin_read_token) }
}

/// The configured number of connections, or as many as the process may open files for.
pub fn connection_limit(config: &Config) -> ConnectionLimit {
    /// Files for the database, Redis and the admin listener.
    const OTHER_FILES: u64 = 128;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = files.saturating_sub(OTHER_FILES).max(64);
    let connections = u64::from(config.limits.connections).min(room) as usize;
    ConnectionLimit::new(connections, config.limits.connections_per_address, config.trusted_proxies.clone())
}
