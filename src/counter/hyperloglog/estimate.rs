//! Ertl's estimator of a sketch's cardinality.

use super::{RANK_MAX, REGISTERS, Trace};

/// 1 / (2 ln 2).
const ALPHA_INFINITY: f64 = 0.721_347_520_444_481_7;

/// Number of registers of each rank: the estimate depends on nothing else.
pub type Histogram = [u16; RANK_MAX as usize + 1];

pub fn histogram(traces: &[Trace]) -> Histogram {
    let mut histogram = [0; _];
    histogram[0] = (REGISTERS - traces.len()) as u16;
    for trace in traces {
        histogram[usize::from(trace.rank)] += 1;
    }
    histogram
}

/// Computes operation by operation as Redis does: doubles don't associate.
pub fn estimate(histogram: &Histogram) -> u64 {
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
