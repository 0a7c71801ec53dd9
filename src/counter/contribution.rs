//! One source's contribution to one counter, as it is published and merged.

use super::{Day, PageAddress, Period, SiteNumber, Source};

/// Largest count that any counter may hold: Redis's Lua and a browser's JSON both keep numbers as
/// doubles, exact below 2^53.
pub const HITS_MAX: i64 = 1_000_000_000_000_000;

/// "Source R has contributed this much to period P (of page G)": absolute, so that saying it twice,
/// late or out of order changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    pub source: Source,
    pub period: Period,
    /// None for the site's own counter.
    pub page: Option<PageAddress>,
    pub register: Register,
}

/// A page that the current run has counted hits of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPage {
    pub site: SiteNumber,
    pub day: Day,
    pub page: PageAddress,
    /// By then, in the order of [`Day::page_periods`]; 0 for the month and the total of a page that isn't vouched for.
    pub hits: [i64; 3],
}

impl ChangedPage {
    pub fn contributions<'a>(&'a self, run: &'a Source) -> impl Iterator<Item = Contribution> + 'a {
        let counted = self.day.page_periods().into_iter().zip(self.hits).filter(|(_, hits)| *hits > 0);
        counted.map(|(period, hits)| Contribution {
            source: run.clone(),
            period,
            page: Some(self.page.clone()),
            register: Register::Grown(hits),
        })
    }
}

/// Merge rule for two states of one source's contribution to one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// A run's count only grows: the greater one is the later one.
    Grown(i64),
    /// An import's count is the last that was written: the higher generation wins, whatever its value.
    Written { generation: u64, hits: i64 },
}

impl Register {
    pub fn hits(self) -> i64 {
        match self {
            Self::Grown(hits) | Self::Written { hits, .. } => hits,
        }
    }

    /// The later of two statements. At equal generations, which only a clash of two importers in
    /// the same microsecond makes, the greater value wins on every node alike.
    pub fn merge(self, other: Self) -> Self {
        let key = |register: Self| match register {
            Self::Grown(hits) => (0, hits),
            Self::Written { generation, hits } => (generation, hits),
        };
        if key(other) > key(self) { other } else { self }
    }
}

/// A counter as it stands in a node's file, before a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub period: Period,
    /// None for the site's own counter.
    pub page: Option<PageAddress>,
    /// Over all sources, the earlier reset among them.
    pub sum: i64,
    /// The part of the earlier reset.
    pub reset: i64,
}

/// Place of a row in a node's file, in the file's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// `Period::number`.
    pub period: u32,
    /// 0 for the site itself, more for pages: a period's own counters come before its pages.
    pub page: i64,
    /// The source's number in that file.
    pub source: i64,
}

impl RowKey {
    /// Before the first row.
    pub const START: Self = Self { period: 0, page: -1, source: -1 };
}

/// Site counter as it stands in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCounter {
    pub period: Period,
    pub total: i64,
    /// Contributions of the sources asked for, in their order; none where Redis has nothing.
    pub contributed: Vec<(Source, Option<Register>)>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn registers() -> impl Strategy<Value = Vec<Register>> {
        prop_oneof![
            prop::collection::vec((0_i64..9).prop_map(Register::Grown), 1..6),
            prop::collection::vec(
                (0_u64..4, -3_i64..4).prop_map(|(generation, hits)| Register::Written { generation, hits }),
                1..6
            ),
        ]
    }

    proptest! {
        #[test]
        fn the_order_and_the_repeats_of_statements_do_not_matter(statements in registers(), again in any::<prop::sample::Index>()) {
            let merge = |all: &[Register]| all.iter().copied().reduce(Register::merge).unwrap();
            let mut reordered = statements.clone();
            reordered.reverse();
            reordered.push(*again.get(&statements));
            prop_assert_eq!(merge(&statements), merge(&reordered));
        }
    }
}
