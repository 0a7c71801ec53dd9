//! Digests of a source's rows: equal digests in file and Redis mean equal rows.
//!
//! A digest is the sum over the rows of `weight · value`, as two residues modulo a prime. A changed row changes it by
//! `weight · (new - old)`, so a script keeps it without reading the other rows. Products stay below 2^52, since Lua's
//! numbers are doubles. Plain sums would not do: rows that moved a hit from one page to another have equal sums.

use sha2::{Digest as _, Sha256};

use super::{PageAddress, Period, Register, Source};

/// The largest prime below 2^26.
const PRIME: u64 = 67_108_859;
/// Factor of an import's generation in a row's value.
const GENERATION_FACTOR: u64 = 65_599;

/// Factor of one row, the same on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight([u64; 2]);

/// Digest of rows; the default is that of no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Digest([u64; 2]);

/// Key of Redis and source that a digest is of: a key of pages, or none for the site's own counters.
pub type Place = (Option<Period>, Source);

/// Digest of the rows in a node's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    pub place: Place,
    /// All that the file has of the source came from Redis.
    pub is_remote: bool,
    pub digest: Digest,
}

impl Weight {
    pub fn of(period: Period, page: Option<&PageAddress>) -> Self {
        Self::of_id(&period.to_string(), page.map(PageAddress::id).as_deref().unwrap_or_default())
    }

    /// The weight of a row of which Redis shows the period and the page's id.
    pub fn of_id(period: &str, page_id: &str) -> Self {
        let hash = Sha256::new().chain_update(period).chain_update([0]).chain_update(page_id).finalize();
        let residue = |at: usize| {
            let number = hash[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            (number % PRIME).max(1)
        };
        Self([residue(0), residue(8)])
    }

    /// Both residues, as scripts take them.
    pub fn residues(self) -> [u64; 2] {
        self.0
    }
}

impl Digest {
    pub fn add(&mut self, weight: Weight, register: Register) {
        let value = value(register);
        for (residue, weight) in self.0.iter_mut().zip(weight.0) {
            *residue = (*residue + weight * value) % PRIME;
        }
    }

    /// One number, as Redis keeps it.
    pub fn number(self) -> u64 {
        self.0[0] * PRIME + self.0[1]
    }

    /// None if no digest has this number.
    pub fn from_number(number: u64) -> Option<Self> {
        (number < PRIME * PRIME).then_some(Self([number / PRIME, number % PRIME]))
    }
}

fn value(register: Register) -> u64 {
    let residue = |hits: i64| hits.rem_euclid(PRIME.cast_signed()).cast_unsigned();
    match register {
        Register::Grown(hits) => residue(hits),
        Register::Written { generation, hits } => (residue(hits) + GENERATION_FACTOR * (generation % PRIME)) % PRIME,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn registers() -> impl Strategy<Value = Register> {
        let hits = || -1_000_000_000_000_000_i64..1_000_000_000_000_000;
        prop_oneof![
            hits().prop_map(Register::Grown),
            (0_u64..1 << 53, hits()).prop_map(|(generation, hits)| Register::Written { generation, hits }),
        ]
    }

    fn digest(rows: &[(usize, Register)]) -> Digest {
        let mut digest = Digest::default();
        for (page, register) in rows {
            digest.add(Weight::of_id("2024-06", &page.to_string()), *register);
        }
        digest
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter_and_a_number_stands_for_its_digest(
            rows in prop::collection::vec((0_usize..5, registers()), 0..9),
        ) {
            let mut reordered = rows.clone();
            reordered.reverse();
            prop_assert_eq!(digest(&rows), digest(&reordered));
            prop_assert_eq!(Digest::from_number(digest(&rows).number()), Some(digest(&rows)));
            prop_assert!(digest(&rows).number() < 1 << 52);
        }

        #[test]
        fn another_value_of_one_row_is_another_digest(a in registers(), b in registers()) {
            prop_assume!(value(a) != value(b));
            prop_assert_ne!(digest(&[(1, a)]), digest(&[(1, b)]));
        }
    }

    #[test]
    fn rows_with_equal_sums_differ() {
        let run = |a, b| digest(&[(1, Register::Grown(a)), (2, Register::Grown(b))]);
        assert_ne!(run(5, 2), run(7, 0));
        assert_eq!(run(0, 0), Digest::default(), "a run without hits has no row");
        let written = |generation, hits| digest(&[(1, Register::Written { generation, hits })]);
        assert_ne!(written(1, 0), Digest::default());
        assert_ne!(written(1, 5), written(2, 5));
        assert_eq!(Digest::from_number(PRIME * PRIME), None);
    }

    #[test]
    fn a_weight_depends_on_period_and_page() {
        let day: Period = "2024-06-17".parse().unwrap();
        let page = PageAddress::from_stored("/a");
        let weights = [Weight::of(day, None), Weight::of(day, Some(&page)), Weight::of(Period::Total, Some(&page))];
        assert!(weights[0] != weights[1] && weights[1] != weights[2]);
        assert_eq!(weights[1], Weight::of_id("2024-06-17", &page.id()));
        assert!(weights.iter().all(|weight| weight.residues().into_iter().all(|residue| residue < PRIME)));
    }
}
