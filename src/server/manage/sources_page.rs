//! Sources of a site's counts: imports, which an editor may take back, and what nodes have counted.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;

use super::frame::Frame;
use super::locale::Locale;
use super::site_head::{SiteHead, Tab};
use super::tables::TableLinks;
use crate::counter::account::SourceAccount;
use crate::counter::source::{IMPORT, ImportName};
use crate::counter::{Period, RegisteredSite};
use crate::server::http::{HttpError, form};
use crate::server::ports::Node;
use crate::server::routes::ManagedTable;

#[derive(Template)]
#[template(path = "manage/sources.html")]
pub struct SourcesPage {
    frame: Frame,
    head: SiteHead,
    imports: Vec<Line>,
    counted: Vec<Line>,
    may_edit: bool,
    action: String,
    /// Name of an import that was just taken back.
    forgotten: Option<String>,
    has_reset: bool,
    files: TableLinks,
}

struct Line {
    name: String,
    total: String,
    from: String,
    to: String,
    page_rows: String,
}

pub async fn page<N: Node>(
    node: &N,
    frame: Frame,
    site: &Arc<RegisteredSite>,
    may_edit: bool,
    query: &str,
) -> Result<SourcesPage, HttpError> {
    let path = format!("/sites/{}/sources", site.site.id);
    let frame = frame.at(&path, &[]);
    let forgotten = form::field(query, "forgotten")?.and_then(|name| name.parse::<ImportName>().ok());
    let sources = node.sources(site).await?;
    let locale = frame.locale;
    let name_of = |source: &SourceAccount| source.source.strip_prefix(IMPORT).map(str::to_owned);
    let reset = ImportName::reset();
    let imports = sources.iter().filter_map(|source| {
        let name = name_of(source).filter(|name| name != reset.as_str())?;
        // One that was taken back leaves its name, without counts.
        (source.total != 0 || source.first_day.is_some()).then(|| line(locale, name, source))
    });
    let words = frame.words;
    let counted = sources.iter().filter(|source| name_of(source).is_none() && source.total != 0).map(|source| {
        let name = match (source.current, source.remote) {
            (true, _) => words.this_run,
            (false, true) => words.other_node,
            (false, false) => words.earlier_run,
        };
        line(locale, name.to_owned(), source)
    });
    Ok(SourcesPage {
        head: SiteHead::of(&frame, site, Tab::Sources),
        imports: imports.collect(),
        counted: counted.collect(),
        may_edit,
        action: frame.href(&format!("{path}/forget"), &[]),
        files: TableLinks::of_site(&frame, site.site.id.as_str(), ManagedTable::Sources, &[]),
        forgotten: forgotten.map(|name| name.as_str().to_owned()),
        has_reset: sources
            .iter()
            .any(|source| name_of(source).is_some_and(|name| name == reset.as_str()) && source.total != 0),
        frame,
    })
}

fn line(locale: Locale, name: String, source: &SourceAccount) -> Line {
    let day = |text: &Option<String>| match text.as_deref().map(str::parse) {
        Some(Ok(Period::Day(day))) => locale.day(day),
        _ => "–".to_owned(),
    };
    Line {
        name,
        total: locale.number(source.total),
        from: day(&source.first_day),
        to: day(&source.last_day),
        page_rows: locale.number(i64::try_from(source.page_rows).unwrap_or(i64::MAX)),
    }
}

/// Takes back the import that a form names; returns its name.
pub async fn forget<N: Node>(node: &N, site: &Arc<RegisteredSite>, form: &str) -> Result<ImportName, HttpError> {
    let name = form::field(form, "name")?.ok_or_else(|| HttpError::field("name", "the form names no import"))?;
    let name: ImportName = name.parse().map_err(|error| HttpError::field("name", error))?;
    match node.forget(site, name.clone()).await? {
        Some(_) => Ok(name),
        None => Err(HttpError::fixed(StatusCode::NOT_FOUND, "path", "the site has no such import")),
    }
}
