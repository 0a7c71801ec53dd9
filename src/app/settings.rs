//! The server's settings, from the configuration.

use crate::config::{self, Config};
use crate::server::hit::rate_limit::{Rate, RateLimits, WhenExceeded};
use crate::server::{self, ConnectionLimit, Timeouts, Token, Tokens};

pub fn trusted_proxies(trusted: &config::TrustedProxies) -> server::TrustedProxies {
    let field = match trusted.field {
        config::ForwardedField::XForwardedFor => server::ForwardedField::XForwardedFor,
        config::ForwardedField::Forwarded => server::ForwardedField::Forwarded,
    };
    server::TrustedProxies { networks: trusted.networks.clone(), unix_socket: trusted.unix_socket, field }
}

pub fn tokens(config: &Config) -> Tokens {
    let token = |secret: &Option<config::Secret>| secret.as_ref().map(|secret| Token::new(secret.expose()));
    Tokens { write: token(&config.admin_token), read: token(&config.admin_read_token) }
}

pub fn timeouts(limits: &config::Limits) -> Timeouts {
    Timeouts {
        head: limits.header_timeout,
        body: limits.body_timeout,
        write: limits.write_timeout,
        write_renews: false,
        idle: limits.idle_timeout,
    }
}

/// The configured number of connections, or as many as the process may open files for.
pub fn connection_limit(config: &Config) -> ConnectionLimit {
    /// Files for the database, Redis and the admin listener.
    const OTHER_FILES: u64 = 128;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = files.saturating_sub(OTHER_FILES).max(64);
    let connections = u64::from(config.limits.connections).min(room) as usize;
    ConnectionLimit::new(connections, config.limits.connections_per_address, trusted_proxies(&config.trusted_proxies))
}

pub fn rate_limits(limits: &config::Limits) -> RateLimits {
    let rate = |rate: Option<config::Rate>| rate.map(|config::Rate { per_second, burst }| Rate { per_second, burst });
    RateLimits {
        address: rate(limits.address),
        page: rate(limits.page),
        site: rate(limits.site),
        when_exceeded: if limits.ignores_excess { WhenExceeded::Ignore } else { WhenExceeded::Refuse },
    }
}
