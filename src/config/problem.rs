//! What is wrong with a configuration, all of it, each with its place.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Everything that is wrong with a configuration: where, what, and what would be right.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<String>,
    /// How many more were found than are told.
    untold: usize,
    /// There may be more than were looked for.
    is_cut: bool,
}

/// How many problems are told: more than a screen of them helps nobody.
const TOLD_MAX: usize = 20;
/// How many are looked for: a file with a hundred thousand sites may be wrong in each.
const FOUND_MAX: usize = 1_000;

/// Problems as they are found, in any order.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

#[derive(Debug)]
struct Problem {
    /// Where in the file; none for a flag, a variable, or a file as a whole.
    place: Option<Place>,
    text: String,
}

/// A place in a file, shown as `FILE:LINE:COLUMN`, which editors jump to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    file: PathBuf,
    line: usize,
    column: usize,
}

impl Problems {
    /// Something wrong that is not in a file; `text` begins with what it is about.
    pub fn add(&mut self, text: impl Into<String>) {
        self.0.push(Problem { place: None, text: text.into() });
    }

    pub fn add_at(&mut self, place: Place, text: impl Into<String>) {
        self.0.push(Problem { place: Some(place), text: text.into() });
    }

    /// Whether there are none; else the error that tells them, those of the file in its order.
    pub fn into_result(mut self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Ok(());
        }
        // Stable: problems at one place stay in the order in which they were found.
        self.0.sort_by_key(|problem| problem.place.as_ref().map(|place| (place.line, place.column)));
        let is_cut = self.0.len() >= FOUND_MAX;
        let untold = self.0.len().saturating_sub(TOLD_MAX);
        let problems = self.0.into_iter().take(TOLD_MAX).map(|problem| problem.to_string()).collect();
        Err(ConfigError { problems, untold, is_cut })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl fmt::Display for ConfigError {
    /// One problem as it is; several below one another, each on a line that begins with its place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([only], 0) = (self.problems.as_slice(), self.untold) {
            return f.write_str(only);
        }
        write!(f, "the configuration can't be used:")?;
        for problem in &self.problems {
            write!(f, "\n{problem}")?;
        }
        match self.untold {
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
        Self { file: file.to_owned(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// The problems of one file, found by byte.
#[derive(Debug)]
pub struct Findings<'t> {
    file: &'t Path,
    text: &'t str,
    found: Vec<(usize, String)>,
    /// Lines with a syntax error, by their first byte: what else seems wrong there follows from it.
    broken_lines: HashSet<usize>,
}

impl<'t> Findings<'t> {
    pub fn new(file: &'t Path, text: &'t str) -> Self {
        Self { file, text, found: Vec::new(), broken_lines: HashSet::new() }
    }

    pub fn text(&self) -> &'t str {
        self.text
    }

    pub fn place(&self, span: &Range<usize>) -> Place {
        Place::of(self.file, self.text, span.start)
    }

    pub fn is_full(&self) -> bool {
        self.found.len() >= FOUND_MAX
    }

    /// What can't be read as TOML; the first of a line is told.
    pub fn syntax(&mut self, span: &Range<usize>, text: impl Into<String>) {
        let line = self.line_start(span.start);
        if !self.is_full() && self.broken_lines.insert(line) {
            self.found.push((span.start, text.into()));
        }
    }

    /// A key or value that TOML can read, and that can't be right.
    pub fn wrong(&mut self, span: &Range<usize>, text: impl Into<String>) {
        let follows = !self.broken_lines.is_empty() && self.broken_lines.contains(&self.line_start(span.start));
        if !follows && !self.is_full() {
            self.found.push((span.start, text.into()));
        }
    }

    /// Something that isn't there; after a syntax error it may well be.
    pub fn missing(&mut self, span: &Range<usize>, text: impl Into<String>) {
        if self.broken_lines.is_empty() {
            self.wrong(span, text);
        }
    }

    pub fn into_problems(self, problems: &mut Problems) {
        let mut found = self.found;
        found.sort_by_key(|(at, _)| *at);
        for (at, text) in found {
            problems.add_at(Place::of(self.file, self.text, at), text);
        }
    }

    fn line_start(&self, at: usize) -> usize {
        let before = self.text.get(..at.min(self.text.len())).unwrap_or(self.text);
        before.rfind('\n').map_or(0, |newline| newline + 1)
    }
}
