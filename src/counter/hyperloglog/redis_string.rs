//! A sketch as a string in Redis.
//!
//! ```text
//! "HYLL", encoding (0 dense, 1 sparse), 3 zero bytes
//! 8 bytes     cached cardinality, little endian; the highest bit set: none is cached
//! dense       16,384 registers of 6 bits, least significant bits first: 12,288 bytes
//! sparse      00xxxxxx            x + 1 registers of rank 0
//!             01xxxxxx yyyyyyyy   xy + 1 registers of rank 0
//!             1vvvvvxx            x + 1 registers of rank v + 1
//! ```

use super::{REGISTERS, Sketch, Trace};

pub const DENSE_BYTES: usize = REGISTERS * 6 / 8;
pub const HEADER_BYTES: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
/// The highest rank that the sparse form can hold.
const SPARSE_RANK_MAX: u8 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a HyperLogLog string of Redis")]
pub struct NotASketch;

impl Sketch {
    /// Encodes the sketch in the smaller of Redis's forms that can hold it.
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

    /// Returns false if the sparse form can't hold the sketch, or is no smaller.
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

    /// Reads a string of Redis.
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
