//! HyperLogLog exactly as in Redis: a sketch can go there and back, and `PFCOUNT` agrees with the node's
//! estimate to the last digit.
//!
//! Redis's parameters: 2^14 registers of 6 bits, MurmurHash64A with the seed 0xadc83b19, of whose
//! 64 bits the low 14 choose the register and the rest give the rank; the estimator is Ertl's
//! ("New cardinality estimation algorithms for HyperLogLog sketches", 2017). The standard error is
//! 0.81 %.

mod estimate;
mod murmur;
mod redis_string;

use estimate::{Histogram, estimate, histogram};
pub use redis_string::NotASketch;

/// Low bits of the hash that choose a register.
const REGISTER_BITS: u32 = 14;
pub const REGISTERS: usize = 1 << REGISTER_BITS;
/// Bits of the hash that are left for the rank.
const RANK_BITS: u32 = 64 - REGISTER_BITS;
const RANK_MAX: u8 = RANK_BITS as u8 + 1;
/// Registers that a sketch lists one by one (4 bytes each) before it becomes an array of all.
const SPARSE_MAX: usize = 2_048;

/// One visitor's mark: a register, and the least rank that it has. Very many visitors share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Trace {
    register: u16,
    rank: u8,
}

/// The registers of a set of visitors. Grows only: sketches merge by the maximum of each register.
#[derive(Clone)]
pub struct Sketch {
    registers: Registers,
    estimate: u64,
    is_estimated: bool,
}

#[derive(Clone)]
enum Registers {
    /// The registers above 0, in order.
    Sparse(Vec<Trace>),
    Dense(Box<Dense>),
}

#[derive(Clone)]
struct Dense {
    ranks: [u8; REGISTERS],
    histogram: Histogram,
}

impl Trace {
    /// The mark that Redis's `PFADD` makes of an element.
    pub fn of(element: &[u8]) -> Self {
        let hash = murmur::hash_64a(element);
        let register = (hash & (REGISTERS as u64 - 1)) as u16;
        // The bit above the hash's own ends the run of zeros at the latest.
        let rest = hash >> REGISTER_BITS | 1 << RANK_BITS;
        Self { register, rank: rest.trailing_zeros() as u8 + 1 }
    }

    pub fn new(register: u16, rank: u8) -> Option<Self> {
        (usize::from(register) < REGISTERS && (1..=RANK_MAX).contains(&rank)).then_some(Self { register, rank })
    }

    pub fn register(self) -> u16 {
        self.register
    }

    pub fn rank(self) -> u8 {
        self.rank
    }
}

impl Default for Sketch {
    fn default() -> Self {
        Self { registers: Registers::Sparse(Vec::new()), estimate: 0, is_estimated: true }
    }
}

impl Sketch {
    /// Returns true if anything changed.
    pub fn add(&mut self, trace: Trace) -> bool {
        let has_changed = self.registers.raise(trace);
        self.is_estimated &= !has_changed;
        has_changed
    }

    /// True if adding the trace would change nothing.
    pub fn has(&self, trace: Trace) -> bool {
        self.registers.rank(trace.register) >= trace.rank
    }

    /// Returns true if anything changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut has_changed = false;
        for trace in other.traces() {
            has_changed |= self.registers.raise(trace);
        }
        self.is_estimated &= !has_changed;
        has_changed
    }

    pub fn is_empty(&self) -> bool {
        matches!(&self.registers, Registers::Sparse(traces) if traces.is_empty())
    }

    /// The registers above 0, in order.
    pub fn traces(&self) -> impl Iterator<Item = Trace> + '_ {
        let (sparse, dense): (&[Trace], &[u8]) = match &self.registers {
            Registers::Sparse(traces) => (traces, &[]),
            Registers::Dense(dense) => (&[], &dense.ranks),
        };
        let of_dense = (0_u16..).zip(dense).filter(|(_, rank)| **rank > 0);
        sparse.iter().copied().chain(of_dense.map(|(register, rank)| Trace { register, rank: *rank }))
    }

    /// The approximate number of visitors.
    pub fn estimate(&mut self) -> u64 {
        if !self.is_estimated {
            self.estimate = estimate(&self.registers.histogram());
            self.is_estimated = true;
        }
        self.estimate
    }
}

impl PartialEq for Sketch {
    fn eq(&self, other: &Self) -> bool {
        self.traces().eq(other.traces())
    }
}

impl Eq for Sketch {}

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sketch").field("registers", &self.traces().count()).finish_non_exhaustive()
    }
}

impl FromIterator<Trace> for Sketch {
    fn from_iter<I: IntoIterator<Item = Trace>>(traces: I) -> Self {
        let mut sketch = Self::default();
        for trace in traces {
            sketch.add(trace);
        }
        sketch
    }
}

