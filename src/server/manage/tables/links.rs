//! Links below a table to its files.

use askama::Template;
use askama::filters::HtmlSafe;

use super::super::frame::Frame;
use super::words::Words;
use crate::server::routes::{FileFormat, ManagedTable};

#[derive(Template)]
#[template(path = "manage/tables/links.html")]
pub struct TableLinks {
    name: &'static str,
    csv: String,
    xlsx: String,
}

/// Its own template escapes what it shows.
impl HtmlSafe for TableLinks {}

impl TableLinks {
    /// The files of a site's table.
    pub fn of_site(frame: &Frame, site: &str, table: ManagedTable, query: &[(&str, &str)]) -> Self {
        Self::under(frame, &format!("/sites/{site}"), table, query)
    }

    pub fn of_overview(frame: &Frame, query: &[(&str, &str)]) -> Self {
        Self::under(frame, "", ManagedTable::Sites, query)
    }

    fn under(frame: &Frame, path: &str, table: ManagedTable, query: &[(&str, &str)]) -> Self {
        let link = |format: FileFormat| frame.href(&format!("{path}/{}.{}", table.as_str(), format.as_str()), query);
        let name = super::name(table, Words::of(frame.locale.language));
        Self { name, csv: link(FileFormat::Csv), xlsx: link(FileFormat::Xlsx) }
    }
}
