//! Tables of the editors' pages as files: each is read as its page is, and written as CSV or XLSX.
//!
//! ```text
//! table        rows and columns, which both writers take
//! csv, xlsx    the writers
//! words        names of tables and columns
//! of_overview, of_range, of_page, of_sources    the tables
//! links        links to a table's files
//! ```

mod csv;
mod links;
mod of_overview;
mod of_page;
mod of_range;
mod of_sources;
mod table;
mod words;
mod xlsx;

use std::sync::Arc;

use hyper::header::HeaderMap;

pub use links::TableLinks;
use table::Table;
use words::Words;

use super::answer;
use super::answer::Outcome;
use super::frame::Frame;
use super::overview::{self, name as site_name};
use super::page_detail::AskedPage;
use super::site_page::{Asked, today};
use crate::counter::history::Step;
use crate::counter::{Language, RegisteredSite};
use crate::server::http::{CSV, HttpError, XLSX};
use crate::server::ports::{Available, Node};
use crate::server::public::history_blocks::HistoryBlocks;
use crate::server::public::listed_pages::ListedPages;
use crate::server::routes::{FileFormat, ManagedTable};

/// A table with the name of its file, without the extension.
pub struct NamedTable {
    table: Table,
    file: String,
}

fn name(table: ManagedTable, words: &'static Words) -> &'static str {
    match table {
        ManagedTable::Sites => words.sites,
        ManagedTable::Views => words.views,
        ManagedTable::MostRead => words.most_read,
        ManagedTable::NotCounted => words.not_counted,
        ManagedTable::Sources => words.sources,
        ManagedTable::PageDays => words.page_days,
        ManagedTable::PageMonths => words.page_months,
    }
}

/// The table of all sites.
pub async fn of_overview<N: Node>(
    node: &N,
    frame: &Frame,
    asked: &overview::Asked,
    sites: Vec<Arc<RegisteredSite>>,
) -> Available<NamedTable> {
    let table = of_overview::read(node, Words::of(frame.locale.language), asked, sites).await?;
    Ok(NamedTable { table, file: ManagedTable::Sites.as_str().to_owned() })
}

/// A table of a site.
pub async fn of_site<N: Node>(
    node: &Arc<N>,
    (blocks, lists): (&HistoryBlocks, &ListedPages),
    frame: &Frame,
    site: &Arc<RegisteredSite>,
    table: ManagedTable,
    query: &str,
) -> Result<NamedTable, HttpError> {
    let (locale, words, today) = (frame.locale, Words::of(frame.locale.language), today(site));
    let asked = Asked::of(query, today)?;
    let range = asked.range;
    let of_range = |name: &str| format!("{name}, {}, {}", range.title(locale), site_name(site));
    let mut file = format!("{}-{}", site.site.id, table.as_str());
    if matches!(table, ManagedTable::Views | ManagedTable::MostRead | ManagedTable::NotCounted) {
        file += &format!("-{}_{}", range.days.first(), range.days.last());
    }
    let table = match table {
        // Not a site's.
        ManagedTable::Sites => return Err(HttpError::PATH_UNKNOWN),
        ManagedTable::Views => of_range::views(node, blocks, words, of_range, site, &asked).await?,
        ManagedTable::MostRead => of_range::most_read(node, (blocks, lists), words, of_range, site, &asked).await?,
        ManagedTable::NotCounted => of_range::not_counted(&**node, locale, words, of_range, site, range),
        ManagedTable::Sources => {
            of_sources::read(&**node, words, |name| format!("{name}, {}", site_name(site)), site).await?
        }
        ManagedTable::PageDays => of_page::read(&**node, words, site, &AskedPage::of(query)?, Step::Day, today).await?,
        ManagedTable::PageMonths => {
            of_page::read(&**node, words, site, &AskedPage::of(query)?, Step::Month, today).await?
        }
    };
    Ok(NamedTable { table, file })
}

impl NamedTable {
    /// Answers with the file.
    pub async fn answer(self, format: FileFormat, language: Language, request: &HeaderMap) -> Outcome {
        let Self { table, file } = self;
        let file = format!("{file}.{}", format.as_str());
        match format {
            FileFormat::Csv => answer::file(&CSV, &file, request, move || Some(csv::write(&table))).await,
            FileFormat::Xlsx => answer::file(&XLSX, &file, request, move || xlsx::write(&table, language).ok()).await,
        }
    }
}
