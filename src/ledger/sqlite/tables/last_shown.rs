//! `last_shown`: figures of pages and histories that were shown shortly before a clean stop.

use rusqlite::{Connection, params};

use super::{execute, rows};
use crate::counter::{PageAddress, Period, ShownFigure, SiteNumber};

/// Deletes all of them.
pub fn clear(connection: &Connection) -> rusqlite::Result<()> {
    execute(connection, "DELETE FROM last_shown", []).map(drop)
}

/// Deletes a site's.
pub fn clear_site(connection: &Connection, site: SiteNumber) -> rusqlite::Result<()> {
    execute(connection, "DELETE FROM last_shown WHERE site = ?", [site.0]).map(drop)
}

pub fn write(connection: &Connection, figures: &[ShownFigure]) -> rusqlite::Result<()> {
    clear(connection)?;
    let sql = "INSERT INTO last_shown (site, period, page, figure) VALUES (?, ?, ?, ?)";
    for (site, (period, page), figure) in figures {
        execute(connection, sql, params![site.0, period.number(), page.as_ref().map(PageAddress::as_str), figure])?;
    }
    Ok(())
}

/// Reads and deletes them: after a crash, imports made since then may have lowered the figures.
pub fn take(connection: &Connection) -> rusqlite::Result<Vec<ShownFigure>> {
    let figures = rows(connection, "SELECT site, period, page, figure FROM last_shown", [], |row| {
        let (number, page): (u32, Option<String>) = (row.get(1)?, row.get(2)?);
        let counter = Period::from_number(number).map(|period| (period, page.as_deref().map(PageAddress::from_stored)));
        Ok(counter.map(|counter| Ok((SiteNumber(row.get(0)?), counter, row.get(3)?))))
    })?;
    clear(connection)?;
    figures.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sqlite::migrations;

    #[test]
    fn figures_are_read_once_as_they_were_written_last() {
        let file = Connection::open_in_memory().unwrap();
        migrations::migrate(&file).unwrap();
        let figure =
            |page: Option<&str>, hits| (SiteNumber(1), (Period::Total, page.map(PageAddress::from_stored)), hits);
        write(&file, &[figure(Some("/gone"), 1)]).unwrap();
        let figures = [figure(Some("/a"), 5), figure(None, 7)];
        write(&file, &figures).unwrap();
        assert_eq!((take(&file).unwrap(), take(&file).unwrap()), (figures.to_vec(), Vec::new()));
    }
}
