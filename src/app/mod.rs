//! Builds the node and everything around it; `main` and the tests start the same thing.

mod alias_report;
mod bind;
mod clock_watch;
mod former_pages;
mod housekeeping;
mod kept_reads;
mod live_grants;
mod node;
mod reads;
mod recent_imports;
mod reload;
mod scrape;
pub mod service_manager;
mod settings;
mod settled_reads;
mod shown_figures;
mod threads;
mod uncounted;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::clock;
use crate::config::{Config, PublicAddress};
use crate::counter::Site;
use crate::ledger::{DirectoryLock, Ledger};
use crate::metrics::Metrics;
use crate::redis;
use crate::server::hit::dedup::Dedup;
use crate::server::hit::rate_limit::RateLimiter;
use crate::server::hit::{Canonicals, LiveHits, Parameters, Warnings};
use crate::server::{
    self, AdminSettings, ConnectionLimit, Listener, PublicSettings, Refusals, ReloadOrders, SiteChanges,
};

use uncounted::UncountedFile;

pub use bind::ActivatedSockets;
pub use node::Node;
pub use reload::Reloader;

/// Longest wait for Redis at the end; the next start publishes the rest.
const DRAIN: Duration = Duration::from_secs(5);
/// Longest time of the last write of figures that were shown.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// A running node.
#[derive(Debug)]
pub struct Running {
    pub public_address: PublicAddress,
    pub admin_address: SocketAddr,
    node: Arc<Node>,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    probes: Vec<threads::Probe>,
}

/// Starts a node whose sites stay as they are: takes the data directory, binds, serves.
pub fn start(config: Config) -> anyhow::Result<Running> {
    let (reload, _) = ReloadOrders::channel();
    start_on(config, &ActivatedSockets::default(), reload)
}

