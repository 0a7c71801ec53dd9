//! Merging contributions into `counts`, with their sources and pages.

use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;

use super::counts::{self, Key, SITE_ITSELF};
use super::{pages, sources};
use crate::counter::{Contribution, Register, SiteNumber};

/// Merges contributions of a site; `remote`: they came from Redis. True: what was left of another import was cleared.
pub fn merge<'a>(
    connection: &Connection,
    site: SiteNumber,
    contributions: impl IntoIterator<Item = &'a Contribution>,
    remote: bool,
) -> rusqlite::Result<bool> {
    let mut numbers = HashMap::new();
    let mut imports = BTreeSet::new();
    for contribution in contributions {
        let source = &contribution.source;
        let number = match numbers.get(source) {
            Some(number) => *number,
            None => {
                let number = sources::number(connection, source, remote)?;
                sources::note_contributor(connection, site, number)?;
                numbers.insert(source, number);
                number
            }
        };
        let page = match &contribution.page {
            None => SITE_ITSELF,
            Some(page) => pages::number(connection, site, page)?,
        };
        let key = Key { site, period: contribution.period, page, source: number };
        if counts::merge(connection, key, contribution.register)? && remote {
            sources::note_partly_remote(connection, number)?;
            if matches!(contribution.register, Register::Written { .. }) {
                imports.insert(number);
            }
        }
    }
    imports.into_iter().try_fold(false, |has_cleared, source| {
        Ok(counts::clear_earlier_imports(connection, site, source)? || has_cleared)
    })
}
