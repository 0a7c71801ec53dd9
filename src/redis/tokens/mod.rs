//! Exchange of editors' tokens. The nodes' files have them; Redis is where nodes learn of each other's.
//!
//! A look reads the hash's stamp, which changes with each change of a token. Another stamp than that of the last comparison
//! begins a new one, both ways. So does a new connection, and so does time: a key may have lost a field.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{RedisError, RedisResult};
use tokio::sync::watch;

use super::client::connect::connect;
use super::client::target::Target;
use super::client::{Fault, Link, Shared, fault_of, reason_of};
use super::keys::{self, Keys, STAMP};
use super::ports::Node;
use super::registers::{self, Written};
use crate::counter::tokens::REGISTERS_MAX;
use crate::counter::{EditorToken, EditorTokens};

/// Pause between two looks: a revoked token opens nothing on other nodes after about so long.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Longest time between two comparisons.
const COMPARE_INTERVAL: Duration = Duration::from_secs(15);
/// Limit of a wait for Redis when a token has been changed. Later a look brings it.
const PUBLISH_WAIT_MAX: Duration = Duration::from_millis(500);
/// Limit of the wait of a command on the files of a stopped node.
const STOPPED_WAIT_MAX: Duration = Duration::from_secs(10);

/// Exchanges the tokens.
pub struct Exchange<N> {
    node: Arc<N>,
    shared: Arc<Shared>,
    compared: Option<Compared>,
    /// The last error, which is reported once.
    complaint: Option<String>,
}

/// The state of both sides at the last comparison.
struct Compared {
    at: Instant,
    connection: u64,
    stamp: Option<String>,
    own: Arc<EditorTokens>,
}

impl<N: Node> Exchange<N> {
    pub fn new(node: Arc<N>, shared: Arc<Shared>) -> Self {
        Self { node, shared, compared: None, complaint: None }
    }

    /// Looks at once, after each connection and regularly, until `stop` has a deadline.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) {
        let mut connection = self.shared.connections.watch();
        while stop.borrow_and_update().is_none() {
            let number = *connection.borrow_and_update();
            if number != 0 && !self.shared.health.is_held() {
                let shared = Arc::clone(&self.shared);
                tokio::select! {
                    _ = shared.connections.run(async |link| self.look(link, number).await) => {}
                    _ = stop.changed() => continue,
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                _ = connection.changed() => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Only an error of the connection is one.
    async fn look(&mut self, link: &Link, connection: u64) -> Result<(), RedisError> {
        let complaint = match self.exchange(link, connection).await {
            Ok(()) => None,
            Err(error) if fault_of(&error) == Fault::Link => return Err(error),
            Err(error) => Some(reason_of(&error)),
        };
        if let Some(complaint) = complaint.as_ref().filter(|complaint| self.complaint.as_ref() != Some(*complaint)) {
            tracing::warn!("can't exchange the tokens of editors: {complaint}");
        }
        self.complaint = complaint;
        Ok(())
    }

    async fn exchange(&mut self, link: &Link, connection: u64) -> RedisResult<()> {
        let key = self.shared.keys.tokens();
        // Before the comparison: a change meanwhile makes another stamp.
        let stamp: Option<String> = link.query(redis::cmd("HGET").arg(&key).arg(STAMP)).await?;
        let own = self.node.tokens();
        let is_known = self.compared.as_ref().is_some_and(|last| {
            last.at.elapsed() < COMPARE_INTERVAL
                && last.connection == connection
                && last.stamp == stamp
                && Arc::ptr_eq(&last.own, &own)
        });
        if is_known {
            return Ok(());
        }
        let learned = compare(link, &key, &own).await?;
        if !learned.is_empty() {
            self.node.learn_tokens(learned).await;
        }
        self.compared = Some(Compared { at: Instant::now(), connection, stamp, own });
        Ok(())
    }
}

/// Brings Redis a token that has just been changed, if it answers soon.
pub async fn publish(shared: &Shared, token: &EditorToken) {
    if shared.health.is_held() {
        return;
    }
    let key = shared.keys.tokens();
    let writing = shared.connections.run(async |link| write(link, &key, std::slice::from_ref(token)).await);
    let _ = tokio::time::timeout(PUBLISH_WAIT_MAX, writing).await;
}

/// Brings Redis the tokens of a stopped node's file that it lacks; returns those that the file lacks. The error is in
/// words.
pub async fn exchange_of_stopped(
    target: &Target,
    prefix: &str,
    own: &EditorTokens,
) -> Result<Vec<EditorToken>, String> {
    let exchanging = async {
        let (link, _) = connect(target).await?;
        compare(&link, &Keys::new(prefix).tokens(), own).await
    };
    match tokio::time::timeout(STOPPED_WAIT_MAX, exchanging).await {
        Ok(outcome) => outcome.map_err(|error| reason_of(&error)),
        Err(_) => Err(format!("no answer within {} s", STOPPED_WAIT_MAX.as_secs())),
    }
}

/// Brings Redis the tokens that it lacks; returns those that the node lacks.
async fn compare(link: &Link, key: &str, own: &EditorTokens) -> RedisResult<Vec<EditorToken>> {
    // More than nodes write: somebody else has.
    let fields = registers::read(link, key, REGISTERS_MAX * 2).await?;
    let held = fields.iter().filter_map(|(field, value)| keys::token(field, value));
    let held: HashMap<_, _> = held.map(|token| (token.name.clone(), token)).collect();
    let is_lacking = |token: &EditorToken| {
        held.get(&token.name).is_none_or(|held| (token.given_ms, &token.grant) > (held.given_ms, &held.grant))
    };
    let lacking: Vec<_> = own.all().filter(is_lacking).collect();
    for chunk in lacking.chunks(registers::OF_CALL_MAX) {
        write(link, key, chunk).await?;
    }
    Ok(held.into_values().filter(|token| own.lacks(token)).collect())
}

async fn write(link: &Link, key: &str, tokens: &[EditorToken]) -> RedisResult<()> {
    let registers = tokens.iter().map(|token| Written {
        field: token.name.to_string(),
        given_ms: token.given_ms,
        value: token.grant.as_deref(),
    });
    let stamp = format!("{:016x}", rand::random::<u64>());
    registers::write(link, key, &registers.collect::<Vec<_>>(), Some(stamp)).await
}
