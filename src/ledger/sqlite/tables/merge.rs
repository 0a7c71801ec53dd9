//! Merging contributions into `counts`, with their sources and pages.

use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;

use super::counts::{self, Key, SITE_ITSELF};
use super::{pages, sources, vouching};
use crate::counter::{Contribution, PageAddress, Period, Register, SiteNumber, Source};

/// Merges contributions of a site; `remote`: they came from Redis. True: the site's history must be published, since a
/// page that this node has counted is now vouched for, or what was left of another import was cleared.
pub fn merge<'a>(
    connection: &Connection,
    site: SiteNumber,
    contributions: impl IntoIterator<Item = &'a Contribution>,
    remote: bool,
) -> rusqlite::Result<bool> {
    let mut has_vouched = false;
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
            Some(page) => page_number(connection, site, page, contribution, &mut has_vouched)?,
        };
        let key = Key { site, period: contribution.period, page, source: number };
        if counts::merge(connection, key, contribution.register)? && remote {
            sources::note_partly_remote(connection, number)?;
            if matches!(contribution.register, Register::Written { .. }) {
                imports.insert(number);
            }
        }
    }
    imports.into_iter().try_fold(has_vouched, |must_publish, source| {
        Ok(counts::clear_earlier_imports(connection, site, source)? || must_publish)
    })
}

/// The number of a contribution's page. Imports vouch for their pages; of runs, only vouched pages have months and a
/// total.
fn page_number(
    connection: &Connection,
    site: SiteNumber,
    page: &PageAddress,
    contribution: &Contribution,
    has_vouched: &mut bool,
) -> rusqlite::Result<i64> {
    let unvouched_day = match (&contribution.source, contribution.period) {
        (Source::Run(_), Period::Day(day)) => Some(day),
        _ => None,
    };
    match (pages::find(connection, site, page)?, unvouched_day) {
        (None, None) => pages::insert_vouched(connection, site, page),
        (None, Some(day)) => pages::insert_unvouched(connection, site, page, day),
        (Some(known), Some(day)) if !known.is_vouched => {
            pages::note_earlier_day(connection, known.number, day)?;
            Ok(known.number)
        }
        (Some(known), None) if !known.is_vouched => {
            *has_vouched |= !vouching::vouch(connection, site, known.number)?.is_empty();
            Ok(known.number)
        }
        (Some(known), _) => Ok(known.number),
    }
}
