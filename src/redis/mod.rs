//! Publication: the sum over all nodes, in Redis.
//!
//! Everything runs on one thread of its own, which a request never waits for longer than a quarter
//! of a second. Nothing of a node's counts is only here: whatever Redis loses is brought again from
//! the node's file, and whatever the network repeats or reorders changes nothing, because a node
//! publishes what its sources have contributed, not what to add (see `raise.lua`).

mod check;
pub mod commands;
pub mod connection;
mod examine;
mod health;
pub mod layout;
mod learn;
pub mod node;
mod policy;
mod publish;
mod queries;
pub mod raise;
mod script;
mod sheet;
mod sweep;
pub mod target;
mod titles;
mod totals;
mod verify;
pub mod visitors;
mod witness;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::connection::Connections;
pub use self::examine::{Examination, examine};
use self::health::Health;
use self::layout::Keys;
use self::publish::Publisher;
pub use self::target::{Identity, Target, TargetError, parse};
use self::totals::Totals;
use self::verify::{Desk, Order};
pub use self::verify::{Place, repair_stopped, verify_stopped};
use self::witness::Witnesses;
use crate::counter::verification::{Repair, Verification};
use crate::counter::{Day, Salt, SiteNumber};
use crate::metrics::Metrics;

pub const RAISES_PER_SECOND_DEFAULT: u32 = 2_000;

/// Lessons that may be waited for, and how long.
const LESSONS_MAX: usize = 16;
/// Orders of operators that may wait.
const ORDERS_MAX: usize = 16;
const LESSON_WAIT_MAX: Duration = Duration::from_secs(10);

/// Salts that may be waited for, and how long the first hits of a day wait for theirs.
const SALTS_MAX: usize = 1_024;
const SALT_WAIT_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Settings {
    pub target: Target,
    /// Begins every key's name.
    pub prefix: String,
    /// Publish though Redis may evict counters.
    pub allow_eviction: bool,
    /// Budget for calls that publish live traffic.
    pub raises_per_second: u32,
}

/// The running publication.
pub struct Publication {
    keys: Keys,
    connections: Arc<Connections>,
    totals: Arc<Totals>,
    health: Arc<Health>,
    lessons: mpsc::Sender<learn::Wish>,
    orders: mpsc::Sender<(SiteNumber, Order)>,
    salts: mpsc::Sender<visitors::SaltWish>,
    page_questions: Semaphore,
    stop: watch::Sender<Option<Instant>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Closed when the thread's work is done.
    done: watch::Receiver<()>,
}

/// Starts publishing on a thread of its own.
pub fn start<N: visitors::Node>(
    settings: Settings,
    node: Arc<N>,
    metrics: Arc<Metrics>,
) -> std::io::Result<Publication> {
    provide_cryptography();
    let connections = Arc::new(Connections::new(settings.target.clone()));
    let health = Arc::new(Health::default());
    let (totals, wishes) = Totals::new(Arc::clone(&connections));
    let totals = Arc::new(totals);
    let (lessons, wanted_lessons) = mpsc::channel(LESSONS_MAX);
    let (orders, wanted_orders) = mpsc::channel(ORDERS_MAX);
    let (salts, wanted_salts) = mpsc::channel(SALTS_MAX);
    let (stop, stopped) = watch::channel(None);
    let (end, done) = watch::channel(());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let keys = Keys::new(&settings.prefix);
    let parts = Parts {
        settings,
        node,
        metrics,
        connections: Arc::clone(&connections),
        totals: Arc::clone(&totals),
        health: Arc::clone(&health),
    };
    let thread = std::thread::Builder::new().name("redis".to_owned()).spawn(move || {
        // A history that is brought to an empty Redis leaves hits their time, where the system knows a
        // priority for a thread.
        let _ = rustix::process::setpriority_process(None, 5);
        runtime.block_on(parts.run(wishes, wanted_lessons, wanted_orders, wanted_salts, stopped));
        drop(end);
    })?;
    let thread = Mutex::new(Some(thread));
    let page_questions = Semaphore::new(queries::PAGE_QUESTIONS_MAX);
    Ok(Publication { keys, connections, totals, health, lessons, orders, salts, page_questions, stop, thread, done })
}

