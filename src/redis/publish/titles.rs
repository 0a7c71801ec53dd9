//! Publishing titles. A title that fails to reach Redis is found missing when it is next shown.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Lease, Publisher};
use crate::counter::ChangedTitle;
use crate::counter::SiteNumber;
use crate::redis::client::reply::reason_of;
use crate::redis::client::script::Scripted;
use crate::redis::ports::Node;

/// Titles of one call.
const TITLES_MAX: usize = 200;
/// Titles taken at once. They belong to many sites, and each site is a call.
const TAKEN_MAX: usize = 1_000;

static SCRIPT: LazyLock<Scripted> = LazyLock::new(|| Scripted::new(include_str!("titles.lua")));

impl<N: Node> Publisher<N> {
    /// Publishes changed titles.
    pub async fn publish_titles(&mut self, lease: &Lease) {
        let mut by_site: HashMap<SiteNumber, Vec<ChangedTitle>> = HashMap::new();
        for title in self.node.changes().take_titles(TAKEN_MAX) {
            by_site.entry(title.site).or_default().push(title);
        }
        let sites = self.node.sites();
        for (number, titles) in by_site {
            let Some(site) = sites.by_number(number) else { continue };
            if self.is_troubled(number) || !self.agree_once(lease, site).await {
                continue;
            }
            for chunk in titles.chunks(TITLES_MAX) {
                let fields = chunk.iter().flat_map(|changed| {
                    [changed.page.to_string(), changed.given_ms.to_string(), changed.title.as_str().to_owned()]
                });
                let arguments: Vec<_> = fields.collect();
                let key = [self.keys.titles(&site.site.id)];
                if let Err(error) = SCRIPT.run(&lease.link, &key, &arguments).await {
                    let reason = reason_of(&error);
                    tracing::debug!(site = %site.site.id, %reason, "can't publish titles");
                    self.connections.failed(lease.number, &error);
                }
            }
        }
    }
}
