//! `visitors` and `online`: visitors' sketches, by day and by minute.

use rusqlite::{Connection, params};

use super::counts::day_at;
use super::{execute, rows};
use crate::counter::{Day, Minute, Period, SiteNumber, Sketch, Window};

/// Merges a sketch into the file's.
pub fn merge(connection: &Connection, site: SiteNumber, window: Window, sketch: &Sketch) -> rusqlite::Result<()> {
    let mut sketch = sketch.clone();
    if let Some(known) = read(connection, site, window)? {
        sketch.merge(&known);
    }
    let day = Period::Day(window.day).number();
    match window.minute {
        None => {
            let estimate = i64::try_from(sketch.estimate()).unwrap_or(i64::MAX);
            let sql = "INSERT INTO visitors (site, day, estimate, sketch) VALUES (?, ?, ?, ?)
                       ON CONFLICT DO UPDATE SET estimate = max(estimate, excluded.estimate), sketch = excluded.sketch";
            execute(connection, sql, params![site.0, day, estimate, sketch.to_redis()]).map(drop)
        }
        Some(minute) => {
            let sql = "INSERT OR REPLACE INTO online (site, minute, day, sketch) VALUES (?, ?, ?, ?)";
            execute(connection, sql, params![site.0, minute.number(), day, sketch.to_redis()]).map(drop)
        }
    }
}

fn read(connection: &Connection, site: SiteNumber, window: Window) -> rusqlite::Result<Option<Sketch>> {
    let day = Period::Day(window.day).number();
    let found = match window.minute {
        None => {
            let sql = "SELECT sketch FROM visitors WHERE site = ? AND day = ?";
            rows(connection, sql, [site.0, day], |row| sketch_at(row, 0))?
        }
        Some(minute) => {
            let sql = "SELECT sketch FROM online WHERE site = ? AND day = ? AND minute = ?";
            rows(connection, sql, [site.0, day, minute.number()], |row| sketch_at(row, 0))?
        }
    };
    Ok(found.into_iter().flatten().next())
}

/// True if visitors were ever counted.
pub fn were_ever_counted(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM visitors) OR EXISTS (SELECT 1 FROM salts)", [], |row| row.get(0))
}

/// Sites with sketches.
pub fn sites(connection: &Connection) -> rusqlite::Result<Vec<SiteNumber>> {
    let sql = "SELECT site FROM visitors WHERE sketch IS NOT NULL UNION SELECT site FROM online";
    rows(connection, sql, [], |row| row.get(0).map(SiteNumber))
}

/// All sketches of a site.
pub fn of_site(connection: &Connection, site: SiteNumber) -> rusqlite::Result<Vec<(Window, Sketch)>> {
    let sql = "SELECT day, NULL, sketch FROM visitors WHERE site = ?1 AND sketch IS NOT NULL
               UNION ALL SELECT day, minute, sketch FROM online WHERE site = ?1";
    rows(connection, sql, [site.0], |row| {
        let minute: Option<u32> = row.get(1)?;
        let window = Window { day: day_at(row, 0)?, minute: minute.map(Minute::from_number) };
        Ok((window, sketch_at(row, 2)?.unwrap_or_default()))
    })
}

/// The estimates of a site's days, the oldest first.
pub fn estimates(connection: &Connection, site: SiteNumber) -> rusqlite::Result<Vec<(Day, u64)>> {
    let sql = "SELECT day, estimate FROM visitors WHERE site = ? ORDER BY day";
    rows(connection, sql, [site.0], |row| {
        let estimate: i64 = row.get(1)?;
        Ok((day_at(row, 0)?, u64::try_from(estimate).unwrap_or(0)))
    })
}

/// Numbers of what was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub salts: usize,
    /// Sketches of days.
    pub days: usize,
    /// Sketches of minutes.
    pub minutes: usize,
}

/// Deletes the sketches of days before `day`, whose estimates stay, and of minutes before `minute`; returns the
/// numbers of both.
pub fn delete_before(connection: &Connection, day: Day, minute: Minute) -> rusqlite::Result<(usize, usize)> {
    let sql = "UPDATE visitors SET sketch = NULL WHERE sketch IS NOT NULL AND day < ?";
    let days = execute(connection, sql, [Period::Day(day).number()])?;
    Ok((days, execute(connection, "DELETE FROM online WHERE minute < ?", [minute.number()])?))
}

/// The sketch, or none after its day. An unreadable sketch is damage.
fn sketch_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Sketch>> {
    let text: Option<Vec<u8>> = row.get(column)?;
    text.map(|text| Sketch::from_redis(&text)).transpose().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(error))
    })
}
