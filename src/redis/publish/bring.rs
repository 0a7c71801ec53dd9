//! Bringing what Redis lacks of a site: the rows of the file whose digests differ, one call at a time.
//!
//! Rows that Redis has already change nothing there. Where Redis has more, the reply tells, and the file
//! learns. Totals come first, and the site's own counters before pages, so that figures are soon right.

use std::collections::{HashMap, HashSet};

use super::merge_counts::{MergeCounts, Merged, ROWS_MAX, place_of};
use super::rounds::Occasion;
use super::{Differing, Publisher, Seen};
use crate::counter::{Contribution, Period, Place, RegisteredSite, RowKey, Source};
use crate::redis::client::Lease;
use crate::redis::ports::Node;

/// A site's own counters are read in small pieces, since each period's are followed by its pages.
const SITE_ROWS_READ: usize = 50;
/// Reads of one step.
const SEEKS_MAX: usize = 50;

/// Rows of a site that are being brought.
#[derive(Debug)]
pub struct Bring {
    /// Digests in Redis, as the last reply left them, and in the file, as they were at the question.
    places: HashMap<Place, Differing>,
    /// Places that changed meanwhile: in Redis by another node or by a loss, or in the file, which learned.
    disturbed: HashSet<Place>,
    stage: Stage,
    /// Last row that was brought in this stage.
    after: Option<RowKey>,
    /// Keys of pages to come; the last is under way.
    periods: Vec<Period>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The current run's newest counters, from memory: today's figures.
    Recent,
    SiteCounters,
    Pages,
}

impl Bring {
    pub fn new(places: HashMap<Place, Differing>) -> Self {
        let periods: HashSet<_> = places.keys().filter_map(|(pages_of, _)| *pages_of).collect();
        let mut periods: Vec<_> = periods.into_iter().collect();
        periods.sort_unstable_by_key(|period| (*period == Period::Total, *period));
        Self { places, disturbed: HashSet::new(), stage: Stage::Recent, after: None, periods }
    }

    /// Records a reply.
    fn record(&mut self, merged: &Merged) {
        for changed in &merged.digests {
            if let Some(known) = self.places.get_mut(&changed.place) {
                if known.redis != changed.before {
                    self.disturbed.insert(changed.place.clone());
                }
                known.redis = changed.after;
            }
        }
    }

    /// Goes on after the last row that was brought; none ends the stage or the key.
    fn advance(&mut self, after: Option<RowKey>) {
        self.after = after;
        if after.is_none() {
            match self.stage {
                Stage::Recent => self.stage = Stage::SiteCounters,
                Stage::SiteCounters => self.stage = Stage::Pages,
                Stage::Pages => drop(self.periods.pop()),
            }
        }
    }

    fn is_done(&self) -> bool {
        self.stage == Stage::Pages && self.periods.is_empty()
    }

    /// Digests of the places whose rows the file has wholly brought.
    fn settled(self, run: &Source) -> impl Iterator<Item = (Place, Differing)> {
        let Self { places, disturbed, .. } = self;
        places.into_iter().filter(move |(place, _)| place.1 != *run && !disturbed.contains(place))
    }
}

impl<N: Node> Publisher<N> {
    /// Sends one call of the site whose turn it is, or asks about it. False if there is none.
    pub async fn request_step(&mut self, lease: &Lease) -> bool {
        let Some(number) = self.requests.pop_front() else { return false };
        let Some(site) = self.node.site(number) else {
            self.progress.remove(&number);
            return true;
        };
        let progress = self.progress.entry(number).or_default();
        progress.is_requested = false;
        if self.is_troubled(number) {
            // Requested again when that is over.
            return true;
        }
        let Some(mut bring) = self.progress.entry(number).or_default().bring.take() else {
            let cost = self.ask(lease, &site, Occasion::Suspicion).await;
            self.clock.history_took += cost.redis + cost.file;
            return true;
        };
        let is_brought = self.agree_once(lease, &site).await && self.advance(lease, &site, &mut bring).await.is_ok();
        if !is_brought {
            // Asked about again, when the site can be published.
            self.unsync(number);
            return true;
        }
        if bring.is_done() {
            let run = self.node.run();
            let settled = bring.settled(run).map(|(place, digests)| (place, Seen::Settled(digests)));
            let progress = self.progress.entry(number).or_default();
            progress.seen.extend(settled);
            let cost = self.ask(lease, &site, Occasion::AfterBring).await;
            self.clock.history_took += cost.redis + cost.file;
            return true;
        }
        // All sites' own counters come before anyone's pages.
        let is_urgent = bring.stage != Stage::Pages;
        self.progress.entry(number).or_default().bring = Some(bring);
        self.enqueue(number, is_urgent);
        true
    }

    /// Brings the next rows.
    async fn advance(&mut self, lease: &Lease, site: &RegisteredSite, bring: &mut Bring) -> Result<(), ()> {
        let (mut rows, after) = match bring.stage {
            Stage::Recent => (self.node.recent(site.number), None),
            Stage::SiteCounters | Stage::Pages => self.read_rows(site, bring).await.map_err(|reason| {
                tracing::warn!(site = %site.site.id, %reason, "can't read counts to publish");
                self.postpone(site.number);
            })?,
        };
        rows.retain(|row| bring.places.contains_key(&place_of(row)));
        if !rows.is_empty() {
            let merge = MergeCounts { rows };
            let merged = self.merge_counts(lease, site, &merge).await.ok_or(())?;
            bring.record(&merged);
            let run = self.node.run();
            let more = merge.rows.into_iter().zip(&merged.rows).filter(|(row, merged)| {
                row.source != *run && merged.now != row.register && merged.now.merge(row.register) == merged.now
            });
            let more: Vec<_> = more.map(|(row, merged)| Contribution { register: merged.now, ..row }).collect();
            if !more.is_empty() {
                bring.disturbed.extend(more.iter().map(place_of));
                self.node.store_remote(site.number, more).await;
            }
        }
        bring.advance(after);
        Ok(())
    }

