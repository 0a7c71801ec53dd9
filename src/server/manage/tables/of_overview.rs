//! Table of all sites.

use std::sync::Arc;

use super::super::overview::{self, Asked, Row, name};
use super::table::{Cell, Column, Table};
use super::words::Words;
use crate::clock;
use crate::counter::RegisteredSite;
use crate::server::ports::{Available, Node};

pub async fn read<N: Node>(
    node: &N,
    words: &'static Words,
    asked: &Asked,
    sites: Vec<Arc<RegisteredSite>>,
) -> Available<Table> {
    let (rows, _) = overview::rows(node, asked, sites, clock::now()).await?;
    let columns = vec![
        Column::text(words.site),
        Column::text(words.id),
        Column::number(words.today),
        Column::number(words.yesterday),
        Column::number(words.this_month),
        Column::number(words.compared_now),
        Column::number(words.compared_former),
        Column::day(words.last_hit),
    ];
    Ok(Table::new(words.sites, words.sites.to_owned(), columns, rows.iter().map(line).collect()))
}

fn line(row: &Row) -> Vec<Cell> {
    let compared = row.compared();
    let number = |value: Option<i64>| value.map_or(Cell::Empty, Cell::Number);
    vec![
        Cell::text(name(&row.site)),
        Cell::text(row.site.site.id.as_str()),
        Cell::Number(row.before(0)),
        Cell::Number(row.before(1)),
        Cell::Number(row.month),
        number(compared.map(|(now, _)| now)),
        number(compared.map(|(_, former)| former)),
        Cell::from(row.last_day()),
    ]
}
