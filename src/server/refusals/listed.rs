//! List of refused hits, as the admin listener answers it and the command shows it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::advice::{self, SitesSource};
use super::memory::{Entry, Memory};
use super::seen::OTHER;
use crate::counter::Sites;

/// Entries of an answer.
const LISTED_MAX: usize = 500;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The beginning of the node's memory.
    pub since: String,
    /// Those that the most networks have brought come first.
    pub refused: Vec<Refused>,
    /// Refused hits of all sites that are in no entry: the memory is bounded.
    pub unlisted: u64,
}

/// Refused hits of one site, reason and origin.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// A site's id, or the id that was sent; none if none could be read.
    pub site: Option<String>,
    pub reason: String,
    /// Origin of the page, or of the `Origin` header: `null`, `(an address)` if its host is one.
    pub origin: Option<String>,
    /// An example, without its query.
    pub path: Option<String>,
    pub first: String,
    pub last: String,
    pub requests: u64,
    /// An estimate.
    pub networks: u32,
    /// The reason in words, and what to do.
    pub advice: String,
}

pub(super) fn list(memory: &Memory, sites: &Sites, source: &SitesSource, of_site: Option<&str>) -> Listed {
    let (mut entries, unlisted) = memory.entries();
    let is_listed = |entry: &Entry| {
        let seen = &entry.seen;
        let site = seen.group.site.map(|number| sites.by_number(number));
        match (site, of_site) {
            // Removed from the configuration.
            (Some(None), _) => false,
            (Some(Some(site)), Some(id)) => site.site.id.as_str() == id,
            (None, Some(id)) => {
                !seen.unknown_id.is_empty()
                    && advice::meant(sites, &seen.unknown_id).is_some_and(|meant| meant.as_str() == id)
            }
            (_, None) => true,
        }
    };
    entries.retain(is_listed);
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.networks(), entry.requests, entry.last)));
    entries.truncate(LISTED_MAX);
    let refused = entries.into_iter().map(|entry| refused(entry, sites, source)).collect();
    Listed { since: time(memory.since), refused, unlisted }
}

fn refused(entry: Entry, sites: &Sites, source: &SitesSource) -> Refused {
    let advice = advice::of(&entry.seen, sites, source);
    let networks = entry.networks();
    let Entry { seen, first, last, requests, .. } = entry;
    let known = seen.group.site.and_then(|number| sites.by_number(number)).map(|site| site.site.id.to_string());
    let sent = (!seen.unknown_id.is_empty()).then(|| seen.unknown_id.to_string());
    Refused {
        site: known.or(sent),
        reason: seen.group.reason.to_owned(),
        origin: (seen.origin != OTHER).then(|| seen.origin.to_string()),
        path: seen.path.map(Into::into),
        first: time(first),
        last: time(last),
        requests,
        networks,
        advice,
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
