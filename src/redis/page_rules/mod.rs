//! Exchange of editors' rules of pages. The nodes' files have them; Redis is where nodes learn of each other's.
//!
//! A round compares the rules of each site with those of Redis, both ways. It asks rather than remembers, so it doesn't
//! matter what Redis has lost, or whether a node was away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::{RedisError, RedisResult};
use tokio::sync::watch;

use super::client::{Fault, Link, Shared, fault_of, reason_of};
use super::keys;
use super::registers::{self, Written};
use crate::counter::editor_rules::REGISTERS_MAX;
use crate::counter::{EditorRule, PageAddress, RegisteredSite, RuleKind};
use crate::redis::ports::Node;

/// Pause between two rounds.
const INTERVAL: Duration = Duration::from_secs(15);
/// The same while nothing may be published, as just after a connection.
const HELD_PAUSE: Duration = Duration::from_secs(1);
/// Sites of a step, those that are asked about at once, and the pause between two steps: at most 2,000 sites a
/// second, as publication asks.
const STEP_SITES: usize = 200;
const SITES_AT_ONCE: usize = 20;
const STEP_PAUSE: Duration = Duration::from_millis(100);
/// Limit of a wait for Redis when an editor has changed a rule. Later a round brings it.
const PUBLISH_WAIT_MAX: Duration = Duration::from_millis(500);

/// Exchanges the rules of all sites.
pub struct Exchange<N> {
    node: Arc<N>,
    shared: Arc<Shared>,
    /// The last round's first error, which is reported once.
    complaint: Option<String>,
}

/// Rules of Redis, by page and kind.
type Held = HashMap<(PageAddress, RuleKind), EditorRule>;

impl<N: Node> Exchange<N> {
    pub fn new(node: Arc<N>, shared: Arc<Shared>) -> Self {
        Self { node, shared, complaint: None }
    }

    /// Compares the rules at once, after each connection and regularly, until `stop` has a deadline.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) {
        let mut connection = self.shared.connections.watch();
        while stop.borrow_and_update().is_none() {
            let is_up = *connection.borrow_and_update() != 0;
            let mut pause = INTERVAL;
            if is_up && self.shared.health.is_held() {
                pause = HELD_PAUSE;
            } else {
                let shared = Arc::clone(&self.shared);
                tokio::select! {
                    _ = shared.connections.run(async |link| self.round(link).await) => {}
                    _ = stop.changed() => continue,
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = connection.changed() => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Only an error of the connection is one.
    async fn round(&mut self, link: &Link) -> Result<(), RedisError> {
        let sites = self.node.sites();
        let sites: Vec<_> = sites.iter().cloned().collect();
        let (this, mut complaint) = (&*self, None);
        for step in sites.chunks(STEP_SITES) {
            let mut learned = Vec::new();
            let mut compared = futures_util::stream::iter(step)
                .map(|site| async move { (site, this.compare(link, site).await) })
                .buffer_unordered(SITES_AT_ONCE);
            while let Some((site, outcome)) = compared.next().await {
                match outcome {
                    Ok(rules) if rules.is_empty() => {}
                    Ok(rules) => learned.push((site.number, rules)),
                    Err(error) if fault_of(&error) == Fault::Link => return Err(error),
                    Err(error) => {
                        complaint.get_or_insert_with(|| format!("site {}: {}", site.site.id, reason_of(&error)));
                    }
                }
            }
            drop(compared);
            if !learned.is_empty() {
                this.node.learn_rules(learned).await;
            }
            tokio::time::sleep(STEP_PAUSE).await;
        }
        if let Some(complaint) = complaint.as_ref().filter(|complaint| self.complaint.as_ref() != Some(*complaint)) {
            tracing::warn!("can't exchange the rules of pages: {complaint}");
        }
        self.complaint = complaint;
        Ok(())
    }

    /// Brings Redis the rules that it lacks; returns those that the node lacks.
    async fn compare(&self, link: &Link, site: &RegisteredSite) -> RedisResult<Vec<EditorRule>> {
        let key = self.shared.keys.page_rules(&site.site.counted_as);
        let held = held(link, &key).await?;
        let own = site.editor_rules.as_deref();
        let is_lacking = |rule: &EditorRule| {
            let of_redis = held.get(&(rule.page.clone(), rule.kind));
            of_redis.is_none_or(|held| (rule.given_ms, &rule.value) > (held.given_ms, &held.value))
        };
        let lacking: Vec<_> = own.iter().flat_map(|own| own.all()).filter(is_lacking).collect();
        for chunk in lacking.chunks(registers::OF_CALL_MAX) {
            write(link, &key, chunk).await?;
        }
        Ok(held.into_values().filter(|rule| own.is_none_or(|own| own.lacks(rule))).collect())
    }
}

/// Brings Redis a rule that has just been changed, if it answers soon.
pub async fn publish(shared: &Shared, key: String, rule: &EditorRule) {
    if shared.health.is_held() {
        return;
    }
    let writing = shared.connections.run(async |link| write(link, &key, std::slice::from_ref(rule)).await);
    let _ = tokio::time::timeout(PUBLISH_WAIT_MAX, writing).await;
}

async fn write(link: &Link, key: &str, rules: &[EditorRule]) -> RedisResult<()> {
    let registers = rules.iter().map(|rule| Written {
        field: keys::rule_field(rule.kind, &rule.page),
        given_ms: rule.given_ms,
        value: rule.value.as_deref(),
    });
    registers::write(link, key, &registers.collect::<Vec<_>>(), None).await
}

/// All rules of a site's hash. Fields that this version doesn't write are left out.
async fn held(link: &Link, key: &str) -> RedisResult<Held> {
    // More than nodes write: somebody else has.
    let fields = registers::read(link, key, REGISTERS_MAX * 2).await?;
    let rules = fields.iter().filter_map(|(field, value)| keys::rule(field, value));
    Ok(rules.map(|rule| ((rule.page.clone(), rule.kind), rule)).collect())
}