impl Registers {
    fn raise(&mut self, trace: Trace) -> bool {
        match self {
            Self::Sparse(traces) => match traces.binary_search_by_key(&trace.register, |known| known.register) {
                Ok(at) => {
                    let is_higher = trace.rank > traces[at].rank;
                    traces[at].rank = traces[at].rank.max(trace.rank);
                    is_higher
                }
                Err(at) => {
                    if traces.len() < SPARSE_MAX {
                        traces.insert(at, trace);
                    } else {
                        let mut dense = Dense::new(traces);
                        dense.raise(trace);
                        *self = Self::Dense(Box::new(dense));
                    }
                    true
                }
            },
            Self::Dense(dense) => dense.raise(trace),
        }
    }

    /// The rank of a register, or 0.
    fn rank(&self, register: u16) -> u8 {
        match self {
            Self::Sparse(traces) => {
                let at = traces.binary_search_by_key(&register, |known| known.register);
                at.map_or(0, |at| traces[at].rank)
            }
            Self::Dense(dense) => dense.ranks[usize::from(register)],
        }
    }

    fn histogram(&self) -> Histogram {
        match self {
            Self::Sparse(traces) => histogram(traces),
            Self::Dense(dense) => dense.histogram,
        }
    }
}

impl Dense {
    fn new(traces: &[Trace]) -> Self {
        let mut ranks = [0; REGISTERS];
        for trace in traces {
            ranks[usize::from(trace.register)] = trace.rank;
        }
        Self { ranks, histogram: histogram(traces) }
    }

