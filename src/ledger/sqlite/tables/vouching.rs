//! Vouching for pages, and `vouch_tags`: the networks that have read an unvouched page.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::counts::{self, Key, SITE_ITSELF, day_at};
use super::sources::{self, SourceNumber, source_at};
use super::{execute, rows};
use crate::counter::source::ImportName;
use crate::counter::vouching::{NetworkTag, Tags};
use crate::counter::{Day, PageAddress, Period, Register, SiteNumber, Source};

/// A run's counts of a page in the order of [`Day::page_periods`].
pub type DayCounts = (Source, Day, [i64; 3]);

/// Vouches for a page: from now on it has months and a total, which begin with its days' sum. Returns the counts of
/// this node's runs; none if the page was vouched for. A reset's part of them begins with the sum of its days, too.
pub fn vouch(connection: &Connection, site: SiteNumber, number: i64) -> rusqlite::Result<Vec<DayCounts>> {
    let days = days(connection, site, number)?;
    let reset = reset_days(connection, site, number)?;
    if execute(connection, "UPDATE pages SET vouched = 1 WHERE number = ? AND vouched <= 0", [number])? == 0 {
        return Ok(Vec::new());
    }
    let mut sums: BTreeMap<(SourceNumber, Period), i64> = BTreeMap::new();
    for DayCount { source, day, hits, .. } in &days {
        for period in [day.month(), Period::Total] {
            *sums.entry((*source, period)).or_default() += hits;
        }
    }
    for ((source, period), hits) in &sums {
        let key = Key { site, period: *period, page: number, source: *source };
        counts::merge(connection, key, Register::Grown(*hits))?;
    }
    let generation = reset.iter().map(|of| of.generation).max().unwrap_or(0);
    let mut taken: BTreeMap<(SourceNumber, Period), i64> = BTreeMap::new();
    for ResetDay { source, day, hits, .. } in &reset {
        for period in [day.month(), Period::Total] {
            *taken.entry((*source, period)).or_default() += hits;
        }
    }
    for ((source, period), hits) in taken {
        let key = Key { site, period, page: number, source };
        counts::merge(connection, key, Register::Written { generation, hits })?;
    }
    let sum = |source, period| sums.get(&(source, period)).copied().unwrap_or(0);
    let count = |of: DayCount| {
        let hits = [of.hits, sum(of.source, of.day.month()), sum(of.source, Period::Total)];
        (of.name, of.day, hits)
    };
    Ok(days.into_iter().map(count).collect())
}

/// A reset's part of a page's day.
struct ResetDay {
    source: SourceNumber,
    day: Day,
    hits: i64,
    generation: u64,
}

/// A reset's parts of an unvouched page.
fn reset_days(connection: &Connection, site: SiteNumber, number: i64) -> rusqlite::Result<Vec<ResetDay>> {
    let Some(source) = sources::find(connection, &Source::Import(ImportName::reset()))? else { return Ok(Vec::new()) };
    let sql = format!(
        "{PERIODS_OF_UNVOUCHED} SELECT c.period, c.hits, ifnull(c.generation, 0)
         FROM periods JOIN counts c ON c.site = ?1 AND c.period = periods.period AND c.page = ?2 AND c.source = ?3
         WHERE c.period % 100 > 0"
    );
    rows(connection, &sql, params![site.0, number, source], |row| {
        let generation = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
        Ok(ResetDay { source, day: day_at(row, 0)?, hits: row.get(1)?, generation })
    })
}

struct DayCount {
    source: SourceNumber,
    name: Source,
    day: Day,
    hits: i64,
}

/// Periods from an unvouched page's first day on. It has days alone; these are looked up one by one, since counts are in
/// the order of periods.
const PERIODS_OF_UNVOUCHED: &str = "WITH RECURSIVE periods (period) AS (
     SELECT min(c.period) FROM pages p JOIN counts c ON c.site = ?1 AND c.period >= -p.vouched
     WHERE p.number = ?2 AND p.vouched <= 0
     UNION ALL
     SELECT (SELECT min(period) FROM counts WHERE site = ?1 AND period > periods.period)
     FROM periods WHERE periods.period IS NOT NULL)";

/// The counts of this node's runs of an unvouched page.
fn days(connection: &Connection, site: SiteNumber, number: i64) -> rusqlite::Result<Vec<DayCount>> {
    let sql = format!(
        "{PERIODS_OF_UNVOUCHED} SELECT c.source, s.name, c.period, c.hits
         FROM periods JOIN counts c ON c.site = ?1 AND c.period = periods.period AND c.page = ?2
           JOIN sources s ON s.number = c.source
         WHERE c.period % 100 > 0 AND c.generation IS NULL AND s.learned != 1"
    );
    rows(connection, &sql, params![site.0, number], |row| {
        Ok(DayCount { source: row.get(0)?, name: source_at(row, 1)?, day: day_at(row, 2)?, hits: row.get(3)? })
    })
}

