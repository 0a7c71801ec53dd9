//! A site's figures: cards, the bar chart of one of them, the most read pages, and what was not counted.

use std::sync::Arc;

use askama::Template;
use chrono::{Datelike as _, Weekday};

use super::bar_chart::{Bar, BarChart, ChartWords};
use super::bar_spans::BarStep;
use super::change::Change;
use super::chosen_range::{ChosenRange, Preset};
use super::frame::Frame;
use super::live_figures::LiveFigures;
use super::locale::Locale;
use super::most_read::MostRead;
use super::not_counted::{NotCounted, ShownKind};
use super::reading;
use super::site_head::{SiteHead, Tab};
use super::words::Words;
use crate::clock;
use crate::counter::{Day, DayRange, RegisteredSite};
use crate::server::http::{HttpError, form};
use crate::server::ports::{Node, Read};
use crate::server::public::history_blocks::HistoryBlocks;
use crate::server::public::listed_pages::ListedPages;

/// The figure that the chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Series {
    Hits,
    NotCounted,
}

/// The page that a query asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    range: ChosenRange,
    step: BarStep,
    series: Series,
    under: String,
    text: String,
}

const TEXT_CHARS_MAX: usize = 200;

impl Asked {
    pub fn of(query: &str, today: Day) -> Result<Self, HttpError> {
        let range = ChosenRange::of(query, today)?;
        let fitting = BarStep::fitting(range.days);
        let step =
            form::field(query, "by")?.and_then(|name| BarStep::named(&name)).filter(|step| fitting.contains(step));
        let text = |field| -> Result<String, HttpError> {
            let text = form::field(query, field)?.unwrap_or_default();
            Ok(text.trim().chars().take(TEXT_CHARS_MAX).collect())
        };
        Ok(Self {
            range,
            step: step.unwrap_or(BarStep::usual(range.days)),
            series: if text("show")? == "uncounted" { Series::NotCounted } else { Series::Hits },
            under: text("under")?,
            text: text("q")?,
        })
    }

    /// The query of this page with another range, series or step.
    fn query(&self, range: ChosenRange, series: Series, step: Option<BarStep>) -> Vec<(&'static str, String)> {
        let mut query = range.query();
        let usual = BarStep::usual(range.days);
        query.push(("show", if series == Series::NotCounted { "uncounted".to_owned() } else { String::new() }));
        query.push(("by", step.filter(|step| *step != usual).map_or(String::new(), |step| step.as_str().to_owned())));
        query.push(("under", self.under.clone()));
        query.push(("q", self.text.clone()));
        query
    }
}

#[derive(Template)]
#[template(path = "manage/site.html")]
pub struct SitePage {
    frame: Frame,
    head: SiteHead,
    live: LiveFigures,
    range: RangeBar,
    cards: Vec<Card>,
    steps: Vec<Link>,
    chart: BarChart,
    chart_note: Option<String>,
    facts: Vec<(String, String)>,
    most_read: MostRead,
    kinds: Vec<ShownKind>,
    uncounted_sum: String,
    is_stale: bool,
}

