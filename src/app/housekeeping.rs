//! Regular work of a node: it deletes page counts and visitors' salts that are over, and writes the
//! numbers of uncounted hits.

use std::time::Duration;

use crate::counter::Day;

use super::Node;

/// Longest time between a page count's end and its deletion.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3_600);
/// Longest time between a salt's end and its deletion.
const VISITORS_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time of uncounted hits that a crash loses.
const UNCOUNTED_INTERVAL: Duration = Duration::from_secs(60);

/// Never returns.
pub async fn run(node: &Node) {
    futures_util::future::join3(expire_pages(node), forget_visitors(node), write_uncounted(node)).await;
}

/// Goes through all sites, again and again.
async fn expire_pages(node: &Node) {
    loop {
        for site in node.current_sites().iter() {
            let today = Day::at((node.now)(), site.site.time_zone);
            match node.ledger.expire_pages(site, today).await {
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
        if let Err(error) = node.ledger.forget_visitors(&node.current_sites(), (node.now)()).await {
            tracing::warn!("salts of visitors' keys that are over could not be deleted yet: {error}");
        }
        tokio::time::sleep(VISITORS_INTERVAL).await;
    }
}

async fn write_uncounted(node: &Node) {
    loop {
        tokio::time::sleep(UNCOUNTED_INTERVAL).await;
        node.uncounted.write_changes();
    }
}
