//! A node's own knowledge of a counter, and its sum with the counts from Redis.

use super::{PageAddress, Period, Register, SiteNumber, Source};

/// Sources of one counter whose parts are read from Redis, beside the current run.
const OTHERS_MAX: usize = 8;

/// A counter of a site: one page's, or the site's own.
pub type Counter = (Period, Option<PageAddress>);

/// A figure that was shown.
pub type ShownFigure = (SiteNumber, Counter, i64);

/// One counter as it stands in a node's file and memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Over all sources that the node knows of.
    pub sum: i64,
    /// The current run's part, if any.
    pub own: Option<(Source, i64)>,
    /// Other sources, as far as [`chosen`].
    pub others: Vec<(Source, Register)>,
    /// The least figure: one that was shown before.
    pub shown: Option<i64>,
    /// Hits of a page that isn't vouched for, in a month or in total: no source contributes them yet.
    pub unvouched: i64,
}

/// Hits of all sources but the current run, by a node and Redis together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    pub hits: i64,
    /// Redis has less than the node knows.
    pub is_behind: bool,
    /// Redis has a later import than the node, so the hits may be fewer than before.
    pub is_corrected: bool,
}

/// The sources to read from Redis: imports, whose counts may fall, and the largest runs. Of the others, all that the
/// node knows is taken to be in Redis.
pub fn chosen(mut sources: Vec<(Source, Register)>) -> Vec<(Source, Register)> {
    if sources.len() > OTHERS_MAX {
        sources.sort_by_key(|(source, register)| {
            (matches!(source, Source::Run(_)), std::cmp::Reverse(register.hits()), source.clone())
        });
        sources.truncate(OTHERS_MAX);
    }
    sources
}

/// Hits of others, of which the node knows `known`, and Redis has `rest`: its total without the current run's part.
pub fn foreign(known: i64, rest: i64, sources: impl Iterator<Item = (Register, Option<Register>)>) -> Foreign {
    let (mut known, mut rest, mut hits) = (known, rest, 0);
    let (mut is_behind, mut is_corrected) = (false, false);
    for (here, there) in sources {
        let merged = there.map_or(here, |there| here.merge(there));
        known -= here.hits();
        rest -= there.map_or(0, Register::hits);
        hits += merged.hits();
        is_behind |= there.map_or(here.hits() != 0, |there| there != merged);
        is_corrected |= matches!((here, merged), (Register::Written { generation, .. }, Register::Written { generation: later, .. }) if later > generation);
    }
    // What is left of both are sources that were not asked for, and in Redis those that the node doesn't know.
    Foreign { hits: hits + known.max(rest), is_behind: is_behind || rest < known, is_corrected }
}

impl Known {
    /// The hits that the node knows.
    pub fn hits(&self) -> i64 {
        self.sum + self.unvouched
    }

    /// The sources to read from Redis.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.others.iter().map(|(source, _)| source).chain(self.own.iter().map(|(source, _)| source))
    }

    /// The figure without Redis: what the node knows by itself, but no less than was shown.
    pub fn alone(&self) -> i64 {
        self.shown.map_or(self.hits(), |shown| shown.max(self.hits()))
    }

    /// The figure, where Redis has `total` and of the sources `there`, read atomically; and true if Redis has less than
    /// the node knows.
    pub fn with(&self, total: i64, there: &[Option<Register>]) -> (i64, bool) {
        let own = self.own.as_ref().map_or(0, |(_, hits)| *hits);
        let own_there = there.get(self.others.len()).copied().flatten().map_or(0, Register::hits);
        let others = self.others.iter().zip(there).map(|((_, here), there)| (*here, *there));
        let foreign = foreign(self.sum - own, total - own_there, others);
        let figure = foreign.hits + own.max(own_there) + self.unvouched;
        let least = self.shown.filter(|_| !foreign.is_corrected).unwrap_or(figure);
        (figure.max(least), foreign.is_behind || figure < least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(hits: i64) -> Option<Register> {
        Some(Register::Grown(hits))
    }

    #[test]
    fn redis_has_what_others_counted_and_the_node_what_redis_lacks() {
        let known = Known { sum: 10, own: Some((Source::Run(1), 10)), ..Known::default() };
        assert_eq!(known.with(100, &[None]), (110, false));
        assert_eq!(known.with(104, &[grown(4)]), (110, false));
        assert_eq!(known.with(112, &[grown(12)]), (112, false));
        let written = |generation, hits| Register::Written { generation, hits };
        let import: Source = "import:old".parse().unwrap();
        let imported = Known { sum: 5, others: vec![(import, written(2, 5))], ..Known::default() };
        assert_eq!(imported.with(20, &[Some(written(1, 20))]), (5, true));
        assert_eq!(imported.with(20, &[Some(written(3, 20))]), (20, false));
    }

    #[test]
    fn a_redis_that_has_less_never_lowers_a_figure_below_what_is_known_or_was_shown() {
        let known = Known { sum: 60, others: vec![(Source::Run(2), Register::Grown(50))], ..Known::default() };
        assert_eq!(known.with(60, &[grown(50)]), (60, false));
        assert_eq!(known.with(0, &[None]), (60, true));
        // Others' 40 hits stand beside what Redis lacks of this node's.
        assert_eq!(known.with(50, &[None]), (100, true));
        let shown = Known { shown: Some(75), ..known };
        assert_eq!(shown.with(60, &[grown(50)]), (75, true));
        assert_eq!(shown.with(80, &[grown(50)]), (80, false));
        let unvouched = Known { sum: 5, unvouched: 3, ..Known::default() };
        assert_eq!((unvouched.alone(), unvouched.with(5, &[])), (8, (8, false)));
        assert_eq!(Known { shown: Some(9), ..unvouched }.alone(), 9);
    }

    #[test]
    fn imports_and_the_largest_runs_are_chosen() {
        let import: Source = "import:old".parse().unwrap();
        let mut all: Vec<_> = (1..20).map(|run| (Source::Run(run), Register::Grown(run.cast_signed()))).collect();
        all.push((import.clone(), Register::Written { generation: 1, hits: 0 }));
        let chosen = chosen(all);
        assert_eq!((chosen.len(), &chosen[0].0, &chosen[1].0), (8, &import, &Source::Run(19)));
    }
}
