//! Redis: publication of the node's counts, and the other nodes' counts.
//!
//! ```text
//! ports      what publication needs of the node
//! keys       names and contents of keys
//! commands   commands that a node sends, and so a Redis user's rights
//! client     connection, scripts, replies, preflight, health
//! publish    the publisher: live traffic, pages, questions, what Redis lacks
//! read       totals for figures, queries, remote sync
//! audit      verify and repair
//! visitors   sketches and salts
//! vouching   networks that have read pages
//! registers  hashes of last-writer-wins registers
//! page_rules editors' rules of pages
//! tokens     editors' tokens
//! ```
//! `client` knows `ports`, `keys` and `commands`; the others know `client`. `read` and `audit` also know
//! `publish`, and `read` knows `visitors`.
//!
//! Publication, the connection and regular reads have one thread of their own. A page view waits for it a quarter of
//! a second at most. Queries and operators' requests use its connection from their threads. All counts are in the
//! node's file: whatever Redis loses is published again. A node publishes its sources'
//! contributions rather than increments, so that repeated and reordered calls change nothing (see
//! `raise.lua`).

mod audit;
pub mod client;
pub mod commands;
pub mod keys;
mod page_rules;
pub mod ports;
mod publish;
mod read;
mod registers;
mod tokens;
mod visitors;
mod vouching;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, mpsc, watch};

use self::audit::repair::serve_recounts;
pub use self::audit::{Place, repair_stopped, verify_stopped};
use self::client::connect::connect;
use self::client::health::Health;
pub use self::client::preflight::{Preflight, preflight};
pub use self::client::server_time::ServerTime;
use self::client::suspects::Suspects;
pub use self::client::target::{Identity, Target, TargetError, parse};
use self::client::{Connections, Shared, policy, preflight as rights};
use self::keys::Keys;
use self::ports::Node;
use self::publish::Publisher;
pub use self::publish::ask::read_digests;
pub use self::publish::merge_counts;
use self::read::queries::Queries;
use self::read::remote_sync::{self, RemoteSync};
use self::read::totals::Totals;
pub use self::tokens::exchange_of_stopped as exchange_tokens_of_stopped;
use crate::counter::verification::{Repair, Verification};
use crate::counter::{Day, EditorRule, EditorToken, Period, RegisteredSite, Salt, Site, Source};
use crate::metrics::Metrics;

pub const CALLS_PER_SECOND_DEFAULT: u32 = 2_000;

/// Syncs that may wait, and the limit of one that an operator waits for.
const SYNCS_MAX: usize = 16;
pub const SYNC_WAIT_MAX: Duration = Duration::from_secs(10);
/// Sites with digests to recount that may wait; a later round finds the others again.
const RECOUNTS_MAX: usize = 16;
/// Limit of a wait for a salt: the first hits of a day wait.
const SALT_WAIT_MAX: Duration = Duration::from_secs(1);

/// Settings of publication.
#[derive(Debug, Clone)]
pub struct Settings {
    pub target: Target,
    /// First part of every key's name.
    pub prefix: String,
    /// True to publish although Redis may evict counters.
    pub allow_eviction: bool,
    /// Limit of calls that publish live traffic.
    pub calls_per_second: u32,
}

/// Differences between what the nodes of the sites agreed on in Redis and these settings, in words. None where Redis
/// can't be asked: preflight says why.
pub async fn disagreements(target: &Target, prefix: &str, sites: &[Site]) -> Vec<String> {
    match connect(target).await {
        Ok((link, _)) => publish::agreement::differences(&link, &Keys::new(prefix), sites).await,
        Err(_) => Vec::new(),
    }
}

/// Running publication.
pub struct Publication {
    /// Queries for pages, titles and history.
    pub queries: Queries,
    /// Reads of totals for figures.
    pub totals: Arc<Totals>,
    pub shared: Arc<Shared>,
    /// One permit, for the operator's request that is served.
    audits: Semaphore,
    stop: watch::Sender<Option<Instant>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Closed when the thread has ended.
    done: watch::Receiver<()>,
}

