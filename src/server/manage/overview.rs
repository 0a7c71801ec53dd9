//! Overview: all sites that may be seen, each in a row.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::change::{Change, percent};
use super::frame::Frame;
use super::locale::Locale;
use super::sparkline;
use super::tables::TableLinks;
use crate::clock;
use crate::counter::{Day, RegisteredSite, figures};
use crate::server::Refusals;
use crate::server::http::{HttpError, form};
use crate::server::ports::{Available, Node};

/// Sites of one page.
const SITES_MAX: usize = 1_000;
/// Sites that are read at once.
const READS_AT_ONCE: usize = 256;
/// Days of a row: this month's, and the former's.
const DAYS: usize = 62;
/// Days of a sparkline.
const SPARK_DAYS: usize = 30;
/// Longest text that is looked for, in characters.
const SOUGHT_CHARS_MAX: usize = 100;
/// A site without a hit for so long has a mark, and so has one with refused hits within it.
const SILENCE: TimeDelta = TimeDelta::hours(24);

/// A column by which rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    Today,
    Yesterday,
    Month,
    Change,
    LastHit,
}

impl Column {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Name, "name"),
        (Self::Today, "today"),
        (Self::Yesterday, "yesterday"),
        (Self::Month, "month"),
        (Self::Change, "change"),
        (Self::LastHit, "last"),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(column, _)| *column == self).map_or("", |(_, name)| name)
    }
}

/// The rows that a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    sought: String,
    column: Column,
    is_descending: bool,
    /// From 1 on.
    page: usize,
}

impl Asked {
    pub fn of(query: &str) -> Result<Self, HttpError> {
        let sought = form::field(query, "q")?.unwrap_or_default();
        let sought = sought.trim().chars().take(SOUGHT_CHARS_MAX).collect();
        let sort = form::field(query, "sort")?.unwrap_or_default();
        let (name, is_descending) = sort.strip_prefix('-').map_or((&*sort, false), |name| (name, true));
        let column = Column::ALL.iter().find(|(_, known)| *known == name).map_or(Column::Name, |(column, _)| *column);
        let page = form::field(query, "page")?.and_then(|text| text.parse().ok()).unwrap_or(1).max(1);
        Ok(Self { sought, column, is_descending, page })
    }

    /// As the query writes it; empty for the order that goes without saying.
    fn sort(&self) -> String {
        match (self.column, self.is_descending) {
            (Column::Name, false) => String::new(),
            (column, true) => format!("-{}", column.as_str()),
            (column, false) => column.as_str().to_owned(),
        }
    }

    /// The sites of the page, by name, and the number of all that match.
    fn sites(&self, sites: Vec<Arc<RegisteredSite>>) -> (Vec<Arc<RegisteredSite>>, usize) {
        let sought = self.sought.to_lowercase();
        let is_sought = |site: &Arc<RegisteredSite>| {
            sought.is_empty()
                || site.site.id.as_str().contains(&sought)
                || site.site.name.to_lowercase().contains(&sought)
        };
        let mut found: Vec<_> = sites.into_iter().filter(is_sought).map(|site| (sort_key(&site), site)).collect();
        found.sort_by(|(key, site), (other_key, other)| (key, &site.site.id).cmp(&(other_key, &other.site.id)));
        let count = found.len();
        let first = self.page.saturating_sub(1).saturating_mul(SITES_MAX);
        (found.into_iter().map(|(_, site)| site).skip(first).take(SITES_MAX).collect(), count)
    }
}

fn sort_key(site: &RegisteredSite) -> String {
    name(site).to_lowercase()
}

/// The site's name for people.
pub fn name(site: &RegisteredSite) -> &str {
    if site.site.name.is_empty() { site.site.id.as_str() } else { &site.site.name }
}

/// A site's numbers.
#[derive(Debug, Clone)]
pub struct Row {
    pub site: Arc<RegisteredSite>,
    today: Day,
    /// Hits of the last days, today's last.
    days: Vec<i64>,
    pub month: i64,
    last_hit: Option<DateTime<Utc>>,
    is_stale: bool,
}

/// The last hit, as exactly as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LastHit {
    Unknown,
    Day(Day),
    At(DateTime<Utc>),
}

impl Row {
    async fn read<N: Node>(node: &N, site: Arc<RegisteredSite>, now: DateTime<Utc>) -> Available<Self> {
        let read = node.recent(&site, DAYS).await?;
        let mut days: Vec<_> = read.values.into_iter().map(figures::shown).collect();
        let month = days.pop().unwrap_or_default();
        let last_hit = node.last_hit(&site);
        let today = Day::at(now, site.site.time_zone);
        Ok(Self { site, today, days, month, last_hit, is_stale: read.stale })
    }

