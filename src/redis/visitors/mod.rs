//! Visitors in Redis: sketches, estimates and salts.
//!
//! A node sends whole sketches, which Redis merges into the site's, and merges the site's into its own.
//! So every node knows all visitors, and brings back sketches that Redis forgets.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{RedisError, RedisResult, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::client::{Fault, Lease, Link, Scripted, Shared, fault_of, reason_of, text};
use super::keys::Keys;
use crate::counter::{Day, RegisteredSite, Salt, Site, SiteNumber, Sketch, Window, visitor};
use crate::redis::ports::Node;

/// Time between publications of a site's visitors.
const INTERVAL: Duration = Duration::from_secs(2);
/// Sites of a round; the others wait for the next.
const SITES_MAX: usize = 1_000;
/// Sites whose past estimates are published in a round: history comes after live traffic.
const HISTORIES_MAX: usize = 50;
/// Sketches of one call. A site usually has those of two days and a few minutes.
const SKETCHES_MAX: usize = 16;
const ESTIMATES_MAX: usize = 500;

/// Reads a site's sketches from Redis into memory.
pub async fn read<N: Node>(link: &Link, site: SiteNumber, node: &N, keys: &Keys) -> Result<(), RedisError> {
    let Some(registered) = node.site(site).filter(|site| site.site.counts_visitors()) else { return Ok(()) };
    let windows = node.shown_windows(&registered).await;
    if windows.is_empty() {
        return Ok(());
    }
    let mut command = redis::cmd("MGET");
    for window in &windows {
        command.arg(keys.sketch(&registered.site, *window));
    }
    let texts: Vec<Value> = link.query(&command).await?;
    for (window, text) in windows.into_iter().zip(texts) {
        let sketch = match text {
            Value::BulkString(text) => Sketch::from_redis(&text).ok(),
            // A sketch that Redis lost is published again.
            Value::Nil => Some(Sketch::default()),
            _ => None,
        };
        // Any other value is ignored: memory has its own sketch.
        if let Some(sketch) = sketch {
            node.apply_remote_visitors(site, window, &sketch);
        }
    }
    Ok(())
}

/// Publishes the node's visitors, and agrees with other nodes on salts.
pub struct Publisher<N> {
    node: Arc<N>,
    shared: Arc<Shared>,
    /// Number of the connection on which everything was published.
    known: u64,
    /// Sites whose past estimates Redis may lack.
    histories: VecDeque<SiteNumber>,
    /// Error of Redis in this round.
    error: Option<String>,
}

impl<N: Node> Publisher<N> {
    pub fn new(node: Arc<N>, shared: Arc<Shared>) -> Self {
        Self { node, shared, known: 0, histories: VecDeque::new(), error: None }
    }

    /// Publishes until `stop` has a deadline, then publishes the last changes until the deadline.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<std::time::Instant>>) {
        let mut current = self.shared.connections.watch();
        loop {
            let deadline = *stop.borrow_and_update();
            if let Some(deadline) = deadline {
                let last = async { while self.round().await {} };
                let _ = tokio::time::timeout_at(Instant::from_std(deadline), last).await;
                return;
            }
            self.round().await;
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = stop.changed() => {}
                _ = current.changed() => {}
            }
        }
    }

    /// Returns true if the round left work.
    async fn round(&mut self) -> bool {
        let Some(Lease { link, number }) = self.shared.connections.get() else { return false };
        self.error = None;
        let outcome = self.publish(number, &link).await;
        let left = outcome.unwrap_or_else(|error| {
            self.shared.connections.failed(number, &error);
            false
        });
        let reason = self.error.take();
        if self.shared.health.set_visitors(reason.clone())
            && let Some(reason) = reason
        {
            tracing::warn!("{reason}");
        }
        left
    }

    /// Reports an error. Only an error of the connection ends the round.
    fn note_error(&mut self, site: Option<&RegisteredSite>, error: RedisError) -> Result<(), RedisError> {
        if fault_of(&error) == Fault::Link {
            return Err(error);
        }
        let of = site.map(|site| format!(" of {}", site.site.id)).unwrap_or_default();
        self.error = Some(format!("visitors{of} are not shared with other nodes: {}", reason_of(&error)));
        Ok(())
    }

    async fn publish(&mut self, number: u64, link: &Link) -> Result<bool, RedisError> {
        // Salts are shared even while nothing may be published: they are no counts.
        if let Err(error) = share_salts(self.node.as_ref(), &self.shared.keys, link).await {
            self.note_error(None, error)?;
        }
        if self.shared.health.is_held() {
            return Ok(false);
        }
        if number != self.known {
            // This may be another Redis, or one that lost everything.
            self.known = number;
            self.node.publish_all_visitors_again();
            let sites = self.node.sites();
            self.histories = sites.iter().filter(|site| site.site.counts_visitors()).map(|site| site.number).collect();
        }
        let changed = self.node.changes().take_visitors(SITES_MAX);
        let is_full = changed.len() == SITES_MAX;
        for (at, site) in changed.iter().enumerate() {
            if let Err(error) = self.publish_site(link, *site).await {
                // The other sites would fail on the same connection.
                changed[at..].iter().for_each(|site| self.node.put_back_sketches(*site, &[]));
                return Err(error);
            }
        }
        for _ in 0..HISTORIES_MAX {
            let Some(site) = self.histories.pop_front() else { break };
            if let Err(error) = self.publish_history(link, site).await {
                self.histories.push_back(site);
                return Err(error);
            }
        }
        Ok(is_full || !self.histories.is_empty())
    }

    async fn publish_site(&mut self, link: &Link, site: SiteNumber) -> Result<(), RedisError> {
        let Some(registered) = self.node.site(site) else { return Ok(()) };
        let mut sketches = self.node.take_sketches(site);
        while !sketches.is_empty() {
            let rest = sketches.split_off(sketches.len().min(SKETCHES_MAX));
            let windows: Vec<_> = sketches.iter().chain(&rest).map(|(window, _)| *window).collect();
            if let Err(error) = merge(link, &self.shared.keys, &registered.site, &sketches, &[]).await {
                self.node.put_back_sketches(site, &windows);
                return self.note_error(Some(&registered), error);
            }
            sketches = rest;
        }
        Ok(())
    }

    async fn publish_history(&mut self, link: &Link, site: SiteNumber) -> Result<(), RedisError> {
        let Some(registered) = self.node.site(site) else { return Ok(()) };
        let estimates = match self.node.visitor_estimates(site).await {
            Ok(estimates) => estimates,
            Err(error) => {
                tracing::debug!(site = %registered.site.id, "can't read its past visitors: {error}");
                return Ok(());
            }
        };
        for chunk in estimates.chunks(ESTIMATES_MAX) {
            if let Err(error) = merge(link, &self.shared.keys, &registered.site, &[], chunk).await {
                self.note_error(Some(&registered), error)?;
            }
        }
        Ok(())
    }
}

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("merge.lua")));

