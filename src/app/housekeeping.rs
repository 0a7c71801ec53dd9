//! Regular work of a node: it deletes page counts and visitors' salts that are over, writes the numbers of
//! uncounted hits, logs refused ones, gives memory back, and watches the clock, by which all deletion goes.

use std::time::{Duration, Instant};

use crate::counter::Day;

use super::{Node, alias_report};
use crate::server::Refusals;
use crate::server::hit::rate_limit::RateLimiter;

/// Longest time between a page count's end and its deletion.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3_600);
/// Interval of looks at the clock; each deletion looks for itself.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);
/// Longest time between a salt's end and its deletion.
const VISITORS_INTERVAL: Duration = Duration::from_secs(10);
/// Interval of writes of figures that were shown; longest time of those that a crash loses.
const FLOORS_INTERVAL: Duration = Duration::from_secs(5);
/// Time after which other nodes' hits that stand still are read from Redis into the file, and sites read at a time.
const REST: Duration = Duration::from_secs(30);
const SYNCS_MAX: usize = 10;
const SYNC_INTERVAL: Duration = Duration::from_secs(5);
/// Longest time of uncounted hits that a crash loses.
const UNCOUNTED_INTERVAL: Duration = Duration::from_secs(60);

/// Interval of looks at memory of the past: reads that are too old, clients with their whole budgets.
const MEMORY_INTERVAL: Duration = Duration::from_secs(10);

/// Interval of looks at refused requests; each reason has a line a minute at most, and so has advice.
const REFUSALS_INTERVAL: Duration = Duration::from_secs(5);

/// Never returns.
pub async fn run(node: &Node, refusals: &Refusals, rate_limiter: &RateLimiter) {
    alias_report::log(node).await;
    let deleting = futures_util::future::join(expire_pages(node), forget_visitors(node));
    let giving_back = give_memory_back(node, rate_limiter);
    let writing =
        futures_util::future::join4(write_uncounted(node), write_floors(node), sync_others(node), giving_back);
    futures_util::future::join4(watch_clock(node), deleting, writing, report_refusals(node, refusals)).await;
}

/// Goes through all sites, again and again.
async fn expire_pages(node: &Node) {
    loop {
        let (mut deleted, mut of_sites, mut is_whole) = (0, 0, true);
        for site in node.current_sites().iter() {
            let Some(now) = node.believed_now() else {
                is_whole = false;
                break;
            };
            match node.ledger.expire_pages(site, Day::at(now, site.site.time_zone)).await {
                Ok(0) => {}
                Ok(of_site) => {
                    tracing::debug!(site = %site.site.id, deleted = of_site, "page counts expired");
                    deleted += of_site;
                    of_sites += 1;
                }
                // Tried again in an hour.
                Err(error) => tracing::debug!(site = %site.site.id, "page counts can't expire now: {error}"),
            }
        }
        if deleted > 0 {
            tracing::info!(deleted, sites = of_sites, "deleted counts of pages on days and months that are over");
        }
        tokio::time::sleep(if is_whole { EXPIRY_INTERVAL } else { CLOCK_INTERVAL }).await;
    }
}

async fn forget_visitors(node: &Node) {
    // Minutes end all the time: they are logged together with the next day that ends.
    let mut minutes = 0;
    loop {
        if let Some(now) = node.believed_now() {
            match node.ledger.forget_visitors(&node.current_sites(), now).await {
                Ok(forgotten) => {
                    minutes += forgotten.minutes;
                    if forgotten.salts > 0 || forgotten.days > 0 {
                        let (salts, days) = (forgotten.salts, forgotten.days);
                        tracing::info!(salts, days, minutes, "deleted salts and sketches of visitors that are over");
                        minutes = 0;
                    }
                }
                Err(error) => {
                    tracing::warn!("salts of visitors' keys that are over could not be deleted yet: {error}");
                }
            }
        }
        tokio::time::sleep(VISITORS_INTERVAL).await;
    }
}

async fn watch_clock(node: &Node) {
    loop {
        node.look_at_clock(false).await;
        tokio::time::sleep(CLOCK_INTERVAL).await;
    }
}

async fn write_uncounted(node: &Node) {
    loop {
        tokio::time::sleep(UNCOUNTED_INTERVAL).await;
        node.uncounted.write_changes();
    }
}

async fn give_memory_back(node: &Node, rate_limiter: &RateLimiter) {
    loop {
        tokio::time::sleep(MEMORY_INTERVAL).await;
        node.settled.drop_old(Instant::now());
        rate_limiter.drop_recovered(Instant::now());
    }
}

async fn report_refusals(node: &Node, refusals: &Refusals) {
    loop {
        tokio::time::sleep(REFUSALS_INTERVAL).await;
        refusals.report(&node.current_sites(), Instant::now());
    }
}

async fn write_floors(node: &Node) {
    loop {
        tokio::time::sleep(FLOORS_INTERVAL).await;
        node.write_floors(false).await;
    }
}

/// Reads from Redis what the file lacks of other nodes, beside the regular sync. What is in the file can be brought back to
/// a Redis that loses it.
async fn sync_others(node: &Node) {
    loop {
        tokio::time::sleep(SYNC_INTERVAL).await;
        node.compare_imports().await;
        for number in node.ledger.take_unsynced(REST, SYNCS_MAX) {
            // If it fails, the regular sync follows.
            node.sync_now(number, None).await;
        }
    }
}
