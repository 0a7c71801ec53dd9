//! A sketch of 64 bytes: how many distinct things there were, to about 13 % (HyperLogLog).

const REGISTERS: usize = 64;
/// Of 64 registers, by the authors of HyperLogLog.
const ALPHA: f64 = 0.709;

#[derive(Debug, Clone)]
pub(super) struct SmallSketch {
    ranks: [u8; REGISTERS],
}

impl Default for SmallSketch {
    fn default() -> Self {
        Self { ranks: [0; REGISTERS] }
    }
}

impl SmallSketch {
    /// Adds a thing by its hash, which must be an even one.
    pub(super) fn add(&mut self, hash: u64) {
        let rank = &mut self.ranks[hash as usize % REGISTERS];
        // One bit that is set bounds the rank.
        let zeros = (hash >> 6 | 1 << 58).trailing_zeros();
        *rank = (*rank).max(zeros as u8 + 1);
    }

    pub(super) fn estimate(&self) -> u32 {
        let registers = REGISTERS as f64;
        let sum: f64 = self.ranks.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
        let raw = ALPHA * registers * registers / sum;
        let empty = self.ranks.iter().filter(|rank| **rank == 0).count();
        // Few things are known better by the registers that none has reached.
        let estimate =
            if raw <= 2.5 * registers && empty > 0 { registers * (registers / empty as f64).ln() } else { raw };
        estimate.round() as u32
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

    use super::*;

    #[test]
    fn an_estimate_is_right_to_some_forty_percent_and_repeats_change_nothing() {
        // The same hashes in every run.
        let keyed = BuildHasherDefault::<DefaultHasher>::default();
        for count in [0_u32, 1, 10, 100, 300, 1_000, 30_000] {
            let mut sketch = SmallSketch::default();
            for _ in 0..2 {
                (0..count).for_each(|thing| sketch.add(keyed.hash_one(thing)));
            }
            let error = f64::from(sketch.estimate()) - f64::from(count);
            // Three and a half standard errors.
            assert!(error.abs() <= f64::from(count) * 0.45 + 0.5, "{count}: {}", sketch.estimate());
        }
        let mut sketch = SmallSketch::default();
        sketch.add(0);
        sketch.add(u64::MAX);
        assert_eq!((sketch.estimate(), sketch.ranks[0]), (2, 59));
    }
}
