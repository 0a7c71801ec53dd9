//! Merging contributions into `counts`, with their sources and pages.

use std::collections::HashMap;

use rusqlite::Connection;

use super::counts::{self, Key, SITE_ITSELF};
use super::{pages, shown, sources};
use crate::counter::{Contribution, Register, SiteNumber};

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
        let before = match contribution.register {
            Register::Written { .. } if remote && page == SITE_ITSELF => {
                Some(counts::hits(connection, key)?.unwrap_or(0))
            }
            _ => None,
        };
        if counts::merge(connection, key, contribution.register)? && remote {
            sources::note_partly_remote(connection, number)?;
            if let Some(before) = before {
                shown::keep(connection, site, key.period, contribution.register.hits() - before)?;
            }
        }
    }
    Ok(())
}
