//! Figures of a report, in words and numbers.

use std::sync::Arc;

use chrono::{DateTime, Datelike as _, Timelike as _, Weekday};
use chrono_tz::Tz;

use super::super::bar_chart::{Bar, BarChart, ChartWords};
use super::super::bar_spans::BarStep;
use super::super::change::Change;
use super::super::chosen_range::{ChosenRange, Preset};
use super::super::locale::Locale;
use super::super::not_counted::{NotCounted, ShownKind};
use super::super::overview::name;
use super::super::reading::sums;
use super::words::Words;
use crate::bots::UNCOUNTED_DAYS_MAX;
use crate::counter::{Day, DayRange, Language, Period, RegisteredSite};
use crate::server::ports::{Available, Node};
use crate::server::public::history_blocks::HistoryBlocks;
use crate::server::public::listed_pages::ListedPages;
use crate::server::public::ranges::{self, PageFilter};

/// Lines of the list of pages.
const PAGES_MAX: usize = 20;

pub struct ReportFigures {
    pub agency: String,
    /// `Tháng 11 năm 2026`.
    pub period: String,
    pub days: String,
    /// The last day that is counted, if the period isn't over.
    pub until: Option<String>,
    /// Place and date, with the place left to be written.
    pub place: String,
    /// Days of the former period, and of the same one of the year before.
    pub former: Option<String>,
    pub last_year: Option<String>,
    pub lines: Vec<FigureLine>,
    pub highest: Option<String>,
    pub chart_heading: &'static str,
    pub chart: BarChart,
    /// Each month of a quarter or year.
    pub months: Vec<FigureLine>,
    pub pages: Vec<PageLine>,
    /// The first day from which on pages' views are kept.
    pub pages_kept_from: Option<String>,
    pub kinds: Vec<ShownKind>,
    pub made: String,
    pub is_stale: bool,
}

/// A figure beside those of other periods; `–` where there is none.
pub struct FigureLine {
    pub label: String,
    pub now: String,
    pub former: String,
    pub change: Change,
    pub last_year: String,
    pub last_year_change: Change,
}

pub struct PageLine {
    pub title: String,
    /// None where the title is the address.
    pub address: Option<String>,
    pub views: String,
    pub share: String,
}

/// A number of up to three periods.
struct Compared {
    now: Option<i64>,
    former: Option<i64>,
    last_year: Option<i64>,
}

impl Compared {
    fn line(&self, locale: Locale, label: impl Into<String>) -> FigureLine {
        let number = |value: Option<i64>| value.map_or_else(|| "–".to_owned(), |value| locale.number(value));
        let change = |other: Option<i64>| Change::of(self.now.zip(other));
        FigureLine {
            label: label.into(),
            now: number(self.now),
            former: number(self.former),
            change: change(self.former),
            last_year: number(self.last_year),
            last_year_change: change(self.last_year),
        }
    }

    fn per_day(&self, now: DayRange, former: Option<DayRange>, last_year: Option<DayRange>) -> Self {
        let average = |hits: i64, days: DayRange| (hits as f64 / days.length() as f64).round() as i64;
        Self {
            now: self.now.map(|hits| average(hits, now)),
            former: self.former.zip(former).map(|(hits, days)| average(hits, days)),
            last_year: self.last_year.zip(last_year).map(|(hits, days)| average(hits, days)),
        }
    }
}