    /// Next rows of a stage, and the place where they end; none at the end of the stage or key.
    async fn read_rows(
        &self,
        site: &RegisteredSite,
        bring: &Bring,
    ) -> Result<(Vec<Contribution>, Option<RowKey>), String> {
        let mut after = bring.after;
        let mut found = Vec::new();
        if bring.stage == Stage::Pages {
            let Some(period) = bring.periods.last().copied() else { return Ok((found, None)) };
            // Page 0 is the site itself.
            let after = after.unwrap_or(RowKey { period: period.number(), page: 0, source: i64::MAX });
            let rows = self.node.rows(site.number, Some(after), ROWS_MAX).await?;
            let is_last = rows.len() < ROWS_MAX || rows.iter().any(|(_, row)| row.period != period);
            let last = rows.last().map(|(key, _)| *key).filter(|_| !is_last);
            let of_period = |row: &Contribution| row.period == period && row.page.is_some();
            return Ok((rows.into_iter().map(|(_, row)| row).filter(of_period).collect(), last));
        }
        for _ in 0..SEEKS_MAX {
            let rows = self.node.rows(site.number, after, SITE_ROWS_READ).await?;
            let (counters, next) = site_counters(rows);
            found.extend(counters);
            after = next;
            if after.is_none() || found.len() + SITE_ROWS_READ > ROWS_MAX {
                break;
            }
        }
        Ok((found, after))
    }
}

/// Site counters at the head of rows in the file's order, and the place to read on from: behind the
/// pages of the period where pages begin; none at the end of the file.
fn site_counters(rows: Vec<(RowKey, Contribution)>) -> (Vec<Contribution>, Option<RowKey>) {
    let first_page = rows.iter().find(|(_, row)| row.page.is_some());
    let after = match first_page {
        Some((key, _)) => Some(RowKey { page: i64::MAX, source: i64::MAX, ..*key }),
        None => rows.last().map(|(key, _)| *key),
    };
    let counters = rows.into_iter().map(|(_, row)| row).take_while(|row| row.page.is_none());
    (counters.collect(), after)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::merge_counts::ChangedDigest;
    use super::*;
    use crate::counter::Digest;

    const RUN: Source = Source::Run(1);

    fn digest(number: u64) -> Digest {
        Digest::from_number(number).unwrap()
    }

    fn reply(place: &Place, before: u64, after: u64) -> Merged {
        let changed = ChangedDigest { place: place.clone(), before: digest(before), after: digest(after) };
        Merged { rows: Vec::new(), digests: vec![changed], took: Duration::ZERO }
    }

    #[test]
    fn only_places_whose_replies_follow_one_another_are_settled() {
        let places = [(None, Source::Run(2)), (Some(Period::Total), Source::Run(2)), (None, RUN)];
        let differing = |redis| Differing { redis: digest(redis), file: digest(9) };
        let mut bring = Bring::new(places.iter().map(|place| (place.clone(), differing(0))).collect());
        bring.record(&reply(&places[0], 0, 3));
        bring.record(&reply(&places[0], 3, 5));
        bring.record(&reply(&places[1], 0, 3));
        // Lost in between.
        bring.record(&reply(&places[1], 0, 4));
        bring.record(&reply(&places[2], 0, 4));
        assert_eq!(bring.settled(&RUN).collect::<Vec<_>>(), [(places[0].clone(), differing(5))]);
    }

    #[test]
    fn the_sites_counters_come_first_then_the_pages_totals_then_the_newest_days() {
        let periods = ["2024-06-16", "total", "2024-06-17"].map(|period| period.parse().unwrap());
        let differing = Differing { redis: digest(0), file: digest(9) };
        let places = periods.map(|period| ((Some(period), RUN), differing));
        let mut bring = Bring::new(places.into_iter().collect());
        bring.advance(None);
        bring.advance(Some(RowKey::START));
        assert_eq!((bring.stage, bring.after), (Stage::SiteCounters, Some(RowKey::START)));
        bring.advance(None);
        let mut order = Vec::new();
        while !bring.is_done() {
            order.push(bring.periods.last().unwrap().to_string());
            bring.advance(None);
        }
        assert_eq!(order, ["total", "2024-06-17", "2024-06-16"]);
    }

    #[test]
    fn site_counters_are_read_up_to_the_first_page_and_then_from_the_next_period_on() {
        let row = |page: i64| {
            let address = (page > 0).then(|| crate::counter::PageAddress::from_stored("/a"));
            let register = crate::counter::Register::Grown(1);
            let row = Contribution { source: RUN, period: Period::Total, page: address, register };
            (RowKey { period: 1, page, source: 1 }, row)
        };
        let (counters, after) = site_counters(vec![row(0), row(0), row(4), row(5)]);
        assert_eq!((counters.len(), after), (2, Some(RowKey { period: 1, page: i64::MAX, source: i64::MAX })));
        assert_eq!(site_counters(vec![row(0)]).1, Some(row(0).0));
        assert_eq!(site_counters(Vec::new()), (Vec::new(), None));
    }
}
