//! Faults of a configuration, each with its place.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value::{Field, List};

/// All faults of a configuration: each says where, what, and what would be right.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<String>,
    /// Number of faults that were found and are not reported.
    omitted: usize,
    /// The search ended early: there may be more.
    is_cut: bool,
}

/// Most faults that are reported: more than a screen of them helps nobody.
const REPORTED_MAX: usize = 20;
/// Most faults that are collected: a file with a hundred thousand sites may be wrong in each.
const FOUND_MAX: usize = 1_000;

/// Problems as they are found, in any order.
#[derive(Debug, Default)]
pub struct Problems(Vec<(Option<Place>, String)>);

/// A place in a file, shown as `FILE:LINE:COLUMN`, which editors jump to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    file: Arc<Path>,
    line: usize,
    column: usize,
}

/// Places of a file, found without reading it from its start each time.
#[derive(Debug)]
pub struct Places<'t> {
    file: Arc<Path>,
    text: &'t str,
    /// Bytes at which lines begin.
    lines: Vec<usize>,
}

impl Problems {
    /// A fault that is not in a file; `text` begins with its subject.
    pub fn add(&mut self, text: impl Into<String>) {
        self.add_at(None, text);
    }

    /// No place: a flag, a variable, or a file as a whole.
    pub fn add_at(&mut self, place: impl Into<Option<Place>>, text: impl Into<String>) {
        self.0.push((place.into(), text.into()));
    }

    /// Fails if there is a fault; those of the file are in its order.
    pub fn into_result(mut self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Ok(());
        }
        // Stable: problems at one place stay in the order in which they were found.
        self.0.sort_by_key(|(place, _)| place.as_ref().map(|place| (place.line, place.column)));
        let is_cut = self.0.len() >= FOUND_MAX;
        let omitted = self.0.len().saturating_sub(REPORTED_MAX);
        let words = |(place, text): (Option<Place>, String)| {
            let line = match place {
                Some(place) => format!("{place}: {text}"),
                None => text,
            };
            escaped(&line)
        };
        let problems = self.0.into_iter().take(REPORTED_MAX).map(words).collect();
        Err(ConfigError { problems, omitted, is_cut })
    }
}

/// A line for a terminal or a log, in which a file's or a variable's text could give orders to the terminal: its
/// control characters, and those that turn the direction of writing, are shown as their numbers.
fn escaped(line: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    line.chars().fold(String::with_capacity(line.len()), |mut shown, c| {
        match c {
            '\n' => shown.push_str("\\n"),
            c if is_harmful(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
        shown
    })
}

impl fmt::Display for ConfigError {
    /// A single fault stands alone; several follow a heading, one a line, each after its place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([only], 0) = (self.problems.as_slice(), self.omitted) {
            return f.write_str(only);
        }
        write!(f, "the configuration can't be used:")?;
        for problem in &self.problems {
            write!(f, "\n{problem}")?;
        }
        match self.omitted {
            0 => Ok(()),
            more if self.is_cut => write!(f, "\nand at least {more} more"),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl Place {
    /// The place of the byte `at` in `text`; columns count characters, as editors do.
    pub fn of(file: &Path, text: &str, at: usize) -> Self {
        let before = text.get(..at.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.get(line_start..).unwrap_or_default().chars().count();
        Self { file: file.into(), line, column }
    }

    /// File and line.
    pub fn line(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }
}

impl<'t> Places<'t> {
    pub fn of(file: &Path, text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { file: file.into(), text, lines: std::iter::once(0).chain(ends).collect() }
    }

    /// The place of the byte `at`.
    pub fn at(&self, at: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let column = 1 + self.text.get(start..at).unwrap_or_default().chars().count();
        Place { file: Arc::clone(&self.file), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Faults of the file, by byte.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

#[derive(Debug)]
struct Fault {
    at: usize,
    text: String,
    /// A key is absent. It may be there misspelt, as an unknown key.
    is_missing: bool,
}

impl Faults {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Something that is there and wrong.
    pub fn wrong(&mut self, span: &Range<usize>, text: impl Into<String>) {
        self.push(Fault { at: span.start, text: text.into(), is_missing: false });
    }

    /// Something that isn't there.
    pub fn missing(&mut self, span: &Range<usize>, text: impl Into<String>) {
        self.push(Fault { at: span.start, text: text.into(), is_missing: true });
    }

    /// Adds the faults of a part of the file. Absences count only while nothing else is known to be wrong:
    /// an unknown key may be the absent one.
    pub fn append(&mut self, part: Self) {
        let is_first = self.is_empty();
        for fault in part.0.into_iter().filter(|fault| is_first || !fault.is_missing) {
            self.push(fault);
        }
    }

    /// Adds all faults of a part.
    pub fn extend(&mut self, part: Self) {
        part.0.into_iter().for_each(|fault| self.push(fault));
    }

    /// The value of a field with its place, if it is there and right.
    pub fn spanned<T>(&mut self, field: Option<Field<T>>) -> Option<Spanned<T>> {
        let field = field?;
        let span = field.span();
        match field.into_inner().0 {
            Ok(value) => Some(Spanned::new(span, value)),
            Err(reason) => {
                self.wrong(&span, reason);
                None
            }
        }
    }

    /// The value of a field, if it is there and right.
    pub fn take<T>(&mut self, field: Option<Field<T>>) -> Option<T> {
        self.spanned(field).map(Spanned::into_inner)
    }

    /// The right items of a list, each with its place, and the list's place.
    pub fn list<T>(&mut self, field: Option<Field<List<T>>>) -> Option<Spanned<Vec<Spanned<T>>>> {
        let list = self.spanned(field)?;
        let span = list.span();
        let items = list.into_inner().0.into_iter().filter_map(|item| self.spanned(Some(item)));
        Some(Spanned::new(span, items.collect()))
    }

    /// Turns byte offsets into lines and columns, and names the key of each wrong value.
    pub fn into_problems(self, file: &Path, text: &str, problems: &mut Problems) {
        if self.is_empty() {
            return;
        }
        let (table, _) = DeTable::parse_recoverable(text);
        let mut values = Vec::new();
        collect_values(table.get_ref(), &mut values);
        values.sort_by_key(|(span, _)| span.start);
        for Fault { at, text: reason, .. } in self.0 {
            let before = values.partition_point(|(span, _)| span.start <= at);
            let value = before.checked_sub(1).and_then(|index| values.get(index)).filter(|(span, _)| at < span.end);
            let reason = value.map_or_else(|| reason.clone(), |(_, key)| format!("{key}: {reason}"));
            problems.add_at(Place::of(file, text, at), reason);
        }
    }

    fn push(&mut self, fault: Fault) {
        if self.0.len() < FOUND_MAX {
            self.0.push(fault);
        }
    }
}

/// Places and keys of all values that are not tables.
fn collect_values<'t>(table: &'t DeTable<'_>, values: &mut Vec<(Range<usize>, &'t str)>) {
    for (key, value) in table {
        match value.get_ref() {
            DeValue::Table(table) => collect_values(table, values),
            _ => values.push((value.span(), key.get_ref())),
        }
    }
}