    fn raise(&mut self, trace: Trace) -> bool {
        let rank = &mut self.ranks[usize::from(trace.register)];
        if trace.rank <= *rank {
            return false;
        }
        self.histogram[usize::from(*rank)] -= 1;
        self.histogram[usize::from(trace.rank)] += 1;
        *rank = trace.rank;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::redis_string::{DENSE_BYTES, HEADER_BYTES};
    use super::*;

    fn sketch_of(elements: std::ops::Range<u64>) -> Sketch {
        elements.map(|element| Trace::of(&element.to_le_bytes())).collect()
    }

    #[test]
    fn below_a_hundred_it_is_right_to_one() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.estimate(), 0);
        for count in 1..=100_u64 {
            sketch.add(Trace::of(&count.to_le_bytes()));
            assert!(sketch.estimate().abs_diff(count) <= 1, "{} of {count}", sketch.estimate());
        }
    }

    /// A single sketch may err by any amount; many together show the standard error and no bias.
    #[test]
    fn at_a_million_it_errs_as_its_standard_error_says() {
        const SKETCHES: u64 = 24;
        const MILLION: u64 = 1_000_000;
        let errors = (0..SKETCHES).map(|number| {
            let mut sketch = sketch_of(number * MILLION..(number + 1) * MILLION);
            (sketch.estimate() as f64 / MILLION as f64 - 1.0) * 100.0
        });
        let errors: Vec<_> = errors.collect();
        let mean = errors.iter().sum::<f64>() / SKETCHES as f64;
        let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / SKETCHES as f64).sqrt();
        // Three standard errors of the mean, and of the deviation, of so many.
        assert!(mean.abs() < 0.5, "{mean} % on the whole: {errors:?}");
        assert!((0.45..1.2).contains(&deviation), "{deviation} %: {errors:?}");
        let within = |percent: f64| errors.iter().filter(|error| error.abs() <= percent).count();
        assert!(within(1.0) * 3 >= errors.len() * 2 && within(2.5) == errors.len(), "{errors:?}");
    }

    #[test]
    fn its_size_follows_what_it_holds() {
        assert_eq!(size_of::<Trace>(), 4);
        assert_eq!(Sketch::default().to_redis().len(), HEADER_BYTES + 2);
        assert!(sketch_of(0..100).to_redis().len() < 400);
        assert_eq!(sketch_of(0..100_000).to_redis().len(), HEADER_BYTES + DENSE_BYTES);
    }

    #[test]
    fn what_is_no_sketch_is_refused() {
        let dense = sketch_of(0..100_000).to_redis();
        let sparse = sketch_of(0..10).to_redis();
        for text in [&[][..], b"HYLL", &dense[..dense.len() - 1], &sparse[..sparse.len() - 1], b"a string of bytes"] {
            assert!(Sketch::from_redis(text).is_err());
        }
        let mut of_another_kind = sparse;
        of_another_kind[4] = 2;
        assert!(Sketch::from_redis(&of_another_kind).is_err());
    }

    proptest! {
        #[test]
        fn a_sketch_reads_as_it_is_written(traces in prop::collection::vec((0_u16..16_384, 1_u8..=51), 0..6_000)) {
            let sketch: Sketch = traces.iter().map(|(register, rank)| Trace::new(*register, *rank).unwrap()).collect();
            prop_assert_eq!(&Sketch::from_redis(&sketch.to_redis()).unwrap(), &sketch);
            // Of runs and low ranks, which Redis's sparse form can say.
            let low: Sketch = traces.iter().map(|(register, _)| Trace::new(register % 3_000, 1).unwrap()).collect();
            prop_assert_eq!(&Sketch::from_redis(&low.to_redis()).unwrap(), &low);
        }

        #[test]
        fn any_bytes_are_a_sketch_or_none(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            bytes.splice(0..0, *b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80");
            let _ = Sketch::from_redis(&bytes);
        }

        #[test]
        fn merging_is_adding_all_in_any_order(a in 0_u64..2_000, b in 0_u64..2_000, both in 0_u64..2_000) {
            let mut merged = sketch_of(0..a + both);
            merged.merge(&sketch_of(a..a + both + b));
            let mut whole: Sketch = (0..a + both + b).rev().map(|element| Trace::of(&element.to_le_bytes())).collect();
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(merged.estimate(), whole.estimate());
            prop_assert!(!merged.merge(&whole), "a repeat changes nothing");
        }
    }

    /// The string is what Redis 7 has after `PFADD`.
    #[test]
    fn elements_make_the_string_that_redis_makes_of_them() {
        let elements: [&[u8]; 4] = [b"a", b"hello world", b"12345678", b"a visitor's key of some length"];
        let sketch: Sketch = elements.into_iter().map(Trace::of).collect();
        let of_redis = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80U\xef\x90N\xc5\x8cD\x9a\x88HR\x84NW";
        assert_eq!(sketch.to_redis(), of_redis);
        assert!(Sketch::from_redis(of_redis).unwrap().traces().eq(sketch.traces()));
    }

    /// The count is Redis 7's `PFCOUNT`.
    #[test]
    fn the_estimate_is_that_of_redis() {
        let mut sketch: Sketch = (1..=20_000).map(|number| Trace::of(number.to_string().as_bytes())).collect();
        assert_eq!(sketch.estimate(), 19_891);
    }

    #[test]
    fn a_trace_changes_a_sketch_only_if_it_raises_a_register() {
        let trace = |rank| Trace::new(5, rank).unwrap();
        for start in [Sketch::default(), sketch_of(0..5_000)] {
            let mut sketch = start;
            let start_rank = sketch.traces().find(|trace| trace.register() == 5).map_or(0, Trace::rank);
            let (low, high) = (start_rank + 1, start_rank + 2);
            assert!(!sketch.has(trace(low)) && sketch.add(trace(low)) && !sketch.add(trace(low)));
            assert!(sketch.has(trace(low)) && !sketch.has(trace(high)) && !sketch.is_empty());
            let before = sketch.clone();
            assert!(sketch.merge(&[trace(high)].into_iter().collect()) && sketch != before);
            assert!(sketch.add(trace(high + 1)) && !sketch.add(trace(low)));
        }
        assert!(Sketch::default().is_empty());
    }

    #[test]
    fn an_estimate_is_made_again_after_a_merge() {
        let mut sketch = sketch_of(0..10);
        assert_eq!(sketch.estimate(), 10);
        assert!(sketch.merge(&sketch_of(10..20)));
        assert_eq!(sketch.estimate(), 20);
    }

    /// The counts are Redis 7's `PFCOUNT`, of strings with these ranks.
    #[test]
    fn registers_at_the_highest_rank_are_estimated_as_redis_does() {
        let estimate = |rank: fn(u16) -> u8| {
            let traces = (0..REGISTERS as u16).filter_map(|register| Trace::new(register, rank(register)));
            traces.collect::<Sketch>().estimate()
        };
        assert_eq!(estimate(|register| if register == 0 { RANK_MAX } else { 0 }), 1);
        assert_eq!(estimate(|register| if register < 8_192 { RANK_MAX } else { 0 }), 13_268);
        assert_eq!(estimate(|register| if register < 8_192 { RANK_MAX } else { 1 }), 47_274);
        assert_eq!(estimate(|register| if register < 4_096 { RANK_MAX } else { 20 }), 16_523_541_382);
        assert_eq!(estimate(|register| if register < 16_383 { RANK_MAX } else { 3 }), 1_549_082_005);
        assert_eq!(estimate(|register| (register % 52) as u8), 303_516);
    }
}
