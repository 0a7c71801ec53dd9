//! One page's views: its days, its months and all of them.

use std::sync::Arc;

use askama::Template;
use chrono::{Datelike as _, Weekday};

use super::bar_chart::{Bar, BarChart, ChartWords};
use super::frame::Frame;
use super::locale::Locale;
use super::site_head::{SiteHead, Tab};
use crate::counter::history::Step;
use crate::counter::{Day, PageAddress, Period, RegisteredSite, figures};
use crate::server::http::{HttpError, form};
use crate::server::ports::{Node, TopPage};
use crate::server::public::pages::link_of;

/// Bars of each chart at most.
const DAYS_MAX: u32 = 92;
const MONTHS_MAX: u32 = 36;
/// Bars of a page that is read only since a short time.
const BARS_MIN: usize = 12;
/// Longest address, in bytes.
const ADDRESS_BYTES_MAX: usize = 4_096;

#[derive(Template)]
#[template(path = "manage/page.html")]
pub struct PageDetail {
    frame: Frame,
    head: SiteHead,
    title: String,
    address: String,
    /// Address that opens the page.
    link: Option<String>,
    figures: Vec<(&'static str, String)>,
    /// Each with its heading.
    charts: Vec<(&'static str, BarChart)>,
    is_stale: bool,
}

pub async fn page<N: Node>(
    node: &N,
    frame: Frame,
    site: &Arc<RegisteredSite>,
    query: &str,
    today: Day,
) -> Result<PageDetail, HttpError> {
    let (locale, words) = (frame.locale, frame.words);
    let address = form::field(query, "page")?.filter(|text| !text.is_empty() && text.len() <= ADDRESS_BYTES_MAX);
    let address =
        address.ok_or_else(|| HttpError::field("page", "the query names no page; add `page=`, its address"))?;
    let frame = frame.at(&format!("/sites/{}/page", site.site.id), &[("page", &address)]);
    let page = PageAddress::from_stored(&address);
    let retention = site.site.page_retention;
    let days = last(Step::Day, retention.days.min(DAYS_MAX), today);
    let months = last(Step::Month, retention.months.min(MONTHS_MAX), today);
    let periods = [&days[..], &months[..], &[Period::Total]].concat();
    let read = node.page_hits(site, std::slice::from_ref(&page), &periods).await?;
    let titles = node.page_titles(site, vec![page.clone()]).await?;
    let title = titles.values.into_iter().next().flatten();
    let hits: Vec<_> = read.values.into_iter().map(figures::shown).collect();
    let hits_of = |period: Period| {
        let at = periods.iter().position(|of| *of == period);
        at.and_then(|at| hits.get(at)).copied().unwrap_or_default()
    };
    let shown = if page.is_other() { words.other_pages.to_owned() } else { address.clone().into_owned() };
    let name = title.as_ref().map_or_else(|| shown.clone(), |title| title.as_str().to_owned());
    let link = link_of(&TopPage { page: page.clone(), hits: 0, title });
    let origin = site.site.origins.iter().find_map(|origin| origin.exact());
    let chart = |id, step: Step, periods: &[Period]| {
        let periods = without_silence(periods, |period| hits_of(period) > 0);
        let bars: Vec<_> = periods.iter().map(|period| bar(locale, *period, hits_of(*period), today)).collect();
        let by = if step == Step::Day { words.by_day } else { words.by_month };
        let label = format!("{}, {by}: {name}", words.views);
        let words = ChartWords { label, former: words.former_range, imported: words.imported, so_far: words.so_far };
        BarChart::of(id, locale, words, &bars)
    };
    Ok(PageDetail {
        head: SiteHead::of(&frame, site, Tab::Figures),
        charts: vec![
            (words.by_day, chart("days", Step::Day, &days)),
            (words.by_month, chart("months", Step::Month, &months)),
        ],
        figures: vec![
            (words.today, locale.number(hits_of(Period::Day(today)))),
            (words.yesterday, locale.number(hits_of(Period::Day(today.previous())))),
            (words.this_month, locale.number(hits_of(today.month()))),
            (words.sum, locale.number(hits_of(Period::Total))),
        ],
        link: link.zip(origin).map(|(link, origin)| format!("{origin}{link}")),
        title: name,
        address: shown,
        is_stale: read.stale || titles.stale,
        frame,
    })
}

/// The last periods, today's last.
fn last(step: Step, count: u32, today: Day) -> Vec<Period> {
    let count = usize::try_from(count.max(1)).unwrap_or(1);
    step.from_to(step.first_of_last(count, today), step.of(today))
}

/// Without the first periods that have no hits, as long as enough are left.
fn without_silence(periods: &[Period], has_hits: impl Fn(Period) -> bool) -> &[Period] {
    let silent = periods.iter().take_while(|period| !has_hits(**period)).count();
    &periods[silent.min(periods.len().saturating_sub(BARS_MIN))..]
}

fn bar(locale: Locale, period: Period, hits: i64, today: Day) -> Bar {
    let day = period.first_day().unwrap_or(today);
    let (label, name) = match period {
        Period::Day(day) => (locale.short_day(day), locale.weekday_and_day(day)),
        _ => (locale.short_month(day), locale.month(day)),
    };
    Bar {
        label,
        name,
        value: hits,
        is_weekend: matches!(period, Period::Day(_)) && matches!(day.date().weekday(), Weekday::Sat | Weekday::Sun),
        is_unfinished: period.last_day().is_some_and(|last| last >= today),
        ..Bar::default()
    }
}