/// The number of days on which an unvouched page was read, `day` among them.
pub fn days_read(connection: &Connection, site: SiteNumber, number: i64, day: Day) -> rusqlite::Result<usize> {
    let mut days: Vec<_> = days(connection, site, number)?.into_iter().map(|count| count.day).chain([day]).collect();
    days.sort_unstable();
    days.dedup();
    Ok(days.len())
}

/// The hits of an unvouched page, by day; those of a reset are negative.
pub struct UnvouchedDays(Vec<(Day, i64)>);

impl UnvouchedDays {
    pub fn read(connection: &Connection, site: SiteNumber, number: i64) -> rusqlite::Result<Self> {
        let days = days(connection, site, number)?.into_iter().map(|count| (count.day, count.hits));
        let reset = reset_days(connection, site, number)?.into_iter().map(|of| (of.day, of.hits));
        Ok(Self(days.chain(reset).collect()))
    }

    /// The hits in a longer period: the sum of its days, since a reset.
    pub fn hits(&self, period: Period) -> i64 {
        let of_period = self.0.iter().filter(|(day, _)| day.page_periods().contains(&period));
        // A reset takes away other nodes' hits as well.
        i64::max(of_period.map(|(_, hits)| hits).sum(), 0)
    }
}

/// Notes networks of a page, or of the site itself.
pub fn note_tags(connection: &Connection, site: SiteNumber, day: Day, number: i64, tags: Tags) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO vouch_tags (site, day, page, tag) VALUES (?, ?, ?, ?)";
    let period = Period::Day(day).number();
    tags.iter().try_for_each(|tag| execute(connection, sql, params![site.0, period, number, tag.number()]).map(drop))
}

/// Deletes the tags of a page that is vouched for.
pub fn forget_page(connection: &Connection, site: SiteNumber, day: Day, number: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM vouch_tags WHERE site = ? AND day = ? AND page = ?";
    execute(connection, sql, params![site.0, Period::Day(day).number(), number]).map(drop)
}

/// Tags of a subject on a day; `page`: none for the site itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTags {
    pub site: SiteNumber,
    pub day: Day,
    pub page: Option<PageAddress>,
    pub tags: Tags,
}

/// All tags, the sites' first.
pub fn all(connection: &Connection) -> rusqlite::Result<Vec<KnownTags>> {
    let sql = "SELECT t.site, t.day, p.address, t.tag, t.page FROM vouch_tags t LEFT JOIN pages p ON p.number = t.page
               WHERE t.page = 0 OR p.vouched <= 0 ORDER BY t.page > 0, t.site, t.day, t.page";
    let each = rows(connection, sql, [], |row| {
        let tag = NetworkTag::from_number(row.get(3)?);
        Ok(KnownTags {
            site: SiteNumber(row.get(0)?),
            day: day_at(row, 1)?,
            page: counts::page_at(row, 2)?,
            tags: Tags::from_iter(tag),
        })
    })?;
    let mut all: Vec<KnownTags> = Vec::new();
    for one in each {
        match all.last_mut() {
            Some(last) if (last.site, last.day, &last.page) == (one.site, one.day, &one.page) => {
                last.tags.add_all(one.tags);
            }
            _ => all.push(one),
        }
    }
    Ok(all)
}

