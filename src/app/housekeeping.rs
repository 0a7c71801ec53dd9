//! What a node does by itself now and then: what is kept no longer goes, page counts and the salts of
//! visitors' keys, and hits that were not counted are written down.

use std::time::Duration;

use crate::counter::Day;
use crate::server::ports::Node as _;

use super::Node;

/// Days end at most so long before their pages' counts go.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3_600);
/// So soon after its time a salt goes.
const VISITORS_INTERVAL: Duration = Duration::from_secs(10);
/// A crash forgets at most so much of what was not counted.
const SPARED_INTERVAL: Duration = Duration::from_secs(60);

/// Never returns.
pub async fn run(node: &Node) {
    futures_util::future::join3(expire_pages(node), forget_visitors(node), keep_spared(node)).await;
}

/// Looks through all sites again and again.
async fn expire_pages(node: &Node) {
    loop {
        for site in node.sites().iter() {
            let today = Day::at(node.now(), site.site.time_zone);
            match node.ledger().expire_pages(site, today).await {
                Ok(0) => {}
                Ok(deleted) => tracing::debug!(site = %site.site.id, deleted, "page counts expired"),
                // Tried again in an hour.
                Err(error) => tracing::debug!(site = %site.site.id, "page counts can't expire now: {error}"),
            }
        }
        tokio::time::sleep(EXPIRY_INTERVAL).await;
    }
}

async fn forget_visitors(node: &Node) {
    loop {
        if let Err(error) = node.forget_visitors().await {
            tracing::warn!("salts of visitors' keys that are over could not be deleted yet: {error}");
        }
        tokio::time::sleep(VISITORS_INTERVAL).await;
    }
}

async fn keep_spared(node: &Node) {
    loop {
        tokio::time::sleep(SPARED_INTERVAL).await;
        node.write_spared();
    }
}
