//! Hits of a site for a page: sums of many counters, read together.

use std::sync::Arc;

use crate::counter::{Period, RegisteredSite, figures};
use crate::server::ports::{Available, Node, Read};
use crate::server::public::history_blocks::HistoryBlocks;

/// The sum of each group of counters, as everyone may see it.
pub async fn sums<N: Node>(
    node: &Arc<N>,
    blocks: &HistoryBlocks,
    site: &Arc<RegisteredSite>,
    groups: &[Vec<Period>],
) -> Available<Read<i64>> {
    let read = blocks.each(node, site, &groups.concat()).await?;
    Ok(Read { values: sums_of(groups, read.values), stale: read.stale })
}

/// The part of each group's sum that came by imports.
pub async fn imported<N: Node>(
    node: &Arc<N>,
    site: &Arc<RegisteredSite>,
    groups: &[Vec<Period>],
) -> Available<Vec<i64>> {
    Ok(sums_of(groups, node.imported(site, groups.concat()).await?))
}

/// Sums of groups, from the values of all of them in a row.
fn sums_of(groups: &[Vec<Period>], values: Vec<i64>) -> Vec<i64> {
    let mut values = values.into_iter();
    groups.iter().map(|group| figures::shown(values.by_ref().take(group.len()).sum())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_own_sum_and_none_is_below_zero() {
        let groups = [vec![Period::Total; 2], Vec::new(), vec![Period::Total], vec![Period::Total; 2]];
        assert_eq!(sums_of(&groups, vec![1, 2, -3, 4, 5]), [3, 0, 0, 9]);
    }
}
