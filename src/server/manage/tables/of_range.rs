//! Tables of a site's chosen range.

use std::sync::Arc;

use super::super::bar_spans::BarStep;
use super::super::chosen_range::ChosenRange;
use super::super::locale::Locale;
use super::super::not_counted::NotCounted;
use super::super::reading::sums;
use super::super::site_page::{Asked, Series};
use super::super::words::kind_label;
use super::table::{Cell, Column, Table};
use super::words::Words;
use crate::counter::page::TOP_MAX;
use crate::counter::{DayRange, RegisteredSite};
use crate::server::ports::{Available, Node};
use crate::server::public::history_blocks::HistoryBlocks;
use crate::server::public::listed_pages::ListedPages;
use crate::server::public::ranges::{self, PageFilter};

/// Views, or uncounted hits, by day, week or month.
pub async fn views<N: Node>(
    node: &Arc<N>,
    blocks: &HistoryBlocks,
    words: &'static Words,
    title: impl FnOnce(&str) -> String,
    site: &Arc<RegisteredSite>,
    asked: &Asked,
) -> Available<Table> {
    let (range, step) = (asked.range, asked.step);
    let today = range.today();
    let spans: Vec<_> = range.begun().map(|days| step.bars(days)).unwrap_or_default();
    let formers = range.previous().map(|former| step.bars(former.days)).unwrap_or_default();
    let (values, former_values) = match asked.series {
        Series::Hits => {
            let groups: Vec<_> = spans.iter().chain(&formers).map(|days| step.counters(*days, today)).collect();
            let mut values = sums(node, blocks, site, &groups).await?.values;
            let formers = values.split_off(spans.len());
            (values, formers)
        }
        Series::NotCounted => {
            let uncounted = NotCounted::of(&node.uncounted(site));
            let sum = |days: &DayRange| uncounted.sum(*days);
            (spans.iter().map(sum).collect(), formers.iter().map(sum).collect::<Vec<_>>())
        }
    };
    let name = if asked.series == Series::Hits { words.views } else { words.not_counted };
    let mut columns = match step {
        BarStep::Day => vec![Column::day(words.day)],
        BarStep::Week | BarStep::Month => vec![Column::day(words.first_day), Column::day(words.last_day)],
    };
    columns.extend([Column::number(name), Column::number(words.former)]);
    let line = |(at, (days, value)): (usize, (&DayRange, i64))| {
        let mut line = vec![Cell::Day(days.first())];
        if step != BarStep::Day {
            line.push(Cell::Day(days.last()));
        }
        line.extend([Cell::Number(value), former_values.get(at).map_or(Cell::Empty, |value| Cell::Number(*value))]);
        line
    };
    let rows = spans.iter().zip(values).enumerate().map(line).collect();
    Ok(Table::new(name, title(name), columns, rows))
}

/// The most read pages.
pub async fn most_read<N: Node>(
    node: &Arc<N>,
    (blocks, lists): (&HistoryBlocks, &ListedPages),
    words: &'static Words,
    title: impl FnOnce(&str) -> String,
    site: &Arc<RegisteredSite>,
    asked: &Asked,
) -> Available<Table> {
    let range = asked.range;
    let columns = vec![
        Column::text(words.title),
        Column::text(words.address),
        Column::number(words.views),
        Column::share(words.share),
    ];
    let mut rows = Vec::new();
    if let Some(days) = range.begun() {
        let all = sums(node, blocks, site, &[days.counters(range.today(), true)]).await?;
        let all = all.values.first().copied().unwrap_or_default();
        let filter = PageFilter::new(&asked.under, &asked.text, &site.site.page_rules);
        let read = ranges::most_read(node, lists, site, (days, range.today()), &filter, TOP_MAX).await?;
        rows.extend(read.pages.iter().map(|page| {
            vec![
                page.title.as_ref().map_or(Cell::Empty, |title| Cell::text(title.as_str())),
                Cell::text(page.page.as_str()),
                Cell::Number(page.hits),
                Cell::share(page.hits, all),
            ]
        }));
    }
    Ok(Table::new(words.most_read, title(words.most_read), columns, rows))
}

/// Uncounted hits by day and kind.
pub fn not_counted<N: Node>(
    node: &N,
    locale: Locale,
    words: &'static Words,
    title: impl FnOnce(&str) -> String,
    site: &RegisteredSite,
    range: ChosenRange,
) -> Table {
    let uncounted = NotCounted::of(&node.uncounted(site));
    let rows = range.begun().into_iter().flat_map(|days| uncounted.within(days));
    let rows = rows.map(|(day, kind, hits)| {
        vec![Cell::Day(day), Cell::text(kind_label(kind, locale.language)), Cell::Number(hits)]
    });
    let columns = vec![Column::day(words.day), Column::text(words.kind), Column::number(words.not_counted)];
    Table::new(words.not_counted, title(words.not_counted), columns, rows.collect())
}
