//! A table for the terminal: the first column and texts to the left, numbers to the right.

use std::fmt;

pub struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { lines: vec![head.iter().map(|&name| name.to_owned()).collect()] }
    }

    pub fn add(&mut self, line: Vec<String>) {
        self.lines.push(line);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column: usize| self.lines.iter().filter_map(move |line| line.get(column));
        let is_number = |cell: &String| cell.parse::<f64>().is_ok() || cell.is_empty();
        let layout: Vec<_> = (0..columns)
            .map(|column| {
                let width = cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0);
                (width, cells(column).skip(1).all(is_number))
            })
            .collect();
        for line in &self.lines {
            let padded = line.iter().zip(&layout).map(|(cell, (width, is_right))| {
                if *is_right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}