/// Starts publishing on a thread of its own.
pub fn start<N: Node>(settings: Settings, node: Arc<N>, metrics: Arc<Metrics>) -> std::io::Result<Publication> {
    let Settings { target, prefix, allow_eviction, calls_per_second } = settings;
    let shared = Arc::new(Shared {
        keys: Keys::new(&prefix),
        connections: Connections::new(target),
        health: Health::default(),
        server_time: ServerTime::default(),
        suspects: Suspects::default(),
    });
    let (syncs, syncs_received) = mpsc::channel(SYNCS_MAX);
    let (totals, reads) = Totals::new(Arc::clone(&shared), syncs);
    let totals = Arc::new(totals);
    let (stop, stopped) = watch::channel(None);
    let (end, done) = watch::channel(());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let of_thread = (Arc::clone(&shared), Arc::clone(&totals));
    let thread = std::thread::Builder::new().name("redis".to_owned()).spawn(move || {
        // History must not slow down hits, where the system has priorities of threads.
        let _ = rustix::process::setpriority_process(None, 5);
        let (shared, totals) = of_thread;
        runtime.block_on(async move {
            let (recounts, recounts_received) = mpsc::channel(RECOUNTS_MAX);
            let publisher = Publisher::new(Arc::clone(&node), Arc::clone(&shared), metrics, calls_per_second, recounts);
            let visitors = visitors::Publisher::new(Arc::clone(&node), Arc::clone(&shared));
            let votes = vouching::Votes::new(Arc::clone(&node), Arc::clone(&shared));
            let rules = page_rules::Exchange::new(Arc::clone(&node), Arc::clone(&shared));
            let tokens = tokens::Exchange::new(Arc::clone(&node), Arc::clone(&shared));
            let publishing = futures_util::future::join5(
                publisher.run(stopped.clone()),
                visitors.run(stopped.clone()),
                votes.run(stopped.clone()),
                rules.run(stopped.clone()),
                tokens.run(stopped),
            );
            let node = node.as_ref();
            tokio::select! {
                _ = publishing => {}
                () = shared.connections.supervise() => {}
                () = totals.serve(reads, node) => {}
                () = policy::run(&shared.connections, &shared.health, allow_eviction) => {}
                () = rights::watch_rights(node, &shared) => {}
                () = shared.server_time.run(&shared.connections) => {}
                () = serve_recounts(node, &shared, recounts_received) => {}
                () = remote_sync::serve(node, &shared, syncs_received) => {}
                () = remote_sync::run(node, &shared) => {}
            }
        });
        drop(end);
    })?;
    let thread = Mutex::new(Some(thread));
    let queries = Queries::new(Arc::clone(&shared));
    Ok(Publication { queries, totals, shared, audits: Semaphore::new(1), stop, thread, done })
}

impl Publication {
    /// Periods of which Redis may have pages of the site.
    pub fn page_periods(site: &RegisteredSite, now: DateTime<Utc>) -> Vec<Period> {
        publish::periods::page_periods(&site.site, now)
    }

    /// Copies other sources' counters of the site, and an import's of pages, from Redis into the node's file.
    /// False if that failed or took longer than `wait_max`.
    pub async fn sync_remote<N: Node>(
        &self,
        node: &N,
        site: &RegisteredSite,
        import: Option<&Source>,
        wait_max: Option<Duration>,
    ) -> bool {
        let Shared { keys, connections, .. } = &*self.shared;
        let syncing = connections.run(async |link| RemoteSync { node, keys, link, site }.with_pages(import).await);
        let synced = match wait_max {
            None => syncing.await,
            Some(wait_max) => tokio::time::timeout(wait_max, syncing).await.unwrap_or(None),
        };
        synced.is_some()
    }

    /// Compares Redis with the node's file. The error is in words.
    pub async fn verify<N: Node>(&self, node: &N, site: &RegisteredSite) -> Result<Verification, String> {
        let _permit = self.audits.acquire().await;
        audit::verify(&self.shared, node, site).await
    }

    /// Makes counters in Redis the sum of their contributions again, and publishes the whole site again.
    pub async fn repair<N: Node>(&self, node: &N, site: &RegisteredSite) -> Result<Repair, String> {
        let _permit = self.audits.acquire().await;
        audit::repair(&self.shared, node, site).await
    }

    /// Agrees with the other nodes on the salt of a site's day: the first node to write it decides. None if
    /// that failed or took too long.
    pub async fn share_salt(&self, site: &Site, day: Day, drawn: Salt) -> Option<Salt> {
        let Shared { keys, connections, .. } = &*self.shared;
        let sharing = async {
            // Just after the start there is no connection yet.
            connections.watch().wait_for(|number| *number != 0).await.ok()?;
            connections.run(async |link| visitors::agree(link, keys, site, day, drawn).await).await?
        };
        tokio::time::timeout(SALT_WAIT_MAX, sharing).await.ok().flatten()
    }

    /// Brings Redis an editor's rule, if it answers soon; otherwise a later exchange does.
    pub async fn publish_rule(&self, site: &Site, rule: &EditorRule) {
        page_rules::publish(&self.shared, self.shared.keys.page_rules(&site.counted_as), rule).await;
    }

    /// Brings Redis a token of an editor, if it answers soon; otherwise a later exchange does.
    pub async fn publish_token(&self, token: &EditorToken) {
        tokens::publish(&self.shared, token).await;
    }

    /// Complaints, part by part, in words for an operator.
    pub fn degraded(&self) -> Vec<(&'static str, String)> {
        let Shared { connections, health, .. } = &*self.shared;
        let away =
            connections.down().map(|(since, reason)| ("redis", format!("{reason}; since {} s", since.as_secs())));
        away.into_iter().chain(health.complaints()).collect()
    }

    /// Publishes the last changes, and stops at the deadline.
    pub async fn drain(&self, deadline: Duration) {
        self.stop.send_replace(Some(Instant::now() + deadline));
        let mut done = self.done.clone();
        // Resolves when the channel closes. A call in flight may outlast the deadline a little.
        let _ = tokio::time::timeout(deadline + Duration::from_secs(1), done.changed()).await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(std::thread::JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

/// A drop without a drain stops publication at once: the node's file has the rest.
impl Drop for Publication {
    fn drop(&mut self) {
        self.stop.send_if_modified(|deadline| {
            let is_running = deadline.is_none();
            *deadline = deadline.or(Some(Instant::now()));
            is_running
        });
    }
}
