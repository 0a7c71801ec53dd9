//! Blocks of history: whatever stretch a question names, its values come from blocks that all questions share.
//!
//! A flood of different questions reads each block once a second. Only the current period changes within
//! one, so it comes from memory.

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
        let mut blocks: Vec<_> = periods.iter().filter_map(|period| Block::of(*period)).collect();
        blocks.dedup();
        let read = try_join_all(blocks.iter().map(|block| self.block(node, site, *block))).await?;
        let mut values = Vec::with_capacity(periods.len());
        let mut read_of = blocks.iter().zip(&read).peekable();
        for period in periods {
            let Some(block) = Block::of(*period) else { continue };
            while read_of.next_if(|(of, _)| **of != block).is_some() {}
            let value = read_of.peek().and_then(|(_, read)| read.values.get(block.place(*period)));
            values.push(value.copied().unwrap_or_default());
        }
        if let Some(at) = periods.iter().rposition(|period| *period == now)
            && let Some(value) = values.get_mut(at)
        {
            // The block may be a second old.
            let current = node.hits(site, &[now]).await?;
            *value = current.hits.first().map_or(*value, |hits| (*value).max(*hits));
        }
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