/// Merges sketches and estimates into a site's.
async fn merge(
    link: &Link,
    keys: &Keys,
    site: &Site,
    sketches: &[(Window, Sketch)],
    estimates: &[(Day, u64)],
) -> RedisResult<()> {
    let (key_names, arguments) = call(keys, site, sketches, estimates);
    // The reply is 0 for another time zone, of which publication of the counts complains.
    SCRIPT.run(link, &key_names, &arguments).await
}

/// Keys and arguments in the order in which the script reads them.
fn call(
    keys: &Keys,
    site: &Site,
    sketches: &[(Window, Sketch)],
    estimates: &[(Day, u64)],
) -> (Vec<String>, Vec<Vec<u8>>) {
    let mut key_names =
        vec![keys.meta(&site.counted_as), keys.merging(&site.counted_as), keys.estimates(&site.counted_as)];
    let mut arguments = vec![site.time_zone.name().as_bytes().to_vec()];
    for (window, sketch) in sketches {
        key_names.push(keys.sketch(site, *window));
        let day = window.minute.map_or_else(|| window.day.to_string(), |_| String::new());
        let expiry = window.expiry(site.time_zone).to_string();
        arguments.extend([sketch.to_redis(), expiry.into_bytes(), day.into_bytes()]);
    }
    for (day, estimate) in estimates {
        arguments.extend([day.to_string().into_bytes(), estimate.to_string().into_bytes()]);
    }
    (key_names, arguments)
}

/// Salts shared in a round.
const SHARED_MAX: usize = 1_000;

/// Shares salts that this node drew while Redis was away, and agrees on tomorrow's.
async fn share_salts<N: Node>(node: &N, keys: &Keys, link: &Link) -> Result<(), RedisError> {
    for (site, day) in node.salts_to_share().into_iter().take(SHARED_MAX) {
        let Some(registered) = node.site(site) else { continue };
        let own = node.salt(site, day).unwrap_or_else(|| Salt::new(rand::random()));
        if let Some(salt) = agree(link, keys, &registered.site, day, own).await? {
            node.keep_shared_salt(site, day, salt).await;
        }
    }
    Ok(())
}

/// Salt that all nodes use: `own` if there was none. None if the value in Redis is no salt.
pub async fn agree(link: &Link, keys: &Keys, site: &Site, day: Day, own: Salt) -> Result<Option<Salt>, RedisError> {
    let key = keys.salt(&site.counted_as, day);
    let expiry = visitor::salt_expiry(day, site.time_zone);
    let mut set = redis::cmd("SET");
    set.arg(&key).arg(own.to_hex()).arg("NX").arg("EXAT").arg(expiry);
    if link.query::<Option<()>>(&set).await?.is_some() {
        return Ok(Some(own));
    }
    let there: Value = link.query(redis::cmd("GET").arg(&key)).await?;
    Ok(text(&there).and_then(|text| Salt::from_hex(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Minute, Trace};

    #[test]
    fn a_call_has_the_sites_zone_then_sketches_with_their_expiries_then_estimates() {
        let site = Site::with_defaults("a".parse().unwrap(), Vec::new());
        let keys = Keys::new("thongke");
        let day = Day::from_ymd(2024, 6, 17).unwrap();
        let windows = [Window::of_day(day), Window::of_minute(day, Minute::from_number(28_643_340))];
        let sketch: Sketch = [Trace::of(b"a")].into_iter().collect();
        let sketches = windows.map(|window| (window, sketch.clone()));
        let (key_names, arguments) = call(&keys, &site, &sketches, &[(day.previous(), 12)]);
        let of_windows = windows.map(|window| keys.sketch(&site, window));
        assert_eq!(
            key_names[..3],
            [keys.meta(&site.counted_as), keys.merging(&site.counted_as), keys.estimates(&site.counted_as)]
        );
        assert_eq!(key_names[3..], of_windows);
        let expiry = |window: Window| window.expiry(site.time_zone).to_string().into_bytes();
        let bytes = |text: &str| text.as_bytes().to_vec();
        let expected = [
            bytes("Asia/Ho_Chi_Minh"),
            sketch.to_redis(),
            expiry(windows[0]),
            bytes("2024-06-17"),
            sketch.to_redis(),
            expiry(windows[1]),
            // A minute has no estimate to keep.
            Vec::new(),
            bytes("2024-06-16"),
            bytes("12"),
        ];
        assert_eq!(arguments, expected);
    }
}
