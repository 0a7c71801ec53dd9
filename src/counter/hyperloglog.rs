//! HyperLogLog exactly as Redis does it, so that a sketch can be handed to Redis and read back, and
//! that its `PFCOUNT` agrees with the node's own estimate to the last digit.
//!
//! Redis's parameters: 2^14 registers of 6 bits, MurmurHash64A with the seed 0xadc83b19, of whose
//! 64 bits the low 14 choose the register and the rest give the rank; the estimator is Ertl's
//! ("New cardinality estimation algorithms for HyperLogLog sketches", 2017). The standard error is
//! 0.81 %.
//!
//! # Redis's string
//! ```text
//! "HYLL", encoding (0 dense, 1 sparse), 3 zero bytes
//! 8 bytes     cached cardinality, little endian; the highest bit set: none is cached
//! dense       16,384 registers of 6 bits, least significant bits first: 12,288 bytes
//! sparse      00xxxxxx            x + 1 registers of rank 0
//!             01xxxxxx yyyyyyyy   xy + 1 registers of rank 0
//!             1vvvvvxx            x + 1 registers of rank v + 1
//! ```

/// Low bits of the hash that choose a register.
const REGISTER_BITS: u32 = 14;
pub const REGISTERS: usize = 1 << REGISTER_BITS;
/// Bits of the hash that are left for the rank.
const RANK_BITS: u32 = 64 - REGISTER_BITS;
const RANK_MAX: u8 = RANK_BITS as u8 + 1;
const HASH_SEED: u64 = 0xadc8_3b19;
/// 1 / (2 ln 2), as the estimator has it.
const ALPHA_INFINITY: f64 = 0.721_347_520_444_481_7;

/// Registers that a sketch lists one by one (4 bytes each) before it becomes an array of all.
const SPARSE_MAX: usize = 2_048;

const DENSE_BYTES: usize = REGISTERS * 6 / 8;
const HEADER_BYTES: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
/// The highest rank that Redis's sparse form can say.
const SPARSE_RANK_MAX: u8 = 32;

/// What is kept of one visitor: which register, and the rank it has at least. Very many visitors
/// share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Trace {
    register: u16,
    rank: u8,
}

/// How many registers have each rank: all that the estimate depends on.
type Histogram = [u16; RANK_MAX as usize + 1];

/// The registers of a set of visitors. Grows only: sketches merge by the maximum of each register.
#[derive(Clone)]
pub struct Sketch {
    registers: Registers,
    estimate: u64,
    is_estimated: bool,
}

#[derive(Clone)]
enum Registers {
    /// Those above 0, in order.
    Sparse(Vec<Trace>),
    Dense(Box<Dense>),
}

#[derive(Clone)]
struct Dense {
    ranks: [u8; REGISTERS],
    histogram: Histogram,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no HyperLogLog of Redis")]
pub struct NotASketch;

impl Trace {
    /// What Redis's `PFADD` makes of an element.
    pub fn of(element: &[u8]) -> Self {
        let hash = murmur_hash_64a(element);
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
    /// Whether that changed anything.
    pub fn add(&mut self, trace: Trace) -> bool {
        let has_changed = self.registers.raise(trace);
        self.is_estimated &= !has_changed;
        has_changed
    }

    /// Whether to add it would change nothing.
    pub fn has(&self, trace: Trace) -> bool {
        self.registers.rank(trace.register) >= trace.rank
    }

    /// Whether that changed anything.
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

    /// How many visitors left these traces, about.
    pub fn estimate(&mut self) -> u64 {
        if !self.is_estimated {
            self.estimate = estimate(&self.registers.histogram());
            self.is_estimated = true;
        }
        self.estimate
    }

    /// As a string that Redis takes for its own; the smaller of its two forms that can say it.
    pub fn to_redis(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(HEADER_BYTES + DENSE_BYTES);
        text.extend_from_slice(MAGIC);
        text.extend_from_slice(&[1, 0, 0, 0]);
        // Nothing is cached.
        text.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0x80]);
        let fits = self.write_sparse(&mut text);
        if !fits {
            text.truncate(HEADER_BYTES);
            text[MAGIC.len()] = 0;
            text.resize(HEADER_BYTES + DENSE_BYTES, 0);
            let packed = &mut text[HEADER_BYTES..];
            for trace in self.traces() {
                let bit = usize::from(trace.register) * 6;
                let bits = u16::from(trace.rank) << (bit % 8);
                packed[bit / 8] |= bits as u8;
                if let Some(next) = packed.get_mut(bit / 8 + 1) {
                    *next |= (bits >> 8) as u8;
                }
            }
        }
        text
    }

