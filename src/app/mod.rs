//! Builds the node and everything around it; `main` and the tests start the same thing.

mod heart;
mod housekeeping;
mod inherited;
mod node;
mod scrape;
pub mod service_manager;
mod spared;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock;
use anyhow::Context as _;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use crate::config::{self, Config, PublicAddress};
use crate::ledger::{DirectoryLock, Ledger};
use crate::metrics::Metrics;
use crate::redis;
use crate::server::hit::dedup::Dedup;
use crate::server::hit::rate_limit::{Rate, RateLimiter, RateLimits, WhenExceeded};
use crate::server::{self, AdminSettings, ConnectionLimit, Listener, PublicSettings, Timeouts, Token, Tokens};

use spared::Spared;

pub use inherited::Inherited;
pub use node::Node;

/// How long the end of the process may wait for Redis; what is not published by then is published
/// by the next start.
const DRAIN: Duration = Duration::from_secs(5);

/// A running node.
#[derive(Debug)]
pub struct Running {
    pub public_address: PublicAddress,
    pub admin_address: SocketAddr,
    node: Arc<Node>,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    pulses: Vec<heart::Pulse>,
}

/// Starts a node: takes the data directory, binds, serves.
pub fn start(config: Config) -> anyhow::Result<Running> {
    start_on(config, &Inherited::default())
}

/// Starts a node on sockets that were handed over; it binds those that were not.
pub fn start_on(mut config: Config, inherited: &Inherited) -> anyhow::Result<Running> {
    let metrics = Arc::new(Metrics::new());
    let target = config.redis_target().context("the `redis` setting can't be used")?;
    // Everything that can be refused is refused before the first file is written.
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (public_address, listeners) = bind_public(&inherited.public, &config.listen, workers)?;
    let admin_listeners = bind_admin(&inherited.admin, config.admin_listen)?;
    let admin_address = address_of(&admin_listeners)?;
    let mut lock = DirectoryLock::take(&config.data_dir)?;
    lock.sign(&reachable(admin_address).to_string()).context("can't write the data directory's lock file")?;
    // Taken, not copied: a hundred thousand of them are 40 MB.
    let configured = std::mem::take(&mut config.sites);
    let (ledger, sites) = Ledger::open(lock, &config.data_dir, configured, target.is_some(), Arc::clone(&metrics))?;
    server::series::create(&metrics, &sites);
    ledger.check_in_background(&sites, clock::now());
    let node = Arc::new(Node::new(ledger, sites, Spared::open(&config.data_dir), clock::now));
    if let Some(target) = target {
        let settings = redis::Settings {
            target,
            prefix: config.redis_prefix.clone(),
            allow_eviction: config.redis_allow_eviction,
            calls_per_second: redis::CALLS_PER_SECOND_DEFAULT,
        };
        let publication = redis::start(settings, Arc::clone(&node), Arc::clone(&metrics));
        node.publish_through(publication.context("can't start publishing")?);
    }
    metrics.collect_at_scrape(scrape::AtScrape::new(&node, config.data_dir.clone()));
    let (stop, stopped) = watch::channel(false);
    let (mut threads, mut pulses) = (Vec::new(), Vec::new());
    let public = Arc::new(PublicSettings {
        path_prefix: config.path_prefix.clone(),
        demo: config.is_demo,
        limits_new_pages: config.limits.new_pages,
        trusted_proxies: trusted_proxies(&config.trusted_proxies),
        rate_limiter: Arc::new(RateLimiter::new(&rate_limits(&config.limits))),
        dedup: Arc::new(Dedup::default()),
        timeouts: timeouts(&config.limits),
        connection_limit: Arc::new(connection_limit(&config)),
    });
    for listener in listeners {
        let serving = (Arc::clone(&node), Arc::clone(&public), Arc::clone(&metrics));
        let until = until_stopped(stopped.clone());
        let (pulse, heart) = heart::heart();
        pulses.push(pulse);
        threads.push(on_a_thread("worker", heart, move || {
            let (node, settings, metrics) = serving;
            server::serve_public(listener, node, settings, metrics, until)
        })?);
    }
    let connection_limit = Arc::new(ConnectionLimit::of_admin());
    let admin = Arc::new(AdminSettings { tokens: tokens(&config), connection_limit });
    for listener in admin_listeners {
        let serving = (Arc::clone(&node), Arc::clone(&admin), Arc::clone(&metrics));
        let until = until_stopped(stopped.clone());
        let (pulse, heart) = heart::heart();
        pulses.push(pulse);
        threads.push(on_a_thread("admin", heart, move || {
            let (node, settings, metrics) = serving;
            server::serve_admin(listener, node, settings, metrics, until)
        })?);
    }
    let (keeping, until) = (Arc::clone(&node), until_stopped(stopped));
    // Not among the pulses: no hit waits for it.
    let (_, heart) = heart::heart();
    threads.push(on_a_thread("housekeeping", heart, move || async move {
        tokio::select! {
            () = housekeeping::run(&keeping) => {}
            () = until => {}
        }
    })?);
    Ok(Running { public_address, admin_address, node, metrics, stop, threads, pulses })
}

impl Running {
    /// Takes over the sites of a configuration that was read again.
    pub async fn reload(&self, config: Config) -> anyhow::Result<()> {
        let sites = self.node.ledger().register(config.sites).await?;
        server::series::create(&self.metrics, &sites);
        self.node.replace_sites(sites);
        Ok(())
    }

