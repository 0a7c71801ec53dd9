//! A report as text of 72 columns.

use super::super::locale::Locale;
use super::figures::{FigureLine, ReportFigures};
use super::words::Words;

const WIDTH: usize = 72;
/// The first column has so much room, however long the numbers are.
const FIRST_MIN: usize = 12;

pub fn write(locale: Locale, words: &Words, report: &ReportFigures) -> String {
    let mut page = Text::default();
    page.paragraph(&report.agency.to_uppercase());
    page.line("");
    page.paragraph(&words.title.to_uppercase());
    page.paragraph(&format!("{} ({})", report.period, report.days));
    if let Some(until) = &report.until {
        page.paragraph(&format!("{} {until}.", words.until));
    }
    if report.is_stale {
        page.paragraph(locale.words().stale);
    }
    page.heading(1, words.general);
    page.figures(words, words.figure, &report.lines);
    page.line("");
    if let Some(highest) = &report.highest {
        page.paragraph(&format!("{}: {highest}", words.highest));
    }
    for (name, days) in [(words.former_is, &report.former), (words.same_is, &report.last_year)] {
        if let Some(days) = days {
            page.paragraph(&format!("{name}: {days}"));
        }
    }
    if !report.months.is_empty() {
        page.heading(2, words.chart_by_month);
        let months =
            report.months.iter().map(|month| [&*month.label, &*month.now, &*month.former, &*month.change.text]);
        page.table(&[words.month, words.views, words.last_year_short, words.change], months);
    } else {
        page.heading(2, words.chart_by_day);
        let days = report.chart.lines.iter().map(|day| [&*day.name, &*day.value]);
        page.table(&[words.day, words.views], days);
    }
    page.heading(3, words.most_read);
    if let Some(from) = &report.pages_kept_from {
        page.paragraph(&format!("{} {from}.", locale.words().pages_kept_from));
    }
    if report.pages.is_empty() {
        page.paragraph(words.none_read);
    } else {
        let titles: Vec<_> =
            report.pages.iter().enumerate().map(|(at, of)| format!("{:>2}. {}", at + 1, of.title)).collect();
        let pages = report.pages.iter().zip(&titles).map(|(of, title)| [&**title, &*of.views, &*of.share]);
        page.table(&[words.page, words.views, words.share], pages);
    }
    page.heading(4, words.uncounted);
    if report.kinds.is_empty() {
        page.paragraph(words.none_uncounted);
    } else {
        let kinds = report.kinds.iter().map(|kind| [kind.label, &*kind.hits, &*kind.share]);
        page.table(&[words.kind, words.hits, words.share], kinds);
    }
    page.line("");
    page.paragraph(words.uncounted_note);
    page.line("");
    page.paragraph(&format!("{} {}.", words.made, report.made));
    page.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    /// Words in lines of the page's width.
    fn paragraph(&mut self, text: &str) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && chars(&line) + 1 + chars(word) > WIDTH {
                self.line(&line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&cut(word, WIDTH));
        }
        self.line(&line);
    }

    fn heading(&mut self, number: usize, text: &str) {
        self.line("");
        self.line(&format!("{number}. {}", text.to_uppercase()));
    }

    fn figures(&mut self, words: &Words, first: &str, lines: &[FigureLine]) {
        let has_last_year = lines.iter().any(|line| line.last_year != "–");
        let columns = if has_last_year { 6 } else { 4 };
        let heads = [first, words.now, words.former, words.change, words.last_year_short, words.change];
        let rows = lines.iter().map(|line| {
            let cells: [&str; 6] =
                [&line.label, &line.now, &line.former, &line.change.text, &line.last_year, &line.last_year_change.text];
            cells
        });
        self.table(&heads[..columns], rows);
    }

    /// A table: texts at the left, numbers at the right. Cells behind the last heading are left out.
    fn table<'a, const N: usize>(&mut self, heads: &[&str], rows: impl Iterator<Item = [&'a str; N]>) {
        let rows: Vec<_> = rows.collect();
        let widest = |at: usize| {
            let cells = rows.iter().filter_map(|row| row.get(at)).chain(heads.get(at));
            cells.map(|cell| chars(cell)).max().unwrap_or(0)
        };
        let widths: Vec<_> = (1..heads.len()).map(widest).collect();
        let first = WIDTH.saturating_sub(widths.iter().map(|width| width + 2).sum()).max(FIRST_MIN);
        let line = |cells: &[&str]| {
            let mut line = padded(cells.first().copied().unwrap_or_default(), first);
            for (cell, width) in cells.iter().skip(1).zip(&widths) {
                line.push_str(&" ".repeat(2 + width.saturating_sub(chars(cell))));
                line.push_str(cell);
            }
            line
        };
        self.line(&line(heads));
        self.line(&"-".repeat(WIDTH));
        rows.iter().for_each(|row| self.line(&line(row)));
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// A text of at most so many characters, without signs that steer a terminal.
fn cut(text: &str, width: usize) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    match chars(text) > width {
        true => visible.take(width.saturating_sub(1)).chain(['…']).collect(),
        false => visible.collect(),
    }
}

fn padded(text: &str, width: usize) -> String {
    let mut text = cut(text, width);
    text.push_str(&" ".repeat(width.saturating_sub(chars(&text))));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_paragraphs_fit_the_page() {
        let mut page = Text::default();
        page.paragraph(&"một hai ba ".repeat(20));
        let rows = [["tên rất dài ".repeat(9), "1.234.567".to_owned()], ["ngắn\u{1b}[1m".to_owned(), "5".to_owned()]];
        page.table(&["Trang", "Lượt"], rows.iter().map(|[one, other]| [one.as_str(), other.as_str()]));
        let lines: Vec<_> = page.0.lines().collect();
        assert!(lines.iter().all(|line| chars(line) <= WIDTH), "{}", page.0);
        assert!(lines[lines.len() - 2].ends_with("…  1.234.567") && lines[lines.len() - 1].ends_with("          5"));
        assert_eq!(chars(lines[lines.len() - 1]), WIDTH);
        assert!(!page.0.contains('\u{1b}') && page.0.starts_with("một hai ba một"));
    }
}
