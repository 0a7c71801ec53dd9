//! A table as data: what every writer takes.

use crate::counter::Day;

/// Rows of a file at most.
const ROWS_MAX: usize = 10_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Short, for the sheet's tab: at most 31 characters.
    pub name: &'static str,
    /// Long: with the site and the range.
    pub title: String,
    pub columns: Vec<Column>,
    /// Each with one cell a column.
    pub rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub label: &'static str,
    pub kind: ColumnKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    Number,
    Share,
    Day,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Empty,
    Text(String),
    Number(i64),
    /// Part of a whole, from 0 to 1.
    Share(f64),
    Day(Day),
}

impl Table {
    pub fn new(name: &'static str, title: String, columns: Vec<Column>, mut rows: Vec<Vec<Cell>>) -> Self {
        rows.truncate(ROWS_MAX);
        debug_assert!(rows.iter().all(|row| row.len() == columns.len()));
        Self { name, title, columns, rows }
    }
}

impl Column {
    pub fn text(label: &'static str) -> Self {
        Self { label, kind: ColumnKind::Text }
    }

    pub fn number(label: &'static str) -> Self {
        Self { label, kind: ColumnKind::Number }
    }

    pub fn share(label: &'static str) -> Self {
        Self { label, kind: ColumnKind::Share }
    }

    pub fn day(label: &'static str) -> Self {
        Self { label, kind: ColumnKind::Day }
    }
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn share(part: i64, whole: i64) -> Self {
        if whole > 0 { Self::Share(part.max(0) as f64 / whole as f64) } else { Self::Empty }
    }
}

impl From<Option<Day>> for Cell {
    fn from(day: Option<Day>) -> Self {
        day.map_or(Self::Empty, Self::Day)
    }
}