/// The client brings TLS without its cryptography.
fn provide_cryptography() {
    // An error means that there is some already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Publication {
    /// Resolves when the site's totals are younger than a second, or when that would take too long.
    pub async fn refresh(&self, site: SiteNumber) {
        self.totals.refresh(site).await;
    }

    /// Reads the site's totals now: more of them are wanted than the last read brought. Resolves
    /// when they are in, or when that would take too long.
    pub async fn read_again(&self, site: SiteNumber) {
        self.totals.read_again(site).await;
    }

    /// Brings what Redis knows of the site's own counters into the node's file. False: that did not
    /// come about in time.
    pub async fn learn(&self, site: SiteNumber) -> bool {
        let (done, learnt) = oneshot::channel();
        let learning = async { self.lessons.send((site, done)).await.is_ok() && learnt.await.is_ok() };
        tokio::time::timeout(LESSON_WAIT_MAX, learning).await.unwrap_or(false)
    }

    /// Holds Redis against the node's file. The error is in words.
    pub async fn verify(&self, site: SiteNumber) -> Result<Verification, String> {
        self.order(site, Order::Verify).await
    }

    /// Makes counters in Redis the sum of their parts again, and has all of the site brought there.
    pub async fn repair(&self, site: SiteNumber) -> Result<Repair, String> {
        self.order(site, Order::Repair).await
    }

    async fn order<T>(
        &self,
        site: SiteNumber,
        order: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Order,
    ) -> Result<T, String> {
        let (done, answer) = oneshot::channel();
        let is_taken = self.orders.try_send((site, order(done))).is_ok();
        let answer = if is_taken { answer.await.ok() } else { None };
        answer.unwrap_or_else(|| Err("the node is stopping, or at work on other orders".to_owned()))
    }

    /// Agrees with the other nodes on the salt of a site's day: the first that any has drawn. None:
    /// that did not come about in time.
    pub async fn share_salt(&self, site: SiteNumber, day: Day, drawn: Salt) -> Option<Salt> {
        let (done, agreed) = oneshot::channel();
        let sharing = async {
            // Just after the start there is no connection yet.
            self.connections.watch().wait_for(|number| *number != 0).await.ok()?;
            self.salts.send((site, day, drawn, done)).await.ok()?;
            agreed.await.ok()
        };
        tokio::time::timeout(SALT_WAIT_MAX, sharing).await.ok().flatten()
    }

    /// Whether Redis answers.
    pub fn up(&self) -> bool {
        self.connections.is_up()
    }

    /// Whether nothing may be published, although Redis may answer.
    pub fn is_held(&self) -> bool {
        self.health.is_held()
    }

    /// How many sites have something wrong with their keys; `degraded` names them.
    pub fn troubled_sites(&self) -> usize {
        self.health.troubled_sites()
    }

    /// What is wrong, part by part, in words for an operator.
    pub fn degraded(&self) -> Vec<(&'static str, String)> {
        let away =
            self.connections.down().map(|(since, reason)| ("redis", format!("{reason}; since {} s", since.as_secs())));
        away.into_iter().chain(self.health.complaints()).collect()
    }

    /// Publishes all that has changed once more, and stops; by the deadline, whatever is left.
    pub async fn drain(&self, deadline: Duration) {
        self.stop.send_replace(Some(Instant::now() + deadline));
        let mut done = self.done.clone();
        // Closing is what is waited for; a call in flight may take a little longer than the deadline.
        let _ = tokio::time::timeout(deadline + Duration::from_secs(1), done.changed()).await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(std::thread::JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

/// Dropped without a drain, publication stops where it is: the node's file knows the rest.
impl Drop for Publication {
    fn drop(&mut self) {
        self.stop.send_if_modified(|deadline| {
            let is_running = deadline.is_none();
            *deadline = deadline.or(Some(Instant::now()));
            is_running
        });
    }
}

struct Parts<N> {
    settings: Settings,
    node: Arc<N>,
    metrics: Arc<Metrics>,
    connections: Arc<Connections>,
    totals: Arc<Totals>,
    health: Arc<Health>,
}

impl<N: visitors::Node> Parts<N> {
    /// Everything that goes on, until publication is told to stop.
    async fn run(
        self,
        wishes: mpsc::Receiver<SiteNumber>,
        lessons: mpsc::Receiver<learn::Wish>,
        orders: mpsc::Receiver<(SiteNumber, Order)>,
        salts: mpsc::Receiver<visitors::SaltWish>,
        stopped: watch::Receiver<Option<Instant>>,
    ) {
        let Self { settings, node, metrics, connections, totals, health } = self;
        let keys = Keys::new(&settings.prefix);
        let witnesses = Arc::new(Witnesses::default());
        let (brings, repairs) = mpsc::channel(ORDERS_MAX);
        let publisher = Publisher::new(
            Arc::clone(&node),
            keys.clone(),
            Arc::clone(&connections),
            Arc::clone(&witnesses),
            Arc::clone(&totals),
            Arc::clone(&health),
            metrics,
            settings.raises_per_second,
            repairs,
        );
        let desk =
            Desk { node: Arc::clone(&node), keys: keys.clone(), connections: Arc::clone(&connections), wishes: brings };
        let visitors =
            visitors::Publisher::new(Arc::clone(&node), keys.clone(), Arc::clone(&connections), Arc::clone(&health));
        let rights =
            examine::watch_rights(Arc::clone(&node), keys.clone(), Arc::clone(&connections), Arc::clone(&health));
        let publishing = futures_util::future::join(publisher.run(stopped.clone()), visitors.run(stopped));
        tokio::select! {
            _ = publishing => {}
            () = connections.supervise() => {}
            () = totals.serve(wishes, &node, &keys, &witnesses) => {}
            () = policy::run(Arc::clone(&connections), Arc::clone(&health), settings.allow_eviction) => {}
            () = rights => {}
            () = learn::serve(Arc::clone(&node), keys.clone(), Arc::clone(&connections), lessons) => {}
            () = desk.serve(orders) => {}
            () = visitors::serve_salts(Arc::clone(&node), keys.clone(), Arc::clone(&connections), salts) => {}
            () = learn::run(Arc::clone(&node), keys.clone(), Arc::clone(&connections)) => {}
        }
    }
}
