//! Ids of sites that have counts of their own, for the log: they are not in the figures of the site.

use std::collections::HashSet;

use super::Node;

/// Logs what an operator should know of aliases, and what to do.
pub async fn log(node: &Node) {
    let sites = node.current_sites();
    let ids_apart = sites.iter().flat_map(|site| {
        let site = &site.site;
        let all = std::iter::once(&site.id).chain(&site.aliases);
        all.filter(|id| **id != site.counted_as).map(move |id| (id, site))
    });
    let aliases: Vec<_> = ids_apart.collect();
    if aliases.is_empty() {
        return;
    }
    let ids = aliases.iter().flat_map(|(alias, site)| [(*alias).clone(), site.counted_as.clone()]).collect();
    let counted: HashSet<_> = match node.ledger.with_counts(ids).await {
        Ok(counted) => counted.into_iter().collect(),
        Err(error) => return tracing::debug!("the file can't be asked about the counts of aliases now: {error}"),
    };
    for (alias, site) in aliases.into_iter().filter(|(alias, _)| counted.contains(*alias)) {
        let id = &site.id;
        if alias == id {
            tracing::warn!(
                site = %id,
                "it has counts under its own id from before it had `counted_as`, and they are not in its figures; if they \
                 should be: export them while it has none, and import them when it has it again"
            );
        } else if counted.contains(&site.counted_as) {
            tracing::info!(
                site = %id,
                "counts of its alias `{alias}` from before are not in its figures; if they should be: \
                 `thongke export {alias} > {alias}.csv`, then `thongke import {id} {alias}.csv --source merged.{alias}`"
            );
        } else {
            tracing::warn!(
                site = %id,
                "it has no counts yet, and its alias `{alias}` has; if it was renamed, set `counted_as = \"{alias}\"`: then \
                 its figures go on"
            );
        }
    }
}
