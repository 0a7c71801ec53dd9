//! Table of a site's sources.

use std::sync::Arc;

use super::table::{Cell, Column, Table};
use super::words::Words;
use crate::counter::account::SourceAccount;
use crate::counter::{Period, RegisteredSite};
use crate::server::ports::{Available, Node};

pub async fn read<N: Node>(
    node: &N,
    words: &'static Words,
    title: impl FnOnce(&str) -> String,
    site: &Arc<RegisteredSite>,
) -> Available<Table> {
    let sources = node.sources(site).await?;
    let columns = vec![
        Column::text(words.source),
        Column::number(words.views),
        Column::day(words.first_day),
        Column::day(words.last_day),
        Column::number(words.counters),
        Column::number(words.page_counters),
    ];
    Ok(Table::new(words.sources, title(words.sources), columns, sources.iter().map(line).collect()))
}

fn line(source: &SourceAccount) -> Vec<Cell> {
    let day = |day: &Option<String>| match day.as_deref().map(str::parse) {
        Some(Ok(Period::Day(day))) => Cell::Day(day),
        _ => Cell::Empty,
    };
    let number = |number: u64| Cell::Number(i64::try_from(number).unwrap_or(i64::MAX));
    vec![
        Cell::text(&*source.source),
        Cell::Number(source.total),
        day(&source.first_day),
        day(&source.last_day),
        number(source.site_rows),
        number(source.page_rows),
    ]
}
