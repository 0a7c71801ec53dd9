//! The server's settings, from the configuration.

use std::path::Path;
use std::sync::Arc;

use crate::config::{self, Config};
use crate::server::hit::LiveHits;
use crate::server::{ConnectionLimit, Entrance, ManageSettings, Refusals, SitesSource, Token, Tokens};

pub fn tokens(config: &Config) -> Tokens {
    let token = |secret: &Option<config::Secret>| secret.as_ref().map(|secret| Token::new(secret.expose()));
    Tokens { write: token(&config.admin_token), read: token(&config.admin_read_token) }
}

/// The place where the sites are written down, as commands from any folder can name it.
pub fn sites_source(config: &Config) -> SitesSource {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    SitesSource {
        file: config.file.as_deref().map(absolute),
        folder: config.sites_dir.as_ref().map(|folder| absolute(&folder.path)),
        path_prefix: config.path_prefix.clone(),
    }
}

/// The editors' pages, as both listeners have them.
pub fn manage(config: &Config, live_hits: Arc<LiveHits>, refusals: Arc<Refusals>) -> ManageSettings {
    ManageSettings {
        dashboard: config.dashboard,
        path_prefix: config.path_prefix.clone(),
        live_hits,
        refusals,
        entrance: Entrance::new(config.trusted_proxies.clone(), config.dashboard_http),
    }
}

/// Descriptors that each runtime opens.
const RUNTIME_FILES: u64 = 4;
/// Threads beside the workers that have a runtime.
const OTHER_RUNTIMES: u64 = 2;
/// Descriptors of the connections to Redis.
const REDIS_FILES: u64 = 8;

/// Connections that each listener may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    pub public: usize,
    /// Kept free of the public listener's, so that probes are answered whatever happens there.
    pub admin: usize,
}

/// The configured number of connections, or as many as the process may open files for.
pub fn places(config: &Config, workers: usize) -> Places {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let open = std::fs::read_dir("/proc/self/fd").map_or(32, |files| files.count() as u64);
    let redis = if config.redis.is_empty() { 0 } else { REDIS_FILES };
    let in_use = open + redis + RUNTIME_FILES * (workers as u64 + OTHER_RUNTIMES);
    let places = divided(config.limits.connections, limit, in_use);
    if places.public < config.limits.connections as usize {
        tracing::warn!(
            "only {limit} files may be open at once, so there are {} connections at most, not {}; raise `LimitNOFILE=` \
             or `ulimit -n`, or lower `connections`",
            places.public,
            config.limits.connections
        );
    }
    places
}

/// Divides the descriptors that are left after those in use.
fn divided(configured: u32, limit: u64, in_use: u64) -> Places {
    /// Some connections even so.
    const MIN: u64 = 8;
    let free = limit.saturating_sub(in_use);
    let admin = (free / 20).clamp(MIN, 64);
    // Files that are opened for a while.
    let others = (free / 32).clamp(2, 32);
    let public = free.saturating_sub(admin + others).max(MIN);
    Places { public: u64::from(configured).min(public) as usize, admin: admin as usize }
}

pub fn connection_limit(config: &Config, places: Places) -> ConnectionLimit {
    ConnectionLimit::new(places.public, config.limits.connections_per_address, config.trusted_proxies.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest_of_the_node() {
        let divided = |configured, limit| {
            let places = divided(configured, limit, 40);
            (places.public, places.admin)
        };
        assert_eq!(divided(16_384, 65_536), (16_384, 64));
        assert_eq!(divided(16_384, 1_024), (905, 49));
        assert_eq!(divided(16_384, 64), (14, 8));
        assert_eq!(divided(16_384, 10), (8, 8), "some connections even so");
        assert_eq!(divided(10, 100), (10, 8));
        assert_eq!(divided(u32::MAX, u64::MAX), (u32::MAX as usize, 64));
    }
}
