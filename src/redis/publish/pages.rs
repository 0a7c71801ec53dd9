//! Changed pages, in rounds, and changed titles.
//!
//! A title that fails to reach Redis is found missing when it is next shown.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use super::Publisher;
use super::calls::Sent;
use super::merge_counts::{MergeCounts, ROWS_MAX};
use super::periods::may_publish;
use crate::clock;
use crate::counter::{ChangedPage, ChangedTitle, Contribution, RegisteredSite, SiteNumber};
use crate::redis::client::{Lease, Scripted, reason_of};
use crate::redis::keys;
use crate::redis::ports::Node;

/// Pages published at once. They belong to many sites, and each site is a call. Of one site they are
/// two calls, since each page has a day, a month and a total.
const PAGES_AT_ONCE: usize = 2 * (ROWS_MAX / 3);

impl<N: Node> Publisher<N> {
    /// Publishes a part of the round of pages, and begins a round where there is none.
    pub async fn publish_pages(&mut self, lease: &Lease) {
        if self.pages_round.is_empty() {
            self.clock.pages_round_began_at = Instant::now();
            if self.node.changes().has_pages() {
                self.pages_round = self.next_round().await;
            }
        }
        let rest = self.pages_round.len().saturating_sub(PAGES_AT_ONCE);
        let mut by_site: HashMap<SiteNumber, Vec<Contribution>> = HashMap::new();
        for changed in self.pages_round.drain(rest..) {
            by_site.entry(changed.site).or_default().extend(changed.contributions(self.node.run()));
        }
        let sites = self.node.sites();
        let mut changed = Vec::with_capacity(by_site.len());
        for number in by_site.keys() {
            if let Some(site) = sites.by_number(*number)
                && !self.is_troubled(*number)
            {
                changed.push(Arc::clone(site));
            }
        }
        let ready = self.agree_on(lease, changed).await.0;
        let mut waiting: Vec<_> =
            ready.into_iter().filter_map(|site| Some((by_site.remove(&site.number)?, site))).collect();
        for number in by_site.into_keys() {
            // Dropped here, these pages are found again in the file.
            self.unsync(number);
            self.request(number);
        }
        // Calls of one site follow each other. A failed call's rows are found again in the file.
        let now = clock::now();
        while !waiting.is_empty() {
            let calls: Vec<_> = waiting
                .iter_mut()
                .map(|(rows, site)| {
                    let rest = rows.len().saturating_sub(ROWS_MAX);
                    let rows = rows.drain(rest..).filter(|row| may_publish(&site.site, row.period, now));
                    (Arc::clone(site), MergeCounts { rows: rows.collect() })
                })
                .collect();
            let mut failed = HashSet::new();
            let send = async |keys: &_, site: &RegisteredSite, merge: MergeCounts| {
                merge.send(&lease.link, keys, &site.site).await
            };
            self.send_each(lease, calls.into_iter(), send, |publisher, site, sent| {
                if !matches!(sent, Sent::Taken(merged) if publisher.take_reply(&site, &merged)) {
                    failed.insert(site.number);
                    publisher.unsync(site.number);
                    publisher.request(site.number);
                }
            })
            .await;
            waiting.retain(|(rows, site)| !rows.is_empty() && !failed.contains(&site.number));
        }
    }

    /// All changed pages. Sorted on another thread, since figures wait for this one.
    async fn next_round(&self) -> Vec<ChangedPage> {
        let node = Arc::clone(&self.node);
        let sorted = tokio::task::spawn_blocking(move || {
            let mut changed = node.changes().take_pages();
            // This is nearly the order of the sorted sets. Neighbours of the last write are in the
            // processor's caches, which saves Redis a third of a call's time.
            changed.sort_unstable_by(|a, b| (a.site, a.hits[2], &a.page).cmp(&(b.site, b.hits[2], &b.page)).reverse());
            changed
        });
        // An error would be a panic, which ends the process.
        sorted.await.unwrap_or_default()
    }
}

/// Titles of one call.
const TITLES_OF_CALL_MAX: usize = 200;
/// Titles taken at once. They belong to many sites, and each site is a call.
const TITLES_TAKEN_MAX: usize = 1_000;

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("titles.lua")));

impl<N: Node> Publisher<N> {
    /// Publishes changed titles.
    pub async fn publish_titles(&mut self, lease: &Lease) {
        let mut by_site: HashMap<SiteNumber, Vec<ChangedTitle>> = HashMap::new();
        for title in self.node.changes().take_titles(TITLES_TAKEN_MAX) {
            by_site.entry(title.site).or_default().push(title);
        }
        let sites = self.node.sites();
        for (number, titles) in by_site {
            let Some(site) = sites.by_number(number) else { continue };
            if self.is_troubled(number) || !self.agree_once(lease, site).await {
                continue;
            }
            for chunk in titles.chunks(TITLES_OF_CALL_MAX) {
                let mut arguments = Vec::with_capacity(chunk.len() * 6);
                for ChangedTitle { page, title, given_ms, .. } in chunk {
                    let mut push = |field, text: &str| arguments.extend([field, given_ms.to_string(), text.to_owned()]);
                    push(page.to_string(), title.as_str());
                    if let Some(link) = title.link() {
                        push(keys::link_field(page), link);
                    }
                }
                let key = [self.shared.keys.titles(&site.site.counted_as)];
                if let Err(error) = SCRIPT.run::<()>(&lease.link, &key, &arguments).await {
                    let reason = reason_of(&error);
                    tracing::debug!(site = %site.site.id, %reason, "can't publish titles");
                    self.shared.connections.failed(lease.number, &error);
                }
            }
        }
    }
}