    /// False: the sparse form can't say it, or would be no smaller.
    fn write_sparse(&self, text: &mut Vec<u8>) -> bool {
        let mut next = 0_usize;
        let mut traces = self.traces().peekable();
        while let Some(first) = traces.next() {
            if first.rank > SPARSE_RANK_MAX || text.len() >= HEADER_BYTES + DENSE_BYTES {
                return false;
            }
            let register = usize::from(first.register);
            write_zeros(text, register - next);
            let mut length = 1_u8;
            while length < 4
                && let Some(same) = traces.peek()
                && usize::from(same.register) == register + usize::from(length)
                && same.rank == first.rank
            {
                length += 1;
                traces.next();
            }
            text.push(0x80 | (first.rank - 1) << 2 | (length - 1));
            next = register + usize::from(length);
        }
        write_zeros(text, REGISTERS - next);
        text.len() < HEADER_BYTES + DENSE_BYTES
    }

    /// Reads a string as Redis keeps it.
    pub fn from_redis(text: &[u8]) -> Result<Self, NotASketch> {
        let (header, body) = text.split_first_chunk::<HEADER_BYTES>().ok_or(NotASketch)?;
        let encoding = header.strip_prefix(MAGIC).and_then(|rest| rest.first());
        match encoding {
            Some(0) => Self::from_dense(body),
            Some(1) => Self::from_sparse(body),
            _ => Err(NotASketch),
        }
    }

    fn from_dense(packed: &[u8]) -> Result<Self, NotASketch> {
        if packed.len() != DENSE_BYTES {
            return Err(NotASketch);
        }
        let mut sketch = Self::default();
        // Four registers in three bytes.
        for (group, bytes) in (0_u16..).step_by(4).zip(packed.chunks_exact(3)) {
            let bits = bytes.iter().rev().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            for at in 0_u16..4 {
                let rank = (bits >> (6 * at) & 0x3f) as u8;
                if rank > 0 {
                    sketch.add(Trace::new(group + at, rank).ok_or(NotASketch)?);
                }
            }
        }
        Ok(sketch)
    }

    fn from_sparse(text: &[u8]) -> Result<Self, NotASketch> {
        let mut sketch = Self::default();
        let mut register = 0_usize;
        let mut bytes = text.iter().copied();
        while let Some(first) = bytes.next() {
            let length = match first >> 6 {
                0 => usize::from(first & 0x3f) + 1,
                1 => (usize::from(first & 0x3f) << 8 | usize::from(bytes.next().ok_or(NotASketch)?)) + 1,
                _ => {
                    let length = usize::from(first & 3) + 1;
                    for at in register..register + length {
                        let register = u16::try_from(at).map_err(|_| NotASketch)?;
                        sketch.add(Trace::new(register, (first >> 2 & 0x1f) + 1).ok_or(NotASketch)?);
                    }
                    length
                }
            };
            register += length;
        }
        if register == REGISTERS { Ok(sketch) } else { Err(NotASketch) }
    }
}

fn write_zeros(text: &mut Vec<u8>, mut count: usize) {
    while count > 0 {
        let length = count.min(1 << 14);
        let said = length - 1;
        if length > 64 {
            text.push(0x40 | (said >> 8) as u8);
            text.push(said as u8);
        } else {
            text.push(said as u8);
        }
        count -= length;
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

    /// The highest rank that a register has, or 0.
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

fn histogram(traces: &[Trace]) -> Histogram {
    let mut histogram = [0; _];
    histogram[0] = (REGISTERS - traces.len()) as u16;
    for trace in traces {
        histogram[usize::from(trace.rank)] += 1;
    }
    histogram
}

/// Ertl's estimator, operation by operation as Redis computes it: doubles don't associate.
fn estimate(histogram: &Histogram) -> u64 {
    let m = REGISTERS as f64;
    let of_rank = |rank: u8| f64::from(histogram[usize::from(rank)]);
    let mut z = m * tau((m - of_rank(RANK_MAX)) / m);
    for rank in (1..RANK_MAX).rev() {
        z += of_rank(rank);
        z *= 0.5;
    }
    z += m * sigma(of_rank(0) / m);
    (ALPHA_INFINITY * m * m / z).round() as u64
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let mut y = 1.0;
    let mut z = 1.0 - x;
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let mut y = 1.0;
    let mut z = x;
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

/// Austin Appleby's MurmurHash64A, as Redis has it: little endian on every machine.
fn murmur_hash_64a(bytes: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = HASH_SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// Of any one sketch nothing can be promised; of many, that they err by so much and to neither side.
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
}
