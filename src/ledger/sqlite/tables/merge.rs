//! Merging contributions into `counts`, with their sources and pages.

use std::collections::HashMap;

use rusqlite::Connection;

use super::counts::{self, Key, SITE_ITSELF};
use super::{pages, sources};
use crate::counter::{Contribution, SiteNumber};

/// Merges contributions of a site; `remote`: they came from Redis.
pub fn merge<'a>(
    connection: &Connection,
    site: SiteNumber,
    contributions: impl IntoIterator<Item = &'a Contribution>,
    remote: bool,
) -> rusqlite::Result<()> {
    let mut numbers = HashMap::new();
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
        }
    }
    Ok(())
}