    /// Hits of the day so many days before today.
    pub fn before(&self, days: usize) -> i64 {
        self.days.len().checked_sub(days + 1).and_then(|at| self.days.get(at)).copied().unwrap_or_default()
    }

    /// Hits of the month's whole days, and of as many first days of the former month. None on the month's first day.
    pub fn compared(&self) -> Option<(i64, i64)> {
        let length_to = |day: Day| day.date().day() as usize;
        let whole = length_to(self.today) - 1;
        let former_length = length_to(self.today.month().previous()?.last_day()?);
        if whole == 0 {
            return None;
        }
        let now = (1..=whole).map(|days| self.before(days)).sum();
        // The former month's last day lies just before this month's first.
        let first = whole + former_length;
        let former = (0..whole.min(former_length)).map(|day| self.before(first - day)).sum();
        Some((now, former))
    }

    fn last(&self) -> LastHit {
        let latest_day = (0..self.days.len()).find(|days| self.before(*days) > 0);
        let day = latest_day.and_then(|days| {
            let date = self.today.date().checked_sub_days(chrono::Days::new(days as u64))?;
            Some(Day::from_date(date))
        });
        match (self.last_hit, day) {
            // Another node may have counted since.
            (Some(at), Some(day)) if Day::at(at, self.site.site.time_zone) < day => LastHit::Day(day),
            (Some(at), _) => LastHit::At(at),
            (None, Some(day)) => LastHit::Day(day),
            (None, None) => LastHit::Unknown,
        }
    }

    /// Day of the last hit, where it is known.
    pub fn last_day(&self) -> Option<Day> {
        match self.last() {
            LastHit::Unknown => None,
            LastHit::Day(day) => Some(day),
            LastHit::At(at) => Some(Day::at(at, self.site.site.time_zone)),
        }
    }

    /// True if the site certainly had no hit for a day.
    fn is_silent(&self, now: DateTime<Utc>) -> bool {
        match self.last() {
            LastHit::Unknown => true,
            LastHit::Day(day) => day < self.today.previous(),
            LastHit::At(at) => now - at > SILENCE,
        }
    }

    /// For sorting: the last first.
    fn last_key(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.last() {
            LastHit::Unknown => None,
            LastHit::Day(day) => Some(day.ends_at(self.site.site.time_zone).min(now)),
            LastHit::At(at) => Some(at),
        }
    }
}

/// The rows that are asked for, in their order, and the number of all sites that match.
pub async fn rows<N: Node>(
    node: &N,
    asked: &Asked,
    sites: Vec<Arc<RegisteredSite>>,
    now: DateTime<Utc>,
) -> Available<(Vec<Row>, usize)> {
    let (sites, count) = asked.sites(sites);
    let mut rows = read(node, sites, now).await?;
    sort(&mut rows, asked, now);
    Ok((rows, count))
}

async fn read<N: Node>(node: &N, sites: Vec<Arc<RegisteredSite>>, now: DateTime<Utc>) -> Available<Vec<Row>> {
    stream::iter(sites).map(|site| Row::read(node, site, now)).buffered(READS_AT_ONCE).try_collect().await
}

fn sort(rows: &mut [Row], asked: &Asked, now: DateTime<Utc>) {
    let order = |row: &Row, other: &Row| match asked.column {
        // As they come.
        Column::Name => Ordering::Equal,
        Column::Today => row.before(0).cmp(&other.before(0)),
        Column::Yesterday => row.before(1).cmp(&other.before(1)),
        Column::Month => row.month.cmp(&other.month),
        Column::Change => {
            let change = |row: &Row| row.compared().and_then(|(now, former)| percent(now, former));
            change(row).cmp(&change(other))
        }
        Column::LastHit => row.last_key(now).cmp(&other.last_key(now)),
    };
    match (asked.column, asked.is_descending) {
        (Column::Name, true) => rows.reverse(),
        (_, true) => rows.sort_by(|row, other| order(other, row)),
        (_, false) => rows.sort_by(order),
    }
}

#[derive(Template)]
#[template(path = "manage/overview.html")]
pub struct Overview {
    frame: Frame,
    sought: String,
    sort: String,
    columns: Vec<Heading>,
    rows: Vec<ShownRow>,
    sum: ShownSum,
    /// Sites of the page, of which the sum is.
    count: String,
    has_sites: bool,
    is_stale: bool,
    spark_width: usize,
    previous: Option<String>,
    next: Option<String>,
    files: TableLinks,
}

struct Heading {
    label: &'static str,
    hint: &'static str,
    href: String,
    /// `aria-sort`.
    sorted: &'static str,
    is_number: bool,
}