impl ReportFigures {
    pub async fn read<N: Node>(
        node: &Arc<N>,
        (blocks, lists): (&HistoryBlocks, &ListedPages),
        locale: Locale,
        site: &Arc<RegisteredSite>,
        range: ChosenRange,
        now: DateTime<Tz>,
    ) -> Available<Self> {
        let words = Words::of(locale.language);
        let today = range.today();
        // Of a period that isn't over, the days that are; on its first day, that one.
        let days = range.over().or(range.begun()).unwrap_or(range.days);
        let former = range.compared().map(|(_, former)| former);
        // A part of a day has nothing to compare with.
        let is_compared = range.over().is_some() && range.preset != Some(Preset::Year);
        let last_year = is_compared.then(|| year_before(range, days)).flatten();
        let step = if range.preset == Some(Preset::Year) { BarStep::Month } else { BarStep::Day };
        let months = match range.preset {
            Some(Preset::Month) => Vec::new(),
            _ => BarStep::Month.bars(days),
        };
        let whole = |days: Option<DayRange>| days.map(|days| days.counters(today, true)).unwrap_or_default();
        let bars = step.bars(range.days);
        let begun = |days: &DayRange| days.first() <= today;
        let mut groups = vec![whole(Some(days)), whole(former), whole(last_year)];
        let (days_at, bars_at) = (groups.len(), groups.len() + usize::try_from(days.length()).unwrap_or(0));
        groups.extend(days.days().map(|day| vec![Period::Day(day)]));
        let counters = |days: &DayRange| if begun(days) { step.counters(*days, today) } else { Vec::new() };
        groups.extend(bars.iter().map(counters));
        let months_at = groups.len();
        for month in &months {
            let earlier = year_earlier(*month);
            let is_whole = DayRange::of(month.first().month()) == Some(*month);
            let earlier = if is_whole { earlier } else { earlier.and_then(|days| days.first_days(month.length())) };
            groups.push(BarStep::Month.counters(*month, today));
            groups.push(earlier.map(|days| BarStep::Month.counters(days, today)).unwrap_or_default());
        }
        let read = sums(node, blocks, site, &groups).await?;
        let of = |at: usize| read.values.get(at).copied().unwrap_or_default();
        let total = Compared { now: Some(of(0)), former: former.map(|_| of(1)), last_year: last_year.map(|_| of(2)) };
        let uncounted = NotCounted::of(&node.uncounted(site));
        let uncounted_of = |days: Option<DayRange>| {
            let age = |days: &DayRange| today.number().saturating_sub(days.first().number()) as usize;
            let kept = days.filter(|days| age(days) < UNCOUNTED_DAYS_MAX);
            kept.map(|days| uncounted.sum(days))
        };
        let not_counted = Compared {
            now: uncounted_of(Some(days)),
            former: uncounted_of(former),
            last_year: uncounted_of(last_year),
        };
        let highest = days.days().enumerate().map(|(at, day)| (of(days_at + at), day)).filter(|(hits, _)| *hits > 0);
        let highest = highest.max_by_key(|(hits, day)| (*hits, std::cmp::Reverse(*day)));
        let bars: Vec<_> =
            bars.iter().enumerate().map(|(at, days)| bar(locale, step, *days, of(bars_at + at), today)).collect();
        let chart_heading = if step == BarStep::Day { words.chart_by_day } else { words.chart_by_month };
        let period = period(locale, range);
        let chart_words =
            ChartWords { label: format!("{chart_heading}, {period}"), former: "", imported: "", so_far: "" };
        let most_read = ranges::most_read(node, lists, site, (days, today), &PageFilter::default(), PAGES_MAX).await?;
        let pages = most_read.pages.iter().map(|page| {
            let address =
                if page.page.is_other() { locale.words().other_pages.to_owned() } else { page.page.to_string() };
            let title = page.title.as_ref().map(|title| title.as_str().to_owned());
            PageLine {
                address: title.is_some().then(|| address.clone()),
                title: title.unwrap_or(address),
                views: locale.number(page.hits),
                share: locale.share(page.hits, of(0)),
            }
        });
        let months = months.iter().enumerate().map(|(at, month)| {
            let (now, earlier) = (of(months_at + 2 * at), of(months_at + 2 * at + 1));
            Compared { now: Some(now), former: Some(earlier), last_year: None }
                .line(locale, locale.month(month.first()))
        });
        Ok(Self {
            agency: name(site).to_owned(),
            days: locale.days(range.days),
            until: (range.days.last() > days.last()).then(|| locale.day(days.last())),
            place: place(locale, Day::from_date(now.date_naive())),
            former: former.map(|days| locale.days(days)),
            last_year: last_year.map(|days| locale.days(days)),
            lines: vec![
                total.line(locale, words.views),
                total.per_day(days, former, last_year).line(locale, words.average),
                not_counted.line(locale, words.not_counted),
            ],
            highest: highest.map(|(hits, day)| format!("{} ({})", locale.weekday_and_day(day), locale.number(hits))),
            chart: BarChart::of("bars", locale, chart_words, &bars),
            chart_heading,
            months: months.collect(),
            pages: pages.collect(),
            pages_kept_from: most_read.kept_from.map(|day| locale.day(day)),
            kinds: uncounted.kinds(locale, days),
            made: format!("{:02}:{:02}, {}", now.hour(), now.minute(), locale.day(Day::from_date(now.date_naive()))),
            is_stale: read.stale || most_read.stale,
            period,
        })
    }
}