/// Choice of the range.
struct RangeBar {
    title: String,
    presets: Vec<Link>,
    earlier: Option<String>,
    later: Option<String>,
    from: String,
    to: String,
    today: String,
    /// Fields of the form that keep the rest of the query.
    kept: Vec<(&'static str, String)>,
    action: String,
}

struct Link {
    label: &'static str,
    href: String,
    is_current: bool,
}

/// A figure of the range; a link that shows it in the chart.
struct Card {
    label: &'static str,
    value: String,
    change: Option<Change>,
    detail: String,
    link: Link,
}

/// Reads and arranges a site's page.
pub async fn page<N: Node>(
    node: &Arc<N>,
    (blocks, lists): (&HistoryBlocks, &ListedPages),
    frame: Frame,
    site: &Arc<RegisteredSite>,
    asked: &Asked,
) -> Result<SitePage, HttpError> {
    let path = format!("/sites/{}", site.site.id);
    let own_query = asked.query(asked.range, asked.series, Some(asked.step));
    let frame = frame.at(&path, &borrowed(&own_query));
    let (locale, words) = (frame.locale, frame.words);
    let range = asked.range;
    let today = range.today();
    let live = LiveFigures::read(&**node, locale, site, today).await?;
    let spans = asked.step.bars(range.days);
    let former_spans = range.previous().map(|former| asked.step.bars(former.days)).unwrap_or_default();
    let compared = range.compared();
    let begun = range.begun();
    // Whole years too: an old counter may have had nothing else.
    let whole = |days: Option<DayRange>| days.map(|days| days.counters(today, true)).unwrap_or_default();
    let mut groups = vec![
        whole(begun),
        whole(compared.map(|(now, _)| now)),
        whole(compared.map(|(_, former)| former)),
        whole(range.over()),
    ];
    let fixed = groups.len();
    let to_come = |days: &DayRange| days.first() > today;
    groups.extend(spans.iter().map(|days| if to_come(days) { Vec::new() } else { asked.step.counters(*days, today) }));
    groups.extend(former_spans.iter().map(|days| asked.step.counters(*days, today)));
    let Read { values, stale } = reading::sums(node, blocks, site, &groups).await?;
    let uncounted = NotCounted::of(&node.uncounted(site));
    let hits = values[0];
    let uncounted_hits = begun.map_or(0, |days| uncounted.sum(days));

    let (bar_values, former_values): (Vec<_>, Vec<_>) = match asked.series {
        Series::Hits => {
            let (bars, formers) = values[fixed..].split_at(spans.len());
            (bars.to_vec(), formers.to_vec())
        }
        Series::NotCounted => {
            let sum = |days: &DayRange| uncounted.sum(*days);
            (spans.iter().map(sum).collect(), former_spans.iter().map(sum).collect())
        }
    };
    let imported = match asked.series {
        Series::Hits => reading::imported(node, site, &groups[fixed..fixed + spans.len()]).await?,
        Series::NotCounted => Vec::new(),
    };
    let bars: Vec<_> = spans
        .iter()
        .enumerate()
        .map(|(at, days)| Bar {
            label: bar_label(locale, asked.step, *days),
            name: bar_name(locale, asked.step, *days),
            value: bar_values.get(at).copied().unwrap_or_default(),
            imported: imported.get(at).copied().unwrap_or_default(),
            former: former_values.get(at).copied(),
            is_weekend: asked.step == BarStep::Day && is_weekend(days.first()),
            is_unfinished: days.holds(today),
            is_to_come: to_come(days),
            notes: Vec::new(),
        })
        .collect();
    let shown: i64 = bar_values.iter().sum();
    let chart_note = match asked.series {
        Series::Hits if hits > shown => Some(format!("{} {}", locale.number(hits - shown), words.only_longer)),
        Series::Hits => None,
        Series::NotCounted => Some(words.kept_40_days.to_owned()),
    };
    let series_label = if asked.series == Series::Hits { words.hits } else { words.not_counted };
    let title = range.title(locale);
    let chart_words = ChartWords {
        label: format!("{series_label}, {title}"),
        former: words.former_range,
        imported: words.imported,
        so_far: words.so_far,
    };
    let link = |series| Link {
        label: "",
        href: frame.href(&path, &borrowed(&asked.query(range, series, Some(asked.step)))),
        is_current: series == asked.series,
    };
    let cards = vec![
        Card {
            label: words.hits,
            value: locale.number(hits),
            change: compared.map(|_| Change::of(Some((values[1], values[2])))),
            detail: compared.map_or(String::new(), |(now, former)| against(locale, words, now, former)),
            link: link(Series::Hits),
        },
        Card {
            label: words.not_counted,
            value: locale.number(uncounted_hits),
            change: None,
            detail: format!("{} {}", locale.share(uncounted_hits, uncounted_hits + hits), words.of_all_requests),
            link: link(Series::NotCounted),
        },
    ];
    let facts = match asked.series {
        Series::Hits => facts(locale, words, &bars, range.over(), values[3]),
        Series::NotCounted => Vec::new(),
    };
    let most_read =
        MostRead::read(node, lists, &frame, site, range, (&asked.under, &asked.text), hits, own_query.clone()).await?;
    let kinds = begun.map(|days| uncounted.kinds(locale, days)).unwrap_or_default();
    Ok(SitePage {
        head: SiteHead::of(&frame, site, Tab::Figures),
        range: range_bar(&frame, &path, asked),
        steps: steps(&frame, &path, asked),
        chart: BarChart::of("bars", locale, chart_words, &bars),
        uncounted_sum: locale.number(uncounted_hits),
        is_stale: stale || live.is_stale || most_read.is_stale,
        live,
        cards,
        chart_note,
        facts,
        most_read,
        kinds,
        frame,
    })
}

/// Pairs of a query, for a link.
pub fn borrowed<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    query.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn against(locale: Locale, words: &Words, now: DayRange, former: DayRange) -> String {
    // Where not all is over, it says so what is compared.
    format!("{}: {} {}", locale.days(now), words.compared_with, locale.days(former))
}

fn range_bar(frame: &Frame, path: &str, asked: &Asked) -> RangeBar {
    let (range, words) = (asked.range, frame.words);
    // Another kind of range has its own usual step.
    let to = |range: ChosenRange, step| frame.href(path, &borrowed(&asked.query(range, asked.series, step)));
    let label = |preset| match preset {
        Preset::Today => words.preset_today,
        Preset::Days7 => words.preset_7,
        Preset::Days28 => words.preset_28,
        Preset::Month => words.preset_month,
        Preset::Quarter => words.preset_quarter,
        Preset::Year => words.preset_year,
    };
    let preset = |(preset, _): (Preset, &str)| Link {
        label: label(preset),
        href: to(ChosenRange::preset(preset, range.today()), None),
        is_current: range.preset == Some(preset),
    };
    let mut kept = asked.query(range, asked.series, None);
    kept.retain(|(name, value)| !["range", "on", "from", "to"].contains(name) && !value.is_empty());
    if let Some(language) = frame.chosen_language() {
        kept.push(("lang", language.to_owned()));
    }
    RangeBar {
        title: range.title(frame.locale),
        presets: Preset::ALL.into_iter().map(preset).collect(),
        earlier: range.previous().map(|range| to(range, Some(asked.step))),
        later: range.next().map(|range| to(range, Some(asked.step))),
        from: range.days.first().to_string(),
        to: range.days.last().min(range.today()).to_string(),
        today: range.today().to_string(),
        kept,
        action: frame.path(path),
    }
}

fn steps(frame: &Frame, path: &str, asked: &Asked) -> Vec<Link> {
    let words = frame.words;
    let link = |step| Link {
        label: match step {
            BarStep::Day => words.by_day,
            BarStep::Week => words.by_week,
            BarStep::Month => words.by_month,
        },
        href: frame.href(path, &borrowed(&asked.query(asked.range, asked.series, Some(step)))),
        is_current: step == asked.step,
    };
    BarStep::fitting(asked.range.days).into_iter().map(link).collect()
}

/// Facts below the chart: the highest bar, and the average of the days that are over.
fn facts(locale: Locale, words: &Words, bars: &[Bar], over: Option<DayRange>, hits: i64) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    if let Some(highest) = bars.iter().filter(|bar| bar.value > 0).max_by_key(|bar| bar.value)
        && bars.len() > 1
    {
        facts.push((words.highest.to_owned(), format!("{} ({})", locale.number(highest.value), highest.name)));
    }
    if let Some(over) = over.filter(|over| over.length() > 1) {
        let average = (hits as f64 / over.length() as f64).round() as i64;
        facts.push((words.on_average.to_owned(), locale.number(average)));
    }
    facts
}

fn bar_label(locale: Locale, step: BarStep, days: DayRange) -> String {
    match step {
        BarStep::Day | BarStep::Week => locale.short_day(days.first()),
        BarStep::Month => locale.short_month(days.first()),
    }
}

fn bar_name(locale: Locale, step: BarStep, days: DayRange) -> String {
    match step {
        BarStep::Day => locale.weekday_and_day(days.first()),
        BarStep::Month if DayRange::of(days.first().month()) == Some(days) => locale.month(days.first()),
        BarStep::Week | BarStep::Month => locale.days(days),
    }
}

fn is_weekend(day: Day) -> bool {
    matches!(day.date().weekday(), Weekday::Sat | Weekday::Sun)
}

/// The site's day.
pub fn today(site: &RegisteredSite) -> Day {
    Day::at(clock::now(), site.site.time_zone)
}
