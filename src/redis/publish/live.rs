//! Live traffic: sites whose own counters have changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Publisher;
use super::calls::Sent;
use super::merge_counts::{MergeCounts, Merged};
use crate::counter::{Period, RegisteredSite, RemoteCounter, Source};
use crate::redis::client::Lease;
use crate::redis::ports::Node;

impl<N: Node> Publisher<N> {
    /// Publishes up to `limit` changed sites. Returns true if nothing is left.
    pub async fn publish_live(&mut self, lease: &Lease, limit: usize) -> bool {
        let taken = self.node.changes().take_sites(limit);
        let took_all = taken.len() < limit;
        let sites = self.node.sites();
        self.shared.health.retain_sites(|id| sites.get(id).is_some());
        let mut changed = Vec::with_capacity(taken.len());
        let mut since = HashMap::with_capacity(taken.len());
        for (number, changed_at) in taken {
            let Some(site) = sites.by_number(number) else {
                // A site that is no longer configured is no longer published.
                self.progress.remove(&number);
                continue;
            };
            if self.blocks_live(number) {
                self.wait(number);
            } else {
                since.insert(number, changed_at);
                changed.push(Arc::clone(site));
            }
        }
        let (ready, lost) = self.agree_on(lease, changed).await;
        let mut unsent: Vec<_> = lost.iter().map(|site| site.number).collect();
        let node = Arc::clone(&self.node);
        let calls = ready.into_iter().map(|site| {
            let rows = node.recent(site.number);
            (site, MergeCounts { rows })
        });
        let calls = calls.filter(|(_, merge)| !merge.is_empty());
        let mut all_is_well = true;
        let send =
            async |keys: &_, site: &RegisteredSite, merge: MergeCounts| merge.send(&lease.link, keys, &site.site).await;
        self.send_each(lease, calls, send, |publisher, site, sent| match sent {
            Sent::Taken(merged) => {
                publisher.take_reply(&site, &merged);
                publisher.show(&site, &merged);
            }
            Sent::Troubled => {
                all_is_well = false;
                publisher.wait(site.number);
            }
            Sent::Lost => unsent.push(site.number),
        })
        .await;
        for (number, since) in unsent.iter().filter_map(|number| since.get_key_value(number)) {
            self.node.changes().put_back_site(*number, *since);
        }
        let is_done = took_all && all_is_well && unsent.is_empty();
        if is_done {
            // What has come meanwhile is not late.
            self.metrics.redis_publish_lag_seconds.set(0.0);
        } else {
            self.note_lag();
        }
        is_done
    }

    /// Updates the metric of the longest wait.
    pub fn note_lag(&self) {
        let lag = self.node.changes().oldest_site().map_or(Duration::ZERO, |since| since.elapsed());
        self.metrics.redis_publish_lag_seconds.set(lag.as_secs_f64());
    }

    /// Shows the totals in a reply: it is as good as a read, for the periods that it covers.
    fn show(&self, site: &RegisteredSite, merged: &Merged) {
        let counters = covered(self.node.counters_to_read(site.number), merged);
        if !counters.is_empty() {
            self.node.apply_remote(site.number, counters);
        }
    }
}

/// Counters that a reply covers with all of their sources.
fn covered(to_read: Vec<(Period, Vec<Source>)>, merged: &Merged) -> Vec<RemoteCounter> {
    let counters = to_read.into_iter().filter_map(|(period, sources)| {
        let rows = merged.rows.iter().filter(|row| !row.is_page && row.period == period);
        let total = rows.clone().next()?.total;
        let contributed = sources.into_iter().map(|source| {
            let row = rows.clone().find(|row| row.source == source)?;
            Some((source, Some(row.now)))
        });
        Some(RemoteCounter { period, total, contributed: contributed.collect::<Option<_>>()? })
    });
    counters.collect()
}

#[cfg(test)]
mod tests {
    use super::super::merge_counts::MergedRow;
    use super::*;
    use crate::counter::Register;

    #[test]
    fn a_reply_stands_for_a_read_of_those_periods_of_which_it_has_all_sources() {
        let row = |period: &str, run, now, is_page| MergedRow {
            source: Source::Run(run),
            period: period.parse().unwrap(),
            is_page,
            total: 40 + now,
            now: Register::Grown(now),
            before: None,
        };
        let rows = vec![row("2024", 1, 2, false), row("2024", 9, 2, false), row("2024-06", 1, 3, true)];
        let merged = Merged { rows, digests: Vec::new(), took: Duration::ZERO };
        let to_read = |period: &str, runs: &[u64]| {
            vec![(period.parse().unwrap(), runs.iter().map(|run| Source::Run(*run)).collect::<Vec<_>>())]
        };
        let shown = covered(to_read("2024", &[1]), &merged);
        let contributed = vec![(Source::Run(1), Some(Register::Grown(2)))];
        assert_eq!(shown, [RemoteCounter { period: Period::Year(2024), total: 42, contributed }]);
        // In whatever order the sources are asked for.
        assert_eq!(covered(to_read("2024", &[9, 1]), &merged).len(), 1);
        assert_eq!(covered(to_read("2024", &[1, 5]), &merged), [], "a source is not in it");
        assert_eq!(covered(to_read("2023", &[]), &merged), [], "the period is not in it");
        assert_eq!(covered(to_read("2024-06", &[1]), &merged), [], "only a page is in it");
    }
}