fn bar(locale: Locale, step: BarStep, days: DayRange, value: i64, today: Day) -> Bar {
    let first = days.first();
    let (label, name) = match step {
        BarStep::Day => (locale.short_day(first), locale.weekday_and_day(first)),
        _ => (locale.short_month(first), locale.month(first)),
    };
    Bar {
        label,
        name,
        value,
        is_weekend: step == BarStep::Day && matches!(first.date().weekday(), Weekday::Sat | Weekday::Sun),
        is_unfinished: days.holds(today),
        is_to_come: first > today,
        ..Bar::default()
    }
}

/// The same days a year before: of a whole period the whole one.
fn year_before(range: ChosenRange, days: DayRange) -> Option<DayRange> {
    let earlier = year_earlier(range.days)?;
    if days == range.days { Some(earlier) } else { earlier.first_days(days.length()) }
}

/// The months of a range that begins and ends with one, a year before.
fn year_earlier(days: DayRange) -> Option<DayRange> {
    let year_before = |day: Day| Day::from_ymd(day.date().year() - 1, day.date().month(), 1);
    let last = year_before(days.last())?;
    DayRange::new(year_before(days.first())?, last.month().last_day()?)
}

/// `Tháng 11 năm 2026`.
fn period(locale: Locale, range: ChosenRange) -> String {
    let first = range.days.first();
    match (locale.language, range.preset) {
        (Language::Vietnamese, Some(Preset::Year)) => format!("Năm {}", first.year_number()),
        (Language::Vietnamese, _) => range.title(locale).replacen('/', " năm ", 1),
        (Language::English, _) => range.title(locale),
    }
}

/// `……, ngày 30 tháng 11 năm 2026`.
fn place(locale: Locale, day: Day) -> String {
    let date = day.date();
    match locale.language {
        // As documents of the administration write it: with a zero before days up to 9 and the first two months.
        Language::Vietnamese => {
            let month = if date.month() < 3 { format!("0{}", date.month()) } else { date.month().to_string() };
            format!("................, ngày {:02} tháng {month} năm {}", date.day(), date.year())
        }
        Language::English => format!("................, {}", locale.day(day)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VI: Locale = Locale { language: Language::Vietnamese, is_chosen: false };

    fn day(year: i32, month: u32, day: u32) -> Day {
        Day::from_ymd(year, month, day).unwrap()
    }

    fn range(preset: Preset, on: Day) -> ChosenRange {
        ChosenRange::around(preset, on, day(2026, 11, 30))
    }

    fn earlier(preset: Preset, on: Day) -> String {
        let range = range(preset, on);
        let days = year_before(range, range.over().unwrap()).unwrap();
        format!("{}..{}", days.first(), days.last())
    }

    #[test]
    fn a_period_is_compared_with_the_same_one_of_the_year_before() {
        assert_eq!(earlier(Preset::Month, day(2026, 10, 5)), "2025-10-01..2025-10-31");
        assert_eq!(earlier(Preset::Month, day(2025, 2, 5)), "2024-02-01..2024-02-29");
        assert_eq!(earlier(Preset::Quarter, day(2026, 7, 1)), "2025-07-01..2025-09-30");
        assert_eq!(earlier(Preset::Month, day(2026, 11, 5)), "2025-11-01..2025-11-29", "as many days as are over");
    }

    #[test]
    fn period_place_and_date_are_written_as_in_documents() {
        let written = |preset| period(VI, range(preset, day(2026, 10, 5)));
        assert_eq!(
            [Preset::Month, Preset::Quarter, Preset::Year].map(written),
            ["Tháng 10 năm 2026", "Quý IV năm 2026", "Năm 2026"]
        );
        assert!(place(VI, day(2026, 2, 3)).ends_with(", ngày 03 tháng 02 năm 2026"));
        assert!(place(VI, day(2026, 11, 30)).ends_with(", ngày 30 tháng 11 năm 2026"));
    }

    #[test]
    fn a_line_compares_and_has_a_dash_where_nothing_is_known() {
        let line = Compared { now: Some(1_500), former: Some(1_000), last_year: None }.line(VI, "A");
        assert_eq!(
            (&*line.now, &*line.former, &*line.change.text, &*line.last_year, &*line.last_year_change.text),
            ("1.500", "1.000", "+50%", "–", "–")
        );
        let november = DayRange::new(day(2026, 11, 1), day(2026, 11, 30)).unwrap();
        let daily =
            Compared { now: Some(95), former: Some(3), last_year: None }.per_day(november, Some(november), None);
        assert_eq!((daily.now, daily.former), (Some(3), Some(0)));
    }
}