/// Starts a node on sockets passed by the service manager; it binds the others. `reload`: the way to a [`Reloader`].
pub fn start_on(mut config: Config, activated: &ActivatedSockets, reload: ReloadOrders) -> anyhow::Result<Running> {
    let metrics = Arc::new(Metrics::new());
    let target = config.redis_target().context("the `redis` setting can't be used")?;
    // Bind before the first file is written: a refused start must leave nothing behind.
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (public_address, listeners) = bind::bind_public(&activated.public, &config.listen, workers)?;
    let admin_listeners = bind::bind_admin(&activated.admin, config.admin_listen)?;
    let admin_address = bind::address_of(&admin_listeners)?;
    let mut lock = DirectoryLock::take(&config.data_dir)?;
    lock.sign(&bind::reachable(admin_address).to_string())?;
    // Taken, not copied: a hundred thousand sites are 40 MB.
    let configured = std::mem::take(&mut config.sites);
    let (ledger, sites) = Ledger::open(lock, &config.data_dir, configured, target.is_some(), Arc::clone(&metrics))?;
    server::series::create(&metrics, &sites);
    ledger.check_in_background(&sites, clock::now());
    let uncounted = UncountedFile::open(&config.data_dir);
    let node = Arc::new(Node::new(ledger, sites, uncounted, clock::now));
    node.replace_configured_tokens(std::mem::take(&mut config.tokens));
    if let Some(target) = target {
        let settings = redis::Settings {
            target,
            prefix: config.redis_prefix.clone(),
            allow_eviction: config.redis_allow_eviction,
            calls_per_second: redis::CALLS_PER_SECOND_DEFAULT,
        };
        let publication = redis::start(settings, Arc::clone(&node), Arc::clone(&metrics));
        node.publish_through(publication.context("can't start publishing")?);
        Builder::new_current_thread().build()?.block_on(async {
            node.recall_shown().await;
            node.recall_imports().await;
        });
    }
    metrics.collect_at_scrape(scrape::AtScrape::new(&node, config.data_dir.clone()));
    let (stop, stopped) = watch::channel(false);
    let mut started = Vec::new();
    let warnings = Arc::new(Warnings::new(&metrics));
    let parameters = Arc::new(Parameters::new(Arc::clone(&warnings)));
    let refusals = Arc::new(Refusals::new(settings::sites_source(&config), clock::now()));
    let canonicals = Arc::new(Canonicals::new(Arc::clone(&warnings)));
    let live_hits = Arc::new(LiveHits::default());
    let places = settings::places(&config, listeners.len());
    let public = Arc::new(PublicSettings {
        path_prefix: config.path_prefix.clone(),
        demo: config.is_demo,
        has_editors_page: config.dashboard.is_on_public(),
        limits_new_pages: config.limits.new_pages,
        trusted_proxies: config.trusted_proxies.clone(),
        rate_limiter: Arc::new(RateLimiter::new(&config.limits.rates)),
        dedup: Arc::new(Dedup::default()),
        canonicals: Arc::clone(&canonicals),
        parameters: Arc::clone(&parameters),
        live_hits: Arc::clone(&live_hits),
        refusals: Arc::clone(&refusals),
        timeouts: config.limits.timeouts,
        connection_limit: Arc::new(settings::connection_limit(&config, places)),
    });
    let rate_limiter = Arc::clone(&public.rate_limiter);
    let manage = Arc::new(settings::manage(&config, live_hits, Arc::clone(&refusals)));
    for listener in listeners {
        let (node, settings, metrics) = (Arc::clone(&node), Arc::clone(&public), Arc::clone(&metrics));
        let manage = Arc::clone(&manage);
        let until = threads::until_stopped(stopped.clone());
        let serve = move || server::serve_public(listener, node, settings, manage, metrics, until);
        started.push(threads::spawn("worker", serve)?);
    }
    let connection_limit = Arc::new(ConnectionLimit::of_admin(places.admin));
    let admin = Arc::new(AdminSettings {
        tokens: settings::tokens(&config),
        connection_limit,
        canonicals,
        parameters,
        warnings,
        refusals: Arc::clone(&refusals),
        reload,
    });
    for listener in admin_listeners {
        let (node, settings, metrics) = (Arc::clone(&node), Arc::clone(&admin), Arc::clone(&metrics));
        let manage = Arc::clone(&manage);
        let until = threads::until_stopped(stopped.clone());
        let serve = move || server::serve_admin(Listener::Tcp(listener), node, settings, manage, metrics, until);
        started.push(threads::spawn("admin", serve)?);
    }
    let (mut threads, probes): (Vec<_>, Vec<_>) = started.into_iter().unzip();
    let (keeping, until) = (Arc::clone(&node), threads::until_stopped(stopped));
    let (housekeeping, _) = threads::spawn("housekeeping", move || async move {
        tokio::select! {
            () = housekeeping::run(&keeping, &refusals, &rate_limiter) => {}
            () = until => {}
        }
        refusals.report_last();
    })?;
    // Without its probe: no hit waits for it.
    threads.push(housekeeping);
    Ok(Running { public_address, admin_address, node, metrics, stop, threads, probes })
}

impl Running {
    /// Replaces the sites by those of a new configuration.
    async fn replace_sites(&self, sites: Vec<Site>) -> anyhow::Result<SiteChanges> {
        let sites = self.node.ledger.register(sites).await?;
        let changes = SiteChanges::between(&self.node.current_sites(), &sites);
        server::series::create(&self.metrics, &sites);
        self.node.replace_sites(sites);
        alias_report::log(&self.node).await;
        Ok(changes)
    }

    /// Resolves when every server thread and the committer have answered; never, if one is stuck.
    pub async fn lives(&self) {
        for probe in &self.probes {
            probe.check().await;
        }
        // Registers nothing: any answer, even a refusal, shows that the committer runs.
        let _ = self.node.ledger.register(Vec::new()).await;
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
        self.node.uncounted.write_changes();
        let finished = Builder::new_current_thread().enable_all().build().map(|runtime| {
            runtime.block_on(async {
                self.node.look_at_clock(true).await;
                let Some(publication) = self.node.publication() else { return };
                // Folding hands the last page counts to publication.
                if let Err(error) = self.node.ledger.fold().await {
                    tracing::warn!("the last hits are on disk but not folded: {error}");
                }
                publication.drain(DRAIN).await;
                let writing = async {
                    self.node.write_floors(true).await;
                    self.node.keep_shown().await;
                };
                if tokio::time::timeout(LAST_WRITE, writing).await.is_err() {
                    tracing::warn!("some figures that were shown could not be written in {} s", LAST_WRITE.as_secs());
                }
            });
        });
        if let Err(error) = finished {
            tracing::warn!("the last counts are published at the next start: {error}");
        }
        self.node.ledger.close();
    }
}
