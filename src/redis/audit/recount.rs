//! Recounts of digests: Redis has all rows of the file, and a digest of this node's is still another.

use std::sync::Arc;

use redis::RedisResult;
use tokio::sync::mpsc;

use super::key_audit::KeyAudit;
use super::repair::set_digest;
use crate::counter::{Place, Site, SiteNumber};
use crate::redis::client::connection::Connections;
use crate::redis::client::link::Link;
use crate::redis::keys::Keys;
use crate::redis::ports::Node;

/// Tries of a digest that changes meanwhile.
const TRIES_MAX: usize = 3;

/// Serves the publisher's requests, beside publication: a key may have a million names.
pub struct Recounts<N> {
    pub node: Arc<N>,
    pub keys: Keys,
    pub connections: Arc<Connections>,
    /// Sites with a corrected digest, about which the publisher shall ask.
    pub corrected: mpsc::Sender<SiteNumber>,
}

impl<N: Node> Recounts<N> {
    /// Never returns.
    pub async fn serve(self, mut requests: mpsc::Receiver<(SiteNumber, Vec<Place>)>) {
        while let Some((number, places)) = requests.recv().await {
            let sites = self.node.sites();
            let (Some(site), Some((connection, link))) = (sites.by_number(number), self.connections.get()) else {
                continue;
            };
            match recount(&link, &self.keys, &site.site, &places).await {
                Ok(0) => {}
                Ok(digests) => {
                    tracing::warn!(site = %site.site.id, digests, "digests in Redis were not those of their counts; corrected");
                    // Closed only with the publisher.
                    let _ = self.corrected.send(number).await;
                }
                Err(error) => self.connections.failed(connection, &error),
            }
        }
        std::future::pending().await
    }
}

/// Makes each digest that of its contributions. Returns the number of those that were not.
async fn recount(link: &Link, keys: &Keys, site: &Site, places: &[Place]) -> RedisResult<usize> {
    let mut corrected = 0;
    for (pages_of, source) in places {
        let key = KeyAudit::new(keys, site, *pages_of);
        for _ in 0..TRIES_MAX {
            match key.recount(link, source).await? {
                None => {}
                Some(None) => break,
                Some(Some(wrong)) if set_digest(link, &key, &wrong).await? => {
                    corrected += 1;
                    break;
                }
                Some(Some(_)) => {}
            }
        }
    }
    Ok(corrected)
}
