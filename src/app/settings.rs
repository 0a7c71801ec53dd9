//! The server's settings, from the configuration.

use crate::config::{self, Config};
use crate::server::{ConnectionLimit, Token, Tokens};

pub fn tokens(config: &Config) -> Tokens {
    let token = |secret: &Option<config::Secret>| secret.as_ref().map(|secret| Token::new(secret.expose()));
    Tokens { write: token(&config.admin_token), read: token(&config.admin_read_token) }
}

/// The configured number of connections, or as many as the process may open files for.
pub fn connection_limit(config: &Config) -> ConnectionLimit {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = connections(config.limits.connections, files);
    ConnectionLimit::new(connections, config.limits.connections_per_address, config.trusted_proxies.clone())
}

fn connections(configured: u32, files: u64) -> usize {
    /// Files for the database, Redis and the admin listener.
    const OTHER_FILES: u64 = 128;
    let room = files.saturating_sub(OTHER_FILES).max(64);
    u64::from(configured).min(room) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest_of_the_node() {
        assert_eq!(connections(16_384, 65_536), 16_384);
        assert_eq!(connections(16_384, 1_024), 896);
        assert_eq!(connections(16_384, 100), 64, "some connections even so");
        assert_eq!(connections(10, 100), 10);
        assert_eq!(connections(u32::MAX, u64::MAX), u32::MAX as usize);
    }
}
