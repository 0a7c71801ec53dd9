//! A report as an HTML document, laid out for A4.

use askama::Template;

use super::super::assets::REPORT_STYLES;
use super::super::chosen_range::{ChosenRange, Preset};
use super::super::frame::Frame;
use super::super::locale::Locale;
use super::super::words::Words as SharedWords;
use super::figures::ReportFigures;
use super::period::query_of;
use super::words::Words;
use crate::counter::RegisteredSite;

#[derive(Template)]
#[template(path = "manage/report.html")]
pub struct Document {
    tag: &'static str,
    words: &'static Words,
    report: ReportFigures,
    /// Words of all editors' pages.
    shared: &'static SharedWords,
    /// Styles inside a file, unescaped: they are the program's own.
    styles: &'static str,
    /// None in a file.
    ways: Option<Ways>,
}

/// Ways from the page, which aren't printed.
struct Ways {
    styles: String,
    back: String,
    earlier: Option<String>,
    later: Option<String>,
    periods: Vec<(&'static str, String, bool)>,
    file: String,
    text: String,
    translated: (String, &'static str, &'static str),
}

impl Document {
    pub fn page(
        frame: Frame,
        words: &'static Words,
        site: &RegisteredSite,
        range: ChosenRange,
        report: ReportFigures,
    ) -> Self {
        let path = format!("/sites/{}/report", site.site.id);
        let (field, period) = query_of(range);
        let frame = frame.at(&path, &[(field, &period)]);
        let to = |range: ChosenRange| {
            let (field, period) = query_of(range);
            frame.href(&path, &[(field, &period)])
        };
        let today = range.today();
        let on = range.days.last().min(today);
        let of = |label, preset| (label, to(ChosenRange::around(preset, on, today)), range.preset == Some(preset));
        let download = |format| frame.href(&path, &[(field, &period), ("format", format)]);
        let other = frame.locale.other();
        let ways = Ways {
            styles: frame.asset("report.css"),
            back: frame.href(&format!("/sites/{}", site.site.id), &borrowed(&range.query())),
            earlier: range.previous().map(to),
            later: range.next().map(to),
            periods: vec![
                of(words.month, Preset::Month),
                of(words.quarter, Preset::Quarter),
                of(words.year, Preset::Year),
            ],
            file: download("html"),
            text: download("text"),
            translated: (frame.translated(), frame.words.other_language, other.tag()),
        };
        Self::of(frame.locale, words, report, Some(ways))
    }

    pub fn file(locale: Locale, words: &'static Words, report: ReportFigures) -> Self {
        Self::of(locale, words, report, None)
    }

    fn of(locale: Locale, words: &'static Words, report: ReportFigures, ways: Option<Ways>) -> Self {
        Self { tag: locale.tag(), words, report, shared: locale.words(), styles: REPORT_STYLES, ways }
    }
}

fn borrowed<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    query.iter().map(|(name, value)| (*name, value.as_str())).collect()
}
