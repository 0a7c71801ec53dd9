//! `titles`: the latest title of each page, with the page's link in `pages`.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{execute, pages};
use crate::counter::{ChangedTitle, GivenTitle, PageAddress, PageTitle, SiteNumber};

/// Outcome of writing a title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Written,
    /// Its page has no number yet, since none of its hits is folded.
    IsUnnumbered,
    /// Too few networks have read its page.
    IsUnvouched,
}

/// Writes a title.
pub fn write(connection: &Connection, title: &ChangedTitle) -> rusqlite::Result<Outcome> {
    let ChangedTitle { site, page, title, given_ms } = title;
    let Some(page) = pages::find(connection, *site, page)? else { return Ok(Outcome::IsUnnumbered) };
    if !page.is_vouched {
        return Ok(Outcome::IsUnvouched);
    }
    let sql = "INSERT INTO titles (page, title, given) VALUES (?, ?, ?)
               ON CONFLICT DO UPDATE SET title = excluded.title, given = excluded.given WHERE excluded.given > given";
    execute(connection, sql, params![page.number, title.as_str(), given_ms])?;
    let sql = "UPDATE pages SET link = ? WHERE number = ? AND link IS NOT ?1";
    execute(connection, sql, params![title.link(), page.number])?;
    Ok(Outcome::Written)
}

/// The titles of pages, in their order.
pub fn read(
    connection: &Connection,
    site: SiteNumber,
    addresses: &[PageAddress],
) -> rusqlite::Result<Vec<Option<GivenTitle>>> {
    let mut find = connection
        .prepare_cached("SELECT title, given, link FROM titles JOIN pages ON number = page WHERE page = ?")?;
    let mut titles = Vec::with_capacity(addresses.len());
    for page in addresses {
        let found = match pages::find(connection, site, page)? {
            None => None,
            Some(known) => find
                .query_row([known.number], |row| {
                    Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, Option<String>>(2)?))
                })
                .optional()?,
        };
        titles.push(found.and_then(|(title, given_ms, link)| {
            let title = PageTitle::of(&title)?.with_link(link.as_deref());
            Some(GivenTitle { title, given_ms })
        }));
    }
    Ok(titles)
}
