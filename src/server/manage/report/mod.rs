//! Report of a month, quarter or year: a page to be printed, one file to be sent, or plain text.
//!
//! ```text
//! period     the period that a query names
//! figures    what is reported, read from the node
//! words      its words
//! document   as HTML
//! text       as text of 72 columns
//! ```

mod document;
mod figures;
mod period;
mod text;
mod words;

use std::sync::Arc;

use hyper::header::HeaderMap;

use super::answer;
use super::answer::Outcome;
use super::chosen_range::{ChosenRange, Preset};
use super::frame::Frame;
use super::locale::Locale;
use crate::clock;
use crate::counter::{Day, RegisteredSite};
use crate::server::http::{HTML, HttpError, TEXT, form, shown};
use crate::server::ports::Node;
use crate::server::public::history_blocks::HistoryBlocks;
use crate::server::public::listed_pages::ListedPages;
use document::Document;
use figures::ReportFigures;
use words::Words;

pub use period::query_of;

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A page with the way to other periods.
    Page,
    /// One file with its styles inside.
    File,
    Text,
}

impl Form {
    fn of(query: &str) -> Result<Self, HttpError> {
        match form::field(query, "format")?.as_deref() {
            None => Ok(Self::Page),
            Some("html") => Ok(Self::File),
            Some("text") => Ok(Self::Text),
            Some(other) => {
                Err(HttpError::field("format", format!("`{}` is no format; expected `html` or `text`", shown(other))))
            }
        }
    }
}

/// True for a report that a program reads, whose errors are for programs too.
pub fn is_for_programs(query: &str) -> bool {
    form::values(query, "format").next().is_some()
}

/// Answers with the report that the query asks for.
pub async fn answer<N: Node>(
    node: &Arc<N>,
    kept: (&HistoryBlocks, &ListedPages),
    frame: Frame,
    site: &Arc<RegisteredSite>,
    query: &str,
    request: &HeaderMap,
) -> Outcome {
    let form = Form::of(query)?;
    let now = clock::now().with_timezone(&site.site.time_zone);
    let range = period::of(query, Day::from_date(now.date_naive()))?;
    // A file is for many readers: it is in the site's language.
    let locale = match form {
        Form::Page => frame.locale,
        _ if frame.locale.is_chosen => frame.locale,
        _ => Locale { language: site.site.language, is_chosen: false },
    };
    let words = Words::of(locale.language);
    let figures = ReportFigures::read(node, kept, locale, site, range, now).await?;
    let file = format!("{}-{}", site.site.id, period::name(range));
    match form {
        Form::Page => answer::page(Document::page(frame, words, site, range, figures), request).await,
        Form::File => {
            let document = Document::file(locale, words, figures);
            answer::file(&HTML, &format!("{file}.html"), request, move || {
                askama::Template::render(&document).ok().map(String::into_bytes)
            })
            .await
        }
        Form::Text => {
            let text = text::write(locale, words, &figures);
            answer::file(&TEXT, &format!("{file}.txt"), request, move || Some(text.into_bytes())).await
        }
    }
}

/// The report of a chosen range: of its month where it is none of the three.
fn reported(range: ChosenRange) -> ChosenRange {
    match range.preset {
        Some(Preset::Month | Preset::Quarter | Preset::Year) => range,
        _ => ChosenRange::around(Preset::Month, range.days.last().min(range.today()), range.today()),
    }
}
