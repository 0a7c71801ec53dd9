//! Blocks of history: whatever stretch a question names, its values come from blocks that all questions share.
//!
//! A flood of different questions reads each block once a second. Only the current period changes within
//! one, so it comes from memory.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::try_join_all;

use crate::counter::history::Block;
use crate::counter::{Period, RegisteredSite, SiteNumber};
use crate::server::http::SingleFlight;
use crate::server::ports::{Available, Node, Read};

/// Blocks kept, at most 3 kB each.
const BLOCKS_MAX: usize = 1_024;

/// One worker's blocks.
pub struct HistoryBlocks(SingleFlight<(SiteNumber, Block), Available<Rc<Read<i64>>>>);

impl Default for HistoryBlocks {
    fn default() -> Self {
        Self(SingleFlight::new(BLOCKS_MAX))
    }
}

impl HistoryBlocks {
    /// The site's hits in each of the periods, of which `now` is the current one.
    pub async fn values<N: Node>(
        &self,
        node: &Arc<N>,
        site: &Arc<RegisteredSite>,
        periods: &[Period],
        now: Period,
    ) -> Available<Read<i64>> {
        let mut blocks = Vec::new();
        let mut at = 0;
        while let Some((block, period)) = periods.get(at).and_then(|period| Some((Block::of(*period)?, period))) {
            let place = block.place(*period);
            let count = (block.count() - place).min(periods.len() - at);
            blocks.push((block, place..place + count));
            at += count;
        }
        let read = try_join_all(blocks.iter().map(|(block, _)| self.block(node, site, *block))).await?;
        let mut values = Vec::with_capacity(periods.len());
        for ((_, places), read) in blocks.into_iter().zip(&read) {
            values.extend_from_slice(read.values.get(places).unwrap_or_default());
        }
        values.resize(periods.len(), 0);
        if let Some(at) = periods.iter().rposition(|period| *period == now)
            && let Some(value) = values.get_mut(at)
        {
            // The block may be a second old.
            let current = node.hits(site, &[now]).await?;
            *value = current.hits.first().map_or(*value, |hits| (*value).max(*hits));
        }
        Ok(Read { values, stale: read.iter().any(|read| read.stale) })
    }

    /// The site's hits in each of any periods but the total.
    pub async fn each<N: Node>(
        &self,
        node: &Arc<N>,
        site: &Arc<RegisteredSite>,
        periods: &[Period],
    ) -> Available<Read<i64>> {
        let mut blocks: Vec<_> = periods.iter().filter_map(|period| Block::of(*period)).collect();
        let mut seen = HashSet::new();
        blocks.retain(|block| seen.insert(*block));
        let read = try_join_all(blocks.iter().map(|block| self.block(node, site, *block))).await?;
        let of: HashMap<_, _> = blocks.into_iter().zip(&read).collect();
        let value = |period: &Period| {
            let block = Block::of(*period)?;
            of.get(&block)?.values.get(block.place(*period)).copied()
        };
        let values = periods.iter().map(|period| value(period).unwrap_or_default()).collect();
        Ok(Read { values, stale: read.iter().any(|read| read.stale) })
    }

    async fn block<N: Node>(
        &self,
        node: &Arc<N>,
        site: &Arc<RegisteredSite>,
        block: Block,
    ) -> Available<Rc<Read<i64>>> {
        let read = || {
            let (node, site) = (Arc::clone(node), Arc::clone(site));
            async move { Ok(Rc::new(node.history(&site, block).await?)) }
        };
        self.0.get((site.number, block), read).await
    }
}