struct ShownRow {
    id: String,
    name: String,
    href: String,
    today: String,
    yesterday: String,
    month: String,
    change: Change,
    spark: Option<String>,
    spark_label: String,
    last_hit: String,
    is_silent: bool,
    /// The page that shows refused hits.
    href_live: String,
    /// Hits of the site's pages are refused.
    is_refused: bool,
}

struct ShownSum {
    today: String,
    yesterday: String,
    month: String,
    change: Change,
}

pub async fn page<N: Node>(
    node: &N,
    frame: Frame,
    asked: &Asked,
    sites: Vec<Arc<RegisteredSite>>,
    refusals: &Refusals,
) -> Available<Overview> {
    let has_sites = !sites.is_empty();
    let now = clock::now();
    let refused = refusals.sites_refused_since(now - SILENCE);
    let (rows, count) = rows(node, asked, sites, now).await?;
    let sort = asked.sort();
    let frame = frame.at("", &[("q", &asked.sought), ("sort", &sort)]);
    let locale = frame.locale;
    let totals = |value: fn(&Row) -> i64| locale.number(rows.iter().map(value).sum());
    let compared = rows.iter().filter_map(Row::compared);
    let compared = compared.reduce(|(now, former), (of_now, of_former)| (now + of_now, former + of_former));
    let sum = ShownSum {
        today: totals(|row| row.before(0)),
        yesterday: totals(|row| row.before(1)),
        month: totals(|row| row.month),
        change: Change::of(compared),
    };
    let turned = |page: usize| {
        let page = if page > 1 { page.to_string() } else { String::new() };
        frame.href("", &[("q", &asked.sought), ("sort", &sort), ("page", &page)])
    };
    Ok(Overview {
        columns: headings(&frame, asked),
        previous: (asked.page > 1).then(|| turned(asked.page - 1)),
        files: {
            let page = if asked.page > 1 { asked.page.to_string() } else { String::new() };
            TableLinks::of_overview(&frame, &[("q", &asked.sought), ("sort", &sort), ("page", &page)])
        },
        next: (asked.page.saturating_mul(SITES_MAX) < count).then(|| turned(asked.page + 1)),
        is_stale: rows.iter().any(|row| row.is_stale),
        rows: rows.iter().map(|row| shown(&frame, row, now, refused.contains(&row.site.number))).collect(),
        sum,
        count: locale.number(rows.len() as i64),
        has_sites,
        spark_width: sparkline::width(SPARK_DAYS),
        sought: asked.sought.clone(),
        sort,
        frame,
    })
}

fn headings(frame: &Frame, asked: &Asked) -> Vec<Heading> {
    let words = frame.words;
    let label = |column| match column {
        Column::Name => (words.site, ""),
        Column::Today => (words.today, ""),
        Column::Yesterday => (words.yesterday, ""),
        Column::Month => (words.this_month, ""),
        Column::Change => (words.change, words.change_hint),
        Column::LastHit => (words.last_hit, ""),
    };
    let heading = |(column, name): (Column, &str)| {
        let is_sorted = column == asked.column;
        // Numbers from the greatest on, names from A on.
        let is_descending = if is_sorted { !asked.is_descending } else { column != Column::Name };
        let sort = if is_descending { format!("-{name}") } else { name.to_owned() };
        let (label, hint) = label(column);
        Heading {
            label,
            hint,
            href: frame.href("", &[("q", &asked.sought), ("sort", &sort)]),
            sorted: match (is_sorted, asked.is_descending) {
                (false, _) => "none",
                (true, false) => "ascending",
                (true, true) => "descending",
            },
            is_number: !matches!(column, Column::Name | Column::LastHit),
        }
    };
    Column::ALL.into_iter().map(heading).collect()
}

fn shown(frame: &Frame, row: &Row, now: DateTime<Utc>, is_refused: bool) -> ShownRow {
    let (locale, words, site) = (frame.locale, frame.words, &row.site.site);
    let days = &row.days[row.days.len().saturating_sub(SPARK_DAYS)..];
    let (least, most) = (days.iter().min().copied().unwrap_or(0), days.iter().max().copied().unwrap_or(0));
    let last_hit = match row.last() {
        LastHit::At(at) => locale.moment(at.with_timezone(&site.time_zone), row.today),
        LastHit::Day(day) if day == row.today => words.today.to_owned(),
        LastHit::Day(day) if day == row.today.previous() => words.yesterday.to_owned(),
        LastHit::Day(day) => locale.day(day),
        LastHit::Unknown if row.month > 0 => words.long_ago.to_owned(),
        LastHit::Unknown => words.never.to_owned(),
    };
    ShownRow {
        id: site.id.to_string(),
        name: name(&row.site).to_owned(),
        href: frame.href(&format!("/sites/{}", site.id), &[]),
        today: locale.number(row.before(0)),
        yesterday: locale.number(row.before(1)),
        month: locale.number(row.month),
        change: Change::of(row.compared()),
        spark: sparkline::path(days),
        spark_label: format!("{}: {}–{}", words.thirty_days, locale.number(least), locale.number(most)),
        last_hit,
        href_live: frame.href(&format!("/sites/{}/live", site.id), &[]),
        is_silent: row.is_silent(now),
        is_refused,
    }
}