/// Deletes the tags of days whose salts are deleted. Of the site's own their number stays, for another day.
pub fn forget_days(connection: &Connection, days: &[(SiteNumber, Day)]) -> rusqlite::Result<()> {
    for (site, day) in days {
        let day = Period::Day(*day).number();
        let sql = "SELECT count(*) FROM vouch_tags WHERE site = ? AND day = ? AND page = ?";
        let networks: i64 =
            connection.prepare_cached(sql)?.query_row(params![site.0, day, SITE_ITSELF], |row| row.get(0))?;
        execute(connection, "DELETE FROM vouch_tags WHERE site = ? AND day <= ?", params![site.0, day])?;
        let sql = "INSERT INTO vouch_tags (site, day, page, tag) VALUES (?, ?, ?, ?)";
        (1..=networks)
            .try_for_each(|tag| execute(connection, sql, params![site.0, day, SITE_ITSELF, tag]).map(drop))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sqlite::migrations;
    use crate::ledger::sqlite::tables::pages;

    const SITE: SiteNumber = SiteNumber(1);

    fn file() -> Connection {
        let file = Connection::open_in_memory().unwrap();
        migrations::migrate(&file).unwrap();
        for (number, learned) in [(1_u32, 0), (2, 1), (3, 0)] {
            let sql = "INSERT INTO sources (number, name, learned) VALUES (?, ?, ?)";
            file.execute(sql, params![number, Source::Run(number.into()).to_string(), learned]).unwrap();
        }
        file
    }

    fn day(day: u32) -> Day {
        Day::from_ymd(2024, 6, day).unwrap()
    }

    fn count(file: &Connection, page: i64, day: Day, source: SourceNumber, hits: i64) {
        counts::add(file, SITE, page, source, [Period::Day(day)], hits).unwrap();
    }

    #[test]
    fn a_pages_months_and_total_begin_at_its_vouching_with_its_days_sum() {
        let file = file();
        let page = PageAddress::from_stored("/a");
        let number = pages::insert_unvouched(&file, SITE, &page, day(29)).unwrap();
        let next_month = Day::from_ymd(2024, 7, 1).unwrap();
        for (day, source, hits) in [(day(29), 1, 2), (day(30), 1, 3), (next_month, 3, 7), (next_month, 2, 100)] {
            count(&file, number, day, source, hits);
        }
        let days_read = |day| days_read(&file, SITE, number, day).unwrap();
        assert_eq!([day(30), next_month.next()].map(days_read), [3, 4]);
        let in_total = |period: &str| UnvouchedDays::read(&file, SITE, number).unwrap().hits(period.parse().unwrap());
        assert_eq!(["2024-06", "2024-07", "total"].map(in_total), [5, 7, 12]);
        let vouched = vouch(&file, SITE, number).unwrap();
        let expected = [(1, day(29), [2, 5, 5]), (1, day(30), [3, 5, 5]), (3, next_month, [7, 7, 7])];
        assert_eq!(vouched, expected.map(|(run, day, hits)| (Source::Run(run), day, hits)));
        let stored = |period: &str| {
            let of_page = counts::of_page(&file, SITE, period.parse().unwrap(), number).unwrap();
            of_page.into_iter().map(|count| count.register.hits()).collect::<Vec<_>>()
        };
        assert_eq!((stored("2024-06"), stored("2024-07"), stored("total")), (vec![5], vec![7], vec![5, 7]));
        assert!(pages::find(&file, SITE, &page).unwrap().unwrap().is_vouched);
        // Once.
        assert_eq!(vouch(&file, SITE, number).unwrap(), []);
        assert_eq!(stored("total"), [5, 7]);
    }

    #[test]
    fn tags_go_with_their_days_salt_and_the_sites_networks_stay_as_a_number() {
        let file = file();
        let page = PageAddress::from_stored("/a");
        let number = pages::insert_unvouched(&file, SITE, &page, day(17)).unwrap();
        let tags: Tags = [77, 88].into_iter().filter_map(NetworkTag::from_number).collect();
        for number in [SITE_ITSELF, number] {
            note_tags(&file, SITE, day(17), number, tags).unwrap();
            note_tags(&file, SITE, day(17), number, tags).unwrap();
        }
        let known =
            |page: Option<&PageAddress>, tags| KnownTags { site: SITE, day: day(17), page: page.cloned(), tags };
        assert_eq!(all(&file).unwrap(), [known(None, tags), known(Some(&page), tags)]);
        forget_days(&file, &[(SITE, day(17))]).unwrap();
        let number_alone = [1, 2].into_iter().filter_map(NetworkTag::from_number).collect();
        assert_eq!(all(&file).unwrap(), [known(None, number_alone)]);
        forget_days(&file, &[(SITE, day(18))]).unwrap();
        assert_eq!(all(&file).unwrap(), []);
    }

    #[test]
    fn an_unvouched_page_is_deleted_with_its_last_count() {
        let file = file();
        let insert = |page| pages::insert_unvouched(&file, SITE, &PageAddress::from_stored(page), day(17)).unwrap();
        let (gone, counted) = (insert("/a"), insert("/b"));
        let vouched = pages::insert_vouched(&file, SITE, &PageAddress::from_stored("/c")).unwrap();
        count(&file, SITE_ITSELF, day(17), 1, 1);
        count(&file, counted, day(18), 1, 1);
        assert_eq!(pages::delete_unvouched(&file, &[gone, counted, vouched]).unwrap(), 1);
        let left = |page: &str| pages::find(&file, SITE, &PageAddress::from_stored(page)).unwrap().is_some();
        assert_eq!(["/a", "/b", "/c"].map(left), [false, true, true]);
    }
}
