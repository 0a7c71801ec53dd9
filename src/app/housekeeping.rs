//! What a node does by itself now and then: page counts that are kept no longer go.

use std::sync::Arc;
use std::time::Duration;

use crate::counter::Day;
use crate::server::node::Node as _;

use super::Node;

/// Days end at most so long before their pages' counts go.
const INTERVAL: Duration = Duration::from_secs(3_600);

/// Looks through all sites again and again. Never returns.
pub async fn run(node: Arc<Node>) {
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
        tokio::time::sleep(INTERVAL).await;
    }
}