/// Today's hits of the page's sites, as the pages' script refreshes them.
pub async fn now<N: Node>(
    node: &N,
    locale: Locale,
    asked: &Asked,
    sites: Vec<Arc<RegisteredSite>>,
) -> Available<BTreeMap<String, String>> {
    let rows = read(node, asked.sites(sites).0, clock::now()).await?;
    let mut shown: BTreeMap<_, _> =
        rows.iter().map(|row| (format!("today:{}", row.site.site.id), locale.number(row.before(0)))).collect();
    shown.insert("today".to_owned(), locale.number(rows.iter().map(|row| row.before(0)).sum()));
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Site, SiteNumber};

    fn site(id: &str, name: &str) -> Arc<RegisteredSite> {
        let mut site = Site::with_defaults(id.parse().unwrap(), Vec::new());
        site.name = name.to_owned();
        Arc::new(RegisteredSite::new(SiteNumber(1), site))
    }

    /// A row whose day `n` before today has the hits `hits(n)`.
    fn row(today: (i32, u32, u32), hits: impl Fn(usize) -> i64) -> Row {
        Row {
            site: site("a", ""),
            today: Day::from_ymd(today.0, today.1, today.2).unwrap(),
            days: (0..DAYS).rev().map(hits).collect(),
            month: 0,
            last_hit: None,
            is_stale: false,
        }
    }

    #[test]
    fn a_month_is_compared_by_its_whole_days_with_as_many_of_the_former() {
        // Today, the 3rd of March, is not over.
        let march = row((2026, 3, 3), |before| match before {
            0 => 1_000,
            1 => 5,
            2 => 6,
            // The 1st and the 2nd of February.
            29 => 3,
            30 => 2,
            _ => 0,
        });
        assert_eq!(march.compared(), Some((11, 5)));
        assert_eq!(row((2026, 3, 1), |_| 1).compared(), None);
        // February has fewer days than March has had.
        assert_eq!(row((2026, 3, 31), |_| 1).compared(), Some((30, 28)));
    }

    #[test]
    fn a_site_is_silent_when_a_day_without_hits_is_certain() {
        let now: DateTime<Utc> = "2026-03-03T05:00:00Z".parse().unwrap();
        let last_on = |days: usize| row((2026, 3, 3), move |before| i64::from(before == days));
        assert!(!last_on(0).is_silent(now) && !last_on(1).is_silent(now), "yesterday's may be of the evening");
        assert!(last_on(2).is_silent(now) && row((2026, 3, 3), |_| 0).is_silent(now));
        let known = |days, hours: i64| Row { last_hit: Some(now - TimeDelta::hours(hours)), ..last_on(days) };
        assert!(!known(0, 1).is_silent(now) && !known(1, 23).is_silent(now) && known(1, 25).is_silent(now));
        assert_eq!(known(0, 30).last(), LastHit::Day(last_on(0).today), "another node has counted since");
    }

    #[test]
    fn rows_are_found_by_name_and_id_and_come_by_name() {
        let sites = [site("xa-b", "Xã Đông"), site("xa-a", "xã Bắc"), site("huyen", "")].to_vec();
        let ids = |query: &str| {
            let (sites, count) = Asked::of(query).unwrap().sites(sites.clone());
            (sites.iter().map(|site| site.site.id.to_string()).collect::<Vec<_>>().join(" "), count)
        };
        assert_eq!(ids(""), ("huyen xa-a xa-b".to_owned(), 3));
        assert_eq!(ids("q=x%C3%A3+b"), ("xa-a".to_owned(), 1));
        assert_eq!(ids("q=XA-"), ("xa-a xa-b".to_owned(), 2));
        assert_eq!(ids("page=2"), (String::new(), 3));
    }

    #[test]
    fn an_unknown_order_is_by_name() {
        let sort = |query| Asked::of(query).unwrap().sort();
        assert_eq!(["", "sort=x", "sort=-today", "sort=month", "sort=name"].map(sort), ["", "", "-today", "month", ""]);
    }
}
