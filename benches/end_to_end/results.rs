//! Results of all rounds, by row.

use crate::drive::stats;
use crate::open::OpenSample;
use crate::rows::Row;
use crate::run::Sample;

/// The samples of all rounds.
pub struct Results<'a> {
    pub rows: &'a [Row],
    pub rounds: &'a [Vec<Sample>],
    pub open: &'a [Vec<OpenSample>],
}

impl Results<'_> {
    fn place(&self, name: &str, connections: usize) -> Option<usize> {
        self.rows.iter().position(|row| row.name == name && row.connections == connections)
    }

    /// A row's median.
    pub fn median(&self, place: usize, value: impl Fn(&Sample) -> f64) -> f64 {
        stats::median(self.rounds.iter().map(|round| value(&round[place])).collect())
    }

    /// The median of two rows' ratios, each within a round. None: a row was not driven.
    pub fn ratio(&self, of: &str, to: &str, connections: usize, value: impl Fn(&Sample) -> f64) -> Option<f64> {
        let (of, to) = (self.place(of, connections)?, self.place(to, connections)?);
        Some(stats::median(self.rounds.iter().map(|round| value(&round[of]) / value(&round[to])).collect()))
    }

    pub fn value(&self, name: &str, connections: usize, value: impl Fn(&Sample) -> f64) -> Option<f64> {
        Some(self.median(self.place(name, connections)?, value))
    }

    /// The median over the rounds of each sample's `value`.
    pub fn open(&self, value: impl Fn(&[OpenSample]) -> Option<f64>) -> Option<f64> {
        let values: Vec<_> = self.open.iter().filter_map(|round| value(round)).collect();
        (!values.is_empty()).then(|| stats::median(values))
    }
}
