//! Tables of one page's days and months.

use std::sync::Arc;

use super::super::page_detail::{self, AskedPage};
use super::table::{Cell, Column, Table};
use super::words::Words;
use crate::counter::history::Step;
use crate::counter::{Day, RegisteredSite, figures};
use crate::server::ports::{Available, Node};

pub async fn read<N: Node>(
    node: &N,
    words: &'static Words,
    site: &Arc<RegisteredSite>,
    asked: &AskedPage,
    step: Step,
    today: Day,
) -> Available<Table> {
    let periods = page_detail::periods(site, step, today);
    let read = node.page_hits(site, std::slice::from_ref(&asked.page), &periods).await?;
    let (name, columns) = match step {
        Step::Day => (words.page_days, vec![Column::day(words.day)]),
        _ => (words.page_months, vec![Column::day(words.first_day), Column::day(words.last_day)]),
    };
    let columns = [columns, vec![Column::number(words.views)]].concat();
    let line = |(period, hits): (&crate::counter::Period, i64)| {
        let mut line = vec![Cell::from(period.first_day())];
        if step != Step::Day {
            line.push(Cell::from(period.last_day()));
        }
        line.push(Cell::Number(figures::shown(hits)));
        line
    };
    let rows = periods.iter().zip(read.values).map(line).collect();
    Ok(Table::new(name, format!("{name}: {}", asked.address), columns, rows))
}
