//! The connection that all share, and its replacement when it fails.
//!
//! The library goes on using a connection that timed out, or whose server is no longer the primary.
//! Here the first sign of either drops the connection, and a new one is made from the address.
//! With Sentinel, the primary's address is asked for again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{ErrorKind, RedisError, RedisResult};
use tokio::sync::watch;

use super::connect::{CONNECT_TIMEOUT, Primary, connect};
use super::link::Link;
use super::reply::{Fault, fault_of, reason_of};
use super::target::Target;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Interval at which Sentinel is asked whether the connected server is still the primary.
const PRIMARY_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// A cluster's connection is many: it is replaced only after no shard has answered for this long.
const CLUSTER_SILENCE_MAX: Duration = Duration::from_secs(3);

/// Shared connection, replaced when it fails.
pub struct Connections {
    target: Target,
    state: Mutex<State>,
    /// Number of the open connection; 0 while there is none.
    current: watch::Sender<u64>,
    /// Changes with each server that answers.
    servers: AtomicU64,
}

/// Connection with its number, by which its failure is reported.
pub struct Lease {
    pub link: Link,
    pub number: u64,
}

struct State {
    link: Option<Link>,
    number: u64,
    /// Time and reason of the loss; none while connected.
    down: Option<(Instant, String)>,
    last_success: Instant,
}

impl Connections {
    pub fn new(target: Target) -> Self {
        let state = State {
            link: None,
            number: 0,
            down: Some((Instant::now(), "not yet connected".to_owned())),
            last_success: Instant::now(),
        };
        Self { target, state: Mutex::new(state), current: watch::Sender::new(0), servers: AtomicU64::new(0) }
    }

    pub fn get(&self) -> Option<Lease> {
        let state = self.lock();
        state.link.clone().map(|link| Lease { link, number: state.number })
    }

    pub fn is_current(&self, lease: &Lease) -> bool {
        *self.current.borrow() == lease.number
    }

    pub fn is_up(&self) -> bool {
        *self.current.borrow() != 0
    }

    pub fn watch(&self) -> watch::Receiver<u64> {
        self.current.subscribe()
    }

    /// Duration and reason of an outage; none while connected.
    pub fn down(&self) -> Option<(Duration, String)> {
        let state = self.lock();
        state.down.as_ref().map(|(since, reason)| (since.elapsed(), format!("{reason} ({})", self.target)))
    }

    /// Notes that a server was restarted or replaced, perhaps behind a connection that stands.
    pub fn note_other_server(&self) {
        self.servers.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes with each server that answers.
    pub fn servers(&self) -> u64 {
        self.servers.load(Ordering::Relaxed)
    }

    pub fn succeeded(&self) {
        self.lock().last_success = Instant::now();
    }

    /// Reports that a call failed on connection `number`, which is replaced if it is to blame.
    pub fn failed(&self, number: u64, error: &RedisError) {
        if fault_of(error) == Fault::Site {
            return;
        }
        let mut state = self.lock();
        let is_partial =
            matches!(state.link, Some(Link::Cluster(_))) && state.last_success.elapsed() < CLUSTER_SILENCE_MAX;
        if state.number != number || state.link.is_none() || is_partial {
            return;
        }
        let reason = reason_of(error);
        tracing::warn!(redis = %self.target, %reason, "lost Redis; hits are still counted");
        state.link = None;
        state.down = Some((Instant::now(), reason));
        drop(state);
        self.current.send_replace(0);
    }

    /// Runs `work` on the connection, which an error of its own ends. None without a connection or after an error.
    pub async fn run<T>(&self, work: impl AsyncFnOnce(&Link) -> RedisResult<T>) -> Option<T> {
        let lease = self.get()?;
        work(&lease.link).await.inspect_err(|error| self.failed(lease.number, error)).ok()
    }

    /// Runs a check on each connection, and again after the pause that it returns, or `interval` if it failed.
    /// Never returns.
    pub async fn check(&self, interval: Duration, mut check: impl AsyncFnMut(&Link) -> RedisResult<Duration>) {
        let mut current = self.watch();
        loop {
            // Closed only with the connections.
            let _ = current.wait_for(|number| *number != 0).await;
            let pause = self.run(async |link| check(link).await).await.unwrap_or(interval);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = current.changed() => {}
            }
        }
    }

    /// Connects, and connects again after each loss. Never returns.
    pub async fn supervise(&self) {
        let mut backoff = BACKOFF_MIN;
        let mut watch = self.watch();
        loop {
            match connect(&self.target).await {
                Ok((link, primary)) => {
                    let connected_at = Instant::now();
                    self.connected(link);
                    self.until_lost(&mut watch, primary).await;
                    if connected_at.elapsed() > BACKOFF_MAX {
                        backoff = BACKOFF_MIN;
                    }
                }
                Err(error) => self.not_connected(&error),
            }
            tokio::time::sleep(backoff.mul_f64(rand::random_range(0.8..1.2))).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn connected(&self, link: Link) {
        let number = {
            let mut state = self.lock();
            state.number += 1;
            state.link = Some(link);
            state.last_success = Instant::now();
            state.down = None;
            state.number
        };
        tracing::info!(redis = %self.target, "connected to Redis");
        self.current.send_replace(number);
    }

    fn not_connected(&self, error: &RedisError) {
        let reason = reason_of(error);
        let mut state = self.lock();
        let since = state.down.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        let is_news = state.down.as_ref().is_none_or(|(_, known)| *known != reason);
        state.down = Some((since, reason.clone()));
        drop(state);
        if is_news {
            tracing::warn!(redis = %self.target, %reason, "can't reach Redis; hits are still counted");
        }
    }

    /// Returns when the connection is gone, or its server is no longer the primary.
    async fn until_lost(&self, watch: &mut watch::Receiver<u64>, mut primary: Option<Primary>) {
        loop {
            tokio::select! {
                // Closed only with `self`.
                _ = watch.wait_for(|number| *number == 0) => return,
                () = tokio::time::sleep(PRIMARY_CHECK_INTERVAL), if primary.is_some() => {}
            }
            let Some(Primary { sentinels, address }) = primary.as_mut() else { continue };
            let Ok(Ok(client)) = tokio::time::timeout(CONNECT_TIMEOUT, sentinels.async_get_client()).await else {
                continue;
            };
            let now = client.get_connection_info().addr().to_string();
            if now != *address {
                let moved = RedisError::from((ErrorKind::Io, "primary changed", format!("Sentinel now names {now}")));
                let number = self.lock().number;
                self.failed(number, &moved);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(reason: &str) -> RedisError {
        RedisError::from((ErrorKind::Io, "no connection", reason.to_owned()))
    }

    #[test]
    fn an_outage_lasts_from_its_start_and_has_its_latest_reason() {
        let connections = Connections::new(super::super::target::parse(&["redis://a".to_owned()], None).unwrap());
        assert!(!connections.is_up() && connections.get().is_none());
        assert_eq!(connections.down().unwrap().1, "not yet connected (redis://a:6379)");
        let began = connections.lock().down.as_ref().unwrap().0;
        for reason in ["refused", "timed out"] {
            connections.not_connected(&error(reason));
            assert!(connections.down().unwrap().1.contains(reason));
            assert_eq!(connections.lock().down.as_ref().unwrap().0, began);
        }
        // A late failure of a connection that is gone already.
        connections.failed(0, &error("late"));
        assert!(connections.down().unwrap().1.contains("timed out"));
    }
}