    /// Resolves when every server thread and the committer have answered; never, if one is stuck.
    pub async fn lives(&self) {
        for pulse in &self.pulses {
            pulse.feel().await;
        }
        // Giving nobody a number: what counts is that the committer answers, be it with a refusal.
        let _ = self.node.ledger().register(Vec::new()).await;
    }

    /// Stops accepting, finishes what is in flight, publishes, folds, and ends.
    pub fn shutdown(self) {
        // No receiver left means that all workers have ended.
        let _ = self.stop.send(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a server thread has panicked");
            }
        }
        self.node.write_spared();
        if let Some(publication) = self.node.publication() {
            let drained = Builder::new_current_thread().enable_all().build().map(|runtime| {
                runtime.block_on(async {
                    // Folding hands the last page counts to publication.
                    if let Err(error) = self.node.ledger().fold().await {
                        tracing::warn!("the last hits are on disk but not folded: {error}");
                    }
                    publication.drain(DRAIN).await;
                });
            });
            if let Err(error) = drained {
                tracing::warn!("the last counts are published at the next start: {error}");
            }
        }
        self.node.ledger().close();
    }
}

/// Where a listener on all of a machine's addresses can be reached from the machine itself.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Where the public listener is, and a socket of it for each worker: of those that were handed over,
/// or else new ones.
fn bind_public(
    inherited: &[std::net::TcpListener],
    address: &PublicAddress,
    workers: usize,
) -> anyhow::Result<(PublicAddress, Vec<Listener>)> {
    let tcp = match address {
        PublicAddress::Unix(path) if inherited.is_empty() => {
            let sockets = server::bind_unix(path, workers).with_context(|| {
                format!("can't listen on {address}: its folder must be there and writable, and no other program listen there")
            })?;
            return Ok((address.clone(), sockets.into_iter().map(Listener::from).collect()));
        }
        PublicAddress::Tcp(tcp) if inherited.is_empty() => {
            server::bind(*tcp, workers).with_context(|| refused("listen", tcp))?
        }
        _ => share(inherited, workers)?,
    };
    Ok((PublicAddress::Tcp(address_of(&tcp)?), tcp.into_iter().map(Listener::from).collect()))
}

fn address_of(sockets: &[std::net::TcpListener]) -> anyhow::Result<SocketAddr> {
    sockets.first().context("no socket was bound")?.local_addr().context("a bound socket has no address")
}

fn trusted_proxies(trusted: &config::TrustedProxies) -> server::TrustedProxies {
    let field = match trusted.field {
        config::ForwardedField::XForwardedFor => server::ForwardedField::XForwardedFor,
        config::ForwardedField::Forwarded => server::ForwardedField::Forwarded,
    };
    server::TrustedProxies { networks: trusted.networks.clone(), unix_socket: trusted.unix_socket, field }
}

fn tokens(config: &Config) -> Tokens {
    let token = |secret: &Option<config::Secret>| secret.as_ref().map(|secret| Token::new(secret.expose()));
    Tokens { write: token(&config.admin_token), read: token(&config.admin_read_token) }
}

fn timeouts(limits: &config::Limits) -> Timeouts {
    Timeouts {
        head: limits.header_timeout,
        body: limits.body_timeout,
        write: limits.write_timeout,
        write_renews: false,
        idle: limits.idle_timeout,
    }
}

/// As many connections as are configured, or as the process may have files for.
fn connection_limit(config: &Config) -> ConnectionLimit {
    /// For the database, Redis, the admin listener.
    const OTHER_FILES: u64 = 128;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = files.saturating_sub(OTHER_FILES).max(64);
    let connections = u64::from(config.limits.connections).min(room) as usize;
    ConnectionLimit::new(connections, config.limits.connections_per_address, trusted_proxies(&config.trusted_proxies))
}

fn rate_limits(limits: &config::Limits) -> RateLimits {
    let rate = |rate: Option<config::Rate>| rate.map(|config::Rate { per_second, burst }| Rate { per_second, burst });
    RateLimits {
        address: rate(limits.address),
        page: rate(limits.page),
        site: rate(limits.site),
        when_exceeded: if limits.ignores_excess { WhenExceeded::Ignore } else { WhenExceeded::Refuse },
    }
}

fn bind_admin(inherited: &[std::net::TcpListener], address: SocketAddr) -> anyhow::Result<Vec<std::net::TcpListener>> {
    if inherited.is_empty() {
        return server::bind(address, 1).with_context(|| refused("admin-listen", address));
    }
    share(inherited, 1)
}

fn share(inherited: &[std::net::TcpListener], workers: usize) -> anyhow::Result<Vec<std::net::TcpListener>> {
    inherited::spread(inherited, workers).context("can't share a socket that was handed over")
}

fn refused(setting: &str, address: impl std::fmt::Display) -> String {
    format!("can't listen on {address}: is another program using the port? choose another with --{setting}")
}

async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the process's will to serve.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Runs a server on a thread and a single-threaded runtime of its own.
fn on_a_thread<F: Future<Output = ()>>(
    name: &str,
    heart: heart::Heart,
    serve: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(async {
                let beating = tokio::task::spawn_local(heart.beat());
                serve().await;
                beating.abort();
            }),
            Err(error) => tracing::error!("can't start a worker: {error}"),
        })
        .context("can't start a thread")
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
