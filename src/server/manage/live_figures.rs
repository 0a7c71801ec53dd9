//! Live figures of a site: today's hits, and its readers where it counts them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::locale::Locale;
use crate::clock;
use crate::counter::{Day, Period, RegisteredSite, figures};
use crate::server::ports::{Available, Node};

pub struct LiveFigures {
    pub today: String,
    /// None where the site counts no visitors.
    pub readers: Option<Readers>,
    pub is_stale: bool,
}

pub struct Readers {
    pub online: String,
    pub today: String,
    pub yesterday: String,
}

impl LiveFigures {
    pub async fn read<N: Node>(node: &N, locale: Locale, site: &Arc<RegisteredSite>, today: Day) -> Available<Self> {
        node.refresh(site).await;
        let counts = node.hits(site, &[Period::Day(today)]).await?;
        let readers = match site.site.counts_visitors() {
            true => {
                let (visitors, _) = node.visitors(site, clock::now()).await?;
                let number = |number: u64| locale.number(i64::try_from(number).unwrap_or(i64::MAX));
                Some(Readers {
                    online: number(visitors.online),
                    today: number(visitors.today),
                    yesterday: number(visitors.yesterday),
                })
            }
            false => None,
        };
        let hits = counts.hits.first().copied().unwrap_or_default();
        Ok(Self { today: locale.number(figures::shown(hits)), readers, is_stale: counts.stale })
    }

    /// By the names that the pages' script knows.
    pub fn named(self) -> BTreeMap<&'static str, String> {
        let readers = self.readers.into_iter();
        let readers = readers.flat_map(|of| [("online", of.online), ("visitors-today", of.today)]);
        [("today", self.today)].into_iter().chain(readers).collect()
    }
}
